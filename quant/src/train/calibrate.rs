//! Choosing activation formats: for each tensor the fraction count that its values on sample images ask for.

use super::autodiff::Network;
use super::evaluate::{BATCH, fill};
use crate::ptq::Method;
use crate::ptq::formats::{assign, bounds};
use crate::ptq::range::Range;
use crate::{FloatNet, Formats, QuantError, Split};
use cnna_machine::num::Word;

/// Images used when a caller has no reason for another number: ranges change little beyond it.
pub const CALIBRATION_IMAGES: usize = 256;

/// Formats for `net` from the activations of (the first 256 of) `images`: short words with the least squared error,
/// long ones with room above every peak. Weights have a scale a layer, and whole words.
///
/// Errors: no images, NaN or infinite weights.
pub fn calibrate(
    net: &FloatNet,
    images: &Split,
    word: Word,
    auto_scale: bool,
) -> Result<Formats, QuantError> {
    net.check_finite()?;
    let count = images.len().min(CALIBRATION_IMAGES);
    if count == 0 {
        return Err(QuantError::Option {
            option: "calibration images",
            reason: "there are none: give at least one".into(),
        });
    }
    let method = match word {
        Word::W8 => Method::Mse,
        Word::W16 => Method::Max,
    };
    let graph = net.graph();
    let mut network = Network::<f32>::new(&graph, &[]).expect("a FloatNet has gradients");
    let mut ranges = vec![Range::default(); graph.tensors.len()];
    let indices: Vec<usize> = (0..count).collect();
    for chunk in indices.chunks(BATCH) {
        fill(&mut network, images, chunk, |_| Default::default(), None);
        network.forward_filled(chunk.len());
        for (t, range) in ranges.iter_mut().enumerate() {
            range.add(network.value(t));
        }
    }
    let bounds = bounds(&graph);
    let wanted = ranges
        .iter()
        .zip(bounds)
        .map(|(r, b)| r.frac(method, word, b))
        .collect();
    let fracs = assign(&graph, wanted, word);
    Ok(Formats {
        word,
        auto_scale,
        per_channel: false,
        narrow_weights: false,
        fracs,
    })
}
