//! How: RTL generation, board sources, and the verilated model.

pub mod boards;
pub mod builder;
pub mod control;
pub mod dff;
pub mod emit;
pub mod error;
pub mod levels;
pub mod package;
pub mod ports;
pub mod sources;
pub mod synth;
pub mod top;
pub mod verilated;
