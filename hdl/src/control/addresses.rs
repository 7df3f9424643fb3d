//! Address counters beside the window's: rows of the weight buffer, and where a pass's results go.

use super::block;
use cnna_emit::dff::{ClockReset, Dff};
use cnna_emit::dff_setup;
use cnna_machine::config::TILE_SIDE;
use cnna_machine::isa;
use rust_hdl_core::prelude::*;

/// Row of the weight buffer: one a step; in DIRECT mode 8 steps share a row, with `diag` all channels of a tap. One cycle after
/// the sequencer's step.
#[derive(LogicBlock)]
pub struct WeightAddress {
    /// Clock only.
    pub clock: Signal<In, ClockReset>,
    /// A command was taken: its fields are held.
    pub taken: Signal<In, Bit>,
    /// A step was issued.
    pub step: Signal<In, Bit>,
    /// ... the last of a pass.
    pub pass_end: Signal<In, Bit>,
    /// ... the channel is the last.
    pub c_wrap: Signal<In, Bit>,
    /// Field of the command held.
    pub diag: Signal<In, Bit>,
    /// Field of the command held.
    pub mode: Signal<In, Bits<2>>,
    /// Field of the command held.
    pub weight_row: Signal<In, Bits<16>>,
    /// Row.
    pub row: Signal<Out, Bits<16>>,
    /// Word of the row, in DIRECT mode.
    pub word: Signal<Out, Bits<3>>,
    /// Channel that alone sees the step's operands, with `diag`; modulo 256.
    pub channel: Signal<Out, Bits<8>>,
    /// The command's `diag`, in step with it.
    pub diag_after: Signal<Out, Bit>,
    at: Dff<Bits<16>>,
    at_word: Dff<Bits<3>>,
    was_at: Dff<Bits<16>>,
    was_word: Dff<Bits<3>>,
    at_channel: Dff<Bits<8>>,
    was_channel: Dff<Bits<8>>,
    was_diag: Dff<Bit>,
    stays: Signal<Local, Bit>,
    direct: Constant<Bits<2>>,
}

impl Default for WeightAddress {
    fn default() -> Self {
        block!(
            direct = isa::mode::DIRECT;
            clock, taken, step, pass_end, c_wrap, diag, mode, weight_row, row, word, channel, diag_after, at, at_word, was_at,
            was_word, at_channel, was_channel, was_diag, stays
        )
    }
}

impl Logic for WeightAddress {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, at, at_word, was_at, was_word);
        dff_setup!(self, clock, at_channel, was_channel, was_diag);
        self.stays.next = self.diag.val() & !self.c_wrap.val();
        if self.taken.val() {
            self.at.d.next = self.weight_row.val();
            self.at_word.d.next = 0.into();
        } else if self.step.val() {
            if self.pass_end.val() {
                self.at.d.next = self.weight_row.val();
                self.at_word.d.next = 0.into();
            } else if self.mode.val() == self.direct.val() {
                self.at_word.d.next = self.at_word.q.val() + 1;
                if self.at_word.q.val().all() {
                    self.at.d.next = self.at.q.val() + 1;
                }
            } else {
                if !self.stays.val() {
                    self.at.d.next = self.at.q.val() + 1;
                }
                self.at_word.d.next = 0.into();
            }
        }
        if self.taken.val() {
            self.at_channel.d.next = 0.into();
        } else if self.step.val() {
            self.at_channel.d.next = self.at_channel.q.val() + 1;
            if self.c_wrap.val() {
                self.at_channel.d.next = 0.into();
            }
        }
        self.was_at.d.next = self.at.q.val();
        self.was_word.d.next = self.at_word.q.val();
        self.row.next = self.was_at.q.val();
        self.word.next = self.was_word.q.val();
        self.was_channel.d.next = self.at_channel.q.val();
        self.was_diag.d.next = self.diag.val();
        self.channel.next = self.was_channel.q.val();
        self.diag_after.next = self.was_diag.q.val();
    }
}

/// Where a pass's results go: first line of the output buffer, quarter of the line, first column of the tile's results.
#[derive(LogicBlock)]
pub struct ResultAddress {
    /// Clock only.
    pub clock: Signal<In, ClockReset>,
    /// A command was taken: its fields are held.
    pub taken: Signal<In, Bit>,
    /// The tile moves.
    pub tile_move: Signal<In, Bit>,
    /// Field of the command held.
    pub mode: Signal<In, Bits<2>>,
    /// Field of the command held.
    pub pool: Signal<In, Bit>,
    /// Field of the command held.
    pub out_line: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub lanes: Signal<In, Bits<16>>,
    /// Line, before rows and channels.
    pub line: Signal<Out, Bits<16>>,
    /// Quarter of the line.
    pub quarter: Signal<Out, Bits<2>>,
    /// Column before pooling.
    pub column: Signal<Out, Bits<16>>,
    /// Number of the last output channel.
    pub last_lane: Signal<Out, Bits<16>>,
    at_quarter: Dff<Bits<18>>,
    at_column: Dff<Bits<16>>,
    quarter_step: Signal<Local, Bits<18>>,
    column_step: Signal<Local, Bits<16>>,
    winograd: Constant<Bits<2>>,
    small_tile: Constant<Bits<16>>,
    large_tile: Constant<Bits<16>>,
}

impl ResultAddress {
    /// For `tiles` tiles side by side: each gives 2 columns in WINOGRAD mode, 4 in the others.
    pub fn new(tiles: usize) -> Self {
        block!(
            winograd = isa::mode::WINOGRAD,
            small_tile = TILE_SIDE / 2 * tiles,
            large_tile = TILE_SIDE * tiles;
            clock, taken, tile_move, mode, pool, out_line, lanes, line, quarter, column, last_lane, at_quarter, at_column, quarter_step,
            column_step
        )
    }
}

impl Logic for ResultAddress {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, at_quarter, at_column);
        self.quarter_step.next = 4.into();
        self.column_step.next = self.large_tile.val();
        if self.mode.val() == self.winograd.val() {
            self.quarter_step.next = 2.into();
            self.column_step.next = self.small_tile.val();
        }
        // Pooling halves the width.
        if self.pool.val() {
            self.quarter_step.next = self.quarter_step.val() >> 1;
        }
        if self.taken.val() {
            self.at_quarter.d.next = 0.into();
            self.at_column.d.next = 0.into();
        } else if self.tile_move.val() {
            self.at_quarter.d.next = self.at_quarter.q.val() + self.quarter_step.val();
            self.at_column.d.next = self.at_column.q.val() + self.column_step.val();
        }
        self.line.next = self.out_line.val() + self.at_quarter.q.val().get_bits::<16>(2);
        self.quarter.next = bit_cast::<2, 18>(self.at_quarter.q.val());
        self.column.next = self.at_column.q.val();
        self.last_lane.next = self.lanes.val() - 1;
    }
}
