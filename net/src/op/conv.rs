//! Convolution and fully connected: `acc = bias + sum(x * w)` exactly, then requantise, then activate.

use super::{Operator, Pool, Random, one, random};
use crate::activation::Activation;
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use crate::window::{Padding, Window};
use cnna_machine::layout::Shape;
use cnna_machine::num::{SHIFT_RANGE, requantise};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Convolution in two dimensions; a fully connected layer is the convolution whose kernel is its whole input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// Output channels.
    pub oc: usize,
    /// Groups: output channels of a group read its input channels only; as many as channels is depthwise.
    pub groups: usize,
    /// Kernel and its steps.
    pub window: Window,
    /// [oc][ic / groups][kh][kw].
    pub weights: Values,
    /// Fraction bits that each output channel's weights have beyond those of `weights`, 0..=31; empty where none has more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finer: Vec<u8>,
    /// [oc]; once quantised, in the accumulator's scale: fraction bits of input and of the channel's weights together.
    pub bias: Values,
    /// Applied after saturation, of the output's format: never a table.
    pub activation: Activation,
}

/// Most fraction bits that a channel's weights may have beyond its layer's.
pub const MOST_FINER: u8 = 31;

/// Multiply-accumulates from which a node is worth the machine's other cores.
const PARALLEL: usize = 1 << 26;

impl Conv {
    /// A fully connected layer sees its whole input at once.
    pub fn is_fc(&self, input: Shape) -> bool {
        self.groups == 1
            && self.window.kernel == [input.h, input.w]
            && self.window.pad == Padding::default()
    }

    /// Requantisation shift between formats: `f_in + f_w - f_out`. `None` before quantisation.
    pub fn shift(&self, input_frac: i32, output_frac: i32) -> Option<i32> {
        Some(input_frac + self.weights.words()?.1 - output_frac)
    }

    /// Fraction bits of an output channel's weights beyond the layer's.
    pub fn finer(&self, oc: usize) -> i32 {
        self.finer.get(oc).map_or(0, |&d| d.into())
    }

    /// The convolution of some of its output channels: of one without groups, or a depthwise one, which then reads as many channels.
    pub fn channels(&self, range: std::ops::Range<usize>) -> Conv {
        let each = self.weights.len() / self.oc.max(1);
        let finer = match self.finer.is_empty() {
            true => Vec::new(),
            false => self.finer[range.clone()].to_vec(),
        };
        Conv {
            oc: range.len(),
            groups: self.groups.min(range.len()),
            window: self.window,
            weights: self.weights.part(range.start * each..range.end * each),
            finer,
            bias: self.bias.part(range.clone()),
            activation: match &self.activation {
                Activation::PRelu(slopes) if slopes.len() == self.oc => {
                    Activation::PRelu(slopes.part(range))
                }
                other => other.clone(),
            },
        }
    }

    /// The reals that the weights stand for.
    pub fn real_weights(&self) -> Vec<f32> {
        let mut w = self.weights.to_reals(0);
        self.scaled_back(&mut w);
        w
    }

    /// The reals that the biases stand for, behind an input of so many fraction bits.
    pub fn real_bias(&self, input_frac: i32) -> Vec<f32> {
        let frac = input_frac + self.weights.words().map_or(0, |(_, f)| f);
        let mut b = self.bias.to_reals(frac);
        if self.bias.sums().is_some() {
            self.scaled_back(&mut b);
        }
        b
    }

    /// Divides each output channel's values by its own power of two.
    fn scaled_back(&self, values: &mut [f32]) {
        let each = (values.len() / self.oc.max(1)).max(1);
        for (values, &d) in values.chunks_mut(each).zip(&self.finer) {
            let scale = 2f32.powi(-i32::from(d));
            values.iter_mut().for_each(|v| *v *= scale);
        }
    }

    /// Weights and biases as the reals that they stand for, behind an input of so many fraction bits.
    pub fn unquantise(&mut self, input_frac: i32) {
        let (weights, bias) = (self.real_weights(), self.real_bias(input_frac));
        self.weights = Values::Reals(weights);
        self.bias = Values::Reals(bias);
        self.finer.clear();
    }
}

