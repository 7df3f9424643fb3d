//! Index of the largest element. On the host.

use super::softmax::for_each_set;
use super::{Operator, Pool, Random, one};
use cnna_machine::layout::Shape;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Index of the largest element along one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgMax {
    /// 0 channels, 1 rows, 2 columns.
    pub axis: usize,
    /// Of equal elements the last instead of the first.
    pub last: bool,
}

impl Operator for ArgMax {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let mut sides = one(inputs)?.sides();
        *sides
            .get_mut(self.axis)
            .ok_or("its axis is none of channels, rows and columns")? = 1;
        Ok(Shape::of(sides))
    }

    fn reals(&self, inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        let (shape, x) = inputs[0];
        let mut out = Vec::new();
        for_each_set(shape, std::array::from_fn(|a| a == self.axis), |set| {
            let better = |a: f32, b: f32| if self.last { a >= b } else { a > b };
            let best = (1..set.len()).fold(0, |best, n| {
                if better(x[set[n]], x[set[best]]) { n } else { best }
            });
            out.push(best as f32);
        });
        Some(out)
    }
}

impl ArgMax {
    /// None: random graphs hold what machines run.
    pub fn random(_: &mut StdRng, _: &Pool) -> Option<Random> {
        None
    }
}
