//! What can go wrong between a board file and its sources or reports.

use std::path::PathBuf;

/// Errors of the generator and of the tools it runs.
#[derive(Debug, thiserror::Error)]
pub enum HdlError {
    /// The configuration is wrong in itself.
    #[error(transparent)]
    Spec(#[from] cnna_machine::MachineError),
    /// The top level's parts do not fit together: a mistake in this crate.
    #[error("the top level: {0}")]
    Wiring(#[from] crate::builder::WiringError),
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
    /// A program that ended with an error.
    #[error("`{program}` failed: {message}")]
    ToolFailed {
        /// The program.
        program: String,
        /// Its first error lines.
        message: String,
    },
    /// A program that did not end in time and was stopped.
    #[error(
        "`{program}` did not finish within {seconds} s and was stopped: allow more time or use a smaller configuration"
    )]
    ToolTimeout {
        /// The program.
        program: String,
        /// The limit.
        seconds: u64,
    },
    /// A program whose output is not understood.
    #[error(
        "`{program}`: no {expected} in its output: its version is not supported; `{program} -V` tells which it is"
    )]
    ToolOutput {
        /// The program.
        program: String,
        /// What was looked for.
        expected: String,
    },
}