impl Operator for Conv {
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let i = one(inputs)?;
        let w = &self.window;
        let dims = [self.oc, i.c, self.groups];
        super::linear_shape(dims, w, &self.weights, &self.bias, &self.activation)?;
        if !(self.finer.is_empty() || self.finer.len() == self.oc) {
            return Err(format!("it has {} scales for {} output channels", self.finer.len(), self.oc));
        }
        if let Some(d) = self.finer.iter().find(|d| **d > MOST_FINER) {
            return Err(format!("a channel has {d} fraction bits more than its layer, at most {MOST_FINER} are possible"));
        }
        let [h, w] = w
            .output(i.h, i.w)
            .ok_or_else(|| format!("its kernel {:?} is larger than its padded input {i}", w.kernel))?;
        Ok(Shape { c: self.oc, h, w })
    }

    fn shifts(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<Vec<i32>, String> {
        let mut shifts = super::linear_shift(inputs[0].1, &self.weights, &self.bias, out)?;
        let finest = self.finer.iter().max().map(|&d| shifts[0].saturating_add(d.into()));
        shifts.extend(finest);
        Ok(shifts)
    }

    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let x = &inputs[0];
        let (weights, frac) = self.weights.words().expect("the graph is quantised");
        let bias = self.bias.sums().expect("the graph is quantised");
        let job = Job {
            conv: self,
            i: x.shape,
            out,
            x: x.words,
            weights,
            bias,
            shift: x.frac + frac - out.frac,
        };
        let pixels = out.shape.h * out.shape.w;
        let work = self.macs(&[x.shape], out.shape) as usize;
        let threads = match work {
            0..PARALLEL => 1,
            _ => std::thread::available_parallelism().map_or(1, |n| n.get()),
        };
        // Output channels are independent: each thread has a run of them.
        let share = self.oc.div_ceil(threads);
        let mut values = vec![0; out.shape.len()];
        let saturated = std::thread::scope(|scope| {
            let job = &job;
            let workers: Vec<_> = values
                .chunks_mut(share * pixels)
                .enumerate()
                .map(|(n, part)| scope.spawn(move || job.channels(n * share, part)))
                .collect();
            workers
                .into_iter()
                .map(|w| w.join().expect("integer loops do not panic"))
                .sum::<u64>()
        });
        self.activation.apply(&mut values, self.oc, out.frac, out.word);
        Words { values, saturated }
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let [kh, kw] = self.window.kernel;
        let channels = inputs.first().map_or(0, |i| i.c) / self.groups.max(1);
        (output.len() * channels * kh * kw) as u64
    }

    fn constants(&self) -> Vec<&Values> {
        let linear = [&self.weights, &self.bias];
        linear.into_iter().chain(self.activation.constant()).collect()
    }

    fn constants_mut(&mut self) -> Vec<&mut Values> {
        let linear = [&mut self.weights, &mut self.bias];
        linear.into_iter().chain(self.activation.constant_mut()).collect()
    }
}

struct Job<'a> {
    conv: &'a Conv,
    i: Shape,
    out: &'a Target,
    x: &'a [i16],
    weights: &'a [i16],
    bias: &'a [i64],
    shift: i32,
}

impl Job<'_> {
    /// Output channels from `first` on into `part`; returns how many results saturation changed.
    fn channels(&self, first: usize, part: &mut [i16]) -> u64 {
        let (c, i, o) = (self.conv, self.i, self.out.shape);
        let [kh, kw] = c.window.kernel;
        let (ic, per_group) = (i.c / c.groups, c.oc / c.groups);
        let taps = ic * kh * kw;
        let whole = c.is_fc(i) && o.h * o.w == 1;
        let mut acc = vec![0i64; o.h * o.w];
        let mut saturated = 0;
        for (n, out) in part.chunks_mut(o.h * o.w).enumerate() {
            let oc = first + n;
            acc.fill(self.bias[oc]);
            let weights = &self.weights[oc * taps..][..taps];
            if whole {
                // The kernel covers the input once: one long dot product.
                acc[0] += dot(self.x, weights);
            } else {
                let base = oc / per_group * ic;
                for (k, &w) in weights.iter().enumerate().filter(|(_, w)| **w != 0) {
                    let (ic, ky, kx) = (k / (kh * kw), k / kw % kh, k % kw);
                    let plane = &self.x[(base + ic) * i.h * i.w..][..i.h * i.w];
                    add_tap(&c.window, i, o, plane, [ky, kx], w, &mut acc);
                }
            }
            let shift = self.shift + c.finer(oc);
            for (v, &a) in out.iter_mut().zip(&acc) {
                let r = requantise(a, shift, self.out.word);
                saturated += u64::from(c.activation.alarms(r, self.out));
                *v = r.value;
            }
        }
        saturated
    }
}

