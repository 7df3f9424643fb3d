//! Local response normalisation over neighbouring channels. On the host. Source: Krizhevsky et al. 2012, section 3.3.

use super::{Operator, Pool, Random, one};
use cnna_machine::layout::Shape;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// `x / (bias + alpha / size * sum of squares over size channels)^beta`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lrn {
    /// Channels of the sum.
    pub size: usize,
    /// Weight of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Added to the mean square.
    pub bias: f32,
}

impl Operator for Lrn {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match self.size {
            0 => Err("its size is 0".into()),
            _ => one(inputs),
        }
    }

    fn reals(&self, inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        let (s, x) = inputs[0];
        let plane = s.h * s.w;
        let below = (self.size - 1) / 2;
        let above = self.size - 1 - below;
        let mut out = vec![0.0; x.len()];
        for c in 0..s.c {
            let channels = c.saturating_sub(below)..(c + above + 1).min(s.c);
            for p in 0..plane {
                let sum: f32 = channels.clone().map(|n| x[n * plane + p] * x[n * plane + p]).sum();
                let scale = self.bias + self.alpha / self.size as f32 * sum;
                out[c * plane + p] = x[c * plane + p] / libm::powf(scale, self.beta);
            }
        }
        Some(out)
    }
}

impl Lrn {
    /// None: random graphs hold what machines run.
    pub fn random(_: &mut StdRng, _: &Pool) -> Option<Random> {
        None
    }
}
