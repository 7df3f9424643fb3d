//! The rust-hdl back end: differential tests against Verilator, refusals, lint and snapshots.

mod comb;
mod harness;
mod refuse;
mod snapshot;
mod state;
mod top;

use harness::differential;

#[test]
fn combinational_constructs_agree_with_verilator() {
    differential::<comb::Comb>("t_comb", 600);
}

#[test]
fn registers_and_nested_blocks_agree_with_verilator() {
    differential::<state::State>("t_state", 2000);
}
