//! Number formats and the only rounding, saturation and requantisation in the project.
//!
//! A stored integer `q` with `f` fraction bits stands for `q * 2^-f`. Words are 8 or 16 bits, accumulators 48.
//! Tie rules: weights round half to even (floating point to word), accumulators round half up (word to word).

use fixed::types::{I2F6, I2F14};
use serde::{Deserialize, Serialize};

/// The mission's weight format: 16 bits, range [-2, 2).
pub type Q2_14 = I2F14;
/// The same range in 8 bits.
pub type Q2_6 = I2F6;

/// Width of the hardware accumulator in bits (a DSP48 slice).
pub const ACC_BITS: u32 = 48;
/// Bits by which sums in the Winograd form are longer than the result: it is four times as large.
pub const WINOGRAD_BITS: u32 = 2;
/// Legal requantisation shifts: negative is to the left.
pub const SHIFT_RANGE: std::ops::RangeInclusive<i32> = -16..=47;
/// Auto-scale exponents of a layer's weights: all that finite reals of 32 bits have.
pub const SCALE_EXP_RANGE: std::ops::RangeInclusive<i32> = -160..=128;

/// Word width of weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Word {
    /// 8-bit words: weights are auto-scaled Q2.6.
    W8,
    /// 16-bit words: weights are auto-scaled Q2.14.
    W16,
}

impl TryFrom<u32> for Word {
    type Error = String;
    fn try_from(bits: u32) -> Result<Self, String> {
        match bits {
            8 => Ok(Word::W8),
            16 => Ok(Word::W16),
            _ => Err(format!("word width {bits} is not supported: use 8 or 16")),
        }
    }
}

impl From<Word> for u32 {
    fn from(w: Word) -> u32 {
        w.bits()
    }
}

impl Word {
    /// Width in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Word::W8 => 8,
            Word::W16 => 16,
        }
    }
    /// Width in bytes.
    pub const fn bytes(self) -> usize {
        self.bits() as usize / 8
    }
    /// Fraction bits of the weight format at scale exponent 0: 6 or 14.
    pub const fn weight_frac(self) -> i32 {
        match self {
            Word::W8 => Q2_6::FRAC_NBITS as i32,
            Word::W16 => Q2_14::FRAC_NBITS as i32,
        }
    }
    /// Entries of a function's table: one for each byte, or for each segment of 128 words.
    pub const fn table_entries(self) -> usize {
        match self {
            Word::W8 => 1 << 8,
            Word::W16 => 1 << 9,
        }
    }
    /// Smallest representable integer.
    pub const fn min(self) -> i64 {
        -(1 << (self.bits() - 1))
    }
    /// Largest representable integer.
    pub const fn max(self) -> i64 {
        (1 << (self.bits() - 1)) - 1
    }
    /// Saturates to the word.
    pub fn saturate(self, v: i64) -> i16 {
        v.clamp(self.min(), self.max()) as i16
    }
}

/// A real number as a word with `frac` fraction bits: round half to even, then saturate. NaN becomes `None`.
pub fn quantise(x: f64, frac: i32, word: Word) -> Option<i16> {
    if x.is_nan() {
        return None;
    }
    let scaled = (x * 2f64.powi(frac)).round_ties_even();
    Some(scaled.clamp(word.min() as f64, word.max() as f64) as i16)
}

