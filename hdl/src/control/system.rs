//! What concerns the whole: resets, bus errors, busy.

use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// Resets: `hard` one cycle behind the pin, for the registers; `all` one more, with the soft reset, for everything else.
#[derive(LogicBlock, Default)]
pub struct Resets {
    /// Clock only; these registers make the reset.
    pub clock: Signal<In, ClockReset>,
    /// The pin, active low.
    pub pin_n: Signal<In, Bit>,
    /// Soft reset, which comes when no transfer is in flight.
    pub soft: Signal<In, Bit>,
    /// Reset of the registers.
    pub hard: Signal<Out, Bit>,
    /// Reset of everything else.
    pub all: Signal<Out, Bit>,
    first: Dff<Bit>,
    second: Dff<Bit>,
}

impl Logic for Resets {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, first, second);
        self.first.d.next = !self.pin_n.val();
        self.second.d.next = self.first.q.val() | self.soft.val();
        self.hard.next = self.first.q.val();
        self.all.next = self.second.q.val();
    }
}

/// Channels on which the memory answers, at most: both of the activation port, the commands', four weight ports', the second
/// activation port's.
pub const ANSWERS: usize = 8;

/// Remembers that the memory answered with an error: SLVERR or DECERR, so the upper bit of the response.
#[derive(LogicBlock, Default)]
pub struct BusError {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// Answers, one bit a channel.
    pub valid: Signal<In, Bits<ANSWERS>>,
    /// Upper bits of their responses.
    pub failed: Signal<In, Bits<ANSWERS>>,
    /// An answer was an error; until reset.
    pub error: Signal<Out, Bit>,
    seen: DffRst<Bit>,
}

impl Logic for BusError {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, seen);
        self.seen.d.next = self.seen.q.val() | (self.valid.val() & self.failed.val()).any();
        self.error.next = self.seen.q.val();
    }
}

/// Busy, and what moves on the activation port. Combinational.
#[derive(LogicBlock, Default)]
pub struct Status {
    /// A program runs.
    pub run: Signal<In, Bit>,
    /// Transfers are being ended for a reset.
    pub stopping: Signal<In, Bit>,
    /// AXI transfers of each engine in flight.
    pub flights: Signal<In, Bits<4>>,
    /// Read data offered and taken.
    pub rvalid: Signal<In, Bit>,
    /// ... taken.
    pub rready: Signal<In, Bit>,
    /// The same on the second activation port.
    pub second_rvalid: Signal<In, Bit>,
    /// ... taken.
    pub second_rready: Signal<In, Bit>,
    /// Write data offered.
    pub wvalid: Signal<In, Bit>,
    /// ... taken.
    pub wready: Signal<In, Bit>,
    /// Any transfer in flight.
    pub in_flight: Signal<Out, Bit>,
    /// Running, in flight, or about to be reset.
    pub busy: Signal<Out, Bit>,
    /// A beat is read.
    pub read_beat: Signal<Out, Bit>,
    /// A beat is read on the second port.
    pub second_beat: Signal<Out, Bit>,
    /// A beat is written.
    pub write_beat: Signal<Out, Bit>,
}

impl Logic for Status {
    #[hdl_gen]
    fn update(&mut self) {
        self.in_flight.next = self.flights.val().any();
        self.busy.next = self.run.val() | self.flights.val().any() | self.stopping.val();
        self.read_beat.next = self.rvalid.val() & self.rready.val();
        self.second_beat.next = self.second_rvalid.val() & self.second_rready.val();
        self.write_beat.next = self.wvalid.val() & self.wready.val();
    }
}
