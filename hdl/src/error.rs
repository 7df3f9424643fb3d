//! What can go wrong between a board file and its sources.

use std::path::PathBuf;

/// Errors of the generator.
#[derive(Debug, thiserror::Error)]
pub enum HdlError {
    /// The configuration is wrong in itself.
    #[error(transparent)]
    Spec(#[from] cnna_machine::MachineError),
    /// The top level's parts do not fit together: a mistake in this crate.
    #[error("the top level: {0}")]
    Wiring(#[from] cnna_emit::builder::WiringError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A source path that a build script cannot hold.
    #[error("source file `{path}`: {message}")]
    SourcePath {
        /// As given.
        path: String,
        /// What is wrong and what to do.
        message: String,
    },
}
