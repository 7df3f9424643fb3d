//! What RTL needs of a chip, by Yosys: cells ([`synth`]) and the depth of logic ([`levels`]).

mod error;
pub mod levels;
pub mod synth;

pub use error::FitError;
