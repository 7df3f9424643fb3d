//! ONNX in: a QDQ model (int8 or int16, power-of-two scales, zero point 0) becomes the integers of `machine::layer::Network`.
//!
//! The graph must be one chain. Source of the operators' meaning: the ONNX operator specification, sets 10 to 21.

mod constant;
mod error;
mod graph;
mod linear;
mod quantise;
mod walk;
mod window;

pub use error::{ImportError, SUPPORTED};

use cnna_machine::layer::Network;
use cnna_onnx::Model;
use std::path::Path;

/// Reads an ONNX file and imports it; the network is named after its graph, or the file when that has no name.
///
/// Errors: see [`ImportError`]; each names the file, node or tensor and how to mend it.
pub fn read(path: impl AsRef<Path>) -> Result<Network, ImportError> {
    let path = path.as_ref();
    let mut network = import(&cnna_onnx::read(path)?)?;
    if network.name.is_empty() {
        let stem = path.file_stem().unwrap_or_default();
        network.name = stem.to_string_lossy().into_owned();
    }
    Ok(network)
}

/// Imports a model in memory. Weights become [oc][ic][kh][kw] words, biases accumulator-scale integers.
///
/// A layer behind a Flatten becomes the convolution whose kernel is its whole input. Errors: see [`ImportError`].
pub fn import(model: &Model) -> Result<Network, ImportError> {
    let graph = graph::Graph::index(&model.graph)?;
    graph.check_finite()?;
    graph.check_operators()?;
    walk::run(&graph)
}
