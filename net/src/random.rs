//! Random graphs over the operators list, each a function of its seed alone: branches, several inputs and outputs, tensors
//! read twice, every attribute, the extremes of the number range.

use crate::Activation;
use crate::graph::{Graph, TensorId};
use crate::op::random::{FRACS, sums};
use crate::op::{Activate, Add, Conv, OPERATORS, Op, Pool, Random};
use crate::window::Window;
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use crate::op::random::{channels, pick, words};

/// What random graphs may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes, at most; one at least.
    pub nodes: usize,
    /// Multiply-accumulates of one node, at most.
    pub macs: usize,
    /// Elements of one tensor, at most.
    pub elements: usize,
    /// Whether a node may be there; host operators never are.
    pub accept: fn(&Op, &[Shape]) -> bool,
}

/// What a simulation of the RTL runs in seconds.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            nodes: 8,
            macs: 4_000_000,
            elements: 1 << 14,
            accept: |_, _| true,
        }
    }
}

/// Draws of a node before it is given up.
const TRIES: usize = 100;

/// A random connected graph; every node is used, all formats are set. Equal arguments give equal graphs.
pub fn graph(seed: u64, word: Word, limits: &Limits) -> Graph {
    let r = &mut StdRng::seed_from_u64(seed);
    let mut draft = Draft::new(r, word, limits);
    let mut nodes = r.random_range(1..=limits.nodes.max(1));
    while nodes > 0 {
        nodes -= 1;
        let constant = draft.last_constant();
        let random = (0..TRIES).find_map(|_| {
            // Half of all nodes are convolutions, as in networks.
            let index = match r.random() {
                true if constant.is_none() => 0,
                _ => r.random_range(0..OPERATORS.len()),
            };
            let random = draft.draw(r, index)?;
            let inputs = &random.inputs;
            let wanted = match constant {
                Some(t) => inputs.contains(&t),
                // Reading what nobody reads yet makes paths rather than stars.
                None => {
                    let fresh = |&t: &usize| draft.joined[t] && !draft.read[t];
                    inputs.iter().any(fresh) || r.random_ratio(1, 3)
                }
            };
            wanted.then_some(random)
        });
        if let Some(random) = random {
            // A constant is nothing without its reader.
            nodes += usize::from(random.inputs.is_empty());
            draft.push(random);
        }
    }
    draft.finish(r, &format!("random-{seed}"))
}

/// A graph of one node of operator number `index` of the list (a constant has a reader too); `None` for operators of the host
/// and where `limits` accept none.
pub fn single(seed: u64, index: usize, word: Word, limits: &Limits) -> Option<Graph> {
    let r = &mut StdRng::seed_from_u64(seed);
    let mut draft = Draft::new(r, word, limits);
    let random = (0..TRIES).find_map(|_| draft.draw(r, index))?;
    let constant = random.inputs.is_empty();
    draft.push(random);
    if constant {
        draft.push_sum();
    }
    Some(draft.finish(r, &format!("random-{}-{seed}", OPERATORS[index].0)))
}

/// Up to one other node, then one to three fully connected layers: a network whose weights a batch shares.
pub fn vector_graph(seed: u64, word: Word, limits: &Limits) -> Graph {
    let r = &mut StdRng::seed_from_u64(seed);
    let outputs: Vec<usize> = (0..r.random_range(1..=3))
        .map(|_| r.random_range(1..=250))
        .collect();
    if r.random() {
        let side = pick(r, &[1, 2, 5, 9]);
        let input = Shape {
            c: r.random_range(1..=40),
            h: r.random_range(1..=side),
            w: r.random_range(1..=side),
        };
        return fully_connected(r, input, &outputs, word);
    }
    let small = Limits {
        nodes: 1,
        elements: limits.elements.min(4096),
        ..*limits
    };
    let mut g = graph(r.random(), word, &small);
    let from = g.outputs.pop().expect("a graph has an output").tensor;
    append_fc(&mut g, r, from, &outputs);
    g
}

/// Fully connected layers with so many outputs each.
pub fn fully_connected(r: &mut StdRng, input: Shape, outputs: &[usize], word: Word) -> Graph {
    let mut g = Graph::new("random-fc", word);
    let from = g.input("input", input, Some(8));
    append_fc(&mut g, r, from, outputs);
    g
}

