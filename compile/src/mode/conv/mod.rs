//! Convolutions in WINOGRAD and DIRECT mode, paired or not: which tilings fit, and the jobs of one of them.
//!
//! ```text
//! for set of output channels that read the same input channels (all of them, or a few when the convolution is grouped):
//!   for block of columns:                one fill of the activation ring a block
//!     for stripe of tile rows:           its input rows are in the ring together
//!       for group of output channels:    its weights are in the buffer
//!         for tile row of the stripe, for part of the block that the output buffer holds:   one compute command
//! ```
//! A group of a grouped convolution may hold several of its groups: their weights form blocks on a diagonal, zeros beside; where
//! each block is one weight, WINOGRAD mode keeps the diagonal alone (`diag`).
//! Where one group's weights or one tile's inputs do not fit, single tiles are summed over chunks of channels.
//!
//! ```text
//! tiling.rs  which tilings fit
//! mod.rs     the jobs of one of them
//! ```

mod tiling;

pub use tiling::{Tiling, capacity_error, is_one_turn, tilings};
pub(super) use tiling::{fold, lane_groups, pass_columns, pass_rows, sets, whole_chunk};

use super::{ResultRows, with_results};
use crate::fill::{Fill, Fold};
use crate::jobs::{Jobs, RESIDUALS, Stores, field};
use crate::linear::Linear;
use crate::memory::Placer;
use crate::stage::Stage;
use crate::turns::{RowsFrom, Turn};
use crate::weights::{Chunk, Form, Group, KERNEL_SIDE, Weights, parts, spans};
use cnna_machine::Accelerator;
use cnna_machine::isa::{Compute, mode};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;
use tiling::{out_lines, slots_needed, taps, window};

/// Places the stage's weights in memory.
pub fn place<'a>(l: &Arc<Linear<'a>>, t: &Tiling, placer: &mut Placer<'_, 'a>) -> Weights {
    let groups = lane_groups(l, t.lanes, t.form, t.reuse);
    let chunks = |g: &Group| -> Vec<Chunk> {
        let Some([c, ky]) = t.chunk else {
            return vec![whole_chunk(l, &g.window, t.form)];
        };
        let [rows, columns] = taps(l, t.form);
        let rows = parts(rows, ky);
        let each = spans(g.window.len(), c).flat_map(|c| {
            let c = g.window.start + c.start..g.window.start + c.end;
            rows.iter().map(move |ky| (c.clone(), ky.clone()))
        });
        each.map(|(c, ky)| Chunk {
            ky,
            kx: 0..columns,
            c,
        })
        .collect()
    };
    let chunks = groups.iter().map(chunks).collect();
    Weights::place(l, t.form, groups, chunks, placer)
}

/// Appends the jobs of one image. `weights` knows what images before it left in the buffers.
pub fn schedule(
    s: &Stage,
    l: &Linear,
    t: &Tiling,
    weights: &mut Weights,
    a: &Accelerator,
    jobs: &mut Jobs,
) {
    let tile_rows = s.oh.div_ceil(pass_rows(s, t.form).0);
    if let Some(made) = &s.weights {
        weights.given(made.offset);
    }
    for set in sets(&weights.groups, t.together) {
        for block in spans(s.ow, t.block) {
            let work = Tiled {
                s,
                l,
                t,
                a,
                weights: &mut *weights,
                begins: true,
            };
            let slots = |fill: &Fill| slots_needed(s, fill, t.form, tile_rows);
            let mut turns = Turns::begin(work, set.clone(), block, slots, jobs);
            while !turns.is_done() {
                turns.turn(None, jobs);
            }
        }
    }
}

/// True when the rows of a convolution tiled so can be made in turn with another's: one fill serves all channels and columns. Its
/// weights must stay in the buffer, or all rows be made in one turn.
pub fn takes_turns(s: &Stage, t: &Tiling, weights: &Weights) -> bool {
    let single = t.block >= s.ow && sets(&weights.groups, t.together).len() == 1;
    let own = s.weights.is_none();
    single && own && t.chunk.is_none() && !t.fold && !s.spread && !s.side
}

/// Rows of the output that a turn makes.
pub fn rows_a_turn(s: &Stage, t: &Tiling) -> usize {
    let rows = t.stripe * pass_rows(s, t.form).0;
    if s.pooled { rows / 2 } else { rows }
}

/// Words of a row of results as a convolution that [`takes_turns`] leaves it in the output buffer; `None` where it comes in parts.
pub fn row_words(s: &Stage, t: &Tiling, a: &Accelerator) -> Option<usize> {
    let (_, pitch) = out_lines(s, t.form, s.ow, a);
    (t.width >= s.ow).then_some(pitch * a.line_words())
}

