//! Convolution and fully connected: `acc = bias + sum(x * w)` exactly, then requantise, then activate.

use super::LayerResult;
use crate::layer::{Conv, Padding, Shape};
use crate::num::{Word, requantise};

/// Multiply-accumulates from which a layer is worth the machine's other cores.
const PARALLEL: usize = 1 << 26;

pub(super) fn run(c: &Conv, i: Shape, o: Shape, word: Word, x: &[i16]) -> LayerResult {
    let mut values = vec![0; o.len()];
    let pixels = o.h * o.w;
    let work = o.len() * i.c * c.window.kernel[0] * c.window.kernel[1];
    let threads = match work {
        0..PARALLEL => 1,
        _ => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    // Output channels are independent: each thread has a run of them.
    let share = c.oc.div_ceil(threads);
    let saturated = std::thread::scope(|scope| {
        let workers: Vec<_> = values
            .chunks_mut(share * pixels)
            .enumerate()
            .map(|(n, out)| scope.spawn(move || channels(c, i, o, word, x, n * share, out)))
            .collect();
        workers
            .into_iter()
            .map(|w| w.join().expect("integer loops do not panic"))
            .sum()
    });
    LayerResult { values, saturated }
}

/// Output channels from `first` on into `out`; returns how many results saturation changed.
fn channels(
    c: &Conv,
    i: Shape,
    o: Shape,
    word: Word,
    x: &[i16],
    first: usize,
    out: &mut [i16],
) -> u64 {
    let [kh, kw] = c.window.kernel;
    let taps = i.c * kh * kw;
    let whole = o.h * o.w == 1 && i.h == kh && i.w == kw && c.window.pad == Padding::default();
    let mut acc = vec![0i64; o.h * o.w];
    let mut saturated = 0;
    for (n, out) in out.chunks_mut(o.h * o.w).enumerate() {
        let oc = first + n;
        acc.fill(c.bias[oc]);
        let weights = &c.weights[oc * taps..][..taps];
        if whole {
            // The kernel covers the input once: one long dot product.
            acc[0] += dot(x, weights);
        } else {
            for (k, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0) {
                let (ic, ky, kx) = (k / (kh * kw), k / kw % kh, k % kw);
                let plane = &x[ic * i.h * i.w..][..i.h * i.w];
                add_tap(c, i, o, plane, [ky, kx], w, &mut acc);
            }
        }
        for (v, &a) in out.iter_mut().zip(&acc) {
            let r = requantise(a, c.shift, word);
            saturated += u64::from(r.saturated);
            *v = c.activation.apply(r.value);
        }
    }
    saturated
}

fn dot(x: &[i16], w: &[i16]) -> i64 {
    // Products of 16-bit words in chunks whose sums fit 64 bits with room: plain and exact.
    x.iter()
        .zip(w)
        .map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b)))
        .sum()
}

/// Adds one kernel tap of one input channel to every output it reaches.
fn add_tap(
    c: &Conv,
    i: Shape,
    o: Shape,
    plane: &[i16],
    [ky, kx]: [usize; 2],
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
