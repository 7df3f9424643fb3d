//! BatchNormalization for inference: a scale and an offset a channel, which reading folds into a neighbouring convolution.

use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if n.int("training_mode", 0)? != 0 {
        return Err("it is in training mode: export the model for inference".into());
    }
    if n.int("spatial", 1)? == 0 {
        return Err("its spatial is 0, one scale an element: convert the model with onnx.version_converter to 13".into());
    }
    let view = r.operand(n, 0)?;
    let view = r.batched(&view)?;
    let sizes = view.sizes();
    let channels = *sizes.get(1).ok_or("its input has no channels")?;
    let mut all = Vec::new();
    for i in 1..5 {
        let a = n.constant(i)?;
        if a.len() != channels {
            return Err(format!("its constant `{}` has shape {:?}, expected {channels} elements", a.name, a.dims));
        }
        all.push(a.finite()?);
    }
    let epsilon = f64::from(n.float("epsilon", 1e-5)?);
    let fold = |c: usize| {
        let [g, b, mean, variance] = [0, 1, 2, 3].map(|i: usize| f64::from(all[i][c]));
        let s = g / (variance + epsilon).sqrt();
        (s as f32, (b - mean * s) as f32)
    };
    let (scale, offset): (Vec<f32>, Vec<f32>) = (0..channels).map(fold).unzip();
    if let Some(c) = (0..channels).find(|&c| !scale[c].is_finite() || !offset[c].is_finite()) {
        return Err(format!("its channel {c} has the variance {}: the model is damaged", all[3][c]));
    }
    let along = view.permutation(r.shape(view.tensor)).is_some_and(|s| s[1] == Some(0));
    let view = match along {
        true => view,
        false => {
            let sides = view.sides();
            let t = r.map(&view, n.label)?;
            crate::read::view::View::plain(t, &sides, view.batch.is_some())
        }
    };
    // Of more than four dimensions the tensor's channels are the first ones together.
    let each = r.shape(view.tensor).c / channels;
    let spread = |v: Vec<f32>| v.iter().flat_map(|&x| std::iter::repeat_n(x, each)).collect::<Vec<_>>();
    one(Value::View(r.affine(n.label, &view, spread(scale), spread(offset))?))
}
