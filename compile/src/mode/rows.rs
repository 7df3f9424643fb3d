//! Every row of every channel through one matrix, in VECTOR mode: what no window expresses. Columns repeated or interleaved,
//! means whose weight depends on the column. The window's rows are the "images" of the mode.
//!
//! ```text
//! for group of channels:                       one fill of the activation ring
//!   for result rows that run together:
//!     for group of output columns:             its part of the matrix is in the weight buffer
//!       for channel:                           one compute command
//! ```

use super::{ResultRows, vector, with_results};
use crate::error::CompileError;
use crate::fill::Fill;
use crate::jobs::{Jobs, Stores, field};
use crate::linear::Linear;
use crate::memory::Placer;
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Group, Weights, parts, spans};
use cnna_machine::Accelerator;
use cnna_machine::config::PLAIN_WORDS;
use cnna_machine::isa::{Compute, mode};
use std::ops::Range;
use std::sync::Arc;

/// The rows of the output to which each result row goes.
pub type Targets = Vec<Vec<usize>>;

/// Result rows that one command makes.
fn rows_together(s: &Stage, a: &Accelerator) -> usize {
    match s.taps.stride[0] {
        1 => 2 * a.tiles.min(2),
        _ => 1,
    }
}

/// The fill of some channels; as many slots as fit, `None` when not one command's rows do.
fn fill(s: &Stage, channels: Range<usize>, a: &Accelerator) -> Option<Fill> {
    let input = s.input();
    let mut fill = Fill::new(s, [1, s.sources.len()], channels, 0..input.w, a);
    let rows = rows_together(s, a);
    let need = (0..s.oh)
        .step_by(rows)
        .map(|q| fill.slots_for(&s.input_rows(q, rows.min(s.oh - q))))
        .max()?;
    fill.open(input.h.div_ceil(4).max(need), a);
    (fill.slots >= need && fill.row_pitch * need <= a.act_depth).then_some(fill)
}

/// Lines of a channel's results for so many columns.
fn pitch(columns: usize, a: &Accelerator) -> usize {
    columns.next_multiple_of(a.column_align()) / a.line_words()
}

/// Channels that run together: limited by both buffers.
fn channels(s: &Stage, widest: usize, a: &Accelerator) -> Option<usize> {
    let by_out = a.out_depth / 2 / (pitch(widest, a) * rows_together(s, a).div_ceil(2));
    let most = by_out.max(1).min(s.input().c);
    (1..=most).rev().find(|&c| fill(s, 0..c, a).is_some())
}

/// The input columns that some outputs see.
fn band(l: &Linear, outputs: &Range<usize>) -> Range<usize> {
    let w = l.taps[1];
    let (mut from, mut to) = (w, 0);
    for o in outputs.clone() {
        let (weights, _) = l.kernels(o);
        for (at, _) in weights.iter().enumerate().filter(|(_, w)| **w != 0) {
            from = from.min(at % w);
            to = to.max(at % w + 1);
        }
    }
    if from < to { from..to } else { 0..1 }
}

/// Places the matrix. Errors: buffers that do not hold one channel, or one column of all tap rows.
pub fn place<'a>(
    s: &Stage,
    l: &Arc<Linear<'a>>,
    placer: &mut Placer<'_, 'a>,
) -> Result<Weights, CompileError> {
    let a = placer.accelerator;
    let capacity = |what, need, have, key| CompileError::Capacity {
        layer: s.name.into(),
        what,
        need,
        have,
        key,
    };
    // Groups begin at whole beats and lines.
    let lanes = vector::lanes(l.outputs, a);
    let size = (lanes * PLAIN_WORDS / a.column_align()).max(1) * a.column_align();
    if size > a.lanes * PLAIN_WORDS || pitch(size, a) > a.out_depth {
        let what = "lanes for one line of results";
        return Err(capacity(what, size / PLAIN_WORDS, a.lanes, "lanes"));
    }
    if channels(s, size.min(l.outputs), a).is_none() {
        let one = Fill::new(s, [1, s.sources.len()], 0..1, 0..s.input().w, a);
        let what = "lines of the activation buffer for the rows of one channel";
        return Err(capacity(what, 2 * one.row_pitch, a.act_depth, "act_depth"));
    }
    let steps = l.taps[0] * l.inputs;
    if steps > a.weight_depth {
        let what = "rows of the weight buffer for one column of all tap rows";
        return Err(capacity(what, steps, a.weight_depth, "weight_depth"));
    }
    let groups: Vec<Group> = spans(l.outputs, size)
        .map(|outputs| Group {
            outputs,
            window: 0..l.inputs,
            idle: 0,
        })
        .collect();
    let chunks = groups
        .iter()
        .map(|g| {
            let band = band(l, &g.outputs);
            parts(band.len(), a.weight_depth / steps)
                .into_iter()
                .map(|kx| Chunk {
                    ky: 0..l.taps[0],
                    kx: band.start + kx.start..band.start + kx.end,
                    c: 0..l.inputs,
                })
                .collect()
        })
        .collect();
    Ok(Weights::place(l, Form::Vector, groups, chunks, placer))
}

