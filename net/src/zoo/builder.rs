//! Appends nodes to a graph, keeping track of the mean square of each tensor: it says how large weights and formats must be.

use super::weights;
use crate::graph::{Graph, TensorId};
use crate::op::{Activate, Add, AveragePool, Concat, Conv, MaxPool, Mul, Op, Resize, Slice};
use crate::window::{Padding, Window};
use crate::{Activation, Shape, Values, activation::Function};
use cnna_machine::num::Word;

/// Mean square expected of the input: uniform over its whole range.
const INPUT_POWER: f64 = 4.0 / 3.0;
/// Mean square behind 2x2 max pooling over that before it: 1 for equal neighbours, 3.1 for independent ones. With 1.5 the
/// largest value of every layer of VGG16 is 0.24 to 0.60 of full scale on uniform noise, and nothing saturates.
const POOL_GAIN: f64 = 1.5;
/// The same for a mean over the whole map: what is left is mostly the channel's mean.
const MEAN_GAIN: f64 = 0.5;
/// What is left behind a smooth function of what normal values of one deviation would leave: channels differ, and these
/// functions take more from small values. With it YOLOv8n neither grows nor fades over its 60 layers.
const TABLE_GAIN: f64 = 0.97;
/// Standard deviations of an output that its format holds at least.
const HEADROOM: f64 = 8.0;
/// Bias over output, in standard deviations.
const BIAS: f64 = 0.05;

/// Mean square in front of every SiLU: about where trained networks have it.
const BEFORE_SILU: f64 = 4.0;
/// Mean square for which all tensors behind a SiLU have their format: those that are added up are the largest.
const BEHIND_SILU: f64 = 8.0;

/// Mean square of means over whole maps behind a SiLU, over that before them.
const SILU_MEAN_GAIN: f64 = 0.05;

/// Mean square in front of a ReLU where batch normalisation sets it: behind it there is half of it.
pub(super) const NORMALISED: f64 = 2.0;

/// Where a network is built.
pub(super) struct Builder {
    pub graph: Graph,
    seed: u64,
    /// Mean square of each tensor.
    power: Vec<f64>,
}

/// A convolution's attributes. Plain ones are built by [`conv`].
#[derive(Clone, Debug)]
pub(super) struct Layer {
    oc: usize,
    window: Window,
    groups: usize,
    activation: Activation,
    /// Mean square of its sums, as batch normalisation has it; `None` for twice its input's, which a ReLU then keeps but for
    /// what a border of zeros takes.
    power: Option<f64>,
    /// Fraction bits of its output; `None` for what its sums need.
    frac: Option<i32>,
}

/// A square kernel with a border of half of it, ReLU, and the mean square of its input.
pub(super) fn conv(oc: usize, kernel: usize, stride: usize) -> Layer {
    let half = kernel / 2;
    let pad = Padding {
        top: half,
        left: half,
        bottom: half,
        right: half,
    };
    Layer {
        oc,
        window: Window {
            stride: [stride, stride],
            pad,
            ..Window::plain(kernel, kernel)
        },
        groups: 1,
        activation: Activation::Relu,
        power: None,
        frac: None,
    }
}

impl Layer {
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }
    pub fn pad(mut self, pad: Padding) -> Self {
        self.window.pad = pad;
        self
    }
    pub fn depthwise(mut self) -> Self {
        self.groups = self.oc;
        self
    }
    pub fn then(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
    pub fn linear(self) -> Self {
        self.then(Activation::None)
    }
    pub fn power(mut self, power: f64) -> Self {
        self.power = Some(power);
        self
    }
    pub fn frac(mut self, frac: i32) -> Self {
        self.frac = Some(frac);
        self
    }
}

impl Builder {
    pub fn new(name: &str, input: Shape, seed: u64, word: Word) -> Self {
        let mut graph = Graph::new(name, word);
        // The range [-2, 2) holds a normalised image.
        graph.input("input", input, Some(word.weight_frac()));
        Builder {
            graph,
            seed,
            power: vec![INPUT_POWER],
        }
    }

    /// Makes a tensor the network's answer: one value a class, an array without rows and columns.
    pub fn classes(&mut self, t: TensorId) {
        self.graph.output(t);
        let classes = self.shape(t).c;
        let port = self.graph.outputs.last_mut().expect("just made");
        port.array.dims = vec![classes];
    }

    /// The network's input.
    pub fn input(&self) -> TensorId {
        self.graph.inputs[0].tensor
    }
    pub fn shape(&self, t: TensorId) -> Shape {
        self.graph.tensors[t].shape
    }
    pub fn frac(&self, t: TensorId) -> i32 {
        self.graph.tensors[t]
            .frac
            .expect("the zoo sets all formats")
    }
    pub fn power(&self, t: TensorId) -> f64 {
        self.power[t]
    }

