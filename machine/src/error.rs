//! Errors of the shared facts: each names the file or field, what was expected, and how to mend it.

use std::path::PathBuf;

/// What can be wrong with a configuration, a program file or a command.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A TOML file that does not parse, or has an unknown or missing key.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and key.
        message: String,
    },
    /// A configuration value outside its range, or a combination that does not fit.
    #[error("config field `{field}`: {message}")]
    Config {
        /// The key in the TOML file.
        field: String,
        /// Value, range and remedy.
        message: String,
    },
    /// No board of that name.
    #[error("unknown board `{name}`: use one of {known}, or the path of a board's .toml file")]
    UnknownBoard {
        /// As given.
        name: String,
        /// The built-in names.
        known: String,
    },
    /// A command field that does not fit its bits.
    #[error("command {command}: field `{field}` = {value} is outside {min}..={max}")]
    Field {
        /// The command's name.
        command: &'static str,
        /// The field's name.
        field: &'static str,
        /// The value.
        value: i64,
        /// Smallest legal value.
        min: i64,
        /// Largest legal value.
        max: i64,
    },
    /// A program file that is not one, or is damaged.
    #[error("{}: not a usable program file: {message}", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
}

impl MachineError {
    /// A configuration error.
    pub fn config(field: &str, message: impl Into<String>) -> Self {
        MachineError::Config {
            field: field.into(),
            message: message.into(),
        }
    }
}
