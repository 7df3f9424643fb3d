//! What follows an operator's sums: bias, normalisation over the batch, rounding to a word, activation; and its
//! gradient.
//!
//! Rounding passes the gradient on (the straight-through estimator: Bengio et al. 2013, arXiv:1308.3432), saturation and
//! clips stop it. Words are made by the same functions as in the reference run.

use super::linear::{joined, part};
use super::op::Format;
use super::real::Real;
use cnna_machine::num::{Word, apply_slope, dequantise};
use cnna_net::Activation;
use cnna_net::activation::{Function, Table, slope_word};
use rayon::prelude::*;

/// Added to a variance. Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
pub const EPSILON: f64 = 1e-5;

/// Mean and variance of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

/// The activation as it is computed.
enum Kind<T> {
    /// Between two bounds, which may be infinite.
    Clip([T; 2]),
    /// A slope for what is negative: one, or one a channel.
    Leaky(Vec<T>),
    /// A function of each value; with its table where it is quantised, and the input's fraction bits.
    Function(Function, Option<(Table, i32)>),
}

/// What follows the sums of one node.
pub struct Finish<T> {
    channels: usize,
    format: Option<Format>,
    kind: Kind<T>,
    /// Whether the slopes are constants of the node.
    learns_slopes: bool,
    bias: Option<Vec<T>>,
    /// Of the normalised sums.
    scale: Option<Vec<T>>,
    /// Of the batch that passed last.
    pub moments: Moments,
    /// Sums before normalisation; or, where the activation's gradient needs it, what it was applied to.
    before: Vec<T>,
    /// Where the gradient passes, in fake-quantised networks.
    passes: Vec<u8>,
    /// Whether the gradient of the format's range is wanted.
    learns_range: bool,
}

/// Gradients of a finish's constants.
pub struct Constants<T> {
    pub bias: Option<Vec<T>>,
    pub scale: Option<Vec<T>>,
    pub slopes: Option<Vec<T>>,
    /// Of the logarithm to base 2 of the format's range.
    pub range: Option<f64>,
}

/// Round half up to the format, not yet saturated.
fn rounded<T: Real>(x: T, scale: T, inv_scale: T) -> T {
    (x * scale + T::of(0.5)).floor() * inv_scale
}

impl<T: Real> Finish<T> {
    /// Behind `input_frac` fraction bits, which only tables need.
    pub fn new(
        channels: usize,
        activation: &Activation,
        format: Option<Format>,
        input_frac: Option<i32>,
    ) -> Self {
        let kind = match activation {
            Activation::Table(f) => {
                let table = format
                    .zip(input_frac)
                    .map(|(o, i)| (Table::new(*f, i, o.frac, o.word), i));
                Kind::Function(*f, table)
            }
            Activation::Leaky(m) => Kind::Leaky(vec![slope(*m, format)]),
            // Its slopes are loaded.
            Activation::PRelu(_) => Kind::Leaky(Vec::new()),
            Activation::None | Activation::Relu | Activation::Clip { .. } => {
                Kind::Clip(match format {
                    Some(f) => activation
                        .bounds(f.frac, f.word)
                        .expect("a clip has bounds")
                        .map(|q| T::of(dequantise(q, f.frac))),
                    None => match activation {
                        Activation::Relu => [T::zero(), T::infinity()],
                        Activation::Clip { lo, hi } => [T::of((*lo).into()), T::of((*hi).into())],
                        _ => [T::neg_infinity(), T::infinity()],
                    },
                })
            }
        };
        Finish {
            channels,
            format,
            kind,
            learns_slopes: false,
            bias: None,
            scale: None,
            moments: Moments::default(),
            before: Vec::new(),
            passes: Vec::new(),
            learns_range: false,
        }
    }

    /// From now on finds the gradient of its format's range, where it only rounds and clips.
    pub fn learn_range(&mut self) {
        self.learns_range = self.format.is_some() && matches!(self.kind, Kind::Clip(_));
    }

    /// True where nothing is left to do.
    pub fn is_nothing(&self) -> bool {
        let free =
            matches!(&self.kind, Kind::Clip([lo, hi]) if lo.is_infinite() && hi.is_infinite());
        free && self.format.is_none() && self.bias.is_none() && self.scale.is_none()
    }

    /// Takes the constants as they now are; `scale` normalises.
    pub fn load(&mut self, bias: Option<Vec<T>>, scale: Option<Vec<T>>, slopes: Option<&[f32]>) {
        (self.bias, self.scale) = (bias, scale);
        self.learns_slopes = slopes.is_some();
        if let Some(slopes) = slopes {
            self.kind = Kind::Leaky(slopes.iter().map(|&m| slope(m, self.format)).collect());
        }
    }

