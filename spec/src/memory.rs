//! The memory behind the AXI ports: one definition of its timing, stepped once a cycle by the cycle simulator and by the
//! bench around the verilated RTL, so that both see the same latency, bandwidth, arbitration and jitter.
//!
//! All outputs of a cycle ([`PortOut`]) depend on state only; [`Memory::step`] takes the masters' signals of that cycle
//! ([`PortIn`]) at the clock edge. Bandwidth is a budget of bytes a cycle, shared round-robin by the read and write sides
//! of all ports, with at most one beat's worth carried over; each side also has its own budget (a 64-bit port behind a
//! 128-bit bus moves half a beat a cycle).

use crate::error::SpecError;
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
    pub fn validate(&self) -> Result<(), SpecError> {
        let check = |ok: bool, field: &str, m: &str| {
            if ok {
                Ok(())
            } else {
                Err(SpecError::config(&format!("memory.{field}"), m))
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

/// Signals of one port from the memory, valid for a whole cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortOut {
    /// Read address accepted.
    pub arready: bool,
    /// A read beat is offered.
    pub rvalid: bool,
    /// Its address in the window, in bytes.
    pub raddr: u64,
    /// It ends its burst.
    pub rlast: bool,
    /// Write address accepted.
    pub awready: bool,
    /// Write data accepted.
    pub wready: bool,
    /// A write response is offered.
    pub bvalid: bool,
}

/// Signals of one port to the memory in the same cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortIn {
    /// Read address offered.
    pub arvalid: bool,
    /// Its byte address in the window.
    pub araddr: u64,
    /// Beats of the burst.
    pub arbeats: u32,
    /// Read data accepted.
    pub rready: bool,
    /// Write address offered.
    pub awvalid: bool,
    /// Its byte address in the window.
    pub awaddr: u64,
    /// Beats of the burst.
    pub awbeats: u32,
    /// Write data offered.
    pub wvalid: bool,
    /// Write response accepted.
    pub bready: bool,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    addr: u64,
    beats: u32,
    ready_at: u64,
}

#[derive(Clone, Debug, Default)]
struct Side {
    bursts: VecDeque<Burst>,
    budget: u32,
    /// Read: a beat is on offer. Write: a beat may be taken.
    granted: bool,
    open: bool,
}

#[derive(Clone, Debug, Default)]
struct Port {
    read: Side,
    write: Side,
    responses: VecDeque<u64>,
    out: PortOut,
}

/// The memory's timing state; it holds no data. A beat's data move when its handshake happens.
#[derive(Clone, Debug)]
pub struct Memory {
    model: MemoryModel,
    beat: u32,
    now: u64,
    budget: u32,
    next: usize,
    rng: u64,
    ports: Vec<Port>,
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
    /// A memory with `ports` ports of `beat_bytes` wide data.
    pub fn new(model: &MemoryModel, ports: usize, beat_bytes: usize) -> Self {
        let mut m = Memory {
            model: model.clone(),
            beat: beat_bytes as u32,
            now: 0,
            budget: 0,
            next: 0,
            // Any seed must give a non-zero xorshift state.
            rng: model.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            ports: vec![Port::default(); ports],
        };
        for p in &mut m.ports {
            p.read.open = true;
            p.write.open = true;
        }
        m.publish();
        m
    }

    /// This cycle's signals of a port.
    #[inline]
    pub fn out(&self, port: usize) -> PortOut {
        self.ports[port].out
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

    /// The clock edge that ends a cycle: `ins[p]` are port p's signals in it. Appends the write beats taken.
    pub fn step(&mut self, ins: &[PortIn], written: &mut Vec<Written>) {
        for (p, i) in ins.iter().enumerate() {
            let out = self.ports[p].out;
            if i.arvalid && out.arready {
                let b = self.burst(i.araddr, i.arbeats);
                self.ports[p].read.bursts.push_back(b);
            }
            if out.rvalid && i.rready {
                let read = &mut self.ports[p].read;
                read.granted = false;
                take_beat(&mut read.bursts, self.beat);
            }
            if out.wready && i.wvalid {
                let port = &mut self.ports[p];
                port.write.granted = false;
                if let Some((addr, last)) = take_beat(&mut port.write.bursts, self.beat) {
                    written.push(Written { port: p, addr });
                    if last {
                        let at = self.now + 1 + u64::from(self.model.latency);
                        self.ports[p].responses.push_back(at);
                    }
                }
            }
            if i.awvalid && out.awready {
                let b = self.burst(i.awaddr, i.awbeats);
                self.ports[p]
                    .write
                    .bursts
                    .push_back(Burst { ready_at: 0, ..b });
            }
            if out.bvalid && i.bready {
                self.ports[p].responses.pop_front();
            }
        }
        self.now += 1;
        self.grant();
        self.publish();
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

    fn grant(&mut self) {
        self.budget = (self.budget + self.model.bytes_per_cycle)
            .min(self.model.bytes_per_cycle.max(self.beat) + self.beat - 1);
        let port_cap = self.model.port_bytes_per_cycle.max(self.beat);
        let sides = self.ports.len() * 2;
        for p in &mut self.ports {
            for s in [&mut p.read, &mut p.write] {
                s.budget = (s.budget + self.model.port_bytes_per_cycle).min(port_cap);
            }
        }
        let first = self.next;
        for k in 0..sides {
            let who = (first + k) % sides;
            let now = self.now;
            let side = self.side(who);
            let due = !side.granted && side.bursts.front().is_some_and(|b| b.ready_at <= now);
            if !due || side.budget < self.beat || self.budget < self.beat || self.stall() {
                continue;
            }
            let beat = self.beat;
            let side = self.side(who);
            side.granted = true;
            side.budget -= beat;
            self.budget -= beat;
            self.next = (who + 1) % sides;
        }
        if self.model.stall_per_256 > 0 {
            for p in 0..self.ports.len() {
                self.ports[p].read.open = !self.stall();
                self.ports[p].write.open = !self.stall();
            }
        }
    }

    fn side(&mut self, who: usize) -> &mut Side {
        let p = &mut self.ports[who / 2];
        if who % 2 == 0 {
            &mut p.read
        } else {
            &mut p.write
        }
    }

    fn publish(&mut self) {
        let limit = self.model.outstanding;
        for p in &mut self.ports {
            let head = p.read.bursts.front();
            p.out = PortOut {
                arready: p.read.open && p.read.bursts.len() < limit,
                rvalid: p.read.granted,
                raddr: head.map_or(0, |b| b.addr),
                rlast: head.is_some_and(|b| b.beats == 1),
                awready: p.write.open && p.write.bursts.len() + p.responses.len() < limit,
                wready: p.write.granted,
                bvalid: p.responses.front().is_some_and(|&at| at <= self.now),
            };
        }
    }

    /// Lets `cycles` cycles pass in which no master does anything. Only for an idle memory without stalls.
    pub fn skip(&mut self, cycles: u64) {
        // The budgets are full after a beat's worth of cycles; the arbiter does not move without requests.
        for _ in 0..cycles.min(u64::from(self.beat) + 1) {
            self.now += 1;
            self.grant();
        }
        self.now += cycles.saturating_sub(u64::from(self.beat) + 1);
        self.publish();
    }

    /// True when nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.ports.iter().all(|p| {
            p.read.bursts.is_empty() && p.write.bursts.is_empty() && p.responses.is_empty()
        })
    }
}

/// Takes one beat off the head burst; its address and whether it was the last.
fn take_beat(bursts: &mut VecDeque<Burst>, beat: u32) -> Option<(u64, bool)> {
    let b = bursts.front_mut()?;
    let addr = b.addr;
    b.addr += u64::from(beat);
    b.beats -= 1;
    let last = b.beats == 0;
    if last {
        bursts.pop_front();
    }
    Some((addr, last))
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
        for t in 0..cycles {
            let ins: Vec<PortIn> = (0..ports)
                .map(|p| {
                    if mem.out(p).rvalid {
                        beats += 1;
                        first.get_or_insert(t);
                    }
                    PortIn {
                        arvalid: true,
                        arbeats: 16,
                        rready: true,
                        ..PortIn::default()
                    }
                })
                .collect();
            mem.step(&ins, &mut written);
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
}
