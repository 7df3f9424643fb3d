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
    /// Tensors of a graph that should be quantised and have no number format: (node, tensor) of each.
    #[error("{}", list(.0))]
    Formats(Vec<(String, String)>),
    /// Bytes that are not a graph of this version.
    #[error("the network in the file: {0}")]
    Bytes(String),
}

/// Lines of a message before it says how many more there are.
const LINES: usize = 20;

fn list(missing: &[(String, String)]) -> String {
    let mut lines = vec!["tensors without a number format (QuantizeLinear and DequantizeLinear are missing): quantise the model".to_string()];
    for (node, tensor) in missing.iter().take(LINES) {
        let short = |s: &str| s.chars().take(80).collect::<String>();
        lines.push(format!("  `{}` at node `{}`", short(tensor), short(node)));
    }
    if missing.len() > LINES {
        lines.push(format!("  and {} more", missing.len() - LINES));
    }
    lines.join("\n")
}