    pub fn set_power(&mut self, t: TensorId, power: f64) {
        self.power[t] = power;
    }

    /// Fraction bits that hold values of that mean square.
    pub fn frac_for(&self, power: f64) -> i32 {
        let limit = (self.graph.word.max() as f64) / (HEADROOM * power.sqrt());
        limit.log2().floor() as i32
    }

    fn push(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        frac: i32,
        power: f64,
    ) -> TensorId {
        self.power.push(power);
        self.graph
            .push(name, op, inputs, Some(frac))
            .expect("the zoo's sizes leave at least a pixel")
    }

    /// A convolution. With twice the mean square of its input the weights are those of He et al. 2015, arXiv:1502.01852.
    pub fn conv(&mut self, name: &str, x: TensorId, layer: Layer) -> TensorId {
        let word = self.graph.word;
        let [kh, kw] = layer.window.kernel;
        let fan_in = self.shape(x).c / layer.groups * kh * kw;
        let key = weights::key(self.seed, self.graph.nodes.len() as u64);
        let gain = match layer.power {
            None => 2.0,
            Some(p) => p / self.power[x],
        };
        let oc = layer.oc;
        let seen = match layer.power {
            None => fan_in as f64,
            Some(_) => fan_in as f64 * self.inside(x, &layer.window),
        };
        let (words, weight_frac) = weights::weights(key, oc * fan_in, (gain / seen).sqrt(), word);
        let power = gain * self.power[x];
        let bias = weights::bias(key, oc, BIAS * power.sqrt(), self.frac(x) + weight_frac);
        let frac = layer.frac.unwrap_or_else(|| self.frac_for(power));
        // Weights are as often negative as positive, and so are sums.
        let power = match &layer.activation {
            Activation::None => power,
            Activation::Leaky(m) => power * (1.0 + f64::from(m * m)) / 2.0,
            _ => power / 2.0,
        };
        let conv = Conv {
            finer: Vec::new(),
            oc,
            groups: layer.groups,
            window: layer.window,
            weights: Values::Words(words, weight_frac),
            bias: Values::Sums(bias),
            activation: layer.activation,
        };
        self.push(name, conv, &[x], frac, power)
    }

    /// Share of a window's taps that fall inside the map: on small maps many do not.
    fn inside(&self, x: TensorId, window: &Window) -> f64 {
        let i = self.shape(x);
        let out = window.output(i.h, i.w).unwrap_or([1, 1]);
        let share = |axis: usize, size: usize| {
            let taps = (0..out[axis]).map(|at| window.valid_taps(axis, at, size).len());
            taps.sum::<usize>() as f64 / (out[axis] * window.kernel[axis]) as f64
        };
        share(0, i.h) * share(1, i.w)
    }

    /// A fully connected layer.
    pub fn fc(&mut self, name: &str, x: TensorId, oc: usize, activation: Activation) -> TensorId {
        let Shape { h, w, .. } = self.shape(x);
        self.conv(
            name,
            x,
            conv(oc, 1, 1).window(Window::plain(h, w)).then(activation),
        )
    }

    /// 2x2 max pooling.
    pub fn pool(&mut self, name: &str, x: TensorId) -> TensorId {
        let window = Window {
            stride: [2, 2],
            ..Window::plain(2, 2)
        };
        self.max_pool(name, x, window)
    }

    pub fn max_pool(&mut self, name: &str, x: TensorId, window: Window) -> TensorId {
        let (frac, power) = (self.frac(x), self.power[x] * POOL_GAIN);
        self.push(name, MaxPool { window }, &[x], frac, power)
    }

    /// 3x3 max pooling in steps of 2 whose size is rounded up.
    pub fn pool3_up(&mut self, name: &str, x: TensorId) -> TensorId {
        let Shape { h, w, .. } = self.shape(x);
        let extra = |side: usize| side.saturating_sub(3) % 2 + 3usize.saturating_sub(side);
        let pad = Padding {
            bottom: extra(h),
            right: extra(w),
            ..Padding::default()
        };
        let window = Window {
            stride: [2, 2],
            pad,
            ..Window::plain(3, 3)
        };
        self.max_pool(name, x, window)
    }

    /// Mean over the map.
    pub fn global_average(&mut self, name: &str, x: TensorId) -> TensorId {
        let Shape { h, w, .. } = self.shape(x);
        self.average(name, x, Window::plain(h, w))
    }

