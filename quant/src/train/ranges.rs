//! Ranges of activations as they are learned: the logarithm of each tensor's, whose next power of two is the format's.
//!
//! Source: Jain et al. 2020, arXiv:1903.08066 (trained quantisation thresholds, their gradients normalised).

use cnna_machine::num::Word;
use serde::{Deserialize, Serialize};

/// Largest step of a logarithm.
const RATE: f64 = 0.01;
/// Share of the old mean square in a new one.
const KEPT: f64 = 0.99;

/// By tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ranges {
    log2: Vec<f64>,
    squares: Vec<f64>,
    steps: Vec<i32>,
}

impl Ranges {
    /// In the middle of what has these formats.
    pub fn new(fracs: &[i32], word: Word) -> Self {
        let middle = |f: &i32| f64::from(word.bits() as i32 - 1 - f) - 0.5;
        Ranges {
            log2: fracs.iter().map(middle).collect(),
            squares: vec![0.0; fracs.len()],
            steps: vec![0; fracs.len()],
        }
    }

    /// Follows a gradient; `share` of the largest step.
    pub fn step(&mut self, t: usize, gradient: f64, share: f64) {
        self.steps[t] += 1;
        self.squares[t] = KEPT * self.squares[t] + (1.0 - KEPT) * gradient * gradient;
        let unbiased = self.squares[t] / (1.0 - KEPT.powi(self.steps[t]));
        if unbiased > 0.0 {
            self.log2[t] -= RATE * share * (gradient / unbiased.sqrt()).tanh();
        }
    }

    /// The fraction bits that each tensor asks for.
    pub fn fracs(&self, word: Word) -> Vec<i32> {
        let frac = |l: &f64| word.bits() as i32 - 1 - l.ceil() as i32;
        self.log2.iter().map(frac).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_follow_when_half_a_bit_is_learned() {
        let fracs = [4, -2];
        let mut r = Ranges::new(&fracs, Word::W8);
        assert_eq!(r.fracs(Word::W8), fracs);
        for _ in 0..100 {
            r.step(0, 3.0, 1.0);
            r.step(1, -1e-6, 1.0);
        }
        assert_eq!(r.fracs(Word::W8), [5, -3]);
    }
}
