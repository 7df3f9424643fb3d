//! Max pooling of its own.

use crate::error::CompileError;
use crate::lower::Build;
use crate::stage::Taps;
use cnna_net::Node;
use cnna_net::op::MaxPool;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, p: &MaxPool) -> Result<(), CompileError> {
    let input = n.inputs[0];
    b.pool(
        Taps::of(&p.window),
        vec![b.source(input)],
        vec![input],
        n.output,
    )
}
