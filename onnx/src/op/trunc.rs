//! QONNX's Trunc, which Brevitas writes behind a sum over a window: integers lose their lowest bits. Its first version (five
//! inputs) leaves their scale as it was, so that its result is so many times smaller; the second (six) has an output scale.
//!
//! The machine rounds half up. Down, as FLOOR does, is the same of a value half a step lower, where the step before is a
//! power of two times finer: then no value lies between.

use super::quant::rounding;
use super::quantize::{formatted, frac_of};
use super::{Outcome, one};
use crate::read::array::Array;
use crate::read::reader::{Call, Reader, Value};
use cnna_net::Activation;
use std::rc::Rc;

/// What is cut.
struct Cut {
    /// Scale of what it reads.
    scale: f64,
    zero: f64,
    /// Integers of the input to one of the output.
    coarser: f64,
    /// Scale of what it writes.
    out: f64,
    /// Limits of the second version.
    limits: Option<[f64; 2]>,
}

fn cut(n: &Call) -> Result<Cut, String> {
    let number = |i: usize| n.constant(i).and_then(|a| a.scalar()).map(f64::from);
    let (scale, zero, bits) = (number(1)?, number(2)?, number(3)?);
    let second = n.optional(5).is_some();
    let (out, out_bits) = match second {
        true => (number(4)?, number(5)?),
        false => (scale, number(4)?),
    };
    if !(scale > 0.0 && out > 0.0 && scale.is_finite() && out.is_finite()) {
        return Err("its scales must be positive".into());
    }
    if [bits, out_bits].iter().any(|b| !(1.0..=32.0).contains(b) || b.fract() != 0.0) || out_bits > bits {
        return Err(format!("it cuts {bits} bits to {out_bits}: expected whole numbers of 1 to 32, the second not larger"));
    }
    let coarser = match second {
        true => (out / scale).log2().round().exp2(),
        false => (bits - out_bits).exp2(),
    };
    let limits = match second {
        true => {
            let (signed, narrow) = (n.int("signed", 1)? != 0, n.int("narrow", 0)? != 0);
            let whole = out_bits.exp2();
            let [lo, hi] = if signed { [-whole / 2.0, whole / 2.0 - 1.0] } else { [0.0, whole - 1.0] };
            let narrow = f64::from(u8::from(narrow));
            Some(if signed { [lo + narrow, hi] } else { [lo, hi - narrow] })
        }
        false => None,
    };
    Ok(Cut { scale, zero, coarser, out, limits })
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let c = cut(n)?;
    let mode = n.string("rounding_mode", "FLOOR")?;
    if let Value::Constant(a) = n.input(0)? {
        return one(Value::Constant(Rc::new(constant(a, &c, rounding(mode)?)?)));
    }
    let down = match mode.to_ascii_uppercase().as_str() {
        "FLOOR" => 0.5 - 0.5 / c.coarser,
        "ROUND" => 0.0,
        _ => return Err(format!("its rounding_mode {mode} is not the machine's for activations: use FLOOR or ROUND")),
    };
    if c.zero != 0.0 {
        return Err(format!("its zero point {} is not read: use 0", c.zero));
    }
    let view = r.operand(n, 0)?;
    let channels = r.shape(view.tensor).c;
    let factor = c.out / (c.scale * c.coarser);
    let (factor, offset) = (factor as f32, (-down * c.out) as f32);
    let mut view = r.affine(&format!("{}/lower", n.label), &view, vec![factor; channels], vec![offset; channels])?;
    if let Some([lo, hi]) = c.limits {
        let [lo, hi] = [lo, hi].map(|q| (q * c.out) as f32);
        view = r.activate(n.label, Activation::Clip { lo, hi }, &view)?;
    }
    if let Some(frac) = frac_of(c.out as f32) {
        view = formatted(r, n, &view, frac, [i16::MIN.into(), i16::MAX.into()])?;
    }
    r.forget(view.tensor);
    one(Value::View(view))
}

fn constant(a: &Array, c: &Cut, round: fn(f64) -> f64) -> Result<Array, String> {
    let real = |&x: &f32| {
        let q = (f64::from(x) / c.scale + c.zero).round_ties_even() / c.coarser;
        let (q, zero) = match c.limits {
            Some([lo, hi]) => (round(q.clamp(lo, hi)), c.zero / c.coarser),
            None => (round(q), c.zero),
        };
        ((q - zero) * c.out) as f32
    };
    let all = a.finite()?.iter().map(real).collect();
    Ok(Array::reals(&a.name, a.dims.clone(), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_loses_its_lowest_bits_as_qonnx_computes_it() {
        let a = Array::reals("a", vec![4], vec![1.75, -0.25, 3.0, -7.0]);
        let first = Cut { scale: 0.25, zero: 0.0, coarser: 4.0, out: 0.25, limits: None };
        let got = constant(&a, &first, f64::floor).expect("finite");
        assert_eq!(got.to_reals(), [0.25, -0.25, 0.75, -1.75]);
        let second = Cut { out: 1.0, limits: Some([-4.0, 3.0]), ..first };
        let got = constant(&a, &second, f64::floor).expect("finite");
        assert_eq!(got.to_reals(), [1.0, -1.0, 3.0, -4.0]);
    }
}
