//! One loop of compute's loop nest: whether it stands at its first and its last turn, known at the start of the cycle.
//!
//! The end is a register that is computed a turn ahead, so that the decisions of a step hang on single bits.

use cnna_emit::dff::{ClockReset, Dff};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// A loop of `count` turns.
#[derive(LogicBlock, Default)]
pub struct LoopCount {
    /// Clock only: loaded with each command.
    pub clock: Signal<In, ClockReset>,
    /// A command is taken: the loop stands at its first turn in the next cycle.
    pub take: Signal<In, Bit>,
    /// Turns in the command taken, at least 1.
    pub new_count: Signal<In, Bits<16>>,
    /// Turns in the command held.
    pub count: Signal<In, Bits<16>>,
    /// The loop moves on, from its last turn to the first.
    pub turn: Signal<In, Bit>,
    /// It stands at the first turn.
    pub first: Signal<Out, Bit>,
    /// It stands at the last turn.
    pub last: Signal<Out, Bit>,
    left: Dff<Bits<16>>,
    at_first: Dff<Bit>,
    at_last: Dff<Bit>,
    single: Dff<Bit>,
}

impl Logic for LoopCount {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, left, at_first, at_last, single);
        if self.take.val() {
            self.left.d.next = self.new_count.val();
            self.at_first.d.next = true;
            self.at_last.d.next = self.new_count.val() == 1;
            self.single.d.next = self.new_count.val() == 1;
        } else if self.turn.val() {
            self.at_first.d.next = self.at_last.q.val();
            if self.at_last.q.val() {
                self.left.d.next = self.count.val();
                self.at_last.d.next = self.single.q.val();
            } else {
                self.left.d.next = self.left.q.val() - 1;
                self.at_last.d.next = self.left.q.val() == 2;
            }
        }
        self.first.next = self.at_first.q.val();
        self.last.next = self.at_last.q.val();
    }
}
