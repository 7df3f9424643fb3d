//! Convolutions in WINOGRAD and DIRECT mode: which tilings fit, and the jobs of one of them.
//!
//! ```text
//! for block of columns:                one fill of the activation ring a block
//!   for stripe of tile rows:           its input rows are in the ring together
//!     for group of output channels:    its weights are in the buffer
//!       for tile row of the stripe, for part of the block that the output buffer holds:   one compute command
//! ```
//! Where one group's weights or one tile's inputs do not fit, single tiles are summed over chunks of channels.

use crate::error::CompileError;
use crate::fill::Fill;
use crate::jobs::{Jobs, address, field};
use crate::lower::Build;
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Weights, groups};
use cnna_machine::Accelerator;
use cnna_machine::config::BEAT_WORDS;
use cnna_machine::isa::{Compute, Store, mode};
use cnna_machine::layer::{Conv, Shape};
use std::ops::Range;

/// One way to tile a convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// F(2x2, 3x3) instead of direct.
    pub winograd: bool,
    /// Output channels of a group.
    pub lanes: usize,
    /// Result columns of a block, and of one compute command.
    pub block: usize,
    pub width: usize,
    /// Tile rows of a stripe.
    pub stripe: usize,
    /// Channels summed by one command, when not all.
    pub chunk: Option<usize>,
    /// With chunks: the ring holds a chunk of one tile only, not all channels of the block.
    pub refill: bool,
}

/// Result rows of one pass that are of use, and all that it writes.
fn pass_rows(s: &Stage, winograd: bool) -> (usize, usize) {
    let all = if winograd { 2 } else { 4 };
    (if s.spread { 1 } else { all }, all)
}

fn pass_columns(s: &Stage, winograd: bool, a: &Accelerator) -> usize {
    match (s.spread, winograd) {
        (true, _) => 1,
        (_, true) => 2 * a.tiles,
        _ => 4 * a.tiles,
    }
}

/// Lines of one output bank that a channel of `columns` results needs, and its lines a row.
fn out_lines(s: &Stage, winograd: bool, columns: usize, a: &Accelerator) -> (usize, usize) {
    let pitch = s.stored(columns, a).next_multiple_of(a.column_align()) / a.line_words();
    let (_, all) = pass_rows(s, winograd);
    let rows = if s.pooled { all / 2 } else { all };
    (rows.div_ceil(2) * pitch, pitch)
}

/// Most slots that any run of `tile_rows` tile rows needs.
fn slots_needed(s: &Stage, fill: &Fill, winograd: bool, tile_rows: usize) -> usize {
    let (rows, _) = pass_rows(s, winograd);
    (0..s.oh.div_ceil(rows))
        .map(|t| {
            let n = (tile_rows * rows).min(s.oh - t * rows);
            fill.slots_for(&s.input_rows(t * rows, n))
        })
        .max()
        .unwrap_or(1)
}

/// Blocks of at most `size` of `n` columns.
fn spans(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..n).step_by(size).map(move |x| x..(x + size).min(n))
}

