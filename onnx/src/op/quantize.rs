//! QuantizeLinear and DequantizeLinear. A power-of-two scale without zero point is a format of words; any other scale is
//! noted beside the graph for the quantiser.

use super::{Outcome, one};
use crate::ElementType;
use crate::read::Scale;
use crate::read::array::{Array, Data, strides};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::{Step, View};
use cnna_machine::num::Word;
use cnna_net::op::{Activate, conv::MOST_FINER};
use cnna_net::{Activation, TensorId};
use std::rc::Rc;

/// Fraction bits of an exact power-of-two scale; `None` for anything else.
pub(crate) fn frac_of(scale: f32) -> Option<i32> {
    // Every f32, subnormals too, is a normal f64: a power of two has an empty mantissa there.
    let bits = f64::from(scale).to_bits();
    let exponent = (bits >> 52) as i32;
    let power_of_two = scale > 0.0 && scale.is_finite() && bits << 12 == 0;
    power_of_two.then_some(1023 - exponent)
}

/// What a node says of its integers.
pub(crate) struct Parameters {
    scales: Vec<f32>,
    zeros: Option<Vec<i64>>,
    /// The integers' type, where the node says it.
    element: Option<ElementType>,
    axis: i64,
}

impl Parameters {
    pub fn of(n: &Call) -> Result<Self, String> {
        if n.int("block_size", 0)? != 0 {
            return Err("its block_size is not read: use one scale per tensor or channel".into());
        }
        let scales = n.constant(1)?.finite()?;
        if scales.is_empty() || scales.iter().any(|s| *s <= 0.0) {
            return Err(format!("its scales {:?} must be positive", &scales[..scales.len().min(4)]));
        }
        let zero = n.optional_constant(2)?;
        let stored = n.int("output_dtype", 0)? as i32;
        let element = zero.map(|z| z.element).or(ElementType::from_number(stored));
        let zeros = zero.map(|z| z.to_ints()).transpose()?;
        if zeros.as_ref().is_some_and(|z| z.len() != scales.len()) {
            return Err("its scale and its zero point are of different lengths".into());
        }
        Ok(Parameters { scales, zeros, element, axis: n.int("axis", 1)? })
    }

    fn zero(&self, i: usize) -> i64 {
        self.zeros.as_ref().map_or(0, |z| z[i])
    }

    /// The one scale and zero point. Errors: they differ by channel.
    fn one(&self) -> Option<Step> {
        let step = Step { scale: self.scales[0], zero: self.zero(0) };
        let same = (0..self.scales.len()).all(|i| self.scales[i] == step.scale && self.zero(i) == step.zero);
        same.then_some(step)
    }

    /// Fraction bits of an array whose first dimension has a power of two each, without zero points: the least, and what each
    /// has beyond it. `None` for other scales, and where they are too far apart.
    fn by_channel(&self, a: &Array) -> Option<(i32, Vec<u8>)> {
        let first = dimension(self.axis, a.dims.len()).ok()? == 0 && a.dims.first() == Some(&self.scales.len());
        let plain = self.zeros.as_ref().is_none_or(|z| z.iter().all(|z| *z == 0));
        let fracs: Vec<i32> = self.scales.iter().map(|&s| frac_of(s)).collect::<Option<_>>()?;
        let least = *fracs.iter().min().filter(|_| first && plain)?;
        let finer = fracs.iter().map(|f| u8::try_from(f - least).ok().filter(|d| *d <= MOST_FINER));
        Some((least, finer.collect::<Option<_>>()?))
    }

    /// For each element of an array which of the scales is its own.
    fn which(&self, dims: &[usize]) -> Result<Box<dyn Fn(usize) -> usize>, String> {
        if self.scales.len() == 1 {
            return Ok(Box::new(|_| 0));
        }
        let axis = dimension(self.axis, dims.len())?;
        let (size, stride) = (dims[axis], strides(dims)[axis]);
        match size == self.scales.len() {
            true => Ok(Box::new(move |i| i / stride % size)),
            false => Err(format!("it has {} scales for {size} of axis {axis}", self.scales.len())),
        }
    }
}

