//! Concatenation: members lie in the output's memory already; those that cannot are copied there. Along columns, which are
//! no addresses, members with zeros around them are added.

use crate::act::Act;
use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::{BufferId, Build};
use crate::place::in_concat;
use crate::stage::Taps;
use cnna_net::Node;
use cnna_net::op::Concat;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, c: &Concat) -> Result<(), CompileError> {
    let shapes = b.graph.shapes(n);
    if let Some(places) = in_concat(c, n.output, &shapes) {
        for ((&t, place), shape) in n.inputs.iter().zip(places).zip(shapes) {
            let to = b.part(place, shape);
            if !b.is_same(t, to) {
                b.copy(t, to)?;
            }
        }
        return Ok(());
    }
    let mut wide = Vec::new();
    let mut at = 0;
    for (&t, shape) in n.inputs.iter().zip(&shapes) {
        let to = b.temporary_like(n.output);
        padded(b, t, to, [0, -(at as i64)])?;
        wide.push(to);
        at += shape.w;
    }
    sum(b, wide, n.output)
}

/// A copy with zeros around it, whose first result lies at map position `first`.
pub fn padded(
    b: &mut Build<'_, '_>,
    from: BufferId,
    to: BufferId,
    first: [i64; 2],
) -> Result<(), CompileError> {
    let c = b.shape(from).c;
    let l = Linear {
        outputs: c,
        groups: c,
        inputs: 1,
        taps: [1, 1],
        weights: vec![1; c].into(),
        bias: vec![0; c].into(),
        shift: 0,
        ..Linear::default()
    };
    let taps = Taps {
        first,
        ..Taps::single()
    };
    b.linear(l, taps, from, to)
}

/// The sum of tensors of one format, a few at a time.
pub fn sum(
    b: &mut Build<'_, '_>,
    mut from: Vec<BufferId>,
    to: BufferId,
) -> Result<(), CompileError> {
    while from.len() > 4 {
        let part = from.split_off(from.len() - 4);
        let next = b.temporary_like(to);
        b.each(&part, &[1; 4], 0, 0, Act::None, next)?;
        from.push(next);
    }
    let ones = vec![1; from.len()];
    b.each(&from, &ones, 0, 0, Act::None, to)
}