/// Lines, in as many sets as it has, of the fill of a convolution that [`takes_turns`].
pub fn turn_lines(s: &Stage, l: &Linear, t: &Tiling, rows: &RowsFrom, a: &Accelerator) -> usize {
    let fill = Fill::for_columns(s, 0..s.ow, 0..l.groups * l.inputs, t.form == Form::Pairs, a);
    turn_slots(s, &fill, t, rows) * fill.row_pitch
}

/// Slots of that fill.
fn turn_slots(s: &Stage, fill: &Fill, t: &Tiling, from: &RowsFrom) -> usize {
    let (rows, _) = pass_rows(s, t.form);
    let turns = (0..s.oh).step_by(rows * t.stripe);
    let turns = turns.map(|o| s.input_rows(o, (rows * t.stripe).min(s.oh - o)));
    match from {
        RowsFrom::Memory { spare } => slots_needed(s, fill, t.form, t.stripe + spare),
        RowsFrom::Local(local) => local.slots(fill, turns),
    }
}

/// Result rows of a turn of a convolution tiled so; none where its turns differ.
pub fn rows_of_turn(s: &Stage, t: &Tiling) -> usize {
    match t.first == t.stripe {
        true => t.stripe * pass_rows(s, t.form).0,
        false => 0,
    }
}

/// A set of lane groups and some columns of a convolution, a stripe of tile rows a turn.
pub struct Turns<'s> {
    work: Tiled<'s>,
    set: Range<usize>,
    block: Range<usize>,
    fill: Fill,
    /// Tile rows of each turn.
    stripes: Vec<Range<usize>>,
    next: usize,
}

impl<'s> Turns<'s> {
    /// All rows of a convolution that [`takes_turns`].
    pub fn new(
        s: &'s Stage,
        l: &'s Linear,
        t: &'s Tiling,
        weights: &'s mut Weights,
        from: &RowsFrom,
        a: &'s Accelerator,
        jobs: &mut Jobs,
    ) -> Self {
        let set = 0..weights.groups.len();
        let work = Tiled {
            s,
            l,
            t,
            a,
            weights,
            begins: true,
        };
        let slots = |fill: &Fill| turn_slots(s, fill, t, from);
        let mut turns = Self::begin(work, set, 0..s.ow, slots, jobs);
        turns.fill.local = matches!(from, RowsFrom::Local(_));
        turns
    }

    /// Places the fill, of so many slots where the buffer has room.
    fn begin(
        work: Tiled<'s>,
        set: Range<usize>,
        block: Range<usize>,
        slots: impl FnOnce(&Fill) -> usize,
        jobs: &mut Jobs,
    ) -> Self {
        let (s, t, a) = (work.s, work.t, work.a);
        let (rows, _) = pass_rows(s, t.form);
        let window = window(&work.weights.groups[set.clone()]);
        let paired = t.form == Form::Pairs;
        let mut fill = Fill::for_columns(s, block.clone(), window, paired, a);
        fill.open(slots(&fill), a);
        fill.place(jobs);
        fill.whole = true;
        fill.fold = fold(s, t, a).filter(|_| t.fold);
        let all = s.oh.div_ceil(rows);
        let first = t.first.min(all);
        let rest = spans(all - first, t.stripe).map(|r| r.start + first..r.end + first);
        Turns {
            stripes: std::iter::once(0..first).chain(rest).collect(),
            work,
            set,
            block,
            fill,
            next: 0,
        }
    }

    fn rows(&self, stripe: &Range<usize>) -> Range<usize> {
        let (rows, _) = pass_rows(self.work.s, self.work.t.form);
        stripe.start * rows..(stripe.end * rows).min(self.work.s.oh)
    }
}

impl Turn for Turns<'_> {
    fn is_done(&self) -> bool {
        self.next == self.stripes.len()
    }

    fn reads(&self) -> Range<usize> {
        let rows = self.rows(&self.stripes[self.next]);
        self.work.s.input_rows(rows.start, rows.len())
    }

    fn made(&self, more: usize) -> usize {
        let last = (self.next + more).checked_sub(1);
        let end = last.map_or(0, |n| self.rows(&self.stripes[n]).end);
        if self.work.s.pooled { end / 2 } else { end }
    }

    fn fill(&self) -> &Fill {
        &self.fill
    }

    fn fill_mut(&mut self) -> &mut Fill {
        &mut self.fill
    }

    fn turn(&mut self, mut to: Option<&mut Fill>, jobs: &mut Jobs) {
        let first = self.reads().start;
        self.fill.keep(first);
        let (rows, _) = pass_rows(self.work.s, self.work.t.form);
        for group in self.set.clone() {
            self.work.begins = true;
            for tile_row in self.stripes[self.next].clone() {
                for part in spans(self.block.len(), self.work.t.width) {
                    let part = self.block.start + part.start..self.block.start + part.end;
                    let (fill, to) = (&mut self.fill, to.as_deref_mut());
                    self.work.part(fill, to, group, tile_row * rows, part, jobs);
                }
            }
        }
        self.next += 1;
    }
}