    pub fn average(&mut self, name: &str, x: TensorId, window: Window) -> TensorId {
        let pooling = AveragePool {
            window,
            counted: Padding::default(),
        };
        let (frac, power) = (self.frac(x), self.power[x] * MEAN_GAIN);
        self.push(name, pooling, &[x], frac, power)
    }

    /// Sum of two tensors of one format, and what follows.
    pub fn add(&mut self, name: &str, x: TensorId, y: TensorId, relu: bool) -> TensorId {
        let mut add = Add::of(2);
        // Of a symmetric branch and one that is not negative, a ReLU takes less than half of the branch's power.
        let (p, v) = (self.power[x], self.power[y]);
        let mut power = p + v;
        if relu {
            add.activation = Activation::Relu;
            power = p.max(v) + 0.75 * p.min(v);
        }
        self.push(name, add, &[x, y], self.frac(x), power)
    }

    /// Tensors of one format behind each other, by channels.
    pub fn concat(&mut self, name: &str, members: &[TensorId]) -> TensorId {
        let channels = |&t: &TensorId| self.shape(t).c as f64;
        let all: f64 = members.iter().map(channels).sum();
        let weighted = members.iter().map(|t| channels(t) * self.power[*t]);
        let power = weighted.sum::<f64>() / all;
        let frac = self.frac(members[0]);
        self.push(name, Concat { axis: 0 }, members, frac, power)
    }

    /// `count` channels from `first` on.
    pub fn channels(&mut self, name: &str, x: TensorId, first: usize, count: usize) -> TensorId {
        let Shape { h, w, .. } = self.shape(x);
        let slice = Slice {
            start: [first, 0, 0],
            count: [count, h, w],
            step: [1; 3],
        };
        self.push(name, slice, &[x], self.frac(x), self.power[x])
    }

    /// Each row and column twice.
    pub fn upsample(&mut self, name: &str, x: TensorId) -> TensorId {
        let twice = |side: usize| (0..2 * side as u32).map(|n| n / 2).collect();
        let resize = Resize {
            rows: twice(self.shape(x).h),
            columns: twice(self.shape(x).w),
        };
        self.push(name, resize, &[x], self.frac(x), self.power[x])
    }

    /// A convolution and a SiLU.
    pub fn silu(&mut self, name: &str, x: TensorId, layer: Layer) -> TensorId {
        // A bit of room: over so many layers what each has drifts from what it was meant to have.
        let room = self.frac_for(4.0 * BEFORE_SILU);
        let layer = layer.linear().power(BEFORE_SILU).frac(room);
        let y = self.conv(&format!("{name}.conv"), x, layer);
        let frac = self.frac_for(BEHIND_SILU);
        self.table(&format!("{name}.silu"), y, Function::Silu, frac)
    }

    /// Squeeze and excite: each channel times a sigmoid of what two fully connected layers make of all channels' means.
    pub fn squeeze_excite(&mut self, name: &str, x: TensorId, squeezed: usize) -> TensorId {
        let part = |part: &str| format!("{name}.{part}");
        let y = self.global_average(&part("mean"), x);
        self.set_power(y, SILU_MEAN_GAIN * self.power[x]);
        let y = self.silu(&part("squeeze"), y, conv(squeezed, 1, 1));
        let room = self.frac_for(4.0);
        let excite = conv(self.shape(x).c, 1, 1).linear();
        let excite = excite.power(1.0).frac(room);
        let y = self.conv(&part("excite"), y, excite);
        let below_one = self.graph.word.bits() as i32 - 1;
        let gate = self.table(&part("gate"), y, Function::Sigmoid, below_one);
        // Channels with large values have the wider gates as often as not, and over many blocks that adds up.
        let power = 1.4 * self.power[x] * self.power[gate];
        self.push(&part("scale"), Mul {}, &[x, gate], self.frac(x), power)
    }

    /// A smooth function into a format.
    pub fn table(&mut self, name: &str, x: TensorId, f: Function, frac: i32) -> TensorId {
        let power = TABLE_GAIN * mean_square(f, self.power[x].sqrt());
        let function = Activation::Table(f);
        self.push(name, Activate { function }, &[x], frac, power)
    }
}

/// Mean square of a function of normal values of that deviation.
fn mean_square(f: Function, deviation: f64) -> f64 {
    let steps = (-400..=400).map(|i| f64::from(i) / 50.0);
    let weighted = steps.map(|x| {
        let density = (-x * x / 2.0).exp();
        (density * f.of(x * deviation).powi(2), density)
    });
    let (sum, all) = weighted.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    sum / all
}
