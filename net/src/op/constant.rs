//! A tensor that the model holds.

use super::{Operator, Pool, Random, random};
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use cnna_machine::layout::Shape;
use cnna_machine::num::quantise;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// A tensor that the model holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    /// Its shape.
    pub shape: Shape,
    /// [channel][row][column].
    pub values: Values,
}

impl Operator for Constant {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs.is_empty() && self.values.len() == self.shape.len() {
            true => Ok(self.shape),
            false => Err(format!(
                "it has {} inputs and {} elements for {}",
                inputs.len(),
                self.values.len(),
                self.shape
            )),
        }
    }

    fn run(&self, _inputs: &[Operand], out: &Target) -> Words {
        let word = |&x: &f32| quantise(f64::from(x), out.frac, out.word).unwrap_or(0);
        Words::exact(match &self.values {
            Values::Words(w, _) => w.clone(),
            other => other.to_reals(out.frac).iter().map(word).collect(),
        })
    }

    fn constants(&self) -> Vec<&Values> {
        vec![&self.values]
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        vec![&mut self.values]
    }
}

impl Constant {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        // Of another tensor's shape and format, so that the two can meet.
        let (_, shape, frac) = pool.any(r)?;
        let values = Values::Words(random::words(r, shape.len(), pool.word), frac);
        Some(Random {
            op: Constant { shape, values }.into(),
            inputs: Vec::new(),
            frac,
        })
    }
}
