//! The reference run: every node in plain integer loops, without tiles or time. It shares no code with the scheduler, so it
//! can contradict it.

use crate::error::GraphError;
use crate::graph::{Graph, Node, TensorId};
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;

/// A tensor that an operator reads.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Channels, rows, columns.
    pub shape: Shape,
    /// Fraction bits.
    pub frac: i32,
    /// [channel][row][column].
    pub words: &'a [i16],
}

/// The tensor that an operator writes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Channels, rows, columns.
    pub shape: Shape,
    /// Fraction bits.
    pub frac: i32,
    /// Width of all words.
    pub word: Word,
}

/// What an operator made of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// [channel][row][column].
    pub values: Vec<i16>,
    /// Results that saturation changed.
    pub saturated: u64,
}

impl Words {
    /// Words that nothing saturated.
    pub fn exact(values: Vec<i16>) -> Self {
        Words {
            values,
            saturated: 0,
        }
    }
}

/// Every tensor of one image, by its index in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Inputs have no saturated results.
    pub tensors: Vec<Words>,
}

/// Runs one image through a quantised graph; `inputs` are words, [channel][row][column], one slice an input of the graph.
///
/// Errors: as for [`node`]. Panics when an input's length is not its tensor's; callers check shapes at the door.
pub fn run(graph: &Graph, inputs: &[&[i16]]) -> Result<Run, GraphError> {
    run_until(graph, inputs, || false).map(|r| r.expect("nobody stops it"))
}

/// The same; asks `stop` before each node and returns `None` when it says so.
pub fn run_until(
    graph: &Graph,
    inputs: &[&[i16]],
    stop: impl Fn() -> bool,
) -> Result<Option<Run>, GraphError> {
    assert_eq!(inputs.len(), graph.inputs.len(), "one slice an input");
    let mut tensors = vec![Words::default(); graph.tensors.len()];
    for (p, words) in graph.inputs.iter().zip(inputs) {
        assert_eq!(
            words.len(),
            graph.tensors[p.tensor].shape.len(),
            "image length"
        );
        tensors[p.tensor].values = words.to_vec();
    }
    for n in &graph.nodes {
        if stop() {
            return Ok(None);
        }
        let words = node(graph, n, |t| &tensors[t].values)?;
        tensors[n.output] = words;
    }
    Ok(Some(Run { tensors }))
}

/// Runs one node on words that `tensor` gives. Errors: a tensor without a format, or formats that no shift lies between.
pub fn node<'a>(
    graph: &Graph,
    n: &Node,
    tensor: impl Fn(TensorId) -> &'a [i16],
) -> Result<Words, GraphError> {
    let frac = |t: TensorId| {
        graph.tensors[t].frac.ok_or_else(|| GraphError::Format {
            node: n.name.clone(),
            tensor: graph.tensors[t].name.clone(),
        })
    };
    let mut operands = Vec::with_capacity(n.inputs.len());
    for &t in &n.inputs {
        operands.push(Operand {
            shape: graph.tensors[t].shape,
            frac: frac(t)?,
            words: tensor(t),
        });
    }
    let target = Target {
        shape: graph.tensors[n.output].shape,
        frac: frac(n.output)?,
        word: graph.word,
    };
    let formats: Vec<(Shape, i32)> = operands.iter().map(|o| (o.shape, o.frac)).collect();
    n.op.check_formats(&formats, &target)
        .map_err(|reason| GraphError::Node {
            node: n.name.clone(),
            operator: n.op.name(),
            reason,
        })?;
    Ok(n.op.run(&operands, &target))
}
