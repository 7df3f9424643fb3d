//! Equal ranges for the channels of a map, for words of eight bits.
//!
//! Where what writes a map and what reads it are linear but for a clip at zero, a channel may be multiplied by a factor
//! and the weights that read it divided by it. So channels of small values fill their words too, as far as the weights
//! that read them bear it. Words have a sign, which a clipped map leaves unused: where its readers see no border its
//! values move down by half their range, and the readers' biases take that back. The first convolution's map moves though its
//! reader has a border, which a node of its own then adds: rounding there goes through the whole network.
//!
//! A channel then saturates at the largest value of the calibration images, as a map of one scale does at the largest of
//! all its channels.
//!
//! Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1, with factors from measured ranges of activations, and their
//! sizes balanced rather than their peaks.

use super::PtqError;
use cnna_net::op::{Conv, Pad};
use cnna_net::{Activation, Graph, Node, Op, Padding, Shape, Tensor, TensorId, Values};
use std::borrow::Cow;

/// Fraction bits of equalised maps; which ones does not matter, since their channels are scaled to fit.
const FRAC: i32 = 4;
/// Room above a channel's peak for images to come.
const MARGIN: f32 = 1.0;
/// A channel that is this much smaller than the largest of its map is not made larger still.
const MOST: f32 = 8.0;
/// Between balance of weights and activations, 0, and channels that all fill their words, 1: activations make most of the
/// noise.
const FULL: f32 = 0.25;

/// How a tensor's values became others: `v * scale[channel] - offset`.
#[derive(Clone, Debug)]
pub struct View {
    scale: Vec<f32>,
    offset: f32,
}

impl View {
    /// The values of a map as they became.
    pub fn of<'v>(view: Option<&View>, values: &'v [f32]) -> Cow<'v, [f32]> {
        let Some(View { scale, offset }) = view else {
            return values.into();
        };
        let each = (values.len() / scale.len().max(1)).max(1);
        let mut viewed = values.to_vec();
        for (part, s) in viewed.chunks_mut(each).zip(scale) {
            part.iter_mut().for_each(|v| *v = *v * s - offset);
        }
        viewed.into()
    }
}

/// A channel's largest magnitude, and its mean square.
#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    peak: f32,
    square: f64,
}

/// What the channels of each tensor had on the images.
#[derive(Clone, Debug)]
pub struct Channels(Vec<Vec<Channel>>);

impl Channels {
    /// For the tensors of a graph.
    pub fn new(graph: &Graph) -> Self {
        let of = |t: &Tensor| vec![Channel::default(); t.shape.c];
        Channels(graph.tensors.iter().map(of).collect())
    }

    /// Adds one tensor of an image.
    pub fn add(&mut self, tensor: TensorId, values: &[f32]) {
        let channels = &mut self.0[tensor];
        let each = (values.len() / channels.len().max(1)).max(1);
        for (c, part) in channels.iter_mut().zip(values.chunks(each)) {
            c.peak = part.iter().fold(c.peak, |p, v| p.max(v.abs()));
            let sum: f64 = part.iter().map(|&v| f64::from(v).powi(2)).sum();
            c.square += sum / each as f64;
        }
    }

    /// Of tensors that share their factors.
    fn together(&self, tensors: &[TensorId]) -> Vec<Channel> {
        let mut all = self.0[tensors[0]].clone();
        for &t in &tensors[1..] {
            for (a, c) in all.iter_mut().zip(&self.0[t]) {
                a.peak = a.peak.max(c.peak);
                a.square = a.square.max(c.square);
            }
        }
        all
    }
}

/// Tensors that share their factors, and who writes and reads them.
#[derive(Debug, Default)]
struct Set {
    tensors: Vec<TensorId>,
    /// Nodes: convolutions.
    writers: Vec<usize>,
    readers: Vec<usize>,
    /// The upper bound of the clip that all values go through; infinite without one.
    top: f32,
    /// Something that no factor goes through.
    fixed: bool,
}

/// True for functions that a positive factor goes through; a clip's bound takes it.
fn scales(a: &Activation) -> bool {
    match a {
        Activation::None | Activation::Relu | Activation::Leaky(_) => true,
        Activation::Clip { lo, hi } => *lo == 0.0 && *hi > 0.0,
        _ => false,
    }
}

