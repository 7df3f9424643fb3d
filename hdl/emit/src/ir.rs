//! The back end's own form of a block: resolved variables, and expressions whose width is always known.
//!
//! rust-hdl's syntax tree has names and unsized literals; everything here has been looked up and sized, so printing cannot go wrong.

use super::scope::{EnumType, Ty};
use std::rc::Rc;

/// Index into [`Table::vars`].
pub(super) type VarId = usize;

/// What a variable is to the block that it is seen from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Input port of this block.
    In,
    /// Output port of this block.
    Out,
    /// Local signal.
    Local,
    /// Constant with its value in hexadecimal.
    Const(String),
    /// Input port of a child instance, by index of the instance.
    ChildIn(usize),
    /// Output port of a child instance.
    ChildOut(usize),
    /// Next value, or clock or reset, of a register, by index of the register.
    RegIn(usize),
    /// Value of a register.
    RegOut(usize),
    /// A port that the child does not have in the emitted text (an unused reset): assignments to it vanish.
    Absent,
}

/// One signal.
#[derive(Debug)]
pub(super) struct Var {
    /// rust-hdl's name, levels joined by `$`.
    pub key: String,
    /// Name in the emitted text.
    pub name: String,
    pub width: usize,
    pub role: Role,
    /// Its enum, if it has one.
    pub enum_ty: Option<Rc<EnumType>>,
    /// Declared with the enum type rather than as plain logic.
    pub enum_decl: bool,
}

impl Var {
    /// True if the kernel has to drive it.
    pub fn driven_here(&self) -> bool {
        matches!(
            self.role,
            Role::Out | Role::Local | Role::ChildIn(_) | Role::RegIn(_)
        )
    }

    /// True if reading it gives the settled value of the last pass in rust-hdl (`val`), not the running one (`next`).
    pub fn reads_settled(&self) -> bool {
        matches!(self.role, Role::ChildIn(_) | Role::RegIn(_))
    }
}

/// Reduction operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduce {
    All,
    Any,
    Xor,
}