fn append_fc(g: &mut Graph, r: &mut StdRng, mut from: TensorId, outputs: &[usize]) {
    for (n, &oc) in outputs.iter().enumerate() {
        let (i, frac) = (g.tensors[from].shape, g.tensors[from].frac.unwrap_or(0));
        let pool = Pool {
            word: g.word,
            tensors: vec![(i, frac)],
            macs: usize::MAX,
            elements: usize::MAX,
        };
        let sums = sums(r, &pool, frac, oc * i.len(), oc, |k| k / i.len());
        let conv = Conv {
            finer: Vec::new(),
            oc,
            groups: 1,
            window: Window::plain(i.h, i.w),
            weights: sums.weights,
            bias: sums.bias,
            activation: match r.random() {
                true => Activation::Relu,
                false => Activation::None,
            },
        };
        from = g
            .push(&format!("fc{n}"), conv, &[from], Some(sums.frac))
            .expect("it sees its whole input");
    }
    g.output(from);
}

/// Tensors and what makes them, before those that nothing came of are dropped.
struct Draft<'a> {
    limits: &'a Limits,
    pool: Pool,
    /// By tensor; `None` for inputs.
    ops: Vec<Option<(Op, Vec<usize>)>>,
    /// By tensor: part of the graph.
    joined: Vec<bool>,
    /// By tensor: read by a node.
    read: Vec<bool>,
}

impl<'a> Draft<'a> {
    /// Inputs of which some two can be added, multiplied or concatenated.
    fn new(r: &mut StdRng, word: Word, limits: &'a Limits) -> Self {
        let c = channels(r).min(limits.elements);
        let side = pick(r, &[1, 4, 9, 16, 40, 64]).min((limits.elements / c).isqrt().max(1));
        let (h, w) = (r.random_range(1..=side), r.random_range(1..=side));
        let frac = match r.random_range(0..4) {
            0 => r.random_range(FRACS),
            _ => word.bits() as i32 - pick(r, &[2, 4, 6, 8]),
        };
        let other = |side: usize, r: &mut StdRng| r.random_range(1..=side);
        let shapes = [
            [c, h, w],
            [c, h, w],
            [c, 1, 1],
            [1, h, w],
            [other(c, r), h, w],
            [c, other(h, r), w],
            [c, h, other(w, r)],
        ];
        let tensors: Vec<(Shape, i32)> = shapes
            .into_iter()
            .map(|s| {
                let near = frac + r.random_range(-3..=3);
                (Shape::of(s), if r.random_ratio(2, 3) { frac } else { near })
            })
            .collect();
        let n = tensors.len();
        Draft {
            limits,
            pool: Pool {
                word,
                tensors,
                macs: limits.macs,
                elements: limits.elements,
            },
            ops: vec![None; n],
            joined: vec![false; n],
            read: vec![false; n],
        }
    }

    /// A node of operator number `index` that the limits accept and that touches the graph so far.
    fn draw(&self, r: &mut StdRng, index: usize) -> Option<Random> {
        let random = Op::random(index, r, &self.pool)?;
        let shapes: Vec<Shape> = random
            .inputs
            .iter()
            .map(|&t| self.pool.tensors[t].0)
            .collect();
        // The first node reads an input, later ones what is joined to it; what only constants reach is no network.
        let first = !self.joined.contains(&true);
        let touches = |&t: &usize| match first {
            true => self.ops[t].is_none(),
            false => self.joined[t],
        };
        let touches = random.inputs.is_empty() || random.inputs.iter().any(touches);
        (touches && (self.limits.accept)(&random.op, &shapes)).then_some(random)
    }

    /// The last tensor if it is a constant, which nobody can have read yet.
    fn last_constant(&self) -> Option<usize> {
        let (op, _) = self.ops.last()?.as_ref()?;
        matches!(op, Op::Constant(_)).then_some(self.ops.len() - 1)
    }

