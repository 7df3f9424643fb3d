//! From layers to nodes of a graph with random weights.

use super::{Arch, ArchActivation, ArchLayer, LayerKind, Sides};
use crate::FloatNet;
use crate::train::export::{INPUT, OUTPUT};
use cnna_machine::num::Word;
use cnna_net::activation::Function;
use cnna_net::op::{Activate, Add, AveragePool, Concat, Conv, MaxPool, Rearrange, Resize, Slice};
use cnna_net::{Activation, ArrayLayout, Graph, Op, Padding, Shape, TensorId, Values, Window};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::collections::HashMap;

/// The network of an architecture. Errors: what does not fit, and what would.
pub(super) fn network(
    arch: &Arch,
    input: Shape,
    classes: usize,
    seed: u64,
) -> Result<FloatNet, String> {
    // Until it is quantised, the width decides nothing.
    let mut graph = Graph::new(&arch.name, Word::W16);
    let mut last = graph.input(INPUT, input, None);
    let mut b = Builder {
        graph,
        rng: StdRng::seed_from_u64(seed),
        normalised: Vec::new(),
        fixed: Vec::new(),
        layer: "",
    };
    let mut places: HashMap<&str, TensorId> = HashMap::new();
    for (i, l) in arch.layers.iter().enumerate() {
        b.layer = &l.name;
        let is_last = i + 1 == arch.layers.len();
        last = layer(&mut b, &places, l, last, is_last)
            .map_err(|e| format!("layer `{}`: {e}", l.name))?;
        if places.insert(&l.name, last).is_some() {
            return Err(format!("two layers are named `{}`", l.name));
        }
    }
    let shape = b.shape(last);
    let wanted = Shape {
        c: classes,
        h: 1,
        w: 1,
    };
    if arch.layers.is_empty() || shape != wanted {
        return Err(format!(
            "its last layer gives {shape}, the data set needs {wanted}: end with an fc layer of {classes} features"
        ));
    }
    let Builder {
        mut graph,
        normalised,
        fixed,
        ..
    } = b;
    graph.output(last);
    graph.outputs[0].name = OUTPUT.into();
    graph.outputs[0].array = ArrayLayout {
        dims: vec![classes],
        ..ArrayLayout::plain(shape)
    };
    let mut net = FloatNet::new(graph).map_err(|e| format!("layer `{}`: {}", e.node, e.reason))?;
    normalised
        .into_iter()
        .for_each(|(node, channels)| net.normalise(node, channels));
    fixed.into_iter().for_each(|node| net.fix(node));
    Ok(net)
}

