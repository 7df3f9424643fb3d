//! The graph, indexed: who writes a tensor, who reads it, which tensors are constant.

use super::error::ImportError;
use cnna_onnx::{GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Operators of [`super::SUPPORTED`] by their ONNX names.
const OPERATORS: [&str; 14] = [
    "Conv",
    "Relu",
    "MaxPool",
    "Gemm",
    "MatMul",
    "Add",
    "Flatten",
    "Reshape",
    "Identity",
    "Dropout",
    "Constant",
    "Transpose",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// An ONNX graph with its names resolved.
pub(super) struct Graph<'a> {
    pub proto: &'a GraphProto,
    initializers: HashMap<&'a str, &'a TensorProto>,
    writer: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    constants: HashSet<&'a str>,
    labels: Vec<String>,
}

impl<'a> Graph<'a> {
    /// Resolves names. Errors: a tensor written twice.
    pub fn index(proto: &'a GraphProto) -> Result<Self, ImportError> {
        let mut g = Graph {
            proto,
            initializers: HashMap::new(),
            writer: HashMap::new(),
            readers: HashMap::new(),
            constants: HashSet::new(),
            labels: labels(&proto.node),
        };
        let twice = |name: &str| {
            ImportError::Graph(format!(
                "tensor `{name}` is defined twice: the file is damaged"
            ))
        };
        for t in &proto.initializer {
            if g.initializers.insert(&t.name, t).is_some() {
                return Err(twice(&t.name));
            }
            g.constants.insert(&t.name);
        }
        for (index, node) in proto.node.iter().enumerate() {
            // Nodes are in execution order, so a constant node's inputs are known constants by now.
            let constant = node
                .input
                .iter()
                .all(|i| i.is_empty() || g.constants.contains(i.as_str()));
            for input in node.input.iter().filter(|i| !i.is_empty()) {
                g.readers.entry(input).or_default().push(index);
            }
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                if g.writer.insert(output, index).is_some()
                    || g.initializers.contains_key(output.as_str())
                {
                    return Err(twice(output));
                }
                if constant {
                    g.constants.insert(output);
                }
            }
        }
        Ok(g)
    }

    pub fn node(&self, index: usize) -> &'a NodeProto {
        &self.proto.node[index]
    }

    /// The node's name, or its operator and count for a node without one; unique.
    pub fn label(&self, index: usize) -> &str {
        &self.labels[index]
    }

    pub fn is_constant(&self, tensor: &str) -> bool {
        self.constants.contains(tensor)
    }

    pub fn initializer(&self, tensor: &str) -> Option<&'a TensorProto> {
        self.initializers.get(tensor).copied()
    }

    pub fn writer(&self, tensor: &str) -> Option<usize> {
        self.writer.get(tensor).copied()
    }

    pub fn readers(&self, tensor: &str) -> &[usize] {
        self.readers.get(tensor).map_or(&[], |r| r)
    }

    pub fn is_output(&self, tensor: &str) -> bool {
        self.proto.output.iter().any(|o| o.name == tensor)
    }

    /// An error about a node in a form that is not supported.
    pub fn refuse(&self, index: usize, reason: impl Into<String>) -> ImportError {
        ImportError::Node {
            node: self.label(index).into(),
            operator: self.node(index).op_type.clone(),
            reason: reason.into(),
        }
    }

    pub fn not_quantised(&self, index: usize, what: impl Into<String>) -> ImportError {
        ImportError::NotQuantised {
            node: self.label(index).into(),
            operator: self.node(index).op_type.clone(),
            what: what.into(),
        }
    }

    /// Errors: NaN or infinity in any float constant.
    pub fn check_finite(&self) -> Result<(), ImportError> {
        let embedded = self.proto.node.iter().flat_map(|n| {
            n.attribute
                .iter()
                .filter_map(move |a| a.t.as_ref().map(|t| (t, n.output.first())))
        });
        let all = self.proto.initializer.iter().map(|t| (t, Some(&t.name)));
        for (t, name) in all.chain(embedded) {
            if !t.element_type().is_ok_and(|e| e.is_float()) {
                continue;
            }
            let values = t.to_f32()?;
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(ImportError::NotFinite {
                    tensor: name.unwrap_or(&t.name).clone(),
                    index,
                    value: values[index],
                });
            }
        }
        Ok(())
    }

    /// Errors: an operator that is not read, a model with no quantisation at all.
    pub fn check_operators(&self) -> Result<(), ImportError> {
        let mut quantised = false;
        for (index, n) in self.proto.node.iter().enumerate() {
            let op = n.op_type.as_str();
            let q = op == "QuantizeLinear" || op == "DequantizeLinear";
            quantised |= q;
            let known = match n.domain.as_str() {
                "" | "ai.onnx" => OPERATORS.contains(&op),
                // Where int16 lived before operator set 21.
                "com.microsoft" => q,
                _ => false,
            };
            if !known {
                let operator = match n.domain.as_str() {
                    "" => op.into(),
                    domain => format!("{domain}::{op}"),
                };
                return Err(ImportError::Operator {
                    node: self.label(index).into(),
                    operator,
                });
            }
        }
        if quantised {
            Ok(())
        } else {
            Err(ImportError::Float)
        }
    }
}

/// Unique names: the node's own, `conv0` and so on for nodes without one, `_2` behind a repeated one.
fn labels(nodes: &[NodeProto]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut count: HashMap<&str, usize> = HashMap::new();
    let given: HashSet<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    nodes
        .iter()
        .map(|n| {
            let of_kind = count.entry(&n.op_type).or_default();
            let base = if n.name.is_empty() {
                format!("{}{of_kind}", n.op_type.to_lowercase())
            } else {
                n.name.clone()
            };
            *of_kind += 1;
            let free = |s: &str| !taken.contains(s) && (s == n.name || !given.contains(s));
            let label = if free(&base) {
                base
            } else {
                (2..)
                    .map(|k| format!("{base}_{k}"))
                    .find(|s| free(s))
                    .expect("some number is free")
            };
            taken.insert(label.clone());
            label
        })
        .collect()
}
