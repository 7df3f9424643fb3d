//! The contents of the machine's on-chip memories: activation, weight, bias and output buffers, and the accumulators.
//!
//! Words are held as `i16` for both widths, weights as the reals they are multiplied as. A line is `4 * tiles` words; a bank is its lines in order, so that the columns
//! of a row are neighbours. At power-up everything is zero.

use cnna_machine::Accelerator;
use cnna_machine::config::depth::KEPT_PASSES;
use cnna_machine::config::{BIAS_ROW, KERNEL_WORDS, POSITIONS};
use cnna_machine::isa::{Compute, SETS};
use cnna_machine::num::Word;
use std::collections::VecDeque;

/// An entry of the bias buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bias {
    /// 48 bits, in the accumulator's scale.
    pub sum: i64,
    /// The channel's shift or slope.
    pub own: i16,
}

/// An activation set.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Bounds, as words.
    pub bounds: [i16; 2],
    /// Slope of what is negative, 15 fraction bits.
    pub slope: i16,
    /// (base, delta) of each segment or byte.
    pub table: Vec<[i16; 2]>,
}

/// All on-chip state that commands read and write.
#[derive(Clone, Debug)]
pub struct Buffers {
    /// Tiles (T).
    pub tiles: usize,
    /// Lanes (M).
    pub lanes: usize,
    /// Weight ports (P).
    pub ports: usize,
    /// Word width.
    pub word: Word,
    /// The machine has the paired mode.
    pub paired: bool,
    /// A second port reads activations.
    pub second_port: bool,
    /// Activation buffer: four row banks of `act_depth * 4T` words.
    pub act: [Vec<i16>; 4],
    /// Weight buffer: words as reals, [row][lane][9], lanes padded to [`Buffers::lane_pitch`].
    pub weights: Vec<f64>,
    /// Bias buffer: [row][4].
    pub bias: Vec<Bias>,
    /// Activation sets.
    pub sets: [Set; SETS],
    /// Residual buffer: two row banks of `residual_depth * 4T` words.
    pub residual: [Vec<i16>; 2],
    /// Output buffer: two row banks of `out_depth * 4T` words.
    pub out: [Vec<i16>; 2],
    /// What local stores left and no local load has taken: one load's each.
    pub local: VecDeque<Local>,
    /// Of which passes the sums of products of operands are kept: each pass's command, without what is its group's own.
    pub kept: [Option<Compute>; KEPT_PASSES],
    /// Where the next pass's are.
    pub kept_at: usize,
    /// Accumulators that a command with `last` = 0 leaves: [lane][16T], 48 bits each.
    pub acc: Vec<i64>,
}

/// What one local load takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// 1, or the 2 that come at once.
    pub rows: usize,
    /// Row by row.
    pub bytes: Vec<u8>,
}

impl Buffers {
    /// Empty buffers of a machine's sizes.
    pub fn new(a: &Accelerator) -> Self {
        let line = a.line_words();
        Buffers {
            tiles: a.tiles,
            lanes: a.lanes,
            ports: a.weight_ports,
            word: a.word,
            paired: a.paired,
            second_port: a.load_ports > 1,
            act: std::array::from_fn(|_| vec![0; a.act_depth * line]),
            weights: vec![0.0; a.weight_depth * lane_pitch(a.lanes) * KERNEL_WORDS],
            bias: vec![Bias::default(); a.bias_depth * BIAS_ROW],
            sets: std::array::from_fn(|_| Set {
                table: vec![[0; 2]; a.word.table_entries()],
                ..Set::default()
            }),
            residual: std::array::from_fn(|_| vec![0; a.residual_depth() * line]),
            out: std::array::from_fn(|_| vec![0; a.out_depth * line]),
            local: VecDeque::new(),
            kept: [None; KEPT_PASSES],
            kept_at: 0,
            acc: vec![0; a.lanes * a.tiles * POSITIONS],
        }
    }

    /// Words of a line.
    pub fn line(&self) -> usize {
        4 * self.tiles
    }

    /// Lines of one of the activation buffer's two sets.
    pub fn set_lines(&self) -> usize {
        self.act[0].len() / self.line() / 2
    }

    /// Lanes of a weight row as stored.
    pub fn lane_pitch(&self) -> usize {
        lane_pitch(self.lanes)
    }

    /// Rows of the weight buffer.
    pub fn weight_depth(&self) -> usize {
        self.weights.len() / (self.lane_pitch() * KERNEL_WORDS)
    }
}

/// Sums are formed for this many lanes at once.
pub const LANE_BLOCK: usize = 4;

fn lane_pitch(lanes: usize) -> usize {
    lanes.next_multiple_of(LANE_BLOCK)
}
