//! Tokens between the queues: a command starts when every queue in its wait mask has sent a token.
//!
//! Combinational from the counters to `start`; a token sent in a cycle counts from the next. Masks have one bit a queue,
//! in the order of `isa::Queue`; the counters are the paths of `isa::TOKEN_PATHS`.

use cnna_emit::dff::{ClockReset, DffRst};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// Tokens on one path: one more on `give`, one less on `take`.
#[derive(LogicBlock, Default)]
pub struct TokenCount {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// A token is sent.
    pub give: Signal<In, Bit>,
    /// A command that waited for one starts.
    pub take: Signal<In, Bit>,
    /// There is at least one.
    pub some: Signal<Out, Bit>,
    level: DffRst<Bits<16>>,
    any: DffRst<Bit>,
}

impl Logic for TokenCount {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, level, any);
        self.some.next = self.any.q.val();
        if self.give.val() & !self.take.val() {
            self.level.d.next = self.level.q.val() + 1;
            self.any.d.next = true;
        } else if self.take.val() & !self.give.val() {
            self.level.d.next = self.level.q.val() - 1;
            self.any.d.next = self.level.q.val() != 1;
        }
    }
}

/// All token counters, which heads may start, and why compute does not.
#[derive(LogicBlock, Default)]
pub struct Tokens {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// A program runs.
    pub enable: Signal<In, Bit>,
    /// Heads of the queues.
    pub valid: Signal<In, Bits<4>>,
    /// Engines that take a command in this cycle.
    pub ready: Signal<In, Bits<4>>,
    /// Wait mask of the load queue's head.
    pub wait_load: Signal<In, Bits<4>>,
    /// Wait mask of the weight queue's head.
    pub wait_weight: Signal<In, Bits<4>>,
    /// Wait mask of the compute queue's head.
    pub wait_compute: Signal<In, Bits<4>>,
    /// Wait mask of the store queue's head.
    pub wait_store: Signal<In, Bits<4>>,
    /// Heads whose tokens are there.
    pub start: Signal<Out, Bits<4>>,
    /// Heads that start in this cycle and leave their queue.
    pub pop: Signal<Out, Bits<4>>,
    /// A load is complete.
    pub load_done: Signal<In, Bit>,
    /// Queues to which it sends.
    pub load_to: Signal<In, Bits<4>>,
    /// A weight command is complete.
    pub weight_done: Signal<In, Bit>,
    /// Queues to which it sends.
    pub weight_to: Signal<In, Bits<4>>,
    /// Compute has read its last operands: tokens for load (bit 0) and weight (bit 1).
    pub released: Signal<In, Bits<2>>,
    /// Compute's last result is written: a token for store.
    pub result: Signal<In, Bit>,
    /// A store is complete.
    pub store_done: Signal<In, Bit>,
    /// Queues to which it sends.
    pub store_to: Signal<In, Bits<4>>,
    /// Compute could start but for the load queue's token.
    pub lack_load: Signal<Out, Bit>,
    /// ... but for the weight queue's, and not for load's.
    pub lack_weight: Signal<Out, Bit>,
    /// ... but for the store queue's only.
    pub lack_store: Signal<Out, Bit>,
    load_compute: TokenCount,
    weight_compute: TokenCount,
    store_compute: TokenCount,
    compute_load: TokenCount,
    store_load: TokenCount,
    store_weight: TokenCount,
    compute_weight: TokenCount,
    compute_store: TokenCount,
    load_ok: Signal<Local, Bit>,
    weight_ok: Signal<Local, Bit>,
    compute_ok: Signal<Local, Bit>,
    store_ok: Signal<Local, Bit>,
    no_load: Signal<Local, Bit>,
    no_weight: Signal<Local, Bit>,
    no_store: Signal<Local, Bit>,
    idle: Signal<Local, Bit>,
}

impl Logic for Tokens {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, load_compute, weight_compute, store_compute);
        clock!(
            self,
            clock,
            compute_load,
            store_load,
            store_weight,
            compute_weight,
            compute_store
        );

        self.no_load.next = self.wait_compute.val().get_bit(0) & !self.load_compute.some.val();
        self.no_weight.next = self.wait_compute.val().get_bit(1) & !self.weight_compute.some.val();
        self.no_store.next = self.wait_compute.val().get_bit(3) & !self.store_compute.some.val();
        self.load_ok.next = (!self.wait_load.val().get_bit(2) | self.compute_load.some.val())
            & (!self.wait_load.val().get_bit(3) | self.store_load.some.val());
        self.weight_ok.next = (!self.wait_weight.val().get_bit(2) | self.compute_weight.some.val())
            & (!self.wait_weight.val().get_bit(3) | self.store_weight.some.val());
        self.compute_ok.next = !(self.no_load.val() | self.no_weight.val() | self.no_store.val());
        self.store_ok.next = !self.wait_store.val().get_bit(2) | self.compute_store.some.val();

        self.start.next = 0.into();
        if self.enable.val() {
            self.start.next = self.valid.val()
                & (bit_cast::<4, 1>(self.load_ok.val().into())
                    | (bit_cast::<4, 1>(self.weight_ok.val().into()) << 1)
                    | (bit_cast::<4, 1>(self.compute_ok.val().into()) << 2)
                    | (bit_cast::<4, 1>(self.store_ok.val().into()) << 3));
        }
        self.pop.next = self.start.val() & self.ready.val();

        // Counted by the first cause, so that the three times add up.
        self.idle.next = self.valid.val().get_bit(2) & self.ready.val().get_bit(2);
        self.lack_load.next = self.idle.val() & self.no_load.val();
        self.lack_weight.next = self.idle.val() & !self.no_load.val() & self.no_weight.val();
        self.lack_store.next =
            self.idle.val() & !self.no_load.val() & !self.no_weight.val() & self.no_store.val();

        self.load_compute.give.next = self.load_done.val() & self.load_to.val().get_bit(2);
        self.weight_compute.give.next = self.weight_done.val() & self.weight_to.val().get_bit(2);
        self.store_compute.give.next = self.store_done.val() & self.store_to.val().get_bit(2);
        self.compute_load.give.next = self.released.val().get_bit(0);
        self.store_load.give.next = self.store_done.val() & self.store_to.val().get_bit(0);
        self.store_weight.give.next = self.store_done.val() & self.store_to.val().get_bit(1);
        self.compute_weight.give.next = self.released.val().get_bit(1);
        self.compute_store.give.next = self.result.val();

        self.load_compute.take.next =
            self.pop.val().get_bit(2) & self.wait_compute.val().get_bit(0);
        self.weight_compute.take.next =
            self.pop.val().get_bit(2) & self.wait_compute.val().get_bit(1);
        self.store_compute.take.next =
            self.pop.val().get_bit(2) & self.wait_compute.val().get_bit(3);
        self.compute_load.take.next = self.pop.val().get_bit(0) & self.wait_load.val().get_bit(2);
        self.store_load.take.next = self.pop.val().get_bit(0) & self.wait_load.val().get_bit(3);
        self.store_weight.take.next = self.pop.val().get_bit(1) & self.wait_weight.val().get_bit(3);
        self.compute_weight.take.next =
            self.pop.val().get_bit(1) & self.wait_weight.val().get_bit(2);
        self.compute_store.take.next = self.pop.val().get_bit(3) & self.wait_store.val().get_bit(2);
    }
}
