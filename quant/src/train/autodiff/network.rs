//! All nodes of a graph on a batch, forwards and backwards. Buffers are kept from step to step.

use super::finish::{Finish, Moments};
use super::op::{Format, Kernel, kernel};
use super::real::Real;
use crate::train::net::{Norm, NotTrainable};
use cnna_machine::num::dequantise;
use cnna_net::run::Target;
use cnna_net::{Activation, Graph, Op, Shape, TensorId, Values};

/// For each node of the graph and each of its constants the gradient, in the constant's order; empty where there is
/// none.
/// A normalised convolution has that of its scale behind them.
pub type Gradients<T> = Vec<Vec<Vec<T>>>;

struct Step<T> {
    inputs: Vec<TensorId>,
    output: TensorId,
    kernel: Box<dyn Kernel<T>>,
    finish: Option<Finish<T>>,
    picks: Vec<u32>,
}

/// A graph as it is trained, or evaluated.
pub struct Network<T> {
    shapes: Vec<Shape>,
    inputs: Vec<TensorId>,
    /// One a node; none for constants of the model, which are not trained.
    steps: Vec<Option<Step<T>>>,
    /// For each tensor whether it depends on something that is trained.
    needed: Vec<bool>,
    values: Vec<Vec<T>>,
    gradients: Vec<Vec<T>>,
    /// By tensor, of the logarithm of its format's range.
    ranges: Vec<Option<f64>>,
    images: usize,
}

fn activation(op: &Op) -> Option<&Activation> {
    match op {
        Op::Conv(c) => Some(&c.activation),
        Op::ConvTranspose(c) => Some(&c.activation),
        Op::Add(a) => Some(&a.activation),
        Op::Activate(a) => Some(&a.function),
        Op::Mul(_) | Op::AveragePool(_) => Some(&Activation::None),
        _ => None,
    }
}

/// Weights and biases of a node that multiplies by them, and each output channel's fraction bits beyond the layer's.
fn linear(op: &Op) -> Option<(&Values, &Values, &[u8])> {
    match op {
        Op::Conv(c) => Some((&c.weights, &c.bias, &c.finer)),
        Op::ConvTranspose(c) => Some((&c.weights, &c.bias, &[])),
        _ => None,
    }
}

impl<T: Real> Network<T> {
    /// A graph of real constants, or a quantised one, which is computed as its integers are. Errors: an operator
    /// without gradients.
    pub fn new(graph: &Graph, norms: &[Option<Norm>]) -> Result<Self, NotTrainable> {
        let shapes: Vec<Shape> = graph.tensors.iter().map(|t| t.shape).collect();
        let mut needed = vec![false; shapes.len()];
        let mut steps = Vec::with_capacity(graph.nodes.len());
        for n in &graph.nodes {
            let trained = n.op.constants().iter().any(|v| !v.is_empty());
            needed[n.output] = n.inputs.iter().any(|&t| needed[t]) || trained;
            if let Op::Constant(_) = n.op {
                needed[n.output] = false;
                steps.push(None);
                continue;
            }
            let output = &graph.tensors[n.output];
            let format = output.frac.map(|frac| Format {
                word: graph.word,
                frac,
            });
            let kernel = kernel(&n.op, &graph.shapes(n), output.shape, format);
            let kernel = kernel.ok_or_else(|| NotTrainable {
                node: n.name.clone(),
                reason: format!("operator {} has no gradient", n.op.name()),
            })?;
            let input_frac = graph.tensors[n.inputs[0]].frac;
            let finish =
                activation(&n.op).map(|a| Finish::new(output.shape.c, a, format, input_frac));
            steps.push(Some(Step {
                inputs: n.inputs.clone(),
                output: n.output,
                kernel,
                finish,
                picks: Vec::new(),
            }));
        }
        let mut network = Network {
            values: vec![Vec::new(); shapes.len()],
            gradients: vec![Vec::new(); shapes.len()],
            ranges: vec![None; shapes.len()],
            inputs: graph.inputs.iter().map(|p| p.tensor).collect(),
            images: 0,
            shapes,
            steps,
            needed,
        };
        network.load(graph, norms);
        Ok(network)
    }

