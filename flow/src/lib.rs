//! Whole paths that the command line and the Python package share: read, quantise and compile a model, open a device by name,
//! read or draw images, run them on any engine, compare the engines, report what a run cost, write a timeline.
//!
//! Nothing here prints, reads arguments or draws progress bars: the caller's [`Session`] is told how far the work is, and
//! says when to stop.

pub mod arrays;
pub mod compare;
pub mod cost;
pub mod devices;
pub mod engines;
pub mod error;
pub mod failure;
pub mod images;
pub mod model;
pub mod pictures;
pub mod program;
pub mod progress;
pub mod reference;
pub mod sources;
pub mod trace;
pub mod tune;

pub use engines::Simulated;
pub use error::FlowError;
pub use model::Model;
pub use pictures::Pictures;
pub use progress::{Progress, Session, Silent};
