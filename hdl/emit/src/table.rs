//! The variables of one block: its own signals, its registers, and the ports of its children.

use super::error::{EmitError, Place};
use super::ir::{Role, Table, VarId};
use super::names;
use super::scope::{AtomInfo, Scope, Ty};
use crate::dff::REGISTER_MARK;
use rust_hdl_core::prelude::{AtomKind, Verilog};
use std::collections::{HashMap, HashSet};

/// A port of an emitted module.
#[derive(Debug, Clone)]
pub(super) struct Port {
    /// rust-hdl's key; `$clk` or `$rst` appended for the halves of a `ClockReset`.
    pub key: String,
    pub name: String,
    pub width: usize,
    pub output: bool,
}

/// A register of the block.
#[derive(Debug)]
pub(super) struct Register {
    pub d: VarId,
    pub q: VarId,
    pub clk: VarId,
    /// Reset signal and reset value in hexadecimal.
    pub reset: Option<(VarId, String)>,
}

/// A child instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub name: String,
    /// Module name, with parameters for a black box.
    pub module: String,
    /// Ports in order, each with the variable that stands for it here.
    pub ports: Vec<(Port, VarId)>,
}

/// Everything that a block's text is made from, before its kernel.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub table: Table,
    pub registers: Vec<Register>,
    pub instances: Vec<Instance>,
}

/// True for the blocks of [`crate::dff`].
pub(super) fn is_register(scope: &Scope) -> bool {
    matches!(&scope.hdl, Verilog::Custom(text) if text == REGISTER_MARK)
}

/// Builds the table. `ports_of` gives the module name and the ports of each child that is no register, in order.
pub(super) fn build(
    scope: &Scope,
    ports_of: Vec<(String, Vec<Port>)>,
    raw_ports: bool,
) -> Result<Parts, EmitError> {
    let mut parts = Parts::default();
    for atom in &scope.atoms {
        own(&mut parts.table, atom, raw_ports, scope)?;
    }
    let mut modules = ports_of.into_iter();
    for child in &scope.children {
        if is_register(child) {
            register(&mut parts, child);
        } else if let Some((module, ports)) = modules.next() {
            instance(&mut parts, child, module, ports);
        }
    }
    Ok(parts)
}

fn own(table: &mut Table, atom: &AtomInfo, raw: bool, scope: &Scope) -> Result<(), EmitError> {
    let key = atom.key.clone();
    let (role, suffix) = match atom.kind {
        AtomKind::InputParameter => (Role::In, "_i"),
        AtomKind::OutputParameter => (Role::Out, "_o"),
        AtomKind::LocalSignal => (Role::Local, ""),
        AtomKind::Constant => (Role::Const(atom.hex.clone()), ""),
        AtomKind::StubInputSignal
        | AtomKind::StubOutputSignal
        | AtomKind::InOutParameter
        | AtomKind::OutputPassthrough => {
            return Err(EmitError::Unsupported {
                at: scope.place(&key),
                what: format!("a signal of kind {:?}", atom.kind),
                hint: "use In, Out, Local or Constant",
            });
        }
    };
    let is_port = matches!(role, Role::In | Role::Out);
    let dress = |stem: &str| {
        if raw || !is_port {
            names::flat(stem)
        } else {
            names::port(stem, suffix)
        }
    };
    if let Ty::ClockReset = atom.ty {
        let (clk, rst) = names::clock_stems(&key);
        let clk = table.add(
            format!("{key}$clk"),
            dress(&clk),
            1,
            role.clone(),
            &Ty::Bits,
        );
        let rst = table.add(format!("{key}$rst"), dress(&rst), 1, role, &Ty::Bits);
        table.clocks.insert(key, (clk, rst));
    } else {
        let name = if let Role::Const(_) = role {
            names::upper_camel(&key)
        } else {
            dress(&key)
        };
        table.add(key, name, atom.width, role, &atom.ty);
    }
    Ok(())
}

