//! The float network that training learns: the graph that every other room speaks, with real constants, and the batch
//! normalisation of its convolutions while they have one.

use super::autodiff::{EPSILON, Network};
use crate::QuantError;
use cnna_net::op::Conv;
use cnna_net::{Graph, Op, Shape, Values};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A convolution's sums are normalised over the batch before its bias and activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    /// Of each output channel, learned.
    pub scale: Vec<f32>,
    /// Of the sums, over past batches.
    pub mean: Vec<f32>,
    /// The same.
    pub variance: Vec<f32>,
}

/// Share of a new batch in the mean and variance.
const NEW: f32 = 0.1;

impl Norm {
    /// Changes nothing but the batch's own mean and variance.
    pub fn new(channels: usize) -> Self {
        Norm {
            scale: vec![1.0; channels],
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        }
    }

    /// Takes a batch's moments in.
    pub(crate) fn learn(&mut self, mean: &[f64], variance: &[f64]) {
        let mix = |own: &mut [f32], new: &[f64]| {
            own.iter_mut()
                .zip(new)
                .for_each(|(o, &n)| *o += NEW * (n as f32 - *o));
        };
        mix(&mut self.mean, mean);
        mix(&mut self.variance, variance);
    }
}

/// A network that can be trained; the input is `pixel / 255`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNet {
    graph: Graph,
    /// By node.
    norms: Vec<Option<Norm>>,
    /// Nodes whose constants are not trained.
    fixed: Vec<usize>,
}

/// Why a graph cannot be trained: the node, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTrainable {
    /// The node's name.
    pub node: String,
    /// What is wrong and what is supported.
    pub reason: String,
}

const OTHER_WAY: &str = "`cnna quantize` takes any readable model without training";

impl FloatNet {
    /// A network from a graph whose activations are part of the nodes before them. A Softmax at the end is left out:
    /// the loss has its own, and the order of the classes is the same.
    ///
    /// Errors: several inputs or outputs, an output that is not one value a class, an operator without a gradient,
    /// constants that are quantised already.
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
            reason: format!("{reason}; {OTHER_WAY}"),
        };
        let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
            return Err(bad("(graph)", "it has not one input and one output"));
        };
        let (input, output) = (input.tensor, output.tensor);
        let shape = graph.tensors[output].shape;
        if graph.nodes.is_empty() || input == output || (shape.c > 1 && shape.h * shape.w > 1) {
            let reason = format!("its output {shape} is not one value a class behind a node");
            return Err(bad("(graph)", &reason));
        }
        for n in &graph.nodes {
            if n.op.constants().iter().any(|v| v.reals().is_none()) {
                return Err(bad(&n.name, "it is quantised already"));
            }
        }
        if let Err(e) = Network::<f32>::new(&graph, &[]) {
            return Err(bad(&e.node, &e.reason));
        }
        // One way of naming, wherever the graph comes from: the same network gives the same file.
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
        let norms = vec![None; graph.nodes.len()];
        Ok(FloatNet {
            graph,
            norms,
            fixed: Vec::new(),
        })
    }

    /// Normalises the sums of convolution number `node` over the batch while it is trained.
    pub(crate) fn normalise(&mut self, node: usize, channels: usize) {
        self.norms[node] = Some(Norm::new(channels));
    }

    /// The graph without its normalisations, to change; a node that is put into it is told by [`FloatNet::inserted`].
    pub(crate) fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Node number `at` is new.
    pub(crate) fn inserted(&mut self, at: usize) {
        self.norms.insert(at, None);
        let behind = self.fixed.iter_mut().filter(|f| **f >= at);
        behind.for_each(|f| *f += 1);
    }

    /// Keeps the constants of node number `node` from being trained.
    pub(crate) fn fix(&mut self, node: usize) {
        self.fixed.push(node);
    }

    /// As the other rooms see it: normalisations folded into their convolutions.
    pub fn graph(&self) -> Cow<'_, Graph> {
        if self.norms.iter().all(Option::is_none) {
            return Cow::Borrowed(&self.graph);
        }
        let mut folded = self.clone();
        folded.fold();
        Cow::Owned(folded.graph)
    }

    /// The graph without its normalisations, and these.
    pub(crate) fn parts(&self) -> (&Graph, &[Option<Norm>]) {
        (&self.graph, &self.norms)
    }

    /// The normalisations, by node.
    pub(crate) fn norms_mut(&mut self) -> &mut [Option<Norm>] {
        &mut self.norms
    }

    /// Makes the normalisations part of their convolutions for good.
    pub fn fold(&mut self) {
        for (n, norm) in self.graph.nodes.iter_mut().zip(&mut self.norms) {
            let Some(norm) = norm.take() else { continue };
            let Op::Conv(Conv {
                weights: Values::Reals(weights),
                bias: Values::Reals(bias),
                ..
            }) = &mut n.op
            else {
                unreachable!("only convolutions of reals are normalised")
            };
            let taps = weights.len() / bias.len();
            for (c, (weights, bias)) in weights.chunks_exact_mut(taps).zip(bias).enumerate() {
                let deviation = (f64::from(norm.variance[c]) + EPSILON).sqrt();
                let factor = (f64::from(norm.scale[c]) / deviation) as f32;
                weights.iter_mut().for_each(|w| *w *= factor);
                *bias -= norm.mean[c] * factor;
            }
        }
    }

    /// From the architecture or the file.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Shape of one input image.
    pub fn input(&self) -> Shape {
        self.graph.tensors[self.graph.inputs[0].tensor].shape
    }

    /// For each node that learns its constants in their order (weights, biases, slopes), then the scale of its
    /// normalisation, to change.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = (usize, Vec<&mut Vec<f32>>)> {
        let nodes = self.graph.nodes.iter_mut().zip(&mut self.norms).enumerate();
        let fixed = &self.fixed;
        nodes.filter_map(|(i, (n, norm))| {
            if matches!(n.op, Op::Constant(_)) || fixed.contains(&i) {
                return None;
            }
            let mut all: Vec<&mut Vec<f32>> = Vec::new();
            for v in n.op.constants_mut() {
                match v {
                    Values::Reals(v) => all.push(v),
                    _ => unreachable!("FloatNet::new admits reals only"),
                }
            }
            all.extend(norm.as_mut().map(|n| &mut n.scale));
            (!all.is_empty()).then_some((i, all))
        })
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.graph.tensors[self.graph.outputs[0].tensor].shape.len()
    }

    /// Refuses NaN and infinity, by layer and index.
    pub fn check_finite(&self) -> Result<(), QuantError> {
        for n in &self.graph.nodes {
            let names = ["weight", "bias", "slope"];
            for (k, v) in n.op.constants().into_iter().enumerate() {
                if let Some(index) = v.not_finite() {
                    return Err(QuantError::NotFinite {
                        layer: n.name.clone(),
                        what: if matches!(n.op, Op::Conv(_) | Op::ConvTranspose(_)) {
                            names[k]
                        } else {
                            "constant"
                        },
                        index,
                        value: v.reals().map_or(f32::NAN, |r| r[index]),
                    });
                }
            }
        }
        Ok(())
    }
}
