//! What a reader leaves behind, folded: scales and offsets into the convolutions beside them, borders into windows, and
//! nodes that no output needs are gone. Every pass walks the nodes once.

use crate::activation::Activation;
use crate::graph::{Graph, TensorId};
use crate::op::{Conv, Op};
use crate::values::Values;
use crate::window::{Padding, Window};

/// All of them. Returns for each old tensor its new index, `None` where it is gone.
pub fn simplify(graph: &mut Graph) -> Vec<Option<TensorId>> {
    let mut gone = vec![false; graph.nodes.len()];
    unread(graph, &mut gone);
    into_writer(graph, &mut gone);
    into_reader(graph, &mut gone);
    borders(graph, &mut gone);
    sums(graph, &mut gone);
    compact(graph, &gone)
}

/// How many nodes that stay read each tensor, outputs counted; a node that reads it twice counts twice.
fn uses(graph: &Graph, gone: &[bool]) -> Vec<usize> {
    let mut uses = vec![0; graph.tensors.len()];
    for (n, _) in graph.nodes.iter().zip(gone).filter(|(_, g)| !**g) {
        n.inputs.iter().for_each(|&t| uses[t] += 1);
    }
    graph.outputs.iter().for_each(|p| uses[p.tensor] += 1);
    uses
}

/// The node that stays and writes each tensor.
fn writers(graph: &Graph, gone: &[bool]) -> Vec<Option<usize>> {
    let mut writers = vec![None; graph.tensors.len()];
    for (i, n) in graph.nodes.iter().enumerate().filter(|(i, _)| !gone[*i]) {
        writers[n.output] = Some(i);
    }
    writers
}

/// Nodes whose results nobody reads, and those that only they read.
fn unread(graph: &Graph, gone: &mut [bool]) {
    let mut uses = uses(graph, gone);
    for (i, n) in graph.nodes.iter().enumerate().rev() {
        if uses[n.output] == 0 {
            gone[i] = true;
            n.inputs.iter().for_each(|&t| uses[t] -= 1);
        }
    }
}

/// Scale and offset of a node that is nothing else: a depthwise 1x1 convolution of reals.
fn affine(op: &Op) -> Option<(&[f32], &[f32], &Conv)> {
    match op {
        Op::Conv(c)
            if c.groups == c.oc && c.window == Window::plain(1, 1) && c.weights.len() == c.oc =>
        {
            Some((c.weights.reals()?, c.bias.reals()?, c))
        }
        _ => None,
    }
}

/// A scale behind a convolution becomes part of its weights.
fn into_writer(graph: &mut Graph, gone: &mut [bool]) {
    let uses = uses(graph, gone);
    let mut writers = writers(graph, gone);
    for (i, gone) in gone.iter_mut().enumerate() {
        let t = match (*gone, &graph.nodes[i].inputs[..]) {
            (false, &[t]) if uses[t] == 1 && graph.tensors[t].frac.is_none() => t,
            _ => continue,
        };
        let Some(w) = writers[t] else { continue };
        let Some((scale, offset, conv)) = affine(&graph.nodes[i].op) else {
            continue;
        };
        let (scale, offset, activation) =
            (scale.to_vec(), offset.to_vec(), conv.activation.clone());
        let input_frac = graph.nodes[w]
            .inputs
            .first()
            .and_then(|&t| graph.tensors[t].frac);
        let done = match &mut graph.nodes[w].op {
            Op::Conv(c) if c.activation == Activation::None => {
                if !c.finer.is_empty() {
                    c.unquantise(input_frac.unwrap_or(0));
                }
                let each = c.weights.len() / c.oc.max(1);
                scaled(
                    &mut c.weights,
                    &mut c.bias,
                    input_frac,
                    &scale,
                    &offset,
                    |k| k / each.max(1),
                );
                c.activation = activation;
                true
            }
            Op::ConvTranspose(c) if c.activation == Activation::None => {
                let (taps, per_group) = (
                    c.window.kernel[0] * c.window.kernel[1],
                    c.oc / c.groups.max(1),
                );
                let ic_per_group = c.weights.len() / (taps * per_group).max(1) / c.groups.max(1);
                let channel = |k: usize| {
                    let (ic, j) = (k / taps / per_group, k / taps % per_group);
                    ic / ic_per_group.max(1) * per_group + j
                };
                scaled(
                    &mut c.weights,
                    &mut c.bias,
                    input_frac,
                    &scale,
                    &offset,
                    channel,
                );
                c.activation = activation;
                true
            }
            _ => false,
        };
        if done {
            let output = graph.nodes[i].output;
            graph.nodes[w].output = output;
            writers[output] = Some(w);
            *gone = true;
        }
    }
}