/// The tilings worth estimating; empty when this form of the convolution does not fit.
pub fn tilings(s: &Stage, conv: &Conv, winograd: bool, a: &Accelerator) -> Vec<Tiling> {
    let unit = s.unit(a);
    let units = s.ow.div_ceil(unit);
    let (per_unit, _) = out_lines(s, winograd, unit, a);
    let lanes = a.lanes.min(conv.oc).min(a.out_depth / per_unit);
    // Two regions, so that one is stored while the other is written.
    let most = (a.out_depth / 2 / (lanes * per_unit)).clamp(1, units);
    let input = s.input.layout.shape;
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let chunk = Chunk {
        ky: 0..conv.window.kernel[0],
        kx: 0..conv.window.kernel[1],
        c: 0..input.c,
    };
    let form = if winograd { Form::Kernel } else { Form::Plain };
    let rows = chunk.rows(form);
    // The widest block of columns whose rows fit with all channels.
    let block = (1..=units).map(|n| units.div_ceil(n)).find(|&units| {
        spans(s.ow, units * unit).all(|x| {
            let fill = Fill::for_columns(s, x, 0..input.c, a);
            slots_needed(s, &fill, winograd, 1) * fill.row_pitch <= a.act_depth
        })
    });
    let base = |block: usize| Tiling {
        winograd,
        lanes,
        block: block * unit,
        width: block.div_ceil(block.div_ceil(most)) * unit,
        stripe: 1,
        chunk: None,
        refill: false,
    };
    if let Some(block) = block.filter(|_| rows <= a.weight_depth) {
        return stripes(
            s,
            base(block),
            rows * conv.oc.div_ceil(lanes) <= a.weight_depth,
            a,
        );
    }
    if winograd || s.pooled {
        return Vec::new();
    }
    // Single tiles in chunks of channels: bounded by half the weight buffer, and by the ring.
    let by_weights = match a.weight_depth / 2 * 8 / taps {
        0 => a.weight_depth * 8 / taps,
        n => n,
    };
    let refill = block.is_none();
    let fits = |c: usize| {
        let columns = pass_columns(s, false, a);
        spans(s.ow, columns).all(|x| {
            let fill = Fill::for_columns(s, x, 0..c, a);
            slots_needed(s, &fill, false, 1) * fill.row_pitch <= a.act_depth
        })
    };
    let most = by_weights.min(input.c);
    let chunk = match refill {
        true => (1..=most).rev().find(|&c| fits(c)).unwrap_or(0),
        false => most,
    };
    if chunk == 0 {
        return Vec::new();
    }
    vec![Tiling {
        chunk: Some(input.c.div_ceil(input.c.div_ceil(chunk))),
        refill,
        ..base(block.unwrap_or(1))
    }]
}

/// Stripe heights to try: the more rows, the more time for each group's weights to come, and the fewer times they do; the
/// fewer rows, the more room to load ahead. Weights that stay come only once, at their first use.
fn stripes(s: &Stage, base: Tiling, resident: bool, a: &Accelerator) -> Vec<Tiling> {
    let input = s.input.layout.shape;
    let tile_rows = s.oh.div_ceil(pass_rows(s, base.winograd).0);
    let fits = |stripe: usize| {
        spans(s.ow, base.block).all(|x| {
            let fill = Fill::for_columns(s, x, 0..input.c, a);
            slots_needed(s, &fill, base.winograd, stripe) * fill.row_pitch <= a.act_depth
        })
    };
    let most = (1..=tile_rows).take_while(|&n| fits(n)).last().unwrap_or(1);
    let low = if resident {
        [1, 2, 4]
    } else {
        [most - 1, most / 2, most / 4]
    };
    let mut heights: Vec<usize> = [most]
        .into_iter()
        .chain(low)
        .filter(|&n| (1..=most).contains(&n))
        // Equal stripes: the last is not a leftover.
        .map(|n| tile_rows.div_ceil(tile_rows.div_ceil(n)))
        .collect();
    heights.sort_unstable();
    heights.dedup();
    heights
        .into_iter()
        .map(|stripe| Tiling {
            stripe,
            ..base.clone()
        })
        .collect()
}

/// Why no tiling fits.
pub fn capacity_error(s: &Stage, conv: &Conv, a: &Accelerator) -> CompileError {
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    if a.weight_depth * 8 < taps {
        return CompileError::Capacity {
            layer: s.name.into(),
            what: "rows of the weight buffer for one channel's kernel",
            need: taps.div_ceil(8),
            have: a.weight_depth,
            key: "weight_depth",
        };
    }
    let columns = pass_columns(s, false, a).min(s.ow);
    let fill = Fill::for_columns(s, 0..columns, 0..1, a);
    CompileError::Capacity {
        layer: s.name.into(),
        what: "lines of the activation buffer for one tile's window",
        need: slots_needed(s, &fill, false, 1) * fill.row_pitch,
        have: a.act_depth,
        key: "act_depth",
    }
}

