//! Convolution and fully connected: `acc = bias + sum(x * w)` exactly, then requantise, then activate.

use super::LayerResult;
use crate::layer::{Conv, Shape};
use crate::num::{Word, requantise};

pub(super) fn run(c: &Conv, i: Shape, o: Shape, word: Word, x: &[i16]) -> LayerResult {
    let mut out = LayerResult {
        values: vec![0; o.len()],
        saturated: 0,
    };
    let [kh, kw] = c.window.kernel;
    let taps = i.c * kh * kw;
    if o.h * o.w == 1 && i.h == kh && i.w == kw {
        // The kernel covers the input once: each output is one long dot product.
        for oc in 0..c.oc {
            let w = &c.weights[oc * taps..][..taps];
            finish(c, oc, &[c.bias[oc] + dot(x, w)], word, &mut out, oc);
        }
        return out;
    }
    let mut acc = vec![0i64; o.h * o.w];
    for oc in 0..c.oc {
        acc.fill(c.bias[oc]);
        for ic in 0..i.c {
            let plane = &x[ic * i.h * i.w..][..i.h * i.w];
            for ky in 0..kh {
                for kx in 0..kw {
                    let w = c.weights[((oc * i.c + ic) * kh + ky) * kw + kx];
                    if w != 0 {
                        add_tap(c, i, o, plane, ky, kx, w, &mut acc);
                    }
                }
            }
        }
        finish(c, oc, &acc, word, &mut out, oc * o.h * o.w);
    }
    out
}

fn dot(x: &[i16], w: &[i16]) -> i64 {
    // Products of 16-bit words in chunks whose sums fit 64 bits with room: plain and exact.
    x.iter()
        .zip(w)
        .map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b)))
        .sum()
}

/// Adds one kernel tap of one input channel to every output it reaches.
#[allow(clippy::too_many_arguments)]
fn add_tap(
    c: &Conv,
    i: Shape,
    o: Shape,
    plane: &[i16],
    ky: usize,
    kx: usize,
    w: i16,
    acc: &mut [i64],
) {
    let [sy, sx] = c.window.stride;
    let [dy, dx] = c.window.dilation;
    let (pad_y, pad_x) = (c.window.pad.top as isize, c.window.pad.left as isize);
    let w = i32::from(w);
    // Output columns whose tap falls inside the map.
    let off = (kx * dx) as isize - pad_x;
    let first = if off < 0 {
        (-off as usize).div_ceil(sx)
    } else {
        0
    };
    let last = ((i.w as isize - 1 - off).div_euclid(sx as isize) + 1).clamp(0, o.w as isize);
    let last = last as usize;
    if first >= last {
        return;
    }
    for oy in 0..o.h {
        let y = (oy * sy + ky * dy) as isize - pad_y;
        if y < 0 || y >= i.h as isize {
            continue;
        }
        let row = &plane[y as usize * i.w..][..i.w];
        let start = (first * sx) as isize + off;
        let row = &row[start as usize..];
        let acc = &mut acc[oy * o.w + first..oy * o.w + last];
        if sx == 1 {
            for (a, &v) in acc.iter_mut().zip(row) {
                *a += i64::from(i32::from(v) * w);
            }
        } else {
            for (a, &v) in acc.iter_mut().zip(row.iter().step_by(sx)) {
                *a += i64::from(i32::from(v) * w);
            }
        }
    }
}

fn finish(c: &Conv, oc: usize, acc: &[i64], word: Word, out: &mut LayerResult, at: usize) {
    debug_assert!(oc < c.oc);
    for (v, &a) in out.values[at..].iter_mut().zip(acc) {
        let r = requantise(a, c.shift, word);
        out.saturated += u64::from(r.saturated);
        *v = c.activation.apply(r.value);
    }
}
