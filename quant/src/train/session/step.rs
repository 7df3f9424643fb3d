//! One step of a run: a batch forwards and backwards, and the update.

use super::{Phase, Teacher, Trainer};
use crate::accuracy::first_largest;
use crate::ptq::formats::assign;
use crate::train::autodiff::{Gradients, Network, cross_entropy, distance};
use crate::train::evaluate::{Change, fill};
use crate::{QuantError, Split, to_graph};
use cnna_net::{Graph, Node, Op};
use std::collections::HashMap;

impl Trainer<'_> {
    /// One minibatch: mean loss and number of right answers.
    pub fn step(
        &mut self,
        phase: Phase,
        split: &Split,
        indices: &[usize],
        changes: &[Change],
        rate: f32,
    ) -> Result<(f64, usize), QuantError> {
        let formats = self
            .state
            .formats
            .as_ref()
            .filter(|_| phase == Phase::Quantised);
        let words = formats.map(|f| to_graph(&self.net, f)).transpose()?;
        let (float, norms) = self.net.parts();
        let graph = words.as_ref().unwrap_or(float);
        let network = match &mut self.network {
            Some(network) => {
                network.load(graph, norms);
                network
            }
            none => none.insert(Network::new(graph, norms).expect("a FloatNet has gradients")),
        };
        if words.is_some() && self.state.ranges.is_some() {
            network.learn_ranges();
        }
        let (input, output) = (graph.inputs[0].tensor, graph.outputs[0].tensor);
        let format = graph.tensors[input].frac.map(|f| (f, graph.word));
        fill(network, split, indices, |n| changes[n], format);
        network.forward_filled(indices.len());
        let labels: Vec<u16> = indices.iter().map(|&i| split.labels[i]).collect();
        let logits = network.value(output);
        let loss = match &mut self.teacher {
            Some(Teacher { net, network }) => {
                fill(network, split, indices, |n| changes[n], None);
                network.forward_filled(indices.len());
                distance(logits, network.value(net.parts().0.outputs[0].tensor))
            }
            None => cross_entropy(logits, &labels, self.options.smoothing),
        };
        let rows = logits.chunks_exact(self.net.classes()).zip(&labels);
        let correct = rows
            .filter(|(row, label)| first_largest(row) == usize::from(**label))
            .count();
        let gradients = network.backward(&[(output, &loss.gradient)], false);
        let moments: Vec<_> = (0..norms.len())
            .map(|n| norms[n].as_ref().and(network.moments(n)).cloned())
            .collect();
        let of_ranges: Vec<Option<f64>> = (0..float.tensors.len())
            .map(|t| network.range_gradient(t))
            .collect();
        let mut gradients = by_node(float, words.as_ref(), gradients);
        let decays: Vec<bool> = float
            .nodes
            .iter()
            .map(|n| !matches!(n.op, Op::Add(_) | Op::Activate(_)))
            .collect();
        let clips = formats.is_some_and(|f| !f.auto_scale);
        for (norm, moments) in self.net.norms_mut().iter_mut().zip(moments) {
            if let (Some(norm), Some(m)) = (norm, moments) {
                norm.learn(&m.mean, &m.variance);
            }
        }
        self.descent.begin();
        for (at, (node, constants)) in self.net.parameters_mut().enumerate() {
            for (which, (values, gradient)) in
                constants.into_iter().zip(&mut gradients[node]).enumerate()
            {
                let weights = which == 0 && decays[node];
                if clips && weights {
                    mask_clipped(gradient, values);
                }
                let pruned: Vec<usize> = match self.options.prune {
                    Some(_) if weights => zeros(values),
                    _ => Vec::new(),
                };
                self.descent
                    .step([at, which], values, gradient, rate, weights);
                pruned.into_iter().for_each(|k| values[k] = 0.0);
            }
        }
        if phase == Phase::Quantised {
            self.learn_ranges(&of_ranges, f64::from(rate) / self.options.qat_learning_rate);
        }
        Ok((loss.mean, correct))
    }

    /// A step of the ranges, where they are learned; the network is built anew when a format has changed.
    fn learn_ranges(&mut self, gradients: &[Option<f64>], share: f64) {
        let (Some(ranges), Some(formats)) = (&mut self.state.ranges, &mut self.state.formats)
        else {
            return;
        };
        for (t, gradient) in gradients.iter().enumerate() {
            if let Some(g) = gradient {
                ranges.step(t, *g, share);
            }
        }
        let wanted = ranges.fracs(formats.word);
        let fracs = assign(self.net.parts().0, wanted, formats.word);
        if fracs != formats.fracs {
            formats.fracs = fracs;
            self.network = None;
        }
    }
}

/// Gradients by the nodes of the float graph; the quantised one has more where it rescales.
fn by_node(float: &Graph, words: Option<&Graph>, mut gradients: Gradients<f32>) -> Gradients<f32> {
    let Some(words) = words else { return gradients };
    let places = words
        .nodes
        .iter()
        .enumerate()
        .map(|(i, n)| (&n.name[..], i));
    let places: HashMap<&str, usize> = places.collect();
    let own = |n: &Node| {
        places
            .get(&n.name[..])
            .map(|&i| std::mem::take(&mut gradients[i]))
    };
    float
        .nodes
        .iter()
        .map(own)
        .map(Option::unwrap_or_default)
        .collect()
}

/// No gradient for weights outside [-2, 2), the plain format's range. An auto-scaled layer has none outside its range.
fn mask_clipped(gradient: &mut [f32], weights: &[f32]) {
    for (g, w) in gradient.iter_mut().zip(weights) {
        if !(-2.0..2.0).contains(w) {
            *g = 0.0;
        }
    }
}

/// Places of weights that are zero.
fn zeros(weights: &[f32]) -> Vec<usize> {
    let places = weights.iter().enumerate();
    places.filter(|(_, w)| **w == 0.0).map(|(k, _)| k).collect()
}
