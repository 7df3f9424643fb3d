//! What RTL needs of a chip, by Yosys: cells ([`synth`]), what is in its DSP slices ([`packed`]) and the depth of logic
//! ([`levels`]).

mod error;
pub mod levels;
pub mod netlist;
pub mod packed;
pub mod synth;

pub use error::FitError;
