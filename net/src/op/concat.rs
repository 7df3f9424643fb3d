//! Concatenation: tensors behind each other along one axis. All members share one format.

use super::{Operator, Pool, Random, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Tensors behind each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat {
    /// 0 channels, 1 rows, 2 columns.
    pub axis: usize,
}

impl Operator for Concat {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (Some(&first), 0..=2) = (inputs.first(), self.axis) else {
            return Err("it has no input, or no axis of channels, rows and columns".into());
        };
        let mut whole = first.sides();
        for s in &inputs[1..] {
            for (axis, (all, side)) in whole.iter_mut().zip(s.sides()).enumerate() {
                if axis == self.axis {
                    *all = all.saturating_add(side);
                } else if *all != side {
                    return Err(format!("its inputs are {first} and {s}: only axis {} may differ", self.axis));
                }
            }
        }
        Ok(Shape::of(whole))
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        // Elements of one input that lie together, by how many outer steps.
        let outer: usize = out.shape.sides()[..self.axis].iter().product();
        let mut values = Vec::with_capacity(out.shape.len());
        for n in 0..outer {
            for i in inputs {
                let part = i.shape.len() / outer;
                values.extend_from_slice(&i.words[n * part..(n + 1) * part]);
            }
        }
        Words::exact(values)
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl Concat {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (first, shape, frac) = pool.any(r)?;
        let axis = r.random_range(0..3);
        let fits = pool.those(|s, f| {
            f == frac && (0..3).all(|a| a == axis || s.sides()[a] == shape.sides()[a])
        });
        let mut inputs = vec![first];
        for _ in 1..random::pick(r, &[2, 2, 3, 4]) {
            inputs.push(random::pick(r, &fits));
        }
        let shapes: Vec<Shape> = inputs.iter().map(|&n| pool.tensors[n].0).collect();
        let concat = Concat { axis };
        let fits = concat.shape(&shapes).ok()?.len() <= pool.elements;
        fits.then(|| Random {
            op: concat.into(),
            inputs,
            frac,
        })
    }
}
