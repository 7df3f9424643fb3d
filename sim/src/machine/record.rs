//! What the timeline is told of a cycle, when one is recorded.

use super::Machine;
use super::queue::Entry;
use crate::timeline::Track;
use cnna_machine::config::port;
use cnna_machine::isa::Queue;
use cnna_machine::memory::{Signals, channel, on};

impl Machine {
    pub(super) fn record_starts(&mut self, start: &[Option<Entry>; 4]) {
        let Some(r) = &mut self.recorder else { return };
        for e in start.iter().flatten() {
            r.started(e, self.now);
        }
        let lacking = self.derived.lack;
        let head = self.units.queues[Queue::Compute as usize].front();
        r.waits(lacking, head.map_or(0, |e| e.tag), self.now);
    }

    pub(super) fn record_beats(&mut self, moved: Signals) {
        let Some(r) = &mut self.recorder else { return };
        for p in 0..self.requests.len() {
            if moved & on(p, channel::R) != 0 {
                r.beat(Track::Read(p), self.now);
            }
            if moved & on(p, channel::W) != 0 {
                r.beat(Track::Write(p), self.now);
            }
        }
    }

    pub(super) fn record_weights(&mut self) {
        let Some(r) = &mut self.recorder else { return };
        for p in port::WEIGHT..port::WEIGHT + self.board.accelerator.weight_ports {
            if let Some(e) = self.units.weight.done(p - port::WEIGHT) {
                r.moved(Track::Read(p), e);
            }
        }
    }
}
