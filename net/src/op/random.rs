//! What random instances of operators are drawn from, and the draws that several of them share.

use super::Op;
use crate::activation::Activation;
use crate::values::Values;
use crate::window::{Padding, Window};
use cnna_machine::layout::Shape;
use cnna_machine::num::{ACC_BITS, SCALE_EXP_RANGE, SHIFT_RANGE, Word, dequantise};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Tensors that a random node may read.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Width of all words.
    pub word: Word,
    /// Shape and fraction bits of each tensor.
    pub tensors: Vec<(Shape, i32)>,
    /// Multiply-accumulates of one node, at most.
    pub macs: usize,
    /// Elements of one tensor, at most.
    pub elements: usize,
}

/// A random node: its operator, what it reads, and its output's fraction bits.
#[derive(Clone, Debug)]
pub struct Random {
    /// What it computes.
    pub op: Op,
    /// Indices in the pool.
    pub inputs: Vec<usize>,
    /// Fraction bits of what it writes.
    pub frac: i32,
}

/// Fraction bits of random tensors: the usual ones and some on either side.
pub const FRACS: std::ops::RangeInclusive<i32> = -6..=22;

impl Pool {
    /// Index, shape and fraction bits of some tensor; `None` when there is none.
    pub(super) fn any(&self, r: &mut StdRng) -> Option<(usize, Shape, i32)> {
        let at = (0..self.tensors.len()).collect::<Vec<_>>();
        let &at = at.choose(r)?;
        let (shape, frac) = self.tensors[at];
        Some((at, shape, frac))
    }

    /// Indices of the tensors that `fits` takes.
    pub(super) fn those(&self, fits: impl Fn(Shape, i32) -> bool) -> Vec<usize> {
        let all = self.tensors.iter().enumerate();
        all.filter(|(_, (s, f))| fits(*s, *f))
            .map(|(n, _)| n)
            .collect()
    }

    /// Fraction bits for a new tensor: often those of another, so that the two can meet.
    pub(super) fn frac(&self, r: &mut StdRng) -> i32 {
        match self.tensors.choose(r) {
            Some((_, frac)) if r.random_ratio(2, 3) => *frac,
            _ if r.random() => self.word.bits() as i32 / 2 + r.random_range(-2..=2),
            _ => r.random_range(FRACS),
        }
    }

    /// The random node that reads one tensor and keeps its format, if its output is not too large.
    pub(super) fn keeping(&self, op: impl Into<Op>, at: usize) -> Option<Random> {
        let (op, (shape, frac)) = (op.into(), self.tensors[at]);
        let shape = op.shape(&[shape]).ok()?;
        (shape.len() <= self.elements).then_some(Random {
            op,
            inputs: vec![at],
            frac,
        })
    }
}

/// One of a few.
pub fn pick<T: Copy>(r: &mut StdRng, of: &[T]) -> T {
    *of.choose(r).expect("a choice")
}

/// Words over the whole range; some tensors hold nothing but the extremes.
pub fn words(r: &mut StdRng, n: usize, word: Word) -> Vec<i16> {
    let extreme = r.random_ratio(1, 6);
    let (min, max) = (word.min() as i16, word.max() as i16);
    (0..n)
        .map(|_| match extreme {
            true => pick(r, &[min, max, 0]),
            false => r.random_range(min..=max),
        })
        .collect()
}

/// Weights as [`words`], or small, or mostly zero, or nothing but zeros.
pub(super) fn weights(r: &mut StdRng, n: usize, word: Word) -> Vec<i16> {
    match r.random_range(0..12) {
        0 => vec![0; n],
        1 => (0..n).map(|_| r.random_range(-3..=3)).collect(),
        2 => {
            let mut w = words(r, n, word);
            w.iter_mut()
                .for_each(|w| *w *= i16::from(r.random_ratio(1, 8)));
            w
        }
        _ => words(r, n, word),
    }
}

/// Channels: mostly few, up to 600.
pub fn channels(r: &mut StdRng) -> usize {
    match r.random_range(0..8) {
        0 => r.random_range(1..=600),
        1 => 1,
        _ => r.random_range(1..=40),
    }
}

/// A divisor of `n`.
pub(super) fn divisor(r: &mut StdRng, n: usize) -> usize {
    let all: Vec<usize> = (1..=n).filter(|d| n % d == 0).collect();
    pick(r, &all)
}

/// Any kernel up to `largest`, any stride, dilation and border that fits `i`. Strides beyond the map, borders as wide as the
/// kernel and dilation where there is one tap only are among them.
pub(super) fn window(r: &mut StdRng, i: Shape, largest: usize) -> Window {
    let kernel = match r.random_range(0..5) {
        0 => [3, 3],
        1 => [1, 1],
        2 => [i.h.min(largest), i.w.min(largest)],
        _ => [r.random_range(1..=largest), r.random_range(1..=largest)],
    };
    let stride = match r.random_range(0..7) {
        0..=2 => [1, 1],
        3 => [2, 2],
        4 => [4, 4],
        5 => [r.random_range(1..=5), r.random_range(1..=5)],
        _ => [r.random_range(1..=i.h + 2), r.random_range(1..=i.w + 2)],
    };
    let dilation = match r.random_range(0..4) {
        0 => [r.random_range(1..=4), r.random_range(1..=4)],
        _ => [1, 1],
    };
    let mut side = |k: usize| match k {
        _ if r.random_ratio(1, 3) => 0,
        k => r.random_range(0..=k),
    };
    let pad = Padding {
        top: side(kernel[0]),
        left: side(kernel[1]),
        bottom: side(kernel[0]),
        right: side(kernel[1]),
    };
    let mut w = Window {
        kernel,
        stride,
        dilation,
        pad,
    };
    if r.random_ratio(1, 8) {
        // As large as the padded map.
        w.dilation = [1, 1];
        w.kernel = [i.h + pad.top + pad.bottom, i.w + pad.left + pad.right].map(|k| k.min(largest));
    }
    match w.output(i.h, i.w) {
        Some(_) => w,
        None => Window::plain(1, 1),
    }
}

