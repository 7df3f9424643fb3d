//! Weights from a seed: each is a function of seed, layer and index alone, so any thread may make any part.
//!
//! Logistic distribution: bell-shaped with tails between normal and Laplace (excess kurtosis 1.2), as trained
//! convolution weights have, and its quantile is one logarithm. 65,536 quantiles are enough to look like it.

use cnna_machine::num::{self, Word};
use rayon::prelude::*;
use std::sync::LazyLock;

/// Weights of one job; a multiple of 4.
const CHUNK: usize = 1 << 16;

/// Quantiles of the logistic distribution of unit variance, ascending.
static QUANTILES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let unit = 3f64.sqrt() / std::f64::consts::PI;
    (0..1 << 16)
        .map(|i| (f64::from(i) + 0.5) / 65536.0)
        .map(|u| unit * (u / (1.0 - u)).ln())
        .collect()
});

/// The `counter`-th 64 random bits of stream `key`. Source: the SplitMix64 finaliser, Steele et al. 2014.
fn draw(key: u64, counter: u64) -> u64 {
    let mut z = key.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The stream of a layer.
pub(super) fn key(seed: u64, layer: u64) -> u64 {
    draw(draw(seed, 1), layer + 1)
}

/// Calls `f(index in the chunk, 16 random bits)` for each weight of chunk `chunk`.
fn for_each(key: u64, chunk: usize, len: usize, mut f: impl FnMut(usize, u16)) {
    let first = (chunk * CHUNK / 4) as u64;
    for (group, at) in (first..).zip((0..len).step_by(4)) {
        let bits = draw(key, group);
        for i in 0..4.min(len - at) {
            f(at + i, (bits >> (16 * i)) as u16);
        }
    }
}

/// `len` auto-scaled weights of standard deviation `deviation`, and their fraction bits.
pub(super) fn weights(key: u64, len: usize, deviation: f64, word: Word) -> (Vec<i16>, i32) {
    // The quantiles ascend, so the extreme weights are those of the extreme bits.
    let chunk_len = |c: usize| CHUNK.min(len - c * CHUNK);
    let (low, high) = (0..len.div_ceil(CHUNK))
        .into_par_iter()
        .map(|c| {
            let (mut low, mut high) = (u16::MAX, 0);
            for_each(key, c, chunk_len(c), |_, bits| {
                (low, high) = (low.min(bits), high.max(bits));
            });
            (low, high)
        })
        .reduce(|| (u16::MAX, 0), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    let real = |bits: u16| (QUANTILES[usize::from(bits)] * deviation) as f32;
    let e = num::auto_scale(&[real(low), real(high)], word).expect("quantiles are finite");
    let frac = word.weight_frac() - e;
    let table: Vec<i16> = (0..=u16::MAX)
        .map(|b| num::quantise(f64::from(real(b)), frac, word).expect("quantiles are finite"))
        .collect();
    let mut words = vec![0i16; len];
    words
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(c, chunk)| {
            for_each(key, c, chunk.len(), |i, bits| {
                chunk[i] = table[usize::from(bits)]
            });
        });
    (words, frac)
}

/// `len` biases of standard deviation `deviation` with `frac` fraction bits.
pub(super) fn bias(key: u64, len: usize, deviation: f64, frac: i32) -> Vec<i64> {
    // Counters from the other end: far from the weights'.
    (0..len as u64)
        .map(|i| QUANTILES[(draw(key, u64::MAX - i) >> 48) as usize] * deviation)
        .map(|x| (x * 2f64.powi(frac)).round_ties_even() as i64)
        .collect()
}
