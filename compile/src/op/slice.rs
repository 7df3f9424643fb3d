//! Slices that are no addresses: copies of a part of the columns, or of every n-th.

use crate::error::CompileError;
use crate::lower::Build;
use crate::stage::{Source, Taps};
use cnna_net::Node;
use cnna_net::op::Slice;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, s: &Slice) -> Result<(), CompileError> {
    let input = n.inputs[0];
    let sources: Vec<Source> = match s.step[0] {
        1 => vec![b.channels(input, s.start[0]..s.start[0] + s.count[0])],
        step => (0..s.count[0])
            .map(|c| s.start[0] + c * step)
            .map(|c| b.channels(input, c..c + 1))
            .collect(),
    };
    let inputs = vec![input; sources.len()];
    let single = |axis: usize| if s.count[axis] == 1 { 1 } else { s.step[axis] };
    let taps = Taps {
        stride: [single(1), single(2)],
        first: [s.start[1] as i64, s.start[2] as i64],
        ..Taps::single()
    };
    b.pool(taps, sources, inputs, n.output)
}
