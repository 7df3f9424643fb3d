//! The memory behind the AXI ports: one definition of its timing, stepped once a cycle by the cycle simulator and by the
//! bench around the verilated RTL, so that both see the same latency, bandwidth, arbitration and jitter.
//!
//! All outputs of a cycle ([`Memory::out`]) depend on state only; [`Memory::step`] takes the masters' signals of that cycle
//! at the clock edge. Bandwidth is a budget of bytes a cycle, shared round-robin by the read and write sides
//! of all ports, with at most one beat's worth carried over; each side also has its own budget (a 64-bit port behind a
//! 128-bit bus moves half a beat a cycle).

use crate::error::MachineError;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Timing parameters of the memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryModel {
    /// Bytes a cycle over all ports, reads and writes together.
    pub bytes_per_cycle: u32,
    /// Bytes a cycle of one direction of one port.
    pub port_bytes_per_cycle: u32,
    /// Cycles from an accepted address to its first data, and from the last write beat to its response.
    pub latency: u32,
    /// Bursts that one port accepts before it has answered them, each direction.
    pub outstanding: usize,
    /// Random extra latency of a burst: 0 to this many cycles.
    pub latency_jitter: u32,
    /// Probability, in 256ths, that an address port is closed or a due beat is held back in a cycle.
    pub stall_per_256: u32,
    /// Seed of the jitter and the stalls.
    pub seed: u64,
}

impl MemoryModel {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), MachineError> {
        let check = |ok: bool, field: &str, m: &str| {
            if ok {
                Ok(())
            } else {
                Err(MachineError::config(&format!("memory.{field}"), m))
            }
        };
        check(
            (1..=1024).contains(&self.bytes_per_cycle),
            "bytes_per_cycle",
            "must be 1..=1024",
        )?;
        check(
            (1..=1024).contains(&self.port_bytes_per_cycle),
            "port_bytes_per_cycle",
            "must be 1..=1024",
        )?;
        check(
            (1..=10_000).contains(&self.latency),
            "latency",
            "must be 1..=10000",
        )?;
        check(
            (1..=64).contains(&self.outstanding),
            "outstanding",
            "must be 1..=64",
        )?;
        check(
            self.latency_jitter <= 10_000,
            "latency_jitter",
            "must be at most 10000",
        )?;
        check(
            self.stall_per_256 <= 240,
            "stall_per_256",
            "must be at most 240: more would starve the machine",
        )
    }
}

/// AXI channels of one port, as bits of its byte in [`Signals`].
pub mod channel {
    /// Read address.
    pub const AR: u64 = 1;
    /// Read data.
    pub const R: u64 = 2;
    /// Write address.
    pub const AW: u64 = 4;
    /// Write data.
    pub const W: u64 = 8;
    /// Write response.
    pub const B: u64 = 16;
    /// From the memory only: the read beat on offer ends its burst.
    pub const R_LAST: u64 = 32;
}

/// One side's valid or ready signals on all ports: port p's channels are byte p. A beat moves where both sides' bits are set.
pub type Signals = u64;

/// The signals `channels` of one port.
#[inline]
pub const fn on(port: usize, channels: u64) -> Signals {
    channels << (8 * port)
}

/// The signals `channels` of every port.
pub const fn every(channels: u64) -> Signals {
    channels * 0x0101_0101_0101_0101
}

/// Ports that `Signals` has room for.
pub const MOST_PORTS: usize = 8;

/// The addresses that a port's master offers, in bytes from the window's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Address of the read burst.
    pub araddr: u64,
    /// Its beats.
    pub arbeats: u32,
    /// Address of the write burst.
    pub awaddr: u64,
    /// Its beats.
    pub awbeats: u32,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Burst {
    addr: u64,
    beats: u32,
    ready_at: u64,
}

/// One direction of a port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Side {
    /// The burst whose beats move now; none when it has no beats.
    head: Burst,
    /// Those after it.
    next: VecDeque<Burst>,
    /// Bytes that it may move, as of cycle `budget_at`.
    budget: u64,
    budget_at: u64,
    open: bool,
}

