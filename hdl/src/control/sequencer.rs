//! Compute's loops: passes, taps and channels, one step a cycle.
//!
//! A command starts in the cycle after it is taken. The last step of a pass that drains waits until the results of the pass
//! before have left the drain queue (the pace); no other stall exists, so a command's time follows from its fields alone.
//! The loops are those of `isa::Compute`'s docstring; the addresses are in `window` and `addresses`, which move with them.

use super::block;
use crate::dff::{ClockReset, Dff, DffRst};
use crate::dff_setup;
use cnna_spec::{isa, timing};
use rust_hdl_core::prelude::*;

/// Loop counters, pace, and the flags of a step.
#[derive(LogicBlock)]
pub struct Sequencer {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// A command whose tokens are there.
    pub start: Signal<In, Bit>,
    /// It would be taken.
    pub ready: Signal<Out, Bit>,
    /// It is taken: its fields are held from the next cycle on.
    pub take: Signal<Out, Bit>,
    /// Field of the command held.
    pub mode: Signal<In, Bits<2>>,
    /// Field of the command held.
    pub first: Signal<In, Bit>,
    /// Field of the command held.
    pub last: Signal<In, Bit>,
    /// Field of the command held.
    pub tiles: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub lanes: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub c_count: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub kx_count: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub ky_count: Signal<In, Bits<16>>,
    /// A step is issued.
    pub step: Signal<Out, Bit>,
    /// The channel moves with it.
    pub c_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub c_wrap: Signal<Out, Bit>,
    /// The tap's column moves.
    pub kx_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub kx_wrap: Signal<Out, Bit>,
    /// The tap's row moves.
    pub ky_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub ky_wrap: Signal<Out, Bit>,
    /// The step is the last of a pass.
    pub pass_end: Signal<Out, Bit>,
    /// ... and it is issued: the tile moves.
    pub tile_move: Signal<Out, Bit>,
    /// The tile is the last.
    pub tile_last: Signal<Out, Bit>,
    /// Results are described with this step.
    pub describe: Signal<Out, Bit>,
    /// The command's last step, and it sends a token to the load (bit 0) and weight (bit 1) queue.
    pub releases: Signal<Out, Bits<2>>,
    /// Queues to which the command sends.
    pub signal: Signal<In, Bits<4>>,
    /// A step was issued in the cycle before (counter).
    pub counted: Signal<Out, Bit>,
    /// One cycle after the step: first of a pass that clears.
    pub clear: Signal<Out, Bit>,
    /// ... last of a pass that drains (not POOL).
    pub drain: Signal<Out, Bit>,
    /// ... first tap of a channel.
    pub pool_first: Signal<Out, Bit>,
    /// ... last tap of a channel.
    pub pool_last: Signal<Out, Bit>,
    /// ... array mode.
    pub mode_after: Signal<Out, Bits<2>>,
    /// ... which is POOL.
    pub pool_after: Signal<Out, Bit>,
    /// ... output channels.
    pub lanes_after: Signal<Out, Bits<8>>,
    run: DffRst<Bit>,
    pace: DffRst<Bits<8>>,
    tile: Dff<Bits<16>>,
    c: Dff<Bits<16>>,
    kx: Dff<Bits<16>>,
    ky: Dff<Bits<16>>,
    was_step: DffRst<Bit>,
    was_clear: Dff<Bit>,
    was_drain: DffRst<Bit>,
    was_first: Dff<Bit>,
    was_last: DffRst<Bit>,
    was_mode: Dff<Bits<2>>,
    was_lanes: Dff<Bits<8>>,
    taking: Signal<Local, Bit>,
    pool: Signal<Local, Bit>,
    c_end: Signal<Local, Bit>,
    kx_end: Signal<Local, Bit>,
    ky_end: Signal<Local, Bit>,
    tile_end: Signal<Local, Bit>,
    taps_begin: Signal<Local, Bit>,
    taps_end: Signal<Local, Bit>,
    drains: Signal<Local, Bit>,
    stepping: Signal<Local, Bit>,
    drain_time: Signal<Local, Bits<8>>,
    min_pass: Constant<Bits<8>>,
    winograd: Constant<Bits<2>>,
    pooling: Constant<Bits<2>>,
}

impl Default for Sequencer {
    fn default() -> Self {
        block!(
            min_pass = timing::MIN_PASS,
            winograd = isa::mode::WINOGRAD,
            pooling = isa::mode::POOL,
            ;
            clock, start, ready, take, mode, first, last, tiles, lanes, c_count, kx_count, ky_count, step, c_move, c_wrap,
            kx_move, kx_wrap, ky_move, ky_wrap, pass_end, tile_move, tile_last, describe, releases, signal, counted, clear,
            drain, pool_first, pool_last, mode_after, pool_after, lanes_after, run, pace, tile, c, kx, ky, was_step, was_clear,
            was_drain, was_first, was_last, was_mode, was_lanes, taking, pool, c_end, kx_end, ky_end, tile_end,
            taps_begin, taps_end, drains, stepping, drain_time
        )
    }
}

