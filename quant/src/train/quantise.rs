//! Float network and formats to integers: the one place where what was trained becomes words.

use crate::ptq::weights::{Rounding, round};
use crate::{FloatNet, QuantError};
use cnna_machine::num::{Word, quantise};
use cnna_net::op::{Conv, ConvTranspose};
use cnna_net::{Graph, Op, Values, settle};
use serde::{Deserialize, Serialize};

/// The number formats of a quantised network; those of weights and biases follow from their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formats {
    /// Width of weights and activations.
    pub word: Word,
    /// Each layer's weights use their whole word (true), or the plain format Q2.14 or Q2.6 with clipping.
    pub auto_scale: bool,
    /// Each output channel's weights have a scale of their own.
    pub per_channel: bool,
    /// Weights have 8 bits in words of 16.
    pub narrow_weights: bool,
    /// Fraction bits of each tensor of the float graph.
    pub fracs: Vec<i32>,
}

/// The quantised graph, with a rescaling before nodes that need one. Errors: NaN or infinite weights, a shift that the
/// machine does not have.
pub fn to_graph(net: &FloatNet, formats: &Formats) -> Result<Graph, QuantError> {
    net.check_finite()?;
    let mut graph = net.graph().into_owned();
    graph.word = formats.word;
    for (t, &frac) in graph.tensors.iter_mut().zip(&formats.fracs) {
        t.frac = Some(frac);
    }
    if !formats.auto_scale {
        let frac = formats.word.weight_frac();
        for n in &mut graph.nodes {
            let (Op::Conv(Conv { weights, .. }) | Op::ConvTranspose(ConvTranspose { weights, .. })) =
                &mut n.op
            else {
                continue;
            };
            let word = |&w: &f32| {
                quantise(w.into(), frac, formats.word).expect("finite by the check above")
            };
            if let Values::Reals(reals) = weights {
                *weights = Values::Words(reals.iter().map(word).collect(), frac);
            }
        }
    }
    if formats.per_channel || formats.narrow_weights {
        let how = Rounding {
            per_channel: formats.per_channel,
            narrow: vec![formats.narrow_weights; graph.tensors.len()],
        };
        graph = round(&graph, formats.fracs.clone(), &how, &[])?;
    }
    settle::settle(&mut graph)?;
    Ok(graph)
}
