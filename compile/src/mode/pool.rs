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
use crate::weights::spans;
use cnna_machine::Accelerator;
use cnna_machine::isa::{Compute, mode};
use std::ops::Range;

/// Result rows of a pass.
const ROWS: usize = 4;

struct Tiling {
    /// Result columns of a block.
    block: usize,
    /// Channels of a group.
    channels: usize,
}

fn rows_of_use(s: &Stage) -> usize {
    if s.spread { 1 } else { ROWS }
}

fn slots_needed(s: &Stage, fill: &Fill) -> usize {
    let rows = rows_of_use(s);
    (0..s.oh)
        .step_by(rows)
        .map(|o| fill.slots_for(&s.input_rows(o, rows.min(s.oh - o))))
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
        let by_out = a.out_depth / 2 / (ROWS / 2 * pitch(s, block.min(s.ow), a));
        // Lines of one channel's slot, and slots with one to load ahead where there is room.
        let (mut slot, mut slots) = (0, 0);
        for x in spans(s.ow, block) {
            let fill = Fill::for_columns(s, x, 0..1, a);
            slot = slot.max(fill.row_pitch);
            slots = slots.max(slots_needed(s, &fill));
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
            column(s, x.clone(), channels, a, jobs);
        }
    }
    Ok(())
}

/// All rows of some columns and channels.
fn column(s: &Stage, x: Range<usize>, channels: Range<usize>, a: &Accelerator, jobs: &mut Jobs) {
    let mut fill = Fill::for_columns(s, x.clone(), channels.clone(), a);
    fill.open(fill.slots_for(&(0..s.input().h)), a);
    fill.place(jobs);
    let rows = rows_of_use(s);
    let pitch = pitch(s, x.len(), a);
    let count = channels.len();
    let (tiles, x_step) = match s.spread {
        true => (x.len(), s.taps.stride[1]),
        false => (x.len().div_ceil(a.line_words()), a.line_words()),
    };
    for o in (0..s.oh).step_by(rows) {
        let valid = rows.min(s.oh - o);
        let region = jobs.out_ring.take(count * pitch * (ROWS / 2));
        let loads = fill.rows(s.input_rows(o, valid), s, jobs);
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
            out_width: field(s.stored(x.len(), a)),
            ..fill.view(
                s.taps.dilation,
                channels.start,
                s.origin(0, o),
                s.origin(1, x.start),
            )
        };
        let results = ResultRows {
            channels: channels.clone(),
            column: s.stored(x.start, a),
            pitch,
            line: region.start,
        };
        let stores = results.stores(s, (0..valid).map(|r| (r, o + r)), a);
        jobs.compute(cmd, [loads, 0..0], [None; 3], &region, stores);
    }
}
