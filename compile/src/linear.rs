//! What conv and vector modes compute: sums of products with constant weights, requantised.

use crate::act::Act;
use crate::weights::Given;
use cnna_machine::num::{ACC_BITS, WINOGRAD_BITS, Word};
use std::borrow::Cow;
use std::ops::Range;

/// Outputs as weighted sums. Weights are [output][input of its group][tap row][tap column].
#[derive(Clone, Debug, Default)]
pub struct Linear<'a> {
    /// Outputs: channels, or columns in rows mode.
    pub outputs: usize,
    /// Groups of outputs, each with inputs of its own.
    pub groups: usize,
    /// Inputs of a group.
    pub inputs: usize,
    /// Tap rows and columns.
    pub taps: [usize; 2],
    /// Words.
    pub weights: Cow<'a, [i16]>,
    /// Accumulator-scale, one an output.
    pub bias: Cow<'a, [i64]>,
    /// Requantisation shift.
    pub shift: i32,
    /// The function behind it.
    pub act: Act,
    /// Bits by which each output's shift is larger, up to 31; empty: none.
    pub finer: Vec<u8>,
    /// The weights are a bound of those that a stage before makes.
    pub given: Option<Given>,
}

impl Linear<'_> {
    /// What is each output's own beside its sum: a slope, or bits of its shift.
    pub fn own(&self, o: usize) -> i16 {
        let slope = self.act.slopes().get(o).copied();
        let bits = self.finer.get(o).map(|&d| d.into());
        slope.or(bits).unwrap_or(0)
    }

    /// True when outputs have something of their own.
    pub fn is_per_channel(&self) -> bool {
        !(self.act.slopes().is_empty() && self.finer.is_empty())
    }

    /// Outputs of a group.
    pub fn per_group(&self) -> usize {
        self.outputs / self.groups
    }

    /// Weights of one output.
    pub fn per_output(&self) -> usize {
        self.inputs * self.taps[0] * self.taps[1]
    }

    /// The weights of output `o`, and the inputs that they belong to among those of all groups.
    #[inline]
    pub fn kernels(&self, o: usize) -> (&[i16], Range<usize>) {
        let group = o / self.per_group();
        let n = self.per_output();
        let first = group * self.inputs;
        (&self.weights[o * n..][..n], first..first + self.inputs)
    }

    /// The sum of the products of the weights of two neighbouring inputs of output `o`, over all taps; pairs are counted from
    /// input `from` on, of those of all groups. Modulo 2^64.
    pub fn pair_products(&self, o: usize, from: usize) -> i64 {
        let (kernels, inputs) = self.kernels(o);
        let taps = self.taps[0] * self.taps[1];
        // An odd first input's neighbour has no weight.
        let alone = (inputs.start - from) % 2;
        let pairs = kernels[(alone * taps).min(kernels.len())..].chunks_exact(2 * taps);
        let product = |(a, b): (&i16, &i16)| i64::from(*a) * i64::from(*b);
        pairs
            .map(|pair| pair.split_at(taps))
            .flat_map(|(a, b)| a.iter().zip(b).map(product))
            .fold(0, i64::wrapping_add)
    }

    /// True when the Winograd form, whose sums are four times the result, cannot leave 48 bits either.
    pub fn winograd_is_exact(&self, word: Word) -> bool {
        self.weights
            .chunks_exact(self.per_output())
            .all(|w| sum_abs(w) << (word.bits() - 1) < 1 << (ACC_BITS - 1 - WINOGRAD_BITS))
    }

    /// True when every weight's lower 8 bits are zero, so that a word's upper 8 say all of it.
    pub fn is_narrow(&self, word: Word) -> bool {
        word == Word::W16 && self.given.is_none() && self.weights.iter().all(|w| w & 0xff == 0)
    }

    /// The first output whose sum could reach 2^47, and the proven bound of it.
    pub fn overflow(&self, word: Word) -> Option<(usize, i128)> {
        let input_bits = word.bits() - 1;
        let rows = self.weights.chunks_exact(self.per_output());
        rows.zip(self.bias.iter())
            .map(|(w, b)| (i128::from(sum_abs(w)) << input_bits) + i128::from(b.unsigned_abs()))
            .enumerate()
            .find(|(_, bound)| *bound >= 1 << (ACC_BITS - 1))
    }
}

fn sum_abs(w: &[i16]) -> u64 {
    // Sums of at most 2^16 magnitudes of at most 2^15 fit 32 bits.
    w.chunks(1 << 16)
        .map(|w| u64::from(w.iter().map(|v| u32::from(v.unsigned_abs())).sum::<u32>()))
        .sum()
}