/// What a layer reads and writes. Errors: what does not fit.
fn layer(
    b: &mut Builder<'_>,
    places: &HashMap<&str, TensorId>,
    l: &ArchLayer,
    before: TensorId,
    is_last: bool,
) -> Result<TensorId, String> {
    let earlier = |other: &String| {
        let known = places.get(&other[..]).copied();
        known.ok_or_else(|| format!("no layer before it is named `{other}`"))
    };
    let x = l.from.as_ref().map_or(Ok(before), earlier)?;
    let shape = b.shape(x);
    let or_relu = |wanted: Option<ArchActivation>| match wanted {
        Some(a) => a,
        None if is_last => ArchActivation::None,
        None => ArchActivation::Relu,
    };
    match &l.kind {
        LayerKind::Conv {
            channels,
            kernel,
            stride,
            pad,
            groups,
            dilation,
            norm,
            activation,
        } => {
            let window = Window {
                dilation: dilation.get(),
                ..b.window(x, *kernel, *stride, *pad)?
            };
            let sums = Sums {
                groups: groups.unwrap_or(1),
                norm: *norm,
                activation: or_relu(*activation),
                ..Sums::new(*channels, window)
            };
            b.sums("", x, sums)
        }
        LayerKind::Fc {
            features,
            activation,
        } => {
            let sums = Sums {
                activation: or_relu(*activation),
                ..Sums::new(*features, Window::plain(shape.h, shape.w))
            };
            b.sums("", x, sums)
        }
        LayerKind::MaxPool {
            kernel,
            stride,
            pad,
        } => {
            let window = b.window(x, *kernel, *stride, *pad)?;
            b.push("", MaxPool { window }, &[x])
        }
        LayerKind::AveragePool {
            kernel,
            stride,
            pad,
        } => {
            let window = b.window(x, *kernel, *stride, *pad)?;
            b.average("", x, window)
        }
        LayerKind::GlobalAverage {} => b.average("", x, Window::plain(shape.h, shape.w)),
        LayerKind::GlobalMax {} => {
            let window = Window::plain(shape.h, shape.w);
            b.push("", MaxPool { window }, &[x])
        }
        LayerKind::Add {
            with,
            negative,
            activation,
        } => {
            let (plain, table) = split(activation.unwrap_or(ArchActivation::Relu));
            let add = Add {
                negative: vec![false, *negative],
                activation: plain,
            };
            b.then(add.into(), &[x, earlier(with)?], table, "")
        }
        LayerKind::Concat { with } => {
            let mut all = vec![x];
            for other in with {
                all.push(earlier(other)?);
            }
            b.push("", Concat { axis: 0 }, &all)
        }
        LayerKind::Channels { first, count } => b.channels("", x, *first, *count),
        LayerKind::Upsample { factor } => {
            if *factor == 0 {
                return Err("its factor is 0: use at least 1".into());
            }
            b.resize("", x, [shape.h * factor, shape.w * factor])
        }
        LayerKind::Maxout { pieces } => b.maxout(x, *pieces),
        LayerKind::MixedPool { kernel, stride } => {
            let window = b.window(x, *kernel, *stride, Sides::Both(0))?;
            b.mixed_pool(x, window)
        }
        LayerKind::GatedPool { kernel, stride } => {
            let window = b.window(x, *kernel, *stride, Sides::Both(0))?;
            b.gated_pool(x, window)
        }
        LayerKind::TreePool {
            kernel,
            stride,
            levels,
        } => {
            let window = b.window(x, *kernel, *stride, Sides::Both(0))?;
            b.tree_pool(x, window, *levels)
        }
        LayerKind::SoftPool { kernel } => {
            let x = b.whole_blocks(x, *kernel)?;
            b.soft_pool("", x, *kernel)
        }
        LayerKind::AdaPool { kernel } => b.ada_pool(x, *kernel),
        LayerKind::BlurPool { kernel } => b.blur_pool(x, *kernel),
        LayerKind::SpaceToDepth { block } => b.space_to_depth(x, *block),
        LayerKind::GemPool { kernel, power } => b.gem_pool(x, *kernel, *power),
        LayerKind::SqueezeExcite { reduction } => b.squeeze_excite(x, *reduction),
        LayerKind::Tokens {} => {
            let to = Shape {
                c: shape.h * shape.w,
                h: shape.c,
                w: 1,
            };
            b.transpose(x, to)
        }
        LayerKind::Pixels { rows } => {
            if *rows == 0 || !shape.c.is_multiple_of(*rows) || shape.w != 1 {
                return Err(format!(
                    "{rows} rows are not made of the tokens {shape}: give a divisor of {}",
                    shape.c
                ));
            }
            let to = Shape {
                c: shape.h,
                h: *rows,
                w: shape.c / rows,
            };
            b.transpose(x, to)
        }
    }
}

/// The activation as a part of the sums before it, or as a table behind them.
fn split(a: ArchActivation) -> (Activation, Option<Function>) {
    let table = |f| (Activation::None, Some(f));
    match a {
        ArchActivation::None => (Activation::None, None),
        ArchActivation::Relu => (Activation::Relu, None),
        ArchActivation::Relu6 => (Activation::Clip { lo: 0.0, hi: 6.0 }, None),
        ArchActivation::Leaky => (Activation::Leaky(0.1), None),
        ArchActivation::Sigmoid => table(Function::Sigmoid),
        ArchActivation::Tanh => table(Function::Tanh),
        ArchActivation::Silu => table(Function::Silu),
        ArchActivation::Gelu => table(Function::Gelu),
        ArchActivation::HardSwish => table(Function::HardSwish),
    }
}

/// What weights are at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum First {
    /// Uniform, as large as their number asks for.
    Uniform,
    /// About the mean of a window.
    NearMean,
    /// All the same.
    All(f32),
}

