//! Borders: zeros come from outside the map; another value is added where no map is.

use super::concat::padded;
use crate::act::Act;
use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::{BufferId, Build};
use crate::place::Part;
use crate::stage::Taps;
use cnna_machine::layout::Shape;
use cnna_machine::num::quantise;
use cnna_net::Node;
use cnna_net::op::Pad;

pub fn lower(b: &mut Build<'_, '_>, n: &Node, p: &Pad) -> Result<(), CompileError> {
    let (input, output) = (n.inputs[0], n.output);
    let value = quantise(f64::from(p.value), b.frac(output), b.word()).unwrap_or(0);
    let (i, o) = (b.shape(input), b.shape(output));
    let part = |channel| Part {
        of: output,
        channel,
        row: 0,
        row_step: 1,
    };
    for (from, count) in [(0, p.before[0]), (p.before[0] + i.c, p.after[0])] {
        if count > 0 {
            let to = b.part(part(from), Shape { c: count, ..o });
            constant(b, input, value, to)?;
        }
    }
    let to = b.part(part(p.before[0]), Shape { c: i.c, ..o });
    let first = [-(p.before[1] as i64), -(p.before[2] as i64)];
    if i64::from(value) == b.word().min() {
        // What a maximum sees outside the map.
        let taps = Taps {
            first,
            ..Taps::single()
        };
        return b.pool(taps, vec![b.source(input)], vec![input], to);
    }
    if value == 0 {
        return padded(b, input, to, first);
    }
    // The map with zeros around it, plus the value where a map of ones has zeros around it.
    let (map, ones, inside) = (
        b.temporary_like(to),
        b.temporary_like(input),
        b.temporary_like(to),
    );
    padded(b, input, map, first)?;
    constant(b, input, 1, ones)?;
    padded(b, ones, inside, first)?;
    b.each(
        &[map, inside],
        &[1, -i64::from(value)],
        value.into(),
        0,
        Act::None,
        to,
    )
}

/// Fills a tensor with one word: a convolution of anything with weights of zero.
fn constant(
    b: &mut Build<'_, '_>,
    anything: BufferId,
    value: i16,
    to: BufferId,
) -> Result<(), CompileError> {
    let c = b.shape(to).c;
    let inputs = b.shape(anything).c;
    let l = Linear {
        outputs: c,
        groups: 1,
        inputs,
        taps: [1, 1],
        weights: vec![0; c * inputs].into(),
        bias: vec![value.into(); c].into(),
        shift: 0,
        ..Linear::default()
    };
    b.linear(l, Taps::single(), anything, to)
}
