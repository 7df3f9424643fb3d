//! Compute's loops: passes, taps and channels, one step a cycle.
//!
//! A command starts in the cycle after it is taken. The last step of a pass that drains waits until the results of the pass
//! before have left the drain queue (the pace); no other stall exists, so a command's time follows from its fields alone.
//! The loops are those of `isa::Compute`'s docstring; the addresses are in `window` and `addresses`, which move with them.
//!
//! What a step does leaves in registers, one cycle after it was decided: the decision and the addresses are two stages.

use super::block;
use super::loops::LoopCount;
use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use cnna_machine::{isa, timing};
use rust_hdl_core::prelude::*;

/// Loops, pace, and the flags of a step.
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
    /// Field of the command taken.
    pub new_mode: Signal<In, Bits<2>>,
    /// Field of the command taken.
    pub new_tiles: Signal<In, Bits<16>>,
    /// Field of the command taken.
    pub new_lanes: Signal<In, Bits<16>>,
    /// Field of the command taken.
    pub new_c_count: Signal<In, Bits<16>>,
    /// Field of the command taken.
    pub new_kx_count: Signal<In, Bits<16>>,
    /// Field of the command taken.
    pub new_ky_count: Signal<In, Bits<16>>,
    /// Field of the command held.
    pub mode: Signal<In, Bits<2>>,
    /// Field of the command held.
    pub paired: Signal<In, Bit>,
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
    /// Queues to which the command held sends.
    pub signal: Signal<In, Bits<4>>,
    /// One cycle after it: a command was taken.
    pub taken: Signal<Out, Bit>,
    /// One cycle after it: a step was issued.
    pub step: Signal<Out, Bit>,
    /// ... the channel moves with it.
    pub c_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub c_wrap: Signal<Out, Bit>,
    /// ... the tap's column moves.
    pub kx_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub kx_wrap: Signal<Out, Bit>,
    /// ... the tap's row moves.
    pub ky_move: Signal<Out, Bit>,
    /// ... back to the first.
    pub ky_wrap: Signal<Out, Bit>,
    /// ... it was the last of a pass.
    pub pass_end: Signal<Out, Bit>,
    /// ... the tile moves.
    pub tile_move: Signal<Out, Bit>,
    /// ... the tile is the last.
    pub tile_last: Signal<Out, Bit>,
    /// ... results are described with it.
    pub describe: Signal<Out, Bit>,
    /// ... it was the command's last, and sends a token to the load (bit 0) and weight (bit 1) queue.
    pub releases: Signal<Out, Bits<2>>,
    /// Two cycles after the step: first of a pass that clears.
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
    /// ... two channels in it; low without a step.
    pub paired_after: Signal<Out, Bit>,
    /// ... output channels.
    pub lanes_after: Signal<Out, Bits<8>>,
    run: DffRst<Bit>,
    pace: DffRst<Bits<8>>,
    waits: DffRst<Bit>,
    pause: Dff<Bits<8>>,
    tile_loop: LoopCount,
    c_loop: LoopCount,
    kx_loop: LoopCount,
    ky_loop: LoopCount,
    was_taken: DffRst<Bit>,
    was_step: DffRst<Bit>,
    was_c_move: DffRst<Bit>,
    was_c_wrap: Dff<Bit>,
    was_kx_move: DffRst<Bit>,
    was_kx_wrap: Dff<Bit>,
    was_ky_move: DffRst<Bit>,
    was_ky_wrap: Dff<Bit>,
    was_pass_end: Dff<Bit>,
    was_tile_move: DffRst<Bit>,
    was_tile_last: Dff<Bit>,
    was_describe: DffRst<Bit>,
    was_releases: DffRst<Bits<2>>,
    was_clear: Dff<Bit>,
    was_drain: DffRst<Bit>,
    was_first: Dff<Bit>,
    was_last: DffRst<Bit>,
    then_clear: Dff<Bit>,
    then_drain: DffRst<Bit>,
    then_first: Dff<Bit>,
    then_last: DffRst<Bit>,
    then_mode: Dff<Bits<2>>,
    then_paired: Dff<Bit>,
    then_lanes: Dff<Bits<8>>,
    taking: Signal<Local, Bit>,
    pool: Signal<Local, Bit>,
    taps_begin: Signal<Local, Bit>,
    taps_end: Signal<Local, Bit>,
    ending: Signal<Local, Bit>,
    drains: Signal<Local, Bit>,
    stepping: Signal<Local, Bit>,
    c_turn: Signal<Local, Bit>,
    kx_turn: Signal<Local, Bit>,
    ky_turn: Signal<Local, Bit>,
    tile_turn: Signal<Local, Bit>,
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
            clock, start, ready, take, new_mode, new_tiles, new_lanes, new_c_count, new_kx_count, new_ky_count, mode, paired, first,
            last, tiles, lanes, c_count, kx_count, ky_count, signal, taken, step, c_move, c_wrap, kx_move, kx_wrap, ky_move,
            ky_wrap, pass_end, tile_move, tile_last, describe, releases, clear, drain, pool_first, pool_last,
            mode_after, pool_after, paired_after, lanes_after, run, pace, waits, pause, tile_loop, c_loop, kx_loop, ky_loop, was_taken,
            was_step, was_c_move, was_c_wrap, was_kx_move, was_kx_wrap, was_ky_move, was_ky_wrap, was_pass_end,
            was_tile_move, was_tile_last, was_describe, was_releases, was_clear, was_drain, was_first, was_last,
            then_clear, then_drain, then_first, then_last, then_mode, then_paired, then_lanes, taking, pool, taps_begin, taps_end,
            ending, drains, stepping, c_turn, kx_turn, ky_turn, tile_turn, drain_time
        )
    }
}

