//! Fully connected layers in VECTOR mode: one input a step, 8 outputs a lane, bound by the weights' way from memory. The
//! images of a run share the weights: row y of image n is virtual row `4 * y + n`.
//!
//! The output is flat: one row of one channel, so that the next such layer reads it as columns.

use super::with_results;
use crate::fill::Fill;
use crate::jobs::{Jobs, Stores, address, field};
use crate::linear::Linear;
use crate::memory::{Images, Placer};
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Group, Weights, parts, spans};
use cnna_machine::Accelerator;
use cnna_machine::config::PLAIN_WORDS;
use cnna_machine::isa::{Compute, Store, mode};
use cnna_machine::layout::Shape;
use std::ops::Range;
use std::sync::Arc;

/// The fill for all rows of the input, where the ring holds them at once.
fn whole_fill(s: &Stage, a: &Accelerator) -> Option<Fill> {
    let i = s.input();
    let mut fill = Fill::new(s, [1, 1], 0..i.c, 0..i.w, a);
    fill.slots = i.h;
    (i.h * fill.row_pitch <= a.act_depth).then_some(fill)
}

/// Boxes of at most `cap` steps that cover the input in any order.
fn boxes(i: Shape, cap: usize, whole: bool, a: &Accelerator) -> Vec<Chunk> {
    let mut all = Vec::new();
    let mut add = |ky: &Range<usize>, kx: &Range<usize>, c: &Range<usize>| {
        all.push(Chunk {
            ky: ky.clone(),
            kx: kx.clone(),
            c: c.clone(),
        });
    };
    if whole {
        let c = parts(i.c, cap);
        let kx = parts(i.w, if c.len() > 1 { 1 } else { (cap / i.c).max(1) });
        let rows = if kx.len() > 1 || c.len() > 1 {
            1
        } else {
            cap / (i.c * i.w)
        };
        for ky in parts(i.h, rows.max(1)) {
            for kx in &kx {
                c.iter().for_each(|c| add(&ky, kx, c));
            }
        }
        return all;
    }
    // A piece is one row of some channels and whole lines of columns, in half the ring.
    let align = a.column_align();
    let lines = align / a.line_words();
    let c = parts(i.c, cap.min((a.act_depth / 2 / lines).max(1)));
    let channels = c[0].len();
    let blocks = match c.len() {
        1 => (cap / (channels * align))
            .min(a.act_depth / 2 / (channels * lines))
            .max(1),
        _ => 1,
    };
    for y in 0..i.h {
        for x in spans(i.w, blocks * align) {
            // A piece stays within its lines even where the weight buffer holds less.
            for part in parts(x.len(), (cap / channels).max(1)) {
                let kx = x.start + part.start..x.start + part.end;
                c.iter().for_each(|c| add(&(y..y + 1), &kx, c));
            }
        }
    }
    all
}

/// Lines of one image's results.
pub fn lines(lanes: usize, a: &Accelerator) -> usize {
    (lanes * PLAIN_WORDS).div_ceil(a.line_words())
}

/// Lanes of a group: as many as outputs need and half the output buffer holds.
pub fn lanes(outputs: usize, a: &Accelerator) -> usize {
    (1..=a.lanes.min(outputs.div_ceil(PLAIN_WORDS)))
        .rev()
        .find(|&l| lines(l, a) <= a.out_depth / 2)
        .unwrap_or(1)
}

/// Places the stage's weights in memory. `l`'s taps and inputs are the sides of the stage's input.
pub fn place<'a>(s: &Stage, l: &Arc<Linear<'a>>, placer: &mut Placer<'_, 'a>) -> Weights {
    let a = placer.accelerator;
    let input = s.input();
    let lanes = match (lanes(l.outputs, a), l.is_narrow(a.word)) {
        // A port writes one lane row a cycle: none may have more than the others.
        (all, true) if all > a.weight_ports => all / a.weight_ports * a.weight_ports,
        (all, _) => all,
    };
    let whole = whole_fill(s, a).is_some();
    let boxes = boxes(input, a.weight_depth / 2, whole, a);
    let groups: Vec<Group> = spans(l.outputs, lanes * PLAIN_WORDS)
        .map(|outputs| Group {
            outputs,
            window: 0..input.c,
            idle: 0,
        })
        .collect();
    let chunks = vec![boxes; groups.len()];
    Weights::place(l, Form::Vector, groups, chunks, placer)
}

/// Appends the jobs of all images.
pub fn schedule(
    s: &Stage,
    l: &Linear,
    weights: &mut Weights,
    images: Images,
    a: &Accelerator,
    jobs: &mut Jobs,
) {
    let mut whole = whole_fill(s, a);
    if let Some(fill) = &mut whole {
        fill.place(jobs);
    }
    for group in 0..weights.groups.len() {
        let outputs = weights.groups[group].outputs.clone();
        let chunks = weights.chunks[group].clone();
        let lanes = outputs.len().div_ceil(PLAIN_WORDS);
        // Two row banks: the results of two images share each line.
        let pitch = lines(lanes, a);
        let region = jobs.out_ring.take(pitch * images.count.div_ceil(2));
        for (k, chunk) in chunks.iter().enumerate() {
            let mut own;
            let fill = match &mut whole {
                Some(fill) => fill,
                None => {
                    own = Fill::new(s, [1, 1], chunk.c.clone(), chunk.kx.clone(), a);
                    own.place(jobs);
                    &mut own
                }
            };
            fill.images = Some(images);
            let loads = fill.rows(chunk.ky.clone(), &chunk.c, s, jobs);
            let (item, weight_row) = weights.need(group, k, jobs);
            let last = k + 1 == chunks.len();
            let (y, x) = (chunk.ky.start as i64, chunk.kx.start as i64);
            let cmd = Compute {
                mode: mode::VECTOR,
                first: i32::from(k == 0),
                last: i32::from(last),
                rows: field(images.count),
                tiles: 1,
                lanes: field(lanes),
                c_count: field(chunk.c.len()),
                kx_count: field(chunk.kx.len()),
                ky_count: field(chunk.ky.len()),
                weight_row: field(weight_row),
                x_step: field(a.line_words()),
                out_line: field(region.start),
                out_row_pitch: field(pitch),
                out_width: field(outputs.len()),
                ..fill.view(s.taps.dilation, chunk.c.start, y, x)
            };
            let (cmd, [biases, set]) = with_results(cmd, l, weights, group, jobs);
            let stores = if last {
                stores(s, &outputs, region.start, pitch, images)
            } else {
                Stores::new()
            };
            let writes = if last { region.clone() } else { 0..0 };
            let used = [Some(item), biases, set];
            jobs.compute(cmd, loads, used, &writes, stores);
        }
    }
}

/// A row for each image; one beat a lane: 8 outputs.
fn stores(s: &Stage, outputs: &Range<usize>, line: usize, pitch: usize, images: Images) -> Stores {
    let first = s.output.offset + outputs.start * s.output.layout.word_bytes;
    Stores::from_iter([Store {
        ddr: address(first),
        seg_beats: field(outputs.len().div_ceil(PLAIN_WORDS)),
        seg_count: 1,
        seg_stride: 0,
        line: field(line),
        bank: 0,
        rows: field(images.count),
        row_stride: address(images.pitch),
        row_pitch: field(pitch),
        local: 0,
        both: 0,
    }])
}

/// The shape of a flat output.
pub fn flat(outputs: usize) -> Shape {
    Shape {
        c: 1,
        h: 1,
        w: outputs,
    }
}
