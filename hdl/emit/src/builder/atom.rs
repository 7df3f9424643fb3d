//! rust-hdl atoms and blocks whose shape is known only at run time.

use rust_hdl_core::prelude::*;
use rust_hdl_core::signal::get_signal_id;

/// A signal of run-time width: structure only, it carries no value in rust-hdl's simulator.
#[derive(Debug, Clone)]
pub(super) struct DynSignal {
    /// Its name.
    pub name: String,
    width: usize,
    kind: AtomKind,
    id: usize,
}

impl DynSignal {
    /// An input of its block, of `width` bits.
    pub fn input(name: &str, width: usize) -> Self {
        Self::new(name, width, AtomKind::InputParameter)
    }

    /// An output of its block.
    pub fn output(name: &str, width: usize) -> Self {
        Self::new(name, width, AtomKind::OutputParameter)
    }

    /// A wire inside its block.
    pub fn wire(name: &str, width: usize) -> Self {
        Self::new(name, width, AtomKind::LocalSignal)
    }

    fn new(name: &str, width: usize, kind: AtomKind) -> Self {
        Self {
            name: name.into(),
            width,
            kind,
            id: get_signal_id(),
        }
    }
}

impl Atom for DynSignal {
    fn bits(&self) -> usize {
        self.width
    }
    fn connected(&self) -> bool {
        true
    }
    fn changed(&self) -> bool {
        false
    }
    fn kind(&self) -> AtomKind {
        self.kind
    }
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            name: format!("Bits::<{}>", self.width),
            kind: TypeKind::Bits(self.width),
        }
    }
    fn vcd(&self) -> VCDValue {
        VCDValue::Vector(vec![])
    }
    fn id(&self) -> usize {
        self.id
    }
    fn verilog(&self) -> VerilogLiteral {
        0u32.into()
    }
    fn constraints(&self) -> Vec<PinConstraint> {
        vec![]
    }
}

/// A SystemVerilog module as a rust-hdl block: a name with parameters, and ports.
pub(super) struct BlackBoxBlock {
    /// Module name and parameter list as in an instantiation.
    pub module: String,
    /// Ports in the order in which they are connected.
    pub ports: Vec<DynSignal>,
}

impl Logic for BlackBoxBlock {
    fn update(&mut self) {}

    fn hdl(&self) -> Verilog {
        Verilog::Blackbox(BlackBox {
            code: String::new(),
            name: self.module.clone(),
        })
    }
}

impl Block for BlackBoxBlock {
    fn connect_all(&mut self) {}
    fn update_all(&mut self) {}
    fn has_changed(&self) -> bool {
        false
    }
    fn accept(&self, name: &str, probe: &mut dyn Probe) {
        probe.visit_start_scope(name, self);
        self.ports.iter().for_each(|p| probe.visit_atom(&p.name, p));
        probe.visit_end_scope(name, self);
    }
}

/// A block put together at run time: signals, children by instance name, and the wiring as rust-hdl's own statements.
pub(super) struct DynBlock {
    pub signals: Vec<DynSignal>,
    pub children: Vec<(String, Box<dyn Block>)>,
    pub wiring: ast::VerilogBlock,
}

impl Logic for DynBlock {
    fn update(&mut self) {}

    fn hdl(&self) -> Verilog {
        Verilog::Combinatorial(self.wiring.clone())
    }
}

impl Block for DynBlock {
    fn connect_all(&mut self) {}
    fn update_all(&mut self) {}
    fn has_changed(&self) -> bool {
        false
    }
    fn accept(&self, name: &str, probe: &mut dyn Probe) {
        probe.visit_start_scope(name, self);
        self.signals
            .iter()
            .for_each(|s| probe.visit_atom(&s.name, s));
        self.children
            .iter()
            .for_each(|(name, child)| child.accept(name, probe));
        probe.visit_end_scope(name, self);
    }
}
