//! Errors of command execution.

use cnna_machine::isa::Queue;

/// Why a command cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An address beyond a buffer.
    #[error("{buffer}: entry {at} is beyond its {depth}")]
    Buffer {
        /// The buffer's name.
        buffer: &'static str,
        /// First entry that does not exist (lines or rows).
        at: usize,
        /// Entries it has.
        depth: usize,
    },
    /// A memory access outside the window.
    #[error("bytes {from}..{to} leave the memory window of {bytes} bytes")]
    Window {
        /// First byte of the access.
        from: usize,
        /// Byte after its last.
        to: usize,
        /// Size of the window.
        bytes: usize,
    },
    /// A field whose value has no meaning here.
    #[error("field `{field}` = {value}: {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: i32,
        /// What it should have been.
        expected: &'static str,
    },
    /// A local load without the local stores that it takes from.
    #[error(
        "a local load takes {rows} row(s) of {bytes} bytes together, but local stores left {rows_there} of {there}"
    )]
    Local {
        /// Rows that it takes at once.
        rows: usize,
        /// Bytes that it takes.
        bytes: usize,
        /// Bytes that are there for it.
        there: usize,
        /// Rows that are.
        rows_there: usize,
    },
    /// In stream order, a token is awaited before it is sent.
    #[error("it waits for a token from the {from:?} queue that nobody sent")]
    Token {
        /// The queue that should have sent it.
        from: Queue,
    },
    /// The stream ends without its end command.
    #[error("the stream has no end command")]
    NoEnd,
}

/// A fault, and the command that it happened in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("command {index} ({queue:?} queue, layer {tag}): {fault}")]
pub struct ExecError {
    /// Index in the stream.
    pub index: usize,
    /// The command's queue.
    pub queue: Queue,
    /// The command's layer.
    pub tag: u16,
    /// What happened.
    pub fault: Fault,
}

/// A count that would hang the machine at zero.
pub(super) fn positive(field: &'static str, value: i32) -> Result<usize, Fault> {
    if value > 0 {
        Ok(value as usize)
    } else {
        Err(Fault::Field {
            field,
            value,
            expected: "at least 1",
        })
    }
}
