//! What commands do to buffers and memory: values only, no time. See `docs/architecture.md` for the rules.
//!
//! Every function works from the buffers' contents through the command's own addresses, so that a wrong schedule gives
//! wrong values. An address that leaves a buffer or the window is a [`Fault`], never a panic.

mod array;
mod fault;
mod results;
mod stream;
mod transfer;
mod vector;
mod window;

pub use array::compute;
pub use fault::{ExecError, Fault};
pub use stream::{Mark, run_in_order};
pub use transfer::{load, store, weight};
