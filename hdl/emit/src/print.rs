//! Text of expressions and statements. Every operand already has its exact width, so nothing grows or shrinks silently.

use super::ir::{Bin, Expr, Reduce, Stmt, Table, VarId};
use super::names::{enum_label, enum_type};

/// Spaces of one indentation step.
const STEP: &str = "  ";

/// A sized literal: one bit as `1'b0`, below 256 in decimal, above in hexadecimal.
pub(super) fn literal(hex: &str, width: usize) -> String {
    match u64::from_str_radix(hex, 16) {
        Ok(value) if width == 1 => format!("1'b{value}"),
        Ok(value) if value < 256 => format!("{width}'d{value}"),
        _ => format!("{width}'h{hex}"),
    }
}

/// A shift amount in decimal.
fn amount(hex: &str) -> String {
    u64::from_str_radix(hex, 16).map_or_else(|_| format!("'h{hex}"), |v| v.to_string())
}

/// Breaks lines of more than 120 columns behind an operator or a comma; comments are left alone.
pub(super) fn wrap(text: &str) -> String {
    const WIDTH: usize = 120;
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let continued = " ".repeat(indent + 4);
        let mut rest = line.to_owned();
        while rest.len() > WIDTH && !rest.trim_start().starts_with("//") {
            let breaks = [" | ", " & ", " ^ ", " + ", " - ", " || ", " && ", ", "];
            let fits = &rest[..WIDTH - 1];
            let at = breaks
                .iter()
                .filter_map(|b| fits.rfind(b).map(|i| i + b.len() - 1))
                .max();
            let Some(at) = at.filter(|at| *at > indent + 4) else {
                break;
            };
            out.push_str(&rest[..at]);
            out.push('\n');
            rest = format!("{continued}{}", &rest[at + 1..]);
        }
        out.push_str(&rest);
        out.push('\n');
    }
    out
}

/// `[hi:lo]`, or nothing for the whole of a variable of `of` bits.
pub(super) fn select(lo: usize, width: usize, of: usize) -> String {
    match (lo, width) {
        (0, w) if w == of => String::new(),
        (lo, 1) => format!("[{lo}]"),
        (lo, w) => format!("[{}:{lo}]", lo + w - 1),
    }
}

/// The declared range of a width: `[7:0] `, or nothing for one bit.
pub(super) fn range(width: usize) -> String {
    if width == 1 {
        String::new()
    } else {
        format!("[{}:0] ", width - 1)
    }
}

/// Text of `from` bits as `to` bits. Widening is a concatenation, whose operands keep their own width: Verilator 5.006 lets
/// the width of `16'(a + b)` reach into the sum, and the carry with it.
fn resized(text: (String, bool), from: usize, to: usize) -> (String, bool) {
    match to.cmp(&from) {
        std::cmp::Ordering::Equal => text,
        std::cmp::Ordering::Less => (format!("{to}'({})", text.0), true),
        std::cmp::Ordering::Greater => {
            (format!("{{{}, {}}}", literal("0", to - from), text.0), true)
        }
    }
}

pub(super) struct Printer<'a> {
    pub table: &'a Table,
}