/// Appends the jobs of one image.
pub fn schedule(
    s: &Stage,
    l: &Linear,
    targets: &Targets,
    weights: &mut Weights,
    a: &Accelerator,
    jobs: &mut Jobs,
) {
    let together = rows_together(s, a);
    let widest = weights.groups.iter().map(|g| g.outputs.len()).max();
    let most = channels(s, widest.unwrap_or(1), a).expect("placing checked that one fits");
    for block in spans(s.input().c, most) {
        let mut fill = fill(s, block.clone(), a).expect("placing checked that it fits");
        fill.place(jobs);
        for q in (0..s.oh).step_by(together) {
            let rows = together.min(s.oh - q);
            for group in 0..weights.groups.len() {
                let outputs = weights.groups[group].outputs.clone();
                let pitch = pitch(outputs.len(), a);
                let lines = block.len() * pitch * together.div_ceil(2);
                let region = jobs.out_ring.take(lines);
                let results = ResultRows {
                    channels: block.clone(),
                    column: outputs.start,
                    pitch,
                    line: region.start,
                };
                for c in block.clone() {
                    for k in 0..weights.chunks[group].len() {
                        let loads = fill.rows(s.input_rows(q, rows), &(0..s.input().c), s, jobs);
                        let (item, weight_row) = weights.need(group, k, jobs);
                        let chunk = &weights.chunks[group][k];
                        let last = k + 1 == weights.chunks[group].len();
                        let cmd = Compute {
                            mode: mode::VECTOR,
                            first: i32::from(k == 0),
                            last: i32::from(last),
                            rows: field(rows),
                            tiles: 1,
                            lanes: field(outputs.len().div_ceil(PLAIN_WORDS)),
                            c_count: field(l.inputs),
                            kx_count: field(chunk.kx.len()),
                            ky_count: field(chunk.ky.len()),
                            weight_row: field(weight_row),
                            x_step: field(a.line_words()),
                            out_line: field(region.start + (c - block.start) * pitch),
                            out_row_pitch: field(block.len() * pitch),
                            out_width: field(outputs.len()),
                            // A channel's sources lie a plane apart, and no tap changes the phase.
                            c_pitch: field(fill.plane_pitch),
                            stride: 1,
                            w_full: field(s.input().w),
                            w_rem: 0,
                            dilation_x: 1,
                            ..fill.view(s.taps.dilation, c, s.origin(0, q), chunk.kx.start as i64)
                        };
                        let (cmd, [biases, set]) = with_results(cmd, l, weights, group, jobs);
                        let done = last && c + 1 == block.end;
                        let stores = match done {
                            true => {
                                let each = |r: usize| targets[q + r].iter().map(move |&y| (r, y));
                                results.stores(s, (0..rows).flat_map(each), a)
                            }
                            false => Stores::new(),
                        };
                        let writes = if last { region.clone() } else { 0..0 };
                        let used = [Some(item), biases, set];
                        jobs.compute(cmd, loads, used, &writes, stores);
                    }
                }
            }
        }
    }
}
