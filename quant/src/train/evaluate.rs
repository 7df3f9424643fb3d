//! Accuracy of the float network and of the fake-quantised one, which is exact: that of its integers.

use super::forward::{Place, forward};
use crate::accuracy::{Accuracy, check, right_answers};
use crate::{FloatNet, Formats, QuantError, Split};
use burn::tensor::Tensor;

/// Images of one forward pass: enough to fill the cores, small enough for the caches.
const BATCH: usize = 100;

/// Calls `each` with the logits of every image, in order.
fn logits(
    net: &FloatNet,
    formats: Option<&Formats>,
    split: &Split,
    mut each: impl FnMut(&[f64]),
) -> Result<(), QuantError> {
    check(net.input(), net.classes(), split)?;
    let place = if formats.is_some() {
        Place::exact()
    } else {
        Place::float()
    };
    let tensors = place.layers(net, formats)?;
    let indices: Vec<usize> = (0..split.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let x = place.batch(split, chunk, &[], formats);
        let y: Tensor<2> = forward(net, &tensors, formats, x, &mut |_, _| ());
        let y: Vec<f64> = y.try_into_vec_as().expect("a float tensor converts to f64");
        y.chunks_exact(net.classes()).for_each(&mut each);
    }
    Ok(())
}

fn all_logits(
    net: &FloatNet,
    formats: Option<&Formats>,
    split: &Split,
) -> Result<Vec<Vec<f64>>, QuantError> {
    let mut all = Vec::with_capacity(split.len());
    logits(net, formats, split, |row| all.push(row.to_vec()))?;
    Ok(all)
}

/// Accuracy in f32. Errors: shapes or classes that do not fit.
pub fn evaluate_float(net: &FloatNet, split: &Split) -> Result<Accuracy, QuantError> {
    Ok(right_answers(&all_logits(net, None, split)?, split))
}

/// Accuracy of the fake-quantised network, exact: that of its integers. Errors: as [`evaluate_float`]; bad weights.
pub fn evaluate_fake(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Accuracy, QuantError> {
    Ok(right_answers(
        &all_logits(net, Some(formats), split)?,
        split,
    ))
}

/// The fake-quantised network's logits, [image][class], exact. Errors: as [`evaluate_fake`].
pub fn fake_logits(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Vec<Vec<f64>>, QuantError> {
    all_logits(net, Some(formats), split)
}
