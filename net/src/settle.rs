//! From a graph with some formats to one of integers: activations fused, formats spread, constants as words. Every pass
//! walks the nodes once or twice.

use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::{Graph, Node, TensorId};
use crate::op::{Activate, Concat, Op};
use crate::simplify::compact;
use crate::values::Values;
use cnna_machine::layout::Shape;
use cnna_machine::num::{ACC_BITS, SHIFT_RANGE, auto_scale, quantise};
use std::collections::{HashMap, HashSet};

/// All passes in order. Errors: a tensor without a format, a number that does not fit.
pub fn settle(graph: &mut Graph) -> Result<(), GraphError> {
    fuse(graph);
    spread_formats(graph);
    quantise_constants(graph)?;
    check_quantised(graph)
}

/// Clips and leaky parts become the activation of the convolution or sum before them; a clip also behind a maximum.
pub fn fuse(graph: &mut Graph) {
    let mut uses = vec![0; graph.tensors.len()];
    graph
        .nodes
        .iter()
        .flat_map(|n| &n.inputs)
        .for_each(|&t| uses[t] += 1);
    graph.outputs.iter().for_each(|p| uses[p.tensor] += 1);
    let mut writers = graph.writers();
    let mut gone = vec![false; graph.nodes.len()];
    for (i, gone) in gone.iter_mut().enumerate() {
        let Op::Activate(a) = &graph.nodes[i].op else {
            continue;
        };
        if matches!(a.function, Activation::None | Activation::Table(_)) {
            continue;
        }
        let function = a.function.clone();
        let (before, output) = (graph.nodes[i].inputs[0], graph.nodes[i].output);
        // The tensors between, which go or take the output's format.
        let mut between = vec![before];
        let Some(mut w) = writers[before] else {
            continue;
        };
        if matches!(graph.nodes[w].op, Op::MaxPool(_)) && function.is_clip() {
            let t = graph.nodes[w].inputs[0];
            between.push(t);
            match writers[t] {
                Some(conv) => w = conv,
                None => continue,
            }
        }
        let mut formats = between
            .iter()
            .chain([&output])
            .filter_map(|&t| graph.tensors[t].frac);
        let format = formats.next();
        if formats.any(|f| Some(f) != format) || between.iter().any(|&t| uses[t] != 1) {
            continue;
        }
        let Some(own) = activation_mut(&mut graph.nodes[w].op) else {
            continue;
        };
        let Some(both) = composed(own, &function) else {
            continue;
        };
        *own = both;
        // What wrote the tensor before the activation writes the one behind it.
        let writer = writers[before].expect("it was found above");
        graph.nodes[writer].output = output;
        writers[output] = Some(writer);
        graph.tensors[output].frac = format;
        if between.len() == 2 {
            graph.tensors[between[1]].frac = format;
        }
        *gone = true;
    }
    compact(graph, &gone);
}

