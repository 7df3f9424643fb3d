//! Sums and differences: operands brought to one scale, added exactly, rounded once.

use super::{Operator, Pool, Random, random};
use crate::activation::Activation;
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use cnna_machine::layout::Shape;
use cnna_machine::num::requantise;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Sum of tensors of one shape, some of them subtracted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Add {
    /// For each input, true when it is subtracted.
    pub negative: Vec<bool>,
    /// Applied after saturation: never a table.
    pub activation: Activation,
}

impl Add {
    /// A plain sum of `n` tensors.
    pub fn of(n: usize) -> Self {
        Add {
            negative: vec![false; n],
            activation: Activation::None,
        }
    }

    /// Weights that bring the inputs to the scale of the finest, and that scale.
    pub fn weights(&self, fracs: &[i32]) -> (Vec<i64>, i32) {
        let finest = fracs.iter().copied().max().unwrap_or(0);
        let weight = |(&f, &n): (&i32, &bool)| {
            let w = 1i64 << (finest - f).clamp(0, 40);
            if n { -w } else { w }
        };
        (fracs.iter().zip(&self.negative).map(weight).collect(), finest)
    }
}

impl Operator for Add {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let Some(&first) = inputs.first() else {
            return Err("it has no input".into());
        };
        if inputs.len() != self.negative.len() {
            return Err(format!(
                "it has {} inputs, expected {}",
                inputs.len(),
                self.negative.len()
            ));
        }
        match inputs.iter().find(|s| **s != first) {
            None => self.activation.check(first.c).map(|()| first),
            Some(other) => Err(format!("its inputs are {first} and {other}, expected equal shapes")),
        }
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        let fracs = || inputs.iter().map(|(_, f)| *f);
        let (low, high) = (fracs().min().unwrap_or(0), fracs().max().unwrap_or(0));
        match high - low < 32 && inputs.len() < 1 << 16 {
            true => Ok(vec![high - out.frac]),
            false => Err(format!("its inputs have {low} to {high} fraction bits: too far apart")),
        }
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let fracs: Vec<i32> = inputs.iter().map(|i| i.frac).collect();
        let (weights, finest) = self.weights(&fracs);
        let mut words = Words::default();
        for at in 0..out.shape.len() {
            let acc = inputs.iter().zip(&weights).map(|(i, w)| i64::from(i.words[at]) * w).sum();
            let r = requantise(acc, finest - out.frac, out.word);
            words.saturated += u64::from(self.activation.alarms(r, out));
            words.values.push(r.value);
        }
        self.activation.apply(&mut words.values, out.shape.c, out.frac, out.word);
        words
    }

    fn constants(&self) -> Vec<&Values> {
        self.activation.constant().into_iter().collect()
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        self.activation.constant_mut().into_iter().collect()
    }
}

impl Add {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (first, shape, frac) = pool.any(r)?;
        // What the finest operand is multiplied by more than the coarsest must be a word.
        let most = pool.word.bits() as i32 - 2;
        let n = random::pick(r, &[2, 2, 2, 3, 4]);
        let (mut inputs, mut low, mut high) = (vec![first], frac, frac);
        while inputs.len() < n {
            let fits = pool.those(|s, f| s == shape && high.max(f) - low.min(f) <= most);
            let next = random::pick(r, &fits);
            (low, high) = (low.min(pool.tensors[next].1), high.max(pool.tensors[next].1));
            inputs.push(next);
        }
        let negative = inputs.iter().map(|_| r.random_ratio(1, 4)).collect();
        let frac = match r.random() {
            true => low,
            false => random::frac_near(r, high),
        };
        let add = Add {
            negative,
            activation: random::activation(r, shape.c, frac, pool.word),
        };
        Some(Random {
            op: add.into(),
            inputs,
            frac,
        })
    }
}
