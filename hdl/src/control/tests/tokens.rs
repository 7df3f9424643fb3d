//! Tokens against a counter for each path.

use super::{edge, ready, seeds, settle};
use crate::control::Tokens;
use cnna_emit::dff::ClockReset;
use cnna_machine::isa::{Queue, TOKEN_PATHS};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rust_hdl_core::prelude::*;

/// Tokens there are on each of `TOKEN_PATHS`.
struct Model([u32; TOKEN_PATHS.len()]);

impl Model {
    /// Whether the tokens that `queue` waits for by `mask` are there; bits without a path count as there.
    fn there(&self, queue: Queue, mask: u32) -> bool {
        TOKEN_PATHS
            .iter()
            .zip(&self.0)
            .all(|((from, to), n)| *to != queue || mask & from.bit() == 0 || *n > 0)
    }
    fn lacks(&self, from: Queue, mask: u32) -> bool {
        mask & from.bit() != 0 && !self.there(Queue::Compute, from.bit())
    }
}

#[test]
fn a_queue_starts_exactly_when_every_token_it_waits_for_is_there() {
    for seed in seeds() {
        let mut r = StdRng::seed_from_u64(seed);
        let mut dut = ready!(Tokens::default());
        let mut model = Model([0; TOKEN_PATHS.len()]);
        let mut started = [0; 4];
        for cycle in 0..400 {
            let mask = |r: &mut StdRng| r.random_range(0..16u32);
            let (enable, valid, ready) = (r.random_ratio(9, 10), mask(&mut r), mask(&mut r));
            let wait: [u32; 4] = std::array::from_fn(|_| mask(&mut r));
            let done: [bool; 4] = std::array::from_fn(|_| r.random_ratio(1, 3));
            // Compute's tokens for load and weight come early, that for store with the results.
            let to: [u32; 4] = std::array::from_fn(|_| mask(&mut r));
            let bits = |v: u32| Bits::<4>::from(u64::from(v));
            dut.enable.next = enable;
            dut.valid.next = bits(valid);
            dut.ready.next = bits(ready);
            dut.wait_load.next = bits(wait[0]);
            dut.wait_weight.next = bits(wait[1]);
            dut.wait_compute.next = bits(wait[2]);
            dut.wait_store.next = bits(wait[3]);
            dut.load_done.next = done[0];
            dut.load_to.next = bits(to[0]);
            dut.weight_done.next = done[1];
            dut.weight_to.next = bits(to[1]);
            let compute = if done[2] { to[2] } else { 0 };
            dut.released.next = Bits::<2>::from(u64::from(compute & 3));
            dut.result.next = compute & Queue::Store.bit() != 0;
            dut.store_done.next = done[3];
            dut.store_to.next = bits(to[3]);
            settle(&mut dut);

            let start: u32 = Queue::ALL
                .iter()
                .filter(|q| enable && valid & q.bit() != 0 && model.there(**q, wait[**q as usize]))
                .map(|q| q.bit())
                .sum();
            assert_eq!(
                dut.start.val().to_u64(),
                u64::from(start),
                "seed {seed}, cycle {cycle}"
            );
            assert_eq!(dut.pop.val().to_u64(), u64::from(start & ready));
            let idle = valid & ready & Queue::Compute.bit() != 0;
            let lack = [Queue::Load, Queue::Weight, Queue::Store].map(|q| model.lacks(q, wait[2]));
            assert_eq!(dut.lack_load.val(), idle && lack[0]);
            assert_eq!(dut.lack_weight.val(), idle && lack[1] && !lack[0]);
            assert_eq!(
                dut.lack_store.val(),
                idle && lack[2] && !lack[0] && !lack[1]
            );

            for ((from, to_queue), n) in TOKEN_PATHS.iter().zip(&mut model.0) {
                let sent = done[*from as usize] && to[*from as usize] & to_queue.bit() != 0;
                let taken = start & ready & to_queue.bit() != 0
                    && wait[*to_queue as usize] & from.bit() != 0;
                *n = *n + u32::from(sent) - u32::from(taken);
            }
            for q in Queue::ALL {
                started[q as usize] += u32::from(start & ready & q.bit() != 0);
            }
            edge!(dut, false);
        }
        assert!(started.iter().all(|n| *n > 5), "{started:?}");
    }
}
