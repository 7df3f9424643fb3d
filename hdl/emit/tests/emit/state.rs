//! Registers, state machines, nested blocks, arrays of blocks, interfaces.

use crate::harness::Dut;
use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// A token counter: up on `give`, down on `take` unless empty.
#[derive(LogicBlock, Default)]
pub struct Tokens<const N: usize> {
    pub clock: Signal<In, ClockReset>,
    pub give: Signal<In, Bit>,
    pub take: Signal<In, Bit>,
    pub ready: Signal<Out, Bit>,
    pub count: Signal<Out, Bits<N>>,
    level: DffRst<Bits<N>>,
}

impl<const N: usize> Logic for Tokens<N> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, level);
        self.ready.next = self.level.q.val() != 0;
        self.count.next = self.level.q.val();
        if self.give.val() & !(self.take.val() & self.ready.val()) {
            self.level.d.next = self.level.q.val() + 1;
        } else if !self.give.val() & self.take.val() & self.ready.val() {
            self.level.d.next = self.level.q.val() - 1;
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum Phase {
    Idle,
    Load,
    Run,
    Drain,
    Done,
}

/// A sequencer with an address counter whose stride is a constant of the instance.
#[derive(LogicBlock)]
pub struct Sequencer {
    pub clock: Signal<In, ClockReset>,
    pub start: Signal<In, Bit>,
    pub length: Signal<In, Bits<6>>,
    pub address: Signal<Out, Bits<10>>,
    pub valid: Signal<Out, Bit>,
    pub done: Signal<Out, Bit>,
    pub phase: Signal<Out, Phase>,
    state: DffRst<Phase>,
    left: DffRst<Bits<6>>,
    at: Dff<Bits<10>>,
    held: DffRst<Bit>,
    stride: Constant<Bits<10>>,
}

impl Sequencer {
    pub fn new(stride: u64) -> Self {
        Self {
            clock: Default::default(),
            start: Default::default(),
            length: Default::default(),
            address: Default::default(),
            valid: Default::default(),
            done: Default::default(),
            phase: Default::default(),
            state: DffRst::new(Phase::Idle),
            left: DffRst::new(5.into()),
            at: Default::default(),
            held: DffRst::new(true),
            stride: Constant::new(stride.into()),
        }
    }
}

impl Logic for Sequencer {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, state, left, at, held);
        self.valid.next = self.state.q.val() == Phase::Run;
        self.done.next = false;
        self.address.next = self.at.q.val();
        self.phase.next = self.state.q.val();
        match self.state.q.val() {
            Phase::Idle => {
                if self.start.val() {
                    self.state.d.next = Phase::Load;
                    self.left.d.next = self.length.val();
                }
            }
            Phase::Load => {
                self.at.d.next = 0.into();
                self.state.d.next = Phase::Run;
            }
            Phase::Run => {
                self.at.d.next = self.at.q.val() + self.stride.val();
                self.left.d.next = self.left.q.val() - 1;
                if self.left.q.val() == 0 {
                    self.state.d.next = Phase::Drain;
                }
            }
            Phase::Drain => {
                self.held.d.next = !self.held.q.val();
                if self.held.q.val() {
                    self.state.d.next = Phase::Done;
                }
            }
            Phase::Done => {
                self.done.next = true;
                self.state.d.next = Phase::Idle;
            }
        }
    }
}

/// A stream's sending side; the receiver's ready comes back.
#[derive(Default, LogicInterface)]
#[join = "Sink"]
pub struct Source {
    pub data: Signal<Out, Bits<8>>,
    pub valid: Signal<Out, Bit>,
    pub ready: Signal<In, Bit>,
}

/// A stream's receiving side.
#[derive(Default, LogicInterface)]
#[join = "Source"]
pub struct Sink {
    pub data: Signal<In, Bits<8>>,
    pub valid: Signal<In, Bit>,
    pub ready: Signal<Out, Bit>,
}

/// A one-entry stream register; two of them make a pipeline.
#[derive(LogicBlock, Default)]
pub struct Stage {
    pub clock: Signal<In, ClockReset>,
    pub from: Sink,
    pub to: Source,
    full: DffRst<Bit>,
    data: Dff<Bits<8>>,
}

impl Logic for Stage {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, full, data);
        self.to.valid.next = self.full.q.val();
        self.to.data.next = self.data.q.val();
        self.from.ready.next = !self.full.q.val() | self.to.ready.val();
        if self.from.ready.val() {
            self.full.d.next = self.from.valid.val();
            self.data.d.next = self.from.data.val() + 1;
        }
    }
}

/// Two stages joined; the outer ends are linked to this block's own interfaces.
#[derive(LogicBlock, Default)]
pub struct Pipe {
    pub clock: Signal<In, ClockReset>,
    pub from: Sink,
    pub to: Source,
    first: Stage,
    second: Stage,
}

impl Logic for Pipe {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, first, second);
        Sink::link(&mut self.from, &mut self.first.from);
        Source::join(&mut self.first.to, &mut self.second.from);
        Source::link(&mut self.to, &mut self.second.to);
    }
}