    fn push(&mut self, random: Random) {
        let Random { op, inputs, frac } = random;
        let shapes: Vec<Shape> = inputs.iter().map(|&t| self.pool.tensors[t].0).collect();
        let shape = op
            .shape(&shapes)
            .expect("random instances fit their inputs");
        for &t in &inputs {
            self.read[t] = true;
            self.joined[t] = true;
        }
        self.pool.tensors.push((shape, frac));
        // A constant belongs to the graph once it is read.
        self.joined.push(!inputs.is_empty());
        self.read.push(false);
        self.ops.push(Some((op, inputs)));
    }

    /// Adds an input to the last tensor.
    fn push_sum(&mut self) {
        let last = self.pool.tensors.len() - 1;
        let (shape, frac) = self.pool.tensors[last];
        self.pool.tensors.push((shape, frac));
        self.joined.push(false);
        self.read.push(false);
        self.ops.push(None);
        self.push(Random {
            op: Add::of(2).into(),
            inputs: vec![last, last + 1],
            frac,
        });
    }

    fn finish(mut self, r: &mut StdRng, name: &str) -> Graph {
        if !self.joined.contains(&true) {
            let frac = self.pool.tensors[0].1;
            let function = Activation::Relu;
            self.push(Random {
                op: Activate { function }.into(),
                inputs: vec![0],
                frac,
            });
        }
        let mut g = Graph::new(name, self.pool.word);
        let mut at: Vec<Option<TensorId>> = vec![None; self.ops.len()];
        let all = || (0..self.ops.len()).filter(|&t| self.joined[t]);
        for t in all().filter(|&t| self.ops[t].is_none()) {
            let (shape, frac) = self.pool.tensors[t];
            at[t] = Some(g.input(&format!("input{t}"), shape, Some(frac)));
        }
        for t in all() {
            let Some((op, inputs)) = &self.ops[t] else {
                continue;
            };
            let inputs: Vec<TensorId> = inputs.iter().filter_map(|&t| at[t]).collect();
            let name = format!("{}{t}", op.name().to_lowercase());
            let frac = Some(self.pool.tensors[t].1);
            let output = g
                .push(&name, op.clone(), &inputs, frac)
                .expect("random instances fit their inputs");
            at[t] = Some(output);
            // Some that others read are outputs too.
            if !self.read[t] || (!inputs.is_empty() && r.random_ratio(1, 12)) {
                g.output(output);
            }
        }
        g
    }
}

