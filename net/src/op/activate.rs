//! A function of each value: brought to the output's format, saturated, then activated; or by table from format to format.

use super::{Operator, Pool, Random, one};
use crate::activation::{Activation, Table};
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use cnna_machine::layout::Shape;
use cnna_machine::num::requantise;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// A function of each value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activate {
    /// Which.
    pub function: Activation,
}

impl Operator for Activate {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        match &self.function {
            Activation::PRelu(m) if ![1, i.c].contains(&m.len()) => Err(format!(
                "it has {} slopes for {} channels",
                m.len(),
                i.c
            )),
            _ => Ok(i),
        }
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let x = &inputs[0];
        if let Activation::Table(f) = self.function {
            let table = Table::new(f, x.frac, out.frac, out.word);
            return Words::exact(x.words.iter().map(|&q| table.apply(q, out.word)).collect());
        }
        let mut words = Words::default();
        for &q in x.words {
            let r = requantise(q.into(), x.frac - out.frac, out.word);
            words.saturated += u64::from(r.saturated);
            words.values.push(r.value);
        }
        self.function.apply(&mut words.values, out.shape.c, out.frac, out.word);
        words
    }

    fn constants(&self) -> Vec<&Values> {
        match &self.function {
            Activation::PRelu(m) => vec![m],
            _ => Vec::new(),
        }
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        match &mut self.function {
            Activation::PRelu(m) => vec![m],
            _ => Vec::new(),
        }
    }

    fn keeps_format(&self) -> bool {
        matches!(self.function, Activation::Relu | Activation::Clip { .. })
    }
}

impl Activate {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(_r: &mut StdRng, _pool: &Pool) -> Option<Random> {
        None
    }
}
