//! Softmax and its logarithm. On the host.

use super::{Operator, Pool, Random, one};
use cnna_machine::layout::Shape;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Exponentials that sum to one along some axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax {
    /// True for each of channels, rows and columns that the sum runs over.
    pub axes: [bool; 3],
    /// Its logarithm instead.
    pub log: bool,
}

/// Calls `f` with the offsets of each set of elements that differ only along `axes`, in order.
pub(super) fn for_each_set(shape: Shape, axes: [bool; 3], mut f: impl FnMut(&[usize])) {
    let sides = shape.sides();
    let strides = [shape.h * shape.w, shape.w, 1];
    let along = |wanted: bool| {
        let mut all = vec![0];
        for axis in (0..3).filter(|&a| axes[a] == wanted) {
            all = all
                .iter()
                .flat_map(|&at| (0..sides[axis]).map(move |n| at + n * strides[axis]))
                .collect();
        }
        all
    };
    let inner = along(true);
    for base in along(false) {
        let set: Vec<usize> = inner.iter().map(|i| base + i).collect();
        f(&set);
    }
}

impl Operator for Softmax {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        one(inputs)
    }

    fn reals(&self, inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        let (shape, x) = inputs[0];
        let mut out = vec![0.0; x.len()];
        for_each_set(shape, self.axes, |set| {
            let most = set.iter().map(|&i| x[i]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = set.iter().map(|&i| libm::expf(x[i] - most)).sum();
            for &i in set {
                let log = x[i] - most - libm::logf(sum);
                out[i] = if self.log { log } else { libm::expf(log) };
            }
        });
        Some(out)
    }
}

impl Softmax {
    /// None: random graphs hold what machines run.
    pub fn random(_: &mut StdRng, _: &Pool) -> Option<Random> {
        None
    }
}
