//! What can be wrong with data: each error names the file, what was expected, and how to mend it.

use std::path::{Path, PathBuf};

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A data set's file is missing, truncated or damaged.
    #[error("data set file {}: {reason}; {hint}", path.display())]
    Set {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// How to get a good one.
        hint: String,
    },
    /// A file or folder that is none of what is read, or does not fit the network.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// An option outside its range.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Value, range and remedy.
        reason: String,
    },
}

impl DataError {
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        DataError::File {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
