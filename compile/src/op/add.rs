//! Sums: the operands lie side by side in the activation buffer, a channel's weights are powers of two.

use super::activate;
use crate::error::CompileError;
use crate::lower::Build;
use cnna_net::Node;
use cnna_net::op::Add;

/// Most operands of one pass.
const MOST: usize = 4;
/// Most steps for one operand.
const MOST_TIMES: u64 = 64;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, a: &Add) -> Result<(), CompileError> {
    if n.inputs.len() > MOST {
        return Err(b.unsupported(format!(
            "it adds {} tensors, the machine at most {MOST} at once: split it",
            n.inputs.len()
        )));
    }
    let fracs: Vec<i32> = n.inputs.iter().map(|&t| b.frac(t)).collect();
    let (weights, finest) = a.weights(&fracs);
    if weights
        .iter()
        .any(|w| w.unsigned_abs() > MOST_TIMES * b.word().max() as u64)
    {
        return Err(b.unsupported(format!(
            "its operands have {fracs:?} fraction bits, too far apart: give them scales nearer to each other"
        )));
    }
    let split = activate::split(&a.activation, b.frac(n.output), b.word())
        .ok_or_else(|| b.unsupported("its activation needs a table, which this machine has not"))?;
    let shift = finest - b.frac(n.output);
    if !split.is_more() {
        return b.each(&n.inputs, &weights, 0, shift, split.relu, n.output);
    }
    let sum = b.temporary_like(n.output);
    b.each(&n.inputs, &weights, 0, shift, split.relu, sum)?;
    activate::passes(b, &split, sum, n.output)
}
