//! Whole paths that the command line and other front ends share: open a device by name, read or draw images, run them on
//! any engine, compare the engines, write a timeline.
//!
//! Nothing here prints, reads arguments or draws progress bars: the caller's [`Session`] is told how far the work is, and
//! says when to stop.

pub mod compare;
pub mod devices;
pub mod engines;
pub mod error;
pub mod images;
pub mod program;
pub mod progress;
pub mod reference;
pub mod steps;
pub mod trace;

pub use engines::Simulated;
pub use error::FlowError;
pub use progress::{Progress, Session, Silent};
