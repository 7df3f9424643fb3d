//! Max pooling: the maximum over the window's valid positions; padding never wins.

use super::{Operator, Pool, Random, one, random};
use crate::run::{Operand, Target, Words};
use crate::window::Window;
use cnna_machine::layout::Shape;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Maximum over a window of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Kernel and its steps.
    pub window: Window,
}

/// The shape of a pooling's output.
pub(super) fn pooled(w: &Window, inputs: &[Shape]) -> Result<Shape, String> {
    let i = one(inputs)?;
    if w.kernel.contains(&0) || w.stride.contains(&0) || w.dilation.contains(&0) {
        return Err("a kernel, stride or dilation of zero".into());
    }
    let [h, w] = w
        .output(i.h, i.w)
        .ok_or_else(|| format!("its kernel {:?} is larger than its padded input {i}", w.kernel))?;
    Ok(Shape { c: i.c, h, w })
}

impl Operator for MaxPool {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        pooled(&self.window, inputs)
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let (w, i, o) = (&self.window, inputs[0].shape, out.shape);
        let mut values = Vec::with_capacity(o.len());
        for c in 0..i.c {
            let plane = &inputs[0].words[c * i.h * i.w..][..i.h * i.w];
            for oy in 0..o.h {
                for ox in 0..o.w {
                    let mut best = out.word.min() as i16;
                    for ky in 0..w.kernel[0] {
                        for kx in 0..w.kernel[1] {
                            let y = (oy * w.stride[0] + ky * w.dilation[0]).wrapping_sub(w.pad.top);
                            let x = (ox * w.stride[1] + kx * w.dilation[1]).wrapping_sub(w.pad.left);
                            if y < i.h && x < i.w {
                                best = best.max(plane[y * i.w + x]);
                            }
                        }
                    }
                    values.push(best);
                }
            }
        }
        Words::exact(values)
    }

    fn keeps_format(&self) -> bool {
        true
    }
}

impl MaxPool {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, _) = pool.any(r)?;
        let window = match r.random_range(0..4) {
            0 if i.h > 1 && i.w > 1 => Window {
                stride: [2, 2],
                ..Window::plain(2, 2)
            },
            1 => Window::plain(i.h, i.w),
            _ => random::window(r, i, 5),
        };
        let [h, w] = window.output(i.h, i.w)?;
        if i.c * h * w * window.kernel[0] * window.kernel[1] > pool.macs {
            return None;
        }
        pool.keeping(MaxPool { window }, at)
    }
}
