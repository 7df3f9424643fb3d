//! Nearest resizing: columns through a matrix of ones, rows stored where they are wanted.

use crate::error::CompileError;
use crate::lower::Build;
use cnna_net::Node;
use cnna_net::op::Resize;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, r: &Resize) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let i = b.shape(input);
    let mut weights = vec![0; r.columns.len() * i.w];
    for (x, &from) in r.columns.iter().enumerate() {
        weights[x * i.w + from as usize] = 1;
    }
    let mut targets = vec![Vec::new(); i.h];
    for (y, &from) in r.rows.iter().enumerate() {
        targets[from as usize].push(y);
    }
    b.rearranged(weights, vec![(input, 0..i.c)], targets, output)
}
