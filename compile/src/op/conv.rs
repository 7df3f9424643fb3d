//! Convolution and fully connected: one stage, with the pooling behind it where that rides along.

use super::activate;
use crate::check;
use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::Build;
use crate::stage::Taps;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Node, Op, TensorId};
use std::borrow::Cow;
use std::sync::Arc;

/// For each tensor, true when it is the output of a fully connected layer that may run in vector mode: one whose results
/// only such layers and the host read.
pub fn vectors(graph: &Graph) -> Vec<bool> {
    let readers = graph.readers();
    let mut vectors = vec![false; graph.tensors.len()];
    for n in graph.nodes.iter().rev() {
        let by_channel = |c: &Conv| matches!(c.activation, Activation::PRelu(_));
        vectors[n.output] = matches!(&n.op, Op::Conv(c) if c.is_fc(graph.tensors[n.inputs[0]].shape) && !by_channel(c))
            && readers[n.output]
                .iter()
                .all(|&r| vectors[graph.nodes[r].output]);
    }
    vectors
}

/// The pooling that may ride on the node: the only reader of its output, 2x2, of whole windows.
fn riding(b: &Build, n: &Node) -> Option<usize> {
    let shape = b.graph.tensors[n.output].shape;
    let &[reader] = &b.readers[n.output][..] else {
        return None;
    };
    let rides = match &b.graph.nodes[reader].op {
        Op::MaxPool(p) => {
            let after = [p.window.pad.bottom, p.window.pad.right];
            Taps::of(&p.window).rides() && after == [0, 0]
        }
        _ => false,
    };
    let free = !b.graph.is_output(n.output);
    (b.options.fuse && rides && free && shape.h % 2 == 0 && shape.w % 2 == 0).then_some(reader)
}

pub fn lower<'a>(b: &mut Build<'_, 'a>, n: &'a Node, c: &'a Conv) -> Result<(), CompileError> {
    let input: TensorId = n.inputs[0];
    let i = b.graph.tensors[input].shape;
    let (weights, frac) = c.weights.words().expect("checked before");
    let bias = c.bias.sums().ok_or_else(|| CompileError::Network {
        layer: n.name.clone(),
        message: "its bias is not quantised".into(),
    })?;
    let split = activate::split(&c.activation, b.frac(n.output), b.word())
        .ok_or_else(|| b.unsupported("its activation needs a table, which this machine has not"))?;
    let vector = b.is_flat(n.output);
    // What a fully connected layer reads may be one row too.
    let memory = b.shape(input);
    let (inputs, taps) = match vector {
        true => (memory.c, [memory.h, memory.w]),
        false => (i.c / c.groups, c.window.kernel),
    };
    let l = Linear {
        outputs: c.oc,
        groups: c.groups,
        inputs,
        taps,
        weights: Cow::Borrowed(weights),
        bias: Cow::Borrowed(bias),
        shift: b.frac(input) + frac - b.frac(n.output),
        relu: split.relu,
    };
    if !split.is_more() && !vector {
        if let Some(pool) = riding(b, n) {
            check::linear(&n.name, &l, b.word())?;
            let l = Arc::new(l.clone());
            if b.pooled(&l, Taps::of(&c.window), input, pool)? {
                return Ok(());
            }
        }
    }
    let to = match split.is_more() {
        true => b.temporary_like(n.output),
        false => n.output,
    };
    match vector {
        true => b.vector(l, input, to)?,
        false => b.linear(l, Taps::of(&c.window), input, to)?,
    }
    match split.is_more() {
        true => activate::passes(b, &split, to, n.output),
        false => Ok(()),
    }
}
