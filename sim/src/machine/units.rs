//! Queues, tokens, engines and buffers: the state that a soft reset clears.

use super::queue::Entry;
use super::{compute, fetch, load, store, weight};
use crate::buffers::Buffers;
use cnna_machine::Board;
use cnna_machine::isa::Queue;
use cnna_machine::regs::DeviceError;
use std::collections::VecDeque;

/// The state that a soft reset clears.
#[derive(Debug)]
pub(super) struct Units {
    pub fetch: fetch::Fetch,
    pub queues: [VecDeque<Entry>; 4],
    /// Tokens sent and not yet taken, [from][to].
    pub tokens: [[u32; 4]; 4],
    pub load: load::Load,
    pub weight: weight::Weight,
    pub compute: compute::Compute,
    pub store: store::Store,
    pub buffers: Buffers,
}

impl Units {
    pub(super) fn new(board: &Board) -> Self {
        let a = &board.accelerator;
        Units {
            fetch: fetch::Fetch::new(a),
            queues: Default::default(),
            tokens: [[0; 4]; 4],
            load: load::Load::new(a),
            weight: weight::Weight::new(a),
            compute: compute::Compute::new(a),
            store: store::Store::new(a),
            buffers: Buffers::new(a),
        }
    }
    /// By sender: the tokens that queue `q`'s command still waits for.
    pub(super) fn missing(&self, head: &Entry, q: Queue) -> [bool; 4] {
        Queue::ALL
            .map(|from| head.wait & from.bit() != 0 && self.tokens[from as usize][q as usize] == 0)
    }
    /// The command that fetch holds can go to its queue in this cycle.
    pub(super) fn may_deal(&self, depth: usize) -> bool {
        self.fetch
            .deal()
            .is_some_and(|c| self.queues[c.queue() as usize].len() < depth)
    }
    pub(super) fn error(&self) -> Option<DeviceError> {
        DeviceError::ALL.into_iter().find(|e| match e {
            DeviceError::LoadAddress => self.load.error(),
            DeviceError::WeightAddress => self.weight.error(),
            DeviceError::StoreAddress => self.store.burst.error(),
            DeviceError::FetchAddress => self.fetch.burst.error(),
            // The memory model answers everything that lies in the window.
            DeviceError::Bus => false,
            DeviceError::Command => self.fetch.bad.is_some(),
        })
    }
    pub(super) fn in_flight(&self) -> bool {
        self.fetch.burst.in_flight()
            || self.load.in_flight()
            || self.weight.in_flight()
            || self.store.burst.in_flight()
    }
}
