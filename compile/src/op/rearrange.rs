//! Other orders of elements, as far as addresses and copies reach: channels in another order, space to depth, depth to space.

use super::conv_transpose::interleave_sources;
use crate::error::CompileError;
use crate::lower::{BufferId, Build};
use crate::place::Part;
use crate::stage::{Source, Taps};
use cnna_machine::layout::Shape;
use cnna_net::Node;
use cnna_net::op::Rearrange;
use std::ops::Range;

/// Largest block of depth to space.
const LARGEST: usize = 16;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, r: &Rearrange) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let (i, o) = (b.shape(input), b.shape(output));
    let order: Vec<usize> = r.order.offsets().collect();
    if let Some(channels) = picks(&order, i, o) {
        return pick(b, &channels, input, output);
    }
    for block in (2..=LARGEST).filter(|s| o.h % s == 0 && o.w % s == 0) {
        if let Some(channels) = spreads(&order, i, o, block) {
            return spread(b, &channels, block, input, output);
        }
    }
    Err(b.unsupported(format!(
        "it brings a {i} tensor into an order that is neither of channels nor of blocks of pixels: {:?}",
        r.order.axes
    )))
}

/// What an output channel takes of the input: a channel, from which pixel on, so many rows and columns apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pick {
    channel: usize,
    first: [usize; 2],
    step: [usize; 2],
}

/// Each output channel's pick; `None` when some channel takes something else.
fn picks(order: &[usize], i: Shape, o: Shape) -> Option<Vec<Pick>> {
    let plane = i.h * i.w;
    let at = |c: usize, y: usize, x: usize| order[(c * o.h + y) * o.w + x];
    let step = |a: usize, b: usize, unit: usize| {
        let d = b.checked_sub(a)?;
        (d % unit == 0 && d > 0).then_some(d / unit)
    };
    (0..o.c)
        .map(|c| {
            let first = at(c, 0, 0);
            let sy = if o.h > 1 {
                step(first, at(c, 1, 0), i.w)?
            } else {
                1
            };
            let sx = if o.w > 1 {
                step(first, at(c, 0, 1), 1)?
            } else {
                1
            };
            let p = Pick {
                channel: first / plane,
                first: [first % plane / i.w, first % i.w],
                step: [sy, sx],
            };
            let last = [p.first[0] + (o.h - 1) * sy, p.first[1] + (o.w - 1) * sx];
            let inside = last[0] < i.h && last[1] < i.w;
            let same =
                (0..o.h).all(|y| (0..o.w).all(|x| at(c, y, x) == first + y * sy * i.w + x * sx));
            (inside && same).then_some(p)
        })
        .collect()
}

/// A copy for each run of output channels that take alike.
fn pick(
    b: &mut Build<'_, '_>,
    channels: &[Pick],
    input: BufferId,
    output: BufferId,
) -> Result<(), CompileError> {
    let shape = b.shape(output);
    let alike = |a: &Pick, b: &Pick| (a.first, a.step) == (b.first, b.step);
    let mut at = 0;
    for run in channels.chunk_by(alike) {
        let part = Part {
            of: output,
            channel: at,
            row: 0,
            row_step: 1,
        };
        let to = b.part(
            part,
            Shape {
                c: run.len(),
                ..shape
            },
        );
        at += run.len();
        let sources: Vec<Source> = runs(run.iter().map(|p| p.channel))
            .into_iter()
            .map(|c| b.channels(input, c))
            .collect();
        let inputs = vec![input; sources.len()];
        let taps = Taps {
            stride: run[0].step,
            first: run[0].first.map(|p| p as i64),
            ..Taps::single()
        };
        b.pool(taps, sources, inputs, to)?;
    }
    Ok(())
}

/// Numbers as runs of neighbours.
fn runs(numbers: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for n in numbers {
        match all.last_mut() {
            Some(run) if run.end == n => run.end = n + 1,
            _ => all.push(n..n + 1),
        }
    }
    all
}

/// Depth to space: output pixel (s * y + dy, s * x + dx) of channel c is pixel (y, x) of input channel
/// `channels[(dy * s + dx) * o.c + c]`; `None` when it is not.
fn spreads(order: &[usize], i: Shape, o: Shape, s: usize) -> Option<Vec<usize>> {
    if (i.h * s, i.w * s) != (o.h, o.w) {
        return None;
    }
    let plane = i.h * i.w;
    let mut channels = vec![0; s * s * o.c];
    for c in 0..o.c {
        for y in 0..o.h {
            for x in 0..o.w {
                let from = order[(c * o.h + y) * o.w + x];
                let at = (y % s * s + x % s) * o.c + c;
                if y < s && x < s {
                    channels[at] = from / plane;
                }
                if from != channels[at] * plane + y / s * i.w + x / s {
                    return None;
                }
            }
        }
    }
    Some(channels)
}

fn spread(
    b: &mut Build<'_, '_>,
    channels: &[usize],
    s: usize,
    input: BufferId,
    output: BufferId,
) -> Result<(), CompileError> {
    let o = b.shape(output);
    let i = b.shape(input);
    for dy in 0..s {
        // Each phase's channels in the output's order, in a tensor of their own unless they lie so already.
        let mut phases = Vec::new();
        for dx in 0..s {
            let from = &channels[(dy * s + dx) * o.c..][..o.c];
            let runs = runs(from.iter().copied());
            if let [one] = &runs[..] {
                phases.push((input, one.clone()));
                continue;
            }
            let sources: Vec<Source> = runs.into_iter().map(|c| b.channels(input, c)).collect();
            let frac = b.frac(input);
            let gathered = b.temporary(Shape { c: o.c, ..i }, frac);
            let inputs = vec![input; sources.len()];
            b.pool(Taps::single(), sources, inputs, gathered)?;
            phases.push((gathered, 0..o.c));
        }
        let rows = Part {
            of: output,
            channel: 0,
            row: dy,
            row_step: s,
        };
        let rows = b.part(rows, Shape { h: i.h, ..o });
        interleave_sources(b, phases, o.w, rows)?;
    }
    Ok(())
}
