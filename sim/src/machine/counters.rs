//! What a run has cost so far; a mark writes it as the layer's record.

use cnna_machine::isa::Queue;

/// Counters of a run, in cycles or beats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub cycles: u64,
    pub saturated: u64,
    pub busy: u64,
    pub wait_load: u64,
    pub wait_weight: u64,
    pub wait_store: u64,
    pub reads: u64,
    pub writes: u64,
    pub commands: u64,
}

impl Counters {
    /// Charges waiting to the queue whose token is lacking.
    pub(super) fn wait(&mut self, lack: Option<Queue>, cycles: u64) {
        match lack {
            Some(Queue::Load) => self.wait_load += cycles,
            Some(Queue::Weight) => self.wait_weight += cycles,
            Some(Queue::Store) => self.wait_store += cycles,
            Some(Queue::Compute) | None => {}
        }
    }
    /// In the order of `regs::COUNTERS`, modulo 2^32.
    pub(super) fn record(&self) -> [u32; 8] {
        [
            self.cycles,
            self.saturated,
            self.busy,
            self.wait_load,
            self.wait_weight,
            self.wait_store,
            self.reads,
            self.writes,
        ]
        .map(|v| v as u32)
    }
}