/// A slope of the negative part: usual, without effect, and beyond what the machine multiplies by.
fn slope(r: &mut StdRng) -> f32 {
    match r.random() {
        true => pick(r, &[0.1, 0.01, 0.25, 0.0, 1.0, -1.0, 1.5, -7.0]),
        false => r.random_range(-1.1..1.1),
    }
}

/// Slopes for each channel, or one for all; reals or words.
pub(super) fn slopes(r: &mut StdRng, channels: usize) -> Values {
    let n = pick(r, &[1, channels]);
    match r.random() {
        true => Values::Reals((0..n).map(|_| slope(r)).collect()),
        false => Values::Words(words(r, n, Word::W16), 15),
    }
}

/// A clip between two words, on one side or both.
pub(super) fn clip(r: &mut StdRng, frac: i32, word: Word) -> Activation {
    let mut bound = || dequantise(words(r, 1, word)[0], frac) as f32;
    let (a, b) = (bound(), bound());
    let (lo, hi) = (a.min(b), a.max(b));
    match r.random_range(0..5) {
        0 => Activation::Clip {
            lo,
            hi: f32::INFINITY,
        },
        1 => Activation::Clip {
            lo: f32::NEG_INFINITY,
            hi,
        },
        2 => Activation::Clip { lo: 0.0, hi: 6.0 },
        _ => Activation::Clip { lo, hi },
    }
}

/// What may follow in a node whose output has `frac` fraction bits: anything but a table.
pub(super) fn activation(r: &mut StdRng, channels: usize, frac: i32, word: Word) -> Activation {
    match r.random_range(0..9) {
        0..=3 => Activation::None,
        4 | 5 => Activation::Relu,
        6 => clip(r, frac, word),
        7 => Activation::Leaky(slope(r)),
        _ => Activation::PRelu(slopes(r, channels)),
    }
}

/// Weights that cannot overflow the accumulator, biases and formats for them.
pub(crate) struct Sums {
    pub weights: Values,
    pub bias: Values,
    /// Fraction bits of the output.
    pub frac: i32,
}

/// `n` weights for `oc` output channels, number `k` of them in channel `channel(k)`. The shift is mostly about where a few
/// results saturate, sometimes anywhere in its range.
pub(crate) fn sums(
    r: &mut StdRng,
    pool: &Pool,
    input_frac: i32,
    n: usize,
    oc: usize,
    channel: impl Fn(usize) -> usize,
) -> Sums {
    let word = pool.word;
    let full = 1i64 << (word.bits() - 1);
    let limit = 1i64 << (ACC_BITS - 1);
    let mut weights = weights(r, n, word);
    let largest = loop {
        let mut sum = vec![0i64; oc];
        for (k, w) in weights.iter().enumerate() {
            sum[channel(k)] += i64::from(*w).abs() * full;
        }
        if sum.iter().all(|s| *s < limit) {
            break sum;
        }
        weights.iter_mut().for_each(|w| *w /= 2);
    };
    // Of uniform inputs.
    let squares: f64 = weights.iter().map(|w| f64::from(*w).powi(2)).sum();
    let deviation = (squares / oc as f64 / 3.0).sqrt() * full as f64;
    let usual = (deviation.max(1.0) as i64).min(1 << 40);
    let kind = r.random_range(0..6);
    let mut bias: Vec<i64> = (0..oc)
        .map(|_| match kind {
            0 => 0,
            1 => r.random_range(-1 << 20..1 << 20),
            _ => r.random_range(-usual..=usual),
        })
        .collect();
    if r.random_ratio(1, 8) {
        let at = r.random_range(0..oc);
        bias[at] = pick(r, &[limit, -limit]);
    }
    for (b, sum) in bias.iter_mut().zip(&largest) {
        let room = limit - 1 - sum;
        *b = (*b).clamp(-room, room);
    }
    let near = (deviation.max(1.0).log2() as i32) - (word.bits() as i32 - 1);
    let (weight_frac, frac) = formats(r, pool, input_frac, near);
    Sums {
        weights: Values::Words(weights, weight_frac),
        bias: Values::Sums(bias),
        frac,
    }
}

/// Fraction bits of weights and output for a shift about `near`.
fn formats(r: &mut StdRng, pool: &Pool, input_frac: i32, near: i32) -> (i32, i32) {
    let exponents = |f: i32| SCALE_EXP_RANGE.contains(&(pool.word.weight_frac() - f));
    for _ in 0..20 {
        let shift = match r.random_range(0..8) {
            0 => r.random_range(SHIFT_RANGE),
            _ => near + r.random_range(0..=3),
        };
        let frac = pool.frac(r);
        let weight_frac = shift + frac - input_frac;
        if SHIFT_RANGE.contains(&shift) && exponents(weight_frac) {
            return (weight_frac, frac);
        }
    }
    // Always legal: the shift is that of the weights.
    (pool.word.weight_frac(), input_frac)
}

/// Fraction bits of the output of a node that shifts by `from - frac`: mostly near.
pub(super) fn frac_near(r: &mut StdRng, from: i32) -> i32 {
    let frac = match r.random_range(0..6) {
        0 => from - r.random_range(SHIFT_RANGE),
        _ => from - r.random_range(-1..=3),
    };
    frac.clamp(*FRACS.start(), *FRACS.end())
        .clamp(from - SHIFT_RANGE.end(), from - SHIFT_RANGE.start())
}
