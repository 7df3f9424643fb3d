//! Max pooling: the maximum over the window's valid positions; padding never wins.

use super::LayerResult;
use crate::layer::{Shape, Window};
use crate::num::Word;

pub(super) fn run(w: &Window, i: Shape, o: Shape, word: Word, x: &[i16]) -> LayerResult {
    let mut values = Vec::with_capacity(o.len());
    for c in 0..i.c {
        let plane = &x[c * i.h * i.w..][..i.h * i.w];
        for oy in 0..o.h {
            for ox in 0..o.w {
                let mut best = word.min() as i16;
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
    LayerResult {
        values,
        saturated: 0,
    }
}
