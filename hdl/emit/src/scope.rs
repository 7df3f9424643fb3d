//! The `Probe`: reads a rust-hdl design into a tree of scopes, one per block, without judging it.

use super::error::{EmitError, Place};
use crate::dff::ClockReset;
use rust_hdl_core::prelude::*;
use std::rc::Rc;

/// A rust-hdl enum: `State` with its variants in order of their encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnumType {
    pub name: String,
    pub variants: Vec<String>,
    pub width: usize,
}

/// A type as far as the emitted text distinguishes it.
#[derive(Debug, Clone)]
pub(super) enum Ty {
    Bits,
    Enum(Rc<EnumType>),
    ClockReset,
}

/// One signal or constant of a block. `key` is rust-hdl's name with `$` between levels.
#[derive(Debug)]
pub(super) struct AtomInfo {
    pub key: String,
    pub kind: AtomKind,
    pub width: usize,
    pub ty: Ty,
    /// Value of a constant: hexadecimal digits.
    pub hex: String,
}

/// One block instance.
pub(super) struct Scope {
    pub name: String,
    pub path: String,
    pub atoms: Vec<AtomInfo>,
    pub children: Vec<Scope>,
    pub hdl: Verilog,
}

impl Scope {
    /// A place in this block for an error; `key` is rust-hdl's name.
    pub fn place(&self, key: &str) -> Place {
        Place {
            block: self.path.clone(),
            signal: key.replace('$', "."),
        }
    }
}

/// Walks a block and everything in it.
pub(super) fn collect(top: &str, block: &dyn Block) -> Result<Scope, EmitError> {
    let mut probe = Collector {
        stack: vec![],
        namespaces: vec![],
        root: None,
        error: None,
    };
    block.accept(top, &mut probe);
    match (probe.error, probe.root) {
        (Some(error), _) => Err(error),
        (None, Some(root)) => Ok(root),
        (None, None) => Err(EmitError::Unsupported {
            at: Place {
                block: top.into(),
                signal: String::new(),
            },
            what: "a design that is no block (a bare signal, interface or array)".into(),
            hint: "derive LogicBlock on a struct and emit that",
        }),
    }
}

struct Collector {
    stack: Vec<Scope>,
    namespaces: Vec<Vec<String>>,
    root: Option<Scope>,
    error: Option<EmitError>,
}

/// Hexadecimal digits of a literal, without sign or width; `None` if negative.
pub(super) fn literal_hex(literal: &VerilogLiteral) -> Option<String> {
    let text = format!("{literal:x}");
    let digits = text.rsplit("'h").next().unwrap_or_default();
    let digits = digits.trim_start_matches('0');
    match digits {
        "" => Some("0".into()),
        d if d.chars().all(|c| c.is_ascii_hexdigit()) => Some(d.into()),
        _ => None,
    }
}

impl Collector {
    fn atom(&self, scope: &Scope, key: String, atom: &dyn Atom) -> Result<AtomInfo, EmitError> {
        let refuse = |what: String, hint| {
            Err(EmitError::Unsupported {
                at: scope.place(&key),
                what,
                hint,
            })
        };
        let descriptor = atom.descriptor();
        let width = atom.bits();
        if width == 0 {
            return refuse(
                "a width of 0 bits".into(),
                "give it at least 1 bit (an enum needs at least 2 values)",
            );
        }
        let ty = match descriptor.kind {
            TypeKind::Composite(_) if descriptor.name == ClockReset::TYPE_NAME => Ty::ClockReset,
            TypeKind::Bits(_) if descriptor.name == "clock" => {
                return refuse(
                    "rust-hdl's `Clock`".into(),
                    "use cnna_emit::dff::ClockReset, which carries the reset too",
                );
            }
            TypeKind::Bits(_) | TypeKind::Composite(_) => Ty::Bits,
            TypeKind::Signed(_) => {
                return refuse(
                    "a signed signal".into(),
                    "keep control unsigned; signed arithmetic belongs in the SystemVerilog datapath",
                );
            }
            TypeKind::Enum(labels) => Ty::Enum(Rc::new(EnumType {
                name: descriptor.name,
                variants: labels
                    .iter()
                    .map(|l| l.rsplit("::").next().unwrap_or(l).to_owned())
                    .collect(),
                width,
            })),
        };
        if atom.kind() == AtomKind::InOutParameter || atom.kind() == AtomKind::OutputPassthrough {
            return refuse(
                "a bidirectional signal".into(),
                "use one input and one output",
            );
        }
        let hex = if atom.kind() == AtomKind::Constant {
            match literal_hex(&atom.verilog()) {
                Some(hex) => hex,
                None => {
                    return refuse(
                        "a negative constant".into(),
                        "use its two's complement in Bits",
                    );
                }
            }
        } else {
            String::new()
        };
        Ok(AtomInfo {
            key,
            kind: atom.kind(),
            width,
            ty,
            hex,
        })
    }
}

impl Probe for Collector {
    fn visit_start_scope(&mut self, name: &str, node: &dyn Block) {
        let path = match self.stack.last() {
            Some(parent) => format!("{}.{}", parent.path, name.replace('$', ".")),
            None => name.to_owned(),
        };
        self.stack.push(Scope {
            name: name.to_owned(),
            path,
            atoms: vec![],
            children: vec![],
            hdl: node.hdl(),
        });
        self.namespaces.push(vec![]);
    }

    fn visit_start_namespace(&mut self, name: &str, _node: &dyn Block) {
        if let Some(names) = self.namespaces.last_mut() {
            names.push(name.to_owned());
        }
    }

    fn visit_atom(&mut self, name: &str, signal: &dyn Atom) {
        let (Some(scope), Some(names)) = (self.stack.last(), self.namespaces.last()) else {
            return;
        };
        let key = names
            .iter()
            .map(String::as_str)
            .chain([name])
            .collect::<Vec<_>>()
            .join("$");
        match self.atom(scope, key, signal) {
            Ok(atom) => {
                if let Some(scope) = self.stack.last_mut() {
                    scope.atoms.push(atom);
                }
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn visit_end_namespace(&mut self, _name: &str, _node: &dyn Block) {
        if let Some(names) = self.namespaces.last_mut() {
            names.pop();
        }
    }

    fn visit_end_scope(&mut self, _name: &str, _node: &dyn Block) {
        self.namespaces.pop();
        if let Some(done) = self.stack.pop() {
            match self.stack.last_mut() {
                Some(parent) => parent.children.push(done),
                None => self.root = Some(done),
            }
        }
    }
}
