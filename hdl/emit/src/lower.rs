//! From rust-hdl's syntax tree to [`super::ir`]: unrolls loops, looks names up, sizes literals from their context.

use super::error::{EmitError, Place};
use super::ir::{Arm, Expr, Role, Stmt, Table, VarId};
use super::scope::{Scope, literal_hex};
use rust_hdl_core::ast::{
    VerilogBlock, VerilogBlockOrConditional, VerilogConditional, VerilogExpression as Ast,
    VerilogLink, VerilogLoop, VerilogMatch, VerilogStatement,
};

/// An expression whose width may still be open.
pub(super) enum Low {
    Sized(Expr),
    /// A literal without a width of its own, in hexadecimal.
    Literal(String),
}

pub(super) struct Lower<'a> {
    scope: &'a Scope,
    pub(super) table: &'a Table,
    pub(super) loops: Vec<(String, usize)>,
    /// Key of the signal whose assignment is being lowered, for messages.
    target: String,
}

/// Bits that a hexadecimal number needs, at least 1.
pub(super) fn bits_of(hex: &str) -> usize {
    let digits = hex.trim_start_matches('0');
    let first = digits
        .chars()
        .next()
        .and_then(|c| c.to_digit(16))
        .unwrap_or(0);
    let top = (32 - first.leading_zeros()) as usize;
    (digits.len().saturating_sub(1) * 4 + top).max(1)
}

pub(super) fn small(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex, 16).ok()
}

impl<'a> Lower<'a> {
    pub fn new(scope: &'a Scope, table: &'a Table) -> Self {
        Self {
            scope,
            table,
            loops: vec![],
            target: String::new(),
        }
    }

    pub(super) fn here(&self) -> Place {
        self.scope.place(&self.target)
    }

    pub(super) fn refuse<T>(
        &self,
        what: impl Into<String>,
        hint: &'static str,
    ) -> Result<T, EmitError> {
        Err(EmitError::Unsupported {
            at: self.here(),
            what: what.into(),
            hint,
        })
    }

    pub fn block(&mut self, block: &VerilogBlock) -> Result<Vec<Stmt>, EmitError> {
        let mut out = vec![];
        for statement in block {
            self.statement(statement, &mut out)?;
        }
        Ok(out)
    }

    fn statement(
        &mut self,
        statement: &VerilogStatement,
        out: &mut Vec<Stmt>,
    ) -> Result<(), EmitError> {
        match statement {
            VerilogStatement::Assignment(target, value) => self.assignment(target, value, out),
            VerilogStatement::SliceAssignment {
                base,
                width,
                offset,
                replacement,
            } => {
                let target = self.target(base)?;
                let Low::Literal(lo) = self.low(offset)? else {
                    return self.refuse(
                        "a part assignment at a run-time bit",
                        "use replace_bit or a match",
                    );
                };
                let lo = small(&lo).unwrap_or(u64::MAX) as usize;
                let of = self.table.vars[target].width;
                if lo.saturating_add(*width) > of {
                    return Err(EmitError::Width {
                        at: self.here(),
                        what: "part assignment".into(),
                        left: of,
                        right: lo + width,
                    });
                }
                let value = self.sized(replacement, *width)?;
                out.push(Stmt::Assign {
                    target,
                    part: Some((lo, *width)),
                    value,
                });
                Ok(())
            }
            VerilogStatement::If(c) => {
                let stmt = self.conditional(c)?;
                out.push(stmt);
                Ok(())
            }
            VerilogStatement::Match(m) => self.case(m, out),
            VerilogStatement::Loop(l) => self.unroll(l, out),
            // println! and assert!: for the simulator only.
            VerilogStatement::Comment(_) => Ok(()),
            VerilogStatement::Link(links) => {
                for link in links {
                    self.link(link, out)?;
                }
                Ok(())
            }
            VerilogStatement::Macro(block) => {
                out.extend(self.block(block)?);
                Ok(())
            }
        }
    }

    fn link(&mut self, link: &VerilogLink, out: &mut Vec<Stmt>) -> Result<(), EmitError> {
        let (details, forward) = match link {
            VerilogLink::Forward(d) => (d, true),
            VerilogLink::Backward(d) => (d, false),
            VerilogLink::Bidirectional(d) => {
                self.target = d.owner_name.clone();
                return self.refuse("a bidirectional link", "use one input and one output");
            }
        };
        let key = |end: &str| match details.my_name.trim_start_matches('.') {
            "" => end.to_owned(),
            field => format!("{end}${}", field.replace('.', "$")),
        };
        let (owner, other) = (
            Ast::Signal(key(&details.owner_name)),
            Ast::Signal(key(&details.other_name)),
        );
        if forward {
            self.assignment(&other, &owner, out)
        } else {
            self.assignment(&owner, &other, out)
        }
    }

    fn unroll(&mut self, l: &VerilogLoop, out: &mut Vec<Stmt>) -> Result<(), EmitError> {
        // Through the text: rust-hdl's own conversion panics on large bounds.
        let bound = |l| {
            literal_hex(l)
                .and_then(|hex| small(&hex))
                .map(|v| v as usize)
        };
        let (Some(from), Some(to)) = (bound(&l.from), bound(&l.to)) else {
            return self.refuse("these loop bounds", "use a range of small integers");
        };
        for i in from..to {
            self.loops.push((l.index.clone(), i));
            let body = self.block(&l.block);
            self.loops.pop();
            out.extend(body?);
        }
        Ok(())
    }

