//! Stochastic gradient descent with Nesterov momentum, and its learning rate over time.

use crate::FloatNet;
use cnna_net::Values;

/// Decay of the velocity in one step.
const MOMENTUM: f32 = 0.9;
/// Pull of weights (not biases) towards zero.
const WEIGHT_DECAY: f32 = 5e-4;
/// Part of a phase in which the rate rises.
const WARM_UP: f64 = 0.2;

/// One velocity a weight and a bias, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sgd {
    pub velocity: Vec<[Vec<f32>; 2]>,
}

impl Sgd {
    /// At rest.
    pub fn new(net: &FloatNet) -> Self {
        let zeros = |v: &Values| vec![0.0; v.len()];
        Sgd {
            velocity: net
                .convs()
                .map(|c| [zeros(&c.weights), zeros(&c.bias)])
                .collect(),
        }
    }

    /// One step of layer `layer`'s weights (`which` 0) or biases (1).
    ///
    /// Source: Sutskever et al. 2013, in the form of the common frameworks.
    pub fn step(
        &mut self,
        layer: usize,
        which: usize,
        values: &mut [f32],
        gradient: &[f32],
        rate: f32,
    ) {
        let decay = if which == 0 { WEIGHT_DECAY } else { 0.0 };
        let velocity = &mut self.velocity[layer][which];
        for ((value, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
            let g = g + decay * *value;
            *v = MOMENTUM * *v + g;
            *value -= rate * (g + MOMENTUM * *v);
        }
    }
}

/// The rate at `progress` (0 to 1) of a phase: linear rise, then half a cosine to zero. Source: Smith 2018, arXiv:1803.09820.
pub(crate) fn rate(peak: f64, progress: f64) -> f64 {
    if progress < WARM_UP {
        peak * (0.1 + 0.9 * progress / WARM_UP)
    } else {
        let t = (progress - WARM_UP) / (1.0 - WARM_UP);
        peak * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
    }
}
