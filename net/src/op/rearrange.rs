//! Another order of a tensor's elements: what is left of transposes, reshapes, shuffles and space-to-depth.

use super::{Operator, Pool, Random, one, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::{ArrayLayout, Shape};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Another order of the elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rearrange {
    /// Its output's shape.
    pub shape: Shape,
    /// Where the output's elements, [channel][row][column], lie in the input: an array over it.
    pub order: ArrayLayout,
}

impl Operator for Rearrange {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        self.order.check(i)?;
        match self.order.len() == self.shape.len() {
            true => Ok(self.shape),
            false => Err(format!("{} elements become {}", self.order.len(), self.shape)),
        }
    }

    fn run(&self, inputs: &[Operand], _out: &Target) -> Words {
        Words::exact(self.order.offsets().map(|at| inputs[0].words[at]).collect())
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl Rearrange {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, _) = pool.any(r)?;
        let Shape { c, h, w } = i;
        let plane = h * w;
        let side = |s: usize, b: usize| s % b == 0;
        let b = random::pick(r, &[2, 2, 3]);
        // Output's shape, and nested loops over the input: (count, distance).
        let (shape, axes) = match r.random_range(0..8) {
            // Channel shuffle.
            0 => {
                let g = random::divisor(r, c);
                (i, vec![(c / g, plane), (g, c / g * plane), (plane, 1)])
            }
            // Space to depth, with the block or the channel outside.
            1 | 2 if side(h, b) && side(w, b) => {
                let mut axes = vec![(b, w), (b, 1), (c, plane)];
                axes.rotate_left(random::pick(r, &[0, 2]));
                axes.extend([(h / b, b * w), (w / b, b)]);
                (Shape::of([c * b * b, h / b, w / b]), axes)
            }
            // Depth to space, the same way.
            3 | 4 if side(c, b * b) => {
                let n = c / (b * b);
                let (outer, y, x) = random::pick(
                    r,
                    &[(plane, b * n * plane, n * plane), (b * b * plane, b * plane, plane)],
                );
                let axes = vec![(n, outer), (h, w), (b, y), (w, 1), (b, x)];
                (Shape::of([n, h * b, w * b]), axes)
            }
            // Any transpose.
            5 | 6 => {
                let mut order = [0, 1, 2];
                order.shuffle(r);
                let distance = [plane, w, 1];
                let axes = order.map(|a| (i.sides()[a], distance[a])).to_vec();
                (Shape::of(order.map(|a| i.sides()[a])), axes)
            }
            // Any other shape.
            _ => {
                let first = random::divisor(r, i.len());
                let second = random::divisor(r, i.len() / first);
                let shape = Shape::of([first, second, i.len() / first / second]);
                (shape, vec![(i.len(), 1)])
            }
        };
        let order = ArrayLayout {
            dims: shape.sides().to_vec(),
            axes,
            first: 0,
        };
        pool.keeping(Rearrange { shape, order }, at)
    }
}
