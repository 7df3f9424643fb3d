//! Networks as standard ONNX files: the float graph, and the quantised one with QuantizeLinear and DequantizeLinear.

use crate::{FloatNet, QuantError};
use cnna_data::Preprocess;
use cnna_net::Graph;
use std::path::Path;

/// Name of the graph's input.
pub const INPUT: &str = "input";
/// Name of the graph's output.
pub const OUTPUT: &str = "logits";

/// Writes the float network, through a temporary file. Errors: the file system's.
pub fn write_float(net: &FloatNet, p: &Preprocess, path: &Path) -> Result<(), QuantError> {
    write_quantised(&net.graph(), p, path)
}

/// Writes the quantised network, through a temporary file. Errors: the file system's; a scale that no float holds.
///
/// ONNX rounds half to even where the machine rounds half up, so other runtimes agree within a few steps of the last
/// place.
///
/// How pictures become its input goes with it, where it is not `byte / 255` alone.
pub fn write_quantised(graph: &Graph, p: &Preprocess, path: &Path) -> Result<(), QuantError> {
    let mut model = cnna_onnx::export(graph)?;
    if *p != Preprocess::default() {
        model.metadata.push((Preprocess::KEY.into(), p.to_text()));
    }
    Ok(cnna_onnx::write(path, &model)?)
}