/// Places the stage's weights in memory.
pub fn place<'a>(s: &Stage, conv: &'a Conv, t: &Tiling, b: &mut Build<'_, 'a>) -> Weights {
    let input = s.input.layout.shape;
    let form = if t.winograd {
        Form::Kernel
    } else {
        Form::Plain
    };
    let chunks = groups(input.c, t.chunk.unwrap_or(input.c))
        .into_iter()
        .map(|c| Chunk {
            ky: 0..conv.window.kernel[0],
            kx: 0..conv.window.kernel[1],
            c,
        })
        .collect();
    let dims = Shape {
        c: input.c,
        h: conv.window.kernel[0],
        w: conv.window.kernel[1],
    };
    let a = b.accelerator;
    Weights::place(
        conv,
        dims,
        form,
        t.lanes,
        chunks,
        a,
        &mut b.arena,
        &mut b.blocks,
    )
}

/// Appends the jobs of one image. `weights` knows what images before it left in the buffers.
pub fn schedule(
    s: &Stage,
    conv: &Conv,
    t: &Tiling,
    weights: &mut Weights,
    a: &Accelerator,
    jobs: &mut Jobs,
) {
    let input = s.input.layout.shape;
    let mut work = Conversion {
        s,
        conv,
        t,
        a,
        weights,
    };
    let (rows, _) = pass_rows(s, t.winograd);
    let tile_rows = s.oh.div_ceil(rows);
    for block in spans(s.ow, t.block) {
        let mut fill = Fill::for_columns(s, block.clone(), 0..input.c, a);
        fill.open(slots_needed(s, &fill, t.winograd, tile_rows), a);
        for stripe in spans(tile_rows, t.stripe) {
            for group in 0..work.weights.groups.len() {
                for tile_row in stripe.clone() {
                    for part in spans(block.len(), t.width) {
                        let part = block.start + part.start..block.start + part.end;
                        work.part(&mut fill, group, tile_row * rows, part, jobs);
                    }
                }
            }
        }
    }
}

struct Conversion<'s> {
    s: &'s Stage<'s>,
    conv: &'s Conv,
    t: &'s Tiling,
    a: &'s Accelerator,
    weights: &'s mut Weights,
}

