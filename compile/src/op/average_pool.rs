//! Means: a depthwise convolution with one constant weight; where the border's weight is another, row by row through a
//! matrix.

use super::concat::sum;
use crate::error::CompileError;
use crate::linear::Linear;

use crate::lower::{BufferId, Build};
use crate::place::Part;
use crate::stage::Taps;
use cnna_machine::layout::Shape;
use cnna_net::Node;
use cnna_net::op::AveragePool;
use cnna_net::op::average_pool::reciprocal;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, p: &AveragePool) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let (i, o) = (b.graph.tensors[input].shape, b.graph.tensors[output].shape);
    let rows: Vec<usize> = (0..o.h).map(|y| p.count(0, y, i.h)).collect();
    let columns: Vec<usize> = (0..o.w).map(|x| p.count(1, x, i.w)).collect();
    let scale = b.frac(input) - b.frac(output);
    let taps = Taps::of(&p.window);
    let same = |v: &[usize]| v.iter().all(|c| *c == v[0]);
    if same(&rows) && same(&columns) {
        let (r, t) = reciprocal((rows[0] * columns[0]).max(1), b.word());
        let [kh, kw] = p.window.kernel;
        let l = Linear {
            outputs: i.c,
            groups: i.c,
            inputs: 1,
            taps: [kh, kw],
            weights: vec![r; i.c * kh * kw].into(),
            bias: vec![0; i.c].into(),
            shift: t + scale,
            ..Linear::default()
        };
        return b.linear(l, taps, input, output);
    }
    // Runs of rows of equal counts, each with a matrix for its columns. The shift belongs to a whole stage: columns of
    // another one are a tensor of their own, with zeros elsewhere, and these are added.
    for (from, to) in runs(&rows) {
        let weight = |x: usize| reciprocal((rows[from] * columns[x]).max(1), b.word());
        let weights: Vec<(i16, i32)> = (0..o.w).map(weight).collect();
        let mut shifts: Vec<i32> = weights.iter().map(|w| w.1).collect();
        shifts.sort_unstable();
        shifts.dedup();
        let part = Part {
            of: output,
            channel: 0,
            row: from,
            row_step: 1,
        };
        let shape = Shape { h: to - from, ..o };
        let whole = b.part(part, shape);
        let mut members = Vec::new();
        for &shift in &shifts {
            let member = match shifts.len() {
                1 => whole,
                _ => b.temporary_like(whole),
            };
            let of_shift = |x: usize| (weights[x].1 == shift).then_some(weights[x].0);
            let matrix = matrix(p, i.w, o.w, of_shift);
            stage(b, n, p, from, matrix, shift + scale, member)?;
            members.push(member);
        }
        if members.len() > 1 {
            sum(b, members, whole)?;
        }
    }
    Ok(())
}

/// Runs of equal counts.
fn runs(counts: &[usize]) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for at in 0..counts.len() {
        match all.last_mut() {
            Some((from, to)) if counts[*from] == counts[at] => *to = at + 1,
            _ => all.push((at, at + 1)),
        }
    }
    all
}

/// The matrix of a row: [output column][tap row][input column], `weight` for each column's taps.
fn matrix(
    p: &AveragePool,
    w: usize,
    columns: usize,
    weight: impl Fn(usize) -> Option<i16>,
) -> Vec<i16> {
    let kh = p.window.kernel[0];
    let mut all = vec![0; columns * kh * w];
    for x in 0..columns {
        let Some(r) = weight(x) else { continue };
        for kx in p.window.valid_taps(1, x, w) {
            let at = x * p.window.stride[1] + kx * p.window.dilation[1] - p.window.pad.left;
            for ky in 0..kh {
                all[(x * kh + ky) * w + at] = r;
            }
        }
    }
    all
}

/// Result rows from row `from` on, as many as `to` has.
fn stage(
    b: &mut Build<'_, '_>,
    n: &Node,
    p: &AveragePool,
    from: usize,
    weights: Vec<i16>,
    shift: i32,
    to: BufferId,
) -> Result<(), CompileError> {
    let input = n.inputs[0];
    let i = b.graph.tensors[input].shape;
    let Shape { h, w, .. } = b.shape(to);
    let l = Linear {
        outputs: w,
        groups: 1,
        inputs: 1,
        taps: [p.window.kernel[0], i.w],
        weights: weights.into(),
        bias: vec![0; w].into(),
        shift,
        ..Linear::default()
    };
    let rows = Taps::of(&p.window);
    let taps = Taps {
        kernel: [rows.kernel[0], i.w],
        stride: [rows.stride[0], 1],
        dilation: [rows.dilation[0], 1],
        first: [rows.first[0] + (from * rows.stride[0]) as i64, 0],
    };
    let targets = (0..h).map(|y| vec![y]).collect();
    b.rows(l, taps, vec![(input, 0..i.c)], targets, to)
}
