//! Combinational constructs, each an output of its own.

use crate::harness::Dut;
use cnna_emit::dff::{ClockReset, Dff, DffRst};
use cnna_emit::dff_setup;
use rust_hdl_core::prelude::*;

/// Arithmetic, comparison and casts on 12 bits.
#[derive(LogicBlock, Default)]
pub struct Arith {
    pub a: Signal<In, Bits<12>>,
    pub b: Signal<In, Bits<12>>,
    pub c: Signal<In, Bit>,
    pub add: Signal<Out, Bits<12>>,
    pub sub: Signal<Out, Bits<12>>,
    pub logic3: Signal<Out, Bits<12>>,
    pub wraps: Signal<Out, Bit>,
    pub half: Signal<Out, Bits<12>>,
    pub wide: Signal<Out, Bits<16>>,
    pub narrow: Signal<Out, Bits<5>>,
    pub sum_narrow: Signal<Out, Bits<5>>,
    pub compares: Signal<Out, Bits<6>>,
    pub plus_bit: Signal<Out, Bits<12>>,
    pub chain: Signal<Out, Bits<12>>,
}

impl Logic for Arith {
    #[hdl_gen]
    fn update(&mut self) {
        self.add.next = self.a.val() + self.b.val();
        self.sub.next = self.a.val() - self.b.val();
        self.logic3.next = (self.a.val() & self.b.val()) ^ !(self.a.val() | 0x0f0);
        self.wraps.next = (self.a.val() + 1) == 0;
        self.half.next = (self.a.val() + self.b.val() + 1) >> 1;
        self.wide.next =
            bit_cast::<16, 12>(self.a.val() + self.b.val()) + bit_cast::<16, 12>(self.a.val());
        self.narrow.next = bit_cast::<5, 12>(self.a.val());
        self.sum_narrow.next = bit_cast::<5, 12>(self.a.val() - self.b.val());
        self.compares.next = bit_cast::<6, 1>((self.a.val() < self.b.val()).into())
            | (bit_cast::<6, 1>((self.a.val() <= self.b.val()).into()) << 1)
            | (bit_cast::<6, 1>((self.a.val() > self.b.val()).into()) << 2)
            | (bit_cast::<6, 1>((self.a.val() >= self.b.val()).into()) << 3)
            | (bit_cast::<6, 1>((self.a.val() == self.b.val()).into()) << 4)
            | (bit_cast::<6, 1>((self.a.val() != self.b.val()).into()) << 5);
        self.plus_bit.next = self.a.val() + self.c.val();
        self.chain.next = self.a.val() - (self.b.val() - self.a.val()) - 3 + (self.b.val() + 7);
    }
}

/// Slices, bits, shifts and reductions.
#[derive(LogicBlock, Default)]
pub struct Select {
    pub a: Signal<In, Bits<32>>,
    pub s: Signal<In, Bits<5>>,
    pub mid: Signal<Out, Bits<8>>,
    pub over: Signal<Out, Bits<8>>,
    pub run: Signal<Out, Bits<8>>,
    pub of_sum: Signal<Out, Bits<7>>,
    pub run_of_sum: Signal<Out, Bits<7>>,
    pub bit: Signal<Out, Bit>,
    pub run_bit: Signal<Out, Bit>,
    pub left: Signal<Out, Bits<32>>,
    pub right: Signal<Out, Bits<32>>,
    pub fixed: Signal<Out, Bits<32>>,
    pub replaced: Signal<Out, Bits<32>>,
    pub replaced_fixed: Signal<Out, Bits<32>>,
    pub reduced: Signal<Out, Bits<3>>,
}