/// Words for every input of a graph.
pub fn inputs(r: &mut StdRng, graph: &Graph) -> Vec<Vec<i16>> {
    let shapes = graph.inputs.iter().map(|p| graph.tensors[p.tensor].shape);
    shapes.map(|s| words(r, s.len(), graph.word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::{Padding, Values, file};
    use cnna_machine::num::{ACC_BITS, SHIFT_RANGE};
    use std::collections::BTreeMap;

    fn of_machine() -> impl Iterator<Item = usize> {
        let host = ["Bilinear", "Softmax", "ArgMax", "Lrn"];
        (0..OPERATORS.len()).filter(move |&n| !host.contains(&OPERATORS[n].0))
    }

    /// Runs a graph and returns how many results saturated, of how many.
    fn checked(g: &Graph) -> (u64, usize) {
        g.check().unwrap_or_else(|e| panic!("{e}\n{g}"));
        let r = &mut StdRng::seed_from_u64(1);
        let inputs = inputs(r, g);
        let inputs: Vec<&[i16]> = inputs.iter().map(|i| &i[..]).collect();
        let run = run(g, &inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
        let (min, max) = (g.word.min() as i16, g.word.max() as i16);
        for (t, words) in g.tensors.iter().zip(&run.tensors) {
            assert_eq!(words.values.len(), t.shape.len(), "{}\n{g}", t.name);
            assert!(
                words.values.iter().all(|v| (min..=max).contains(v)),
                "{}\n{g}",
                t.name
            );
        }
        let written = g.nodes.iter().map(|n| &run.tensors[n.output]);
        written.fold((0, 0), |(s, n), w| (s + w.saturated, n + w.values.len()))
    }

    /// What every engine relies on: formats that meet where they must, shifts in range, sums that fit the accumulator.
    fn sound(g: &Graph) {
        for n in &g.nodes {
            let frac = |t: TensorId| g.tensors[t].frac.expect("set");
            let out = frac(n.output);
            if n.op.keeps_format() {
                assert!(n.inputs.iter().all(|&t| frac(t) == out), "{}\n{g}", n.name);
            }
            let shift = match &n.op {
                Op::Conv(c) => {
                    fits(
                        &c.weights,
                        &c.bias,
                        g.word,
                        |k| k / (c.weights.len() / c.oc),
                        g,
                    );
                    c.shift(frac(n.inputs[0]), out).expect("quantised")
                }
                Op::ConvTranspose(c) => {
                    let (taps, per) = (c.window.kernel[0] * c.window.kernel[1], c.oc / c.groups);
                    let ic = g.tensors[n.inputs[0]].shape.c;
                    let channel =
                        |k: usize| k / (taps * per) * c.groups / ic * per + k / taps % per;
                    fits(&c.weights, &c.bias, g.word, channel, g);
                    frac(n.inputs[0]) + c.weights.words().expect("quantised").1 - out
                }
                Op::Add(_) => {
                    let all: Vec<i32> = n.inputs.iter().map(|&t| frac(t)).collect();
                    let (low, high) = (all.iter().min().unwrap(), all.iter().max().unwrap());
                    assert!(high - low <= g.word.bits() as i32 - 2, "{}\n{g}", n.name);
                    high - out
                }
                Op::Mul(_) => frac(n.inputs[0]) + frac(n.inputs[1]) - out,
                Op::Activate(Activate {
                    function: Activation::Table(_),
                }) => 0,
                Op::Activate(_) => frac(n.inputs[0]) - out,
                _ => 0,
            };
            assert!(SHIFT_RANGE.contains(&shift), "{}: {shift}\n{g}", n.name);
        }
    }

    fn fits(w: &Values, bias: &Values, word: Word, channel: impl Fn(usize) -> usize, g: &Graph) {
        let mut most: Vec<i64> = bias.sums().unwrap().iter().map(|b| b.abs()).collect();
        for (k, w) in w.words().unwrap().0.iter().enumerate() {
            most[channel(k)] += i64::from(*w).abs() << (word.bits() - 1);
        }
        assert!(most.iter().all(|m| *m < 1 << (ACC_BITS - 1)), "{g}");
    }

    #[test]
    fn graphs_are_sound_connected_and_run_and_hold_every_operator() {
        let mut seen = BTreeMap::new();
        let (mut saturated, mut results) = (0, 0);
        let (mut several_inputs, mut several_outputs, mut twice, mut shared) = (0, 0, 0, 0);
        for seed in 0..400 {
            let word = if seed % 3 == 0 { Word::W8 } else { Word::W16 };
            let limits = Limits {
                macs: 200_000,
                elements: 4096,
                ..Limits::default()
            };
            let g = graph(seed, word, &limits);
            assert_eq!(g, graph(seed, word, &limits), "seed {seed}");
            sound(&g);
            connected(&g);
            let (s, n) = checked(&g);
            (saturated, results) = (saturated + s, results + n as u64);
            g.nodes
                .iter()
                .for_each(|n| *seen.entry(n.op.name()).or_insert(0) += 1);
            several_inputs += usize::from(g.inputs.len() > 1);
            several_outputs += usize::from(g.outputs.len() > 1);
            twice += usize::from(
                g.nodes
                    .iter()
                    .any(|n| n.inputs.len() > 1 && n.inputs[0] == n.inputs[1]),
            );
            shared += usize::from(g.readers().iter().any(|r| r.len() > 1));
        }
        for n in of_machine() {
            assert!(
                seen.get(OPERATORS[n].0).is_some_and(|n| *n > 10),
                "{}: {seen:?}",
                OPERATORS[n].0
            );
        }
        let kinds = [several_inputs, several_outputs, twice, shared];
        assert!(kinds.iter().all(|n| (20..390).contains(n)), "{kinds:?}");
        let share = saturated as f64 / results as f64;
        assert!(
            (0.01..0.3).contains(&share),
            "{share} of all results saturate"
        );
    }

    /// Every tensor is linked to every other, and every node to an output.
    fn connected(g: &Graph) {
        let mut part: Vec<usize> = (0..g.tensors.len()).collect();
        for n in &g.nodes {
            for &t in &n.inputs {
                let (from, to) = (part[t], part[n.output]);
                part.iter_mut()
                    .filter(|p| **p == from)
                    .for_each(|p| *p = to);
            }
        }
        assert!(part.iter().all(|p| *p == part[0]), "in parts\n{g}");
        let readers = g.readers();
        for (t, readers) in readers.iter().enumerate() {
            assert!(
                g.is_output(t) || !readers.is_empty(),
                "{} unused\n{g}",
                g.tensors[t].name
            );
        }
    }

    #[test]
    fn every_operator_has_graphs_of_its_own() {
        for index in of_machine() {
            for seed in 0..60 {
                let word = if seed % 2 == 0 { Word::W8 } else { Word::W16 };
                let limits = Limits {
                    macs: 200_000,
                    elements: 4096,
                    ..Limits::default()
                };
                let g = single(seed, index, word, &limits).expect("an instance");
                assert!(
                    g.nodes.iter().any(|n| n.op.name() == OPERATORS[index].0),
                    "{g}"
                );
                sound(&g);
                checked(&g);
            }
        }
        let accept = |op: &Op, _: &[Shape]| op.name() == "Slice";
        let limits = Limits {
            accept,
            ..Limits::default()
        };
        assert!(single(1, 0, Word::W16, &limits).is_none());
        let g = graph(3, Word::W16, &limits);
        assert!(g.nodes.iter().all(|n| n.op.name() == "Slice"), "{g}");
    }

    /// A thing that instances are to show, by operator.
    type Shown = (&'static str, fn(&Op, &[Shape], Shape) -> bool);

    const SHOWN: &[Shown] = {
        use Activation::{Clip, Leaky, PRelu, Table};
        &[
            ("depthwise", |op, i, _| {
                conv(op).is_some_and(|c| c.groups == i[0].c && c.groups > 1 && c.oc == c.groups)
            }),
            ("channel multiplier", |op, i, _| {
                conv(op).is_some_and(|c| c.groups == i[0].c && c.groups > 1 && c.oc > c.groups)
            }),
            ("groups", |op, i, _| {
                conv(op).is_some_and(|c| c.groups > 1 && c.groups < i[0].c)
            }),
            ("fully connected", |op, i, _| {
                conv(op).is_some_and(|c| c.is_fc(i[0]))
            }),
            ("dilation of one tap", |op, _, _| {
                conv(op).is_some_and(|c| c.window.kernel == [1, 1] && c.window.dilation[0] > 1)
            }),
            ("dilation", |op, _, _| {
                conv(op).is_some_and(|c| c.window.kernel[0] > 1 && c.window.dilation[0] > 1)
            }),
            ("stride beyond the map", |op, i, _| {
                conv(op).is_some_and(|c| c.window.stride[0] > i[0].h && i[0].h > 1)
            }),
            ("border as wide as the kernel", |op, _, _| {
                conv(op).is_some_and(|c| c.window.pad.top == c.window.kernel[0])
            }),
            ("kernel as large as the padded map", |op, i, o| {
                conv(op).is_some_and(|c| {
                    c.window.pad.top > 0
                        && c.window.span(0) == i[0].h + c.window.pad.top + c.window.pad.bottom
                        && o.h == 1
                })
            }),
            ("odd channels", |op, i, _| {
                conv(op).is_some_and(|c| i[0].c % 2 == 1 && c.oc % 2 == 1 && c.oc > 1)
            }),
            ("one channel", |op, i, _| {
                conv(op).is_some_and(|c| i[0].c == 1 && c.oc == 1)
            }),
            ("extreme weights", |op, _, _| {
                conv(op).is_some_and(|c| {
                    c.weights.words().is_some_and(|(w, _)| {
                        w.len() > 8 && w.iter().all(|w| [-32768, 0, 32767].contains(w))
                    })
                })
            }),
            ("extreme bias", |op, _, _| {
                conv(op).is_some_and(|c| {
                    c.bias
                        .sums()
                        .is_some_and(|b| b.iter().any(|b| b.abs() > 1 << 45))
                })
            }),
            ("clip from below", |op, _, _| {
                conv(op).is_some_and(
                    |c| matches!(c.activation, Clip { lo, hi: f32::INFINITY } if lo > -1e30),
                )
            }),
            ("clip from above", |op, _, _| {
                conv(op).is_some_and(
                    |c| matches!(c.activation, Clip { lo: f32::NEG_INFINITY, hi } if hi < 1e30),
                )
            }),
            ("slope beyond one", |op, _, _| {
                conv(op).is_some_and(|c| matches!(c.activation, Leaky(m) if m > 1.0))
            }),
            ("negative slope", |op, _, _| {
                conv(op).is_some_and(|c| matches!(c.activation, Leaky(m) if m < 0.0))
            }),
            ("slope of zero", |op, _, _| {
                conv(op).is_some_and(|c| matches!(c.activation, Leaky(0.0)))
            }),
            ("slopes by channel", |op, _, _| {
                conv(op).is_some_and(
                    |c| matches!(&c.activation, PRelu(m) if m.len() == c.oc && c.oc > 1),
                )
            }),
            (
                "transposed, stride 4",
                |op, _, _| matches!(op, Op::ConvTranspose(c) if c.window.stride[0] == 4),
            ),
            (
                "transposed, stride 1",
                |op, _, _| matches!(op, Op::ConvTranspose(c) if c.window.stride == [1, 1]),
            ),
            (
                "transposed, extra rows",
                |op, _, _| matches!(op, Op::ConvTranspose(c) if c.extra[0] > 0),
            ),
            (
                "transposed, groups",
                |op, _, _| matches!(op, Op::ConvTranspose(c) if c.groups > 1 && c.oc > c.groups),
            ),
            (
                "2x2 maximum",
                |op, _, _| matches!(op, Op::MaxPool(p) if p.window == Window { stride: [2, 2], ..Window::plain(2, 2) }),
            ),
            (
                "mean that counts all",
                |op, _, _| matches!(op, Op::AveragePool(p) if p.counted == p.window.pad && p.counted.top > 0),
            ),
            (
                "mean that counts none",
                |op, _, _| matches!(op, Op::AveragePool(p) if p.counted == Padding::default() && p.window.pad.top > 0),
            ),
            (
                "mean that counts a part",
                |op, _, _| matches!(op, Op::AveragePool(p) if p.counted.top > 0 && p.counted.bottom < p.window.pad.bottom),
            ),
            ("sum of four", |op, i, _| {
                matches!(op, Op::Add(_)) && i.len() == 4
            }),
            (
                "difference",
                |op, _, _| matches!(op, Op::Add(a) if a.negative == [false, true]),
            ),
            ("gate by channel", |op, i, _| {
                matches!(op, Op::Mul(_))
                    && i[0].h > 1
                    && i[0].c > 1
                    && i[1].sides() == [i[0].c, 1, 1]
            }),
            ("gate by pixel", |op, i, _| {
                matches!(op, Op::Mul(_))
                    && i[0].h > 1
                    && i[0].c > 1
                    && i[1].sides() == [1, i[0].h, i[0].w]
            }),
            ("product of equals", |op, i, _| {
                matches!(op, Op::Mul(_)) && i[0].h > 1 && i[0] == i[1]
            }),
            (
                "table",
                |op, _, _| matches!(op, Op::Activate(a) if matches!(a.function, Table(_))),
            ),
            ("concatenated channels", |op, i, _| {
                matches!(op, Op::Concat(c) if c.axis == 0) && i.len() == 4
            }),
            ("concatenated rows", |op, i, _| {
                matches!(op, Op::Concat(c) if c.axis == 1) && i.len() == 2
            }),
            ("concatenated columns", |op, i, _| {
                matches!(op, Op::Concat(c) if c.axis == 2) && i.len() == 3
            }),
            ("slice in steps", |op, _, o| {
                matches!(op, Op::Slice(s) if s.step[1] > 1) && o.h > 1
            }),
            (
                "border of channels",
                |op, _, _| matches!(op, Op::Pad(p) if p.before[0] > 0 && p.value != 0.0),
            ),
            ("rows tripled", |op, i, o| {
                matches!(op, Op::Resize(_)) && i[0].h > 1 && o.h == 3 * i[0].h
            }),
            ("rows left out", |op, i, o| {
                matches!(op, Op::Resize(_)) && o.h < i[0].h
            }),
            ("transpose", |op, i, o| {
                matches!(op, Op::Rearrange(a) if a.order.axes.len() == 3) && i[0] != o
            }),
            ("depth to space", |op, i, o| {
                matches!(op, Op::Rearrange(a) if a.order.axes.len() == 5) && o.h > i[0].h
            }),
            ("space to depth", |op, i, o| {
                matches!(op, Op::Rearrange(a) if a.order.axes.len() == 5) && o.h < i[0].h
            }),
        ]
    };

    fn conv(op: &Op) -> Option<&Conv> {
        match op {
            Op::Conv(c) => Some(c),
            _ => None,
        }
    }

    #[test]
    fn every_attribute_occurs() {
        let mut missing: Vec<&Shown> = SHOWN.iter().collect();
        let limits = Limits {
            macs: 200_000,
            elements: 4096,
            ..Limits::default()
        };
        for seed in 0..600 {
            for index in of_machine() {
                let g = single(seed, index, Word::W16, &limits).expect("an instance");
                for n in &g.nodes {
                    let shapes = g.shapes(n);
                    missing.retain(|(_, shows)| !shows(&n.op, &shapes, g.tensors[n.output].shape));
                }
            }
        }
        let missing: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn vector_graphs_end_fully_connected() {
        for seed in 0..40 {
            let g = vector_graph(seed, Word::W8, &Limits::default());
            let last = g.nodes.last().expect("a node");
            let Op::Conv(c) = &last.op else { panic!("{g}") };
            assert!(c.is_fc(g.tensors[last.inputs[0]].shape), "{g}");
            sound(&g);
            checked(&g);
        }
    }

    #[test]
    fn random_graphs_survive_their_bytes() {
        for seed in 0..200 {
            let g = graph(
                seed,
                Word::W16,
                &Limits {
                    macs: 50_000,
                    elements: 1024,
                    ..Limits::default()
                },
            );
            let constants: Vec<u8> = file::constants(&g).flat_map(|c| c.to_vec()).collect();
            let back = file::decode(&file::structure(&g), &constants);
            assert_eq!(
                back.unwrap_or_else(|e| panic!("{e}\n{g}")),
                g,
                "seed {seed}"
            );
        }
    }

    /// Numbers of the structure and bytes of the constants changed at random: refused or run, never a panic.
    #[test]
    fn damaged_bytes_are_refused_or_run() {
        let limits = Limits {
            macs: 20_000,
            elements: 256,
            ..Limits::default()
        };
        let (mut refused, mut ran) = (0, 0);
        for seed in 0..3000 {
            let g = graph(seed % 300, Word::W16, &limits);
            let r = &mut StdRng::seed_from_u64(seed);
            let mut text = String::from_utf8(file::structure(&g)).expect("JSON is text");
            let mut constants: Vec<u8> = file::constants(&g).flat_map(|c| c.to_vec()).collect();
            if r.random_ratio(1, 4) && !constants.is_empty() {
                let at = r.random_range(0..constants.len());
                constants[at] = r.random();
            } else {
                let digit = |c: char| c.is_ascii_digit();
                let starts: Vec<usize> = text.match_indices(digit).map(|(at, _)| at).collect();
                let at = pick(r, &starts);
                let end = text[at..]
                    .find(|c| !digit(c))
                    .map_or(text.len(), |n| at + n);
                let other = pick(
                    r,
                    &[
                        "0",
                        "1",
                        "2",
                        "7",
                        "100",
                        "65536",
                        "2147483647",
                        "4611686018427387904",
                        "18446744073709551615",
                    ],
                );
                text.replace_range(at..end, other);
            }
            let Ok(g) = file::decode(text.as_bytes(), &constants) else {
                refused += 1;
                continue;
            };
            if g.tensors.iter().any(|t| t.shape.len() > 1 << 16) {
                continue;
            }
            let inputs = inputs(r, &g);
            let inputs: Vec<&[i16]> = inputs.iter().map(|i| &i[..]).collect();
            match run(&g, &inputs) {
                Ok(_) => ran += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 500 && ran > 500, "{refused} refused, {ran} ran");
    }
}
