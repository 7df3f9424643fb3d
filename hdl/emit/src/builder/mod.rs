//! A top level put together at run time: ports, wires, SystemVerilog instances and rust-hdl blocks.
//!
//! Widths come from the accelerator's configuration, so they are not Rust types and rustc cannot check them. The builder
//! checks them instead, before anything is emitted: every name, every width, one driver for every bit, no bit without a
//! driver, no wire that nothing reads, no port forgotten. Then it becomes an ordinary rust-hdl design, [`Atom`]s of run-time
//! width, SystemVerilog modules as rust-hdl black boxes, rust-hdl blocks as they are, and the wiring as rust-hdl's own
//! statements, and the same back end ([`crate`]) prints it as it prints any block. Only its checks are the project's own:
//! rust-hdl's ask whether a signal is connected, never how wide it is. A black box has no behaviour in rust-hdl, so
//! a top level is simulated in Verilator, its blocks in rust-hdl as well.
//!
//! ```
//! use cnna_emit::builder::{Instance, Net, TopBuilder};
//! use cnna_emit::Emitter;
//!
//! let width = 512;
//! let top = TopBuilder::new("buffered")
//!     .clock("aclk", "rst")
//!     .input("addr", 12)
//!     .output("low", 8)
//!     .instance(
//!         Instance::new("act_buffer", "i_act_buffer")
//!             .param("T", 2)
//!             .clock("aclk")
//!             .input("addr_i", 12, "addr")
//!             .input("bank_i", 2, Net::Value(3))
//!             .output("rdata_o", width, "act_rdata"), // declares the wire
//!     )
//!     .assign("low", Net::part("act_rdata", 0, 8))
//!     .build()?;
//! let modules = top.emit(&Emitter::new("ultra96", "0123abcd"))?;
//! assert!(modules[0].text.contains(".T(2)"));
//! # Ok::<(), cnna_emit::builder::WiringError>(())
//! ```

mod atom;
mod check;
mod error;
mod instance;
mod net;

pub use error::WiringError;
pub use instance::{BlockInstance, Instance};
pub use net::Net;

use crate::{Emitter, Module, is_identifier};
use atom::{DynBlock, DynSignal};
use instance::Placed;
use rust_hdl_core::ast::{VerilogExpression, VerilogLiteral, VerilogStatement};
use rust_hdl_core::prelude::{Atom, Block};

/// Collects a top level; the first mistake is kept and reported by [`build`](Self::build).
pub struct TopBuilder {
    name: String,
    clock: Option<(String, String)>,
    signals: Vec<DynSignal>,
    placed: Vec<Placed>,
    assigns: Vec<(Net, Net)>,
    error: Option<WiringError>,
}

impl TopBuilder {
    /// A top level that will be module `name`; its ports keep their names as given.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            clock: None,
            signals: vec![],
            placed: vec![],
            assigns: vec![],
            error: None,
        }
    }

    /// Names the clock and the synchronous, active-high reset of the rust-hdl blocks placed after this call. `clk` becomes an input
    /// of the top if it is not declared; `rst` has to be an input or a wire.
    pub fn clock(mut self, clk: &str, rst: &str) -> Self {
        self.clock = Some((clk.into(), rst.into()));
        if self.signals.iter().any(|s| s.name == clk) {
            self
        } else {
            self.input(clk, 1)
        }
    }

    /// Declares an input of `width` bits.
    pub fn input(mut self, name: &str, width: usize) -> Self {
        self.signals.push(DynSignal::input(name, width));
        self
    }

    /// Declares an output of `width` bits.
    pub fn output(mut self, name: &str, width: usize) -> Self {
        self.signals.push(DynSignal::output(name, width));
        self
    }

    /// Declares a wire of `width` bits. Only needed for a wire that is driven in parts or by [`assign`](Self::assign): a
    /// wire that one output drives whole is declared by it.
    pub fn wire(mut self, name: &str, width: usize) -> Self {
        self.signals.push(DynSignal::wire(name, width));
        self
    }

    /// Places a SystemVerilog module.
    pub fn instance(mut self, instance: Instance) -> Self {
        self.placed.push(instance.place());
        self
    }

    /// Places a rust-hdl block; its `ClockReset` ports get the clock of the last [`clock`](Self::clock).
    pub fn block(mut self, block: BlockInstance) -> Self {
        match block.place(self.clock.as_ref()) {
            Ok(placed) => self.placed.push(placed),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Drives a wire, an output or a part of one from another net or a value.
    pub fn assign(mut self, target: impl Into<Net>, from: impl Into<Net>) -> Self {
        self.assigns.push((target.into(), from.into()));
        self
    }

    /// Checks everything and makes a rust-hdl design of it.
    ///
    /// # Errors
    /// [`WiringError`] for the first mistake.
    pub fn build(mut self) -> Result<Top, WiringError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        check::declare(&mut self.signals, &self.placed)?;
        let names = self
            .signals
            .iter()
            .map(|s| &s.name)
            .chain(self.placed.iter().flat_map(Placed::names));
        for name in names.chain([&self.name]) {
            if !is_identifier(name) {
                return Err(WiringError::BadName { name: name.clone() });
            }
        }
        check::check(&self.signals, &self.placed, &self.assigns)?;
        let wiring = wiring(&self.signals, &self.placed, &self.assigns);
        let modules = self
            .placed
            .iter()
            .filter_map(|p| {
                p.module
                    .as_ref()
                    .map(|m| (format!("{}.{}", self.name, p.name), m.clone()))
            })
            .collect();
        let children = self.placed.into_iter().map(|p| (p.name, p.block)).collect();
        Ok(Top {
            name: self.name,
            design: DynBlock {
                signals: self.signals,
                children,
                wiring,
            },
            modules,
        })
    }
}

