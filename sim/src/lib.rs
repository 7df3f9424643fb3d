//! When: the cycle-level simulator, values included.

pub mod buffers;
pub mod exec;
pub mod machine;
pub mod timeline;

pub use machine::Machine;
