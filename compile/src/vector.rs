//! Fully connected layers in VECTOR mode: one input a step, 8 outputs a lane, bound by the weights' way from memory.
//!
//! The output is flat: one row of one channel, so that the next such layer reads it as columns.

use crate::fill::Fill;
use crate::jobs::{address, field};
use crate::passes::Build;
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Weights, groups};
use cnna_spec::Accelerator;
use cnna_spec::config::PLAIN_WORDS;
use cnna_spec::isa::{Compute, Store, mode};
use cnna_spec::layer::{Conv, Shape};
use std::ops::Range;

/// Equal parts of at most `most` of `n`.
fn parts(n: usize, most: usize) -> Vec<Range<usize>> {
    groups(n, n.div_ceil(n.div_ceil(most)))
}

/// Every row in the ring at once?
fn whole_fill(s: &Stage, a: &Accelerator) -> Option<Fill> {
    let i = s.input.layout.shape;
    let mut fill = Fill::new(&s.input, [1, 1], 0..i.c, 0..i.w, a);
    fill.virtual_rows = true;
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
        for x in groups(i.w, blocks * align) {
            // A piece stays within its lines even where the weight buffer holds less.
            for part in parts(x.len(), (cap / channels).max(1)) {
                let kx = x.start + part.start..x.start + part.end;
                c.iter().for_each(|c| add(&(y..y + 1), &kx, c));
            }
        }
    }
    all
}

/// Appends the stage's jobs.
pub fn schedule<'a>(s: &Stage, conv: &'a Conv, b: &mut Build<'a>) {
    let a = b.accelerator;
    let input = s.input.layout.shape;
    let lines = |lanes: usize| (lanes * PLAIN_WORDS).div_ceil(a.line_words());
    let lanes = (1..=a.lanes.min(conv.oc.div_ceil(PLAIN_WORDS)))
        .rev()
        .find(|&l| lines(l) <= a.out_depth / 2)
        .unwrap_or(1);
    let mut whole = whole_fill(s, a);
    let chunks = boxes(input, a.weight_depth / 2, whole.is_some(), a);
    let form = Form::Vector;
    let mut weights = Weights::place(
        conv,
        input,
        form,
        lanes,
        chunks.clone(),
        a,
        &mut b.arena,
        &mut b.blocks,
    );
    let jobs = &mut b.jobs;
    for group in 0..weights.groups.len() {
        let outputs = weights.groups[group].clone();
        let lanes = outputs.len().div_ceil(PLAIN_WORDS);
        let region = jobs.out_ring.take(lines(lanes));
        for (k, chunk) in chunks.iter().enumerate() {
            let mut own;
            let fill = match &mut whole {
                Some(fill) => fill,
                None => {
                    own = Fill::new(&s.input, [1, 1], chunk.c.clone(), chunk.kx.clone(), a);
                    own.virtual_rows = true;
                    &mut own
                }
            };
            let loads = fill.rows(chunk.ky.clone(), s, jobs);
            let (item, weight_row) = weights.need(group, k, jobs);
            let (bias_item, bias_row) = weights.bias(group, jobs);
            let last = k + 1 == chunks.len();
            let (y, x) = (chunk.ky.start as i64, chunk.kx.start as i64);
            let cmd = Compute {
                mode: mode::VECTOR,
                first: i32::from(k == 0),
                last: i32::from(last),
                relu: i32::from(s.relu()),
                rows: 1,
                shift: conv.shift,
                bias_row: field(bias_row),
                tiles: 1,
                lanes: field(lanes),
                c_count: field(chunk.c.len()),
                kx_count: field(chunk.kx.len()),
                ky_count: field(chunk.ky.len()),
                weight_row: field(weight_row),
                x_step: field(a.line_words()),
                out_line: field(region.start),
                out_row_pitch: field(region.len()),
                out_c_pitch: field(region.len()),
                out_width: field(outputs.len()),
                ..fill.view(s, chunk.c.start, y, x)
            };
            let stores = if last {
                store(s, &outputs, &region)
            } else {
                Vec::new()
            };
            let writes = if last { region.clone() } else { 0..0 };
            jobs.compute(cmd, loads, [Some(item), Some(bias_item)], &writes, stores);
        }
    }
}

/// One beat a lane: 8 outputs.
fn store(s: &Stage, outputs: &Range<usize>, region: &Range<usize>) -> Vec<Store> {
    vec![Store {
        ddr: address(s.output.offset + outputs.start * s.output.layout.word_bytes),
        seg_beats: field(outputs.len().div_ceil(PLAIN_WORDS)),
        seg_count: 1,
        seg_stride: 0,
        line: field(region.start),
        bank: 0,
    }]
}

/// The shape of a flat output.
pub fn flat(outputs: usize) -> Shape {
    Shape {
        c: 1,
        h: 1,
        w: outputs,
    }
}