/// Binary operators, by how their widths behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bin {
    /// Both sides and the result have one width.
    Same(&'static str),
    /// Both sides have one width, the result is one bit.
    Compare(&'static str),
    /// Both sides are one bit.
    Logical(&'static str),
    /// The left side gives the width, the right side is an amount of any width.
    Shift(&'static str),
}

/// An expression.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Var(VarId),
    Lit {
        hex: String,
        width: usize,
    },
    Label {
        of: Rc<EnumType>,
        variant: usize,
    },
    Not(Box<Expr>),
    Reduce(Reduce, Box<Expr>),
    Bin(Bin, Box<Expr>, Box<Expr>),
    /// `width` bits from bit `lo`; bits beyond the base are 0.
    Slice {
        base: Box<Expr>,
        lo: usize,
        width: usize,
    },
    /// `width` bits from a bit known at run time; bits beyond the base are 0.
    DynSlice {
        base: Box<Expr>,
        at: Box<Expr>,
        width: usize,
    },
    /// Zero-extended or truncated.
    Resize {
        base: Box<Expr>,
        width: usize,
    },
    /// `base` with one bit replaced.
    ReplaceBit {
        base: Box<Expr>,
        at: Box<Expr>,
        bit: Box<Expr>,
    },
}

/// A statement of the kernel, loops unrolled.
#[derive(Debug, Clone)]
pub(super) enum Stmt {
    Assign {
        target: VarId,
        part: Option<(usize, usize)>,
        value: Expr,
    },
    If {
        cond: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    Case {
        subject: Expr,
        arms: Vec<Arm>,
    },
}

/// One arm of a `case`.
#[derive(Debug, Clone)]
pub(super) struct Arm {
    /// `None`: the default arm.
    pub pattern: Option<Expr>,
    /// This arm stands for the default too, because the arms cover every value of the type.
    pub last_of_full: bool,
    pub body: Vec<Stmt>,
}

/// Variables of one block.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub vars: Vec<Var>,
    pub by_key: std::collections::HashMap<String, VarId>,
    /// `ClockReset` signals: key to its clock and its reset.
    pub clocks: std::collections::HashMap<String, (VarId, VarId)>,
    pub enums: Vec<Rc<EnumType>>,
}

impl Table {
    /// Adds a variable under `key`.
    pub fn add(&mut self, key: String, name: String, width: usize, role: Role, ty: &Ty) -> VarId {
        let enum_ty = match ty {
            Ty::Enum(e) => Some(self.intern(e)),
            _ => None,
        };
        let enum_decl =
            enum_ty.is_some() && matches!(role, Role::Local | Role::RegIn(_) | Role::RegOut(_));
        let id = self.vars.len();
        self.by_key.insert(key.clone(), id);
        self.vars.push(Var {
            key,
            name,
            width,
            role,
            enum_ty,
            enum_decl,
        });
        id
    }

    fn intern(&mut self, e: &Rc<EnumType>) -> Rc<EnumType> {
        if let Some(known) = self.enums.iter().find(|k| ***k == **e) {
            return known.clone();
        }
        self.enums.push(e.clone());
        e.clone()
    }

    /// Width of an expression in bits.
    pub fn width(&self, e: &Expr) -> usize {
        match e {
            Expr::Var(id) => self.vars[*id].width,
            Expr::Lit { width, .. }
            | Expr::Slice { width, .. }
            | Expr::DynSlice { width, .. }
            | Expr::Resize { width, .. } => *width,
            Expr::Label { of, .. } => of.width,
            Expr::Not(e) => self.width(e),
            Expr::Reduce(..) | Expr::Bin(Bin::Compare(_) | Bin::Logical(_), ..) => 1,
            Expr::Bin(_, l, _) => self.width(l),
            Expr::ReplaceBit { base, .. } => self.width(base),
        }
    }
}

impl Expr {
    /// Calls `f` with every variable read and the bits of it, `None` for all of them.
    pub fn reads(&self, f: &mut dyn FnMut(VarId, Option<(usize, usize)>)) {
        match self {
            Expr::Var(id) => f(*id, None),
            Expr::Lit { .. } | Expr::Label { .. } => {}
            Expr::Slice { base, lo, width } => match **base {
                Expr::Var(id) => f(id, Some((*lo, *width))),
                _ => base.reads(f),
            },
            // A truncation reads the low bits; a widening reads past the end, which the caller clips.
            Expr::Resize { base, width } => match **base {
                Expr::Var(id) => f(id, Some((0, *width))),
                _ => base.reads(f),
            },
            Expr::Not(e) | Expr::Reduce(_, e) => e.reads(f),
            Expr::Bin(_, l, r) => {
                l.reads(f);
                r.reads(f);
            }
            Expr::DynSlice { base, at, .. } => {
                base.reads(f);
                at.reads(f);
            }
            Expr::ReplaceBit { base, at, bit } => {
                base.reads(f);
                at.reads(f);
                bit.reads(f);
            }
        }
    }
}

impl Stmt {
    /// Calls `f` with every variable assigned.
    pub fn writes(&self, f: &mut dyn FnMut(VarId)) {
        match self {
            Stmt::Assign { target, .. } => f(*target),
            Stmt::If {
                then, otherwise, ..
            } => then.iter().chain(otherwise).for_each(|s| s.writes(f)),
            Stmt::Case { arms, .. } => arms.iter().flat_map(|a| &a.body).for_each(|s| s.writes(f)),
        }
    }

    /// Calls `f` with every variable read and the bits of it.
    pub fn reads(&self, f: &mut dyn FnMut(VarId, Option<(usize, usize)>)) {
        match self {
            Stmt::Assign { value, .. } => value.reads(f),
            Stmt::If {
                cond,
                then,
                otherwise,
            } => {
                cond.reads(f);
                then.iter().chain(otherwise).for_each(|s| s.reads(f));
            }
            Stmt::Case { subject, arms } => {
                subject.reads(f);
                arms.iter().flat_map(|a| &a.body).for_each(|s| s.reads(f));
            }
        }
    }
}