/// Many finite numbers as words with `frac` fraction bits, each as [`quantise`] makes it; how many lay beyond the format, by
/// more than rounding, and were clipped to it. A few operations a number without a branch, which compilers vectorise.
///
/// Errors: `Err(index)` of the first NaN or infinity; the words are then none.
/// Panics when `words` has another length.
pub fn quantise_all(
    values: &[f64],
    frac: i32,
    word: Word,
    words: &mut [i16],
) -> Result<u64, usize> {
    assert_eq!(values.len(), words.len(), "a word a number");
    // Of a sum with this number the fraction's low bits are the rounded integer, since a double's last bit is then worth 1.
    const INTEGER: f64 = (3u64 << 51) as f64;
    let (scale, low, high) = (2f64.powi(frac), word.min() as f64, word.max() as f64);
    let mut clipped = 0;
    let mut finite = true;
    // In parts, so that their counters are short.
    for (values, words) in values.chunks(1024).zip(words.chunks_mut(1024)) {
        let (mut beyond, mut odd) = (0u32, 0u32);
        for (&v, w) in values.iter().zip(words) {
            let exact = v * scale;
            // Limits are integers, so the limited number rounds to what the rounded one is limited to.
            *w = (exact.max(low).min(high) + INTEGER).to_bits() as i16;
            beyond += u32::from((exact > high + 0.5) | (exact < low - 0.5));
            odd += u32::from(!v.is_finite());
        }
        clipped += u64::from(beyond);
        finite &= odd == 0;
    }
    match finite {
        true => Ok(clipped),
        false => Err(values.iter().position(|v| !v.is_finite()).unwrap_or(0)),
    }
}

/// The real number that a word with `frac` fraction bits stands for.
pub fn dequantise(q: i16, frac: i32) -> f64 {
    f64::from(q) * 2f64.powi(-frac)
}

/// Smallest exponent `e` with `max|w| * 2^-e < 2` after rounding to the weight format; 0 for an all-zero layer.
///
/// Errors: `Err(index)` of the first NaN or infinity.
pub fn auto_scale(weights: &[f32], word: Word) -> Result<i32, usize> {
    if let Some(i) = weights.iter().position(|w| !w.is_finite()) {
        return Err(i);
    }
    let (low, high) = weights
        .iter()
        .fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
    let largest = f64::from(high.max(-low));
    if largest == 0.0 {
        return Ok(0);
    }
    // Rounding is monotone: all fit when the extremes do.
    let fits = |e: i32| {
        [low, high].into_iter().all(|w| {
            let q = (f64::from(w) * 2f64.powi(word.weight_frac() - e)).round_ties_even();
            q >= word.min() as f64 && q <= word.max() as f64
        })
    };
    // From the binary order of the largest on, at most two steps below the one that fits.
    let range = SCALE_EXP_RANGE;
    let first = (largest.log2().floor() as i32 - 2).clamp(*range.start(), *range.end());
    let e = (first..=*range.end()).find(|&e| fits(e));
    Ok(e.unwrap_or(*range.end()))
}

/// Result of a requantisation: the word, and whether saturation changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantised {
    /// The saturated word.
    pub value: i16,
    /// True when the value before saturation was outside the word.
    pub saturated: bool,
}

/// Accumulator to word: add half, shift right arithmetically (half up); a negative shift goes left; then saturate.
///
/// `shift` in bits, -16..=47. Source: form of Jacob et al. 2018, arXiv:1712.05877, 2.2; the tie rule is ours.
#[inline]
pub fn requantise(acc: i64, shift: i32, word: Word) -> Requantised {
    // A 48-bit accumulator has room in 64 bits for the half; what lies beyond 18 bits saturates at every left shift.
    let wide = match shift {
        0 => acc,
        s if s > 0 => (acc + (1 << (s - 1))) >> s,
        s => acc.clamp(-(1 << 17), 1 << 17) << -s,
    };
    let value = wide.clamp(word.min(), word.max());
    Requantised {
        value: value as i16,
        saturated: value != wide,
    }
}

/// The slope of what is negative: `m` has 15 fraction bits; rounds half up, and is not yet saturated.
#[inline]
pub fn apply_slope(m: i16, y: i16) -> i32 {
    (i32::from(y) * i32::from(m) + (1 << 14)) >> 15
}

/// Where a word lies in a table: its entry, and of how many of 128 steps it is behind that (bytes have an entry each).
#[inline]
pub fn table_index(y: i16, word: Word) -> (usize, i32) {
    let at = i64::from(y) - word.min();
    match word {
        Word::W8 => (at as usize, 0),
        Word::W16 => ((at >> 7) as usize, (at & 127) as i32),
    }
}