impl Logic for Sequencer {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, tile_loop, c_loop, kx_loop, ky_loop);
        dff_setup!(self, clock, run, pace, waits, pause, was_taken, was_step);
        dff_setup!(
            self,
            clock,
            was_c_move,
            was_c_wrap,
            was_kx_move,
            was_kx_wrap,
            was_ky_move,
            was_ky_wrap
        );
        dff_setup!(
            self,
            clock,
            was_pass_end,
            was_tile_move,
            was_tile_last,
            was_describe,
            was_releases
        );
        dff_setup!(self, clock, was_clear, was_drain, was_first, was_last);
        dff_setup!(
            self,
            clock,
            then_clear,
            then_drain,
            then_first,
            then_last,
            then_mode,
            then_paired,
            then_lanes
        );

        self.ready.next = !self.run.q.val();
        self.taking.next = self.start.val() & !self.run.q.val();
        self.take.next = self.taking.val();

        // Ends of the loops. Results leave with the pass, in POOL with each channel.
        self.pool.next = self.mode.val() == self.pooling.val();
        self.taps_begin.next = self.kx_loop.first.val() & self.ky_loop.first.val();
        self.taps_end.next = self.kx_loop.last.val() & self.ky_loop.last.val();
        self.ending.next = self.taps_end.val() & self.c_loop.last.val();
        self.drains.next =
            self.last.val() & self.taps_end.val() & (self.c_loop.last.val() | self.pool.val());

        // Pace: cycles until the results have left the drain queue. How many they take is known with the command.
        self.stepping.next = self.run.q.val() & !(self.drains.val() & self.waits.q.val());
        self.drain_time.next = bit_cast::<8, 16>(self.new_lanes.val()) << 2;
        if self.new_mode.val() == self.pooling.val() {
            self.drain_time.next = 4.into();
        } else if self.new_mode.val() == self.winograd.val() {
            self.drain_time.next = bit_cast::<8, 16>(self.new_lanes.val());
        }
        if self.drain_time.val() < self.min_pass.val() {
            self.drain_time.next = self.min_pass.val();
        }
        if self.taking.val() {
            self.pause.d.next = self.drain_time.val() - 1;
        }
        if self.stepping.val() & self.drains.val() {
            self.pace.d.next = self.pause.q.val();
            self.waits.d.next = true;
        } else if self.waits.q.val() {
            self.pace.d.next = self.pace.q.val() - 1;
            self.waits.d.next = self.pace.q.val() != 1;
        }

        // Which loops move. Convolutions: c innermost; POOL: c outermost.
        self.c_turn.next = self.stepping.val() & (self.taps_end.val() | !self.pool.val());
        self.kx_turn.next = self.stepping.val() & (self.c_loop.last.val() | self.pool.val());
        self.ky_turn.next = self.kx_turn.val() & self.kx_loop.last.val();
        self.tile_turn.next = self.stepping.val() & self.ending.val();
        self.c_loop.take.next = self.taking.val();
        self.c_loop.new_count.next = self.new_c_count.val();
        self.c_loop.count.next = self.c_count.val();
        self.c_loop.turn.next = self.c_turn.val();
        self.kx_loop.take.next = self.taking.val();
        self.kx_loop.new_count.next = self.new_kx_count.val();
        self.kx_loop.count.next = self.kx_count.val();
        self.kx_loop.turn.next = self.kx_turn.val();
        self.ky_loop.take.next = self.taking.val();
        self.ky_loop.new_count.next = self.new_ky_count.val();
        self.ky_loop.count.next = self.ky_count.val();
        self.ky_loop.turn.next = self.ky_turn.val();
        self.tile_loop.take.next = self.taking.val();
        self.tile_loop.new_count.next = self.new_tiles.val();
        self.tile_loop.count.next = self.tiles.val();
        self.tile_loop.turn.next = self.tile_turn.val();
        if self.taking.val() {
            self.run.d.next = true;
        } else if self.tile_turn.val() & self.tile_loop.last.val() {
            self.run.d.next = false;
        }

        // The step, registered once.
        self.was_taken.d.next = self.taking.val();
        self.was_step.d.next = self.stepping.val();
        self.was_c_move.d.next = self.c_turn.val();
        self.was_c_wrap.d.next = self.c_loop.last.val();
        self.was_kx_move.d.next = self.kx_turn.val();
        self.was_kx_wrap.d.next = self.kx_loop.last.val();
        self.was_ky_move.d.next = self.ky_turn.val();
        self.was_ky_wrap.d.next = self.ky_loop.last.val();
        self.was_pass_end.d.next = self.ending.val();
        self.was_tile_move.d.next = self.tile_turn.val();
        self.was_tile_last.d.next = self.tile_loop.last.val();
        // POOL describes its results with the first channel, whose results arrive first.
        self.was_describe.d.next =
            self.drains.val() & self.stepping.val() & (self.c_loop.first.val() | !self.pool.val());
        self.was_releases.d.next = 0.into();
        if self.tile_turn.val() & self.tile_loop.last.val() {
            self.was_releases.d.next = bit_cast::<2, 4>(self.signal.val());
        }
        self.was_clear.d.next = self.stepping.val()
            & self.first.val()
            & self.c_loop.first.val()
            & self.taps_begin.val();
        self.was_drain.d.next = self.stepping.val() & self.drains.val() & !self.pool.val();
        self.was_first.d.next = self.taps_begin.val();
        self.was_last.d.next = self.stepping.val() & self.drains.val() & self.pool.val();
        self.taken.next = self.was_taken.q.val();
        self.step.next = self.was_step.q.val();
        self.c_move.next = self.was_c_move.q.val();
        self.c_wrap.next = self.was_c_wrap.q.val();
        self.kx_move.next = self.was_kx_move.q.val();
        self.kx_wrap.next = self.was_kx_wrap.q.val();
        self.ky_move.next = self.was_ky_move.q.val();
        self.ky_wrap.next = self.was_ky_wrap.q.val();
        self.pass_end.next = self.was_pass_end.q.val();
        self.tile_move.next = self.was_tile_move.q.val();
        self.tile_last.next = self.was_tile_last.q.val();
        self.describe.next = self.was_describe.q.val();
        self.releases.next = self.was_releases.q.val();

        // ... and twice, beside the addresses. The command is still held.
        self.then_clear.d.next = self.was_clear.q.val();
        self.then_drain.d.next = self.was_drain.q.val();
        self.then_first.d.next = self.was_first.q.val();
        self.then_last.d.next = self.was_last.q.val();
        self.then_mode.d.next = self.mode.val();
        // Without a step both second operands are zero, or the array would add products of weights.
        self.then_paired.d.next = self.paired.val() & self.was_step.q.val();
        self.then_lanes.d.next = bit_cast::<8, 16>(self.lanes.val());
        self.clear.next = self.then_clear.q.val();
        self.drain.next = self.then_drain.q.val();
        self.pool_first.next = self.then_first.q.val();
        self.pool_last.next = self.then_last.q.val();
        self.mode_after.next = self.then_mode.q.val();
        self.pool_after.next = self.then_mode.q.val() == self.pooling.val();
        self.paired_after.next = self.then_paired.q.val();
        self.lanes_after.next = self.then_lanes.q.val();
    }
}
