//! Emitted text: reviewed as a snapshot, one module for equal blocks.

use crate::state::{Sequencer, State};
use cnna_emit::Emitter;
use rust_hdl_core::prelude::*;

/// Compares with `tests/emit/<file>`, or writes it if CNNA_UPDATE_SNAPSHOTS is set.
pub fn compare(text: &str, file: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/emit")
        .join(file);
    if std::env::var_os("CNNA_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).expect("the snapshot is writable");
    }
    let snapshot = std::fs::read_to_string(&path).expect("the snapshot exists");
    assert_eq!(
        text, snapshot,
        "{file}: review the difference, then run with CNNA_UPDATE_SNAPSHOTS=1"
    );
}

#[test]
fn a_sequencer_is_emitted_as_in_the_snapshot() {
    let mut block = Sequencer::new(300);
    block.connect_all();
    let modules = Emitter::new("ultra96", "0123abcd")
        .purpose(
            "sequencer",
            "Purpose: counts addresses.\nLatency: 2 cycles from start to the first address.",
        )
        .emit("sequencer", &block)
        .expect("the block is in the supported subset");
    assert_eq!(modules.len(), 1);
    compare(&modules[0].text, "sequencer.sv");
}

#[test]
fn equal_blocks_share_a_module_and_different_constants_do_not() {
    let mut block = State::default();
    block.connect_all();
    let emitter = Emitter::new("test", "0")
        .prefix("t_")
        .name("t_state.pipe.first", "t_stage");
    let names: Vec<_> = emitter
        .emit("t_state", &block)
        .expect("the block is in the supported subset")
        .into_iter()
        .map(|m| m.name)
        .collect();
    assert_eq!(
        names,
        [
            "t_tokens", "t_seq_3", "t_seq_5", "t_stage", "t_pipe", "t_state"
        ]
    );
}
