//! In which order: ONNX in, tiling, buffer allocation, command stream, program file out.
//!
//! [`compile`] turns a quantised network into a program for one board; [`passes`] lists the steps.

mod check;
mod conv;
mod cost;
mod encode;
pub mod error;
mod fill;
pub mod import;
mod jobs;
mod lower;
mod memory;
pub mod passes;
mod pool;
mod stage;
mod step;
mod stream;
mod vector;
mod weights;
pub mod zoo;

pub use encode::Image;
pub use error::CompileError;
pub use passes::{CompiledProgram, Options, compile};