    /// Takes the constants of a graph of the same structure.
    pub fn load(&mut self, graph: &Graph, norms: &[Option<Norm>]) {
        for (i, (n, step)) in graph.nodes.iter().zip(&mut self.steps).enumerate() {
            let Some(step) = step else {
                // One image's worth; repeated when a batch comes.
                self.values[n.output] = constant(graph, i);
                self.images = 0;
                continue;
            };
            let norm = norms.get(i).and_then(Option::as_ref);
            let mut bias = None;
            if let Some((weights, own, finer)) = linear(&n.op) {
                let input = graph.tensors[n.inputs[0]].frac.unwrap_or(0);
                step.kernel.load(&reals(weights, 0, finer));
                let sums = input + weights.words().map_or(0, |(_, f)| f);
                bias = Some(reals(own, sums, finer));
            }
            if let Some(finish) = &mut step.finish {
                let scale = norm.map(|n| n.scale.iter().map(|&s| T::of(s.into())).collect());
                let slopes = activation(&n.op)
                    .and_then(Activation::constant)
                    .map(|v| v.to_reals(0));
                finish.load(bias, scale, slopes.as_deref());
            }
        }
    }

    /// Runs `n` images; one slice an input, [image][row][column][channel].
    #[cfg(test)]
    pub fn forward(&mut self, n: usize, inputs: &[&[T]]) {
        for (&t, x) in self.inputs.iter().zip(inputs) {
            self.values[t].clear();
            self.values[t].extend_from_slice(x);
        }
        self.forward_filled(n);
    }

    /// The place of the one input of `n` images, to fill before [`Network::forward_filled`].
    pub fn input(&mut self, n: usize) -> &mut [T] {
        let t = self.inputs[0];
        self.values[t].resize(n * self.shapes[t].len(), T::zero());
        &mut self.values[t]
    }

    /// Runs the images that were put into the input.
    pub fn forward_filled(&mut self, n: usize) {
        if self.images != n {
            self.images = n;
            let written: Vec<TensorId> = self
                .steps
                .iter()
                .flatten()
                .map(|s| s.output)
                .chain(self.inputs.clone())
                .collect();
            for t in (0..self.shapes.len()).filter(|t| !written.contains(t)) {
                let one = self.shapes[t].len().min(self.values[t].len());
                self.values[t] = self.values[t][..one].repeat(n);
            }
        }
        for step in self.steps.iter_mut().flatten() {
            let mut y = std::mem::take(&mut self.values[step.output]);
            y.resize(n * self.shapes[step.output].len(), T::zero());
            let inputs: Vec<&[T]> = step.inputs.iter().map(|&t| &self.values[t][..]).collect();
            step.kernel.forward(n, &inputs, &mut y, &mut step.picks);
            if let Some(f) = step.finish.as_mut().filter(|f| !f.is_nothing()) {
                f.forward(n, &mut y);
            }
            self.values[step.output] = y;
        }
    }

    /// What the last batch made of a tensor, [image][row][column][channel].
    pub fn value(&self, t: TensorId) -> &[T] {
        &self.values[t]
    }

    /// Mean and variance of the last batch, for each node that normalises.
    pub fn moments(&self, node: usize) -> Option<&Moments> {
        let finish = self.steps[node].as_ref()?.finish.as_ref()?;
        (!finish.moments.mean.is_empty()).then_some(&finish.moments)
    }

