//! The reference model: each layer in plain integer loops, without tiles or time. It shares no code with the scheduler,
//! so it can contradict it.

mod conv;
mod pool;

use crate::layer::{Network, Op};

/// One layer's results for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerResult {
    /// [channel][row][column].
    pub values: Vec<i16>,
    /// Results that saturation changed.
    pub saturated: u64,
}

/// Runs one image ([channel][row][column] words) and returns the results of every layer, in order.
///
/// Panics when the image's length is not the network's input; callers check shapes at the door.
pub fn run(net: &Network, image: &[i16]) -> Vec<LayerResult> {
    assert_eq!(image.len(), net.input.len(), "image length");
    let mut results: Vec<LayerResult> = Vec::with_capacity(net.layers.len());
    for layer in &net.layers {
        let input = results.last().map_or(image, |r| &r.values);
        let r = match &layer.op {
            Op::Conv(c) => conv::run(c, layer.input, layer.output, net.word, input),
            Op::MaxPool(w) => pool::run(w, layer.input, layer.output, net.word, input),
        };
        results.push(r);
    }
    results
}
