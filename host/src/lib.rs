//! Where: runs a program on a device through mapped memory, on a board or against a simulator behind a shared file.
//!
//! ```text
//! Driver --> Device (registers + memory window) --> Uio:        /dev/uioN of a board, memory from u-dma-buf, XRT or reserved
//!                                              '--> SharedFile: a file, served by `serve` with any machine::engine::Engine
//! ```
//! Light by intent: it ships to the board's ARM cores. The feature `steps` brings the operators that programs leave to the host.

mod batch;
pub mod device;
pub mod doctor;
pub mod driver;
pub mod error;
pub mod files;
mod hang;
mod interrupt;
pub mod keeper;
mod map;
pub mod memory;
mod pace;
pub mod power;
pub mod report;
pub mod serve;
pub mod shared;
pub mod signals;
#[cfg(feature = "steps")]
pub mod steps;
pub mod system;
pub mod temporary;
pub mod tensor;
pub mod udmabuf;
pub mod uio;
pub mod xrt;

pub use device::Device;
pub use driver::{Driver, HostSteps, Loaded, Options};
pub use error::{HostError, Registers};
pub use pace::Pace;
pub use report::RunReport;
pub use shared::SharedFile;
pub use system::System;
pub use uio::{Needs, Uio};
