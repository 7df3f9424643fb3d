//! Max pooling of its own: groups of channels, each a fill of the activation ring.
//!
//! ```text
//! for block of columns: for group of channels:       one fill
//!   for tile row:                                     one compute command, then its stores
//! ```

use super::ResultRows;
use crate::error::CompileError;
use crate::fill::Fill;
use crate::jobs::{Jobs, field};
use crate::stage::Stage;
use crate::turns::{RowsFrom, Turn};
use crate::weights::spans;
use cnna_machine::Accelerator;
use cnna_machine::isa::{Compute, mode};
use std::ops::Range;

/// Result rows of a pass.
pub const ROWS: usize = 4;

struct Tiling {
    /// Result columns of a block.
    block: usize,
    /// Channels of a group.
    channels: usize,
}

fn rows_of_use(s: &Stage) -> usize {
    if s.spread { 1 } else { ROWS }
}

/// Most slots that any run of `tile_rows` tile rows needs.
fn slots_needed(s: &Stage, fill: &Fill, tile_rows: usize) -> usize {
    let rows = rows_of_use(s);
    (0..s.oh)
        .step_by(rows)
        .map(|o| fill.slots_for(&s.input_rows(o, (tile_rows * rows).min(s.oh - o))))
        .max()
        .unwrap_or(1)
}

fn pitch(s: &Stage, columns: usize, a: &Accelerator) -> usize {
    s.stored(columns, a).next_multiple_of(a.column_align()) / a.line_words()
}

/// The widest block, with as many channels as half the output buffer and the ring hold.
fn tiling(s: &Stage, a: &Accelerator) -> Result<Tiling, CompileError> {
    let unit = s.unit(a);
    let units = s.ow.div_ceil(unit);
    let mut need = 0;
    for n in 1..=units {
        let block = units.div_ceil(n) * unit;
        let by_out = by_results(s, block.min(s.ow), a);
        // Lines of one channel's slot, and slots with one to load ahead where there is room.
        let (mut slot, mut slots) = (0, 0);
        for x in spans(s.ow, block) {
            let fill = Fill::for_columns(s, x, 0..1, false, a);
            slot = slot.max(fill.row_pitch);
            slots = slots.max(slots_needed(s, &fill, 1));
        }
        need = slot * slots;
        let by_act = match a.act_depth / (slot * (slots + 1)) {
            0 => a.act_depth / need,
            n => n,
        };
        let most = by_out.min(by_act).min(s.input().c);
        if most > 0 {
            return Ok(Tiling {
                block,
                channels: most,
            });
        }
    }
    Err(CompileError::Capacity {
        layer: s.name.into(),
        what: "lines of the activation buffer for one tile's window",
        need,
        have: a.act_depth,
        key: "act_depth",
    })
}

/// Appends the jobs of one image. Errors: not even one channel of the narrowest block fits.
pub fn schedule(s: &Stage, a: &Accelerator, jobs: &mut Jobs) -> Result<(), CompileError> {
    let t = tiling(s, a)?;
    for x in spans(s.ow, t.block) {
        for channels in spans(s.input().c, t.channels) {
            let slots = |fill: &Fill| slots_needed(s, fill, s.oh);
            let mut turns = Turns::begin(s, a, x.clone(), channels, slots, jobs);
            while !turns.is_done() {
                turns.turn(None, jobs);
            }
        }
    }
    Ok(())
}

/// Channels of which the output buffer holds a tile row twice.
fn by_results(s: &Stage, columns: usize, a: &Accelerator) -> usize {
    a.out_depth / 2 / (ROWS / 2 * pitch(s, columns, a))
}

/// True when all channels and columns can share a fill, whose rows come in turn with those of other stages.
pub fn takes_turns(s: &Stage, a: &Accelerator) -> bool {
    !s.spread && !s.side && by_results(s, s.ow, a) > 0
}

/// Words of a row of results of a stage that [`takes_turns`].
pub fn row_words(s: &Stage, a: &Accelerator) -> usize {
    pitch(s, s.ow, a) * a.line_words()
}

/// Lines of the fill of a stage that [`takes_turns`].
pub fn turn_lines(s: &Stage, rows: &RowsFrom, a: &Accelerator) -> usize {
    let fill = Fill::for_columns(s, 0..s.ow, 0..s.input().c, false, a);
    turn_slots(s, &fill, rows) * fill.row_pitch
}