impl Logic for Select {
    #[hdl_gen]
    fn update(&mut self) {
        self.mid.next = self.a.val().get_bits::<8>(9);
        self.over.next = self.a.val().get_bits::<8>(28);
        self.run.next = self.a.val().get_bits::<8>(self.s.val().index());
        self.of_sum.next = (self.a.val() + 0x1234).get_bits::<7>(13);
        self.run_of_sum.next = (self.a.val() - 0x1234).get_bits::<7>(self.s.val().index());
        self.bit.next = self.a.val().get_bit(17);
        self.run_bit.next = self.a.val().get_bit(self.s.val().index());
        self.left.next = self.a.val() << self.s.val();
        self.right.next = (self.a.val() + 1) >> self.s.val();
        self.fixed.next = (self.a.val() << 3) ^ (self.a.val() >> 7);
        self.replaced.next = self
            .a
            .val()
            .replace_bit(self.s.val().index(), self.a.val().get_bit(0));
        self.replaced_fixed.next = self.a.val().replace_bit(5, !self.a.val().get_bit(5));
        self.reduced.next = bit_cast::<3, 1>(self.a.val().any().into())
            | (bit_cast::<3, 1>(bit_cast::<8, 32>(self.a.val()).all().into()) << 1)
            | (bit_cast::<3, 1>(self.a.val().xor().into()) << 2);
    }
}

/// Longer than rust-hdl's short vectors: 40 and 64 bits.
#[derive(LogicBlock, Default)]
pub struct Wide {
    pub a: Signal<In, Bits<64>>,
    pub sum: Signal<Out, Bits<40>>,
    pub less: Signal<Out, Bit>,
    pub mixed: Signal<Out, Bits<64>>,
    pub part: Signal<Out, Bits<40>>,
}

impl Logic for Wide {
    #[hdl_gen]
    fn update(&mut self) {
        self.sum.next = bit_cast::<40, 64>(self.a.val()) + bit_cast::<40, 64>(self.a.val() >> 24);
        self.less.next = bit_cast::<40, 64>(self.a.val()) < self.a.val().get_bits::<40>(24);
        self.mixed.next = (self.a.val() << 5) - (!self.a.val() & 0x7fff_0000);
        self.part.next = self.a.val().get_bits::<40>(17);
    }
}

#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum Op {
    Pass,
    Invert,
    Step,
}

#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Pair {
    low: Bits<6>,
    flag: Bit,
    high: Bits<4>,
}

/// if, else if, match on enums, bits and booleans, constants, locals, struct fields.
#[derive(LogicBlock)]
pub struct Choose {
    pub a: Signal<In, Bits<16>>,
    pub prio: Signal<Out, Bits<3>>,
    pub by_enum: Signal<Out, Bits<16>>,
    pub is_step: Signal<Out, Bit>,
    pub by_index: Signal<Out, Bits<8>>,
    pub by_bool: Signal<Out, Bits<2>>,
    pub twice: Signal<Out, Bits<16>>,
    pub with_constant: Signal<Out, Bits<16>>,
    pub packed: Signal<Out, Bits<11>>,
    pub logical: Signal<Out, Bit>,
    op: Signal<Local, Op>,
    temp: Signal<Local, Bits<16>>,
    pair: Signal<Local, Pair>,
    limit: Constant<Bits<16>>,
    all_ones: Constant<Bits<16>>,
}

impl Default for Choose {
    fn default() -> Self {
        Self {
            a: Default::default(),
            prio: Default::default(),
            by_enum: Default::default(),
            is_step: Default::default(),
            by_index: Default::default(),
            by_bool: Default::default(),
            twice: Default::default(),
            with_constant: Default::default(),
            packed: Default::default(),
            logical: Default::default(),
            op: Default::default(),
            temp: Default::default(),
            pair: Default::default(),
            limit: Constant::new(1000.into()),
            all_ones: Constant::new(0xffff.into()),
        }
    }
}