/// Weights and biases times `scale`, plus `offset`; words stay where only the offset counts.
fn scaled(
    weights: &mut Values,
    bias: &mut Values,
    input_frac: Option<i32>,
    scale: &[f32],
    offset: &[f32],
    channel: impl Fn(usize) -> usize,
) {
    let sum_frac = input_frac.unwrap_or(0) + weights.words().map_or(0, |(_, f)| f);
    let b = bias.to_reals(sum_frac);
    let b = b
        .iter()
        .enumerate()
        .map(|(c, b)| (f64::from(*b) * f64::from(scale[c]) + f64::from(offset[c])) as f32);
    *bias = Values::Reals(b.collect());
    if scale.iter().any(|s| *s != 1.0) {
        let w = weights.to_reals(0);
        let w = w
            .iter()
            .enumerate()
            .map(|(k, w)| (f64::from(*w) * f64::from(scale[channel(k)])) as f32);
        *weights = Values::Reals(w.collect());
    }
}

/// A scale before a convolution becomes part of its weights, where its border's zeros stay zeros.
fn into_reader(graph: &mut Graph, gone: &mut [bool]) {
    let uses = uses(graph, gone);
    let writers = writers(graph, gone);
    for i in 0..graph.nodes.len() {
        let t = match (gone[i], &graph.nodes[i].inputs[..]) {
            (false, &[t]) if uses[t] == 1 && graph.tensors[t].frac.is_none() => t,
            _ => continue,
        };
        let Some(w) = writers[t].filter(|&w| !gone[w]) else {
            continue;
        };
        let (before, after) = graph.nodes.split_at_mut(i);
        let Some((scale, offset, first)) = affine(&before[w].op) else {
            continue;
        };
        let Op::Conv(c) = &mut after[0].op else {
            continue;
        };
        let safe = c.window.pad == Padding::default() || offset.iter().all(|o| *o == 0.0);
        if !safe
            || first.activation != Activation::None
            || c.weights.reals().is_none()
            || c.bias.reals().is_none()
        {
            continue;
        }
        let (taps, per_group) = (
            c.window.kernel[0] * c.window.kernel[1],
            c.oc / c.groups.max(1),
        );
        let ic = scale.len() / c.groups.max(1);
        let (mut weights, mut bias) = (c.weights.to_reals(0), c.bias.to_reals(0));
        for (oc, kernel) in weights.chunks_mut((ic * taps).max(1)).enumerate() {
            let mut sum = f64::from(bias[oc]);
            for (k, v) in kernel.iter_mut().enumerate() {
                let channel = oc / per_group * ic + k / taps;
                sum += f64::from(*v) * f64::from(offset[channel]);
                *v = (f64::from(*v) * f64::from(scale[channel])) as f32;
            }
            bias[oc] = sum as f32;
        }
        (c.weights, c.bias) = (Values::Reals(weights), Values::Reals(bias));
        after[0].inputs[0] = before[w].inputs[0];
        gone[w] = true;
    }
}

