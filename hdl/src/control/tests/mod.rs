//! The blocks in rust-hdl's simulator, against models written from machine's text.

mod fetch;
mod registers;
mod sequencer;
mod tokens;

use rust_hdl_core::prelude::*;

/// Lets a block settle, as rust-hdl's own simulation does.
pub(super) fn settle(block: &mut dyn Block) {
    for _ in 0..100 {
        block.update_all();
        if !block.has_changed() {
            return;
        }
    }
    panic!("the block does not settle");
}

/// One rising edge, and settles. The inputs are set and settled before it.
macro_rules! edge {
    ($block:expr, $rst:expr) => {
        for clk in [true, false] {
            $block.clock.next = ClockReset { clk, rst: $rst };
            settle(&mut $block);
        }
    };
}
pub(super) use edge;

/// A block ready to simulate, after one cycle of reset.
macro_rules! ready {
    ($block:expr) => {{
        let mut block = $block;
        block.connect_all();
        block.clock.next = ClockReset {
            clk: false,
            rst: true,
        };
        settle(&mut block);
        edge!(block, true);
        block
    }};
}
pub(super) use ready;

/// Generators of random cases with their seeds: `CNNA_SEED`, or twenty fixed ones.
pub(super) fn seeds() -> Vec<u64> {
    match std::env::var("CNNA_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=20).collect(),
    }
}
