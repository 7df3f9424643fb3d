//! Where a step's window lies: lines of the activation buffer, position, and the plane's size.
//!
//! Column and row follow the tap: the phase counts to `stride` and carries into the position by `dilation`; each phase is a
//! plane of its own. Rows are a ring of slots of four. Moves come from the sequencer one cycle after the step was decided,
//! outputs one cycle later. Positions are signed, modulo 2^16.
//!
//! Whether a line leaves the ring is asked of the line before the move: limit and way back are registers of the command, so
//! that a move is one addition.

use cnna_emit::dff::{ClockReset, Dff};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// The address counters of the window.
#[derive(LogicBlock, Default)]
pub struct Window {
    /// Clock only: every counter is loaded with its command.
    pub clock: Signal<In, ClockReset>,
    /// A command was taken: its fields are held.
    pub taken: Signal<In, Bit>,
    /// A step was issued.
    pub step: Signal<In, Bit>,
    /// The channel moves.
    pub c_move: Signal<In, Bit>,
    /// ... back to the first.
    pub c_wrap: Signal<In, Bit>,
    /// The tap's column moves.
    pub kx_move: Signal<In, Bit>,
    /// ... back to the first.
    pub kx_wrap: Signal<In, Bit>,
    /// The tap's row moves.
    pub ky_move: Signal<In, Bit>,
    /// ... back to the first.
    pub ky_wrap: Signal<In, Bit>,
    /// The tile moves.
    pub tile_move: Signal<In, Bit>,
    /// Field.
    pub ring_lines: Signal<In, Bits<16>>,
    /// Field.
    pub ring_end: Signal<In, Bits<16>>,
    /// Field.
    pub row_line: Signal<In, Bits<16>>,
    /// Field.
    pub row_pitch: Signal<In, Bits<16>>,
    /// Field.
    pub c_pitch: Signal<In, Bits<16>>,
    /// Field.
    pub row_step: Signal<In, Bits<16>>,
    /// Field.
    pub row_step_carry: Signal<In, Bits<16>>,
    /// Field.
    pub x_step: Signal<In, Bits<16>>,
    /// Field.
    pub x_start: Signal<In, Bits<16>>,
    /// Field.
    pub y_start: Signal<In, Bits<16>>,
    /// Field.
    pub w_full: Signal<In, Bits<16>>,
    /// Field.
    pub h_full: Signal<In, Bits<16>>,
    /// Field.
    pub w_rem: Signal<In, Bits<2>>,
    /// Field.
    pub h_rem: Signal<In, Bits<2>>,
    /// Field.
    pub plane_pitch: Signal<In, Bits<16>>,
    /// Field.
    pub plane_y_pitch: Signal<In, Bits<16>>,
    /// Field.
    pub plane_x0: Signal<In, Bits<16>>,
    /// Field.
    pub plane_y0: Signal<In, Bits<16>>,
    /// Field.
    pub stride: Signal<In, Bits<3>>,
    /// Field.
    pub px0: Signal<In, Bits<2>>,
    /// Field.
    pub py0: Signal<In, Bits<2>>,
    /// Field.
    pub dilation_x: Signal<In, Bits<6>>,
    /// Field.
    pub dilation_y: Signal<In, Bits<6>>,
    /// Line of the slot of the window's first row.
    pub row_a: Signal<Out, Bits<16>>,
    /// Line of the next slot in the ring.
    pub row_b: Signal<Out, Bits<16>>,
    /// Channel and plane, in lines.
    pub off: Signal<Out, Bits<16>>,
    /// Column of the window.
    pub x: Signal<Out, Bits<16>>,
    /// Row of the window.
    pub y: Signal<Out, Bits<16>>,
    /// Columns of this plane; 0 without a step, so that the window is zero.
    pub w: Signal<Out, Bits<16>>,
    /// Rows of this plane.
    pub h: Signal<Out, Bits<16>>,
    c_off: Dff<Bits<16>>,
    x_tile: Dff<Bits<16>>,
    x_at: Dff<Bits<16>>,
    px: Dff<Bits<2>>,
    px_off: Dff<Bits<16>>,
    y_at: Dff<Bits<16>>,
    row: Dff<Bits<16>>,
    py: Dff<Bits<2>>,
    py_off: Dff<Bits<16>>,
    was_row_a: Dff<Bits<16>>,
    was_row_b: Dff<Bits<16>>,
    was_off: Dff<Bits<16>>,
    was_x: Dff<Bits<16>>,
    was_y: Dff<Bits<16>>,
    was_w: Dff<Bits<16>>,
    was_h: Dff<Bits<16>>,
    step_limit: Dff<Bits<16>>,
    step_back: Dff<Bits<16>>,
    carry_limit: Dff<Bits<16>>,
    carry_back: Dff<Bits<16>>,
    next_limit: Dff<Bits<16>>,
    next_back: Dff<Bits<16>>,
    x_tile_next: Signal<Local, Bits<16>>,
    px_carry: Signal<Local, Bit>,
    py_carry: Signal<Local, Bit>,
    y_low: Signal<Local, Bits<2>>,
    dilation_low: Signal<Local, Bits<2>>,
    slot_carry: Signal<Local, Bit>,
    row_stepped: Signal<Local, Bits<16>>,
    row_carried: Signal<Local, Bits<16>>,
    wider: Signal<Local, Bit>,
    higher: Signal<Local, Bit>,
}

