//! What a network is: a graph of operators over activation tensors, the number formats of those tensors, and the reference
//! run in plain integers. No mode of the machine, no tiles, no time.
//!
//! ```text
//! graph.rs    tensors, nodes, inputs and outputs; building one node by node
//! values.rs   an operator's constants: reals before quantisation, words after
//! op/NAME.rs  one operator: attributes, shape rule, integer reference, multiply-accumulates, a random instance
//! random.rs   random graphs of them
//! run.rs      the reference run over all nodes
//! zoo/        built-in topologies with weights from a seed
//! simplify.rs scales and borders folded into convolutions, dead nodes gone
//! settle.rs   activations fused, formats spread, constants as integers
//! file.rs     the graph as bytes, for the program file
//! ```

pub mod activation;
pub mod dot;
pub mod error;
pub mod file;
pub mod graph;
pub mod op;
pub mod random;
pub mod run;
pub mod settle;
pub mod simplify;
pub mod values;
pub mod window;
pub mod zoo;

pub use activation::Activation;
pub use cnna_machine::layout::{ArrayLayout, Shape};
pub use error::GraphError;
pub use graph::{Graph, Node, Port, Tensor, TensorId};
pub use op::Op;
pub use values::Values;
pub use window::{Padding, Window};
