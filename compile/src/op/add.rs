//! Sums: the operands lie side by side in the activation buffer, a channel's weights are powers of two. One that follows a
//! convolution rides on it instead: see [`super::conv`].

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
    let act = b.act(&a.activation, n.output)?;
    let shift = finest - b.frac(n.output);
    b.each(&n.inputs, &weights, 0, shift, act, n.output)
}
