//! From an operator to stages, one operator a file.

pub mod activate;
mod add;
mod average_pool;
mod concat;
pub mod conv;
mod conv_transpose;
mod max_pool;
pub mod mul;
mod pad;
mod rearrange;
mod resize;
mod slice;

use crate::error::CompileError;
use crate::lower::Build;
use cnna_net::Op;

/// Lowers node `i`. Errors: what the machine cannot do.
pub fn lower<'a>(b: &mut Build<'_, 'a>, i: usize) -> Result<(), CompileError> {
    let n = &b.graph.nodes[i];
    match &n.op {
        Op::Conv(c) => conv::lower(b, i, c),
        Op::ConvTranspose(c) => conv_transpose::lower(b, n, c),
        Op::MaxPool(p) => max_pool::lower(b, n, p),
        Op::AveragePool(p) => average_pool::lower(b, n, p),
        Op::Add(a) => add::lower(b, n, a),
        Op::Activate(a) => activate::lower(b, n, a),
        Op::Concat(c) => concat::lower(b, n, c),
        Op::Slice(s) => slice::lower(b, n, s),
        Op::Pad(p) => pad::lower(b, n, p),
        Op::Rearrange(r) => rearrange::lower(b, n, r),
        Op::Resize(r) => resize::lower(b, n, r),
        Op::Mul(_) => mul::lower(b, n),
        Op::Constant(_) | Op::Bilinear(_) | Op::Softmax(_) | Op::ArgMax(_) | Op::Lrn(_) => {
            Err(b.unsupported("the machine has no unit for it"))
        }
    }
}