impl Logic for Window {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, c_off, x_tile, x_at, px, px_off, y_at, row, py, py_off
        );
        dff_setup!(
            self,
            clock,
            step_limit,
            step_back,
            carry_limit,
            carry_back,
            next_limit,
            next_back
        );
        dff_setup!(
            self, clock, was_row_a, was_row_b, was_off, was_x, was_y, was_w, was_h
        );

        // Limits of the ring: a line moves past its end from limit on, and then by back instead (modulo 2^16).
        self.step_limit.d.next = self.ring_end.val() - self.row_step.val();
        self.step_back.d.next = self.row_step.val() - self.ring_lines.val();
        self.carry_limit.d.next = self.ring_end.val() - self.row_step_carry.val();
        self.carry_back.d.next = self.row_step_carry.val() - self.ring_lines.val();
        self.next_limit.d.next = self.ring_end.val() - self.row_pitch.val();
        self.next_back.d.next = self.row_pitch.val() - self.ring_lines.val();

        // Channel.
        if self.taken.val() {
            self.c_off.d.next = 0.into();
        } else if self.c_move.val() {
            self.c_off.d.next = self.c_off.q.val() + self.c_pitch.val();
            if self.c_wrap.val() {
                self.c_off.d.next = 0.into();
            }
        }

        // Column: the tile's first, then the tap's.
        self.x_tile_next.next = self.x_tile.q.val() + self.x_step.val();
        if self.taken.val() {
            self.x_tile.d.next = self.x_start.val();
        } else if self.tile_move.val() {
            self.x_tile.d.next = self.x_tile_next.val();
        }
        self.px_carry.next = (bit_cast::<3, 2>(self.px.q.val()) + 1) == self.stride.val();
        if self.taken.val() {
            self.x_at.d.next = self.x_start.val();
            self.px.d.next = self.px0.val();
            self.px_off.d.next = self.plane_x0.val();
        } else if self.kx_move.val() {
            if self.kx_wrap.val() {
                self.x_at.d.next = self.x_tile.q.val();
                if self.tile_move.val() {
                    self.x_at.d.next = self.x_tile_next.val();
                }
                self.px.d.next = self.px0.val();
                self.px_off.d.next = self.plane_x0.val();
            } else if self.px_carry.val() {
                self.x_at.d.next = self.x_at.q.val() + bit_cast::<16, 6>(self.dilation_x.val());
                self.px.d.next = 0.into();
                self.px_off.d.next = 0.into();
            } else {
                self.px.d.next = self.px.q.val() + 1;
                self.px_off.d.next = self.px_off.q.val() + self.plane_pitch.val();
            }
        }

        // Row: another slot of the ring when the row within the slot carries.
        self.py_carry.next = (bit_cast::<3, 2>(self.py.q.val()) + 1) == self.stride.val();
        self.y_low.next = self.y_at.q.val().get_bits::<2>(0);
        self.dilation_low.next = self.dilation_y.val().get_bits::<2>(0);
        // The carry out of two bits, written out: an adder would take a carry chain.
        self.slot_carry.next = (self.y_low.val().get_bit(1) & self.dilation_low.val().get_bit(1))
            | ((self.y_low.val().get_bit(1) | self.dilation_low.val().get_bit(1))
                & self.y_low.val().get_bit(0)
                & self.dilation_low.val().get_bit(0));
        self.row_stepped.next = self.row.q.val() + self.row_step.val();
        if self.row.q.val() >= self.step_limit.q.val() {
            self.row_stepped.next = self.row.q.val() + self.step_back.q.val();
        }
        self.row_carried.next = self.row.q.val() + self.row_step_carry.val();
        if self.row.q.val() >= self.carry_limit.q.val() {
            self.row_carried.next = self.row.q.val() + self.carry_back.q.val();
        }
        if self.taken.val() {
            self.y_at.d.next = self.y_start.val();
            self.row.d.next = self.row_line.val();
            self.py.d.next = self.py0.val();
            self.py_off.d.next = self.plane_y0.val();
        } else if self.ky_move.val() {
            if self.ky_wrap.val() {
                self.y_at.d.next = self.y_start.val();
                self.row.d.next = self.row_line.val();
                self.py.d.next = self.py0.val();
                self.py_off.d.next = self.plane_y0.val();
            } else if self.py_carry.val() {
                self.y_at.d.next = self.y_at.q.val() + bit_cast::<16, 6>(self.dilation_y.val());
                self.row.d.next = self.row_stepped.val();
                if self.slot_carry.val() {
                    self.row.d.next = self.row_carried.val();
                }
                self.py.d.next = 0.into();
                self.py_off.d.next = 0.into();
            } else {
                self.py.d.next = self.py.q.val() + 1;
                self.py_off.d.next = self.py_off.q.val() + self.plane_y_pitch.val();
            }
        }

        // The step, registered once.
        self.was_row_a.d.next = self.row.q.val();
        self.was_row_b.d.next = self.row.q.val() + self.row_pitch.val();
        if self.row.q.val() >= self.next_limit.q.val() {
            self.was_row_b.d.next = self.row.q.val() + self.next_back.q.val();
        }
        self.was_off.d.next = self.c_off.q.val() + self.px_off.q.val() + self.py_off.q.val();
        self.was_x.d.next = self.x_at.q.val();
        self.was_y.d.next = self.y_at.q.val();
        self.wider.next = self.px.q.val() < self.w_rem.val();
        self.higher.next = self.py.q.val() < self.h_rem.val();
        self.was_w.d.next = 0.into();
        if self.step.val() {
            self.was_w.d.next = self.w_full.val() + self.wider.val();
        }
        self.was_h.d.next = self.h_full.val() + self.higher.val();
        self.row_a.next = self.was_row_a.q.val();
        self.row_b.next = self.was_row_b.q.val();
        self.off.next = self.was_off.q.val();
        self.x.next = self.was_x.q.val();
        self.y.next = self.was_y.q.val();
        self.w.next = self.was_w.q.val();
        self.h.next = self.was_h.q.val();
    }
}
