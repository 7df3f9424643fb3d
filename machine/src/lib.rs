//! What the machine is, and nothing else: every fact that two rooms would be wrong to disagree about.
//!
//! Number formats, the accelerator's configuration, register map, command encoding, tensor layout, program file,
//! memory model, and the reference model (plain integer loops). No scheduling, no simulation, no device access.

pub mod config;
pub mod counters;
pub mod engine;
pub mod error;
pub mod fit;
pub mod isa;
pub mod layout;
pub mod memory;
pub mod num;
pub mod program;
pub mod python;
pub mod regs;
pub mod timing;

pub use config::{Accelerator, Board};
pub use counters::Counters;
pub use error::MachineError;
