//! The sequencer (`hdl/src/control/sequencer.rs`) and everything behind it: after its start a command's time follows from its fields alone.

use super::queue::Entry;
use cnna_machine::Accelerator;
use cnna_machine::isa::{self, mode};
use cnna_machine::timing::{DRAIN_TO_WRITE, MIN_PASS, RELEASE, SLICES, STEP_TO_DRAIN};
use std::collections::VecDeque;

/// State of the sequencer and the tokens that are on their way.
#[derive(Debug)]
pub(super) struct Compute {
    lanes: u64,
    /// First cycle in which a new command may be taken.
    free_at: u64,
    /// First cycle in which a pass may end.
    pace_until: u64,
    releases: VecDeque<(u64, u32)>,
    results: VecDeque<u64>,
}

/// When a command's steps are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Cycle of the last step.
    pub last_step: u64,
    /// Steps taken.
    pub steps: u64,
}

impl Compute {
    pub(super) fn new(a: &Accelerator) -> Self {
        Compute {
            lanes: a.lanes as u64,
            free_at: 0,
            pace_until: 0,
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
    /// Takes a command in cycle `now`.
    pub(super) fn start(&mut self, now: u64, entry: &Entry, c: &isa::Compute) -> Times {
        let times = self.steps(now + 1, c);
        let last = times.last_step;
        self.free_at = last + 1;
        let mask = entry.signal & (isa::Queue::Load.bit() | isa::Queue::Weight.bit());
        if mask != 0 {
            self.releases.push_back((last + RELEASE + self.lanes, mask));
        }
        if c.last == 1 && entry.signal & isa::Queue::Store.bit() != 0 {
            let slices = match c.mode {
                mode::WINOGRAD => c.lanes as u64,
                mode::POOL => SLICES,
                _ => c.lanes as u64 * SLICES,
            };
            self.results
                .push_back(last + STEP_TO_DRAIN + slices - 1 + DRAIN_TO_WRITE);
        }
        times
    }

    fn steps(&mut self, first: u64, c: &isa::Compute) -> Times {
        let taps = c.kx_count as u64 * c.ky_count as u64;
        let (entries, steps, drain) = match c.mode {
            mode::POOL => (c.tiles as u64 * c.c_count as u64, taps, SLICES),
            mode::WINOGRAD => (c.tiles as u64, taps * c.c_count as u64, c.lanes as u64),
            _ => (
                c.tiles as u64,
                taps * c.c_count as u64,
                (c.lanes as u64 * SLICES) & 0xff,
            ),
        };
        let drain = drain.max(MIN_PASS);
        let total = entries * steps;
        if c.last != 1 {
            return Times {
                last_step: first + total - 1,
                steps: total,
            };
        }
        // The first end waits for the pass before this command; each further one follows at the slower of both rates.
        let end = (first + steps - 1).max(self.pace_until);
        let last_step = end + (entries - 1) * steps.max(drain);
        self.pace_until = last_step + drain;
        Times {
            last_step,
            steps: total,
        }
    }
}
