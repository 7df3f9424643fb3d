//! What can be wrong with data, descriptions, models and options: each error names the thing, what was expected, and
//! how to mend it.

use std::path::PathBuf;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
pub enum QuantError {
    /// A data set that is missing, damaged or of another kind.
    #[error(transparent)]
    Data(#[from] cnna_data::DataError),
    /// Images that do not fit the network.
    #[error(transparent)]
    Accuracy(#[from] crate::AccuracyError),
    /// An architecture that is unknown or does not fit its data.
    #[error("architecture `{name}`: {reason}")]
    Arch {
        /// As given.
        name: String,
        /// What is wrong and what is legal.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An ONNX file that cannot be read or written.
    #[error(transparent)]
    Onnx(#[from] cnna_onnx::Error),
    /// A graph that contradicts itself, or is not quantised.
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
    /// A model that is not read.
    #[error(transparent)]
    Read(#[from] cnna_onnx::ReadError),
    /// A graph that ONNX cannot hold.
    #[error(transparent)]
    Write(#[from] cnna_onnx::WriteError),
    /// A readable ONNX file that cannot be trained.
    #[error("{}: node `{node}`: {reason}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The node's name.
        node: String,
        /// What is wrong and what is supported.
        reason: String,
    },
    /// A weight or bias that is NaN or infinite.
    #[error(
        "layer `{layer}`: {what} {index} is {value}: train again with a lower learning rate, or mend the model"
    )]
    NotFinite {
        /// The layer's name.
        layer: String,
        /// "weight" or "bias".
        what: &'static str,
        /// Its index in row-major order.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A checkpoint that is damaged or belongs to other options.
    #[error("checkpoint {}: {reason}: delete it to begin anew", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
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
    /// Training left the finite numbers.
    #[error(
        "training diverged in epoch {epoch}: the loss is {loss}; use a lower learning rate or another seed"
    )]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
}
