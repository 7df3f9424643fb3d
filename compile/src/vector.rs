//! Fully connected layers in VECTOR mode: one input a step, 8 outputs a lane, bound by the weights' way from memory. The
//! images of a run share the weights: row y of image n is virtual row `4 * y + n`.
//!
//! The output is flat: one row of one channel, so that the next such layer reads it as columns.

use crate::fill::Fill;
use crate::jobs::{Jobs, address, field};
use crate::lower::Build;
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Weights, groups};
use cnna_machine::Accelerator;
use cnna_machine::config::PLAIN_WORDS;
use cnna_machine::isa::{Compute, Store, mode};
use cnna_machine::layer::{Conv, Shape};
use std::ops::Range;

/// Equal parts of at most `most` of `n`.
fn parts(n: usize, most: usize) -> Vec<Range<usize>> {
    groups(n, n.div_ceil(n.div_ceil(most)))
}

/// The images of a run: how many, and bytes from a tensor of one to that of the next.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Images of a run.
    pub count: usize,
    /// Bytes between their tensors.
    pub pitch: usize,
}

/// The fill for all rows of the input, where the ring holds them at once.
fn whole_fill(s: &Stage, a: &Accelerator) -> Option<Fill> {
    let i = s.input.layout.shape;
    let mut fill = Fill::new(&s.input, [1, 1], 0..i.c, 0..i.w, a);
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

/// Lines of one image's results.
fn lines(lanes: usize, a: &Accelerator) -> usize {
    (lanes * PLAIN_WORDS).div_ceil(a.line_words())
}

/// Places the stage's weights in memory.
pub fn place<'a>(s: &Stage, conv: &'a Conv, b: &mut Build<'_, 'a>) -> Weights {
    let a = b.accelerator;
    let input = s.input.layout.shape;
    let lanes = (1..=a.lanes.min(conv.oc.div_ceil(PLAIN_WORDS)))
        .rev()
        .find(|&l| lines(l, a) <= a.out_depth / 2)
        .unwrap_or(1);
    let whole = whole_fill(s, a).is_some();
    Weights::place(
        conv,
        input,
        Form::Vector,
        lanes,
        boxes(input, a.weight_depth / 2, whole, a),
        a,
        &mut b.arena,
        &mut b.blocks,
    )
}

/// Appends the jobs of all images.
pub fn schedule(
    s: &Stage,
    conv: &Conv,
    weights: &mut Weights,
    images: Images,
    a: &Accelerator,
    jobs: &mut Jobs,
) {
    let mut whole = whole_fill(s, a);
    let chunks = weights.chunks.clone();
    for group in 0..weights.groups.len() {
        let outputs = weights.groups[group].clone();
        let lanes = outputs.len().div_ceil(PLAIN_WORDS);
        // Two row banks: the results of two images share each line.
        let pitch = lines(lanes, a);
        let region = jobs.out_ring.take(pitch * images.count.div_ceil(2));
        for (k, chunk) in chunks.iter().enumerate() {
            let mut own;
            let fill = match &mut whole {
                Some(fill) => fill,
                None => {
                    own = Fill::new(&s.input, [1, 1], chunk.c.clone(), chunk.kx.clone(), a);
                    &mut own
                }
            };
            fill.images = Some(images);
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
                rows: field(images.count),
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
                out_row_pitch: field(pitch),
                out_width: field(outputs.len()),
                ..fill.view(s, chunk.c.start, y, x)
            };
            let stores = if last {
                stores(s, &outputs, region.start, pitch, images)
            } else {
                Vec::new()
            };
            let writes = if last { region.clone() } else { 0..0 };
            jobs.compute(cmd, loads, [Some(item), Some(bias_item)], &writes, stores);
        }
    }
}

/// One for each image; one beat a lane: 8 outputs.
fn stores(
    s: &Stage,
    outputs: &Range<usize>,
    line: usize,
    pitch: usize,
    images: Images,
) -> Vec<Store> {
    let first = s.output.offset + outputs.start * s.output.layout.word_bytes;
    (0..images.count)
        .map(|n| Store {
            ddr: address(first + n * images.pitch),
            seg_beats: field(outputs.len().div_ceil(PLAIN_WORDS)),
            seg_count: 1,
            seg_stride: 0,
            line: field(line + n / 2 * pitch),
            bank: field(n % 2),
        })
        .collect()
}

/// The shape of a flat output.
pub fn flat(outputs: usize) -> Shape {
    Shape {
        c: 1,
        h: 1,
        w: outputs,
    }
}
