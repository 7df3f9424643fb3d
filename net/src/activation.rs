//! Functions of one value, applied to the saturated integer.

use crate::run::Target;
use crate::values::Values;
use cnna_machine::num::{Requantised, Word, apply_slope, interpolate, quantise, table_index};
use libm::{cosh, erf, exp, log, log1p, pow, tanh};
use serde::{Deserialize, Serialize};

/// A function of one value. Parameters are reals: the integers follow from the output's format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// Identity; between tensors of different formats it rescales.
    #[default]
    None,
    /// `max(0, y)`.
    Relu,
    /// `min(hi, max(lo, y))`; a bound of plus or minus infinity is none.
    Clip {
        /// Lower bound.
        #[serde(with = "crate::values::real")]
        lo: f32,
        /// Upper bound.
        #[serde(with = "crate::values::real")]
        hi: f32,
    },
    /// `y` where it is not negative, else `slope * y`.
    Leaky(f32),
    /// The same with a slope for each channel.
    PRelu(Values),
    /// A smooth function, by the table of its input's and output's format.
    Table(Function),
}

/// Smooth functions that run by table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Function {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `min(1, max(0, alpha * x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x * min(1, max(0, x / 6 + 1/2))`.
    HardSwish,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x / 2 * (1 + erf(x / sqrt 2))`.
    Gelu,
    /// `x * tanh(ln(1 + exp(x)))`.
    Mish,
    /// `exp(x)`.
    Exp,
    /// `x * exp(x)`.
    XExp,
    /// `ln(max(|x|, SMALLEST))`.
    Log,
    /// `exp(1 / cosh(x))`: of the difference of two logarithms it is e to the power of twice the product over the sum of
    /// squares.
    ExpSech,
    /// `factor * max(|x|, SMALLEST) ^ exponent`.
    Power {
        /// Of the power.
        factor: f32,
        /// Of the magnitude.
        exponent: f32,
    },
}

/// Magnitudes below it count as so large: logarithms and powers stay finite, and so do their derivatives. The square of a
/// word's last bit where words hold up to 32.
pub const SMALLEST: f64 = 1.0 / 1_048_576.0;

/// A function as words: `base[i] + ((delta[i] * f + 64) >> 7)` with `i` and `f` from the upper and lower bits of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The function at each segment's start, rounded half to even and saturated.
    pub base: Vec<i16>,
    /// Difference to the next segment's start.
    pub delta: Vec<i32>,
}

impl Table {
    /// The table between an input and an output format.
    pub fn new(f: Function, input_frac: i32, output_frac: i32, word: Word) -> Self {
        let value = |q: i64| {
            let x = q as f64 * 2f64.powi(-input_frac);
            i32::from(quantise(f.of(x), output_frac, word).expect("functions of finite values are"))
        };
        let segments = word.table_entries() as i64;
        let step = (1 << word.bits()) / segments;
        let at: Vec<i32> = (0..=segments)
            .map(|i| value(word.min() + i * step))
            .collect();
        Table {
            base: at[..segments as usize].iter().map(|&v| v as i16).collect(),
            delta: at.windows(2).map(|w| w[1] - w[0]).collect(),
        }
    }

    /// The function of a word.
    #[inline]
    pub fn apply(&self, y: i16, word: Word) -> i16 {
        let (i, steps) = table_index(y, word);
        // Between two words of the range, so again one.
        interpolate(self.base[i], self.delta[i], steps) as i16
    }
}

impl Function {
    /// The function of a real.
    pub fn of(self, x: f64) -> f64 {
        match self {
            Function::Sigmoid => 1.0 / (1.0 + exp(-x)),
            Function::Tanh => tanh(x),
            Function::HardSigmoid { alpha, beta } => {
                (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)
            }
            Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Function::Silu => x / (1.0 + exp(-x)),
            Function::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Function::Mish => x * tanh(x.max(0.0) + log1p(exp(-x.abs()))),
            Function::Exp => exp(x),
            Function::XExp => x * exp(x),
            Function::Log => log(x.abs().max(SMALLEST)),
            Function::ExpSech => exp(1.0 / cosh(x)),
            Function::Power { factor, exponent } => {
                f64::from(factor) * power(x.abs().max(SMALLEST), exponent.into())
            }
        }
    }

    /// Its derivative at a real; at a corner that of the side where the function moves.
    pub fn derivative(self, x: f64) -> f64 {
        let sigmoid = || Function::Sigmoid.of(x);
        match self {
            Function::Sigmoid => {
                let s = sigmoid();
                s * (1.0 - s)
            }
            Function::Tanh => 1.0 - tanh(x).powi(2),
            Function::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (f64::from(alpha), f64::from(beta));
                if (0.0..=1.0).contains(&(alpha * x + beta)) {
                    alpha
                } else {
                    0.0
                }
            }
            Function::HardSwish => match x {
                x if x < -3.0 => 0.0,
                x if x > 3.0 => 1.0,
                x => x / 3.0 + 0.5,
            },
            Function::Silu => {
                let s = sigmoid();
                s * (1.0 + x * (1.0 - s))
            }
            Function::Gelu => {
                let density = exp(-x * x / 2.0) / (2.0 * std::f64::consts::PI).sqrt();
                0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) + x * density
            }
            Function::Mish => {
                let inner = tanh(x.max(0.0) + log1p(exp(-x.abs())));
                inner + x * (1.0 - inner * inner) * sigmoid()
            }
            Function::Exp => exp(x),
            Function::XExp => (1.0 + x) * exp(x),
            Function::ExpSech => -self.of(x) * tanh(x) / cosh(x),
            Function::Log | Function::Power { .. } if x.abs() <= SMALLEST => 0.0,
            Function::Log => 1.0 / x,
            Function::Power { factor, exponent } => {
                let (factor, exponent) = (f64::from(factor), f64::from(exponent));
                (factor * exponent * power(x.abs(), exponent - 1.0)).copysign(factor * exponent * x)
            }
        }
    }

    /// Fraction bits for the function's input when the model gives none: wide enough that what saturates changes nothing.
    pub fn input_frac(self, output_frac: i32, word: Word) -> i32 {
        let bits = word.bits() as i32 - 1;
        match self {
            // 16 on either side: 1 - sigmoid(16) is 1e-7.
            Function::Sigmoid | Function::Exp | Function::XExp | Function::ExpSech => bits - 4,
            Function::Tanh => bits - 3,
            Function::HardSigmoid { .. } => bits - 3,
            // Equal to their input where it is large.
            Function::HardSwish | Function::Silu | Function::Gelu | Function::Mish => output_frac,
            // Their domain is the model's affair.
            Function::Log | Function::Power { .. } => output_frac,
        }
    }
}

/// A power of a magnitude: squares, of which products are made, at once. Exact where the power is.
fn power(x: f64, exponent: f64) -> f64 {
    match exponent {
        2.0 => x * x,
        1.0 => x,
        _ => pow(x, exponent),
    }
}

/// The slope of a leaky part as the machine multiplies by it: 15 fraction bits.
pub fn slope_word(slope: f32) -> i16 {
    const LARGEST: f64 = 32767.0;
    (f64::from(slope) * 32768.0)
        .round_ties_even()
        .clamp(-LARGEST, LARGEST) as i16
}

impl Activation {
    /// Bounds as words of the output's format, for those that only clip; `None` for the others.
    pub fn bounds(&self, frac: i32, word: Word) -> Option<[i16; 2]> {
        let (min, max) = (word.min() as i16, word.max() as i16);
        let bound = |x: f32| quantise(f64::from(x), frac, word).unwrap_or(0);
        match self {
            Activation::None => Some([min, max]),
            Activation::Relu => Some([0, max]),
            Activation::Clip { lo, hi } => Some([bound(*lo), bound(*hi)]),
            _ => None,
        }
    }

    /// Checks what may follow in a node of so many output channels. Errors: slopes of another number; a table, which has a
    /// node of its own because it lies between two formats.
    pub fn check(&self, channels: usize) -> Result<(), String> {
        match self {
            Activation::PRelu(m) if ![1, channels].contains(&m.len()) => {
                Err(format!("it has {} slopes for {channels} channels", m.len()))
            }
            Activation::Table(f) => Err(format!("{f:?} does not follow in the same node")),
            _ => Ok(()),
        }
    }

    /// Its constant, if it has one.
    pub fn constant(&self) -> Option<&Values> {
        match self {
            Activation::PRelu(m) => Some(m),
            _ => None,
        }
    }

    /// The same, to change.
    pub fn constant_mut(&mut self) -> Option<&mut Values> {
        match self {
            Activation::PRelu(m) => Some(m),
            _ => None,
        }
    }

    /// True when a saturation counts: not where a bound moves the word anyway.
    pub fn alarms(&self, r: Requantised, out: &Target) -> bool {
        let undone = self
            .bounds(out.frac, out.word)
            .is_some_and(|[lo, hi]| r.value < lo || r.value > hi);
        r.saturated && !undone
    }

    /// True for those that keep order and format, so that they may move before a maximum or a concatenation.
    pub fn is_clip(&self) -> bool {
        matches!(self, Activation::Relu | Activation::Clip { .. })
    }

    /// Applies the function in place to saturated words, [channel][plane], of format `frac`; tables are not of one format.
    ///
    /// Panics for [`Activation::Table`] and for slopes of another number than channels: both are checked when a graph is built.
    pub fn apply(&self, values: &mut [i16], channels: usize, frac: i32, word: Word) {
        match self {
            Activation::None => {}
            Activation::Relu | Activation::Clip { .. } => {
                let [lo, hi] = self.bounds(frac, word).expect("a clip has bounds");
                values.iter_mut().for_each(|v| *v = (*v).max(lo).min(hi));
            }
            Activation::Leaky(m) => leak(values, slope_word(*m), word),
            Activation::PRelu(m) => {
                let m = m.to_reals(0);
                let plane = values.len() / channels;
                let each = values.chunks_exact_mut(plane).enumerate();
                each.for_each(|(c, v)| leak(v, slope_word(m[c % m.len()]), word));
            }
            Activation::Table(_) => unreachable!("a table has an operator of its own"),
        }
    }
}

/// A slope of nearly -1 turns the least byte over: it stays the largest, as behind the machine's clip.
fn leak(values: &mut [i16], m: i16, word: Word) {
    for v in values.iter_mut().filter(|v| **v < 0) {
        *v = word.saturate(apply_slope(m, *v).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::num::dequantise;
    /// Words between the table and the rounded function, at most.
    fn worst(f: Function, input_frac: i32, output_frac: i32, word: Word) -> i32 {
        let table = Table::new(f, input_frac, output_frac, word);
        let off = |q: i64| {
            let exact = f.of(dequantise(q as i16, input_frac));
            let exact = quantise(exact, output_frac, word).expect("finite");
            (i32::from(table.apply(q as i16, word)) - i32::from(exact)).abs()
        };
        (word.min()..=word.max()).map(off).max().unwrap_or(0)
    }

    const QUARTER_SQUARE: Function = Function::Power {
        factor: 0.25,
        exponent: 2.0,
    };

    const HARD: Function = Function::HardSigmoid {
        alpha: 0.2,
        beta: 0.5,
    };

    #[test]
    fn tables_are_within_a_word_of_their_functions() {
        use Function::*;
        let sixth = HardSigmoid {
            alpha: 1.0 / 6.0,
            beta: 0.5,
        };
        // Input and output fraction bits; the last bits of a whole table cost a second word.
        for (f, inputs, outputs, most) in [
            (Sigmoid, 12..=14, 8..=15, 1),
            (Sigmoid, 11..=11, 8..=13, 1),
            (Sigmoid, 11..=11, 14..=15, 2),
            (Tanh, 12..=14, 8..=14, 2),
            (Tanh, 13..=14, 15..=15, 2),
            (HARD, 8..=14, 8..=15, 1),
            (sixth, 8..=14, 8..=15, 1),
        ] {
            for i in inputs {
                for o in outputs.clone() {
                    let off = worst(f, i, o, Word::W16);
                    assert!(off <= most, "{f:?} from {i} to {o}: {off}");
                }
            }
        }
        // As large as their input where that is large: an output with more fraction bits saturates within a segment.
        for (f, coarsest) in [(HardSwish, 11), (Silu, 11), (Gelu, 12), (Mish, 11)] {
            for i in coarsest..=14 {
                for o in 8..=i {
                    let off = worst(f, i, o, Word::W16);
                    assert!(off <= 1, "{f:?} from {i} to {o}: {off}");
                }
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_differences() {
        use Function::*;
        let power = |exponent: f32| Power {
            factor: 0.25,
            exponent,
        };
        let of_words = [Sigmoid, Tanh, HARD, HardSwish, Silu, Gelu, Mish];
        let of_blocks = [Exp, XExp, Log, ExpSech, power(2.0), power(-1.0), power(0.5)];
        for f in of_words.into_iter().chain(of_blocks) {
            for x in [-7.3, -2.9, -1.1, -0.2, 0.3, 1.7, 2.6, 6.4] {
                let differences = (f.of(x + 1e-5) - f.of(x - 1e-5)) / 2e-5;
                let off = (f.derivative(x) - differences).abs();
                assert!(
                    off < 1e-8 * f.derivative(x).abs().max(1.0),
                    "{f:?} at {x}: {} is not {differences}",
                    f.derivative(x)
                );
            }
        }
    }

    #[test]
    fn tables_of_bytes_are_exact() {
        use Function::*;
        for f in [Sigmoid, Tanh, HARD, HardSwish, Silu, Gelu, Mish] {
            for i in -2..=9 {
                for o in -2..=9 {
                    assert_eq!(worst(f, i, o, Word::W8), 0, "{f:?} from {i} to {o}");
                }
            }
        }
    }

    /// The values are those of another implementation of the error function and the exponential.
    #[test]
    fn functions_have_their_known_values() {
        use Function::*;
        for (f, x, want) in [
            (Sigmoid, 1.0, 0.731_058_578_630_005),
            (Tanh, -0.5, -0.462_117_157_260_010),
            (HARD, 1.0, 0.7),
            (HARD, 3.0, 1.0),
            (HardSwish, 1.0, 2.0 / 3.0),
            (HardSwish, -4.0, 0.0),
            (Silu, -2.5, -0.189645450053109),
            (Gelu, 1.0, 0.841344746068543),
            (Gelu, -2.5, -0.015524163314440),
            (Gelu, 7.0, 6.999999999991041),
            (Mish, 1.0, 0.865098388267310),
            (Mish, -2.5, -0.196816203906533),
            (Exp, -1.0, 0.367_879_441_171_442),
            (XExp, -2.0, -0.270_670_566_473_225),
            (Log, 3.0, 1.098_612_288_668_11),
            (Log, 0.0, -13.862_943_611_198_906),
            (ExpSech, 0.0, std::f64::consts::E),
            (ExpSech, 1e3, 1.0),
            (QUARTER_SQUARE, -3.0, 2.25),
        ] {
            // Parameters of the hard sigmoid are floats.
            let off = (f.of(x) - want).abs();
            assert!(off < 1e-7, "{f:?} of {x}: {} is not {want}", f.of(x));
            assert!(off < 1e-13 || f == HARD, "{f:?} of {x}: {}", f.of(x));
        }
    }
}