impl Side {
    fn is_empty(&self) -> bool {
        self.head.beats == 0
    }
    fn bursts(&self) -> usize {
        usize::from(!self.is_empty()) + self.next.len()
    }
    fn push(&mut self, burst: Burst) {
        match self.is_empty() {
            true => self.head = burst,
            false => self.next.push_back(burst),
        }
    }
    /// Takes one beat off the head burst; its address and whether it was the last.
    #[inline]
    fn take_beat(&mut self, bytes: u64) -> (u64, bool) {
        let addr = self.head.addr;
        self.head.addr += bytes;
        self.head.beats -= 1;
        let last = self.is_empty();
        if last {
            self.head = self.next.pop_front().unwrap_or_default();
        }
        (addr, last)
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Port {
    read: Side,
    write: Side,
    responses: VecDeque<u64>,
}

/// The memory's timing state; it holds no data. A beat's data move when its handshake happens. Serialised in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    model: MemoryModel,
    beat: u64,
    /// Bytes a cycle of the whole memory, and most bytes that its budget holds: a cycle's, and what is left of a beat.
    rate: u64,
    most: u64,
    now: u64,
    budget: u64,
    /// Side at which the next arbitration begins: 2 * port, + 1 for writes.
    next: usize,
    /// Sides with a burst whose next beat is not on offer.
    waiting: u32,
    /// Ports with a write to be answered.
    answering: u32,
    rng: u64,
    ports: Vec<Port>,
    out: Signals,
}

/// What moved in one step, for the owner of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Port of the beat.
    pub port: usize,
    /// Byte address in the window.
    pub addr: u64,
}

impl Memory {
    /// A memory with `ports` ports (at most [`MOST_PORTS`]) of `beat_bytes` wide data.
    pub fn new(model: &MemoryModel, ports: usize, beat_bytes: usize) -> Self {
        assert!(ports <= MOST_PORTS, "one byte of Signals a port");
        let (beat, rate) = (beat_bytes as u64, u64::from(model.bytes_per_cycle));
        let mut m = Memory {
            model: model.clone(),
            beat,
            rate,
            most: rate.max(beat) + beat - 1,
            now: 0,
            budget: 0,
            next: 0,
            waiting: 0,
            answering: 0,
            // Any seed must give a non-zero xorshift state.
            rng: model.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            ports: vec![Port::default(); ports],
            out: 0,
        };
        for p in 0..ports {
            m.ports[p].read.open = true;
            m.ports[p].write.open = true;
            m.publish_ready(p);
        }
        m
    }

    /// A program starts: the timing begins anew, so that runs repeat. What the memory owes an earlier run it still owes.
    pub fn restart(&mut self) {
        let owes = |p: &Port| !p.read.is_empty() || !p.write.is_empty() || !p.responses.is_empty();
        if !self.ports.iter().any(owes) {
            *self = Memory::new(&self.model, self.ports.len(), self.beat as usize);
        }
    }

    /// This cycle's signals.
    #[inline]
    pub fn out(&self) -> Signals {
        self.out
    }

    /// Byte address in the window of the read beat that a port offers.
    pub fn read_address(&self, port: usize) -> u64 {
        self.ports[port].read.head.addr
    }