fn find(parent: &[usize], mut t: usize) -> usize {
    while parent[t] != t {
        t = parent[t];
    }
    t
}

fn sets(graph: &Graph, given: &[Option<i32>]) -> Vec<Set> {
    let mut parent: Vec<usize> = (0..graph.tensors.len()).collect();
    // Whether factors go through a node that is no convolution.
    let through = |op: &Op| match op {
        Op::Add(a) => matches!(a.activation, Activation::None | Activation::Relu),
        Op::MaxPool(_) | Op::AveragePool(_) => true,
        _ => false,
    };
    for n in graph.nodes.iter().filter(|n| through(&n.op)) {
        for &t in &n.inputs {
            let (a, b) = (find(&parent, t), find(&parent, n.output));
            parent[a] = b;
        }
    }
    let mut sets: Vec<Set> = graph.tensors.iter().map(|_| Set::default()).collect();
    for (t, given) in given.iter().enumerate() {
        let set = &mut sets[find(&parent, t)];
        set.tensors.push(t);
        set.fixed |= given.is_some() || graph.is_output(t);
    }
    for p in &graph.inputs {
        sets[find(&parent, p.tensor)].fixed = true;
    }
    for (i, n) in graph.nodes.iter().enumerate() {
        match &n.op {
            Op::Conv(c) => {
                let words = c.weights.reals().is_none() || c.bias.reals().is_none();
                let reading = &mut sets[find(&parent, n.inputs[0])];
                reading.fixed |= words;
                reading.readers.push(i);
                let written = &mut sets[find(&parent, n.output)];
                written.fixed |= words || !scales(&c.activation);
                written.writers.push(i);
            }
            op if through(op) => {}
            _ => {
                sets[find(&parent, n.output)].fixed = true;
                for &t in &n.inputs {
                    sets[find(&parent, t)].fixed = true;
                }
            }
        }
    }
    for s in &mut sets {
        let bound = |&w: &usize| match graph.nodes[w].op.conv().map(|c| &c.activation) {
            Some(Activation::Clip { hi, .. }) => *hi,
            _ => f32::INFINITY,
        };
        let bounds: Vec<f32> = s.writers.iter().map(bound).collect();
        s.top = bounds.iter().copied().fold(f32::INFINITY, f32::min);
        // One factor a channel cannot serve clips of several bounds.
        s.fixed |= bounds.iter().any(|b| *b != s.top);
        let channels = |t: &TensorId| graph.tensors[*t].shape.c;
        s.fixed |= s
            .tensors
            .iter()
            .any(|t| channels(t) != channels(&s.tensors[0]));
    }
    sets.retain(|s| !s.fixed && !s.writers.is_empty() && !s.readers.is_empty());
    sets
}

/// Weights of one input channel of one output channel.
fn taps(c: &Conv) -> usize {
    (c.window.kernel[0] * c.window.kernel[1]).max(1)
}

/// The input channel that the `k`th part of the weights, of so many [`taps`], reads, of so many channels.
fn read_by(c: &Conv, channels: usize, k: usize) -> usize {
    let (per_group, rows) = ((channels / c.groups).max(1), (c.oc / c.groups).max(1));
    k / per_group / rows * per_group + k % per_group
}

