//! Average pooling: the window's sum times one constant weight, one rounding. Where the border makes the count of positions
//! another, so does the weight.

use super::max_pool::pooled;
use super::{Operator, Pool, Random, random};
use crate::run::{Operand, Target, Words};
use crate::window::{Padding, Window};
use cnna_machine::layout::Shape;
use cnna_machine::num::{Word, requantise};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Mean over a window of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AveragePool {
    /// Kernel and its steps.
    pub window: Window,
    /// Part of the border whose zeros count as positions: none of it, or the model's own without what rounding up added.
    pub counted: Padding,
}

/// The weight `r` and shift `t` with least `|n * r / 2^t - 1|`, `r` a positive word: the mean of `n` values.
pub fn reciprocal(n: usize, word: Word) -> (i16, i32) {
    let n = n as f64;
    let mut best = (1, 0, f64::INFINITY);
    for t in 0..46 {
        let r = (2f64.powi(t) / n).round();
        if r < 1.0 || r > word.max() as f64 {
            continue;
        }
        let error = (n * r / 2f64.powi(t) - 1.0).abs();
        if error < best.2 {
            best = (r as i16, t, error);
        }
    }
    (best.0, best.1)
}

impl AveragePool {
    /// Positions that count for result `at` along an axis of `size`.
    pub fn count(&self, axis: usize, at: usize, size: usize) -> usize {
        let w = &self.window;
        let [before, after] = match axis {
            0 => [self.counted.top, self.counted.bottom],
            _ => [self.counted.left, self.counted.right],
        };
        let origin = (at * w.stride[axis]) as isize - w.border(axis)[0] as isize;
        let counts = |k: &usize| {
            let p = origin + (k * w.dilation[axis]) as isize;
            p >= -(before as isize) && p < (size + after) as isize
        };
        (0..w.kernel[axis]).filter(counts).count()
    }
}

impl Operator for AveragePool {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let within = |axis: usize| {
            let counted = Window {
                pad: self.counted,
                ..self.window
            };
            let all = self.window.border(axis);
            counted.border(axis).iter().zip(all).all(|(c, p)| *c <= p)
        };
        match within(0) && within(1) {
            true => pooled(&self.window, inputs),
            false => Err("zeros count that its border has not".into()),
        }
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        let (i, frac) = inputs[0];
        let distinct = |axis: usize, results: usize, size: usize| -> BTreeSet<usize> {
            (0..results).map(|at| self.count(axis, at, size)).collect()
        };
        let columns = distinct(1, out.shape.w, i.w);
        let counts = distinct(0, out.shape.h, i.h);
        let counts = counts.iter().flat_map(|r| columns.iter().map(move |c| (r * c).max(1)));
        Ok(counts.map(|n| reciprocal(n, out.word).1 + frac - out.frac).collect())
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let (w, i, o) = (&self.window, inputs[0].shape, out.shape);
        let rows: Vec<usize> = (0..o.h).map(|y| self.count(0, y, i.h)).collect();
        let columns: Vec<usize> = (0..o.w).map(|x| self.count(1, x, i.w)).collect();
        // The weight belongs to the place, whatever the channel.
        let weight = |n: usize| reciprocal(n.max(1), out.word);
        let weights: Vec<(i16, i32)> = rows
            .iter()
            .flat_map(|r| columns.iter().map(move |c| weight(r * c)))
            .collect();
        let mut words = Words::default();
        for c in 0..i.c {
            let plane = &inputs[0].words[c * i.h * i.w..][..i.h * i.w];
            for oy in 0..o.h {
                for ox in 0..o.w {
                    let mut sum = 0i64;
                    for ky in w.valid_taps(0, oy, i.h) {
                        for kx in w.valid_taps(1, ox, i.w) {
                            let y = oy * w.stride[0] + ky * w.dilation[0] - w.pad.top;
                            let x = ox * w.stride[1] + kx * w.dilation[1] - w.pad.left;
                            sum += i64::from(plane[y * i.w + x]);
                        }
                    }
                    let (r, t) = weights[oy * o.w + ox];
                    let shift = t + inputs[0].frac - out.frac;
                    let q = requantise(sum * i64::from(r), shift, out.word);
                    words.saturated += u64::from(q.saturated);
                    words.values.push(q.value);
                }
            }
        }
        words
    }

    fn macs(&self, _inputs: &[Shape], output: Shape) -> u64 {
        (output.len() * self.window.kernel[0] * self.window.kernel[1]) as u64
    }
}

impl AveragePool {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, input_frac) = pool.any(r)?;
        let window = match r.random_range(0..4) {
            0 => Window::plain(i.h, i.w),
            1 if i.h > 1 && i.w > 1 => Window {
                stride: [2, 2],
                ..Window::plain(2, 2)
            },
            _ => random::window(r, i, 5),
        };
        let mut counted = match r.random_range(0..3) {
            0 => Padding::default(),
            _ => window.pad,
        };
        if r.random_ratio(1, 3) {
            // The rest is what rounding the output's size up added.
            counted.bottom = counted.bottom.saturating_sub(1);
            counted.right = counted.right.saturating_sub(1);
        }
        let pooling = AveragePool { window, counted };
        let o = pooling.shape(&[i]).ok()?;
        let fits = o.len() <= pool.elements && pooling.macs(&[i], o) as usize <= pool.macs;
        let frac = match r.random_range(0..4) {
            0 => input_frac + r.random_range(-2..=2),
            _ => input_frac,
        };
        fits.then(|| Random {
            op: pooling.into(),
            inputs: vec![at],
            frac,
        })
    }
}
