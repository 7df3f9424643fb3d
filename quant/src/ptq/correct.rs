//! Bias correction: rounding weights moves each output channel's mean; the bias takes it back.
//!
//! Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2, with means measured on the calibration images. The border of a
//! padded map is counted as its inside.

use cnna_machine::num::dequantise;
use cnna_net::op::Conv;
use cnna_net::{Graph, Op, TensorId};

/// Means of what convolutions read, over images: one a channel, or one an element where a kernel covers its whole input.
#[derive(Clone, Debug, Default)]
pub struct Means {
    sums: Vec<Vec<f64>>,
    images: usize,
}

impl Means {
    /// For the tensors of a graph; those that no convolution reads are left out.
    pub fn new(graph: &Graph) -> Self {
        let mut sums = vec![Vec::new(); graph.tensors.len()];
        for n in &graph.nodes {
            let Op::Conv(c) = &n.op else { continue };
            let shape = graph.tensors[n.inputs[0]].shape;
            let len = match c.is_fc(shape) {
                true => shape.len(),
                false => shape.c,
            };
            if sums[n.inputs[0]].len() < len {
                sums[n.inputs[0]] = vec![0.0; len];
            }
        }
        Means { sums, images: 0 }
    }

    /// One more image, whose tensors follow.
    pub fn image(&mut self) {
        self.images += 1;
    }

    /// Adds one tensor of an image.
    pub fn add(&mut self, tensor: TensorId, values: &[f32]) {
        let sums = &mut self.sums[tensor];
        if sums.is_empty() {
            return;
        }
        let each = values.len() / sums.len();
        for (sum, part) in sums.iter_mut().zip(values.chunks_exact(each.max(1))) {
            *sum += part.iter().map(|&v| f64::from(v)).sum::<f64>() / each as f64;
        }
    }
}

/// For each node of `float` its biases with the mean that its rounded weights in `quantised` lose; none where there
/// is nothing to correct.
pub fn corrected(float: &Graph, quantised: &Graph, means: &Means) -> Vec<Option<Vec<f32>>> {
    let mut all = vec![None; float.nodes.len()];
    // The integers' graph has more nodes, rescalings: a tensor is written by the same operator in both.
    let writers = quantised.writers();
    for (n, biases) in float.nodes.iter().zip(&mut all) {
        let rounded = writers[n.output].and_then(|w| quantised.nodes[w].op.conv());
        let (Op::Conv(c), Some(rounded)) = (&n.op, rounded) else {
            continue;
        };
        let sums = &means.sums[n.inputs[0]];
        let Some(bias) = c.bias.reals() else { continue };
        if sums.is_empty() || means.images == 0 {
            continue;
        }
        let channels = float.tensors[n.inputs[0]].shape.c;
        let lost = lost(c, rounded, sums, channels, means.images as f64);
        *biases = Some(bias.iter().zip(lost).map(|(b, l)| b + l as f32).collect());
    }
    all
}

/// Mean of `(w - rounded w) * x` for each output channel.
fn lost(c: &Conv, rounded: &Conv, sums: &[f64], channels: usize, images: f64) -> Vec<f64> {
    let w = c.weights.reals().unwrap_or_default();
    let taps = c.window.kernel[0] * c.window.kernel[1];
    let per_group = channels / c.groups;
    let whole = sums.len() > channels;
    let mut lost = vec![0.0; c.oc];
    for (oc, l) in lost.iter_mut().enumerate() {
        let first = oc / (c.oc / c.groups) * per_group;
        let r = channel(rounded, oc, per_group * taps);
        for k in 0..per_group * taps {
            let at = oc * per_group * taps + k;
            let mean = match whole {
                true => sums[k],
                false => sums[first + k / taps],
            };
            *l += f64::from(w[at] - r[k]) * mean / images;
        }
    }
    lost
}

/// The reals that one output channel's weights stand for, so many: those of a whole layer beside its words and its reals would be
/// the most memory of all.
fn channel(rounded: &Conv, oc: usize, each: usize) -> Vec<f32> {
    let part = oc * each..(oc + 1) * each;
    let Some((words, frac)) = rounded.weights.words() else {
        return rounded.weights.reals().unwrap_or_default()[part].to_vec();
    };
    let frac = frac + i32::from(rounded.finer.get(oc).copied().unwrap_or(0));
    let real = |&q: &i16| dequantise(q, frac) as f32;
    words[part].iter().map(real).collect()
}
