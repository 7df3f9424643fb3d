//! Convolution and fully connected: one stage, with what rides along: a sum, an activation, a 2x2 maximum.

use super::{activate, mul};
use crate::act::Act;
use crate::check;
use crate::error::CompileError;
use crate::linear::Linear;
use crate::lower::Build;
use crate::stage::Taps;
use cnna_net::op::{Activate, Conv};
use cnna_net::{Activation, Graph, Node, Op, TensorId};
use std::borrow::Cow;
use std::sync::Arc;

/// For each tensor, true when it is the output of a fully connected layer that may run in vector mode: one whose results
/// only such layers and the host read, or products that they gate; or that of a table behind one.
pub fn vectors(graph: &Graph) -> Vec<bool> {
    let (readers, writers) = (graph.readers(), graph.writers());
    let mut vectors = vec![false; graph.tensors.len()];
    let is_full = |n: &Node| {
        let by_channel = |c: &Conv| matches!(c.activation, Activation::PRelu(_));
        matches!(&n.op, Op::Conv(c) if c.is_fc(graph.tensors[n.inputs[0]].shape) && !by_channel(c))
    };
    for n in graph.nodes.iter().rev() {
        let input = n.inputs.first().copied();
        let behind_full = || {
            let writer = input.and_then(|t| writers[t]);
            let alone = input.is_some_and(|t| readers[t].len() == 1 && !graph.is_output(t));
            alone && writer.is_some_and(|w| is_full(&graph.nodes[w]))
        };
        let may = match &n.op {
            Op::Activate(a) => matches!(a.function, Activation::Table(_)) && behind_full(),
            _ => is_full(n),
        };
        let takes = |r: usize| {
            let reader = &graph.nodes[r];
            let on_host = matches!(reader.op, Op::Softmax(_) | Op::ArgMax(_));
            on_host || vectors[reader.output] || mul::is_gated_by(graph, reader, n.output)
        };
        vectors[n.output] = may && readers[n.output].iter().all(|&r| takes(r));
    }
    vectors
}

/// What rides on a convolution: the nodes behind it that need no pass of their own.
struct Riders {
    nodes: Vec<usize>,
    /// The operand of a sum, and whether that comes behind the activation.
    residual: Option<(TensorId, bool)>,
    act: Act,
    /// A 2x2 maximum ends them.
    pooled: bool,
    output: TensorId,
}

impl Riders {
    fn none(b: &Build, i: usize, act: Act) -> Riders {
        Riders {
            nodes: Vec::new(),
            residual: None,
            act,
            pooled: false,
            output: b.graph.nodes[i].output,
        }
    }

    /// Those behind node `i`, as many as the machine takes in one pass: a sum before or behind a
    /// table, then a maximum.
    fn find(b: &Build, i: usize, act: Act) -> Riders {
        let mut all = Riders::none(b, i, act);
        if b.options.fuse {
            all.sum(b, i, false);
            all.table(b);
            all.sum(b, i, true);
            all.pooling(b);
        }
        all
    }

    /// The only reader of what there is so far, if that is not an output of the network.
    fn reader(&self, b: &Build) -> Option<usize> {
        match b.readers[self.output][..] {
            [reader] if !b.graph.is_output(self.output) => Some(reader),
            _ => None,
        }
    }

    fn add(&mut self, b: &Build, node: usize) {
        self.nodes.push(node);
        self.output = b.graph.nodes[node].output;
    }

    /// A sum with another tensor of the same format, whose values are there: before an activation, or `last` behind one.
    fn sum(&mut self, b: &Build, i: usize, last: bool) {
        let free = self.residual.is_none() && (last || self.act == Act::None);
        let Some(reader) = self.reader(b).filter(|_| free) else {
            return;
        };
        let own_shifts = matches!(&b.graph.nodes[i].op, Op::Conv(c) if !c.finer.is_empty());
        let n = &b.graph.nodes[reader];
        let (Op::Add(a), &[x, y]) = (&n.op, &n.inputs[..]) else {
            return;
        };
        let other = if x == self.output { y } else { x };
        let plain = !a.negative.contains(&true) && x != y;
        let format = [other, n.output]
            .iter()
            .all(|&t| b.frac(t) == b.frac(self.output));
        if !(plain && format && b.is_there(other, i)) {
            return;
        }
        match Act::new(&a.activation, b.frac(n.output), b.word()) {
            Some(Act::None) if last => {}
            Some(Act::Slope(_) | Act::Slopes(_)) if own_shifts => return,
            Some(act) if !last => self.act = act,
            _ => return,
        }
        self.residual = Some((other, last));
        self.add(b, reader);
    }

