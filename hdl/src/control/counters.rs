//! The counters of a program: cleared at its start, counting while it runs, frozen after it. 32 bits, modulo 2^32.

use cnna_emit::dff::{ClockReset, DffRst};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// Counters, one output each; what they count is said in machine's register table.
#[derive(LogicBlock, Default)]
pub struct Counters {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// Back to zero.
    pub clear: Signal<In, Bit>,
    /// A program runs: count.
    pub run: Signal<In, Bit>,
    /// Saturated results in this cycle.
    pub saturated_now: Signal<In, Bits<6>>,
    /// The array takes a step.
    pub step: Signal<In, Bit>,
    /// Compute waits for activations.
    pub lack_load: Signal<In, Bit>,
    /// Compute waits for weights only.
    pub lack_weight: Signal<In, Bit>,
    /// Compute waits for the store only.
    pub lack_store: Signal<In, Bit>,
    /// A beat is read on the activation port.
    pub read_beat: Signal<In, Bit>,
    /// Another one on the second.
    pub second_beat: Signal<In, Bit>,
    /// A beat is written.
    pub write_beat: Signal<In, Bit>,
    /// A command is dealt.
    pub dealt: Signal<In, Bit>,
    /// `CYCLES`.
    pub cycles: Signal<Out, Bits<32>>,
    /// `SATURATED`.
    pub saturated: Signal<Out, Bits<32>>,
    /// `BUSY`.
    pub busy: Signal<Out, Bits<32>>,
    /// `WAIT_LOAD`.
    pub wait_load: Signal<Out, Bits<32>>,
    /// `WAIT_WEIGHT`.
    pub wait_weight: Signal<Out, Bits<32>>,
    /// `WAIT_STORE`.
    pub wait_store: Signal<Out, Bits<32>>,
    /// `READ_BEATS`.
    pub read_beats: Signal<Out, Bits<32>>,
    /// `WRITE_BEATS`.
    pub write_beats: Signal<Out, Bits<32>>,
    /// `COMMANDS`.
    pub commands: Signal<Out, Bits<32>>,
    n_cycles: DffRst<Bits<32>>,
    n_saturated: DffRst<Bits<32>>,
    n_busy: DffRst<Bits<32>>,
    n_wait_load: DffRst<Bits<32>>,
    n_wait_weight: DffRst<Bits<32>>,
    n_wait_store: DffRst<Bits<32>>,
    n_read_beats: DffRst<Bits<32>>,
    n_write_beats: DffRst<Bits<32>>,
    n_commands: DffRst<Bits<32>>,
}

impl Logic for Counters {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            n_cycles,
            n_saturated,
            n_busy,
            n_wait_load,
            n_wait_weight
        );
        dff_setup!(
            self,
            clock,
            n_wait_store,
            n_read_beats,
            n_write_beats,
            n_commands
        );
        if self.clear.val() {
            self.n_cycles.d.next = 0.into();
            self.n_saturated.d.next = 0.into();
            self.n_busy.d.next = 0.into();
            self.n_wait_load.d.next = 0.into();
            self.n_wait_weight.d.next = 0.into();
            self.n_wait_store.d.next = 0.into();
            self.n_read_beats.d.next = 0.into();
            self.n_write_beats.d.next = 0.into();
            self.n_commands.d.next = 0.into();
        } else if self.run.val() {
            self.n_cycles.d.next = self.n_cycles.q.val() + 1;
            self.n_saturated.d.next =
                self.n_saturated.q.val() + bit_cast::<32, 6>(self.saturated_now.val());
            self.n_busy.d.next = self.n_busy.q.val() + self.step.val();
            self.n_wait_load.d.next = self.n_wait_load.q.val() + self.lack_load.val();
            self.n_wait_weight.d.next = self.n_wait_weight.q.val() + self.lack_weight.val();
            self.n_wait_store.d.next = self.n_wait_store.q.val() + self.lack_store.val();
            self.n_read_beats.d.next = self.n_read_beats.q.val()
                + bit_cast::<32, 2>(
                    bit_cast::<2, 1>(self.read_beat.val().into())
                        + bit_cast::<2, 1>(self.second_beat.val().into()),
                );
            self.n_write_beats.d.next = self.n_write_beats.q.val() + self.write_beat.val();
            self.n_commands.d.next = self.n_commands.q.val() + self.dealt.val();
        }
        self.cycles.next = self.n_cycles.q.val();
        self.saturated.next = self.n_saturated.q.val();
        self.busy.next = self.n_busy.q.val();
        self.wait_load.next = self.n_wait_load.q.val();
        self.wait_weight.next = self.n_wait_weight.q.val();
        self.wait_store.next = self.n_wait_store.q.val();
        self.read_beats.next = self.n_read_beats.q.val();
        self.write_beats.next = self.n_write_beats.q.val();
        self.commands.next = self.n_commands.q.val();
    }
}
