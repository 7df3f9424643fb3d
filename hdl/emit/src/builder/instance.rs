//! Instances: of SystemVerilog modules, and of rust-hdl blocks.

use super::atom::{BlackBoxBlock, DynSignal};
use super::error::WiringError;
use super::net::Net;
use crate::dff::ClockReset;
use rust_hdl_core::prelude::*;
use std::fmt::Display;

/// A port with what it is connected to.
pub(super) struct Connection {
    /// Name in rust-hdl's form: levels joined by `$`.
    pub port: String,
    pub width: usize,
    pub output: bool,
    pub net: Net,
}

/// An instance ready to be placed: its block, and its connections.
pub(super) struct Placed {
    pub name: String,
    pub block: Box<dyn Block>,
    pub connections: Vec<Connection>,
    /// Module name to emit it under, for a rust-hdl block.
    pub module: Option<String>,
    /// Names that have to be usable in SystemVerilog as they stand: instance, module, ports and parameters.
    literal_names: Vec<String>,
}

impl Placed {
    /// Every name that goes into the text unchanged.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.literal_names.iter()
    }
}

/// An instance of a SystemVerilog module with its parameters and the widths that these parameters give its ports.
pub struct Instance {
    module: String,
    name: String,
    params: Vec<(String, String)>,
    connections: Vec<Connection>,
}

impl Instance {
    /// An instance `name` of `module`.
    pub fn new(module: &str, name: &str) -> Self {
        Self {
            module: module.into(),
            name: name.into(),
            params: vec![],
            connections: vec![],
        }
    }

    /// Sets a parameter: a number, or SystemVerilog text such as `64'hff`.
    pub fn param(mut self, name: &str, value: impl Display) -> Self {
        self.params.push((name.into(), value.to_string()));
        self
    }

    /// Connects the input `port` of `width` bits.
    pub fn input(self, port: &str, width: usize, net: impl Into<Net>) -> Self {
        self.port(port, width, false, net.into())
    }

    /// Connects the output `port` of `width` bits; a whole wire that is not declared comes into being with this width.
    pub fn output(self, port: &str, width: usize, net: impl Into<Net>) -> Self {
        self.port(port, width, true, net.into())
    }

    /// Connects `clk_i`.
    pub fn clock(self, clk: &str) -> Self {
        self.input("clk_i", 1, clk)
    }

    /// Connects `clk_i` and `rst_i`.
    pub fn clock_reset(self, clk: &str, rst: &str) -> Self {
        self.input("clk_i", 1, clk).input("rst_i", 1, rst)
    }

    /// Leaves the output `port` unused.
    pub fn open(self, port: &str, width: usize) -> Self {
        self.port(port, width, true, Net::Open)
    }

    fn port(mut self, port: &str, width: usize, output: bool, net: Net) -> Self {
        self.connections.push(Connection {
            port: port.into(),
            width,
            output,
            net,
        });
        self
    }

    pub(super) fn place(self) -> Placed {
        let params: Vec<String> = self
            .params
            .iter()
            .map(|(name, value)| format!("    .{name}({value})"))
            .collect();
        let module = if params.is_empty() {
            self.module.clone()
        } else {
            format!("{} #(\n{}\n  )", self.module, params.join(",\n"))
        };
        let signal = |c: &Connection| {
            if c.output {
                DynSignal::output(&c.port, c.width)
            } else {
                DynSignal::input(&c.port, c.width)
            }
        };
        let ports = self.connections.iter().map(signal).collect();
        let own = [self.name.clone(), self.module.clone()];
        let params_and_ports = self
            .params
            .iter()
            .map(|(name, _)| name)
            .chain(self.connections.iter().map(|c| &c.port));
        let literal_names = own.into_iter().chain(params_and_ports.cloned()).collect();
        Placed {
            name: self.name,
            block: Box::new(BlackBoxBlock { module, ports }),
            connections: self.connections,
            module: None,
            literal_names,
        }
    }
}

/// An instance of a rust-hdl block. Its clock is wired by itself; every other port is connected by its field's name.
pub struct BlockInstance {
    module: String,
    name: String,
    block: Box<dyn Block>,
    nets: Vec<(String, Net)>,
}

