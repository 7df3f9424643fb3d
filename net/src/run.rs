//! The reference run: every node in plain integer loops, without tiles or time. It shares no code with the scheduler, so it
//! can contradict it.

use crate::error::GraphError;
use crate::graph::{Graph, Node, TensorId};
use crate::op::Op;
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

/// The operator to run in a node's place.
type Operators<'g> = Box<dyn Fn(&Node) -> Option<Op> + 'g>;

/// The same run for a reader that wants each tensor once: what neither the reader nor a node needs any more is
/// dropped, so that a large network's image takes the memory of its largest few tensors.
pub struct Steps<'g> {
    graph: &'g Graph,
    /// The operator of a node whose constants are not in the graph.
    op: Operators<'g>,
    tensors: Vec<Option<Words>>,
    /// Nodes, and the reader, that still need each tensor.
    left: Vec<usize>,
    next: usize,
}

impl<'g> Steps<'g> {
    /// Before the first node; `inputs` as for [`run`], the reader takes some of the first `wanted` tensors, or all.
    pub fn new(graph: &'g Graph, inputs: Vec<Vec<i16>>, wanted: usize) -> Self {
        assert_eq!(inputs.len(), graph.inputs.len(), "one vector an input");
        let mut tensors = vec![None; graph.tensors.len()];
        let mut left: Vec<usize> = (0..tensors.len())
            .map(|t| usize::from(t < wanted))
            .collect();
        graph
            .nodes
            .iter()
            .flat_map(|n| &n.inputs)
            .for_each(|&t| left[t] += 1);
        for (p, words) in graph.inputs.iter().zip(inputs) {
            let len = graph.tensors[p.tensor].shape.len();
            assert_eq!(words.len(), len, "image length");
            tensors[p.tensor] = Some(Words::exact(words));
        }
        Steps {
            graph,
            op: Box::new(|_| None),
            tensors,
            left,
            next: 0,
        }
    }

    /// Runs nodes for which `op` has one with that operator in their place.
    pub fn with_operators(self, op: impl Fn(&Node) -> Option<Op> + 'g) -> Self {
        Steps {
            op: Box::new(op),
            ..self
        }
    }

    /// Runs nodes until a tensor is there and hands it to `read`, at most once a tensor; a tensor that no node
    /// writes is left out. Errors: as for [`node`].
    pub fn take(&mut self, tensor: TensorId, read: impl FnOnce(&Words)) -> Result<(), GraphError> {
        while self.tensors[tensor].is_none() && self.next < self.graph.nodes.len() {
            self.step()?;
        }
        if let Some(words) = &self.tensors[tensor] {
            read(words);
            self.release(tensor);
        }
        // What follows at once takes less memory than what it reads.
        if let Some(n) = self.graph.nodes.get(self.next) {
            let len = |t: TensorId| self.graph.tensors[t].shape.len();
            let smaller = n
                .inputs
                .iter()
                .all(|&t| self.left[t] == 1 && len(n.output) < len(t));
            if smaller && !n.inputs.is_empty() {
                self.step()?;
            }
        }
        Ok(())
    }

    /// Runs the next node.
    fn step(&mut self) -> Result<(), GraphError> {
        let n = &self.graph.nodes[self.next];
        self.next += 1;
        let words = |t: TensorId| self.tensors[t].as_ref().map_or(&[][..], |w| &w.values);
        let words = match (self.op)(n) {
            Some(op) => node(self.graph, &Node { op, ..n.clone() }, words)?,
            None => node(self.graph, n, words)?,
        };
        self.tensors[n.output] = Some(words).filter(|_| self.left[n.output] > 0);
        n.inputs.iter().for_each(|&t| self.release(t));
        Ok(())
    }

    fn release(&mut self, tensor: TensorId) {
        self.left[tensor] = self.left[tensor].saturating_sub(1);
        if self.left[tensor] == 0 {
            self.tensors[tensor] = None;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{self, Limits};

    #[test]
    fn steps_give_the_same_words_and_keep_none() {
        for seed in 0..40 {
            let g = random::graph(seed, Word::W16, &Limits::default());
            let inputs: Vec<Vec<i16>> = g
                .inputs
                .iter()
                .map(|p| {
                    let len = g.tensors[p.tensor].shape.len();
                    (0..len).map(|i| (i * 7919 % 4001) as i16 - 2000).collect()
                })
                .collect();
            let slices: Vec<&[i16]> = inputs.iter().map(|v| &v[..]).collect();
            let whole = run(&g, &slices).expect("it runs");
            let mut steps = Steps::new(&g, inputs, g.tensors.len());
            for t in (0..g.tensors.len()).rev() {
                let mut seen = None;
                steps.take(t, |w| seen = Some(w.clone())).expect("it runs");
                assert_eq!(
                    seen.as_ref(),
                    Some(&whole.tensors[t]),
                    "seed {seed}, tensor {t}"
                );
            }
            assert!(steps.tensors.iter().all(Option::is_none), "seed {seed}");
        }
    }
}
