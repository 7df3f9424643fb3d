//! `load_engine.sv`: issues bursts for the next command while the data of earlier ones arrive.

use super::burst::{Burst, Transfer};
use super::queue::Entry;
use cnna_machine::Accelerator;
use cnna_machine::config::depth;
use cnna_machine::isa;
use cnna_machine::memory::{Request, channel};
use cnna_machine::timing;
use std::collections::VecDeque;

#[derive(Debug)]
struct Receive {
    entry: Entry,
    beats: u64,
    phases: u32,
    /// The beats are those of a local store.
    local: bool,
    /// Each beat from memory has one of the second port beside it.
    two: bool,
    /// Columns go to two planes: the odd ones are written a cycle after the beat, in this many beats a channel.
    split: Option<u64>,
}

/// State of the load engine.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) burst: Burst,
    /// Of the second port.
    pub(super) second: Burst,
    /// Beats that the second port has brought and the first has not.
    held: usize,
    receive: VecDeque<Receive>,
    taken: u64,
    phase: u32,
    /// Mask sent in this cycle, and the command it belongs to.
    pub(super) signal: Option<Entry>,
    tiles: usize,
    /// The group of four columns in which odd columns of the last beat are written in this cycle.
    late: Option<u64>,
}

impl Load {
    pub(super) fn new(a: &Accelerator) -> Self {
        Load {
            burst: Burst::new(a.beat_bytes(), a.outstanding),
            second: Burst::new(a.beat_bytes(), a.outstanding),
            held: 0,
            receive: VecDeque::new(),
            taken: 0,
            phase: 0,
            signal: None,
            tiles: a.tiles,
            late: None,
        }
    }
    pub(super) fn ready(&self) -> bool {
        self.burst.ready() && self.second.ready() && self.receive.len() < depth::RECEIVE
    }
    /// The next clock edge changes something by itself.
    pub(super) fn awake(&self, size: u64) -> bool {
        self.signal.is_some()
            || self.late.is_some()
            || self.burst.awake(size)
            || self.second.awake(size)
    }
    pub(super) fn in_flight(&self) -> bool {
        self.burst.in_flight() || self.second.in_flight()
    }
    pub(super) fn error(&self) -> bool {
        self.burst.error() || self.second.error()
    }
    /// The group of columns that the command's next beat goes to.
    fn group(&self, channel_beats: u64) -> u64 {
        self.taken % channel_beats % self.tiles as u64
    }
    /// The next beat of the command must wait for the odd columns of the one before.
    fn blocked(&self, r: &Receive) -> bool {
        match (self.late, r.split) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(late), Some(beats)) => self.taken == 0 || self.group(beats) == late,
        }
    }
    /// The second port's beat has not come.
    fn lacking(&self, r: &Receive) -> bool {
        r.two && self.held == 0
    }
    /// The next beat is taken in this cycle when it is on offer.
    fn takes(&self, r: &Receive) -> bool {
        self.phase + 1 == r.phases && !self.blocked(r) && !self.lacking(r)
    }
    /// The next beat is a local store's.
    pub(super) fn is_local(&self) -> bool {
        self.receive.front().is_some_and(|r| r.local)
    }
    /// A local store's beat on offer is taken in this cycle.
    pub(super) fn takes_local(&self) -> bool {
        let front = self.receive.front();
        front.is_some_and(|r| r.local && self.takes(r))
    }
    /// Drives the second port; its signals.
    pub(super) fn drive_second(&self, size: u64, request: &mut Request) -> u64 {
        let data = match self.held < depth::SECOND {
            true => channel::R,
            false => 0,
        };
        self.second.drive_read(size, request) | data
    }
    /// Drives the first port's read channels; their signals.
    pub(super) fn drive(&self, size: u64, request: &mut Request) -> u64 {
        let front = self.receive.front();
        let data = match front.is_some_and(|r| !r.local && self.takes(r)) {
            true => channel::R,
            false => 0,
        };
        self.burst.drive_read(size, request) | data
    }
    /// The memory's signals that must be seen in each cycle: data that take several cycles a beat, or may.
    pub(super) fn watches(&self) -> u64 {
        match self.receive.front() {
            Some(r) if !r.local && (r.phases > 1 || r.split.is_some() || r.two) => channel::R,
            _ => 0,
        }
    }
    /// Takes beats that end neither a burst nor the command, when none takes several cycles.
    pub(super) fn take(&mut self, beats: u64) {
        self.taken += beats;
    }
    /// The clock edge: `offered` are the memory's signals on the first port and the second, `moved` the handshakes; `local`: a beat
    /// of a local store that the command in front takes is on offer.
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<Entry>,
        [offered, second_offered]: [u64; 2],
        [moved, second_moved]: [u64; 2],
        local: bool,
        cmd: impl Fn(&Entry) -> isa::Load,
    ) {
        self.signal = None;
        let waits = |r: &Receive| self.blocked(r) || self.lacking(r);
        let waits = self.receive.front().is_some_and(waits);
        let mut late = None;
        let retired =
            |moved: u64, offered: u64| moved & channel::R != 0 && offered & channel::R_LAST != 0;
        let came = second_moved & channel::R != 0;
        let take = moved & channel::R != 0 || local && self.takes_local();
        let valid = local || offered & channel::R != 0 && !self.is_local();
        if let (true, Some(r)) = (valid, self.receive.front()) {
            if take {
                self.held -= usize::from(r.two);
                late = r.split.map(|beats| self.group(beats));
                self.phase = 0;
                self.taken += 1;
                if self.taken == r.beats {
                    self.taken = 0;
                    self.signal = self.receive.pop_front().map(|r| r.entry);
                }
            } else if !waits {
                self.phase += 1;
            }
        }
        self.late = late;
        self.held += usize::from(came);
        let mut second = None;
        let transfer = start.map(|e| {
            let c = cmd(&e);
            let t = Transfer {
                addr: u64::from(c.ddr as u32),
                beats: c.seg_beats as u64,
                segs: c.seg_count as u64,
                stride: u64::from(c.seg_stride as u32),
            };
            self.receive.push_back(Receive {
                entry: e,
                beats: t.beats * t.segs,
                local: c.local != 0,
                two: c.local == 0 && c.both != 0,
                phases: timing::load_phases(c.stride, self.tiles) as u32,
                // A count of zero is one that the counter of 16 bits comes to after all others.
                split: (c.stride == 2 && self.tiles > 1).then_some(match c.channel_beats {
                    0 => 1 << 16,
                    n => n as u64,
                }),
            });
            second = (c.local == 0 && c.both != 0).then_some(Transfer {
                addr: u64::from((c.ddr as u32).wrapping_add(c.second as u32)),
                ..t
            });
            (c.local == 0).then_some(t)
        });
        let issued = |moved: u64| moved & channel::AR != 0;
        let ends = retired(moved, offered);
        self.burst
            .step(size, transfer.flatten(), issued(moved), ends);
        let ends = retired(second_moved, second_offered);
        self.second.step(size, second, issued(second_moved), ends);
    }
}