impl Printer<'_> {
    pub fn name(&self, id: VarId) -> &str {
        &self.table.vars[id].name
    }

    /// An expression; the second value tells whether it can be an operand without parentheses.
    fn parts(&self, e: &Expr) -> (String, bool) {
        match e {
            Expr::Var(id) => (self.name(*id).to_owned(), true),
            Expr::Lit { hex, width } => (literal(hex, *width), true),
            Expr::Label { of, variant } => (enum_label(of, *variant), true),
            Expr::Not(e) => {
                let op = if self.table.width(e) == 1 { '!' } else { '~' };
                (format!("{op}{}", self.operand(e)), true)
            }
            Expr::Reduce(op, e) => {
                let op = match op {
                    Reduce::All => '&',
                    Reduce::Any => '|',
                    Reduce::Xor => '^',
                };
                // Parenthesised: `a & &b` would read badly.
                (format!("({op}{})", self.operand(e)), true)
            }
            Expr::Bin(op, l, r) => (self.binary(*op, l, r), false),
            Expr::Slice { base, lo, width } => self.slice(base, *lo, *width),
            Expr::DynSlice { base, at, width } => {
                let shifted = format!("{} >> {}", self.operand(base), self.operand(at));
                resized((shifted, false), self.table.width(base), *width)
            }
            Expr::Resize { base, width } => match **base {
                Expr::Var(id) if *width < self.table.vars[id].width => self.slice(base, 0, *width),
                _ => resized(self.parts(base), self.table.width(base), *width),
            },
            Expr::ReplaceBit { base, at, bit } => {
                let width = self.table.width(base);
                let base = self.operand(base);
                let at = match &**at {
                    Expr::Lit { hex, .. } => amount(hex),
                    at => self.operand(at),
                };
                let bit = resized(self.parts(bit), 1, width);
                let bit = if bit.1 { bit.0 } else { format!("({})", bit.0) };
                let one = literal("1", width);
                (
                    format!("({base} & ~({one} << {at})) | ({bit} << {at})"),
                    false,
                )
            }
        }
    }

    fn slice(&self, base: &Expr, lo: usize, width: usize) -> (String, bool) {
        let of = self.table.width(base);
        match base {
            Expr::Var(id) if lo + width <= of => {
                (format!("{}{}", self.name(*id), select(lo, width, of)), true)
            }
            _ if lo == 0 => resized(self.parts(base), of, width),
            _ => resized(
                (format!("{} >> {lo}", self.operand(base)), false),
                of,
                width,
            ),
        }
    }

    fn binary(&self, op: Bin, l: &Expr, r: &Expr) -> String {
        let (Bin::Same(text) | Bin::Compare(text) | Bin::Logical(text) | Bin::Shift(text)) = op;
        let side = |e: &Expr, is_left: bool| match e {
            Expr::Bin(inner, ..) => {
                let chain = is_left && *inner == op && !matches!(op, Bin::Compare(_));
                let plain =
                    chain || (matches!(op, Bin::Logical(_)) && matches!(inner, Bin::Compare(_)));
                if plain {
                    self.expr(e)
                } else {
                    format!("({})", self.expr(e))
                }
            }
            _ => self.operand(e),
        };
        // An amount needs no width of its own.
        let right = match (op, r) {
            (Bin::Shift(_), Expr::Lit { hex, .. }) => amount(hex),
            _ => side(r, false),
        };
        format!("{} {text} {right}", side(l, true))
    }

    pub fn expr(&self, e: &Expr) -> String {
        self.parts(e).0
    }

    fn operand(&self, e: &Expr) -> String {
        match self.parts(e) {
            (text, true) => text,
            (text, false) => format!("({text})"),
        }
    }

    /// A value as assigned to `target`, cast where an enum-typed variable takes plain bits.
    pub fn value_for(&self, target: VarId, value: &Expr) -> String {
        let var = &self.table.vars[target];
        let same_enum = match value {
            Expr::Label { .. } => true,
            Expr::Var(id) => self.table.vars[*id].enum_decl,
            _ => false,
        };
        match &var.enum_ty {
            Some(e) if var.enum_decl && !same_enum => {
                format!("{}'({})", enum_type(e), self.expr(value))
            }
            _ => self.expr(value),
        }
    }

    /// `target = value`, without the semicolon.
    pub fn assign(&self, target: VarId, part: Option<(usize, usize)>, value: &Expr) -> String {
        let var = &self.table.vars[target];
        let at = part.map_or(String::new(), |(lo, width)| select(lo, width, var.width));
        format!("{}{at} = {}", var.name, self.value_for(target, value))
    }

    pub fn statements(&self, stmts: &[Stmt], depth: usize, out: &mut String) {
        stmts.iter().for_each(|s| self.statement(s, depth, out));
    }

    fn line(&self, depth: usize, text: &str, out: &mut String) {
        out.push_str(&STEP.repeat(depth));
        out.push_str(text);
        out.push('\n');
    }

    fn statement(&self, stmt: &Stmt, depth: usize, out: &mut String) {
        match stmt {
            Stmt::Assign {
                target,
                part,
                value,
            } => {
                self.line(
                    depth,
                    &format!("{};", self.assign(*target, *part, value)),
                    out,
                );
            }
            Stmt::If { .. } => {
                let mut stmt = stmt;
                let mut opening = String::new();
                while let Stmt::If {
                    cond,
                    then,
                    otherwise,
                } = stmt
                {
                    self.line(
                        depth,
                        &format!("{opening}if ({}) begin", self.expr(cond)),
                        out,
                    );
                    self.statements(then, depth + 1, out);
                    match otherwise.as_slice() {
                        [] => break,
                        [next @ Stmt::If { .. }] => {
                            stmt = next;
                            opening = "end else ".into();
                        }
                        body => {
                            self.line(depth, "end else begin", out);
                            self.statements(body, depth + 1, out);
                            break;
                        }
                    }
                }
                self.line(depth, "end", out);
            }
            Stmt::Case { subject, arms } => {
                self.line(depth, &format!("unique case ({})", self.expr(subject)), out);
                for arm in arms {
                    let label = match &arm.pattern {
                        None => "default".to_owned(),
                        // The last of a complete set also catches encodings that have no name.
                        Some(p) if arm.last_of_full => format!("default /* {} */", self.expr(p)),
                        Some(p) => self.expr(p),
                    };
                    if arm.body.is_empty() {
                        self.line(depth + 1, &format!("{label}: ;"), out);
                    } else {
                        self.line(depth + 1, &format!("{label}: begin"), out);
                        self.statements(&arm.body, depth + 2, out);
                        self.line(depth + 1, "end", out);
                    }
                }
                if !arms.iter().any(|a| a.pattern.is_none() || a.last_of_full) {
                    self.line(depth + 1, "default: ;", out);
                }
                self.line(depth, "endcase", out);
            }
        }
    }
}
