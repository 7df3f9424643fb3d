//! Clock with reset, and registers, for rust-hdl control blocks.
//!
//! [`ClockReset`] travels as one signal, so `clock!` and `dff_setup!` wire clock and synchronous, active-high reset
//! together and no block can forget one of them; the back end prints them as `clk_i` and `rst_i`. [`Dff`] has no reset (data),
//! [`DffRst`] has one (control). rust-hdl-core has no register of its own.

use rust_hdl_core::prelude::*;

/// A clock and the synchronous, active-high reset that belongs to it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ClockReset {
    /// The clock; registers sample at its rising edge.
    pub clk: bool,
    /// The reset, synchronous to `clk`, active high. A kernel reads it as `self.clock.val().rst`.
    pub rst: bool,
}

impl ClockReset {
    /// Descriptor name by which the back end knows this type.
    pub(crate) const TYPE_NAME: &'static str = "cnna::ClockReset";

    // rust-hdl's kernel translation asks these four for a field read such as `.val().rst`.
    #[doc(hidden)]
    pub fn get_my_width_clk(&self) -> usize {
        1
    }
    #[doc(hidden)]
    pub fn get_my_width_rst(&self) -> usize {
        1
    }
    #[doc(hidden)]
    pub fn get_my_offset_clk(&self) -> usize {
        0
    }
    #[doc(hidden)]
    pub fn get_my_offset_rst(&self) -> usize {
        1
    }
}

/// Inverts the clock and keeps the reset, so that rust-hdl's `simple_sim!` can toggle it.
impl std::ops::Not for ClockReset {
    type Output = ClockReset;

    fn not(self) -> ClockReset {
        ClockReset {
            clk: !self.clk,
            rst: self.rst,
        }
    }
}

impl Synth for ClockReset {
    const BITS: usize = 2;

    fn descriptor() -> TypeDescriptor {
        let bit = |name: &str| {
            Box::new(TypeField {
                fieldname: name.into(),
                kind: bool::descriptor(),
            })
        };
        TypeDescriptor {
            name: Self::TYPE_NAME.into(),
            kind: TypeKind::Composite(vec![bit("clk"), bit("rst")]),
        }
    }

    fn vcd(self) -> VCDValue {
        VCDValue::Composite(vec![Box::new(self.clk.into()), Box::new(self.rst.into())])
    }

    fn verilog(self) -> VerilogLiteral {
        (u8::from(self.clk) | u8::from(self.rst) << 1).into()
    }
}

/// The text by which the back end knows a register; not Verilog, so another back end fails loudly on it.
pub(crate) const REGISTER_MARK: &str = "cnna::register";

/// A register without reset, for data: `q` takes `d` at the rising edge.
#[derive(LogicBlock, Default)]
pub struct Dff<T: Synth> {
    /// Clock; the reset in it is not used.
    pub clock: Signal<In, ClockReset>,
    /// Next value.
    pub d: Signal<In, T>,
    /// Value.
    pub q: Signal<Out, T>,
    _clk_before: bool,
}

impl<T: Synth> Logic for Dff<T> {
    fn update(&mut self) {
        let clk = self.clock.val().clk;
        if clk && !self._clk_before {
            self.q.next = self.d.val();
        }
        self._clk_before = clk;
    }

    fn connect(&mut self) {
        self.q.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(REGISTER_MARK.into())
    }
}

/// A register with synchronous reset, for control: at the rising edge `q` takes `init` under reset, `d` otherwise.
#[derive(LogicBlock)]
pub struct DffRst<T: Synth> {
    /// Clock and reset.
    pub clock: Signal<In, ClockReset>,
    /// Next value.
    pub d: Signal<In, T>,
    /// Value.
    pub q: Signal<Out, T>,
    init: Constant<T>,
    _clk_before: bool,
}

impl<T: Synth> DffRst<T> {
    /// A register whose reset value is `init`.
    pub fn new(init: T) -> Self {
        Self {
            clock: Default::default(),
            d: Default::default(),
            q: Signal::new_with_default(init),
            init: Constant::new(init),
            _clk_before: false,
        }
    }
}

impl<T: Synth> Default for DffRst<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Synth> Logic for DffRst<T> {
    fn update(&mut self) {
        let now = self.clock.val();
        if now.clk && !self._clk_before {
            self.q.next = if now.rst {
                self.init.val()
            } else {
                self.d.val()
            };
        }
        self._clk_before = now.clk;
    }

    fn connect(&mut self) {
        self.q.connect();
    }

    fn hdl(&self) -> Verilog {
        Verilog::Custom(REGISTER_MARK.into())
    }
}

/// `dff_setup!(self, clock, a, b)`: clocks the registers `a` and `b` from `self.clock` and lets each keep its value
/// unless the kernel assigns `d` later. The name is one that rust-hdl's kernel translation knows.
#[macro_export]
macro_rules! dff_setup {
    ($self:ident, $clock:ident, $($dff:ident),+ $(,)?) => {
        $($self.$dff.clock.next = $self.$clock.val();)+
        $($self.$dff.d.next = $self.$dff.q.val();)+
    };
}
