//! The rust-hdl back end: differential tests against Verilator, refusals, lint and snapshots.

mod comb;
mod harness;
mod refuse;
mod snapshot;
mod state;
mod top;

use harness::{Bench, differential};

#[test]
fn every_supported_construct_agrees_with_verilator() {
    differential(
        Bench::new()
            .add::<comb::Comb>("comb")
            .add::<state::State>("state"),
        1500,
    );
}
