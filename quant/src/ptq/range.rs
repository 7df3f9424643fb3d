//! What a tensor's values were on the calibration images, and the fraction count that follows.
//!
//! Formats are powers of two, so no histogram is needed: one bucket a power of two, with the number, the sum and the sum of
//! squares of the values in it, gives each method's choice and the exact error of saturation in one pass over the data.

use cnna_machine::num::Word;
use serde::{Deserialize, Serialize};

/// How a range becomes a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Nothing saturates on the calibration images, and at 16 bits nothing half as large again.
    Max,
    /// All values but the largest 0.01 % fit.
    Percentile,
    /// The least mean squared error of rounding and saturation together.
    Mse,
}

impl Method {
    /// All of them, in the order in which equals are preferred.
    pub const ALL: [Method; 3] = [Method::Max, Method::Mse, Method::Percentile];
}

/// Share of values that [`Method::Percentile`] keeps.
const KEPT: f64 = 0.9999;
/// Room above the calibration images' peaks for images to come. At 16 bits the bit that it may cost is 6 dB of fifty to eighty;
/// one saturated peak of an image not seen before costs more. At 8 bits no bit can be spared.
fn headroom(word: Word) -> f64 {
    match word {
        Word::W8 => 1.0,
        Word::W16 => 1.5,
    }
}
/// Legal fraction counts of activations: beyond them no shift of the machine brings sums back.
const FRACS: std::ops::RangeInclusive<i32> = -24..=40;
/// Fraction counts above the covering one that [`Method::Mse`] tries: each halves the step and doubles what saturates.
const FINER: i32 = 5;
/// The exponent's offset in a float.
const OFFSET: i32 = 127;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    count: u64,
    sum: f64,
    squares: f64,
}

/// Magnitudes seen, by their exponent.
#[derive(Clone, Debug)]
pub struct Range {
    peak: f32,
    buckets: Vec<Bucket>,
}

impl Default for Range {
    fn default() -> Self {
        Range {
            peak: 0.0,
            buckets: vec![Bucket::default(); 256],
        }
    }
}

impl Range {
    /// Adds values; all must be finite.
    pub fn add(&mut self, values: &[f32]) {
        for &v in values {
            let a = v.abs();
            self.peak = self.peak.max(a);
            let b = &mut self.buckets[(a.to_bits() >> 23) as usize & 0xff];
            b.count += 1;
            b.sum += f64::from(a);
            b.squares += f64::from(a) * f64::from(a);
        }
    }

    /// The largest magnitude.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// The format that `method` chooses for words of that width; no value can be larger than `bound`.
    pub fn frac(&self, method: Method, word: Word, bound: f64) -> i32 {
        let peak = f64::from(self.peak);
        let covering = covering(peak, word);
        match method {
            Method::Max => self::covering((peak * headroom(word)).min(bound.max(peak)), word),
            Method::Percentile => self.percentile(word).max(covering),
            Method::Mse => {
                let finer = (covering..=covering + FINER).filter(|f| FRACS.contains(f));
                let best = finer.map(|f| (f, self.error(f, word)));
                // Equal errors (a tensor of zeros): the first, which saturates least.
                best.reduce(|a, b| if b.1 < a.1 { b } else { a })
                    .map_or(covering, |(f, _)| f)
            }
        }
    }

    fn percentile(&self, word: Word) -> i32 {
        let all: u64 = self.buckets.iter().map(|b| b.count).sum();
        let mut above = 0;
        for (e, b) in self.buckets.iter().enumerate().rev() {
            above += b.count;
            if above as f64 > all as f64 * (1.0 - KEPT) {
                // Values of this bucket are below the power of two behind it.
                return (word.bits() as i32 - 1 - (e as i32 - OFFSET + 1))
                    .clamp(*FRACS.start(), *FRACS.end());
            }
        }
        covering(0.0, word)
    }