/// Slots of that fill.
fn turn_slots(s: &Stage, fill: &Fill, from: &RowsFrom) -> usize {
    let turns = (0..s.oh).step_by(ROWS);
    let turns = turns.map(|o| s.input_rows(o, ROWS.min(s.oh - o)));
    match from {
        RowsFrom::Memory { spare } => slots_needed(s, fill, 1 + spare),
        RowsFrom::Local(local) => local.slots(fill, turns),
    }
}

/// Some columns and channels, a tile row a turn.
pub struct Turns<'s> {
    s: &'s Stage<'s>,
    a: &'s Accelerator,
    x: Range<usize>,
    channels: Range<usize>,
    fill: Fill,
    /// First result row of the next turn.
    next: usize,
}

impl<'s> Turns<'s> {
    /// All of a stage that [`takes_turns`].
    pub fn new(s: &'s Stage, from: &RowsFrom, a: &'s Accelerator, jobs: &mut Jobs) -> Self {
        let slots = |fill: &Fill| turn_slots(s, fill, from);
        let mut turns = Self::begin(s, a, 0..s.ow, 0..s.input().c, slots, jobs);
        turns.fill.local = matches!(from, RowsFrom::Local(_));
        turns
    }

    /// Places the fill, of so many slots where the buffer has room.
    fn begin(
        s: &'s Stage,
        a: &'s Accelerator,
        x: Range<usize>,
        channels: Range<usize>,
        slots: impl FnOnce(&Fill) -> usize,
        jobs: &mut Jobs,
    ) -> Self {
        let mut fill = Fill::for_columns(s, x.clone(), channels.clone(), false, a);
        fill.open(slots(&fill), a);
        fill.place(jobs);
        fill.whole = true;
        Turns {
            s,
            a,
            x,
            channels,
            fill,
            next: 0,
        }
    }

    fn rows(&self) -> Range<usize> {
        let valid = rows_of_use(self.s).min(self.s.oh - self.next);
        self.s.input_rows(self.next, valid)
    }

    /// The jobs of some channels in the next turn.
    fn part(&mut self, channels: Range<usize>, to: Option<&mut Fill>, jobs: &mut Jobs) {
        let (s, a, o) = (self.s, self.a, self.next);
        let valid = rows_of_use(s).min(s.oh - o);
        let pitch = pitch(s, self.x.len(), a);
        let count = channels.len();
        let (tiles, x_step) = match s.spread {
            true => (self.x.len(), s.taps.stride[1]),
            false => (self.x.len().div_ceil(a.line_words()), a.line_words()),
        };
        let region = jobs.out_ring.take(count * pitch * (ROWS / 2));
        let loads = self.fill.rows(s.input_rows(o, valid), &channels, s, jobs);
        let cmd = Compute {
            mode: mode::POOL,
            first: 1,
            last: 1,
            rows: field(valid),
            tiles: field(tiles),
            lanes: field(count),
            c_count: field(count),
            kx_count: field(s.taps.kernel[1]),
            ky_count: field(s.taps.kernel[0]),
            x_step: field(x_step),
            out_line: field(region.start),
            out_row_pitch: field(count * pitch),
            out_c_pitch: field(pitch),
            out_width: field(s.stored(self.x.len(), a)),
            ..self.fill.view(
                s.taps.dilation,
                channels.start,
                s.origin(0, o),
                s.origin(1, self.x.start),
            )
        };
        let results = ResultRows {
            channels: channels.clone(),
            column: s.stored(self.x.start, a),
            pitch,
            line: region.start,
        };
        let stores = results.stores(s, (0..valid).map(|r| (r, o + r)), a);
        jobs.compute(cmd, loads, [None; 3], &region, stores);
        if let Some(to) = to {
            let rows = (0..valid).map(|r| (results.channels.clone(), o + r));
            to.takes(rows, jobs);
        }
    }
}

impl Turn for Turns<'_> {
    fn is_done(&self) -> bool {
        self.next >= self.s.oh
    }

    fn reads(&self) -> Range<usize> {
        self.rows()
    }

    fn made(&self, more: usize) -> usize {
        (self.next + more * rows_of_use(self.s)).min(self.s.oh)
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
        let most = by_results(self.s, self.x.len(), self.a);
        for channels in spans(self.channels.len(), most) {
            let first = self.channels.start;
            let channels = first + channels.start..first + channels.end;
            self.part(channels, to.as_deref_mut(), jobs);
        }
        self.next += rows_of_use(self.s);
    }
}