/// A border of what the window's own border is anyway becomes part of it.
fn borders(graph: &mut Graph, gone: &mut [bool]) {
    let uses = uses(graph, gone);
    let writers = writers(graph, gone);
    for i in 0..graph.nodes.len() {
        let t = match (gone[i], &graph.nodes[i].inputs[..]) {
            (false, &[t]) if uses[t] == 1 => t,
            _ => continue,
        };
        let Some(w) = writers[t].filter(|&w| !gone[w]) else {
            continue;
        };
        let source = graph.nodes[w].inputs.first().copied();
        let (before, after) = graph.nodes.split_at_mut(i);
        let (Op::Pad(p), Some(source)) = (&before[w].op, source) else {
            continue;
        };
        let formats = [graph.tensors[t].frac, graph.tensors[source].frac];
        if p.before[0] + p.after[0] > 0 || formats[0].is_some() && formats[0] != formats[1] {
            continue;
        }
        let widened = |pad: Padding| Padding {
            top: pad.top + p.before[1],
            left: pad.left + p.before[2],
            bottom: pad.bottom + p.after[1],
            right: pad.right + p.after[2],
        };
        match &mut after[0].op {
            Op::Conv(c) if p.value == 0.0 => c.window.pad = widened(c.window.pad),
            Op::AveragePool(a) if p.value == 0.0 && a.counted == a.window.pad => {
                a.window.pad = widened(a.window.pad);
                a.counted = a.window.pad;
            }
            Op::MaxPool(m) if p.value <= f32::MIN => m.window.pad = widened(m.window.pad),
            _ => continue,
        }
        after[0].inputs[0] = source;
        gone[w] = true;
    }
}

/// A sum of sums without formats of their own is one sum, rounded once; so is the sum of what is only negated.
fn sums(graph: &mut Graph, gone: &mut [bool]) {
    let uses = uses(graph, gone);
    let writers = writers(graph, gone);
    for i in 0..graph.nodes.len() {
        let Op::Add(sum) = &graph.nodes[i].op else {
            continue;
        };
        if gone[i] {
            continue;
        }
        let (mut inputs, mut negative) = (Vec::new(), Vec::new());
        let terms = graph.nodes[i].inputs.iter().zip(&sum.negative);
        let mut spliced = Vec::new();
        for (&t, &minus) in terms {
            let alone = uses[t] == 1 && graph.tensors[t].frac.is_none();
            let inner = writers[t]
                .filter(|&w| alone && !gone[w])
                .map(|w| (w, &graph.nodes[w]));
            match inner.map(|(w, n)| (w, n, &n.op)) {
                Some((w, n, Op::Add(a)))
                    if a.activation == Activation::None
                        && inputs.len() + a.negative.len() < MOST_TERMS =>
                {
                    inputs.extend(&n.inputs);
                    negative.extend(a.negative.iter().map(|&m| m != minus));
                    spliced.push(w);
                }
                Some((w, n, op)) if negates(op) => {
                    inputs.push(n.inputs[0]);
                    negative.push(!minus);
                    spliced.push(w);
                }
                _ => {
                    inputs.push(t);
                    negative.push(minus);
                }
            }
        }
        spliced.into_iter().for_each(|w| gone[w] = true);
        if let Op::Add(sum) = &mut graph.nodes[i].op {
            sum.negative = negative;
        }
        graph.nodes[i].inputs = inputs;
    }
}

/// Most terms of a sum that is made of others: a chain of thousands stays as it is, so that the pass is linear.
const MOST_TERMS: usize = 16;

fn negates(op: &Op) -> bool {
    affine(op).is_some_and(|(scale, offset, c)| {
        scale.iter().all(|s| *s == -1.0)
            && offset.iter().all(|o| *o == 0.0)
            && c.activation == Activation::None
    })
}

/// Drops nodes that are gone and tensors that nothing names any more.
pub(crate) fn compact(graph: &mut Graph, gone: &[bool]) -> Vec<Option<TensorId>> {
    let mut keep = gone.iter().map(|g| !g);
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
    let mut named = vec![false; graph.tensors.len()];
    for n in &graph.nodes {
        n.inputs
            .iter()
            .chain([&n.output])
            .for_each(|&t| named[t] = true);
    }
    graph
        .inputs
        .iter()
        .chain(&graph.outputs)
        .for_each(|p| named[p.tensor] = true);
    let mut next = 0;
    let place: Vec<Option<TensorId>> = named
        .iter()
        .map(|&n| {
            next += usize::from(n);
            n.then(|| next - 1)
        })
        .collect();
    let mut keep = named.iter();
    graph.tensors.retain(|_| *keep.next().unwrap_or(&true));
    let at = |t: &mut TensorId| *t = place[*t].expect("a tensor that is named stays");
    for n in &mut graph.nodes {
        n.inputs.iter_mut().for_each(at);
        at(&mut n.output);
    }
    graph
        .inputs
        .iter_mut()
        .chain(&mut graph.outputs)
        .for_each(|p| at(&mut p.tensor));
    place
}