    /// Factors and summands of each channel, from the last batch's moments where it normalises.
    fn affine(&self) -> (Option<Vec<T>>, Option<Vec<T>>) {
        let Some(scale) = &self.scale else {
            return (None, self.bias.clone());
        };
        let inverse = self.inverse();
        let factors: Vec<T> = scale.iter().zip(inverse).map(|(&s, i)| s * i).collect();
        let summands = factors.iter().enumerate().map(|(c, &f)| {
            let bias = self.bias.as_ref().map_or(T::zero(), |b| b[c]);
            bias - T::of(self.moments.mean[c]) * f
        });
        let summands = summands.collect();
        (Some(factors), Some(summands))
    }

    /// One over the deviation of each channel.
    fn inverse(&self) -> impl Iterator<Item = T> + '_ {
        self.moments
            .variance
            .iter()
            .map(|v| T::of(1.0 / (v + EPSILON).sqrt()))
    }

    /// Finishes the sums of `n` images in place.
    pub fn forward(&mut self, n: usize, y: &mut [T]) {
        if self.scale.is_some() {
            self.moments = moments(self.channels, n, y);
            self.before.resize(y.len(), T::zero());
            let size = self.size(n, y.len());
            let parts = self.before.par_chunks_mut(size).zip(y.par_chunks(size));
            parts.for_each(|(b, y)| b.copy_from_slice(y));
        }
        let (factors, summands) = self.affine();
        let sums = !matches!(self.kind, Kind::Clip(_)) || self.learns_range;
        let keeps = self.scale.is_none() && sums;
        let len = y.len();
        let size = self.size(n, len);
        if keeps {
            self.before.resize(len, T::zero());
        }
        let mut before = std::mem::take(&mut self.before);
        let mut passes = std::mem::take(&mut self.passes);
        passes.resize(if self.format.is_some() { len } else { 0 }, 0);
        let count = len.div_ceil(size);
        let kept = if keeps { &mut before[..] } else { &mut [] };
        y.par_chunks_mut(size)
            .zip(parts_of(kept, size, count))
            .zip(parts_of(&mut passes, size, count))
            .for_each(|((y, before), passes)| {
                affine(y, self.channels, factors.as_deref(), summands.as_deref());
                self.activate(y, before, passes);
            });
        (self.before, self.passes) = (before, passes);
    }

    /// Elements of a part: whole images.
    fn size(&self, n: usize, len: usize) -> usize {
        (len / n.max(1) * part(n)).max(1)
    }

    /// What remains after the channels' factors and summands.
    fn activate(&self, y: &mut [T], before: &mut [T], passes: &mut [u8]) {
        let format = self
            .format
            .map(|f| (f, T::of(2f64.powi(f.frac)), T::of(2f64.powi(-f.frac))));
        match (&self.kind, format) {
            (Kind::Clip([lo, hi]), None) => {
                if lo.is_finite() || hi.is_finite() {
                    y.iter_mut().for_each(|v| *v = v.max(*lo).min(*hi));
                }
            }
            (Kind::Clip([lo, hi]), Some((_, scale, inv_scale))) => {
                if !before.is_empty() {
                    before.copy_from_slice(y);
                }
                for (v, p) in y.iter_mut().zip(passes) {
                    *p = u8::from(*v > *lo && *v < *hi);
                    *v = rounded(*v, scale, inv_scale).max(*lo).min(*hi);
                }
            }
            (Kind::Leaky(slopes), None) => {
                if !before.is_empty() {
                    before.copy_from_slice(y);
                }
                for pixel in y.chunks_exact_mut(self.channels) {
                    for (v, &m) in pixel.iter_mut().zip(slopes.iter().cycle()) {
                        *v = if *v < T::zero() { *v * m } else { *v };
                    }
                }
            }
            (Kind::Leaky(slopes), Some((f, scale, inv_scale))) => {
                let [least, most] = ends(f.word, f.frac).map(T::of);
                for (v, p) in y.iter_mut().zip(passes) {
                    *p = u8::from(*v > least && *v < most);
                    *v = rounded(*v, scale, inv_scale).max(least).min(most);
                }
                before.copy_from_slice(y);
                for pixel in y.chunks_exact_mut(self.channels) {
                    for (v, &m) in pixel.iter_mut().zip(slopes.iter().cycle()) {
                        if *v < T::zero() {
                            let q = (v.double() * scale.double()) as i16;
                            let q = f
                                .word
                                .saturate(apply_slope(slope_word(m.double() as f32), q).into());
                            *v = T::of(dequantise(q, f.frac));
                        }
                    }
                }
            }
            (Kind::Function(f, table), format) => {
                before.copy_from_slice(y);
                match (table, format) {
                    (Some((table, input_frac)), Some((format, ..))) => {
                        passes.fill(1);
                        let scale = 2f64.powi(*input_frac);
                        for v in y {
                            let q = table.apply((v.double() * scale) as i16, format.word);
                            *v = T::of(dequantise(q, format.frac));
                        }
                    }
                    _ => y.iter_mut().for_each(|v| *v = T::of(f.of(v.double()))),
                }
            }
        }
    }

    /// Turns the gradient of what was finished, `y`, into that of the sums, in place.
    pub fn backward(&self, n: usize, y: &[T], dy: &mut [T]) -> Constants<T> {
        let size = self.size(n, y.len());
        let affine = self.affine();
        let slopes = match &self.kind {
            Kind::Leaky(s) => s.len(),
            _ => 0,
        };
        let c = self.channels;
        let parts: Vec<_> = dy
            .par_chunks_mut(size)
            .enumerate()
            .map(|(p, dy)| {
                let share = |all: usize| p * size..(p * size + dy.len()).min(all);
                let y = &y[share(y.len())];
                let before = &self.before[share(self.before.len()).start.min(self.before.len())..];
                let passes = &self.passes[share(self.passes.len()).start.min(self.passes.len())..];
                let range = self.range_gradient(y, before, passes, dy);
                let mut slopes = vec![T::zero(); slopes];
                self.through(y, before, passes, &affine, dy, &mut slopes);
                let mut bias = vec![
                    T::zero();
                    if self.bias.is_some() || self.scale.is_some() {
                        c
                    } else {
                        0
                    }
                ];
                if !bias.is_empty() {
                    for pixel in dy.chunks_exact(c) {
                        bias.iter_mut().zip(pixel).for_each(|(b, &g)| *b += g);
                    }
                }
                let mut scale = vec![T::zero(); if self.scale.is_some() { c } else { 0 }];
                if !scale.is_empty() {
                    for (g, z) in dy.chunks_exact(c).zip(before.chunks_exact(c)) {
                        for (k, s) in scale.iter_mut().enumerate() {
                            *s += g[k] * (z[k] - T::of(self.moments.mean[k]));
                        }
                    }
                }
                ([bias, scale, slopes], range)
            })
            .collect();
        let column = |k: usize| joined(parts.iter().map(|(p, _)| p[k].clone()).collect());
        let [bias, mut scale, slopes] = [0, 1, 2].map(column);
        scale
            .iter_mut()
            .zip(self.inverse())
            .for_each(|(s, i)| *s *= i);
        if let Some(factors) = &affine.0 {
            self.through_moments(n, &bias, &scale, factors, dy);
        }
        Constants {
            bias: self.bias.is_some().then_some(bias),
            scale: self.scale.is_some().then_some(scale),
            slopes: self.learns_slopes.then_some(slopes),
            range: self
                .learns_range
                .then(|| parts.iter().map(|(_, r)| r).sum()),
        }
    }

    /// Of the logarithm of the format's range: what is inside moves by its rounding, what saturates by the range itself.
    /// Source: Jain et al. 2020, arXiv:1903.08066.
    fn range_gradient(&self, y: &[T], before: &[T], passes: &[u8], dy: &[T]) -> f64 {
        let Some(f) = self.format.filter(|_| self.learns_range) else {
            return 0.0;
        };
        let [least, most] = ends(f.word, f.frac);
        let one = |(k, g): (usize, &T)| {
            let v = y[k].double();
            let moves = match passes[k] {
                0 if v > least && v < most => 0.0,
                0 => v,
                _ => v - before[k].double(),
            };
            g.double() * moves
        };
        let all: f64 = dy.iter().enumerate().map(one).sum();
        all * std::f64::consts::LN_2
    }

    /// Through activation and rounding of one part.
    fn through(
        &self,
        y: &[T],
        before: &[T],
        passes: &[u8],
        (factors, summands): &(Option<Vec<T>>, Option<Vec<T>>),
        dy: &mut [T],
        slopes: &mut [T],
    ) {
        if self.format.is_some() {
            for (g, &p) in dy.iter_mut().zip(passes) {
                *g = if p == 0 { T::zero() } else { *g };
            }
        }
        // What the activation was applied to.
        let applied = |k: usize| match (factors, summands) {
            (Some(f), Some(s)) => before[k] * f[k % self.channels] + s[k % self.channels],
            _ => before[k],
        };
        match &self.kind {
            Kind::Clip([lo, hi]) => {
                if self.format.is_none() && (lo.is_finite() || hi.is_finite()) {
                    for (g, &v) in dy.iter_mut().zip(y) {
                        *g = if v > *lo && v < *hi { *g } else { T::zero() };
                    }
                }
            }
            Kind::Leaky(m) => {
                for (k, g) in dy.iter_mut().enumerate() {
                    let (u, which) = (applied(k), k % self.channels % m.len());
                    if u < T::zero() {
                        slopes[which] += *g * u;
                        *g *= m[which];
                    }
                }
            }
            Kind::Function(f, _) => {
                for (k, g) in dy.iter_mut().enumerate() {
                    *g *= T::of(f.derivative(applied(k).double()));
                }
            }
        }
    }

    /// Through the normalisation: each sum moves the batch's mean and variance too.
    fn through_moments(&self, n: usize, bias: &[T], scale: &[T], factors: &[T], dy: &mut [T]) {
        let c = self.channels;
        let count = T::of((dy.len() / c) as f64);
        let inverse: Vec<T> = self.inverse().collect();
        let means: Vec<T> = self.moments.mean.iter().map(|&m| T::of(m)).collect();
        let size = self.size(n, dy.len());
        let parts = dy.par_chunks_mut(size).zip(self.before.par_chunks(size));
        parts.for_each(|(dy, before)| {
            for (g, z) in dy.chunks_exact_mut(c).zip(before.chunks_exact(c)) {
                for k in 0..c {
                    let normal = (z[k] - means[k]) * inverse[k];
                    g[k] = factors[k] * (g[k] - (bias[k] + normal * scale[k]) / count);
                }
            }
        });
    }
}

