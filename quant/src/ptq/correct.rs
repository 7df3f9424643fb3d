//! Bias correction: rounding weights moves each output channel's mean; the bias takes it back.
//!
//! Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2, with means measured on the calibration images. The border of a
//! padded map is counted as its inside.

use cnna_net::op::Conv;
use cnna_net::{Graph, Op, Values};

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

    /// Adds one image's tensors.
    pub fn add(&mut self, tensors: &[Vec<f32>]) {
        self.images += 1;
        for (sums, values) in self
            .sums
            .iter_mut()
            .zip(tensors)
            .filter(|(s, _)| !s.is_empty())
        {
            let each = values.len() / sums.len();
            for (sum, part) in sums.iter_mut().zip(values.chunks_exact(each.max(1))) {
                *sum += part.iter().map(|&v| f64::from(v)).sum::<f64>() / each as f64;
            }
        }
    }
}

/// Adds to each bias of `float` the mean that its rounded weights in `quantised` lose.
pub fn correct(float: &mut Graph, quantised: &Graph, means: &Means) {
    for (n, q) in float.nodes.iter_mut().zip(&quantised.nodes) {
        let (Op::Conv(c), Op::Conv(rounded)) = (&mut n.op, &q.op) else {
            continue;
        };
        let sums = &means.sums[n.inputs[0]];
        if sums.is_empty() || means.images == 0 {
            continue;
        }
        let channels = float.tensors[n.inputs[0]].shape.c;
        let lost = lost(c, rounded, sums, channels, means.images as f64);
        if let Values::Reals(bias) = &mut c.bias {
            for (b, l) in bias.iter_mut().zip(lost) {
                *b += l as f32;
            }
        }
    }
}

/// Mean of `(w - rounded w) * x` for each output channel.
fn lost(c: &Conv, rounded: &Conv, sums: &[f64], channels: usize, images: f64) -> Vec<f64> {
    let (w, r) = (c.real_weights(), rounded.real_weights());
    let taps = c.window.kernel[0] * c.window.kernel[1];
    let per_group = channels / c.groups;
    let whole = sums.len() > channels;
    let mut lost = vec![0.0; c.oc];
    for (oc, l) in lost.iter_mut().enumerate() {
        let first = oc / (c.oc / c.groups) * per_group;
        for k in 0..per_group * taps {
            let at = oc * per_group * taps + k;
            let mean = match whole {
                true => sums[k],
                false => sums[first + k / taps],
            };
            *l += f64::from(w[at] - r[at]) * mean / images;
        }
    }
    lost
}
