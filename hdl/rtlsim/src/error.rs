//! What can go wrong between a board and its verilated model.

use std::path::PathBuf;

/// Errors of building, loading and checkpointing a verilated model.
#[derive(Debug, thiserror::Error)]
pub enum RtlsimError {
    /// The RTL cannot be generated.
    #[error(transparent)]
    Rtl(#[from] cnna_hdl::error::HdlError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program that is needed and is not there.
    #[error("cannot run `{program}`: {source}; install it ({hint})")]
    ToolMissing {
        /// The program.
        program: String,
        /// How to get it.
        hint: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program, or the library it made, that ended with an error.
    #[error("`{program}` failed: {message}")]
    ToolFailed {
        /// The program.
        program: String,
        /// Its first error lines.
        message: String,
    },
    /// The build was stopped, because its caller was asked to stop.
    #[error(
        "interrupted while the RTL was built: nothing is left of it, the next run builds it anew"
    )]
    Interrupted,
}