/// The parts of what is kept, of `size` elements; empty ones where nothing is.
fn parts_of<V>(kept: &mut [V], size: usize, count: usize) -> Vec<&mut [V]> {
    let mut parts: Vec<_> = kept.chunks_mut(size).collect();
    parts.resize_with(count, Default::default);
    parts
}

/// The slope that multiplies: the machine's 15 bits of it where it is quantised.
fn slope<T: Real>(m: f32, format: Option<Format>) -> T {
    T::of(match format {
        None => m.into(),
        Some(_) => dequantise(slope_word(m), 15),
    })
}

/// The least and the largest word as reals.
fn ends(word: Word, frac: i32) -> [f64; 2] {
    [word.min(), word.max()].map(|q| dequantise(q as i16, frac))
}

fn affine<T: Real>(y: &mut [T], channels: usize, factors: Option<&[T]>, summands: Option<&[T]>) {
    let pixels = y.chunks_exact_mut(channels);
    match (factors, summands) {
        (None, None) => {}
        (None, Some(s)) => pixels.for_each(|p| p.iter_mut().zip(s).for_each(|(v, &s)| *v += s)),
        (factors, summands) => {
            let (ones, zeros) = (vec![T::one(); channels], vec![T::zero(); channels]);
            let (f, s) = (factors.unwrap_or(&ones), summands.unwrap_or(&zeros));
            pixels.for_each(|p| {
                p.iter_mut()
                    .zip(f)
                    .zip(s)
                    .for_each(|((v, &f), &s)| *v = *v * f + s)
            });
        }
    }
}