    /// A function by table.
    fn table(&mut self, b: &Build) {
        let Some(reader) = self.reader(b).filter(|_| self.act == Act::None) else {
            return;
        };
        let n = &b.graph.nodes[reader];
        let Op::Activate(Activate {
            function: Activation::Table(f),
        }) = n.op
        else {
            return;
        };
        if let Ok(act) = activate::table(b, f, b.frac(self.output), b.frac(n.output)) {
            self.act = act;
            self.add(b, reader);
        }
    }

    /// A 2x2 maximum of whole windows.
    fn pooling(&mut self, b: &Build) {
        let Some(reader) = self.reader(b).filter(|_| self.residual.is_none()) else {
            return;
        };
        let shape = b.graph.tensors[self.output].shape;
        let Op::MaxPool(p) = &b.graph.nodes[reader].op else {
            return;
        };
        let after = [p.window.pad.bottom, p.window.pad.right];
        if Taps::of(&p.window).rides() && after == [0, 0] && shape.h % 2 == 0 && shape.w % 2 == 0 {
            self.pooled = true;
            self.add(b, reader);
        }
    }
}

pub fn lower<'a>(b: &mut Build<'_, 'a>, i: usize, c: &'a Conv) -> Result<(), CompileError> {
    let n = &b.graph.nodes[i];
    let input: TensorId = n.inputs[0];
    let shape = b.graph.tensors[input].shape;
    let (weights, frac) = c.weights.words().expect("checked before");
    let bias = c.bias.sums().ok_or_else(|| CompileError::Network {
        layer: n.name.clone(),
        message: "its bias is not quantised".into(),
    })?;
    let act = b.act(&c.activation, n.output)?;
    let vector = b.is_flat(n.output);
    // What a fully connected layer reads may be one row too.
    let memory = b.shape(input);
    let (inputs, taps) = match vector {
        true => (memory.c, [memory.h, memory.w]),
        false => (shape.c / c.groups, c.window.kernel),
    };
    let l = Linear {
        outputs: c.oc,
        groups: c.groups,
        inputs,
        taps,
        weights: Cow::Borrowed(weights),
        bias: Cow::Borrowed(bias),
        shift: b.frac(input) + frac - b.frac(n.output),
        act: act.clone(),
        finer: c.finer.clone(),
        given: None,
    };
    // A channel has room for its slope or for its shift.
    if matches!(act, Act::Slope(_) | Act::Slopes(_)) && !c.finer.is_empty() {
        let plain = Linear {
            act: Act::None,
            ..l
        };
        let sum = b.temporary_like(n.output);
        match vector {
            true => b.vector(plain, input, sum)?,
            false => b.linear(plain, Taps::of(&c.window), input, sum)?,
        }
        return b.each(&[sum], &[1], 0, 0, act, n.output);
    }
    if vector {
        let mut rider = Riders::none(b, i, act);
        if b.options.fuse {
            rider.table(b);
        }
        let act = rider.act;
        b.vector(Linear { act, ..l }, input, rider.output)?;
        rider.nodes.iter().for_each(|&n| b.cover(n));
        return Ok(());
    }
    let riders = Riders::find(b, i, act);
    if !riders.nodes.is_empty() {
        check::linear(&n.name, &l, b.word())?;
        let l = Arc::new(Linear {
            act: riders.act.clone(),
            ..l.clone()
        });
        let (taps, residual) = (Taps::of(&c.window), riders.residual);
        if b.ridden(&l, taps, input, residual, riders.pooled, riders.output)? {
            riders.nodes.iter().for_each(|&n| b.cover(n));
            return Ok(());
        }
    }
    b.linear(l, Taps::of(&c.window), input, n.output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::layout::Shape;
    use cnna_machine::num::Word;
    use cnna_net::op::Softmax;
    use cnna_net::{Values, Window};

    #[test]
    fn fully_connected_layers_that_the_host_reads_run_in_vector_mode() {
        let mut g = Graph::new("head", Word::W16);
        let side = |c, h, w| Shape { c, h, w };
        let full = |h, w, inputs: usize| Conv {
            finer: Vec::new(),
            oc: 4,
            groups: 1,
            window: Window::plain(h, w),
            weights: Values::Words(vec![1; 4 * inputs], 14),
            bias: Values::Sums(vec![0; 4]),
            activation: Activation::None,
        };
        let i = g.input("input", side(2, 3, 3), Some(8));
        let a = g.push("fc0", full(3, 3, 18), &[i], Some(8)).unwrap();
        let b = g.push("fc1", full(1, 1, 4), &[a], Some(8)).unwrap();
        let over_channels = Softmax {
            axes: [true, false, false],
            log: false,
        };
        let c = g.push("softmax", over_channels, &[b], Some(15)).unwrap();
        g.output(c);
        let vectors = vectors(&g);
        assert_eq!([a, b, c].map(|t| vectors[t]), [true, true, false]);
    }
}
