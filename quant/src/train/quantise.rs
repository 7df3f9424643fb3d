//! Float network and formats to integers: the one place where weights and biases become words.

use super::net::reals;
use crate::{FloatNet, QuantError};
use cnna_machine::num::{SHIFT_RANGE, Word, auto_scale, quantise};
use cnna_net::op::Conv;
use cnna_net::{Graph, Op, Values};
use serde::{Deserialize, Serialize};

/// The number formats of a quantised network; those of weights and biases follow from their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formats {
    /// Width of weights and activations.
    pub word: Word,
    /// Each layer's weights use their whole word (true), or the plain format Q2.14 or Q2.6 with clipping.
    pub auto_scale: bool,
    /// Fraction bits of the input.
    pub input_frac: i32,
    /// Fraction bits of each layer's output; max pooling keeps those of its input.
    pub output_fracs: Vec<i32>,
}

impl Formats {
    /// Fraction bits of the input of layer `i`.
    pub fn input_frac_of(&self, i: usize) -> i32 {
        if i == 0 {
            self.input_frac
        } else {
            self.output_fracs[i - 1]
        }
    }
}

/// One layer's weights and biases as integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantConv {
    /// Words, [oc][ic][kh][kw].
    pub weights: Vec<i16>,
    /// Fraction bits of the weights.
    pub weight_frac: i32,
    /// [oc], input plus weight fraction bits. From an f32, so with 24 significant bits at most.
    pub bias: Vec<i64>,
}

/// Quantises the weights and biases of layer `name`, whose input has `input_frac` fraction bits.
///
/// Errors: NaN or infinity. Source: the project's arithmetic contract (half to even; smallest exponent that fits).
pub fn quantise_conv(
    name: &str,
    conv: &Conv,
    input_frac: i32,
    formats: &Formats,
) -> Result<QuantConv, QuantError> {
    let not_finite = |what, values: &[f32], index: usize| QuantError::NotFinite {
        layer: name.into(),
        what,
        index,
        value: values[index],
    };
    let (weights, bias) = (reals(&conv.weights), reals(&conv.bias));
    let exponent =
        auto_scale(weights, formats.word).map_err(|i| not_finite("weight", weights, i))?;
    if let Some(i) = bias.iter().position(|b| !b.is_finite()) {
        return Err(not_finite("bias", bias, i));
    }
    let exponent = if formats.auto_scale { exponent } else { 0 };
    let weight_frac = formats.word.weight_frac() - exponent;
    let weights = weights
        .iter()
        .map(|&w| {
            quantise(f64::from(w), weight_frac, formats.word).expect("finite by the check above")
        })
        .collect();
    let bias_frac = input_frac + weight_frac;
    // The cast saturates; what is beyond the 48-bit accumulator the compiler refuses.
    let bias = bias
        .iter()
        .map(|&b| (f64::from(b) * 2f64.powi(bias_frac)).round_ties_even() as i64)
        .collect();
    Ok(QuantConv {
        weights,
        weight_frac,
        bias,
    })
}

/// The quantised graph. Errors: NaN or infinite weights, a shift that the machine does not have.
pub fn to_graph(net: &FloatNet, formats: &Formats) -> Result<Graph, QuantError> {
    let mut graph = net.graph().clone();
    graph.word = formats.word;
    let input = graph.inputs[0].tensor;
    graph.tensors[input].frac = Some(formats.input_frac);
    for (i, n) in graph.nodes.iter_mut().enumerate() {
        let (input_frac, output_frac) = (formats.input_frac_of(i), formats.output_fracs[i]);
        graph.tensors[n.output].frac = Some(output_frac);
        let Op::Conv(c) = &mut n.op else { continue };
        let q = quantise_conv(&n.name, c, input_frac, formats)?;
        let shift = input_frac + q.weight_frac - output_frac;
        if !SHIFT_RANGE.contains(&shift) {
            return Err(QuantError::Shift {
                layer: n.name.clone(),
                shift,
            });
        }
        c.weights = Values::Words(q.weights, q.weight_frac);
        c.bias = Values::Sums(q.bias);
    }
    Ok(graph)
}
