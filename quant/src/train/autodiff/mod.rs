//! Forward and backward over `net`'s own graph, in float or fake-quantised.
//!
//! ```text
//! real.rs    f32 and f64, products of matrices
//! linear.rs  convolutions as such products
//! op/        each operator's sums and gradients
//! finish.rs  bias, batch normalisation, rounding, activation
//! network.rs all nodes of a graph, forwards and backwards
//! loss.rs    softmax and cross entropy
//! ```

mod finish;
mod linear;
mod loss;
mod network;
mod op;
mod real;
#[cfg(test)]
mod tests;

pub use finish::EPSILON;
pub use loss::{cross_entropy, distance};
pub use network::{Gradients, Network};
pub use real::Real;