/// Factors of a set's channels; `reach` is the largest value that its words will hold.
fn factors(graph: &Graph, set: &Set, seen: &[Channel], reach: f32) -> Option<Vec<f32>> {
    let peak = seen.iter().fold(0f32, |p, c| p.max(c.peak));
    // What the map has already.
    let top = match set.top.is_finite() {
        true => set.top,
        false => peak * MARGIN,
    };
    if !(peak > 0.0 && top.is_finite()) {
        return None;
    }
    let least = reach / top;
    let most: Vec<f32> = seen
        .iter()
        .map(|c| (reach / (c.peak * MARGIN).max(top / MOST)).max(least))
        .collect();
    let (mut squares, mut rows) = (vec![0f64; seen.len()], 0);
    for &r in &set.readers {
        let Op::Conv(c) = &graph.nodes[r].op else {
            continue;
        };
        // A depthwise kernel's own scale takes any factor.
        if c.groups == seen.len() {
            continue;
        }
        rows += c.oc / c.groups;
        let weights = c.weights.reals()?;
        for (k, part) in weights.chunks(taps(c)).enumerate() {
            let sum: f64 = part.iter().map(|&w| f64::from(w).powi(2)).sum();
            squares[read_by(c, seen.len(), k)] += sum;
        }
    }
    if rows == 0 {
        return Some(most);
    }
    let balance = |(s, c): (&f64, &Channel)| {
        let weights = s / rows as f64;
        (weights.max(1e-12) / c.square.max(1e-9)).powf(0.25) as f32
    };
    let balanced: Vec<f32> = squares.iter().zip(seen).map(balance).collect();
    let ratios = most.iter().zip(&balanced).map(|(m, b)| m / b);
    let k = ratios.fold(f32::INFINITY, f32::min);
    let between = |(m, b): (&f32, &f32)| {
        let b = (b * k).clamp(least, *m);
        m.powf(FULL) * b.powf(1.0 - FULL)
    };
    Some(most.iter().zip(&balanced).map(between).collect())
}

/// A graph whose maps have equal channels.
#[derive(Debug)]
pub struct Equalised {
    /// In float; the tensors of the graph before keep their numbers.
    pub graph: Graph,
    /// Formats that tensors must have.
    pub given: Vec<Option<i32>>,
    /// How each tensor's values became others.
    pub views: Vec<Option<View>>,
}

/// The graph with equal channels; none where no map can have them. `given` are formats that tensors must have, `seen` is
/// of so many images.
///
/// Errors: a graph that is no longer one.
pub fn equalised(
    graph: &Graph,
    given: &[Option<i32>],
    seen: &Channels,
    images: usize,
) -> Result<Option<Equalised>, PtqError> {
    let word = graph.word;
    let (mut done, mut given) = (graph.clone(), given.to_vec());
    let mut views: Vec<Option<View>> = graph.tensors.iter().map(|_| None).collect();
    let inputs: Vec<TensorId> = graph.inputs.iter().map(|p| p.tensor).collect();
    let mut borders = Vec::new();
    let step = 2f32.powi(-FRAC);
    let (lowest, highest) = (word.min() as f32 * step, word.max() as f32 * step);
    for set in sets(graph, &given) {
        let padded = |&r: &usize| match &graph.nodes[r].op {
            Op::Conv(c) => c.window.pad != Padding::default(),
            _ => false,
        };
        let alone = set.tensors.len() == 1 && set.top.is_finite();
        let first = set
            .writers
            .iter()
            .all(|&w| inputs.contains(&graph.nodes[w].inputs[0]));
        let border = alone && first && set.readers.len() == 1 && padded(&set.readers[0]);
        let moves = border || (alone && !set.readers.iter().any(padded));
        let (reach, offset) = match moves {
            true => (highest - lowest, -lowest),
            false => (highest, 0.0),
        };
        let mut channels = seen.together(&set.tensors);
        channels
            .iter_mut()
            .for_each(|c| c.square /= images.max(1) as f64);
        let Some(scale) = factors(&done, &set, &channels, reach) else {
            continue;
        };
        for &w in &set.writers {
            let Op::Conv(c) = &mut done.nodes[w].op else {
                continue;
            };
            write(c, &scale, offset);
            if let Activation::Clip { lo, hi } = &mut c.activation {
                (*lo, *hi) = (-offset, highest);
            }
        }
        for &r in &set.readers {
            if let Op::Conv(c) = &mut done.nodes[r].op {
                read(c, &scale, offset);
            }
        }
        for &t in &set.tensors {
            views[t] = Some(View {
                scale: scale.clone(),
                offset,
            });
            if moves {
                given[t] = Some(FRAC);
            }
        }
        if border {
            borders.push(set.readers[0]);
        }
    }
    // From behind, so that the nodes before keep their places.
    borders.sort_unstable();
    for r in borders.into_iter().rev() {
        border(&mut done, r, lowest)?;
        given.push(Some(FRAC));
    }
    Ok(views.iter().any(Option::is_some).then_some(Equalised {
        graph: done,
        given,
        views,
    }))
}

