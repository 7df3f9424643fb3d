//! A network as a graph: tensors and nodes by index, nodes in an order in which they can run.

use crate::error::GraphError;
use crate::op::Op;
use cnna_machine::layout::{ArrayLayout, Shape};
use cnna_machine::num::Word;
use serde::{Deserialize, Serialize};

/// Index of a tensor in [`Graph::tensors`].
pub type TensorId = usize;

/// An activation tensor of one image, [channel][row][column].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Unique in the graph.
    pub name: String,
    /// Channels, rows, columns.
    pub shape: Shape,
    /// Fraction bits of its words; `None` while it is real.
    pub frac: Option<i32>,
}

/// An operator at its place. It writes one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The model's name of it, unique in the graph.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads, in the operator's order.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// An input or output as the model's user sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The model's name of it.
    pub name: String,
    /// Its tensor.
    pub tensor: TensorId,
    /// Shape and order of the user's array.
    pub array: ArrayLayout,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// From the model's file.
    pub name: String,
    /// Word width of weights and activations, once quantised.
    pub word: Word,
    /// All activation tensors.
    pub tensors: Vec<Tensor>,
    /// In an order in which they can run.
    pub nodes: Vec<Node>,
    /// What the user gives.
    pub inputs: Vec<Port>,
    /// What the user gets.
    pub outputs: Vec<Port>,
}

impl Graph {
    /// A graph without tensors.
    pub fn new(name: &str, word: Word) -> Self {
        Graph {
            name: name.into(),
            word,
            tensors: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Appends a tensor that no node writes yet.
    pub fn tensor(&mut self, name: &str, shape: Shape, frac: Option<i32>) -> TensorId {
        self.tensors.push(Tensor {
            name: name.into(),
            shape,
            frac,
        });
        self.tensors.len() - 1
    }

    /// Appends an input whose array is [channel][row][column].
    pub fn input(&mut self, name: &str, shape: Shape, frac: Option<i32>) -> TensorId {
        let tensor = self.tensor(name, shape, frac);
        self.inputs.push(Port {
            name: name.into(),
            tensor,
            array: ArrayLayout::plain(shape),
        });
        tensor
    }

    /// Makes a tensor an output whose array is [channel][row][column].
    pub fn output(&mut self, tensor: TensorId) {
        self.outputs.push(Port {
            name: self.tensors[tensor].name.clone(),
            tensor,
            array: ArrayLayout::plain(self.tensors[tensor].shape),
        });
    }

    /// Appends a node and the tensor that it writes, which is named after it. Errors: its inputs do not fit it.
    pub fn push(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        frac: Option<i32>,
    ) -> Result<TensorId, GraphError> {
        let op = op.into();
        let shapes: Vec<Shape> = inputs.iter().map(|&t| self.tensors[t].shape).collect();
        let shape = op.shape(&shapes).map_err(|reason| GraphError::Node {
            node: name.into(),
            operator: op.name(),
            reason,
        })?;
        let output = self.tensor(name, shape, frac);
        self.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            output,
        });
        Ok(output)
    }

    /// Shapes of a node's inputs.
    pub fn shapes(&self, node: &Node) -> Vec<Shape> {
        node.inputs.iter().map(|&t| self.tensors[t].shape).collect()
    }

    /// Multiply-accumulates of one image, padding counted as in the literature.
    pub fn macs(&self, node: &Node) -> u64 {
        node.op
            .macs(&self.shapes(node), self.tensors[node.output].shape)
    }

    /// For each tensor the nodes that read it, by index.
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.tensors.len()];
        for (i, n) in self.nodes.iter().enumerate() {
            for &t in &n.inputs {
                if readers[t].last() != Some(&i) {
                    readers[t].push(i);
                }
            }
        }
        readers
    }

    /// For each tensor the node that writes it, by index; `None` for inputs.
    pub fn writers(&self) -> Vec<Option<usize>> {
        let mut writers = vec![None; self.tensors.len()];
        for (i, n) in self.nodes.iter().enumerate() {
            writers[n.output] = Some(i);
        }
        writers
    }

    /// True for a tensor that the user gets.
    pub fn is_output(&self, tensor: TensorId) -> bool {
        self.outputs.iter().any(|p| p.tensor == tensor)
    }

    /// Checks what [`Graph::push`] promises, for a graph that comes from elsewhere: indices, order, shapes, arrays.
    pub fn check(&self) -> Result<(), GraphError> {
        let bad = |message: String| GraphError::Bytes(message);
        let mut known = vec![false; self.tensors.len()];
        let get = |t: TensorId| {
            self.tensors
                .get(t)
                .ok_or_else(|| bad(format!("there is no tensor {t}")))
        };
        for p in &self.inputs {
            p.array
                .check(get(p.tensor)?.shape)
                .map_err(|e| bad(format!("input `{}`: {e}", p.name)))?;
            known[p.tensor] = true;
        }
        for n in &self.nodes {
            let mut shapes = Vec::with_capacity(n.inputs.len());
            for &t in &n.inputs {
                shapes.push(get(t)?.shape);
                if !known[t] {
                    return Err(bad(format!(
                        "node `{}` reads tensor {t} before it is there",
                        n.name
                    )));
                }
            }
            let shape = n.op.shape(&shapes).map_err(|reason| GraphError::Node {
                node: n.name.clone(),
                operator: n.op.name(),
                reason,
            })?;
            if shape != get(n.output)?.shape || known[n.output] {
                return Err(bad(format!(
                    "node `{}` writes {shape}, its tensor {} is another or written already",
                    n.name, n.output
                )));
            }
            known[n.output] = true;
        }
        for p in &self.outputs {
            p.array
                .check(get(p.tensor)?.shape)
                .map_err(|e| bad(format!("output `{}`: {e}", p.name)))?;
            if !known[p.tensor] {
                return Err(bad(format!("output `{}` is written by no node", p.name)));
            }
        }
        if self.outputs.is_empty() || self.inputs.is_empty() {
            return Err(bad("it has no input or no output".into()));
        }
        Ok(())
    }
}

/// A line for each input and node: what it writes, what it reads, what it computes.
impl std::fmt::Display for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tensor = |t: TensorId| {
            let t = &self.tensors[t];
            match t.frac {
                Some(frac) => format!("{} {} f{frac}", t.name, t.shape),
                None => format!("{} {}", t.name, t.shape),
            }
        };
        writeln!(f, "{}, {}-bit words", self.name, self.word.bits())?;
        for p in &self.inputs {
            writeln!(f, "  input {}", tensor(p.tensor))?;
        }
        for n in &self.nodes {
            let mark = if self.is_output(n.output) {
                "output "
            } else {
                ""
            };
            let reads: Vec<&str> = n
                .inputs
                .iter()
                .map(|&t| &self.tensors[t].name[..])
                .collect();
            writeln!(
                f,
                "  {mark}{} <- {} {:?}",
                tensor(n.output),
                reads.join(", "),
                n.op
            )?;
        }
        Ok(())
    }
}