    /// The gradients of all constants from those of some tensors, for the batch that was run last. With `all` those of
    /// every tensor are there too, for [`Network::gradient`].
    pub fn backward(&mut self, outputs: &[(TensorId, &[T])], all: bool) -> Gradients<T> {
        let n = self.images;
        let mut written = vec![false; self.shapes.len()];
        for &(t, g) in outputs {
            self.gradients[t].clear();
            self.gradients[t].extend_from_slice(g);
            written[t] = true;
        }
        let mut constants: Gradients<T> = self.steps.iter().map(|_| Vec::new()).collect();
        let mut scratch: Vec<T> = Vec::new();
        for (i, step) in self.steps.iter().enumerate().rev() {
            let Some(step) = step.as_ref().filter(|s| written[s.output]) else {
                continue;
            };
            let mut dy = std::mem::take(&mut self.gradients[step.output]);
            let inputs: Vec<&[T]> = step.inputs.iter().map(|&t| &self.values[t][..]).collect();
            let of_finish = step.finish.as_ref().filter(|f| !f.is_nothing());
            let of_finish = of_finish.map(|f| f.backward(n, &self.values[step.output], &mut dy));
            let weights = step.kernel.weights(n, &inputs, &dy);
            self.ranges[step.output] = of_finish.as_ref().and_then(|c| c.range);
            let (bias, scale, slopes) =
                of_finish.map_or((None, None, None), |c| (c.bias, c.scale, c.slopes));
            constants[i] = [weights, bias, slopes, scale]
                .into_iter()
                .flatten()
                .collect();
            for (which, &t) in step.inputs.iter().enumerate() {
                if !(self.needed[t] || all) {
                    continue;
                }
                let size = n * self.shapes[t].len();
                let place = if written[t] {
                    &mut scratch
                } else {
                    &mut self.gradients[t]
                };
                place.resize(size, T::zero());
                step.kernel
                    .backward(n, which, &inputs, &step.picks, &dy, place);
                if written[t] {
                    let sum = self.gradients[t].iter_mut();
                    sum.zip(&scratch).for_each(|(a, &b)| *a += b);
                }
                written[t] = true;
            }
            self.gradients[step.output] = dy;
        }
        constants
    }

    /// From now on [`Network::backward`] finds the gradients of formats' ranges.
    pub fn learn_ranges(&mut self) {
        let steps = self.steps.iter_mut().flatten();
        steps
            .filter_map(|s| s.finish.as_mut())
            .for_each(Finish::learn_range);
    }

    /// The gradient of the logarithm to base 2 of a tensor's range, where its node only rounds and clips.
    pub fn range_gradient(&self, t: TensorId) -> Option<f64> {
        self.ranges[t]
    }

    /// The gradient of a tensor: of an input what [`Network::backward`] found. Of what a node writes, that of its sums.
    #[cfg(test)]
    pub fn gradient(&self, t: TensorId) -> &[T] {
        &self.gradients[t]
    }
}

/// The reals that a constant stands for; sums have `frac` fraction bits, channels `finer` more.
fn reals<T: Real>(v: &Values, frac: i32, finer: &[u8]) -> Vec<T> {
    let each = (v.len() / finer.len().max(1)).max(1);
    let finer = |k: usize| finer.get(k / each).map_or(0, |&d| i32::from(d));
    match v {
        Values::Reals(v) => v.iter().map(|&x| T::of(x.into())).collect(),
        Values::Words(w, frac) if (0..w.len()).step_by(each).all(|k| finer(k) == 0) => {
            let scale = T::of(2f64.powi(-frac));
            w.iter().map(|&q| T::of(q.into()) * scale).collect()
        }
        Values::Words(w, frac) => {
            let one = |(k, &q): (usize, &i16)| T::of(dequantise(q, frac + finer(k)));
            w.iter().enumerate().map(one).collect()
        }
        Values::Sums(b) => {
            let one = |(k, &b): (usize, &i64)| T::of(b as f64 * 2f64.powi(-frac - finer(k)));
            b.iter().enumerate().map(one).collect()
        }
    }
}

/// What the model holds, [row][column][channel].
fn constant<T: Real>(graph: &Graph, node: usize) -> Vec<T> {
    let n = &graph.nodes[node];
    let tensor = &graph.tensors[n.output];
    let reals: Vec<f64> = match (tensor.frac, &n.op) {
        (Some(frac), op) => {
            let target = Target {
                shape: tensor.shape,
                frac,
                word: graph.word,
            };
            op.run(&[], &target)
                .values
                .iter()
                .map(|&q| dequantise(q, frac))
                .collect()
        }
        (None, Op::Constant(c)) => c.values.to_reals(0).iter().map(|&v| v.into()).collect(),
        (None, _) => Vec::new(),
    };
    let mut values = vec![T::zero(); reals.len()];
    for (at, &v) in reals.iter().enumerate() {
        values[super::op::moves::channels_last(tensor.shape, at)] = T::of(v);
    }
    values
}