/// A convolution to be made.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub channels: usize,
    pub groups: usize,
    pub window: Window,
    pub norm: bool,
    pub activation: ArchActivation,
    pub first: First,
}

impl Sums {
    /// Of all channels, with nothing behind.
    pub fn new(channels: usize, window: Window) -> Self {
        Sums {
            channels,
            groups: 1,
            window,
            norm: false,
            activation: ArchActivation::None,
            first: First::Uniform,
        }
    }
    /// Each channel by itself.
    pub fn depthwise(channels: usize, window: Window) -> Self {
        Sums {
            groups: channels,
            ..Sums::new(channels, window)
        }
    }
}

/// Where a network is built; the nodes of a layer are named after it.
pub(super) struct Builder<'a> {
    graph: Graph,
    rng: StdRng,
    /// Nodes whose sums are normalised, and their channels.
    normalised: Vec<(usize, usize)>,
    /// Nodes that are not trained.
    fixed: Vec<usize>,
    layer: &'a str,
}

impl Builder<'_> {
    pub fn shape(&self, t: TensorId) -> Shape {
        self.graph.tensors[t].shape
    }

    /// Appends a node; the last of a layer has no suffix. Errors: its inputs do not fit.
    pub fn push(
        &mut self,
        suffix: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
    ) -> Result<TensorId, String> {
        let name = match suffix {
            "" => self.layer.to_string(),
            s => format!("{}/{s}", self.layer),
        };
        let op = op.into();
        let shapes: Vec<Shape> = inputs.iter().map(|&t| self.shape(t)).collect();
        // Said without the node's name, which the layer's error has.
        op.shape(&shapes)?;
        let pushed = self.graph.push(&name, op, inputs, None);
        pushed.map_err(|e| e.to_string())
    }

    /// A node, and the table behind it.
    fn then(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        table: Option<Function>,
        suffix: &str,
    ) -> Result<TensorId, String> {
        let Some(f) = table else {
            return self.push(suffix, op, inputs);
        };
        let sums = match suffix {
            "" => "sums".to_string(),
            s => format!("{s}/sums"),
        };
        let y = self.push(&sums, op, inputs)?;
        self.table(suffix, y, f)
    }

    /// A function of each value.
    pub fn table(&mut self, suffix: &str, x: TensorId, f: Function) -> Result<TensorId, String> {
        let function = Activation::Table(f);
        self.push(suffix, Activate { function }, &[x])
    }

    /// A window that fits its input. Errors: it does not.
    pub fn window(
        &self,
        x: TensorId,
        kernel: Sides,
        stride: Sides,
        pad: Sides,
    ) -> Result<Window, String> {
        let [top, left] = pad.get();
        let [kh, kw] = kernel.get();
        let window = Window {
            stride: stride.get(),
            pad: Padding {
                top,
                left,
                bottom: top,
                right: left,
            },
            ..Window::plain(kh, kw)
        };
        let shape = self.shape(x);
        match window.kernel.contains(&0) || window.stride.contains(&0) {
            false if window.output(shape.h, shape.w).is_some() => Ok(window),
            _ => Err(format!(
                "kernel, stride and channels must be at least 1 and the kernel fit its {shape} input"
            )),
        }
    }

    /// A convolution with new weights and biases of zero. Errors: groups that do not divide, a kernel that does not fit.
    pub fn sums(&mut self, suffix: &str, x: TensorId, s: Sums) -> Result<TensorId, String> {
        let shape = self.shape(x);
        let divides =
            s.groups > 0 && shape.c.is_multiple_of(s.groups) && s.channels.is_multiple_of(s.groups);
        if s.channels == 0 || !divides {
            return Err(format!(
                "{} channels in {} groups do not fit the {} channels before: use at least 1 and groups that divide both",
                s.channels, s.groups, shape.c
            ));
        }
        let [kh, kw] = s.window.kernel;
        let fan_in = shape.c / s.groups * kh * kw;
        let bound = (6.0 / fan_in as f32).sqrt();
        let mean = 1.0 / fan_in as f32;
        let rng = &mut self.rng;
        let weights = (0..s.channels * fan_in).map(|_| match s.first {
            First::Uniform => rng.random_range(-bound..bound),
            First::NearMean => rng.random_range(0.0..2.0 * mean),
            First::All(w) => w,
        });
        let (plain, table) = split(s.activation);
        let conv = Conv {
            oc: s.channels,
            groups: s.groups,
            window: s.window,
            weights: Values::Reals(weights.collect()),
            finer: Vec::new(),
            bias: Values::Reals(vec![0.0; s.channels]),
            activation: plain,
        };
        if s.norm {
            self.normalised.push((self.graph.nodes.len(), s.channels));
        }
        self.then(conv.into(), &[x], table, suffix)
    }

    /// A convolution that keeps its weights, [oc][ic / groups][kernel row][kernel column]. Errors: as [`Builder::sums`].
    pub fn constant_sums(
        &mut self,
        suffix: &str,
        x: TensorId,
        sums: Sums,
        weights: Vec<f32>,
    ) -> Result<TensorId, String> {
        let node = self.graph.nodes.len();
        let y = self.sums(suffix, x, sums)?;
        if let Op::Conv(c) = &mut self.graph.nodes[node].op {
            c.weights = Values::Reals(weights);
        }
        self.fixed.push(node);
        Ok(y)
    }

    /// Mean over a window; the border does not count.
    pub fn average(
        &mut self,
        suffix: &str,
        x: TensorId,
        window: Window,
    ) -> Result<TensorId, String> {
        let counted = Padding::default();
        self.push(suffix, AveragePool { window, counted }, &[x])
    }

    /// `a - b`.
    pub fn less(&mut self, suffix: &str, a: TensorId, b: TensorId) -> Result<TensorId, String> {
        let less = Add {
            negative: vec![false, true],
            activation: Activation::None,
        };
        self.push(suffix, less, &[a, b])
    }

    /// `a + b`.
    pub fn plus(&mut self, suffix: &str, a: TensorId, b: TensorId) -> Result<TensorId, String> {
        self.push(suffix, Add::of(2), &[a, b])
    }

    /// `a * b` from what the machine has: a quarter of the square of their sum, less that of their difference.
    pub fn product(&mut self, suffix: &str, a: TensorId, b: TensorId) -> Result<TensorId, String> {
        const QUARTER_SQUARE: Function = Function::Power {
            factor: 0.25,
            exponent: 2.0,
        };
        let inner = |part: &str| match suffix {
            "" => format!("product/{part}"),
            s => format!("{s}/{part}"),
        };
        let sum = self.plus(&inner("sum"), a, b)?;
        let difference = self.less(&inner("difference"), a, b)?;
        let large = self.table(&inner("large"), sum, QUARTER_SQUARE)?;
        let small = self.table(&inner("small"), difference, QUARTER_SQUARE)?;
        self.less(suffix, large, small)
    }

    pub fn channels(
        &mut self,
        suffix: &str,
        x: TensorId,
        first: usize,
        count: usize,
    ) -> Result<TensorId, String> {
        let s = self.shape(x);
        let slice = Slice {
            start: [first, 0, 0],
            count: [count, s.h, s.w],
            step: [1; 3],
        };
        self.push(suffix, slice, &[x])
    }

    /// So many rows and columns, multiples of the input's.
    pub fn resize(
        &mut self,
        suffix: &str,
        x: TensorId,
        [h, w]: [usize; 2],
    ) -> Result<TensorId, String> {
        let s = self.shape(x);
        let places = |to: usize, from: usize| (0..to).map(|n| (n * from / to) as u32).collect();
        let resize = Resize {
            rows: places(h, s.h),
            columns: places(w, s.w),
        };
        self.push(suffix, resize, &[x])
    }

    /// Another order of all elements: what was [a][b] becomes [b][a], where `a` are channels before and pixels behind, or
    /// the other way round.
    fn transpose(&mut self, x: TensorId, to: Shape) -> Result<TensorId, String> {
        let s = self.shape(x);
        // Of tokens the channels are pixels, so both directions exchange channels and the rest.
        let (channels, pixels) = (s.c, s.h * s.w);
        let order = ArrayLayout {
            dims: to.sides().to_vec(),
            axes: vec![(pixels, 1), (channels, pixels)],
            first: 0,
        };
        self.push("", Rearrange { shape: to, order }, &[x])
    }
}