/// A maximum of a concatenation of channels becomes one of each member, right behind what makes it: there it rides in a
/// convolution's pass or takes turns with it, and no member is copied to lie beside another. The integers are the same.
pub fn maxima_before_concatenations(graph: &mut Graph) {
    let readers = graph.readers();
    let writers = graph.writers();
    let mut gone = vec![false; graph.nodes.len()];
    // Members' maxima: those of inputs first, others behind the node that makes the member.
    let mut behind: HashMap<Option<usize>, Vec<Node>> = HashMap::new();
    for (i, gone) in gone.iter_mut().enumerate() {
        let Op::MaxPool(p) = &graph.nodes[i].op else {
            continue;
        };
        let (p, t) = (p.clone(), graph.nodes[i].inputs[0]);
        let concat =
            writers[t].filter(|&w| matches!(graph.nodes[w].op, Op::Concat(Concat { axis: 0 })));
        let alone = readers[t].len() == 1 && !graph.is_output(t);
        let Some(concat) = concat.filter(|_| alone) else {
            continue;
        };
        let (name, output) = (graph.nodes[i].name.clone(), graph.nodes[i].output);
        for (n, m) in graph.nodes[concat].inputs.clone().into_iter().enumerate() {
            let pooled = Shape {
                c: graph.tensors[m].shape.c,
                ..graph.tensors[output].shape
            };
            let name = format!("{name}/{n}");
            let pooled = graph.tensor(&name, pooled, graph.tensors[m].frac);
            graph.nodes[concat].inputs[n] = pooled;
            behind.entry(writers[m]).or_default().push(Node {
                name,
                op: p.clone().into(),
                inputs: vec![m],
                output: pooled,
            });
        }
        graph.nodes[concat].output = output;
        *gone = true;
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let mut kept = Vec::with_capacity(gone.len());
    let mut put = |graph: &mut Graph, nodes: Vec<Node>, is_gone| {
        kept.extend(nodes.iter().map(|_| is_gone));
        graph.nodes.extend(nodes);
    };
    put(graph, behind.remove(&None).unwrap_or_default(), false);
    for (i, n) in nodes.into_iter().enumerate() {
        put(graph, vec![n], gone[i]);
        put(graph, behind.remove(&Some(i)).unwrap_or_default(), false);
    }
    compact(graph, &kept);
}

fn activation_mut(op: &mut Op) -> Option<&mut Activation> {
    match op {
        Op::Conv(c) => Some(&mut c.activation),
        Op::ConvTranspose(c) => Some(&mut c.activation),
        Op::Add(a) => Some(&mut a.activation),
        _ => None,
    }
}

/// The second function behind the first as one, where one does.
fn composed(first: &Activation, second: &Activation) -> Option<Activation> {
    let bounds = |a: &Activation| match a {
        Activation::Relu => Some((0.0, f32::INFINITY)),
        Activation::Clip { lo, hi } => Some((*lo, *hi)),
        _ => None,
    };
    if *first == Activation::None {
        return Some(second.clone());
    }
    let ((l, h), (lo, hi)) = (bounds(first)?, bounds(second)?);
    let (lo, hi) = (l.max(lo).min(hi), h.max(lo).min(hi));
    Some(match lo == 0.0 && hi == f32::INFINITY {
        true => Activation::Relu,
        false => Activation::Clip { lo, hi },
    })
}

/// Gives tensors without a format that of their neighbours where values only move, and rescales where members that meet
/// have different ones.
pub fn spread_formats(graph: &mut Graph) {
    forwards(graph);
    backwards(graph);
    forwards(graph);
    rescale(graph);
}

fn forwards(graph: &mut Graph) {
    for n in graph.nodes.iter().filter(|n| n.op.keeps_format()) {
        if graph.tensors[n.output].frac.is_none() {
            // The widest range of those that meet.
            let frac = n.inputs.iter().filter_map(|&t| graph.tensors[t].frac).min();
            graph.tensors[n.output].frac = frac;
        }
    }
}

fn backwards(graph: &mut Graph) {
    let writers = graph.writers();
    for (t, w) in writers.iter().enumerate() {
        if let Some(Op::Constant(c)) = w.map(|w| &graph.nodes[w].op) {
            let own = c.values.words().map(|(_, frac)| frac);
            let frac = &mut graph.tensors[t].frac;
            *frac = frac.or(own);
        }
    }
    for n in graph.nodes.iter().rev() {
        let Some(output) = graph.tensors[n.output].frac else {
            continue;
        };
        let wanted = match &n.op {
            op if op.keeps_format() => output,
            // A residual's operand stands in the sum's scale.
            Op::Add(_) => output,
            Op::Activate(Activate {
                function: Activation::Table(f),
            }) => f.input_frac(output, graph.word),
            Op::Activate(_) => output,
            _ => continue,
        };
        let known = n.inputs.iter().filter_map(|&t| graph.tensors[t].frac);
        let finest = known.fold(output, i32::max);
        for &t in &n.inputs {
            // A constant is as fine as what it is added to, where its range allows.
            let constant = match writers[t].map(|w| &graph.nodes[w].op) {
                Some(Op::Constant(c)) if !n.op.keeps_format() => c.values.reals(),
                _ => None,
            };
            let fits = constant.and_then(|v| auto_scale(v, graph.word).ok());
            let wanted = fits.map_or(wanted, |e| finest.min(graph.word.weight_frac() - e));
            graph.tensors[t].frac.get_or_insert(wanted);
        }
    }
}

/// Before an operator that only moves values all its inputs have its output's format.
fn rescale(graph: &mut Graph) {
    let mut names: HashSet<String> = graph.tensors.iter().map(|t| t.name.clone()).collect();
    names.extend(graph.nodes.iter().map(|n| n.name.clone()));
    let mut done: HashMap<(TensorId, i32), TensorId> = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut n in std::mem::take(&mut graph.nodes) {
        // An activation brings its input to its format itself.
        let moves = n.op.keeps_format() && !matches!(n.op, Op::Activate(_));
        if let (true, Some(frac)) = (moves, graph.tensors[n.output].frac) {
            for t in &mut n.inputs {
                if graph.tensors[*t].frac.is_none_or(|f| f == frac) {
                    continue;
                }
                *t = *done.entry((*t, frac)).or_insert_with(|| {
                    let stem = format!("{}/rescale", graph.tensors[*t].name);
                    let name = (1..).map(|i| {
                        if i == 1 {
                            stem.clone()
                        } else {
                            format!("{stem}_{i}")
                        }
                    });
                    let name = name
                        .into_iter()
                        .find(|n| names.insert(n.clone()))
                        .expect("numbers do not end");
                    let output = graph.tensor(&name, graph.tensors[*t].shape, Some(frac));
                    nodes.push(Node {
                        name,
                        op: Activate {
                            function: Activation::None,
                        }
                        .into(),
                        inputs: vec![*t],
                        output,
                    });
                    output
                });
            }
        }
        nodes.push(n);
    }
    graph.nodes = nodes;
}

/// Constants of nodes whose formats are known become words (auto-scaled) and sums (rounded half to even). Errors: NaN or
/// infinity, a bias beyond the accumulator, a shift beyond the machine's.
pub fn quantise_constants(graph: &mut Graph) -> Result<(), GraphError> {
    let word = graph.word;
    for i in 0..graph.nodes.len() {
        let n = &graph.nodes[i];
        let (name, operator) = (n.name.clone(), n.op.name());
        let error = |reason: String| GraphError::Node {
            node: name.clone(),
            operator,
            reason,
        };
        let input = n.inputs.first().and_then(|&t| graph.tensors[t].frac);
        let output = graph.tensors[n.output].frac;
        let n = &mut graph.nodes[i];
        match &mut n.op {
            Op::Conv(c) => {
                let finer = std::mem::take(&mut c.finer);
                linear(&mut c.weights, &mut c.bias, &finer, input, output, word).map_err(error)?;
                c.finer = finer;
            }
            Op::ConvTranspose(c) => {
                linear(&mut c.weights, &mut c.bias, &[], input, output, word).map_err(error)?
            }
            Op::Constant(c) => {
                let frac = match (&c.values, output) {
                    (_, Some(f)) => f,
                    (Values::Words(_, f), None) => *f,
                    (v, None) => word.weight_frac() - scale(&v.to_reals(0), word).map_err(error)?,
                };
                if c.values.words().is_none_or(|(_, f)| f != frac) {
                    c.values = words(&c.values.to_reals(0), frac, word).map_err(error)?;
                }
                graph.tensors[n.output].frac = Some(frac);
            }
            _ => {}
        }
    }
    Ok(())
}

fn scale(v: &[f32], word: cnna_machine::num::Word) -> Result<i32, String> {
    auto_scale(v, word).map_err(|i| {
        format!(
            "its constant holds {} at element {i}: the model is damaged or its training diverged",
            v[i]
        )
    })
}

fn words(v: &[f32], frac: i32, word: cnna_machine::num::Word) -> Result<Values, String> {
    let q: Option<Vec<i16>> = v.iter().map(|&x| quantise(x.into(), frac, word)).collect();
    Ok(Values::Words(
        q.ok_or("its constant holds NaN: the model is damaged or its training diverged")?,
        frac,
    ))
}

/// Fraction bits of weights of `taps` products an output that could have `finest`. A bias that would not fit the
/// accumulator, or a shift beyond the machine's, makes them coarser, as long as the largest inputs times their rounding stay
/// below the output's last bit. The formats are the input's and the output's.
pub fn bounded(
    finest: i32,
    taps: usize,
    bias: &[f32],
    [input, output]: [i32; 2],
    word: cnna_machine::num::Word,
) -> i32 {
    let room = match bias.iter().fold(0f32, |m, v| m.max(v.abs())) {
        0.0 => i32::MAX,
        b => ACC_BITS as i32 - 3 - f64::from(b).log2().ceil() as i32 - input,
    };
    let reach = *SHIFT_RANGE.end() + output - input;
    let taps = taps.max(1).ilog2() as i32 + 1;
    let needed = output - input + word.bits() as i32 - 1 + taps;
    match finest.min(room).min(reach) {
        coarse if coarse >= needed => coarse,
        _ => finest,
    }
}

fn linear(
    weights: &mut Values,
    bias: &mut Values,
    finer: &[u8],
    input: Option<i32>,
    output: Option<i32>,
    word: cnna_machine::num::Word,
) -> Result<(), String> {
    let (Some(input), Some(output)) = (input, output) else {
        return Ok(());
    };
    if let Values::Reals(v) = weights {
        let finest = word.weight_frac() - scale(v, word)?;
        let taps = v.len() / bias.len().max(1);
        let frac = bounded(
            finest,
            taps,
            bias.reals().unwrap_or_default(),
            [input, output],
            word,
        );
        *weights = words(v, frac, word)?;
    }
    let frac = weights.words().map_or(0, |(_, f)| f);
    if let Values::Reals(v) = bias {
        let limit = 2f64.powi(ACC_BITS as i32 - 1);
        let mut sums = Vec::with_capacity(v.len());
        for (c, &x) in v.iter().enumerate() {
            let frac = frac + finer.get(c).map_or(0, |&d| d.into());
            let q = (f64::from(x) * 2f64.powi(input + frac)).round_ties_even();
            // The largest bias rounds to the limit itself as a float of 24 bits.
            let q = if q == limit { limit - 1.0 } else { q };
            if !(-limit..limit).contains(&q) {
                return Err(format!(
                    "its bias {x} of channel {c} does not fit {ACC_BITS} bits at {} fraction bits: its weights or its input are \
                     scaled too finely, give its input fewer fraction bits",
                    input + frac
                ));
            }
            sums.push(q as i64);
        }
        *bias = Values::Sums(sums);
    }
    let finest = finer.iter().max().map_or(0, |&d| d.into());
    let shift = input + frac - output;
    let shift = if shift < 0 { shift } else { shift + finest };
    match SHIFT_RANGE.contains(&shift) {
        true => Ok(()),
        false => Err(format!(
            "its result is shifted by {shift} bits (input {input}, weights {frac}, output {output} fraction bits), the machine shifts by \
             {SHIFT_RANGE:?}: give its output a format nearer to its input's"
        )),
    }
}

/// Every tensor that integers need has a format; what only operators of the host read or write may stay without.
pub fn check_quantised(graph: &Graph) -> Result<(), GraphError> {
    let mut needed: Vec<Option<&str>> = vec![None; graph.tensors.len()];
    let mut behind = vec![false; graph.tensors.len()];
    for n in &graph.nodes {
        // Behind an operator of the host everything is real, unless it has a format again.
        behind[n.output] = n.op.is_host()
            || n.inputs
                .iter()
                .any(|&t| behind[t] && graph.tensors[t].frac.is_none());
        n.inputs
            .iter()
            .for_each(|&t| needed[t] = needed[t].or(Some(&n.name)));
    }
    let writers = graph.writers();
    let missing: Vec<(String, String)> = graph
        .tensors
        .iter()
        .enumerate()
        .filter(|(t, tensor)| tensor.frac.is_none() && !behind[*t])
        .filter_map(|(t, tensor)| {
            let node = writers[t]
                .map(|w| graph.nodes[w].name.as_str())
                .or(needed[t])?;
            Some((node.to_string(), tensor.name.clone()))
        })
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(GraphError::Formats(missing)),
    }
}
