//! Expressions: widths worked out from the operands, literals sized by what they meet.

use super::error::EmitError;
use super::ir::{Bin, Expr, Reduce, Role};
use super::lower::{Low, Lower, bits_of, small};
use super::scope::literal_hex;
use rust_hdl_core::ast::{VerilogExpression as Ast, VerilogOp, VerilogOpUnary};

const CONST_HINT: &str = "put the value into a `Constant` field or write a literal";

impl Lower<'_> {
    /// Lowers to exactly `width` bits: literals take the width, anything else must have it.
    pub(super) fn sized(&mut self, e: &Ast, width: usize) -> Result<Expr, EmitError> {
        match self.low(e)? {
            Low::Literal(hex) => self.literal(&hex, width),
            Low::Sized(e) => {
                let found = self.table.width(&e);
                if found == width {
                    Ok(e)
                } else {
                    Err(EmitError::Width {
                        at: self.here(),
                        what: "assignment".into(),
                        left: width,
                        right: found,
                    })
                }
            }
        }
    }

    pub(super) fn any_sized(&mut self, e: &Ast) -> Result<Expr, EmitError> {
        match self.low(e)? {
            Low::Sized(e) => Ok(e),
            Low::Literal(_) => self.refuse("an expression of literals alone", CONST_HINT),
        }
    }

    pub(super) fn low(&mut self, e: &Ast) -> Result<Low, EmitError> {
        let sized = match e {
            Ast::Paren(e) => return self.low(e),
            Ast::Literal(l) => {
                return match literal_hex(l) {
                    Some(hex) => Ok(Low::Literal(hex)),
                    None => self.refuse("a negative literal", "write its two's complement"),
                };
            }
            Ast::Signal(_) => return self.signal(e),
            Ast::Cast(e, width) => match self.low(e)? {
                Low::Literal(hex) => self.literal(&hex, *width)?,
                Low::Sized(e) if self.table.width(&e) == *width => e,
                Low::Sized(e) => Expr::Resize {
                    base: Box::new(e),
                    width: *width,
                },
            },
            Ast::Signed(_) | Ast::Unsigned(_) => {
                return self.refuse(
                    "a signed cast",
                    "signed arithmetic belongs in the SystemVerilog datapath",
                );
            }
            Ast::Unary(op, e) => {
                let e = Box::new(self.any_sized(e)?);
                match op {
                    VerilogOpUnary::Not => Expr::Not(e),
                    VerilogOpUnary::Neg => return self.refuse("negation", "subtract from zero"),
                    VerilogOpUnary::All => Expr::Reduce(Reduce::All, e),
                    VerilogOpUnary::Any => Expr::Reduce(Reduce::Any, e),
                    VerilogOpUnary::Xor => Expr::Reduce(Reduce::Xor, e),
                }
            }
            Ast::Binary(l, op, r) => return self.binary(l, op, r),
            Ast::Index(base, at) => return self.slice(base, at, 1),
            Ast::Slice(base, width, at) => {
                if let Some(clock) = self
                    .key_of(base)?
                    .and_then(|k| self.table.clocks.get(&k).copied())
                {
                    return match self.low(at)? {
                        Low::Literal(at) if at == "0" => {
                            self.refuse("reading a clock as data", "use registers")
                        }
                        _ => Ok(Low::Sized(Expr::Var(clock.1))),
                    };
                }
                return self.slice(base, at, *width);
            }
            Ast::IndexReplace(base, at, bit) => {
                let base = self.any_sized(base)?;
                let at = match self.low(at)? {
                    Low::Sized(at) => at,
                    Low::Literal(hex) => {
                        if small(&hex).is_none_or(|at| at >= self.table.width(&base) as u64) {
                            return self.refuse(
                                "replace_bit outside the signal",
                                "use a bit below the width",
                            );
                        }
                        Expr::Lit {
                            width: bits_of(&hex),
                            hex,
                        }
                    }
                };
                let bit = self.sized(bit, 1)?;
                Expr::ReplaceBit {
                    base: Box::new(base),
                    at: Box::new(at),
                    bit: Box::new(bit),
                }
            }
        };
        Ok(Low::Sized(sized))
    }

    fn slice(&mut self, base: &Ast, at: &Ast, width: usize) -> Result<Low, EmitError> {
        let base = self.any_sized(base)?;
        let of = self.table.width(&base);
        Ok(Low::Sized(match self.low(at)? {
            Low::Sized(at) => Expr::DynSlice {
                base: Box::new(base),
                at: Box::new(at),
                width,
            },
            Low::Literal(lo) => match small(&lo) {
                Some(lo) if (lo as usize) < of => Expr::Slice {
                    base: Box::new(base),
                    lo: lo as usize,
                    width,
                },
                _ => return self.refuse("a slice outside the signal", "use bits below the width"),
            },
        }))
    }

    fn binary(&mut self, l: &Ast, op: &VerilogOp, r: &Ast) -> Result<Low, EmitError> {
        let kind = match op {
            VerilogOp::Add => Bin::Same("+"),
            VerilogOp::Sub => Bin::Same("-"),
            VerilogOp::BitAnd => Bin::Same("&"),
            VerilogOp::BitOr => Bin::Same("|"),
            VerilogOp::BitXor => Bin::Same("^"),
            VerilogOp::LogicalAnd => Bin::Logical("&&"),
            VerilogOp::LogicalOr => Bin::Logical("||"),
            VerilogOp::Eq => Bin::Compare("=="),
            VerilogOp::Ne => Bin::Compare("!="),
            VerilogOp::Lt => Bin::Compare("<"),
            VerilogOp::Le => Bin::Compare("<="),
            VerilogOp::Gt => Bin::Compare(">"),
            VerilogOp::Ge => Bin::Compare(">="),
            VerilogOp::Shl => Bin::Shift("<<"),
            VerilogOp::Shr => Bin::Shift(">>"),
            VerilogOp::Mul => {
                return match (self.low(l)?, self.low(r)?) {
                    (Low::Literal(l), Low::Literal(r)) => self.fold(op, &l, &r),
                    _ => self.refuse(
                        "multiplication",
                        "instantiate a multiplier from the datapath",
                    ),
                };
            }
        };
        let (left, right) = (self.low(l)?, self.low(r)?);
        let (left, right) = match (kind, left, right) {
            (Bin::Shift(_), Low::Sized(l), Low::Literal(hex)) => {
                let width = bits_of(&hex);
                (l, Expr::Lit { hex, width })
            }
            (Bin::Shift(_), Low::Literal(_), _) => {
                return self.refuse("a shifted literal", CONST_HINT);
            }
            (_, Low::Sized(l), Low::Sized(r)) => (l, r),
            (_, Low::Sized(l), Low::Literal(hex)) => {
                let r = self.literal(&hex, self.table.width(&l))?;
                (l, r)
            }
            (_, Low::Literal(hex), Low::Sized(r)) => (self.literal(&hex, self.table.width(&r))?, r),
            (_, Low::Literal(l), Low::Literal(r)) => return self.fold(op, &l, &r),
        };
        let (wl, wr) = (self.table.width(&left), self.table.width(&right));
        // rust-hdl adds a bit to a vector: the one operator with unequal widths.
        let right = if matches!(op, VerilogOp::Add) && wr == 1 && wl > 1 {
            Expr::Resize {
                base: Box::new(right),
                width: wl,
            }
        } else {
            right
        };
        let wr = self.table.width(&right);
        if !matches!(kind, Bin::Shift(_)) && wl != wr {
            return Err(EmitError::Width {
                at: self.here(),
                what: format!("operator {op:?}"),
                left: wl,
                right: wr,
            });
        }
        if matches!(kind, Bin::Logical(_)) && wl != 1 {
            return self.refuse(
                "a logical operator on more than one bit",
                "compare with zero first",
            );
        }
        Ok(Low::Sized(Expr::Bin(kind, Box::new(left), Box::new(right))))
    }

    /// Arithmetic of loop variables and literals.
    fn fold(&self, op: &VerilogOp, l: &str, r: &str) -> Result<Low, EmitError> {
        let value = match (small(l), small(r), op) {
            (Some(l), Some(r), VerilogOp::Add) => l.checked_add(r),
            (Some(l), Some(r), VerilogOp::Sub) => l.checked_sub(r),
            (Some(l), Some(r), VerilogOp::Mul) => l.checked_mul(r),
            _ => None,
        };
        match value {
            Some(value) => Ok(Low::Literal(format!("{value:x}"))),
            None => self.refuse("an expression of literals alone", CONST_HINT),
        }
    }

    fn signal(&mut self, e: &Ast) -> Result<Low, EmitError> {
        let Some(key) = self.key_of(e)? else {
            return self.refuse("this expression", CONST_HINT);
        };
        if let Some((_, value)) = self.loops.iter().rev().find(|(name, _)| *name == key) {
            return Ok(Low::Literal(format!("{value:x}")));
        }
        if let Some(label) = self.label(&key) {
            return Ok(Low::Sized(label));
        }
        if self.table.clocks.contains_key(&key) {
            return self.refuse(
                "reading a clock as data",
                "read its reset as `.val().rst`, or use registers",
            );
        }
        let id = self.lookup(&key)?;
        if self.table.vars[id].role == Role::Absent {
            return self.refuse(
                "reading a child's unused port",
                "read the signal that drives it",
            );
        }
        Ok(Low::Sized(Expr::Var(id)))
    }
}
