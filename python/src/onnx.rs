//! ONNX files from Python: nodes as JSON, constants as numpy arrays. What the trainer's exporter needs, and no more.

use crate::arrays::Given;
use crate::error::exception;
use crate::work::work;
use cnna_flow::arrays::Numbers;
use cnna_onnx::{AttributeValue, ElementType, GraphBuilder, NodeProto};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Node {
    op: String,
    name: String,
    inputs: Vec<String>,
    output: String,
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
}

impl From<Attribute> for AttributeValue {
    fn from(a: Attribute) -> Self {
        match a {
            Attribute::Int(v) => v.into(),
            Attribute::Float(v) => v.into(),
            Attribute::Ints(v) => v.into(),
        }
    }
}

/// Writes a model: inputs and outputs by name and shape (a symbolic batch comes before it), constants, nodes in order.
#[pyfunction]
pub fn write_onnx(
    py: Python<'_>,
    path: PathBuf,
    name: &str,
    inputs: Vec<(String, Vec<usize>)>,
    outputs: Vec<(String, Vec<usize>)>,
    constants: Vec<(String, Bound<'_, PyUntypedArray>)>,
    nodes: &str,
) -> PyResult<()> {
    let bad = |message: String| exception(py, "ModelError", message);
    let nodes: Vec<Node> = serde_json::from_str(nodes).map_err(|e| bad(e.to_string()))?;
    let mut b = GraphBuilder::new(name);
    for (name, dims) in &inputs {
        b.input(name, ElementType::F32, dims);
    }
    for (name, array) in &constants {
        let given = Given::new(array)?;
        let array = given.array()?;
        let dims: Vec<usize> = array.dims.iter().map(|&d| d as usize).collect();
        match array.numbers {
            Numbers::F32(v) => b.constant(name, &dims, v),
            Numbers::I16(v) => b.constant(name, &dims, v),
            Numbers::I8(v) => b.constant(name, &dims, v),
            Numbers::I32(v) => b.constant(name, &dims, v),
            Numbers::I64(v) => b.constant(name, &dims, v),
            _ => {
                let message =
                    format!("constant `{name}`: use float32, int8, int16, int32 or int64");
                return Err(bad(message));
            }
        };
    }
    for n in nodes {
        let inputs: Vec<&str> = n.inputs.iter().map(String::as_str).collect();
        let node = NodeProto::new(&n.op, &n.name, &inputs, &[&n.output]);
        let all = n.attributes.into_iter();
        b.node(all.fold(node, |node, (k, v)| node.with(&k, v)));
    }
    for (name, dims) in &outputs {
        b.output(name, ElementType::F32, dims);
    }
    let model = b.finish();
    work(py, None, 60.0, |_| Ok(cnna_onnx::write(&path, &model)?))
}
