//! Why a graph is refused: always the node, what was expected and what to do.

/// Errors of building, checking and decoding a graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// An operator whose inputs or attributes contradict each other.
    #[error("node `{node}` ({operator}): {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tensor of a quantised graph that has no number format.
    #[error("node `{node}`: its output `{tensor}` has no number format: quantise it")]
    Format {
        /// The node's name.
        node: String,
        /// The tensor's name.
        tensor: String,
    },
    /// Bytes that are not a graph of this version.
    #[error("the network in the file: {0}")]
    Bytes(String),
}