/// A writer's channels times their factors, less the offset.
fn write(c: &mut Conv, scale: &[f32], offset: f32) {
    if let Values::Reals(weights) = &mut c.weights {
        let each = (weights.len() / scale.len().max(1)).max(1);
        for (part, s) in weights.chunks_mut(each).zip(scale) {
            part.iter_mut().for_each(|w| *w *= s);
        }
    }
    if let Values::Reals(bias) = &mut c.bias {
        for (b, s) in bias.iter_mut().zip(scale) {
            *b = *b * s - offset;
        }
    }
}

/// A reader's weights and biases for channels that were multiplied and moved down.
fn read(c: &mut Conv, scale: &[f32], offset: f32) {
    let (each, of) = (taps(c), |k| read_by(c, scale.len(), k));
    let Some(weights) = c.weights.reals() else {
        return;
    };
    let parts = weights.chunks(each).enumerate();
    let weights: Vec<f32> = parts
        .flat_map(|(k, part)| {
            let s = scale[of(k)];
            part.iter().map(move |w| w / s)
        })
        .collect();
    let each = (weights.len() / c.oc.max(1)).max(1);
    let sums: Vec<f32> = weights.chunks(each).map(|w| w.iter().sum()).collect();
    if let Values::Reals(bias) = &mut c.bias {
        for (b, sum) in bias.iter_mut().zip(sums) {
            *b += offset * sum;
        }
    }
    c.weights = Values::Reals(weights);
}