impl Logic for Choose {
    #[hdl_gen]
    fn update(&mut self) {
        if self.a.val().get_bit(0) {
            self.prio.next = 1.into();
        } else if self.a.val().get_bit(1) {
            if self.a.val() > 500 {
                self.prio.next = 2.into();
            } else {
                self.prio.next = 3.into();
            }
        } else {
            self.prio.next = 7.into();
        }
        self.op.next = Op::Pass;
        if self.a.val().get_bits::<2>(3) == 1 {
            self.op.next = Op::Invert;
        } else if self.a.val().get_bits::<2>(3) == 2 {
            self.op.next = Op::Step;
        }
        match self.op.val() {
            Op::Pass => self.by_enum.next = self.a.val(),
            Op::Invert => self.by_enum.next = !self.a.val(),
            Op::Step => self.by_enum.next = self.a.val() + 1,
        }
        self.is_step.next = self.op.val() == Op::Step;
        self.by_index.next = 0.into();
        match self.a.val().get_bits::<3>(5).index() {
            0 => self.by_index.next = 0x11.into(),
            1 => {
                self.by_index.next = bit_cast::<8, 16>(self.a.val());
            }
            0b110 => self.by_index.next = 0xff.into(),
            _ => {}
        }
        match self.a.val().get_bit(9) {
            true => self.by_bool.next = 2.into(),
            false => self.by_bool.next = 1.into(),
        }
        // A variable used twice over: rust-hdl's locals are assigned in sequence.
        self.temp.next = self.a.val() + 3;
        self.twice.next = self.temp.val();
        if self.a.val().get_bit(2) {
            self.temp.next = self.temp.val() ^ self.all_ones.val();
            self.twice.next = self.temp.val() - 9;
        }
        self.with_constant.next = self.limit.val();
        if self.a.val() < self.limit.val() {
            self.with_constant.next = self.limit.val() - self.a.val();
        }
        self.pair.next.low = self.a.val().get_bits::<6>(10);
        self.pair.next.flag = self.a.val().get_bit(1);
        self.pair.next.high = self.a.val().get_bits::<4>(0);
        self.packed.next = bit_cast::<11, 6>(self.pair.val().low)
            | (bit_cast::<11, 4>(self.pair.val().high) << 7)
            | (bit_cast::<11, 1>(self.pair.val().flag.into()) << 6);
        self.logical.next = (self.a.val().get_bit(4) && (self.a.val() != 0x10))
            || !self.a.val().get_bits::<3>(13).any();
    }
}

/// All of the above under one top, with registered inputs so that the design has a clock.
#[derive(LogicBlock, Default)]
pub struct Comb {
    pub clock: Signal<In, ClockReset>,
    pub word: Signal<In, Bits<64>>,
    pub o_arith: Signal<Out, Bits<64>>,
    pub o_arith2: Signal<Out, Bits<64>>,
    pub o_select: Signal<Out, Bits<64>>,
    pub o_select2: Signal<Out, Bits<64>>,
    pub o_select3: Signal<Out, Bits<64>>,
    pub o_wide: Signal<Out, Bits<64>>,
    pub o_mixed: Signal<Out, Bits<64>>,
    pub o_part: Signal<Out, Bits<64>>,
    pub o_choose: Signal<Out, Bits<64>>,
    pub o_choose2: Signal<Out, Bits<64>>,
    arith: Arith,
    select: Select,
    wide: Wide,
    choose: Choose,
    kept: Dff<Bits<64>>,
    beats: DffRst<Bits<4>>,
}

