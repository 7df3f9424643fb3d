//! Deals the commands of the program to the four queues, and refuses those that would hang an engine.
//!
//! Beats of the stream are shifted into one command register (`shift_in.sv`), whose fields come back here. A command is
//! dealt when its queue has room; until then nothing behind it is (the compiler's order makes that safe). Throughput: one
//! command every (beats a command + 1) cycles.
//!
//! All fields but compute's stride lie before the last beat, so they are judged while that beat arrives: with the whole
//! command only one bit is left to decide on.

use super::block;
use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use cnna_machine::config::Accelerator;
use cnna_machine::isa::{self, COMMAND_BYTES};
use rust_hdl_core::prelude::*;

/// The dealer of an accelerator's commands.
#[derive(LogicBlock)]
pub struct Fetch {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// The data of bursts under way are swallowed.
    pub halt: Signal<In, Bit>,
    /// AXI read data offered.
    pub rvalid: Signal<In, Bit>,
    /// ... the last of its burst.
    pub rlast: Signal<In, Bit>,
    /// ... taken.
    pub rready: Signal<Out, Bit>,
    /// A beat goes into the command register.
    pub take: Signal<Out, Bit>,
    /// A burst is complete.
    pub retire: Signal<Out, Bit>,
    /// `Head::queue`. This and the other fields of the early words: as they stand one beat before the command is whole.
    pub queue: Signal<In, Bits<2>>,
    /// `Head::kind`.
    pub kind: Signal<In, Bits<6>>,
    /// `Load::seg_beats`.
    pub load_seg_beats: Signal<In, Bits<16>>,
    /// `Load::seg_count`.
    pub load_seg_count: Signal<In, Bits<16>>,
    /// `Load::stride`.
    pub load_stride: Signal<In, Bits<3>>,
    /// `Compute::mode`.
    pub mode: Signal<In, Bits<2>>,
    /// `Compute::tiles`.
    pub tiles: Signal<In, Bits<16>>,
    /// `Compute::lanes`.
    pub lanes: Signal<In, Bits<16>>,
    /// `Compute::c_count`.
    pub c_count: Signal<In, Bits<16>>,
    /// `Compute::kx_count`.
    pub kx_count: Signal<In, Bits<16>>,
    /// `Compute::ky_count`.
    pub ky_count: Signal<In, Bits<16>>,
    /// `Compute::stride`, of the whole command.
    pub stride: Signal<In, Bits<3>>,
    /// `Store::seg_beats`.
    pub store_seg_beats: Signal<In, Bits<16>>,
    /// `Store::seg_count`.
    pub store_seg_count: Signal<In, Bits<16>>,
    /// `Store::rows`.
    pub store_rows: Signal<In, Bits<3>>,
    /// Queues with room.
    pub ready: Signal<In, Bits<4>>,
    /// The queue that takes the command register in this cycle.
    pub push: Signal<Out, Bits<4>>,
    /// A command is dealt.
    pub dealt: Signal<Out, Bit>,
    /// The command register holds a malformed command; until reset.
    pub bad: Signal<Out, Bit>,
    beat: DffRst<Bits<3>>,
    full: DffRst<Bit>,
    refused: DffRst<Bit>,
    judged: Dff<Bit>,
    to: Dff<Bits<4>>,
    took: Signal<Local, Bit>,
    target: Signal<Local, Bits<4>>,
    early: Signal<Local, Bit>,
    malformed: Signal<Local, Bit>,
    pushing: Signal<Local, Bit>,
    last_beat: Constant<Bits<3>>,
    all_lanes: Constant<Bits<16>>,
    pool: Constant<Bits<2>>,
    last_weight: Constant<Bits<6>>,
    last_store: Constant<Bits<6>>,
    store: Constant<Bits<6>>,
}

impl Fetch {
    /// For the width and the lanes of an accelerator.
    pub fn new(accelerator: &Accelerator) -> Self {
        block!(
            last_beat = COMMAND_BYTES / accelerator.beat_bytes() - 1,
            all_lanes = accelerator.lanes,
            pool = isa::mode::POOL,
            last_weight = isa::weight_kind::SET,
            last_store = isa::store_kind::FENCE,
            store = isa::store_kind::STORE,
            ;
            clock, halt, rvalid, rlast, rready, take, retire, queue, kind, load_seg_beats, load_seg_count, load_stride, mode,
            tiles, lanes, c_count, kx_count, ky_count, stride, store_seg_beats, store_seg_count, store_rows, ready, push, dealt, bad,
            beat, full, refused, judged, to, took, target, early, malformed, pushing
        )
    }
}

impl Logic for Fetch {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, beat, full, refused, judged, to);

        // A zero count, an impossible stride, too many lanes, an unknown kind.
        self.early.next = false;
        self.target.next = 8.into();
        match self.queue.val().index() {
            0 => {
                self.target.next = 1.into();
                self.early.next = (self.load_seg_beats.val() == 0)
                    | (self.load_seg_count.val() == 0)
                    | ((self.load_stride.val() != 1)
                        & (self.load_stride.val() != 2)
                        & (self.load_stride.val() != 4));
            }
            1 => {
                self.target.next = 2.into();
                self.early.next = self.kind.val() > self.last_weight.val();
            }
            2 => {
                self.target.next = 4.into();
                self.early.next = (self.tiles.val() == 0)
                    | (self.lanes.val() == 0)
                    | (self.c_count.val() == 0)
                    | (self.kx_count.val() == 0)
                    | (self.ky_count.val() == 0)
                    | ((self.mode.val() != self.pool.val())
                        & (self.lanes.val() > self.all_lanes.val()));
            }
            _ => {
                self.early.next = (self.kind.val() > self.last_store.val())
                    | ((self.kind.val() == self.store.val())
                        & ((self.store_seg_beats.val() == 0)
                            | (self.store_seg_count.val() == 0)
                            | (self.store_rows.val() == 0)));
            }
        }

        self.took.next = self.rvalid.val() & !self.full.q.val();
        if self.took.val() {
            self.judged.d.next = self.early.val();
            self.to.d.next = self.target.val();
        }
        self.malformed.next = self.judged.q.val()
            | (self.to.q.val().get_bit(2)
                & (self.stride.val() != 1)
                & (self.stride.val() != 2)
                & (self.stride.val() != 4));
        self.rready.next = !self.full.q.val() | self.halt.val();
        self.take.next = self.took.val();
        self.retire.next =
            self.rvalid.val() & (!self.full.q.val() | self.halt.val()) & self.rlast.val();
        if self.took.val() {
            self.beat.d.next = self.beat.q.val() + 1;
            if self.beat.q.val() == self.last_beat.val() {
                self.beat.d.next = 0.into();
                self.full.d.next = true;
            }
        }
        self.pushing.next = self.full.q.val()
            & !self.malformed.val()
            & !self.refused.q.val()
            & (self.to.q.val() & self.ready.val()).any();
        self.push.next = 0.into();
        if self.pushing.val() {
            self.push.next = self.to.q.val();
            self.full.d.next = false;
        }
        self.dealt.next = self.pushing.val();
        if self.full.q.val() & self.malformed.val() {
            self.refused.d.next = true;
        }
        self.bad.next = self.refused.q.val();
    }
}
