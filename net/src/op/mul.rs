//! Products: exact, rounded once. A gate has one value a channel (squeeze and excite) or a pixel.

use super::{Operator, Pool, Random, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
use cnna_machine::num::{SHIFT_RANGE, requantise};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Product of two tensors; a side of 1 in the second is repeated along the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mul {}

impl Operator for Mul {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let &[a, b] = inputs else {
            return Err(format!("it has {} inputs, expected two", inputs.len()));
        };
        let fits = |a: usize, b: usize| b == a || b == 1;
        match fits(a.c, b.c) && fits(a.h, b.h) && fits(a.w, b.w) {
            true => Ok(a),
            false => Err(format!(
                "its second input {b} is not {a} with some sides 1: write the larger one first"
            )),
        }
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        Ok(vec![inputs[0].1 + inputs[1].1 - out.frac])
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let (a, b) = (&inputs[0], &inputs[1]);
        let side = |n: usize, i: usize| if n == 1 { 0 } else { i };
        let shift = a.frac + b.frac - out.frac;
        let mut words = Words::default();
        let s = a.shape;
        for c in 0..s.c {
            for y in 0..s.h {
                for x in 0..s.w {
                    let v = a.words[(c * s.h + y) * s.w + x];
                    let g = (side(b.shape.c, c) * b.shape.h + side(b.shape.h, y)) * b.shape.w
                        + side(b.shape.w, x);
                    let acc = i64::from(v) * i64::from(b.words[g]);
                    let r = requantise(acc, shift, out.word);
                    words.saturated += u64::from(r.saturated);
                    words.values.push(r.value);
                }
            }
        }
        words
    }

    fn macs(&self, _inputs: &[Shape], output: Shape) -> u64 {
        output.len() as u64
    }
}

impl Mul {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (first, shape, frac) = pool.any(r)?;
        let gate = |s: Shape| s == shape || [s.c, s.h, s.w] == [shape.c, 1, 1] || [s.c, s.h, s.w] == [1, shape.h, shape.w];
        let second = random::pick(r, &pool.those(|s, _| gate(s)));
        let sum = frac + pool.tensors[second].1;
        Some(Random {
            op: Mul {}.into(),
            inputs: vec![first, second],
            // About the shift at which the largest product fits the word.
            frac: random::frac_near(r, sum - (pool.word.bits() as i32 - 1)).clamp(
                sum - SHIFT_RANGE.end(),
                sum - SHIFT_RANGE.start(),
            ),
        })
    }
}