    fn random(&mut self) -> u32 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 32) as u32
    }

    fn stall(&mut self) -> bool {
        self.model.stall_per_256 > 0 && self.random() & 255 < self.model.stall_per_256
    }

    /// The clock edge that ends a cycle: `wants` and `requests` are the masters' signals in it. Appends the write beats taken.
    pub fn step(&mut self, wants: Signals, requests: &[Request], written: &mut Vec<Written>) {
        let mut moved = wants & self.out;
        while moved != 0 {
            let p = moved.trailing_zeros() as usize / 8;
            self.handshakes(p, (moved >> (8 * p)) & 0xff, &requests[p], written);
            moved &= !on(p, 0xff);
        }
        self.now += 1;
        self.grant();
        self.answer();
    }

    fn handshakes(&mut self, p: usize, moved: u64, r: &Request, written: &mut Vec<Written>) {
        if moved & channel::AR != 0 {
            let b = self.burst(r.araddr, r.arbeats);
            self.ports[p].read.push(b);
            if self.out & on(p, channel::R) == 0 {
                self.waiting |= 1 << (2 * p);
            }
        }
        if moved & channel::R != 0 {
            self.out &= !on(p, channel::R | channel::R_LAST);
            let read = &mut self.ports[p].read;
            read.take_beat(self.beat);
            if !read.is_empty() {
                self.waiting |= 1 << (2 * p);
            }
        }
        if moved & channel::W != 0 {
            self.out &= !on(p, channel::W);
            let at = self.now + 1 + u64::from(self.model.latency);
            let port = &mut self.ports[p];
            let (addr, last) = port.write.take_beat(self.beat);
            written.push(Written { port: p, addr });
            if last {
                port.responses.push_back(at);
                self.answering |= 1 << p;
            }
            if !port.write.is_empty() {
                self.waiting |= 2 << (2 * p);
            }
        }
        if moved & channel::AW != 0 {
            let b = self.burst(r.awaddr, r.awbeats);
            self.ports[p].write.push(Burst { ready_at: 0, ..b });
            if self.out & on(p, channel::W) == 0 {
                self.waiting |= 2 << (2 * p);
            }
        }
        if moved & channel::B != 0 {
            self.out &= !on(p, channel::B);
            self.ports[p].responses.pop_front();
            if self.ports[p].responses.is_empty() {
                self.answering &= !(1 << p);
            }
        }
        self.publish_ready(p);
    }

    fn burst(&mut self, addr: u64, beats: u32) -> Burst {
        let jitter = match self.model.latency_jitter {
            0 => 0,
            j => self.random() % (j + 1),
        };
        Burst {
            addr,
            beats,
            ready_at: self.now + u64::from(self.model.latency + jitter),
        }
    }

    #[inline]
    fn grant(&mut self) {
        self.budget = (self.budget + self.rate).min(self.most);
        let sides = self.ports.len() * 2;
        let first = self.next;
        // Side `first` comes first: two runs over the mask.
        let low = (1u32 << first) - 1;
        for mut mask in [self.waiting & !low, self.waiting & low] {
            while mask != 0 && self.budget >= self.beat {
                let who = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if self.offer(who) {
                    self.next = if who + 1 == sides { 0 } else { who + 1 };
                }
            }
        }
        if self.model.stall_per_256 > 0 {
            for p in 0..self.ports.len() {
                self.ports[p].read.open = !self.stall();
                self.ports[p].write.open = !self.stall();
                self.publish_ready(p);
            }
        }
    }

    /// Puts a waiting side's next beat on offer if it is due and nothing holds it back.
    #[inline]
    fn offer(&mut self, who: usize) -> bool {
        let (now, beat, read) = (self.now, self.beat, who % 2 == 0);
        let port = &mut self.ports[who / 2];
        let side = if read {
            &mut port.read
        } else {
            &mut port.write
        };
        let head = side.head;
        if head.ready_at > now {
            return false;
        }
        let rate = u64::from(self.model.port_bytes_per_cycle);
        let saved = side.budget + (now - side.budget_at) * rate;
        (side.budget, side.budget_at) = (saved.min(rate.max(beat)), now);
        if side.budget < beat {
            return false;
        }
        // Taken back if it stalls; what a stall decides must be drawn after all else is known.
        side.budget -= beat;
        if self.model.stall_per_256 > 0 && self.stall() {
            let port = &mut self.ports[who / 2];
            let side = if read {
                &mut port.read
            } else {
                &mut port.write
            };
            side.budget += beat;
            return false;
        }
        self.budget -= beat;
        self.waiting &= !(1 << who);
        let signals = match (read, head.beats) {
            (true, 1) => channel::R | channel::R_LAST,
            (true, _) => channel::R,
            (false, _) => channel::W,
        };
        self.out |= on(who / 2, signals);
        true
    }

    /// Offers the write responses that are due.
    #[inline]
    fn answer(&mut self) {
        let mut mask = self.answering;
        while mask != 0 {
            let p = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let due = self.ports[p]
                .responses
                .front()
                .is_some_and(|&at| at <= self.now);
            if due {
                self.out |= on(p, channel::B);
            }
        }
    }

    /// Address channels are ready while the port is open and holds fewer bursts than it may.
    fn publish_ready(&mut self, p: usize) {
        let port = &self.ports[p];
        let limit = self.model.outstanding;
        let mut ready = 0;
        if port.read.open && port.read.bursts() < limit {
            ready |= channel::AR;
        }
        if port.write.open && port.write.bursts() + port.responses.len() < limit {
            ready |= channel::AW;
        }
        self.out = self.out & !on(p, channel::AR | channel::AW) | on(p, ready);
    }

    /// Lets at most `limit` cycles pass, the masters' signals staying `wants`, as long as nothing moves but read beats that do not
    /// end their burst, and none of the signals `stop` is on offer. Returns the cycles, and takes each port's beats from `room`:
    /// a port without room keeps its next beat from moving.
    pub fn coast(
        &mut self,
        wants: Signals,
        stop: Signals,
        limit: u64,
        room: &mut [u64; MOST_PORTS],
    ) -> u64 {
        const READS: Signals = every(channel::R);
        let mut passed = 0;
        let mut full = (0..self.ports.len())
            .filter(|&p| room[p] == 0)
            .fold(0, |f, p| f | on(p, channel::R));
        // With random stalls every cycle may change the signals.
        while passed < limit && self.model.stall_per_256 == 0 {
            let moved = wants & self.out;
            let last = (self.out / (channel::R_LAST / channel::R)) & READS;
            if self.out & stop | moved & (last | full | !READS) != 0 {
                break;
            }
            if moved == 0 {
                let still = self.still_for().min(limit - passed);
                self.pass(still);
                passed += still;
                if still > 0 {
                    continue;
                }
            }
            let mut ports = moved;
            while ports != 0 {
                let p = ports.trailing_zeros() as usize / 8;
                ports &= ports - 1;
                room[p] -= 1;
                if room[p] == 0 {
                    full |= on(p, channel::R);
                }
                // Not the burst's last, so the next beat waits.
                self.ports[p].read.take_beat(self.beat);
                self.waiting |= 1 << (2 * p);
            }
            self.out &= !moved;
            self.now += 1;
            self.grant();
            self.answer();
            passed += 1;
        }
        passed
    }

    /// Cycles from now on in which, if no beat moves, none of the memory's signals changes.
    fn still_for(&self) -> u64 {
        let mut until = u64::MAX;
        let mut mask = self.waiting;
        while mask != 0 {
            let who = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let port = &self.ports[who / 2];
            let side = [&port.read, &port.write][who % 2];
            until = until.min(side.head.ready_at);
        }
        let mut mask = self.answering;
        while mask != 0 {
            let p = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if self.out & on(p, channel::B) == 0 {
                until = until.min(self.ports[p].responses.front().copied().unwrap_or(u64::MAX));
            }
        }
        until.saturating_sub(self.now + 1)
    }

    /// Lets cycles pass in which nothing changes.
    fn pass(&mut self, cycles: u64) {
        self.now += cycles;
        let gained = cycles.saturating_mul(self.rate);
        self.budget = self.budget.saturating_add(gained).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> MemoryModel {
        MemoryModel {
            bytes_per_cycle: 24,
            port_bytes_per_cycle: 16,
            latency: 10,
            outstanding: 4,
            latency_jitter: 0,
            stall_per_256: 0,
            seed: 1,
        }
    }

    /// Reads as fast as possible on `ports` ports; beats moved in `cycles`, and the cycle of the first.
    fn drive(m: &MemoryModel, ports: usize, cycles: u64) -> (u64, Option<u64>) {
        let mut mem = Memory::new(m, ports, 16);
        let (mut beats, mut first) = (0, None);
        let mut written = Vec::new();
        let request = Request {
            arbeats: 16,
            ..Request::default()
        };
        for t in 0..cycles {
            let wants = (0..ports).fold(0, |w, p| w | on(p, channel::AR | channel::R));
            let offered = (mem.out() & wants & every(channel::R)).count_ones();
            if offered > 0 {
                beats += u64::from(offered);
                first.get_or_insert(t);
            }
            mem.step(wants, &vec![request; ports], &mut written);
        }
        (beats, first)
    }

    #[test]
    fn first_data_come_after_the_latency_and_the_budget_is_used_whole() {
        let (beats, first) = drive(&model(), 3, 10_010);
        assert_eq!(first, Some(10));
        // 24 bytes a cycle over 10,000 cycles are 15,000 beats of 16.
        assert!((14_990..=15_001).contains(&beats), "{beats}");
    }

    #[test]
    fn one_port_cannot_exceed_its_own_width() {
        let m = MemoryModel {
            port_bytes_per_cycle: 8,
            ..model()
        };
        let (beats, _) = drive(&m, 1, 10_010);
        assert!((4_990..=5_001).contains(&beats), "{beats}");
    }

    #[test]
    fn jitter_is_reproducible_and_slows() {
        let m = MemoryModel {
            latency_jitter: 30,
            stall_per_256: 64,
            ..model()
        };
        assert_eq!(drive(&m, 2, 5000), drive(&m, 2, 5000));
        assert!(drive(&m, 2, 5000).0 < drive(&model(), 2, 5000).0);
    }

    #[test]
    fn a_restart_repeats_the_timing_and_keeps_what_is_owed() {
        let m = MemoryModel {
            latency_jitter: 9,
            stall_per_256: 30,
            ..model()
        };
        let request = Request {
            arbeats: 2,
            ..Request::default()
        };
        let run = |mem: &mut Memory, cycles| {
            let mut log = Vec::new();
            for t in 0..cycles {
                log.push(mem.out());
                let address = if t < 40 { channel::AR } else { 0 };
                mem.step(on(0, address | channel::R), &[request], &mut Vec::new());
            }
            log
        };
        let mut mem = Memory::new(&m, 1, 16);
        let first = run(&mut mem, 500);
        mem.restart();
        assert_eq!(run(&mut mem, 500), first);
        run(&mut mem, 20);
        mem.restart();
        let offers = |o: &Signals| o & channel::R != 0;
        let mut late = Vec::new();
        for _ in 0..200 {
            late.push(mem.out());
            mem.step(on(0, channel::R), &[request], &mut Vec::new());
        }
        assert!(late.iter().any(offers), "beats of before the restart");
    }

    /// Steps with and without `coast`: the same beats at the same times.
    #[test]
    fn coasting_is_stepping() {
        for (latency, bytes, port_bytes) in [(10, 24, 16), (60, 12, 8), (1, 100, 16), (7, 5, 16)] {
            let m = MemoryModel {
                latency,
                bytes_per_cycle: bytes,
                port_bytes_per_cycle: port_bytes,
                latency_jitter: 9,
                ..model()
            };
            let mut slow = Memory::new(&m, 3, 16);
            let mut fast = slow.clone();
            let (mut log, mut written) = (Vec::new(), Vec::new());
            // Reads on all ports, writes on one, each only now and then, so that there is something to coast over.
            let wants = |t: u64| {
                let when = |channels, on: bool| if on { channels } else { 0 };
                let (turn, first) = (t / 50, t % 50 < 4);
                on(0, channel::R | when(channel::AR, first))
                    | on(
                        0,
                        when(channel::AW | channel::W | channel::B, turn % 3 == 0),
                    )
                    | on(
                        1,
                        when(channel::R, turn % 2 == 0) | when(channel::AR, first),
                    )
                    | on(2, channel::R | when(channel::AR, first))
            };
            let request = Request {
                arbeats: 16,
                awbeats: 5,
                ..Request::default()
            };
            for t in 0..3000 {
                log.push(slow.out());
                slow.step(wants(t), &[request; 3], &mut written);
            }
            let mut t = 0;
            let mut coasted = 0;
            while t < 3000 {
                let room: [u64; MOST_PORTS] = std::array::from_fn(|p| [5, u64::MAX][p % 2]);
                let mut left = room;
                let limit = 50 - t % 50;
                let from = t;
                let n = fast.coast(wants(t), on(2, channel::R_LAST), limit, &mut left);
                let beats: [u64; MOST_PORTS] = std::array::from_fn(|p| room[p] - left[p]);
                let counted = |p: usize| {
                    let moved = (from..from + n)
                        .filter(|&t| log[t as usize] & wants(t) & on(p, channel::R) != 0);
                    moved.count() as u64
                };
                assert_eq!(beats, std::array::from_fn(counted), "cycles {from}..{t}");
                t += n;
                coasted += n;
                if t < 3000 && n < limit {
                    assert_eq!(fast.out(), log[t as usize], "cycle {t}");
                    fast.step(wants(t), &[request; 3], &mut written);
                    t += 1;
                }
            }
            assert!(coasted > 500, "{coasted}");
        }
    }
}
