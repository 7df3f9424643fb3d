//! The control of the accelerator as rust-hdl blocks: registers, command checks, tokens, sequencer, address counters.
//!
//! Each block is simulated by its own tests in rust-hdl and printed by [`cnna_emit`]; [`crate::top`] wires them to the
//! SystemVerilog datapath of `hdl/rtl`. Fields of commands arrive already cut out: the top does that from machine's tables.

mod addresses;
mod counters;
mod fetch;
mod loops;
mod registers;
mod sequencer;
mod system;
mod tokens;
mod window;

pub use addresses::{ResultAddress, WeightAddress};
pub use counters::Counters;
pub use fetch::Fetch;
pub use loops::LoopCount;
pub use registers::Registers;
pub use sequencer::Sequencer;
pub use system::{ANSWERS, BusError, Resets, Status};
pub use tokens::{TokenCount, Tokens};
pub use window::Window;

/// A block's fields: constants with their values, then everything that starts at its default. rust-hdl's `Constant` has none.
macro_rules! block {
    ($($constant:ident = $value:expr),+ $(,)?; $($field:ident),+ $(,)?) => {
        Self {
            $($constant: Constant::new(($value as u64).into()),)+
            $($field: Default::default(),)+
        }
    };
}
use block;

#[cfg(test)]
mod tests;