/// The value `steps` of 128 steps behind an entry; rounds half up.
#[inline]
pub fn interpolate(base: i16, delta: i32, steps: i32) -> i32 {
    i32::from(base) + ((delta * steps + 64) >> 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requantise_rounds_half_up_at_every_sign() {
        let r = |a, s| requantise(a, s, Word::W16).value;
        assert_eq!([r(1, 1), r(-1, 1), r(3, 1), r(-3, 1)], [1, 0, 2, -1]);
        assert_eq!([r(-2, 2), r(-3, 2), r(2, 2), r(6, 2)], [0, -1, 1, 2]);
    }

    #[test]
    fn requantise_saturates_in_both_directions_and_says_so() {
        for word in [Word::W8, Word::W16] {
            let r = requantise((1 << 47) - 1, 3, word);
            assert_eq!((i64::from(r.value), r.saturated), (word.max(), true));
            let r = requantise(-(1 << 47), -16, word);
            assert_eq!((i64::from(r.value), r.saturated), (word.min(), true));
            assert!(!requantise(word.max(), 0, word).saturated);
        }
    }

    #[test]
    fn many_numbers_become_the_words_that_each_alone_becomes() {
        let mut values = vec![
            0.0,
            -0.0,
            1e300,
            -1e300,
            f64::MIN_POSITIVE,
            32767.5,
            32767.51,
        ];
        // Every half, and what lies just beside it, up to beyond the words.
        for i in -66_000..66_000 {
            let half = f64::from(i) / 2.0;
            values.extend([half, half.next_up(), half.next_down()]);
        }
        for (word, frac) in [
            (Word::W16, 0),
            (Word::W16, 8),
            (Word::W8, -3),
            (Word::W16, 40),
        ] {
            let mut words = vec![0; values.len()];
            let clipped = quantise_all(&values, frac, word, &mut words).unwrap();
            let mut beyond = 0;
            for (&v, &w) in values.iter().zip(&words) {
                assert_eq!(Some(w), quantise(v, frac, word), "{v} with {frac}");
                beyond += u64::from((v * 2f64.powi(frac) - f64::from(w)).abs() > 0.5);
            }
            assert_eq!(clipped, beyond, "{frac}");
        }
        let mut words = [0; 3];
        for odd in [f64::NAN, f64::INFINITY] {
            let q = quantise_all(&[1.0, odd, odd], 8, Word::W16, &mut words);
            assert_eq!(q, Err(1));
        }
    }

    #[test]
    fn auto_scale_uses_the_whole_range() {
        assert_eq!(auto_scale(&[1.0, -2.0], Word::W16), Ok(0));
        assert_eq!(auto_scale(&[2.0], Word::W16), Ok(1));
        // Rounds up to 2.0, which no longer fits at e = 0.
        assert_eq!(auto_scale(&[1.999_99], Word::W16), Ok(1));
        assert_eq!(auto_scale(&[0.4], Word::W16), Ok(-2));
        assert_eq!(auto_scale(&[0.0, 0.0], Word::W16), Ok(0));
        assert_eq!(auto_scale(&[0.0, f32::NAN], Word::W16), Err(1));
    }

    #[test]
    fn weights_round_half_to_even_and_agree_with_the_fixed_crate() {
        assert_eq!(quantise(0.5, 0, Word::W16), Some(0));
        assert_eq!(quantise(1.5, 0, Word::W16), Some(2));
        for i in -40_000..40_000 {
            let x = f64::from(i) / 19_000.0;
            let want = Q2_14::saturating_from_num((x * 16384.0).round_ties_even() / 16384.0);
            assert_eq!(quantise(x, 14, Word::W16), Some(want.to_bits()));
        }
        assert_eq!(quantise(f64::NAN, 14, Word::W16), None);
    }
}
