//! Choosing activation formats: for each tensor the fraction count with the least squared error on sample images.

use super::forward::{Place, forward};
use crate::{FloatNet, FloatOp, Formats, QuantError, Split, pixel};
use cnna_machine::num::Word;

/// Images used when a caller has no reason for another number: ranges change little beyond it.
pub const CALIBRATION_IMAGES: usize = 256;
/// Legal fraction counts of activations: wide enough for any trained network, narrow enough for every shift.
const FRAC_RANGE: std::ops::RangeInclusive<i32> = -8..=20;

/// Formats for `net` from the activations of (the first 256 of) `images`.
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
    let place = Place::float();
    let indices: Vec<usize> = (0..count).collect();
    let x = place.batch(images, &indices, &[], None);
    let is_conv: Vec<bool> = net
        .layers()
        .map(|l| matches!(l.op, FloatOp::Conv(_)))
        .collect();
    let mut fracs: Vec<Option<i32>> = vec![None; is_conv.len()];
    forward(net, &place.layers(net, None)?, None, x, &mut |i, y| {
        if is_conv[i] {
            let values: Vec<f32> = y.to_data().try_into_vec().expect("a float pass gives f32");
            fracs[i] = Some(least_error(&values, word));
        }
    });
    let pixels: Vec<f32> = images.images[..count * images.shape.len()]
        .iter()
        .map(|&b| pixel(b))
        .collect();
    let input_frac = least_error(&pixels, word);
    let mut last = input_frac;
    let output_fracs = fracs
        .into_iter()
        .map(|f| {
            last = f.unwrap_or(last);
            last
        })
        .collect();
    Ok(Formats {
        word,
        auto_scale,
        input_frac,
        output_fracs,
    })
}

/// The fraction count with the least squared error of rounding and saturation.
fn least_error(values: &[f32], word: Word) -> i32 {
    let peak = values.iter().fold(0f64, |m, &v| m.max(f64::from(v).abs()));
    // The largest count without saturation; saturating up to three more bits can pay off in short words.
    let covering = if peak == 0.0 {
        word.weight_frac()
    } else {
        ((word.max() as f64 + 0.5) / peak).log2().floor() as i32
    };
    let legal = |f: i32| f.clamp(*FRAC_RANGE.start(), *FRAC_RANGE.end());
    let (low, high) = (word.min() as f64, word.max() as f64);
    let error = |f: i32| -> f64 {
        let (scale, inv_scale) = (2f64.powi(f), 2f64.powi(-f));
        let one = |&v: &f32| {
            let v = f64::from(v);
            ((v * scale + 0.5).floor().clamp(low, high) * inv_scale - v).powi(2)
        };
        values.iter().map(one).sum()
    };
    let candidates = (0..=3)
        .map(|more| legal(covering + more))
        .map(|f| (f, error(f)));
    // Equal errors (an all-zero tensor): the first, which saturates least.
    candidates
        .reduce(|best, c| if c.1 < best.1 { c } else { best })
        .map_or(0, |(f, _)| f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_covers_its_peak_and_short_words_may_cut_a_rare_one() {
        assert_eq!(least_error(&[0.9, -1.5], Word::W16), 14);
        assert_eq!(least_error(&[3.0; 4], Word::W8), 5);
        // One value of 1.01 among a thousand of 0.3: a step of 2^-7 beats covering the peak with 2^-6.
        let mut values: Vec<f32> = (0..1000).map(|i| 0.3 + (i as f32) * 1e-5).collect();
        values.push(1.01);
        assert_eq!(least_error(&values, Word::W8), 7);
        assert_eq!(least_error(&[0.0], Word::W16), 14);
    }
}
