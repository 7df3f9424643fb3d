//! Transposed convolution: for every phase of the output's rows and columns a convolution with the taps that reach it. Rows
//! of phases interleave by address, columns row by row through a matrix.

use crate::act::Act;
use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::{BufferId, Build};
use crate::place::Part;
use crate::stage::Taps;
use cnna_machine::layout::Shape;
use cnna_net::Node;
use cnna_net::op::ConvTranspose;
use std::borrow::Cow;

/// Taps of one axis that reach a phase: kernel positions in the order of their input positions, the first input position of
/// the phase's first result, and the distance between input positions.
struct Phase {
    kernel: Vec<usize>,
    first: i64,
    dilation: usize,
}

fn phase(c: &ConvTranspose, axis: usize, p: usize) -> Phase {
    let w = &c.window;
    let (s, d) = (w.stride[axis] as i64, w.dilation[axis] as i64);
    let at = |k: usize| (p + w.border(axis)[0]) as i64 - k as i64 * d;
    let kernel: Vec<usize> = (0..w.kernel[axis])
        .rev()
        .filter(|&k| at(k).rem_euclid(s) == 0)
        .collect();
    let position = |k: usize| at(k).div_euclid(s);
    Phase {
        first: kernel.first().map_or(0, |&k| position(k)),
        dilation: match kernel[..] {
            [a, b, ..] => (position(b) - position(a)) as usize,
            _ => 1,
        },
        kernel,
    }
}

/// Results of a phase along an axis of `n`.
fn count(n: usize, phase: usize, stride: usize) -> usize {
    (n - phase.min(n)).div_ceil(stride)
}

pub fn lower<'a>(
    b: &mut Build<'_, 'a>,
    n: &'a Node,
    c: &'a ConvTranspose,
) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let act = b.act(&c.activation, output)?;
    let [sy, sx] = c.window.stride;
    let o = b.shape(output);
    for py in 0..sy.min(o.h) {
        let h = count(o.h, py, sy);
        let rows = Part {
            of: output,
            channel: 0,
            row: py,
            row_step: sy,
        };
        let rows = b.part(rows, Shape { h, ..o });
        if sx == 1 {
            convolve(b, n, c, [py, 0], &act, input, rows)?;
            continue;
        }
        // All columns of a phase, side by side as channels; the matrix takes the ones that exist.
        let w = o.w.div_ceil(sx);
        let frac = b.frac(output);
        let phases: Vec<BufferId> = (0..sx.min(o.w))
            .map(|_| b.temporary(Shape { c: o.c, h, w }, frac))
            .collect();
        for (px, &phase) in phases.iter().enumerate() {
            // A column that does not exist must not count as saturated.
            let to = b.narrow(phase, count(o.w, px, sx));
            convolve(b, n, c, [py, px], &act, input, to)?;
        }
        interleave(b, &phases, o.w, rows)?;
    }
    Ok(())
}

/// The convolution of one phase.
fn convolve<'a>(
    b: &mut Build<'_, 'a>,
    n: &'a Node,
    c: &'a ConvTranspose,
    [py, px]: [usize; 2],
    act: &Act,
    input: BufferId,
    to: BufferId,
) -> Result<(), CompileError> {
    let (weights, frac) = c.weights.words().expect("checked before");
    let bias = c.bias.sums().ok_or_else(|| CompileError::Network {
        layer: n.name.clone(),
        message: "its bias is not quantised".into(),
    })?;
    let (rows, columns) = (phase(c, 0, py), phase(c, 1, px));
    let [kh, kw] = c.window.kernel;
    let inputs = b.shape(input).c / c.groups;
    let per_group = c.oc / c.groups;
    // A phase that no tap reaches is bias alone: one tap of weight 0.
    let one = |v: &[usize]| v.len().max(1);
    let taps = [one(&rows.kernel), one(&columns.kernel)];
    let mut words = vec![0; c.oc * inputs * taps[0] * taps[1]];
    for o in 0..c.oc {
        for i in 0..inputs {
            let from = ((o / per_group * inputs + i) * per_group + o % per_group) * kh * kw;
            let at = (o * inputs + i) * taps[0] * taps[1];
            for (y, ky) in rows.kernel.iter().enumerate() {
                for (x, kx) in columns.kernel.iter().enumerate() {
                    words[at + y * taps[1] + x] = weights[from + ky * kw + kx];
                }
            }
        }
    }
    let l = Linear {
        outputs: c.oc,
        groups: c.groups,
        inputs,
        taps,
        weights: words.into(),
        bias: Cow::Borrowed(bias),
        shift: b.frac(input) + frac - b.frac(n.output),
        act: act.clone(),
        ..Linear::default()
    };
    let taps = Taps {
        kernel: taps,
        stride: [1, 1],
        dilation: [rows.dilation, columns.dilation],
        first: [rows.first, columns.first],
    };
    b.linear(l, taps, input, to)
}

/// Column `s * x + p` of the output is column `x` of phase `p`.
fn interleave(
    b: &mut Build<'_, '_>,
    phases: &[BufferId],
    columns: usize,
    to: BufferId,
) -> Result<(), CompileError> {
    let c = b.shape(to).c;
    interleave_sources(b, phases.iter().map(|&p| (p, 0..c)).collect(), columns, to)
}

/// The same for some channels of each.
pub fn interleave_sources(
    b: &mut Build<'_, '_>,
    sources: Vec<(BufferId, std::ops::Range<usize>)>,
    columns: usize,
    to: BufferId,
) -> Result<(), CompileError> {
    let s = sources.len();
    let Shape { h, w, .. } = b.shape(sources[0].0);
    let mut weights = vec![0; columns * s * w];
    for x in 0..columns {
        weights[(x * s + x % s) * w + x / s] = 1;
    }
    let targets = (0..h).map(|y| vec![y]).collect();
    b.rearranged(weights, sources, targets, to)
}
