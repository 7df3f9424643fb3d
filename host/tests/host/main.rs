//! The runtime against a fake engine behind a real shared file: results, every failure, recovery.

mod binary;
mod board;
mod driver;
mod failures;
mod fake;
mod files;
mod machine;
mod tensors;
mod uio;
