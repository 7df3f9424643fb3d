//! In which order: a quantised graph in; tiling, buffer allocation, command stream, program file out.
//!
//! [`compile`] turns a network into a program for one board; [`passes::PASSES`] lists the steps. Before it [`in_blocks`] cuts what
//! a board runs faster in blocks of channels.

mod act;
mod best;
mod blocks;
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
mod stage;
mod step;
mod stream;
mod turns;
mod weights;

pub use best::{AtBest, at_best};
pub use blocks::in_blocks;
pub use encode::Image;
pub use error::CompileError;
pub use options::{Options, Use};
pub use passes::{CompiledProgram, compile};
