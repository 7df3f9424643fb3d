//! QONNX's Quant, which Brevitas writes: rounding to integers of any width and back in one node. A weight becomes the reals
//! that its integers stand for; an activation saturates, and its scale is a format or is noted for the quantiser.

use super::quantize::{formatted, frac_of};
use super::{Outcome, one};
use crate::read::Scale;
use crate::read::array::{Array, strides};
use crate::read::reader::{Call, Reader, Value};
use cnna_net::Activation;
use std::rc::Rc;

/// Widest integers: beyond them a float holds no more.
const MOST_BITS: f32 = 24.0;

/// What the node rounds to.
struct Integers {
    lo: f64,
    hi: f64,
}

fn integers(n: &Call) -> Result<Integers, String> {
    let bits = n.constant(3)?.scalar()?;
    if !(2.0..=MOST_BITS).contains(&bits) || bits.fract() != 0.0 {
        return Err(format!("its width of {bits} bits is not read: use 2 to {MOST_BITS}"));
    }
    let (signed, narrow) = (n.int("signed", 1)? != 0, n.int("narrow", 0)? != 0);
    let whole = 2f64.powi(bits as i32);
    let (lo, hi) = match signed {
        true => (-whole / 2.0, whole / 2.0 - 1.0),
        false => (0.0, whole - 1.0),
    };
    Ok(Integers {
        lo: if narrow && signed { lo + 1.0 } else { lo },
        hi: if narrow && !signed { hi - 1.0 } else { hi },
    })
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let to = integers(n)?;
    let mode = n.string("rounding_mode", "ROUND")?;
    let (scale, zero) = (n.constant(1)?.clone(), n.constant(2)?.clone());
    if scale.finite()?.iter().any(|s| *s <= 0.0) {
        return Err("its scales must be positive".into());
    }
    if let Value::Constant(a) = n.input(0)? {
        return one(Value::Constant(Rc::new(constant(a, &scale, &zero, &to, mode)?)));
    }
    if !mode.eq_ignore_ascii_case("ROUND") {
        return Err(format!("its rounding_mode {mode} is not the machine's for activations: use ROUND"));
    }
    let (scale, zero) = match (&scale.finite()?[..], &zero.finite()?[..]) {
        ([s, rest @ ..], [z, zeros @ ..]) if rest.iter().all(|o| o == s) && zeros.iter().all(|o| o == z) => (*s, *z),
        _ => return Err("its scale differs by channel: activations have one scale a tensor".into()),
    };
    let view = r.view(n.input(0)?, n.label)?;
    // Integers that are words of the graph: their format, exactly.
    let word = r.graph.word;
    let limits = [to.lo as i64, to.hi as i64];
    let words = zero == 0.0 && limits[0] >= word.min() && limits[1] <= word.max();
    if let (true, Some(frac)) = (words, frac_of(scale)) {
        let view = formatted(r, n, &view, frac, limits)?;
        r.forget(view.tensor);
        return one(Value::View(view));
    }
    let bound = |q: f64| ((q - f64::from(zero)) * f64::from(scale)) as f32;
    let (lo, hi) = (bound(to.lo), bound(to.hi));
    let view = r.activate(n.label, Activation::Clip { lo, hi }, &view)?;
    // With a zero between two integers the range alone is known: it has as many steps as the integers.
    let whole = zero.fract() == 0.0;
    let step = if whole { scale } else { (hi - lo) / (limits[1] - limits[0]) as f32 };
    let zero_point = (-f64::from(lo) / f64::from(step)).round() as i64 + limits[0];
    r.scales.push(Scale { tensor: view.tensor, scale: step, zero_point, limits, grid: false });
    r.forget(view.tensor);
    one(Value::View(view))
}

/// The reals that a weight's integers stand for; scale and zero point are repeated along its dimensions.
fn constant(a: &Array, scale: &Array, zero: &Array, to: &Integers, mode: &str) -> Result<Array, String> {
    let round = rounding(mode)?;
    let (at_scale, at_zero) = (repeated(scale, &a.dims)?, repeated(zero, &a.dims)?);
    let (scales, zeros) = (scale.finite()?, zero.finite()?);
    let real = |(i, &x): (usize, &f32)| {
        let (s, z) = (f64::from(scales[at_scale(i)]), f64::from(zeros[at_zero(i)]));
        let q = round(f64::from(x) / s + z).clamp(to.lo, to.hi);
        ((q - z) * s) as f32
    };
    let all = a.finite()?.iter().enumerate().map(real).collect();
    Ok(Array::reals(&a.name, a.dims.clone(), all))
}

/// How QONNX rounds to integers.
pub(super) fn rounding(mode: &str) -> Result<fn(f64) -> f64, String> {
    Ok(match mode.to_ascii_uppercase().as_str() {
        "ROUND" => f64::round_ties_even,
        "FLOOR" => f64::floor,
        "CEIL" => f64::ceil,
        "ROUND_TO_ZERO" => f64::trunc,
        _ => return Err(format!("its rounding_mode {mode} is not read: use ROUND, FLOOR, CEIL or ROUND_TO_ZERO")),
    })
}

/// For each element of an array of `dims` the element of `small` that stands there. Errors: it does not repeat.
pub(super) fn repeated(small: &Array, dims: &[usize]) -> Result<impl Fn(usize) -> usize + use<>, String> {
    let skipped = dims.len().checked_sub(small.dims.len());
    let fits = skipped.is_some_and(|k| small.dims.iter().zip(&dims[k..]).all(|(s, d)| s == d || *s == 1));
    let (Some(skipped), true) = (skipped, fits) else {
        return Err(format!("`{}` of shape {:?} does not repeat along {dims:?}", small.name, small.dims));
    };
    let own = strides(&small.dims);
    let of_dims = strides(dims);
    let loops: Vec<[usize; 3]> = (0..small.dims.len())
        .filter(|&a| small.dims[a] > 1)
        .map(|a| [of_dims[skipped + a], small.dims[a], own[a]])
        .collect();
    Ok(move |i: usize| loops.iter().map(|[stride, size, own]| i / stride % size * own).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_becomes_the_reals_of_its_integers_channel_by_channel() {
        let a = Array::reals("w", vec![2, 3], vec![0.3, -9.0, 0.25, 0.3, 9.0, -0.75]);
        let scale = Array::reals("s", vec![2, 1], vec![0.5, 0.1]);
        let zero = Array::reals("z", vec![], vec![0.0]);
        let to = Integers {
            lo: -7.0,
            hi: 7.0
        };
        let got = constant(&a, &scale, &zero, &to, "ROUND").expect("it repeats");
        // Half to even, saturated, each row by its own scale.
        let want = [0.5, -3.5, 0.0, 0.3, 0.7, -0.7];
        for (g, w) in got.to_reals().iter().zip(want) {
            assert!((g - w).abs() < 1e-6, "{:?}", got.to_reals());
        }
        let wrong = Array::reals("s", vec![3, 1], vec![1.0; 3]);
        let e = constant(&a, &wrong, &zero, &to, "ROUND").expect_err("3 scales for 2 rows");
        assert!(e.contains("`s` of shape [3, 1]"), "{e}");
        assert!(constant(&a, &scale, &zero, &to, "DICE").is_err());
    }
}
