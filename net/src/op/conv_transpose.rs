//! Transposed convolution: each input value adds its weighted kernel to the output, `stride` apart.

use super::{Operator, Pool, Random, one, random};
use crate::activation::Activation;
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use crate::window::Window;
use cnna_machine::layout::Shape;
use cnna_machine::num::requantise;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Transposed convolution in two dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvTranspose {
    /// Output channels.
    pub oc: usize,
    /// Groups, as for a convolution.
    pub groups: usize,
    /// Kernel; `stride` output pixels between the kernels of neighbouring inputs; `pad` is cut off the output.
    pub window: Window,
    /// Rows below and columns to the right that are added to the output.
    pub extra: [usize; 2],
    /// [ic][oc / groups][kh][kw].
    pub weights: Values,
    /// [oc]; once quantised, in the accumulator's scale.
    pub bias: Values,
    /// Applied after saturation: never a table.
    pub activation: Activation,
}

impl ConvTranspose {
    /// The convolution of each phase. For output row `s * Y + p` only kernel rows `k = (p + pad) mod s (+ n s)` count:
    /// calls `f(kernel row, input row)` for each that falls into the map of `size`.
    fn taps(&self, axis: usize, at: usize, size: usize, mut f: impl FnMut(usize, usize)) {
        let w = &self.window;
        for k in 0..w.kernel[axis] {
            let y = (at + w.border(axis)[0]) as isize - (k * w.dilation[axis]) as isize;
            let s = w.stride[axis] as isize;
            if y >= 0 && y % s == 0 && ((y / s) as usize) < size {
                f(k, (y / s) as usize);
            }
        }
    }
}

impl Operator for ConvTranspose {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        let w = &self.window;
        let dims = [self.oc, i.c, self.groups];
        super::linear_shape(dims, w, &self.weights, &self.bias, &self.activation)?;
        let side = |size: usize, axis: usize| {
            let [before, after] = w.border(axis);
            let steps = size.saturating_sub(1).checked_mul(w.stride[axis]);
            steps
                .and_then(|n| n.checked_add(w.span(axis)))
                .and_then(|n| n.checked_add(self.extra[axis]))
                .and_then(|n| n.checked_sub(before)?.checked_sub(after))
                .filter(|&n| n > 0)
                .ok_or_else(|| format!("its padding of {before} and {after} leaves nothing"))
        };
        Ok(Shape {
            c: self.oc,
            h: side(i.h, 0)?,
            w: side(i.w, 1)?,
        })
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        super::linear_shift(inputs[0].1, &self.weights, &self.bias, out)
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let x = &inputs[0];
        let (weights, frac) = self.weights.words().expect("the graph is quantised");
        let bias = self.bias.sums().expect("the graph is quantised");
        let shift = x.frac + frac - out.frac;
        let (i, o) = (x.shape, out.shape);
        let [kh, kw] = self.window.kernel;
        let (ic, per_group) = (i.c / self.groups, self.oc / self.groups);
        let mut words = Words::default();
        for (oc, &start) in bias.iter().enumerate() {
            let (group, within) = (oc / per_group, oc % per_group);
            for oy in 0..o.h {
                for ox in 0..o.w {
                    let mut acc = start;
                    self.taps(0, oy, i.h, |ky, y| {
                        self.taps(1, ox, i.w, |kx, column| {
                            for c in group * ic..(group + 1) * ic {
                                let v = x.words[(c * i.h + y) * i.w + column];
                                let w = weights[((c * per_group + within) * kh + ky) * kw + kx];
                                acc += i64::from(i32::from(v) * i32::from(w));
                            }
                        });
                    });
                    let r = requantise(acc, shift, out.word);
                    words.saturated += u64::from(self.activation.alarms(r, out));
                    words.values.push(r.value);
                }
            }
        }
        self.activation.apply(&mut words.values, self.oc, out.frac, out.word);
        words
    }

    fn macs(&self, inputs: &[Shape], _output: Shape) -> u64 {
        let [kh, kw] = self.window.kernel;
        let i = inputs.first().map_or(0, Shape::len);
        (i * (self.oc / self.groups.max(1)) * kh * kw) as u64
    }

    fn constants(&self) -> Vec<&Values> {
        let linear = [&self.weights, &self.bias];
        linear.into_iter().chain(self.activation.constant()).collect()
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        let linear = [&mut self.weights, &mut self.bias];
        linear.into_iter().chain(self.activation.constant_mut()).collect()
    }
}

impl ConvTranspose {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, input_frac) = pool.any(r)?;
        let groups = match r.random_range(0..6) {
            0..=3 => 1,
            4 => i.c,
            _ => random::divisor(r, i.c),
        };
        let mut window = random::window(r, i, 5);
        window.stride = match r.random_range(0..3) {
            0 => [2, 2],
            1 => [r.random_range(1..=4), r.random_range(1..=4)],
            _ => {
                // Each output pixel from one input pixel.
                window.kernel = [r.random_range(1..=4), r.random_range(1..=4)];
                window.kernel
            }
        };
        let extra = match r.random() {
            true => [0, 0],
            false => window.stride.map(|s| r.random_range(0..s)),
        };
        let mut conv = ConvTranspose {
            oc: groups,
            groups,
            window,
            extra,
            weights: Values::Words(vec![0; i.c * window.kernel[0] * window.kernel[1]], 0),
            bias: Values::Sums(vec![0; groups]),
            activation: Activation::None,
        };
        // With one channel a group: how many more are there room for?
        let o = conv.shape(&[i]).ok()?;
        let most = (pool.macs / conv.macs(&[i], o) as usize).min(pool.elements / o.len());
        let per_group = match groups {
            1 => random::channels(r),
            _ => random::pick(r, &[1, 1, 2, 3]),
        };
        let per_group = per_group.min(most);
        if per_group == 0 {
            return None;
        }
        conv.oc = groups * per_group;
        let (taps, ic) = (window.kernel[0] * window.kernel[1], i.c / groups);
        let n = i.c * per_group * taps;
        let channel = |k: usize| k / (per_group * taps) / ic * per_group + k / taps % per_group;
        let sums = random::sums(r, pool, input_frac, n, conv.oc, channel);
        conv.weights = sums.weights;
        conv.bias = sums.bias;
        conv.activation = random::activation(r, conv.oc, sums.frac, pool.word);
        Some(Random {
            op: conv.into(),
            inputs: vec![at],
            frac: sums.frac,
        })
    }
}