/// All of it.
#[derive(LogicBlock)]
pub struct State {
    pub clock: Signal<In, ClockReset>,
    pub word: Signal<In, Bits<64>>,
    pub counts: Signal<Out, Bits<16>>,
    pub all_ready: Signal<Out, Bit>,
    pub seq_a: Signal<Out, Bits<10>>,
    pub seq_b: Signal<Out, Bits<10>>,
    pub flags: Signal<Out, Bits<6>>,
    pub piped: Signal<Out, Bits<8>>,
    pub shift: Signal<Out, Bits<4>>,
    pub in_reset: Signal<Out, Bit>,
    tokens: [Tokens<4>; 4],
    seq_3: Sequencer,
    seq_5: Sequencer,
    pipe: Pipe,
    bits: [DffRst<Bit>; 4],
    ready: Signal<Local, Bits<4>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            word: Default::default(),
            counts: Default::default(),
            all_ready: Default::default(),
            seq_a: Default::default(),
            seq_b: Default::default(),
            flags: Default::default(),
            piped: Default::default(),
            shift: Default::default(),
            in_reset: Default::default(),
            tokens: Default::default(),
            seq_3: Sequencer::new(3),
            seq_5: Sequencer::new(5),
            pipe: Default::default(),
            bits: Default::default(),
            ready: Default::default(),
        }
    }
}

impl Logic for State {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, seq_3, seq_5, pipe);
        self.ready.next = 0.into();
        for i in 0..4 {
            self.tokens[i].clock.next = self.clock.val();
            self.tokens[i].give.next = self.word.val().get_bit(i + 8);
            self.tokens[i].take.next = self.word.val().get_bit(2 * i + 16);
            self.ready.next = self.ready.val().replace_bit(i, self.tokens[i].ready.val());
            self.bits[i].clock.next = self.clock.val();
        }
        self.bits[0].d.next = self.word.val().get_bit(63);
        for i in 0..3 {
            self.bits[i + 1].d.next = self.bits[i].q.val();
        }
        self.shift.next = bit_cast::<4, 1>(self.bits[0].q.val().into())
            | (bit_cast::<4, 1>(self.bits[1].q.val().into()) << 1)
            | (bit_cast::<4, 1>(self.bits[2].q.val().into()) << 2)
            | (bit_cast::<4, 1>(self.bits[3].q.val().into()) << 3);
        self.all_ready.next = self.ready.val().all();
        self.counts.next = bit_cast::<16, 4>(self.tokens[0].count.val())
            | (bit_cast::<16, 4>(self.tokens[1].count.val()) << 4)
            | (bit_cast::<16, 4>(self.tokens[2].count.val()) << 8)
            | (bit_cast::<16, 4>(self.tokens[3].count.val()) << 12);
        self.seq_3.start.next = self.word.val().get_bit(0);
        self.seq_3.length.next = bit_cast::<6, 3>(self.word.val().get_bits::<3>(40));
        self.seq_5.start.next = self.word.val().get_bit(1) | self.seq_3.done.val();
        self.seq_5.length.next = bit_cast::<6, 2>(self.word.val().get_bits::<2>(44));
        self.seq_a.next = self.seq_3.address.val();
        self.seq_b.next = self.seq_5.address.val();
        self.flags.next = 0.into();
        if self.seq_3.valid.val() {
            self.flags.next = self.flags.val() | 1;
        }
        if self.seq_5.valid.val() {
            self.flags.next = self.flags.val() | 2;
        }
        if self.seq_3.phase.val() == Phase::Drain {
            self.flags.next = self.flags.val() | 4;
        }
        if self.pipe.to.valid.val() {
            self.flags.next = self.flags.val() | 8;
        }
        if self.pipe.from.ready.val() && self.seq_5.done.val() {
            self.flags.next = self.flags.val() | 32;
        }
        self.pipe.from.data.next = self.word.val().get_bits::<8>(32);
        self.pipe.from.valid.next = self.word.val().get_bit(2);
        self.pipe.to.ready.next = self.word.val().get_bit(3);
        self.piped.next = self.pipe.to.data.val();
        self.in_reset.next = self.clock.val().rst;
    }
}

impl Dut for State {
    fn outputs(&self) -> Vec<(&'static str, usize, u64)> {
        vec![
            ("counts", self.counts.bits(), self.counts.val().to_u64()),
            ("all_ready", 1, self.all_ready.val().into()),
            ("seq_a", self.seq_a.bits(), self.seq_a.val().to_u64()),
            ("seq_b", self.seq_b.bits(), self.seq_b.val().to_u64()),
            ("flags", self.flags.bits(), self.flags.val().to_u64()),
            ("piped", self.piped.bits(), self.piped.val().to_u64()),
            ("shift", self.shift.bits(), self.shift.val().to_u64()),
            ("in_reset", 1, self.in_reset.val().into()),
        ]
    }

    fn drive(&mut self, word: u64, clk: bool, rst: bool) {
        self.word.next = word.into();
        self.clock.next = ClockReset { clk, rst };
    }
}