/// The connections as statements. rust-hdl runs statements in order, so what a wire gets stands before what reads it.
fn wiring(
    signals: &[DynSignal],
    placed: &[Placed],
    assigns: &[(Net, Net)],
) -> Vec<VerilogStatement> {
    let (mut wiring, mut inputs) = (vec![], vec![]);
    for p in placed {
        for c in &p.connections {
            let port = VerilogExpression::Signal(format!("{}${}", p.name, c.port));
            if !c.output {
                inputs.push(VerilogStatement::Assignment(port, read(&c.net, c.width)));
            } else if c.net != Net::Open {
                wiring.push(drive(&c.net, port));
            }
        }
    }
    // An assign waits for those that drive its source; a ring of them is left to the back end to refuse.
    let mut waiting: Vec<&(Net, Net)> = assigns.iter().collect();
    while !waiting.is_empty() {
        let targets: Vec<_> = waiting.iter().map(|(target, _)| target.wire()).collect();
        let (ready, later): (Vec<_>, Vec<_>) = waiting
            .iter()
            .copied()
            .partition(|(_, from)| from.wire().is_none() || !targets.contains(&from.wire()));
        let (ready, later) = if ready.is_empty() {
            (later, ready)
        } else {
            (ready, later)
        };
        for (target, from) in ready {
            let width = check::width_of(signals, target).unwrap_or(0);
            wiring.push(drive(target, read(from, width)));
        }
        waiting = later;
    }
    wiring.extend(inputs);
    wiring
}

fn literal(value: usize) -> Box<VerilogExpression> {
    Box::new(VerilogExpression::Literal(VerilogLiteral::from(value)))
}

fn read(net: &Net, width: usize) -> VerilogExpression {
    match net {
        Net::Wire(wire) => VerilogExpression::Signal(wire.clone()),
        Net::Part { wire, lo, width } => VerilogExpression::Slice(
            Box::new(VerilogExpression::Signal(wire.clone())),
            *width,
            literal(*lo),
        ),
        Net::Value(value) => VerilogExpression::Cast(
            Box::new(VerilogExpression::Literal(VerilogLiteral::from(*value))),
            width,
        ),
        Net::Open => VerilogExpression::Signal(String::new()),
    }
}

fn drive(net: &Net, value: VerilogExpression) -> VerilogStatement {
    match net {
        Net::Part { wire, lo, width } => VerilogStatement::SliceAssignment {
            base: VerilogExpression::Signal(wire.clone()),
            width: *width,
            offset: *literal(*lo),
            replacement: value,
        },
        Net::Wire(wire) => {
            VerilogStatement::Assignment(VerilogExpression::Signal(wire.clone()), value)
        }
        Net::Value(_) | Net::Open => VerilogStatement::Macro(vec![]),
    }
}

/// A checked top level.
pub struct Top {
    name: String,
    design: DynBlock,
    modules: Vec<(String, String)>,
}

impl Top {
    /// Emits the rust-hdl blocks and the top, which comes last. The SystemVerilog modules are the caller's files.
    ///
    /// # Errors
    /// [`WiringError::Emit`] if the back end refuses a block.
    pub fn emit(&self, options: &Emitter) -> Result<Vec<Module>, WiringError> {
        let named =
            |emitter: Emitter, (path, module): &(String, String)| emitter.name(path, module);
        let emitter = self
            .modules
            .iter()
            .fold(options.clone().raw_top_ports(), named);
        Ok(emitter.emit(&self.name, &self.design)?)
    }

    /// Ports in order: name, bits, and whether it is an output.
    pub fn ports(&self) -> Vec<(&str, usize, bool)> {
        use rust_hdl_core::prelude::AtomKind;
        self.design
            .signals
            .iter()
            .filter(|s| s.kind() != AtomKind::LocalSignal)
            .map(|s| {
                (
                    s.name.as_str(),
                    s.bits(),
                    s.kind() == AtomKind::OutputParameter,
                )
            })
            .collect()
    }

    /// The design, for any other rust-hdl probe.
    pub fn design(&self) -> &dyn Block {
        &self.design
    }
}
