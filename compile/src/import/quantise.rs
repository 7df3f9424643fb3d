//! The parameters of QuantizeLinear and DequantizeLinear: a power-of-two scale as a fraction count, a zero point of 0.

use super::constant::Data;
use super::error::ImportError;
use super::graph::Graph;
use cnna_machine::num::Word;

/// What one QuantizeLinear or DequantizeLinear says.
pub(super) struct Parameters {
    /// `scale = 2^-frac`.
    pub frac: i32,
    /// The integers' width, where the node itself says it (a DequantizeLinear without zero point does not).
    pub word: Option<Word>,
}

/// Fraction bits of an exact power-of-two scale; `None` for anything else.
pub(super) fn frac_of(scale: f32) -> Option<i32> {
    // Every f32, subnormals too, is a normal f64: a power of two has an empty mantissa there.
    let bits = f64::from(scale).to_bits();
    let exponent = (bits >> 52) as i32;
    let power_of_two = scale > 0.0 && scale.is_finite() && bits << 12 == 0;
    power_of_two.then_some(1023 - exponent)
}

/// Reads scale, zero point and width of node `index`.
///
/// Errors: a scale per channel, not a power of two or not constant; a zero point other than 0; integers other than int8, int16.
pub(super) fn parameters(g: &Graph, index: usize) -> Result<Parameters, ImportError> {
    let node = g.node(index);
    let input = |i: usize| node.input.get(i).filter(|s| !s.is_empty());
    if node.int("block_size", 0)? != 0 {
        return Err(g.refuse(
            index,
            "block_size is not supported: use one scale per tensor",
        ));
    }
    let name = input(1).ok_or_else(|| g.refuse(index, "it has no scale"))?;
    let Data::Real(scales) = g.constant(index, name)?.data else {
        return Err(g.refuse(index, format!("its scale `{name}` is not float")));
    };
    let scale = *scales
        .first()
        .ok_or_else(|| g.refuse(index, format!("its scale `{name}` is empty")))?;
    if scales.iter().any(|&s| s != scale) {
        return Err(g.refuse(
            index,
            format!("its scale `{name}` differs by channel: use one scale per tensor"),
        ));
    }
    let frac = frac_of(scale).ok_or_else(|| {
        g.refuse(
            index,
            format!("its scale `{name}` = {scale} is not a power of two: round the scales to powers of two when exporting"),
        )
    })?;
    let zero = input(2).map(|z| g.constant(index, z)).transpose()?;
    let mut word = None;
    if let Some(z) = &zero {
        let integers = z.integers().ok_or_else(|| {
            g.refuse(
                index,
                format!("its zero point `{}` is not integers", z.name),
            )
        })?;
        if let Some(v) = integers.iter().find(|&&v| v != 0) {
            return Err(g.refuse(
                index,
                format!("its zero point `{}` is {v}: only symmetric quantisation (zero point 0) is supported", z.name),
            ));
        }
        if let Data::Words(w, _) = z.data {
            word = Some(w);
        }
    }
    if node.op_type == "QuantizeLinear" && word.is_none() {
        word = match (&zero, node.int("output_dtype", 0)?) {
            (None, 3) => Some(Word::W8),
            (None, 5) => Some(Word::W16),
            _ => {
                return Err(g.refuse(
                    index,
                    "it makes integers that are not int8 or int16: give it an int16 (or int8) zero point of 0",
                ));
            }
        };
    }
    Ok(Parameters { frac, word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_powers_of_two_have_a_fraction_count() {
        for f in -126..=149 {
            assert_eq!(frac_of(2f64.powi(-f) as f32), Some(f));
        }
        for s in [0.0, -0.5, 0.3, 0.500_000_06, f32::NAN, f32::INFINITY, 3.0] {
            assert_eq!(frac_of(s), None, "{s}");
        }
    }
}
