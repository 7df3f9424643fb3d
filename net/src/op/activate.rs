//! A function of each value: brought to the output's format, saturated, then activated; or by table from format to format.

use super::{Operator, Pool, Random, one, random};
use crate::activation::{Activation, Function, Table};
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use cnna_machine::layout::Shape;
use cnna_machine::num::requantise;
use rand::Rng;
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
            Activation::Table(_) => Ok(i),
            other => other.check(i.c).map(|()| i),
        }
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        Ok(match self.function {
            Activation::Table(_) => Vec::new(),
            _ => vec![inputs[0].1 - out.frac],
        })
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
            words.saturated += u64::from(self.function.alarms(r, out));
            words.values.push(r.value);
        }
        self.function.apply(&mut words.values, out.shape.c, out.frac, out.word);
        words
    }

    fn constants(&self) -> Vec<&Values> {
        self.function.constant().into_iter().collect()
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        self.function.constant_mut().into_iter().collect()
    }

    fn keeps_format(&self) -> bool {
        matches!(self.function, Activation::Relu | Activation::Clip { .. })
    }
}

impl Activate {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, shape, input_frac) = pool.any(r)?;
        let other = random::frac_near(r, input_frac);
        let (function, frac) = match r.random_range(0..12) {
            0 => (Activation::None, other),
            1 => (Activation::Relu, input_frac),
            2 | 3 => (random::clip(r, input_frac, pool.word), input_frac),
            4 | 5 => {
                let frac = random::pick(r, &[input_frac, other]);
                (Activation::PRelu(random::slopes(r, shape.c)), frac)
            }
            6 | 7 => (random::activation(r, shape.c, input_frac, pool.word), input_frac),
            _ => {
                let (alpha, beta) = random::pick(r, &[(0.2, 0.5), (1.0 / 6.0, 0.5), (-0.7, 0.1)]);
                let f = random::pick(
                    r,
                    &[
                        Function::Sigmoid,
                        Function::Tanh,
                        Function::HardSigmoid { alpha, beta },
                        Function::HardSwish,
                        Function::Silu,
                        Function::Gelu,
                        Function::Mish,
                    ],
                );
                (Activation::Table(f), pool.frac(r))
            }
        };
        Some(Random {
            op: Activate { function }.into(),
            inputs: vec![at],
            frac,
        })
    }
}