struct Tiled<'s> {
    s: &'s Stage<'s>,
    l: &'s Linear<'s>,
    t: &'s Tiling,
    a: &'s Accelerator,
    weights: &'s mut Weights,
    /// The next command is a group's first in its turn.
    begins: bool,
}

impl Tiled<'_> {
    /// One tile row of some columns and one group: its compute commands and stores.
    /// Its results go `to` another fill, or to memory.
    fn part(
        &mut self,
        fill: &mut Fill,
        mut to: Option<&mut Fill>,
        group: usize,
        o: usize,
        x: Range<usize>,
        jobs: &mut Jobs,
    ) {
        let (s, t, a) = (self.s, self.t, self.a);
        let (rows, _) = pass_rows(s, t.form);
        let valid = rows.min(s.oh - o);
        let fold = fill.fold.filter(|f| f.from == o);
        let x = fold.map_or(x, |f| 0..f.columns);
        let lanes = self.weights.groups[group].outputs.len();
        let (bank_lines, pitch) = out_lines(s, t.form, x.len(), a);
        let region = jobs.out_ring.take(lanes * bank_lines);
        let columns = pass_columns(s, t.form, a);
        let single = s.spread || t.chunk.is_some();
        let tiles: SmallVec<[Range<usize>; 1]> = match single {
            true => spans(x.len(), columns)
                .map(|r| x.start + r.start..x.start + r.end)
                .collect(),
            false => SmallVec::from_iter([x.clone()]),
        };
        let chunks = self.weights.chunks[group].len();
        let place = Place {
            group,
            o,
            x: x.clone(),
            line: region.start,
            fold,
        };
        let mut stores = self.stores(&place);
        let mut residuals = None;
        for (i, tile) in tiles.iter().enumerate() {
            for k in 0..chunks {
                let chunk = self.weights.chunks[group][k].clone();
                let mut own;
                let fill = match t.refill {
                    true => {
                        let paired = t.form == Form::Pairs;
                        own = Fill::for_columns(s, tile.clone(), chunk.c.clone(), paired, a);
                        own.open(slots_needed(s, &own, t.form, 1), a);
                        own.place(jobs);
                        &mut own
                    }
                    false => &mut *fill,
                };
                let dilation = match t.form {
                    f if f.is_winograd() => [KERNEL_SIDE; 2],
                    _ => s.taps.dilation,
                };
                let rows = self.chunk_rows(&chunk, o, valid, dilation[0]);
                let mut loads = fill.rows(rows, &chunk.c, s, jobs);
                let (item, weight_row) = self.weights.need(group, k, jobs);
                // Taps of the same plane lie `dilation` apart, those of neighbouring planes 1.
                let y = s.origin(0, o) + (chunk.ky.start * dilation[0]) as i64;
                let last = k + 1 == chunks;
                let (ky_count, kx_count) = (chunk.ky.len(), chunk.kx.len());
                let cmd = Compute {
                    mode: match t.form.is_winograd() {
                        true => mode::WINOGRAD,
                        false => mode::DIRECT,
                    },
                    first: i32::from(k == 0),
                    last: i32::from(last),
                    pool: i32::from(s.pooled),
                    residual: i32::from(s.residual.is_some()),
                    residual_last: i32::from(s.residual.as_ref().is_some_and(|r| r.last)),
                    diag: i32::from(self.weights.form == Form::Diagonal),
                    rows: field(valid),
                    tiles: field(tile.len().div_ceil(columns)),
                    lanes: field(self.weights.groups[group].lanes(t.form)),
                    reuses: i32::from(t.reuse && self.weights.groups[group].idle == 0),
                    begins: i32::from(t.form == Form::Pairs && self.begins),
                    c_count: field(t.form.steps(chunk.c.len())),
                    kx_count: field(kx_count),
                    ky_count: field(ky_count),
                    weight_row: field(weight_row),
                    x_step: field(columns),
                    out_line: field(region.start + i * single_lines(s, a, single)),
                    out_row_pitch: field(lanes * pitch),
                    out_c_pitch: field(pitch),
                    out_width: field(tile.len()),
                    ..fill.view(dilation, chunk.c.start, y, s.origin(1, tile.start))
                };
                let (mut cmd, [biases, set]) = with_results(cmd, self.l, self.weights, group, jobs);
                if let Some(f) = fold {
                    // Below the map's rows lie its last rows' other parts.
                    cmd.rows = field(f.parts * f.rows);
                    cmd.h_full = field(o + f.parts * f.rows);
                    cmd.lacking = field(f.parts * f.columns - s.ow);
                    cmd.short_row = field((f.parts - 1) * f.rows);
                }
                self.begins &= !last;
                let done = last && i + 1 == tiles.len();
                let stores = if done {
                    std::mem::take(&mut stores)
                } else {
                    Stores::new()
                };
                let writes = if last { region.clone() } else { 0..0 };
                if last {
                    loads[RESIDUALS] = self.residuals(&place, &mut residuals, jobs);
                }
                let used = [Some(item), biases, set];
                jobs.compute(cmd, loads, used, &writes, stores);
                if let (true, Some(to)) = (done, &mut to) {
                    let rows = self.results(&place).flat_map(|(results, rows)| {
                        rows.map(move |(_, y)| (results.channels.clone(), y))
                    });
                    to.takes(rows, jobs);
                }
            }
        }
    }

    /// Rows of the map that a chunk's taps see for result rows `o..o + n`.
    fn chunk_rows(&self, chunk: &Chunk, o: usize, n: usize, dilation: usize) -> Range<usize> {
        let all = self.s.input_rows(o, n);
        let [taps, _] = taps(self.l, self.t.form);
        let at = |o: usize, k: usize| self.s.origin(0, o) + (k * dilation) as i64;
        let clamp = |y: i64| y.clamp(all.start as i64, all.end as i64) as usize;
        let from = match chunk.ky.start {
            0 => all.start,
            k => clamp(at(o, k)),
        };
        let to = match chunk.ky.end {
            k if k == taps => all.end,
            // A tap of WINOGRAD mode is as many rows as lie between two.
            k if self.t.form.is_winograd() => clamp(at(o + n - 1, k)),
            k => clamp(at(o + n - 1, k - 1) + 1),
        };
        from..to.max(from)
    }

    /// The loads of a part's residuals, listed at their first use.
    fn residuals(
        &self,
        place: &Place,
        listed: &mut Option<Range<usize>>,
        jobs: &mut Jobs,
    ) -> Range<usize> {
        let Some(from) = &self.s.residual else {
            return 0..0;
        };
        let list = || {
            let first = jobs.loads[RESIDUALS].len();
            for (results, rows) in self.results(place) {
                rows.for_each(|(r, y)| results.residual(&from.info, r, y, self.a, jobs));
            }
            first..jobs.loads[RESIDUALS].len()
        };
        listed.get_or_insert_with(list).clone()
    }

    /// The stores of a part: the rows that it makes.
    fn stores(&self, place: &Place) -> Stores {
        let results = self.results(place);
        results
            .flat_map(|(results, rows)| results.stores(self.s, rows, self.a))
            .collect()
    }

    /// A part's results in the output buffer, and their rows there and in the output.
    fn results<'p>(
        &'p self,
        place: &'p Place,
    ) -> impl Iterator<Item = (ResultRows, impl Iterator<Item = (usize, usize)>)> + 'p {
        let (s, a, o) = (self.s, self.a, place.o);
        let (rows, _) = pass_rows(s, self.t.form);
        let valid = rows.min(s.oh - o);
        let (_, pitch) = out_lines(s, self.t.form, place.x.len(), a);
        let rows = match s.pooled {
            true => o / 2..(o + valid) / 2,
            false => o..o + valid,
        };
        (0..place.fold.map_or(1, |f| f.parts)).map(move |part| {
            let results = ResultRows {
                channels: self.weights.groups[place.group].outputs.clone(),
                column: s.stored(place.x.start, a) + part * place.x.len(),
                pitch,
                line: place.line,
            };
            let first = part * rows.len();
            let rows = rows.clone().enumerate();
            (results, rows.map(move |(r, y)| (first + r, y)))
        })
    }
}

/// A part of the results: a group's tile row, or some columns of it.
struct Place {
    group: usize,
    /// First result row.
    o: usize,
    /// Result columns; those of the first part of a fold.
    x: Range<usize>,
    /// First line in the output buffer.
    line: usize,
    fold: Option<Fold>,
}

/// Lines between single tiles of a part: each begins a line of its own.
fn single_lines(s: &Stage, a: &Accelerator, single: bool) -> usize {
    if !single {
        return 0;
    }
    s.stored(pass_columns(s, Form::Plain, a), a) / a.line_words()
}
