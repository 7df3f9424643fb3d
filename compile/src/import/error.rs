//! Why a model is refused: always the node or tensor, what was expected, and what to do.

/// The operators that the importer reads.
pub const SUPPORTED: &str = "Conv (group 1), Relu, MaxPool, Gemm, MatMul, Add (of a constant bias), Flatten, Reshape (to a vector), \
Identity, Dropout, Constant, Transpose (of a constant matrix), QuantizeLinear, DequantizeLinear";

/// What the user can do about a model without integers.
const HINT: &str = "quantise it first: `cnna train --init FILE --epochs 0`, or export QDQ with power-of-two int16 scales";

/// Errors of the import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file, a tensor's data or an attribute's type.
    #[error(transparent)]
    Onnx(#[from] cnna_onnx::Error),
    /// An operator that is not read.
    #[error("node `{node}`: operator {operator} is not supported; supported are {SUPPORTED}")]
    Operator {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
    },
    /// A supported operator in a form that is not.
    #[error("node `{node}` ({operator}): {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tensor that more than one node reads.
    #[error(
        "node `{node}`: its output `{tensor}` is read by {readers}: only a chain of layers is supported, no branches"
    )]
    Branch {
        /// The node that writes it.
        node: String,
        /// The tensor.
        tensor: String,
        /// The nodes that read it.
        readers: String,
    },
    /// A constant with NaN or infinity.
    #[error(
        "tensor `{tensor}`: element {index} is {value}: the model is damaged or its training diverged"
    )]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// Row-major index of the first such element.
        index: usize,
        /// The element.
        value: f32,
    },
    /// A model without a single QuantizeLinear or DequantizeLinear.
    #[error("the model is not quantised: {HINT}")]
    Float,
    /// A tensor of a quantised model that lacks its QuantizeLinear and DequantizeLinear.
    #[error(
        "node `{node}` ({operator}): {what} is not quantised (no QuantizeLinear/DequantizeLinear): {HINT}"
    )]
    NotQuantised {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
        /// Which of its tensors.
        what: String,
    },
    /// The graph as a whole.
    #[error("the model's graph: {0}")]
    Graph(String),
}