impl Logic for Sequencer {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, run, pace, tile, c, kx, ky, was_step, was_clear, was_drain
        );
        dff_setup!(self, clock, was_first, was_last, was_mode, was_lanes);

        self.ready.next = !self.run.q.val();
        self.taking.next = self.start.val() & !self.run.q.val();
        self.take.next = self.taking.val();

        // Ends of the loops. Results leave with the pass, in POOL with each channel.
        self.pool.next = self.mode.val() == self.pooling.val();
        self.c_end.next = (self.c.q.val() + 1) == self.c_count.val();
        self.kx_end.next = (self.kx.q.val() + 1) == self.kx_count.val();
        self.ky_end.next = (self.ky.q.val() + 1) == self.ky_count.val();
        self.tile_end.next = (self.tile.q.val() + 1) == self.tiles.val();
        self.taps_begin.next = (self.kx.q.val() == 0) & (self.ky.q.val() == 0);
        self.taps_end.next = self.kx_end.val() & self.ky_end.val();
        self.pass_end.next = self.taps_end.val() & self.c_end.val();
        self.drains.next =
            self.last.val() & self.taps_end.val() & (self.c_end.val() | self.pool.val());

        // Pace: cycles until the results have left the drain queue.
        self.stepping.next = self.run.q.val() & !(self.drains.val() & self.pace.q.val().any());
        self.drain_time.next = bit_cast::<8, 16>(self.lanes.val()) << 2;
        if self.pool.val() {
            self.drain_time.next = 4.into();
        } else if self.mode.val() == self.winograd.val() {
            self.drain_time.next = bit_cast::<8, 16>(self.lanes.val());
        }
        if self.drain_time.val() < self.min_pass.val() {
            self.drain_time.next = self.min_pass.val();
        }
        if self.stepping.val() & self.drains.val() {
            self.pace.d.next = self.drain_time.val() - 1;
        } else if self.pace.q.val().any() {
            self.pace.d.next = self.pace.q.val() - 1;
        }

        // Which loops move. Convolutions: c innermost; POOL: c outermost.
        self.step.next = self.stepping.val();
        self.c_move.next = self.stepping.val() & (self.taps_end.val() | !self.pool.val());
        self.kx_move.next = self.stepping.val() & (self.c_end.val() | self.pool.val());
        self.ky_move.next = self.kx_move.val() & self.kx_end.val();
        self.tile_move.next = self.stepping.val() & self.pass_end.val();
        self.c_wrap.next = self.c_end.val();
        self.kx_wrap.next = self.kx_end.val();
        self.ky_wrap.next = self.ky_end.val();
        self.tile_last.next = self.tile_end.val();

        if self.taking.val() {
            self.run.d.next = true;
            self.tile.d.next = 0.into();
            self.c.d.next = 0.into();
            self.kx.d.next = 0.into();
            self.ky.d.next = 0.into();
        } else {
            if self.tile_move.val() {
                self.tile.d.next = self.tile.q.val() + 1;
                if self.tile_end.val() {
                    self.run.d.next = false;
                }
            }
            if self.c_move.val() {
                self.c.d.next = self.c.q.val() + 1;
                if self.c_end.val() {
                    self.c.d.next = 0.into();
                }
            }
            if self.kx_move.val() {
                self.kx.d.next = self.kx.q.val() + 1;
                if self.kx_end.val() {
                    self.kx.d.next = 0.into();
                }
            }
            if self.ky_move.val() {
                self.ky.d.next = self.ky.q.val() + 1;
                if self.ky_end.val() {
                    self.ky.d.next = 0.into();
                }
            }
        }

        // POOL describes its results with the first channel, whose results arrive first.
        self.describe.next = self.drains.val() & self.stepping.val();
        if self.pool.val() & (self.c.q.val() != 0) {
            self.describe.next = false;
        }
        self.releases.next = 0.into();
        if self.tile_move.val() & self.tile_end.val() {
            self.releases.next = bit_cast::<2, 4>(self.signal.val());
        }

        // The step's flags, registered once.
        self.was_step.d.next = self.stepping.val();
        self.was_clear.d.next =
            self.stepping.val() & self.first.val() & (self.c.q.val() == 0) & self.taps_begin.val();
        self.was_drain.d.next = self.stepping.val() & self.drains.val() & !self.pool.val();
        self.was_first.d.next = self.taps_begin.val();
        self.was_last.d.next = self.stepping.val() & self.drains.val() & self.pool.val();
        self.was_mode.d.next = self.mode.val();
        self.was_lanes.d.next = bit_cast::<8, 16>(self.lanes.val());
        self.counted.next = self.was_step.q.val();
        self.clear.next = self.was_clear.q.val();
        self.drain.next = self.was_drain.q.val();
        self.pool_first.next = self.was_first.q.val();
        self.pool_last.next = self.was_last.q.val();
        self.mode_after.next = self.was_mode.q.val();
        self.pool_after.next = self.was_mode.q.val() == self.pooling.val();
        self.lanes_after.next = self.was_lanes.q.val();
    }
}