    fn assignment(
        &mut self,
        target: &Ast,
        value: &Ast,
        out: &mut Vec<Stmt>,
    ) -> Result<(), EmitError> {
        if let Some(key) = self.key_of(target)? {
            self.target.clone_from(&key);
            if let Some(&(clk, rst)) = self.table.clocks.get(&key) {
                let from = match self.key_of(value)? {
                    Some(from) => self.table.clocks.get(&from).copied(),
                    None => None,
                };
                let Some((from_clk, from_rst)) = from else {
                    return self.refuse(
                        "a clock computed by logic",
                        "pass a ClockReset signal on unchanged; gate with an enable",
                    );
                };
                for (target, from) in [(clk, from_clk), (rst, from_rst)] {
                    self.check_driven(target)?;
                    if self.table.vars[target].role != Role::Absent {
                        out.push(Stmt::Assign {
                            target,
                            part: None,
                            value: Expr::Var(from),
                        });
                    }
                }
                return Ok(());
            }
        }
        let target = self.target(target)?;
        let value = self.sized(value, self.table.vars[target].width)?;
        if self.table.vars[target].role != Role::Absent {
            out.push(Stmt::Assign {
                target,
                part: None,
                value,
            });
        }
        Ok(())
    }

    fn check_driven(&self, id: VarId) -> Result<(), EmitError> {
        let var = &self.table.vars[id];
        if var.driven_here() || var.role == Role::Absent {
            Ok(())
        } else {
            Err(EmitError::WriteToInput { at: self.here() })
        }
    }

    fn target(&mut self, target: &Ast) -> Result<VarId, EmitError> {
        let Some(key) = self.key_of(target)? else {
            return self.refuse(
                "an assignment to an expression",
                "assign to `.next` of a signal",
            );
        };
        self.target.clone_from(&key);
        let id = self.lookup(&key)?;
        self.check_driven(id)?;
        Ok(id)
    }

    fn conditional(&mut self, c: &VerilogConditional) -> Result<Stmt, EmitError> {
        let cond = self.sized(&c.test, 1)?;
        let then = self.block(&c.then)?;
        let mut otherwise = vec![];
        match &c.otherwise {
            VerilogBlockOrConditional::Block(b) => otherwise = self.block(b)?,
            VerilogBlockOrConditional::Conditional(s) => self.statement(s, &mut otherwise)?,
            VerilogBlockOrConditional::None => {}
        }
        Ok(Stmt::If {
            cond,
            then,
            otherwise,
        })
    }

    fn case(&mut self, m: &VerilogMatch, out: &mut Vec<Stmt>) -> Result<(), EmitError> {
        let subject = self.any_sized(&m.test)?;
        let width = self.table.width(&subject);
        let mut arms: Vec<Arm> = vec![];
        for case in &m.cases {
            let pattern = self.pattern(&case.condition, width)?;
            let body = self.block(&case.block)?;
            let is_default = pattern.is_none();
            arms.push(Arm {
                pattern,
                last_of_full: false,
                body,
            });
            if is_default {
                break;
            }
        }
        let covered = match arms.iter().find_map(|a| a.pattern.as_ref()) {
            Some(Expr::Label { of, .. }) => arms.len() >= of.variants.len(),
            _ => width < 32 && arms.len() >= 1 << width,
        };
        if let Some(last) = arms.last_mut() {
            last.last_of_full = covered && last.pattern.is_some();
        }
        out.push(Stmt::Case { subject, arms });
        Ok(())
    }

    /// rust-hdl gives a pattern as text: an enum path, a literal, `default`, or a name that it cannot resolve.
    fn pattern(&self, text: &str, width: usize) -> Result<Option<Expr>, EmitError> {
        if text == "default" {
            return Ok(None);
        }
        if let Some(label) = self.label(text) {
            return Ok(Some(label));
        }
        let plain = text.replace('_', "");
        let digits = plain
            .trim_end_matches("usize")
            .trim_end_matches("u64")
            .trim_end_matches("u32");
        let value = match digits {
            "true" => Some(1),
            "false" => Some(0),
            d => match (d.strip_prefix("0x"), d.strip_prefix("0b")) {
                (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
                (_, Some(bin)) => u64::from_str_radix(bin, 2).ok(),
                _ => d.parse().ok(),
            },
        };
        match value {
            Some(value) => self.literal(&format!("{value:x}"), width).map(Some),
            None => Err(EmitError::Unsupported {
                at: self.here(),
                what: format!("the match pattern `{}`", text.replace('$', "::")),
                hint: "match on enum values or integer literals, or compare with `Constant` fields in an if chain",
            }),
        }
    }

    pub(super) fn label(&self, text: &str) -> Option<Expr> {
        let mut parts = text.rsplit('$');
        let (variant, name) = (parts.next()?, parts.next()?);
        let of = self.table.enums.iter().find(|e| e.name == name)?;
        let variant = of.variants.iter().position(|v| v == variant)?;
        Some(Expr::Label {
            of: of.clone(),
            variant,
        })
    }

    pub(super) fn literal(&self, hex: &str, width: usize) -> Result<Expr, EmitError> {
        if bits_of(hex) > width {
            return Err(EmitError::LiteralTooWide {
                at: self.here(),
                literal: hex.into(),
                width,
            });
        }
        Ok(Expr::Lit {
            hex: hex.into(),
            width,
        })
    }

    pub(super) fn lookup(&self, key: &str) -> Result<VarId, EmitError> {
        self.table
            .by_key
            .get(key)
            .copied()
            .ok_or_else(|| EmitError::UnknownName {
                at: self.here(),
                name: key.replace('$', "."),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_hexadecimal_number() {
        for (hex, bits) in [
            ("0", 1),
            ("1", 1),
            ("7", 3),
            ("8", 4),
            ("10", 5),
            ("fff", 12),
            ("ffffffff", 32),
        ] {
            assert_eq!(bits_of(hex), bits, "{hex}");
        }
    }
}
