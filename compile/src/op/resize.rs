//! Nearest resizing: columns through a matrix of ones, rows stored where they are wanted.

use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::Build;
use crate::stage::Taps;
use cnna_net::Node;
use cnna_net::op::Resize;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, r: &Resize) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let i = b.shape(input);
    let mut weights = vec![0; r.columns.len() * i.w];
    for (x, &from) in r.columns.iter().enumerate() {
        weights[x * i.w + from as usize] = 1;
    }
    let l = Linear {
        outputs: r.columns.len(),
        groups: 1,
        inputs: 1,
        taps: [1, i.w],
        weights: weights.into(),
        bias: vec![0; r.columns.len()].into(),
        shift: 0,
        ..Linear::default()
    };
    let taps = Taps {
        kernel: [1, i.w],
        ..Taps::single()
    };
    let mut targets = vec![Vec::new(); i.h];
    for (y, &from) in r.rows.iter().enumerate() {
        targets[from as usize].push(y);
    }
    b.rows(l, taps, vec![(input, 0..i.c)], targets, output)
}
