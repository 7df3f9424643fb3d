//! Functions of each value as passes: what behind a convolution is one clamp at zero takes one or two more passes each.

use crate::error::CompileError;
use crate::lower::{BufferId, Build};
use cnna_machine::num::Word;
use cnna_net::activation::slope_word;
use cnna_net::op::Activate;
use cnna_net::{Activation, Node};

/// What the pass that makes a value does of its activation, and what is left for further passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// `max(0, y)` in the same pass.
    pub relu: bool,
    /// Then a lower bound.
    lo: Option<i16>,
    /// Then an upper bound.
    hi: Option<i16>,
    /// Or slopes of negative values, one or one a channel, with 15 fraction bits.
    slopes: Vec<i32>,
}

impl Split {
    /// True when further passes are needed.
    pub fn is_more(&self) -> bool {
        self.lo.is_some() || self.hi.is_some() || !self.slopes.is_empty()
    }
}

/// Splits an activation for words of format `frac`; `None` for a table.
pub fn split(f: &Activation, frac: i32, word: Word) -> Option<Split> {
    let slopes = match f {
        Activation::Table(_) => return None,
        Activation::Leaky(m) => vec![slope_word(*m)],
        Activation::PRelu(m) => m.to_reals(0).iter().map(|&m| slope_word(m)).collect(),
        _ => Vec::new(),
    };
    let [lo, hi] = f
        .bounds(frac, word)
        .unwrap_or([word.min() as i16, word.max() as i16]);
    Some(Split {
        relu: lo == 0,
        lo: (lo != 0 && i64::from(lo) != word.min()).then_some(lo),
        hi: (i64::from(hi) != word.max()).then_some(hi),
        slopes,
    })
}

/// The passes that are left, from one tensor to another.
pub fn passes(
    b: &mut Build<'_, '_>,
    split: &Split,
    from: BufferId,
    to: BufferId,
) -> Result<(), CompileError> {
    if !split.slopes.is_empty() {
        return slopes(b, &split.slopes, from, to);
    }
    let mut from = from;
    if let Some(lo) = split.lo {
        let next = match split.hi {
            Some(_) => b.temporary_like(to),
            None => to,
        };
        // max(lo, y): a difference that a clamp at zero takes, added again; in the form that cannot saturate.
        let over = b.temporary_like(from);
        let lo = i64::from(lo);
        if lo > 0 {
            b.each(&[from], &[1], -lo, 0, true, over)?;
            b.each(&[over], &[1], lo, 0, false, next)?;
        } else {
            b.each(&[from], &[-1], lo, 0, true, over)?;
            b.each(&[from, over], &[1, 1], 0, 0, false, next)?;
        }
        from = next;
    }
    if let Some(hi) = split.hi {
        let over = b.temporary_like(from);
        let hi = i64::from(hi);
        if hi < 0 {
            b.each(&[from], &[-1], hi, 0, true, over)?;
            b.each(&[over], &[-1], hi, 0, false, to)?;
        } else {
            b.each(&[from], &[1], -hi, 0, true, over)?;
            b.each(&[from, over], &[1, -1], 0, 0, false, to)?;
        }
    }
    Ok(())
}

/// `y >= 0 ? y : (y * m + 2^14) >> 15` is `(y * m + max(0, y) * (2^15 - m) + 2^14) >> 15`.
fn slopes(
    b: &mut Build<'_, '_>,
    slopes: &[i32],
    from: BufferId,
    to: BufferId,
) -> Result<(), CompileError> {
    let positive = b.temporary_like(from);
    b.each(&[from], &[1], 0, 0, true, positive)?;
    let weights: Vec<i64> = slopes
        .iter()
        .flat_map(|&m| [m.into(), (1 << 15) - i64::from(m)])
        .collect();
    b.each(&[from, positive], &weights, 0, 15, false, to)
}

pub fn lower(b: &mut Build<'_, '_>, n: &Node, a: &Activate) -> Result<(), CompileError> {
    let (from, to) = (n.inputs[0], n.output);
    let shift = b.frac(from) - b.frac(to);
    let Some(split) = split(&a.function, b.frac(to), b.word()) else {
        return Err(b.unsupported(format!(
            "{:?} needs a table, which this machine has not",
            a.function
        )));
    };
    if !split.is_more() {
        return b.each(&[from], &[1], 0, shift, split.relu, to);
    }
    if shift == 0 && !split.relu {
        return passes(b, &split, from, to);
    }
    let scaled = b.temporary_like(to);
    b.each(&[from], &[1], 0, shift, split.relu, scaled)?;
    passes(b, &split, scaled, to)
}