fn dot(x: &[i16], w: &[i16]) -> i64 {
    // Products of 16-bit words in chunks whose sums fit 64 bits with room: plain and exact.
    x.iter()
        .zip(w)
        .map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b)))
        .sum()
}

/// Adds one kernel tap of one input channel to every output it reaches.
pub(super) fn add_tap(
    window: &Window,
    i: Shape,
    o: Shape,
    plane: &[i16],
    [ky, kx]: [usize; 2],
    w: i16,
    acc: &mut [i64],
) {
    let [sy, sx] = window.stride;
    let [dy, dx] = window.dilation;
    let (pad_y, pad_x) = (window.pad.top as isize, window.pad.left as isize);
    let w = i32::from(w);
    // Output columns whose tap falls inside the map.
    let off = (kx * dx) as isize - pad_x;
    let first = if off < 0 {
        (-off as usize).div_ceil(sx)
    } else {
        0
    };
    let last = ((i.w as isize - 1 - off).div_euclid(sx as isize) + 1).clamp(0, o.w as isize);
    let last = last as usize;
    if first >= last {
        return;
    }
    for oy in 0..o.h {
        let y = (oy * sy + ky * dy) as isize - pad_y;
        if y < 0 || y >= i.h as isize {
            continue;
        }
        let row = &plane[y as usize * i.w..][..i.w];
        let start = (first * sx) as isize + off;
        let row = &row[start as usize..];
        let acc = &mut acc[oy * o.w + first..oy * o.w + last];
        if sx == 1 {
            for (a, &v) in acc.iter_mut().zip(row) {
                *a += i64::from(i32::from(v) * w);
            }
        } else {
            for (a, &v) in acc.iter_mut().zip(row.iter().step_by(sx)) {
                *a += i64::from(i32::from(v) * w);
            }
        }
    }
}

impl Conv {
    /// A random instance; `None` when the pool has no tensor for it.
    pub fn random(r: &mut StdRng, pool: &Pool) -> Option<Random> {
        let (at, i, input_frac) = pool.any(r)?;
        let groups = match r.random_range(0..8) {
            0..=4 => 1,
            5 | 6 => i.c,
            _ => random::divisor(r, i.c),
        };
        let window = match r.random_range(0..8) {
            0 => Window::plain(i.h, i.w),
            // Of its input's size, so that the two can meet again.
            1..=3 => {
                let k = random::pick(r, &[1, 3, 3, 5, 7]);
                let half = k / 2;
                let pad = Padding {
                    top: half,
                    left: half,
                    bottom: half,
                    right: half,
                };
                Window {
                    pad,
                    ..Window::plain(k, k)
                }
            }
            _ => random::window(r, i, 7),
        };
        let [h, w] = window.output(i.h, i.w)?;
        let taps = i.c / groups * window.kernel[0] * window.kernel[1];
        let most = (pool.macs / (taps * h * w)).min(pool.elements / (h * w)) / groups;
        let per_group = match groups {
            1 if r.random() => i.c,
            1 => random::channels(r),
            g if g == i.c => random::pick(r, &[1, 1, 1, 2, 3]),
            _ => r.random_range(1..=8),
        };
        let oc = groups * per_group.min(most);
        if oc == 0 {
            return None;
        }
        let sums = random::sums(r, pool, input_frac, oc * taps, oc, |k| k / taps);
        let shift = input_frac + sums.weights.words().map_or(0, |(_, f)| f) - sums.frac;
        let conv = Conv {
            oc,
            groups,
            window,
            weights: sums.weights,
            finer: finer(r, oc, shift),
            bias: sums.bias,
            activation: random::activation(r, oc, sums.frac, pool.word),
        };
        Some(Random {
            op: conv.into(),
            inputs: vec![at],
            frac: sums.frac,
        })
    }
}

/// Sometimes more fraction bits for the weights of each channel, as many as the machine's last shift leaves room for.
fn finer(r: &mut StdRng, oc: usize, shift: i32) -> Vec<u8> {
    let most = (*SHIFT_RANGE.end() - shift).clamp(0, 6) as u8;
    match r.random_ratio(1, 6) {
        true => (0..oc).map(|_| r.random_range(0..=most)).collect(),
        false => Vec::new(),
    }
}