/// Mean and variance of each channel of `n` images: sums of an image in its own numbers, of images in f64.
fn moments<T: Real>(channels: usize, n: usize, y: &[T]) -> Moments {
    let image = y.len() / n.max(1);
    let sums: Vec<Vec<f64>> = y
        .par_chunks((image * part(n)).max(1))
        .map(|part| {
            let mut all = vec![0.0; 2 * channels];
            for image in part.chunks(image.max(1)) {
                let mut own = vec![T::zero(); 2 * channels];
                let (sum, squares) = own.split_at_mut(channels);
                for pixel in image.chunks_exact(channels) {
                    for ((s, q), &v) in sum.iter_mut().zip(squares.iter_mut()).zip(pixel) {
                        *s += v;
                        *q += v * v;
                    }
                }
                all.iter_mut().zip(own).for_each(|(a, v)| *a += v.double());
            }
            all
        })
        .collect();
    let sums = joined(sums);
    let count = (y.len() / channels).max(1) as f64;
    let mean: Vec<f64> = sums[..channels].iter().map(|s| s / count).collect();
    let variance = sums[channels..]
        .iter()
        .zip(&mean)
        .map(|(q, m)| (q / count - m * m).max(0.0));
    Moments {
        variance: variance.collect(),
        mean,
    }
}
