//! In which order: a quantised graph in; tiling, buffer allocation, command stream, program file out.
//!
//! [`compile`] turns a network into a program for one board; [`passes::PASSES`] lists the steps. Before it [`for_board`] writes the
//! network as the board runs it faster.

mod act;
mod best;
mod check;
mod cost;
mod encode;
pub mod error;
mod fence;
mod fill;
mod jobs;
mod linear;
mod lower;
mod memory;
mod mode;
mod op;
mod options;
pub mod passes;
mod place;
mod rewrite;
mod stage;
mod step;
mod stream;
mod turns;
mod weights;

pub use best::{AtBest, at_best};
pub use encode::Image;
pub use error::CompileError;
pub use options::{Options, Use};
pub use passes::{CompiledProgram, compile};
pub use rewrite::for_board;
