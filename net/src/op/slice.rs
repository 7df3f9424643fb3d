//! A part of a tensor, every n-th element along each axis.

use super::{Operator, Pool, Random, one, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Every n-th channel, row and column of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// First channel, row and column.
    pub start: [usize; 3],
    /// Channels, rows and columns taken.
    pub count: [usize; 3],
    /// Distance between those taken.
    pub step: [usize; 3],
}

impl Operator for Slice {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        for (axis, side) in i.sides().into_iter().enumerate() {
            let (start, count, step) = (self.start[axis], self.count[axis], self.step[axis]);
            let last = count
                .checked_sub(1)
                .and_then(|n| n.checked_mul(step))
                .and_then(|n| n.checked_add(start));
            if last.is_none_or(|l| l >= side) || step == 0 {
                return Err(format!(
                    "{count} from {start} on, {step} apart, do not lie in the {side} of axis {axis}"
                ));
            }
        }
        Ok(Shape::of(self.count))
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let (i, o) = (inputs[0].shape, out.shape);
        let at = |axis: usize, n: usize| self.start[axis] + n * self.step[axis];
        let mut values = Vec::with_capacity(o.len());
        for c in 0..o.c {
            for y in 0..o.h {
                for x in 0..o.w {
                    values.push(inputs[0].words[(at(0, c) * i.h + at(1, y)) * i.w + at(2, x)]);
                }
            }
        }
        Words::exact(values)
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl Slice {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, _) = pool.any(r)?;
        let mut slice = Slice {
            start: [0; 3],
            count: i.sides(),
            step: [1; 3],
        };
        let only = r.random_range(0..3);
        let all = r.random_ratio(1, 3);
        for (axis, side) in i.sides().into_iter().enumerate() {
            if all || axis == only {
                let start = match r.random() {
                    true => random::pick(r, &[0, side / 2]),
                    false => r.random_range(0..side),
                };
                let step = random::pick(r, &[1, 1, 2, 3, side]);
                slice.start[axis] = start;
                slice.step[axis] = step;
                slice.count[axis] = r.random_range(1..=(side - start).div_ceil(step));
            }
        }
        pool.keeping(slice, at)
    }
}