/// A node of its own for the border that a convolution has, of the value that zero became.
fn border(graph: &mut Graph, reader: usize, value: f32) -> Result<(), PtqError> {
    let from = graph.nodes[reader].inputs[0];
    let Op::Conv(c) = &mut graph.nodes[reader].op else {
        return Ok(());
    };
    let p = std::mem::take(&mut c.window.pad);
    let shape = graph.tensors[from].shape;
    let shape = Shape {
        c: shape.c,
        h: shape.h + p.top + p.bottom,
        w: shape.w + p.left + p.right,
    };
    let name = format!("{}/border", graph.nodes[reader].name);
    let to = graph.tensor(&name, shape, None);
    graph.nodes[reader].inputs[0] = to;
    let node = Node {
        name,
        op: Pad {
            before: [0, p.top, p.left],
            after: [0, p.bottom, p.right],
            value,
        }
        .into(),
        inputs: vec![from],
        output: to,
    };
    graph.nodes.insert(reader, node);
    graph.check()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptq::FloatModel;
    use cnna_machine::num::Word;
    use cnna_net::Window;
    use cnna_net::op::{Add, AveragePool};

    const SIDE: usize = 6;

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        let at = |k: usize| ((k * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
        (0..n).map(at).collect()
    }

    fn conv(oc: usize, ic: usize, groups: usize, kernel: usize, top: f32) -> Conv {
        let border = kernel / 2;
        let mut window = Window::plain(kernel, kernel);
        window.pad = Padding {
            top: border,
            left: border,
            bottom: border,
            right: border,
        };
        let each = ic / groups * kernel * kernel;
        let mut weights = noise(oc * each, oc + kernel);
        // Channels of very different size.
        for (i, w) in weights.iter_mut().enumerate() {
            *w *= 2f32.powi(-((i / each % 6) as i32));
        }
        Conv {
            oc,
            groups,
            window,
            weights: Values::Reals(weights),
            finer: Vec::new(),
            bias: Values::Reals(noise(oc, 3)),
            activation: match top.is_finite() {
                true => Activation::Clip { lo: 0.0, hi: top },
                false => Activation::None,
            },
        }
    }

    /// An inverted residual behind a first convolution, a mean and a classifier.
    fn network() -> Graph {
        const FAR: f32 = f32::INFINITY;
        let mut g = Graph::new("g", Word::W8);
        let side = Shape {
            c: 3,
            h: SIDE,
            w: SIDE,
        };
        let x = g.input("x", side, None);
        let mut push = |name: &str, op: Op, inputs: &[TensorId]| {
            g.push(name, op, inputs, None).expect("it fits")
        };
        let a = push("a", conv(12, 3, 1, 3, 2.0).into(), &[x]);
        let b = push("b", conv(12, 12, 12, 3, 2.0).into(), &[a]);
        let c = push("c", conv(8, 12, 1, 1, FAR).into(), &[b]);
        let d = push("d", conv(12, 8, 4, 1, 1.5).into(), &[c]);
        let e = push("e", conv(12, 12, 12, 3, 1.5).into(), &[d]);
        let f = push("f", conv(8, 12, 1, 1, FAR).into(), &[e]);
        let s = push("s", Add::of(2).into(), &[c, f]);
        let pool = AveragePool {
            window: Window::plain(SIDE, SIDE),
            counted: Padding::default(),
        };
        let p = push("p", pool.into(), &[s]);
        let y = push("y", conv(5, 8, 1, 1, FAR).into(), &[p]);
        g.output(y);
        g
    }

    fn values(g: &Graph, image: &[f32]) -> Vec<Vec<f32>> {
        let mut all = vec![Vec::new(); g.tensors.len()];
        let model = FloatModel::new(g).expect("a model");
        let keep = |t: TensorId, v: &[f32]| {
            all[t] = v.to_vec();
            Ok(())
        };
        model.run(vec![image.to_vec()], keep).expect("it runs");
        all
    }

    #[test]
    fn equal_channels_are_the_same_network_in_other_units() {
        let g = network();
        let image = noise(3 * SIDE * SIDE, 1);
        let before = values(&g, &image);
        let mut seen = Channels::new(&g);
        before.iter().enumerate().for_each(|(t, v)| seen.add(t, v));
        let e = equalised(&g, &vec![None; g.tensors.len()], &seen, 1);
        let e = e.expect("a graph").expect("maps to equalise");
        let after = values(&e.graph, &image);
        for (t, v) in before.iter().enumerate() {
            let name = &g.tensors[t].name;
            let ends = ["x", "y"].contains(&&name[..]);
            assert_eq!(e.views[t].is_none(), ends, "{name}");
            let expected = View::of(e.views[t].as_ref(), v);
            let far = expected.iter().zip(&after[t]).map(|(a, b)| (a - b).abs());
            let far = far.fold(0f32, f32::max);
            let peak = expected.iter().fold(0f32, |p, v| p.max(v.abs()));
            assert!(far < 1e-4 * peak.max(1.0), "{name}: {far} of {peak}");
            // Clipped maps fill the words, both halves where no border is seen or it is a node of its own.
            let lowest = after[t].iter().copied().fold(f32::MAX, f32::min);
            let moved = ["a", "b", "e"].contains(&&name[..]);
            assert_eq!(lowest == -8.0, moved, "{name}: {lowest}");
            assert_eq!(e.given[t], moved.then_some(FRAC), "{name}");
        }
        let border: Vec<&Node> = e
            .graph
            .nodes
            .iter()
            .filter(|n| matches!(n.op, Op::Pad(_)))
            .collect();
        assert_eq!(border.len(), 1);
        assert_eq!(border[0].name, "b/border");
    }

    #[test]
    fn formats_that_are_given_and_functions_that_no_factor_goes_through_stay() {
        let g = network();
        let mut seen = Channels::new(&g);
        let all = values(&g, &noise(3 * SIDE * SIDE, 1));
        all.iter().enumerate().for_each(|(t, v)| seen.add(t, v));
        let given = vec![Some(3); g.tensors.len()];
        assert!(equalised(&g, &given, &seen, 1).expect("a graph").is_none());
        let mut smooth = g.clone();
        for n in &mut smooth.nodes {
            if let Op::Conv(c) = &mut n.op {
                c.activation = Activation::Clip { lo: -1.0, hi: 1.0 };
            }
        }
        let none = vec![None; g.tensors.len()];
        assert!(
            equalised(&smooth, &none, &seen, 1)
                .expect("a graph")
                .is_none()
        );
    }
}
