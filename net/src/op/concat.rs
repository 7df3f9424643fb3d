//! Concatenation: tensors behind each other along one axis. All members share one format.

use super::{Operator, Pool, Random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
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
                    *all += side;
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
    pub fn random(_r: &mut StdRng, _pool: &Pool) -> Option<Random> {
        None
    }
}
