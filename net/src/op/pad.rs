//! A border of one value around a tensor.

use super::{Operator, Pool, Random, one, random};
use crate::run::{Operand, Target, Words};
use cnna_machine::layout::Shape;
use cnna_machine::num::{dequantise, quantise};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// A border of one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    /// Channels, rows and columns before.
    pub before: [usize; 3],
    /// Channels, rows and columns behind.
    pub after: [usize; 3],
    /// The value.
    #[serde(with = "crate::values::real")]
    pub value: f32,
}

impl Operator for Pad {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let mut sides = one(inputs)?.sides();
        for (axis, side) in sides.iter_mut().enumerate() {
            let border = self.before[axis].checked_add(self.after[axis]);
            *side = border
                .and_then(|b| side.checked_add(b))
                .ok_or("its border is larger than can be counted")?;
        }
        Ok(Shape::of(sides))
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let (i, o) = (inputs[0].shape, out.shape);
        let value = quantise(f64::from(self.value), out.frac, out.word).unwrap_or(0);
        let mut values = vec![value; o.len()];
        let [c0, y0, x0] = self.before;
        for c in 0..i.c {
            for y in 0..i.h {
                let from = &inputs[0].words[(c * i.h + y) * i.w..][..i.w];
                values[((c + c0) * o.h + y + y0) * o.w + x0..][..i.w].copy_from_slice(from);
            }
        }
        Words::exact(values)
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl Pad {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, _, frac) = pool.any(r)?;
        let mut pad = Pad {
            before: [0; 3],
            after: [0; 3],
            value: match r.random_range(0..4) {
                0 | 1 => 0.0,
                2 => f32::NEG_INFINITY,
                _ => dequantise(random::words(r, 1, pool.word)[0], frac) as f32,
            },
        };
        for axis in 0..3 {
            // Mostly rows and columns.
            if r.random_ratio(if axis == 0 { 1 } else { 3 }, 4) {
                pad.before[axis] = r.random_range(0..=3);
                pad.after[axis] = r.random_range(0..=3);
            }
        }
        pool.keeping(pad, at)
    }
}