impl Conversion<'_> {
    /// One tile row of some columns and one group: its compute commands and stores.
    fn part(&mut self, fill: &mut Fill, group: usize, o: usize, x: Range<usize>, jobs: &mut Jobs) {
        let (s, t, a) = (self.s, self.t, self.a);
        let (rows, _) = pass_rows(s, t.winograd);
        let valid = rows.min(s.oh - o);
        let lanes = self.weights.groups[group].len();
        let (bank_lines, pitch) = out_lines(s, t.winograd, x.len(), a);
        let region = jobs.out_ring.take(lanes * bank_lines);
        let columns = pass_columns(s, t.winograd, a);
        let single = s.spread || t.chunk.is_some();
        let tiles: Vec<Range<usize>> = match single {
            true => spans(x.len(), columns)
                .map(|r| x.start + r.start..x.start + r.end)
                .collect(),
            false => vec![x.clone()],
        };
        let chunks = self.weights.chunks.clone();
        let mut stores = self.stores(group, o, &x, &region);
        for (i, tile) in tiles.iter().enumerate() {
            for (k, chunk) in chunks.iter().enumerate() {
                let mut own;
                let fill = match t.refill {
                    true => {
                        own = Fill::for_columns(s, tile.clone(), chunk.c.clone(), a);
                        own.open(slots_needed(s, &own, t.winograd, 1), a);
                        &mut own
                    }
                    false => &mut *fill,
                };
                let loads = fill.rows(s.input_rows(o, valid), s, jobs);
                let (item, weight_row) = self.weights.need(group, k, jobs);
                let (bias_item, bias_row) = self.weights.bias(group, jobs);
                let last = k + 1 == chunks.len();
                let step = if t.winograd { 1 } else { 0 };
                let cmd = Compute {
                    mode: if t.winograd {
                        mode::WINOGRAD
                    } else {
                        mode::DIRECT
                    },
                    first: i32::from(k == 0),
                    last: i32::from(last),
                    relu: i32::from(s.relu()),
                    pool: i32::from(s.pooled),
                    rows: field(valid),
                    shift: self.conv.shift,
                    bias_row: field(bias_row),
                    tiles: field(tile.len().div_ceil(columns)),
                    lanes: field(lanes),
                    c_count: field(chunk.c.len()),
                    kx_count: if step == 1 {
                        1
                    } else {
                        field(s.window.kernel[1])
                    },
                    ky_count: if step == 1 {
                        1
                    } else {
                        field(s.window.kernel[0])
                    },
                    weight_row: field(weight_row),
                    x_step: field(columns),
                    out_line: field(region.start + i * single_lines(s, a, single)),
                    out_row_pitch: field(lanes * pitch),
                    out_c_pitch: field(pitch),
                    out_width: field(tile.len()),
                    ..fill.view(s, chunk.c.start, s.origin(0, o), s.origin(1, tile.start))
                };
                let done = last && i + 1 == tiles.len();
                let stores = if done {
                    std::mem::take(&mut stores)
                } else {
                    Vec::new()
                };
                let writes = if last { region.clone() } else { 0..0 };
                jobs.compute(cmd, loads, [Some(item), Some(bias_item)], &writes, stores);
            }
        }
    }

    /// The stores of a part: one for each row that it makes.
    fn stores(
        &self,
        group: usize,
        o: usize,
        x: &Range<usize>,
        region: &Range<usize>,
    ) -> Vec<Store> {
        let (s, a) = (self.s, self.a);
        let (rows, _) = pass_rows(s, self.t.winograd);
        let valid = rows.min(s.oh - o);
        let channels = &self.weights.groups[group];
        let (_, pitch) = out_lines(s, self.t.winograd, x.len(), a);
        let (first, count) = if s.pooled {
            (o / 2, valid / 2)
        } else {
            (o, valid)
        };
        row_stores(
            s,
            first,
            count,
            channels,
            s.stored(x.start, a),
            pitch,
            region.start,
            a,
        )
    }
}

/// Lines between single tiles of a part: each begins a line of its own.
fn single_lines(s: &Stage, a: &Accelerator, single: bool) -> usize {
    if !single {
        return 0;
    }
    s.stored(pass_columns(s, false, a), a) / a.line_words()
}

/// Stores of `count` output rows of neighbouring channels, `pitch` lines a channel, from column `x` on.
#[allow(clippy::too_many_arguments)]
pub fn row_stores(
    s: &Stage,
    first: usize,
    count: usize,
    channels: &Range<usize>,
    x: usize,
    pitch: usize,
    line: usize,
    a: &Accelerator,
) -> Vec<Store> {
    let out = &s.output.layout;
    let words = pitch * a.line_words();
    let whole = words == out.padded_w;
    let (seg_count, beats) = match whole {
        true => (1, channels.len() * words / BEAT_WORDS),
        false => (channels.len(), words / BEAT_WORDS),
    };
    (0..count)
        .map(|r| Store {
            ddr: address(
                s.output.offset
                    + (first + r) * out.row_bytes()
                    + channels.start * out.channel_bytes()
                    + x * out.word_bytes,
            ),
            seg_beats: field(beats),
            seg_count: field(seg_count),
            seg_stride: address(out.channel_bytes()),
            line: field(line + r / 2 * channels.len() * pitch),
            bank: field(r % 2),
        })
        .collect()
}
