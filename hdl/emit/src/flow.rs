//! Checks that the kernel is combinational, and splits it into independent pieces.
//!
//! rust-hdl lets a kernel read a signal before it is written, or leave it unwritten on some path; its simulator then keeps
//! the old value. Both are refused here, since the emitted `always_comb` would be a latch or would disagree.

use super::error::EmitError;
use super::ir::{Expr, Role, Stmt, Table, VarId};
use super::scope::Scope;
use std::collections::{HashMap, HashSet};

type Covered = HashMap<VarId, Vec<bool>>;

struct Checker<'a> {
    scope: &'a Scope,
    table: &'a Table,
    written: HashSet<VarId>,
    /// Child inputs and next values already read, each with the signal that read it.
    settled_reads: HashMap<VarId, VarId>,
    target: VarId,
}

/// Refuses latches, undriven signals and reads of unsettled values.
pub(super) fn check(scope: &Scope, table: &Table, stmts: &[Stmt]) -> Result<(), EmitError> {
    let mut written = HashSet::new();
    stmts.iter().for_each(|s| {
        s.writes(&mut |id| {
            written.insert(id);
        })
    });
    let mut checker = Checker {
        scope,
        table,
        written,
        settled_reads: HashMap::new(),
        target: 0,
    };
    let mut covered = Covered::new();
    checker.walk(stmts, &mut covered)?;
    for (id, var) in table
        .vars
        .iter()
        .enumerate()
        .filter(|(_, v)| v.driven_here())
    {
        let complete = covered.get(&id).is_some_and(|bits| bits.iter().all(|b| *b));
        if checker.written.contains(&id) {
            if !complete {
                return Err(EmitError::Latch {
                    at: scope.place(&var.key),
                });
            }
        } else {
            return Err(EmitError::Undriven {
                at: scope.place(&var.key),
            });
        }
    }
    Ok(())
}

impl Checker<'_> {
    fn read(&mut self, e: &Expr, covered: &Covered) -> Result<(), EmitError> {
        let mut found = vec![];
        e.reads(&mut |id, part| found.push((id, part)));
        for (id, part) in found {
            let var = &self.table.vars[id];
            if !var.driven_here() {
                continue;
            }
            if !self.written.contains(&id) {
                return Err(EmitError::Undriven {
                    at: self.scope.place(&var.key),
                });
            }
            let (lo, width) = part.unwrap_or((0, var.width));
            let known = covered
                .get(&id)
                .is_some_and(|bits| bits.iter().skip(lo).take(width).all(|b| *b));
            if !known {
                return Err(self.early(id, self.target));
            }
            if var.reads_settled() {
                self.settled_reads.insert(id, self.target);
            }
        }
        Ok(())
    }

    fn early(&self, read: VarId, by: VarId) -> EmitError {
        let vars = &self.table.vars;
        EmitError::ReadBeforeWrite {
            at: self.scope.place(&vars[by].key),
            name: vars[read].key.replace('$', "."),
        }
    }

    fn walk(&mut self, stmts: &[Stmt], covered: &mut Covered) -> Result<(), EmitError> {
        for stmt in stmts {
            // A condition belongs to the first signal that it decides about.
            let mut first = None;
            stmt.writes(&mut |id| {
                first.get_or_insert(id);
            });
            self.target = first.unwrap_or(self.target);
            match stmt {
                Stmt::Assign {
                    target,
                    part,
                    value,
                } => {
                    self.read(value, covered)?;
                    if let Some(by) = self.settled_reads.get(target) {
                        return Err(self.early(*target, *by));
                    }
                    let width = self.table.vars[*target].width;
                    let (lo, n) = part.unwrap_or((0, width));
                    let bits = covered.entry(*target).or_insert_with(|| vec![false; width]);
                    bits.iter_mut().skip(lo).take(n).for_each(|b| *b = true);
                }
                Stmt::If {
                    cond,
                    then,
                    otherwise,
                } => {
                    self.read(cond, covered)?;
                    let mut other = covered.clone();
                    self.walk(then, covered)?;
                    self.walk(otherwise, &mut other)?;
                    meet(covered, &other);
                }
                Stmt::Case { subject, arms } => {
                    self.read(subject, covered)?;
                    let before = covered.clone();
                    let full = arms.iter().any(|a| a.pattern.is_none() || a.last_of_full);
                    let mut ends = vec![];
                    for arm in arms {
                        let mut end = before.clone();
                        self.walk(&arm.body, &mut end)?;
                        ends.push(end);
                    }
                    if !full {
                        ends.push(before);
                    }
                    if let Some(first) = ends.pop() {
                        *covered = first;
                    }
                    ends.iter().for_each(|end| meet(covered, end));
                }
            }
        }
        Ok(())
    }
}

/// Keeps what both paths assign.
fn meet(into: &mut Covered, other: &Covered) {
    for (id, bits) in into.iter_mut() {
        match other.get(id) {
            Some(o) => bits.iter_mut().zip(o).for_each(|(a, b)| *a &= *b),
            None => bits.fill(false),
        }
    }
}

/// Drops top-level assignments that a later one overwrites before anything reads them: the default that
/// `dff_setup!` gives to a register whose next value is then assigned unconditionally.
pub(super) fn drop_dead(stmts: Vec<Stmt>) -> Vec<Stmt> {
    let dead: Vec<bool> = stmts
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let Stmt::Assign { target, .. } = s else {
                return false;
            };
            for later in &stmts[i + 1..] {
                let (mut read, mut written) = (false, false);
                later.reads(&mut |id, _| read |= id == *target);
                later.writes(&mut |id| written |= id == *target);
                if read {
                    return false;
                }
                if written {
                    return matches!(later, Stmt::Assign { part: None, .. });
                }
            }
            false
        })
        .collect();
    stmts
        .into_iter()
        .zip(dead)
        .filter(|(_, dead)| !dead)
        .map(|(s, _)| s)
        .collect()
}

/// Splits top-level statements into the smallest groups that can be processes of their own: statements that write a
/// common signal stay together and in order, and so does a statement that reads a value which is overwritten later.
pub(super) fn groups(table: &Table, stmts: Vec<Stmt>) -> Vec<Vec<Stmt>> {
    let mut writers: HashMap<VarId, Vec<usize>> = HashMap::new();
    for (i, stmt) in stmts.iter().enumerate() {
        stmt.writes(&mut |id| writers.entry(id).or_default().push(i));
    }
    let mut parent: Vec<usize> = (0..stmts.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let join = |parent: &mut Vec<usize>, a: usize, b: usize| {
        let (a, b) = (root(parent, a), root(parent, b));
        parent[a.max(b)] = a.min(b);
    };
    for list in writers.values() {
        list.windows(2).for_each(|w| join(&mut parent, w[0], w[1]));
    }
    for (i, stmt) in stmts.iter().enumerate() {
        let mut joins = vec![];
        stmt.reads(&mut |id, _| {
            if let Some(list) = writers.get(&id).filter(|_| table.vars[id].role != Role::In) {
                if list.last().is_some_and(|last| *last > i) {
                    joins.push(list[0]);
                }
            }
        });
        joins.into_iter().for_each(|j| join(&mut parent, i, j));
    }
    let mut out: Vec<Vec<Stmt>> = vec![];
    let mut slot: HashMap<usize, usize> = HashMap::new();
    for (i, stmt) in stmts.into_iter().enumerate() {
        let r = root(&mut parent, i);
        let at = *slot.entry(r).or_insert_with(|| {
            out.push(vec![]);
            out.len() - 1
        });
        out[at].push(stmt);
    }
    out
}