impl BlockInstance {
    /// An instance `name` of `block`, emitted as `module`.
    pub fn new(module: &str, name: &str, block: impl Block + 'static) -> Self {
        Self {
            module: module.into(),
            name: name.into(),
            block: Box::new(block),
            nets: vec![],
        }
    }

    /// Connects the port that is field `port` of the block, `interface.field` inside an interface.
    pub fn connect(mut self, port: &str, net: impl Into<Net>) -> Self {
        self.nets.push((port.replace('.', "$"), net.into()));
        self
    }

    /// Leaves the output `port` unused.
    pub fn open(self, port: &str) -> Self {
        self.connect(port, Net::Open)
    }

    /// Finds the block's ports, runs rust-hdl's checks on it, and pairs every port with its net.
    pub(super) fn place(mut self, clock: Option<&(String, String)>) -> Result<Placed, WiringError> {
        self.block.connect_all();
        check_all(self.block.as_ref()).map_err(|problem| WiringError::RustHdl {
            block: self.name.clone(),
            problem: format!("{problem:?}"),
        })?;
        let mut ports = Ports::default();
        self.block.accept(&self.name, &mut ports);
        let at = |port: &str| format!("{}.{}", self.name, port.replace('$', "."));
        let mut connections = vec![];
        for (port, width, output, is_clock) in &ports.list {
            if *is_clock {
                let (clk, rst) = clock.ok_or_else(|| WiringError::NoClock { at: at(port) })?;
                for (half, wire) in [("clk", clk), ("rst", rst)] {
                    connections.push(Connection {
                        port: format!("{port}${half}"),
                        width: 1,
                        output: false,
                        net: wire.into(),
                    });
                }
                continue;
            }
            let mut nets = self.nets.iter().filter(|(name, _)| name == port);
            let net = nets
                .next()
                .ok_or_else(|| WiringError::Unconnected { at: at(port) })?;
            if nets.next().is_some() {
                return Err(WiringError::Duplicate { name: at(port) });
            }
            connections.push(Connection {
                port: port.clone(),
                width: *width,
                output: *output,
                net: net.1.clone(),
            });
        }
        for (name, _) in &self.nets {
            if !connections.iter().any(|c| c.port == *name) {
                let known: Vec<String> = ports
                    .list
                    .iter()
                    .filter(|p| !p.3)
                    .map(|p| p.0.replace('$', "."))
                    .collect();
                return Err(WiringError::UnknownPort {
                    at: at(name),
                    ports: known.join(", "),
                });
            }
        }
        Ok(Placed {
            literal_names: vec![self.name.clone(), self.module.clone()],
            name: self.name,
            block: self.block,
            connections,
            module: Some(self.module),
        })
    }
}

/// Ports of the outermost block: key, width, output, and whether it is a clock.
#[derive(Default)]
struct Ports {
    depth: usize,
    namespace: Vec<String>,
    list: Vec<(String, usize, bool, bool)>,
}

impl Probe for Ports {
    fn visit_start_scope(&mut self, _name: &str, _node: &dyn Block) {
        self.depth += 1;
    }
    fn visit_start_namespace(&mut self, name: &str, _node: &dyn Block) {
        self.namespace.push(name.into());
    }
    fn visit_atom(&mut self, name: &str, signal: &dyn Atom) {
        if self.depth == 1 && signal.kind().is_parameter() {
            let key = self
                .namespace
                .iter()
                .map(String::as_str)
                .chain([name])
                .collect::<Vec<_>>()
                .join("$");
            let output = signal.kind() == AtomKind::OutputParameter;
            let is_clock = signal.descriptor().name == ClockReset::TYPE_NAME;
            self.list.push((key, signal.bits(), output, is_clock));
        }
    }
    fn visit_end_namespace(&mut self, _name: &str, _node: &dyn Block) {
        self.namespace.pop();
    }
    fn visit_end_scope(&mut self, _name: &str, _node: &dyn Block) {
        self.depth -= 1;
    }
}
