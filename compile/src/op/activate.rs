//! Functions of each value: a pass with weight 1, or behind a convolution's sum (see [`super::conv`]).

use crate::act::Act;
use crate::error::CompileError;
use crate::lower::Build;
use cnna_net::activation::{Function, Table};
use cnna_net::op::Activate;
use cnna_net::{Activation, Node};

/// The table of a function from one tensor's format to another's. Errors: one too steep for the machine's words.
pub fn table(b: &Build<'_, '_>, f: Function, from: i32, to: i32) -> Result<Act, CompileError> {
    Act::table(Table::new(f, from, to, b.word())).ok_or_else(|| {
        b.unsupported(format!(
            "{f:?} from {from} to {to} fraction bits is too steep for a table of words"
        ))
    })
}

pub fn lower(b: &mut Build<'_, '_>, n: &Node, a: &Activate) -> Result<(), CompileError> {
    let (from, to) = (n.inputs[0], n.output);
    let (input, output) = (b.frac(from), b.frac(to));
    // A table takes words as they are and gives those of another format.
    if let Activation::Table(f) = a.function {
        let act = table(b, f, input, output)?;
        return b.each(&[from], &[1], 0, 0, act, to);
    }
    let act = b.act(&a.function, to)?;
    b.each(&[from], &[1], 0, input - output, act, to)
}