impl Logic for Comb {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, kept, beats);
        self.kept.d.next = self.word.val();
        self.beats.d.next = self.beats.q.val() + 1;
        self.arith.a.next = bit_cast::<12, 64>(self.word.val());
        self.arith.b.next = self.word.val().get_bits::<12>(16);
        self.arith.c.next = self.word.val().get_bit(40);
        self.select.a.next = self.word.val().get_bits::<32>(12);
        self.select.s.next = self.word.val().get_bits::<5>(50);
        self.wide.a.next = self.word.val();
        self.choose.a.next = self.word.val().get_bits::<16>(16);
        self.o_arith.next = bit_cast::<64, 12>(self.arith.add.val())
            | (bit_cast::<64, 12>(self.arith.sub.val()) << 12)
            | (bit_cast::<64, 12>(self.arith.logic3.val()) << 24)
            | (bit_cast::<64, 1>(self.arith.wraps.val().into()) << 36)
            | (bit_cast::<64, 12>(self.arith.half.val()) << 37)
            | (bit_cast::<64, 5>(self.arith.narrow.val()) << 49)
            | (bit_cast::<64, 5>(self.arith.sum_narrow.val()) << 54);
        self.o_arith2.next = bit_cast::<64, 16>(self.arith.wide.val())
            | (bit_cast::<64, 6>(self.arith.compares.val()) << 16)
            | (bit_cast::<64, 12>(self.arith.plus_bit.val()) << 22)
            | (bit_cast::<64, 12>(self.arith.chain.val()) << 34);
        self.o_select.next = bit_cast::<64, 8>(self.select.mid.val())
            | (bit_cast::<64, 8>(self.select.over.val()) << 8)
            | (bit_cast::<64, 8>(self.select.run.val()) << 16)
            | (bit_cast::<64, 7>(self.select.of_sum.val()) << 24)
            | (bit_cast::<64, 7>(self.select.run_of_sum.val()) << 31)
            | (bit_cast::<64, 1>(self.select.bit.val().into()) << 38)
            | (bit_cast::<64, 1>(self.select.run_bit.val().into()) << 39)
            | (bit_cast::<64, 3>(self.select.reduced.val()) << 40);
        self.o_select2.next = bit_cast::<64, 32>(self.select.left.val())
            | (bit_cast::<64, 32>(self.select.right.val()) << 32);
        self.o_select3.next =
            bit_cast::<64, 32>(self.select.fixed.val() ^ self.select.replaced_fixed.val())
                | (bit_cast::<64, 32>(self.select.replaced.val()) << 32);
        self.o_wide.next = bit_cast::<64, 40>(self.wide.sum.val())
            | (bit_cast::<64, 1>(self.wide.less.val().into()) << 40);
        self.o_mixed.next = self.wide.mixed.val();
        self.o_part.next = bit_cast::<64, 40>(self.wide.part.val()) ^ self.kept.q.val();
        self.o_choose.next = bit_cast::<64, 3>(self.choose.prio.val())
            | (bit_cast::<64, 16>(self.choose.by_enum.val()) << 3)
            | (bit_cast::<64, 1>(self.choose.is_step.val().into()) << 19)
            | (bit_cast::<64, 8>(self.choose.by_index.val()) << 20)
            | (bit_cast::<64, 2>(self.choose.by_bool.val()) << 28)
            | (bit_cast::<64, 16>(self.choose.twice.val()) << 30)
            | (bit_cast::<64, 16>(self.choose.with_constant.val()) << 46);
        self.o_choose2.next = bit_cast::<64, 11>(self.choose.packed.val())
            | (bit_cast::<64, 1>(self.choose.logical.val().into()) << 11)
            | (bit_cast::<64, 4>(self.beats.q.val()) << 12);
    }
}

impl Dut for Comb {
    fn outputs(&self) -> Vec<(&'static str, usize, u64)> {
        vec![
            ("o_arith", self.o_arith.bits(), self.o_arith.val().to_u64()),
            (
                "o_arith2",
                self.o_arith2.bits(),
                self.o_arith2.val().to_u64(),
            ),
            (
                "o_select",
                self.o_select.bits(),
                self.o_select.val().to_u64(),
            ),
            (
                "o_select2",
                self.o_select2.bits(),
                self.o_select2.val().to_u64(),
            ),
            (
                "o_select3",
                self.o_select3.bits(),
                self.o_select3.val().to_u64(),
            ),
            ("o_wide", self.o_wide.bits(), self.o_wide.val().to_u64()),
            ("o_mixed", self.o_mixed.bits(), self.o_mixed.val().to_u64()),
            ("o_part", self.o_part.bits(), self.o_part.val().to_u64()),
            (
                "o_choose",
                self.o_choose.bits(),
                self.o_choose.val().to_u64(),
            ),
            (
                "o_choose2",
                self.o_choose2.bits(),
                self.o_choose2.val().to_u64(),
            ),
        ]
    }

    fn drive(&mut self, word: u64, clk: bool, rst: bool) {
        self.word.next = word.into();
        self.clock.next = ClockReset { clk, rst };
    }
}
