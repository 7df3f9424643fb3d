//! `weight_engine.sv` and `weight_port.sv`: one command drives all ports; it is complete when every port is.

use super::burst::{Burst, Transfer};
use super::queue::Entry;
use cnna_machine::Accelerator;
use cnna_machine::config::depth;
use cnna_machine::isa;
use cnna_machine::memory::{Request, Signals, channel, on};
use std::collections::VecDeque;

/// A command's data on one port.
#[derive(Debug)]
struct Receive {
    entry: Entry,
    beats: u64,
    /// Cycles in which a beat is written.
    phases: u32,
}

#[derive(Debug)]
struct Port {
    burst: Burst,
    /// Commands whose data are on their way.
    receive: VecDeque<Receive>,
    /// What starts in this cycle.
    coming: Option<Receive>,
    taken: u64,
    /// Lane rows written of the beat on offer.
    phase: u32,
    /// The command whose last beat came in the step before.
    done: Option<Entry>,
    ahead: u32,
}

/// State of the weight engine.
#[derive(Debug)]
pub(super) struct Weight {
    ports: Vec<Port>,
    /// Lane rows of a beat of 8-bit weights.
    narrow: u32,
    pending: VecDeque<Entry>,
    pub(super) signal: Option<Entry>,
}

impl Weight {
    pub(super) fn new(a: &Accelerator) -> Self {
        let port = || Port {
            burst: Burst::new(a.beat_bytes(), a.outstanding),
            receive: VecDeque::new(),
            coming: None,
            taken: 0,
            phase: 0,
            done: None,
            ahead: 0,
        };
        Weight {
            ports: (0..a.weight_ports).map(|_| port()).collect(),
            narrow: a.word.bytes() as u32,
            pending: VecDeque::new(),
            signal: None,
        }
    }
    pub(super) fn ready(&self) -> bool {
        self.pending.len() < depth::WEIGHT
            && self
                .ports
                .iter()
                .all(|p| p.burst.ready() && p.receive.len() < depth::RECEIVE)
    }
    pub(super) fn in_flight(&self) -> bool {
        self.ports.iter().any(|p| p.burst.in_flight())
    }
    /// The address side of each port.
    pub(super) fn bursts(&mut self) -> impl Iterator<Item = &mut Burst> {
        self.ports.iter_mut().map(|p| &mut p.burst)
    }
    pub(super) fn error(&self) -> bool {
        self.ports.iter().any(|p| p.burst.error())
    }
    /// The next clock edge changes something by itself.
    pub(super) fn awake(&self, size: u64) -> bool {
        let empty = |p: &Port| p.receive.front().is_some_and(|r| r.beats == 0);
        let stirs = |p: &Port| p.done.is_some() || empty(p) || p.burst.awake(size);
        self.signal.is_some() || self.all_done() || self.ports.iter().any(stirs)
    }
    /// The command whose last beat came on port `p` in the last step.
    pub(super) fn done(&self, p: usize) -> Option<&Entry> {
        self.ports[p].done.as_ref()
    }
    fn all_done(&self) -> bool {
        self.ports.iter().all(|p| p.ahead != 0)
    }
    /// Drives the read channels of port `p`; their signals.
    pub(super) fn drive(&self, size: u64, p: usize, request: &mut Request) -> u64 {
        let me = &self.ports[p];
        let takes = |r: &Receive| r.beats != 0 && me.phase + 1 == r.phases;
        let data = match me.receive.front().is_some_and(takes) {
            true => channel::R,
            false => 0,
        };
        me.burst.drive_read(size, request) | data
    }
    /// The memory's signals that must be seen in each cycle, a byte a port: data that take several cycles a beat.
    pub(super) fn watches(&self) -> Signals {
        let watched = |p: &Port| p.receive.front().is_some_and(|r| r.phases > 1);
        let ports = self.ports.iter().enumerate();
        ports
            .filter(|(_, port)| watched(port))
            .map(|(p, _)| on(p, channel::R))
            .fold(0, |all, one| all | one)
    }
    /// Takes beats of each port that end no burst, when none takes several cycles.
    pub(super) fn take(&mut self, beats: &[u64]) {
        for (port, n) in self.ports.iter_mut().zip(beats) {
            port.taken += n;
        }
    }
    /// The clock edge: `offered` are the memory's signals, `moved` the handshakes, a byte a port.
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<Entry>,
        offered: Signals,
        moved: Signals,
        cmd: impl Fn(&Entry) -> isa::Weight,
    ) {
        let all_done = self.all_done();
        self.signal = if all_done {
            self.pending.pop_front()
        } else {
            None
        };
        let c = start.as_ref().map(|e| (e, cmd(e)));
        for (p, me) in self.ports.iter_mut().enumerate() {
            me.ahead += u32::from(me.done.is_some());
            me.ahead -= u32::from(all_done);
            let transfer = c.as_ref().map(|(e, c)| me.accept(p, e, c, self.narrow));
            me.step(size, transfer, offered >> (8 * p), moved >> (8 * p));
        }
        self.pending.extend(start);
    }

    /// The clock edge when the unit is not awake and no command starts: only the ports that moved, or are offered data that
    /// take several cycles, change.
    pub(super) fn step_moved(&mut self, size: u64, offered: Signals, moved: Signals) {
        let changed = moved | offered & self.watches();
        for (p, me) in self.ports.iter_mut().enumerate() {
            if (changed >> (8 * p)) & 0xff != 0 {
                me.step(size, None, offered >> (8 * p), moved >> (8 * p));
            }
        }
    }
}

impl Port {
    /// Expects the port's part of a command's data.
    fn accept(&mut self, p: usize, e: &Entry, c: &isa::Weight, narrow: u32) -> Transfer {
        let high = (p as i32) < c.split;
        let beats = if high { c.beats_high } else { c.beats_low };
        let beats = u64::from(beats as u32);
        let port_stride = u64::from(c.port_stride as u32);
        self.coming = Some(Receive {
            entry: Entry::clone(e),
            beats,
            phases: match e.kind {
                isa::weight_kind::NARROW => narrow,
                _ => 1,
            },
        });
        Transfer {
            addr: (u64::from(c.ddr as u32) + p as u64 * port_stride) & 0xffff_ffff,
            beats,
            segs: 1,
            stride: 0,
        }
    }

    fn step(&mut self, size: u64, transfer: Option<Transfer>, offered: u64, moved: u64) {
        let take = moved & channel::R != 0;
        self.done = None;
        if let Some(r) = self.receive.front() {
            if take {
                self.phase = 0;
                self.taken += 1;
            } else if offered & channel::R != 0 && r.beats != 0 {
                self.phase += 1;
            }
            if self.taken == r.beats {
                self.taken = 0;
                self.done = self.receive.pop_front().map(|r| r.entry);
            }
        }
        // A command that starts in this cycle is seen from the next on.
        if let Some(coming) = self.coming.take() {
            self.receive.push_back(coming);
        }
        let issued = moved & channel::AR != 0;
        let retired = take && offered & channel::R_LAST != 0;
        self.burst.step(size, transfer, issued, retired);
    }
}
