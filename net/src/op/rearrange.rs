//! Another order of a tensor's elements: what is left of transposes, reshapes, shuffles and space-to-depth.

use super::{Operator, Pool, Random, one};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::{ArrayLayout, Shape};
use rand::rngs::StdRng;
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
    pub fn random(_r: &mut StdRng, _pool: &Pool) -> Option<Random> {
        None
    }
}
