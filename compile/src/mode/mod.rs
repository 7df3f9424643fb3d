//! From a stage to jobs, one mode of the array a file.

pub mod conv;
pub mod pool;
pub mod rows;
pub mod vector;

use crate::act::Act;
use crate::jobs::{Jobs, address, field};
use crate::linear::Linear;
use crate::stage::Stage;
use crate::weights::Weights;
use cnna_machine::Accelerator;
use cnna_machine::config::BEAT_WORDS;
use cnna_machine::isa::{Compute, Load, Store, target};
use cnna_machine::program::TensorInfo;
use std::ops::Range;

/// Most rows of one store command.
const MOST_ROWS: i32 = 7;

/// The command with what becomes of its sums: a group's biases, requantisation, the function behind it. And the items that bring
/// them.
pub fn with_results(
    cmd: Compute,
    l: &Linear,
    weights: &mut Weights,
    group: usize,
    jobs: &mut Jobs,
) -> (Compute, [Option<usize>; 2]) {
    let (bias_item, bias_row) = weights.bias(group, jobs);
    let set = weights.set(jobs);
    let cmd = Compute {
        bias_row: field(bias_row),
        shift: l.shift,
        relu: i32::from(l.act == Act::Relu),
        act: l.act.code(),
        act_set: field(set.map_or(0, |s| s.1)),
        per_channel: i32::from(l.is_per_channel()),
        ..cmd
    };
    (cmd, [Some(bias_item), set.map(|s| s.0)])
}

/// Result rows in the output buffer: `channels` neighbouring channels, `pitch` lines each, from `line` on.
#[derive(Clone, Debug)]
pub struct ResultRows {
    /// Output channels.
    pub channels: Range<usize>,
    /// Output column of the first.
    pub column: usize,
    /// Lines of a channel's row.
    pub pitch: usize,
    /// First line of the first row.
    pub line: usize,
}

impl ResultRows {
    /// Brings result rows to rows of the stage's output: (result row, output row), as many as possible with each command.
    pub fn stores(
        &self,
        s: &Stage,
        rows: impl Iterator<Item = (usize, usize)>,
        a: &Accelerator,
    ) -> Vec<Store> {
        let mut all: Vec<(Store, usize, usize)> = Vec::new();
        for (r, y) in rows {
            if let Some((store, next, last)) = all.last_mut() {
                let step = y
                    .wrapping_sub(*last)
                    .wrapping_mul(s.output.layout.row_bytes);
                let follows = r == *next && y > *last && store.rows < MOST_ROWS;
                if follows && (store.rows == 1 || store.row_stride == address(step)) {
                    store.rows += 1;
                    store.row_stride = address(step);
                    (*next, *last) = (r + 1, y);
                    continue;
                }
            }
            all.push((self.row(&s.output, r, y, a), r + 1, y));
        }
        all.into_iter().map(|(store, ..)| store).collect()
    }

    /// Brings row `y` of the stage's residual to where result row `r` will be.
    pub fn residual(
        &self,
        from: &TensorInfo,
        r: usize,
        y: usize,
        a: &Accelerator,
        jobs: &mut Jobs,
    ) {
        let s = self.row(from, r, y, a);
        let load = Load {
            ddr: s.ddr,
            seg_beats: s.seg_beats,
            seg_count: s.seg_count,
            seg_stride: s.seg_stride,
            line: s.line,
            row_bank: s.bank,
            stride: 1,
            target: target::RESIDUAL,
            ..Load::default()
        };
        let first = s.line as usize;
        jobs.residual(load, first..first + self.channels.len() * self.pitch);
    }

    /// Between result row `r` and row `y` of a tensor.
    fn row(&self, of: &TensorInfo, r: usize, y: usize, a: &Accelerator) -> Store {
        let out = &of.layout;
        let words = self.pitch * a.line_words();
        let (seg_count, beats) = match words == out.padded_w {
            true => (1, self.channels.len() * words / BEAT_WORDS),
            false => (self.channels.len(), words / BEAT_WORDS),
        };
        let ddr = of.offset
            + y * out.row_bytes
            + self.channels.start * out.channel_bytes()
            + self.column * out.word_bytes;
        Store {
            ddr: address(ddr),
            seg_beats: field(beats),
            seg_count: field(seg_count),
            seg_stride: address(out.channel_bytes()),
            line: field(self.line + r / 2 * self.channels.len() * self.pitch),
            bank: field(r % 2),
            rows: 1,
            row_stride: 0,
            row_pitch: field(self.channels.len() * self.pitch),
            local: 0,
            both: 0,
        }
    }
}
