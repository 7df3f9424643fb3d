//! How: RTL generation and board sources. Beneath it, crates of their own: `emit` prints rust-hdl, `rtlsim` runs the RTL in
//! Verilator, `fit` counts it in Yosys.

pub mod boards;
pub mod control;
pub mod error;
pub mod package;
pub mod ports;
pub mod sources;
pub mod top;