fn range(element: ElementType) -> Option<(i64, i64)> {
    Some(match element {
        ElementType::I8 => (-128, 127),
        ElementType::U8 => (0, 255),
        ElementType::I16 => (-32768, 32767),
        ElementType::U16 => (0, 65535),
        ElementType::I32 => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}

/// QuantizeLinear of a constant: round half to even, saturate.
pub(crate) fn quantise_constant(n: &Call) -> Result<Array, String> {
    let how = Parameters::of(n)?;
    let a: &Rc<Array> = n.constant(0)?;
    let element = how.element.unwrap_or(ElementType::U8);
    let (lo, hi) = range(element).ok_or_else(|| format!("its type {element:?} is not read: use int8 or int16"))?;
    let which = how.which(&a.dims)?;
    let word = |(i, &x): (usize, &f32)| {
        let w = which(i);
        let q = (f64::from(x) / f64::from(how.scales[w])).round_ties_even() + how.zero(w) as f64;
        q.clamp(lo as f64, hi as f64) as i64
    };
    let all: Vec<i64> = a.finite()?.iter().enumerate().map(word).collect();
    let small = matches!(element, ElementType::I8 | ElementType::U8 | ElementType::I16);
    Ok(Array {
        name: a.name.clone(),
        dims: a.dims.clone(),
        data: if small { Data::Small(all.iter().map(|&q| q as i16).collect()) } else { Data::Int(all) },
        element,
        frac: None,
        finer: Vec::new(),
    })
}

/// DequantizeLinear of a constant: integers with a format, or reals.
pub(crate) fn dequantise_constant(a: Array, how: &Parameters) -> Result<Array, String> {
    if a.frac.is_some() || matches!(a.data, Data::Real(_)) {
        return Err(format!("its input `{}` holds reals, expected integers", a.name));
    }
    let plain = how.one().filter(|s| s.zero == 0).and_then(|s| frac_of(s.scale));
    if let Some(frac) = plain {
        return Ok(Array { frac: Some(frac), ..a });
    }
    if let Some((frac, finer)) = how.by_channel(&a) {
        return Ok(Array { frac: Some(frac), finer, ..a });
    }
    let which = how.which(&a.dims)?;
    let all = a.to_ints()?;
    let real = |(i, &q): (usize, &i64)| {
        let w = which(i);
        (q.saturating_sub(how.zero(w)) as f64 * f64::from(how.scales[w])) as f32
    };
    Ok(Array::reals(&a.name, a.dims, all.iter().enumerate().map(real).collect()))
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.view(n.input(0)?, n.label)?;
    let how = Parameters::of(n)?;
    let step = how.one().ok_or("its scale differs by channel: activations have one scale a tensor")?;
    one(Value::View(match n.node.op_type.as_str() {
        "QuantizeLinear" => quantise(r, n, view, &how, step)?,
        _ => dequantise(r, n, view, &how, step)?,
    }))
}

fn quantise(r: &mut Reader, n: &Call, view: View, how: &Parameters, step: Step) -> Result<View, String> {
    if view.step.is_some() {
        return Err("its input is quantised already".into());
    }
    let element = how.element.unwrap_or(ElementType::U8);
    let Some((lo, hi)) = range(element) else {
        return Err(format!("its type {element:?} is not read: use int8 or int16"));
    };
    let view = match format(element, step, r.graph.word) {
        Some(frac) => formatted(r, n, &view, frac, [lo, hi])?,
        None => scaled(r, n, &view, step, [lo, hi])?,
    };
    r.forget(view.tensor);
    Ok(View { step: Some(step), ..view })
}

/// Fraction bits of integers without zero point that are words too.
fn format(element: ElementType, step: Step, word: Word) -> Option<i32> {
    let words = match element {
        ElementType::I8 | ElementType::I16 => true,
        ElementType::U8 => word == Word::W16,
        _ => false,
    };
    (words && step.zero == 0).then(|| frac_of(step.scale))?
}

/// The view with a format: the tensor's own where it has none yet. What integers from `lo` to `hi` saturate before
/// the graph's words do is a clip.
pub(super) fn formatted(
    r: &mut Reader,
    n: &Call,
    view: &View,
    frac: i32,
    [lo, hi]: [i64; 2],
) -> Result<View, String> {
    let (t, word) = (view.tensor, r.graph.word);
    let name = format!("{}/rescale", n.label);
    let one_of = |r: &mut Reader, function: Activation| -> Result<TensorId, String> {
        let t = r.push(&name, Activate { function }, &[t])?;
        r.graph.tensors[t].frac = Some(frac);
        Ok(t)
    };
    if lo > word.min() || hi < word.max() {
        let step = 2f32.powi(-frac);
        if r.graph.tensors[t].frac.is_none() {
            r.graph.tensors[t].frac = Some(frac);
        }
        let [lo, hi] = [lo, hi].map(|q| q as f32 * step);
        let t = one_of(r, Activation::Clip { lo, hi })?;
        return Ok(view.over(t));
    }
    match r.graph.tensors[t].frac {
        None => r.graph.tensors[t].frac = Some(frac),
        Some(f) if f == frac => {}
        Some(_) => return Ok(view.over(one_of(r, Activation::None)?)),
    }
    Ok(view.clone())
}

/// The view behind a clip to what the integers hold: tools leave a Relu or Clip out where their integers saturate there, so
/// the saturation is part of the network. The scale is noted beside the graph.
fn scaled(r: &mut Reader, n: &Call, view: &View, step: Step, limits: [i64; 2]) -> Result<View, String> {
    let scale = Scale { tensor: view.tensor, scale: step.scale, zero_point: step.zero, limits, grid: true };
    // What moves between two nodes of one scale is clipped already.
    if r.scales.contains(&scale) {
        return Ok(view.clone());
    }
    let [lo, hi] = scale.range();
    let t = r.push(&format!("{}/saturated", n.label), Activate { function: Activation::Clip { lo, hi } }, &[view.tensor])?;
    r.scales.push(Scale { tensor: t, ..scale });
    Ok(view.over(t))
}

fn dequantise(r: &mut Reader, n: &Call, view: View, how: &Parameters, step: Step) -> Result<View, String> {
    if let Some(was) = view.step {
        return match was == step {
            true => Ok(View { step: None, ..view }),
            false => Err(format!("its scale {} is not that of its QuantizeLinear, {}", step.scale, was.scale)),
        };
    }
    let element = r.integers.get(&view.tensor).copied().or(how.element);
    let Some(element) = element.filter(|_| r.integers.contains_key(&view.tensor)) else {
        return Err("its input holds reals, expected integers".into());
    };
    // The model's input: its numbers are integers, which this node brings to their scale.
    if matches!(element, ElementType::I8 | ElementType::I16 | ElementType::U8) {
        r.graph.tensors[view.tensor].frac = Some(0);
    }
    let c = r.shape(view.tensor).c;
    let offset = -(step.zero as f32) * step.scale;
    let out = r.affine(n.label, &view, vec![step.scale; c], vec![offset; c])?;
    r.graph.tensors[out.tensor].frac = format(element, step, r.graph.word);
    Ok(out)
}

/// The view as reals. Words that the model gives out are the numbers that they are; other integers would have to be rounded.
pub(crate) fn integers(r: &mut Reader, view: &View, label: &str) -> Result<View, String> {
    let Some(step) = view.step else {
        return Ok(view.clone());
    };
    if r.graph.tensors[view.tensor].frac.is_none() {
        return Err("the model ends in QuantizeLinear: let a DequantizeLinear follow it".into());
    }
    let c = r.shape(view.tensor).c;
    let out = r.affine(&format!("{label}/integers"), view, vec![1.0 / step.scale; c], vec![0.0; c])?;
    r.graph.tensors[out.tensor].frac = Some(0);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_formats_and_nothing_else_is() {
        assert_eq!(frac_of(0.25), Some(2));
        assert_eq!(frac_of(1.0), Some(0));
        assert_eq!(frac_of(8.0), Some(-3));
        assert_eq!(frac_of(f32::from_bits(1)), Some(149));
        for bad in [0.3, 0.0, -0.5, f32::INFINITY, f32::NAN] {
            assert_eq!(frac_of(bad), None, "{bad}");
        }
    }
}
