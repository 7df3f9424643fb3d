//! Nearest resizing: every output row and column is one of the input's.

use super::{Operator, Pool, Random, one, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Rows and columns repeated or left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// The input row of each output row.
    pub rows: Vec<u32>,
    /// The input column of each output column.
    pub columns: Vec<u32>,
}

impl Operator for Resize {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        let inside = |v: &[u32], side: usize| v.iter().all(|&n| (n as usize) < side);
        match inside(&self.rows, i.h) && inside(&self.columns, i.w) {
            true => Ok(Shape {
                c: i.c,
                h: self.rows.len(),
                w: self.columns.len(),
            }),
            false => Err(format!("it takes rows or columns beyond its input {i}")),
        }
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let i = inputs[0].shape;
        let mut values = Vec::with_capacity(out.shape.len());
        for c in 0..i.c {
            for &y in &self.rows {
                let row = &inputs[0].words[(c * i.h + y as usize) * i.w..][..i.w];
                values.extend(self.columns.iter().map(|&x| row[x as usize]));
            }
        }
        Words::exact(values)
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl Resize {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, _) = pool.any(r)?;
        let scale = random::pick(r, &[1, 2, 2, 3]);
        let even = r.random();
        let mut map = |size: usize| -> Vec<u32> {
            let to = match even {
                true => size * scale,
                false => r.random_range(1..=2 * size + 1),
            };
            (0..to).map(|n| (n * size / to) as u32).collect()
        };
        let resize = Resize {
            rows: map(i.h),
            columns: map(i.w),
        };
        pool.keeping(resize, at)
    }
}