fn register(parts: &mut Parts, child: &Scope) {
    let index = parts.registers.len();
    let table = &mut parts.table;
    let stem = names::flat(&child.name);
    let find = |key: &str| child.atoms.iter().find(|a| a.key == key);
    let (Some(d), Some(q)) = (find("d"), find("q")) else {
        return;
    };
    let init = find("init").map(|a| a.hex.clone());
    let key = |port: &str| format!("{}${port}", child.name);
    let d = table.add(
        key("d"),
        format!("{stem}_d"),
        d.width,
        Role::RegIn(index),
        &d.ty,
    );
    let q = table.add(
        key("q"),
        format!("{stem}_q"),
        q.width,
        Role::RegOut(index),
        &q.ty,
    );
    let clk = table.add(
        key("clock$clk"),
        format!("{stem}_clk"),
        1,
        Role::RegIn(index),
        &Ty::Bits,
    );
    let rst_role = if init.is_some() {
        Role::RegIn(index)
    } else {
        Role::Absent
    };
    let rst = table.add(
        key("clock$rst"),
        format!("{stem}_rst"),
        1,
        rst_role,
        &Ty::Bits,
    );
    table.clocks.insert(key("clock"), (clk, rst));
    parts.registers.push(Register {
        d,
        q,
        clk,
        reset: init.map(|hex| (rst, hex)),
    });
}

fn instance(parts: &mut Parts, child: &Scope, module: String, ports: Vec<Port>) {
    let index = parts.instances.len();
    let table = &mut parts.table;
    let stem = names::flat(&child.name);
    let stem = stem.strip_prefix("i_").unwrap_or(&stem).to_owned();
    let by_key: HashMap<&str, &Port> = ports.iter().map(|p| (p.key.as_str(), p)).collect();
    let mut vars = HashMap::new();
    for atom in child.atoms.iter().filter(|a| a.kind.is_parameter()) {
        let output = atom.kind == AtomKind::OutputParameter;
        let mut add = |table: &mut Table, port_key: &str, width, ty: &Ty| {
            let role = match (by_key.contains_key(port_key), output) {
                (false, _) => Role::Absent,
                (true, true) => Role::ChildOut(index),
                (true, false) => Role::ChildIn(index),
            };
            let name = format!("{stem}_{}", names::flat(port_key));
            let id = table.add(format!("{}${port_key}", child.name), name, width, role, ty);
            vars.insert(port_key.to_owned(), id);
            id
        };
        if let Ty::ClockReset = atom.ty {
            let clk = add(table, &format!("{}$clk", atom.key), 1, &Ty::Bits);
            let rst = add(table, &format!("{}$rst", atom.key), 1, &Ty::Bits);
            table
                .clocks
                .insert(format!("{}${}", child.name, atom.key), (clk, rst));
        } else {
            add(table, &atom.key, atom.width, &atom.ty);
        }
    }
    let ports = ports
        .into_iter()
        .filter_map(|p| vars.get(&p.key).map(|id| (p.clone(), *id)))
        .collect();
    parts.instances.push(Instance {
        name: names::instance(&child.name),
        module,
        ports,
    });
}

/// No two things share a name, and no name is a keyword. `exists` tells which variables are in the text.
pub(super) fn unique(
    scope: &Scope,
    parts: &Parts,
    exists: impl Fn(VarId) -> bool,
) -> Result<(), EmitError> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut claim = |name: &str, at: Place| {
        if names::is_identifier(name) && name != "unused" && seen.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(EmitError::NameClash {
                at,
                name: name.to_owned(),
            })
        }
    };
    for (_, var) in parts
        .table
        .vars
        .iter()
        .enumerate()
        .filter(|(id, _)| exists(*id))
    {
        claim(&var.name, scope.place(&var.key))?;
    }
    for instance in &parts.instances {
        claim(&instance.name, scope.place(&instance.name))?;
    }
    for e in &parts.table.enums {
        claim(&names::enum_type(e), scope.place(&e.name))?;
        for variant in 0..e.variants.len() {
            claim(&names::enum_label(e, variant), scope.place(&e.name))?;
        }
    }
    Ok(())
}
