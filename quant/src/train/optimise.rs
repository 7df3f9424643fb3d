//! Stochastic gradient descent with Nesterov momentum, Adam, and the learning rate over time.

use crate::FloatNet;
use serde::{Deserialize, Serialize};

/// Decay of the velocity in one step of descent.
const MOMENTUM: f32 = 0.9;
/// Decay of Adam's mean and mean square in one step, and what keeps its divisor from zero.
const ADAM: [f32; 2] = [0.9, 0.999];
const ADAM_EPSILON: f32 = 1e-8;
/// Pull of weights (not biases, slopes and scales) towards zero.
const WEIGHT_DECAY: f32 = 5e-4;
/// Part of a phase in which the rate rises.
const WARM_UP: f64 = 0.2;

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Descent with momentum.
    Sgd,
    /// A step of its own for each weight. Source: Kingma and Ba 2015, arXiv:1412.6980; the decay apart, as in AdamW
    /// (arXiv:1711.05101).
    Adam,
}

impl Optimiser {
    /// Largest learning rates of the float and of the quantised phase that serve where nothing is known.
    pub fn rates(self) -> [f64; 2] {
        match self {
            Optimiser::Sgd => [0.04, 0.002],
            Optimiser::Adam => [0.002, 0.0002],
        }
    }
}

/// The state of a phase's descent: for each constant that learns its velocity, or means and mean squares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Descent {
    pub method: Optimiser,
    /// Steps done.
    pub steps: u32,
    /// By place among the parameters of [`FloatNet::parameters_mut`].
    moments: Vec<Vec<[Vec<f32>; 2]>>,
}

impl Descent {
    /// At rest.
    pub fn new(method: Optimiser, net: &mut FloatNet) -> Self {
        let zeros = |v: &&mut Vec<f32>| {
            let second = if method == Optimiser::Adam {
                v.len()
            } else {
                0
            };
            [vec![0.0; v.len()], vec![0.0; second]]
        };
        let moments = net
            .parameters_mut()
            .map(|(_, all)| all.iter().map(zeros).collect())
            .collect();
        Descent {
            method,
            steps: 0,
            moments,
        }
    }

    /// All numbers that it remembers.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f32> {
        self.moments.iter_mut().flatten().flatten().flatten()
    }

    /// Begins a step of all parameters.
    pub fn begin(&mut self) {
        self.steps += 1;
    }

    /// One step of constant `which` of parameter number `at`.
    ///
    /// Source of the momentum: Sutskever et al. 2013, in the form of the common frameworks.
    pub fn step(
        &mut self,
        [at, which]: [usize; 2],
        values: &mut [f32],
        gradient: &[f32],
        rate: f32,
        decays: bool,
    ) {
        let decay = if decays { WEIGHT_DECAY } else { 0.0 };
        let [first, second] = &mut self.moments[at][which];
        match self.method {
            Optimiser::Sgd => {
                for ((value, v), g) in values.iter_mut().zip(first).zip(gradient) {
                    let g = g + decay * *value;
                    *v = MOMENTUM * *v + g;
                    *value -= rate * (g + MOMENTUM * *v);
                }
            }
            Optimiser::Adam => {
                let steps = self.steps as i32;
                let [unbias, unbias_square] = ADAM.map(|b| 1.0 / (1.0 - b.powi(steps)));
                for (((value, m), s), g) in values.iter_mut().zip(first).zip(second).zip(gradient) {
                    *m += (1.0 - ADAM[0]) * (g - *m);
                    *s += (1.0 - ADAM[1]) * (g * g - *s);
                    let direction = *m * unbias / ((*s * unbias_square).sqrt() + ADAM_EPSILON);
                    *value -= rate * (direction + decay * *value);
                }
            }
        }
    }
}

/// The rate at `progress` (0 to 1) of a phase: linear rise, then half a cosine to zero. Source: Smith 2018,
/// arXiv:1803.09820.
pub(crate) fn rate(peak: f64, progress: f64) -> f64 {
    if progress < WARM_UP {
        peak * (0.1 + 0.9 * progress / WARM_UP)
    } else {
        let t = (progress - WARM_UP) / (1.0 - WARM_UP);
        peak * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;
    use cnna_net::Shape;

    /// Both find the least of a bowl whose sides differ a hundredfold; Adam takes steps of the rate at first.
    #[test]
    fn both_methods_descend_and_adam_is_blind_to_scale() {
        let mut net = Arch::load("vgg-small")
            .and_then(|a| a.init(Shape { c: 1, h: 28, w: 28 }, 10, 1))
            .expect("built in");
        for method in [Optimiser::Sgd, Optimiser::Adam] {
            let mut o = Descent::new(method, &mut net);
            let mut values = [1.0f32, 1.0];
            for step in 0..400 {
                let gradient = [values[0], 0.01 * values[1]];
                o.begin();
                o.step([0, 1], &mut values, &gradient, 0.05, false);
                if step == 0 && method == Optimiser::Adam {
                    values
                        .iter()
                        .for_each(|v| assert!((v - 0.95).abs() < 1e-4, "{v}"));
                }
            }
            assert!(values[0].abs() < 1e-2, "{method:?}: {values:?}");
            assert!(values[1].abs() < 0.2, "{method:?}: {values:?}");
        }
    }

    #[test]
    fn the_rate_rises_then_falls_to_nothing() {
        let at = |p| rate(2.0, p);
        assert!((at(0.0) - 0.2).abs() < 1e-12 && (at(0.2) - 2.0).abs() < 1e-12);
        assert!((at(0.6) - 1.0).abs() < 1e-12 && at(1.0).abs() < 1e-12);
    }
}
