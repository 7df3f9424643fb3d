//! The float network that training learns: a chain of convolutions and poolings, held as the graph that every other room
//! speaks, with real constants.

use crate::QuantError;
use cnna_net::op::{Conv, MaxPool};
use cnna_net::{Activation, Graph, Node, Op, Padding, Shape, Values, Window};

/// One step of the chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatLayer<'a> {
    /// Its name in every file and table.
    pub name: &'a str,
    /// What it computes.
    pub op: FloatOp<'a>,
    /// Shape of its input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FloatOp<'a> {
    /// Convolution or fully connected; its constants are reals.
    Conv(&'a Conv),
    /// Maximum over the window's valid positions.
    MaxPool(&'a Window),
}

impl FloatLayer<'_> {
    /// A fully connected layer sees its whole input at once.
    pub fn is_fc(&self) -> bool {
        matches!(self.op, FloatOp::Conv(c) if c.is_fc(self.input))
    }
}

/// A network that can be trained; the input is `pixel / 255`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNet {
    graph: Graph,
}

/// Why a graph cannot be trained: the node, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTrainable {
    /// The node's name.
    pub node: String,
    /// What is wrong and what is supported.
    pub reason: String,
}

const SUPPORTED: &str = "training takes chains of Conv, Gemm, Relu, Clip, MaxPool and Flatten: `cnna quantize` takes any readable model";

/// The reals of a float network's constant.
pub(crate) fn reals(v: &Values) -> &[f32] {
    v.reals().expect("FloatNet::new admits reals only")
}

impl FloatNet {
    /// A chain from a graph whose activations are part of their convolutions. A Softmax at the end is left out: the loss has
    /// its own, and the order of the classes is the same.
    ///
    /// Errors: a branch, another operator or activation, constants that are quantised already.
    pub fn new(mut graph: Graph) -> Result<Self, NotTrainable> {
        if graph
            .nodes
            .last()
            .is_some_and(|n| matches!(n.op, Op::Softmax(_)))
        {
            let softmax = graph.nodes.pop().expect("it was just seen");
            for p in &mut graph.outputs {
                if p.tensor == softmax.output {
                    p.tensor = softmax.inputs[0];
                }
            }
        }
        let bad = |node: &str, reason: &str| NotTrainable {
            node: node.into(),
            reason: format!("{reason}; {SUPPORTED}"),
        };
        let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
            return Err(bad("(graph)", "it has not one input and one output"));
        };
        let mut last = input.tensor;
        for n in &graph.nodes {
            if n.inputs[..] != [last] {
                return Err(bad(&n.name, "it does not read the node before it"));
            }
            match &n.op {
                Op::MaxPool(_) => {}
                Op::Conv(c) => {
                    if !matches!(
                        c.activation,
                        Activation::None | Activation::Relu | Activation::Clip { .. }
                    ) {
                        return Err(bad(&n.name, "its activation is neither Relu nor Clip"));
                    }
                    if c.weights.reals().is_none() || c.bias.reals().is_none() {
                        return Err(bad(&n.name, "it is quantised already"));
                    }
                }
                other => return Err(bad(&n.name, &format!("operator {}", other.name()))),
            }
            last = n.output;
        }
        if output.tensor != last || graph.nodes.is_empty() {
            return Err(bad("(graph)", "its output is not its last node's"));
        }
        // One way of naming, wherever the graph comes from: the same network gives the same file.
        let input = graph.inputs[0].tensor;
        graph.inputs[0].name = super::export::INPUT.into();
        graph.outputs[0].name = super::export::OUTPUT.into();
        graph.tensors[input].name = super::export::INPUT.into();
        for n in graph
            .nodes
            .iter()
            .filter(|n| n.name != super::export::INPUT)
        {
            graph.tensors[n.output].name.clone_from(&n.name);
        }
        Ok(FloatNet { graph })
    }

    /// As the other rooms see it.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// From the architecture or the file.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Shape of one input image.
    pub fn input(&self) -> Shape {
        self.graph.tensors[self.graph.inputs[0].tensor].shape
    }

    /// In order of execution.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = FloatLayer<'_>> {
        self.graph.nodes.iter().map(|n: &Node| FloatLayer {
            name: &n.name,
            op: match &n.op {
                Op::Conv(c) => FloatOp::Conv(c),
                Op::MaxPool(MaxPool { window }) => FloatOp::MaxPool(window),
                _ => unreachable!("FloatNet::new admits no other"),
            },
            input: self.graph.tensors[n.inputs[0]].shape,
            output: self.graph.tensors[n.output].shape,
        })
    }

    /// True when layer `i + 1` pools the output of layer `i`.
    pub fn is_pooled(&self, i: usize) -> bool {
        matches!(
            self.graph.nodes.get(i + 1).map(|n| &n.op),
            Some(Op::MaxPool(_))
        )
    }

    /// The layers with weights.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.graph.nodes.iter().filter_map(|n| match &n.op {
            Op::Conv(c) => Some(c),
            _ => None,
        })
    }

    /// Weights and biases of the layers that have them, to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = [&mut Vec<f32>; 2]> {
        self.graph.nodes.iter_mut().filter_map(|n| match &mut n.op {
            Op::Conv(Conv {
                weights: Values::Reals(w),
                bias: Values::Reals(b),
                ..
            }) => Some([w, b]),
            _ => None,
        })
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.layers().last().map_or(0, |l| l.output.len())
    }

    /// Refuses NaN and infinity, by layer and index.
    pub fn check_finite(&self) -> Result<(), QuantError> {
        for l in self.layers() {
            let FloatOp::Conv(c) = l.op else { continue };
            for (what, values) in [("weight", &c.weights), ("bias", &c.bias)] {
                if let Some(index) = values.not_finite() {
                    return Err(QuantError::NotFinite {
                        layer: l.name.into(),
                        what,
                        index,
                        value: reals(values)[index],
                    });
                }
            }
        }
        Ok(())
    }
}

/// The same border on every side.
pub(crate) fn square(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        stride: [stride; 2],
        pad: Padding {
            top: pad,
            left: pad,
            bottom: pad,
            right: pad,
        },
        ..Window::plain(kernel, kernel)
    }
}
