//! Products with a gate of one value a channel, as squeeze and excite has them: a convolution of one tap whose weights a layer before
//! makes. A stage through a matrix lays the gate's values on the diagonals of blocks of weights; from memory these go where constant
//! weights go.

use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::Build;
use crate::weights::Given;
use cnna_machine::layout::Shape;
use cnna_net::{Graph, Node, Op, TensorId};

/// True when node `n` multiplies another tensor by one value of `gate` a channel.
pub fn is_gated_by(graph: &Graph, n: &Node, gate: TensorId) -> bool {
    let shape = |t: TensorId| graph.tensors[t].shape;
    let (Op::Mul(_), &[x, g]) = (&n.op, &n.inputs[..]) else {
        return false;
    };
    let one = Shape {
        c: shape(x).c,
        h: 1,
        w: 1,
    };
    g == gate && x != gate && shape(gate) == one
}

pub fn lower(b: &mut Build<'_, '_>, n: &Node) -> Result<(), CompileError> {
    match gated(b, n) {
        // The host needs no buffers.
        Err(e @ CompileError::Capacity { .. }) if b.options.host => {
            Err(b.unsupported(e.to_string()))
        }
        done => done,
    }
}

fn gated(b: &mut Build<'_, '_>, n: &Node) -> Result<(), CompileError> {
    let &[x, gate] = &n.inputs[..] else {
        return Err(b.unsupported("it has not two inputs"));
    };
    if !(b.is_flat(gate) && is_gated_by(b.graph, n, gate)) {
        return Err(b.unsupported(
            "the machine multiplies by what fully connected layers alone make, one value a channel",
        ));
    }
    let given = Given::new(b.accelerator);
    let c = b.shape(x).c;
    let rows = c.div_ceil(given.channels);
    let row = Shape {
        c: 1,
        h: rows,
        w: given.channels,
    };
    let values = b.view(gate, row);
    let blocks = b.temporary(
        Shape {
            w: given.words,
            ..row
        },
        b.frac(gate),
    );
    let mut weights = vec![0; given.words * given.channels];
    for channel in 0..given.channels {
        weights[given.word(channel) * given.channels + channel] = 1;
    }
    let targets = (0..rows).map(|y| vec![y]).collect();
    b.rearranged(weights, vec![(values, 0..1)], targets, blocks)?;
    let l = Linear {
        outputs: c,
        groups: c,
        inputs: 1,
        taps: [1, 1],
        // As large as words can be: sums have room for them.
        weights: vec![b.word().max() as i16; c].into(),
        bias: vec![0; c].into(),
        shift: b.frac(x) + b.frac(gate) - b.frac(n.output),
        given: Some(given),
        ..Linear::default()
    };
    b.gated(l, x, blocks, n.output)
}