    /// Squared error with `frac` fraction bits: a twelfth of the step's square for what fits, its distance to the limit for
    /// what does not.
    fn error(&self, frac: i32, word: Word) -> f64 {
        let step = 2f64.powi(-frac);
        let top = word.bits() as i32 - 1 - frac;
        let limit = 2f64.powi(top);
        let mut error = 0.0;
        for (e, b) in self.buckets.iter().enumerate() {
            error += match e as i32 - OFFSET < top {
                true => b.count as f64 * step * step / 12.0,
                false => b.squares - 2.0 * limit * b.sum + limit * limit * b.count as f64,
            };
        }
        error
    }
}

/// The largest fraction count whose word holds `peak` after rounding; the weight format's for zero.
pub fn covering(peak: f64, word: Word) -> i32 {
    let frac = match peak > 0.0 {
        true => ((word.max() as f64 + 0.5) / peak).log2().floor(),
        false => f64::from(word.weight_frac()),
    };
    (frac as i32).clamp(*FRACS.start(), *FRACS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Range {
        let mut r = Range::default();
        r.add(values);
        r
    }

    const FAR: f64 = f64::INFINITY;

    #[test]
    fn a_word_covers_its_peak_and_a_long_one_has_room_above_it() {
        assert_eq!(of(&[0.9, -1.3]).frac(Method::Max, Word::W16, FAR), 14);
        assert_eq!(of(&[0.9, -1.4]).frac(Method::Max, Word::W16, FAR), 13);
        assert_eq!(of(&[3.0; 4]).frac(Method::Max, Word::W8, FAR), 5);
        // No room is needed above what a value cannot exceed.
        assert_eq!(of(&[6.0, 0.0]).frac(Method::Max, Word::W16, 6.0), 12);
        assert_eq!(of(&[6.0, 0.0]).frac(Method::Max, Word::W16, FAR), 11);
        assert_eq!(of(&[0.0]).frac(Method::Max, Word::W16, FAR), 14);
        // 127.6 rounds beyond the largest word of 8 bits, 127.4 does not.
        assert_eq!([127.4, 127.6].map(|v| covering(v, Word::W8)), [0, -1]);
    }

    #[test]
    fn short_words_cut_rare_peaks_and_long_ones_do_not() {
        // One value of 1.01 among many of 0.3: a step of 2^-7 beats covering the peak with 2^-6.
        let mut values: Vec<f32> = (0..1000).map(|i| 0.3 + (i as f32) * 1e-5).collect();
        values.push(1.01);
        assert_eq!(of(&values).frac(Method::Mse, Word::W8, FAR), 7);
        values.push(300.0);
        assert_eq!(of(&values).frac(Method::Mse, Word::W16, FAR), 6);
    }

    #[test]
    fn a_percentile_leaves_out_what_is_rarer() {
        let mut values = vec![0.7; 99_999];
        values.push(100.0);
        assert_eq!(of(&values).frac(Method::Percentile, Word::W16, FAR), 15);
        assert_eq!(of(&values).frac(Method::Max, Word::W16, 100.0), 8);
        values.extend([100.0; 20]);
        assert_eq!(of(&values).frac(Method::Percentile, Word::W16, FAR), 8);
    }

    #[test]
    fn the_estimated_error_is_the_measured_one() {
        let values: Vec<f32> = (0..40_000)
            .map(|i| ((i * 7919) % 40_000) as f32 / 20_000.0)
            .collect();
        let r = of(&values);
        for frac in 5..9 {
            let step = 2f64.powi(-frac);
            let one = |&v: &f32| {
                let q = (f64::from(v) / step).round_ties_even().clamp(-128.0, 127.0);
                (q * step - f64::from(v)).powi(2)
            };
            let measured: f64 = values.iter().map(one).sum();
            let ratio = r.error(frac, Word::W8) / measured;
            assert!((0.8..1.25).contains(&ratio), "{frac}: {ratio}");
        }
    }
}
