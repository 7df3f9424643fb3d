//! The sequencer (`hdl/src/control/sequencer.rs`) and everything behind it: after its start a command's time follows from its fields alone.

use super::queue::Entry;
use cnna_machine::Accelerator;
use cnna_machine::{isa, timing};
use std::collections::VecDeque;

/// State of the sequencer and the tokens that are on their way.
#[derive(Debug)]
pub(super) struct Compute {
    lanes: usize,
    /// First cycle in which a new command may be taken.
    free_at: u64,
    /// First cycle in which a pass may end.
    pace: u64,
    releases: VecDeque<(u64, u32)>,
    results: VecDeque<u64>,
}

impl Compute {
    pub(super) fn new(a: &Accelerator) -> Self {
        Compute {
            lanes: a.lanes,
            free_at: 0,
            pace: 0,
            releases: VecDeque::new(),
            results: VecDeque::new(),
        }
    }
    pub(super) fn ready(&self, now: u64) -> bool {
        now >= self.free_at
    }
    /// First cycle in which a new command may be taken.
    pub(super) fn free_at(&self) -> u64 {
        self.free_at
    }
    /// First cycle at which something happens by itself.
    pub(super) fn next_event(&self, now: u64) -> Option<u64> {
        let free = (self.free_at > now).then_some(self.free_at);
        let release = self.releases.front().map(|&(at, _)| at);
        let result = self.results.front().copied();
        [free, release, result].into_iter().flatten().min()
    }
    /// Tokens sent in this cycle: to load and weight, and to store.
    pub(super) fn tokens(&mut self, now: u64) -> u32 {
        let mut mask = 0;
        if self.releases.front().is_some_and(|&(at, _)| at == now) {
            mask |= self.releases.pop_front().map_or(0, |(_, m)| m);
        }
        if self.results.front() == Some(&now) {
            self.results.pop_front();
            mask |= isa::Queue::Store.bit();
        }
        mask
    }
    /// Takes a command in cycle `now`; returns its steps.
    pub(super) fn start(&mut self, now: u64, entry: &Entry, c: &isa::Compute) -> u64 {
        let s = timing::schedule(c, self.lanes, now, self.pace);
        (self.free_at, self.pace) = (s.last_step + 1, s.pace);
        let mask = entry.signal & (isa::Queue::Load.bit() | isa::Queue::Weight.bit());
        if mask != 0 {
            self.releases.push_back((s.released, mask));
        }
        if entry.signal & isa::Queue::Store.bit() != 0 {
            self.results.extend(s.stored);
        }
        s.steps
    }
}
