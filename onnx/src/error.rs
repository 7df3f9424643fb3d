//! What can be wrong with an ONNX file: each error names the file, node or tensor, and what was expected.

use std::path::PathBuf;

/// Errors of reading, writing and typed access.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not an ONNX model, or is damaged.
    #[error("{}: not a usable ONNX model: {reason}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tensor whose declaration and data disagree, or of a kind that is not read.
    #[error("tensor `{tensor}`: {reason}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// An attribute of another type than its operator defines.
    #[error("node `{node}` ({operator}): attribute `{attribute}` should be {expected}")]
    Attribute {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
        /// The attribute's name.
        attribute: String,
        /// The type expected.
        expected: &'static str,
    },
}
