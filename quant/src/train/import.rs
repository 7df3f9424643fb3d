//! Reading a float network to train: any readable model whose operators have gradients.

use crate::{FloatNet, QuantError};
use std::path::Path;

/// Reads a float network; names that are missing or equal are made unique.
///
/// Errors: unreadable or damaged file, several inputs or outputs, an operator that is not trained, NaN or infinite
/// weights.
pub fn read_float(path: &Path) -> Result<FloatNet, QuantError> {
    let mut graph = cnna_onnx::read_graph(path)?;
    cnna_net::settle::fuse(&mut graph);
    let net = FloatNet::new(graph).map_err(|e| QuantError::Model {
        path: path.into(),
        node: e.node,
        reason: e.reason,
    })?;
    net.check_finite()?;
    Ok(net)
}
