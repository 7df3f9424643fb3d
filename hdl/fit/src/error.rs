//! What can go wrong in a synthesis.

use std::path::PathBuf;

/// Errors of Yosys and of what is given to it.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A word that a Yosys script cannot hold.
    #[error(
        "`{word}`: a file, module, parameter or value for Yosys: only letters, digits and . _ ' are allowed"
    )]
    Word {
        /// As given.
        word: String,
    },
    /// Yosys is not there.
    #[error("cannot run `{program}`: {source}; install it ({hint})")]
    ToolMissing {
        /// The program.
        program: String,
        /// How to get it.
        hint: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Yosys ended with an error.
    #[error("`{program}` failed: {message}")]
    ToolFailed {
        /// The program.
        program: String,
        /// Its first error lines.
        message: String,
    },
    /// Yosys did not end in time and was stopped.
    #[error(
        "`{program}` did not finish within {seconds} s and was stopped: allow more time or use a smaller configuration"
    )]
    ToolTimeout {
        /// The program.
        program: String,
        /// The limit.
        seconds: u64,
    },
    /// Yosys' output is not understood.
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
