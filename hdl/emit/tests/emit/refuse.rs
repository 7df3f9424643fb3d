//! What the back end must refuse, by name, instead of emitting wrong text.

use cnna_emit::dff::{ClockReset, Dff};
use cnna_emit::dff_setup;
use cnna_emit::{EmitError, Emitter};
use rust_hdl_core::prelude::*;

fn error_of<B: Block>(mut block: B) -> EmitError {
    block.connect_all();
    Emitter::new("test", "0")
        .emit("t", &block)
        .expect_err("the block is outside the subset")
}

/// A block with input `a`, output `o` and a local signal of the output's type.
macro_rules! block {
    ($name:ident, $in:ty, $out:ty) => {
        #[derive(LogicBlock, Default)]
        struct $name {
            pub a: Signal<In, $in>,
            pub o: Signal<Out, $out>,
            pub temp: Signal<Local, $out>,
        }
    };
}

block!(SignedSignal, Signed<8>, Bit);
impl Logic for SignedSignal {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = false;
        self.o.next = self.temp.val();
    }
}

block!(Multiplies, Bits<16>, Bits<32>);
impl Logic for Multiplies {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val() * self.a.val();
        self.o.next = self.temp.val();
    }
}

block!(Latch, Bits<4>, Bits<4>);
impl Logic for Latch {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val();
        if self.a.val() > 3 {
            self.o.next = self.temp.val();
        }
    }
}

block!(Undriven, Bits<4>, Bits<4>);
impl Logic for Undriven {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val();
    }
}

block!(ReadsEarly, Bits<4>, Bits<4>);
impl Logic for ReadsEarly {
    #[hdl_gen]
    fn update(&mut self) {
        self.o.next = self.temp.val();
        self.temp.next = self.a.val();
    }
}

block!(WritesInput, Bits<4>, Bits<4>);
impl Logic for WritesInput {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val();
        self.a.next = self.temp.val();
        self.o.next = self.temp.val();
    }
}

block!(WideLiteral, Bits<4>, Bits<4>);
impl Logic for WideLiteral {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val() + 16;
        self.o.next = self.temp.val();
    }
}

const LIMIT: u64 = 3;
block!(GlobalConstant, Bits<4>, Bits<4>);
impl Logic for GlobalConstant {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = self.a.val() + LIMIT;
        self.o.next = self.temp.val();
    }
}

block!(RustClock, Clock, Bit);
impl Logic for RustClock {
    #[hdl_gen]
    fn update(&mut self) {
        self.temp.next = true;
        self.o.next = self.temp.val();
    }
}

#[test]
fn each_construct_outside_the_subset_is_refused_by_block_and_signal() {
    let cases = [
        (
            error_of(SignedSignal::default()),
            "block `t`, signal `a`: a signed signal",
        ),
        (
            error_of(Multiplies::default()),
            "block `t`, signal `temp`: multiplication",
        ),
        (
            error_of(Latch::default()),
            "block `t`, signal `o`: some path",
        ),
        (
            error_of(Undriven::default()),
            "block `t`, signal `o`: nothing drives it",
        ),
        (
            error_of(ReadsEarly::default()),
            "block `t`, signal `o`: `temp` is read before",
        ),
        (
            error_of(WritesInput::default()),
            "block `t`, signal `a`: an input of this block",
        ),
        (
            error_of(WideLiteral::default()),
            "block `t`, signal `temp`: the literal 0x10 does not fit 4 bits",
        ),
        (
            error_of(GlobalConstant::default()),
            "block `t`, signal `temp`: `LIMIT` is no signal",
        ),
        (
            error_of(RustClock::default()),
            "block `t`, signal `a`: rust-hdl's `Clock`",
        ),
    ];
    for (error, start) in cases {
        assert!(error.to_string().starts_with(start), "{error}");
    }
}

/// Reads the next value of a register before its last assignment: rust-hdl gives the settled value, Verilog the running one.
#[derive(LogicBlock, Default)]
struct ReadsNextValue {
    pub clock: Signal<In, ClockReset>,
    pub a: Signal<In, Bits<4>>,
    pub o: Signal<Out, Bits<4>>,
    kept: Dff<Bits<4>>,
}

impl Logic for ReadsNextValue {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, kept);
        self.o.next = self.kept.d.val();
        if self.a.val() > 3 {
            self.kept.d.next = self.a.val();
        }
    }
}

/// A clock that is not wired through.
#[derive(LogicBlock, Default)]
struct GatedClock {
    pub clock: Signal<In, ClockReset>,
    pub a: Signal<In, Bit>,
    pub o: Signal<Out, Bit>,
    kept: Dff<Bit>,
}

impl Logic for GatedClock {
    #[hdl_gen]
    fn update(&mut self) {
        if self.a.val() {
            self.kept.clock.next = self.clock.val();
        }
        self.kept.d.next = self.a.val();
        self.o.next = self.kept.q.val();
    }
}

/// A block with a Rust model and no kernel.
#[derive(LogicBlock, Default)]
struct NoKernel {
    pub a: Signal<In, Bit>,
    pub o: Signal<Out, Bit>,
}

impl Logic for NoKernel {
    fn update(&mut self) {
        self.o.next = self.a.val();
    }
    fn connect(&mut self) {
        self.o.connect();
    }
}

/// Two fields whose ports would share a name, and a field that is a keyword.
#[derive(LogicBlock, Default)]
struct Clash {
    pub a: Signal<In, Bit>,
    pub a_i: Signal<In, Bit>,
    pub o: Signal<Out, Bit>,
}

impl Logic for Clash {
    #[hdl_gen]
    fn update(&mut self) {
        self.o.next = self.a.val() ^ self.a_i.val();
    }
}

#[derive(LogicBlock, Default)]
struct Keyword {
    pub a: Signal<In, Bit>,
    pub o: Signal<Out, Bit>,
    buf: Signal<Local, Bit>,
}

impl Logic for Keyword {
    #[hdl_gen]
    fn update(&mut self) {
        self.buf.next = self.a.val();
        self.o.next = self.buf.val();
    }
}

#[test]
fn structural_mistakes_are_refused() {
    assert!(
        matches!(error_of(ReadsNextValue::default()), EmitError::ReadBeforeWrite { name, .. } if name == "kept.d")
    );
    assert!(
        matches!(error_of(GatedClock::default()), EmitError::Latch { at } if at.signal.starts_with("kept.clock"))
    );
    assert!(
        error_of(NoKernel::default())
            .to_string()
            .contains("without a translated kernel")
    );
    assert!(
        matches!(error_of(Clash::default()), EmitError::NameClash { name, .. } if name == "a_i")
    );
    assert!(
        matches!(error_of(Keyword::default()), EmitError::NameClash { name, .. } if name == "buf")
    );
}
