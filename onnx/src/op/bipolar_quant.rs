//! QONNX's BipolarQuant: plus or minus a scale by the sign. Of weights it is read; of activations it is a step, which no
//! operator of the machine is.

use super::quant::repeated;
use super::{Outcome, one};
use crate::read::array::Array;
use crate::read::reader::{Call, Reader, Value};
use std::rc::Rc;

pub(crate) fn read(_: &mut Reader, n: &Call) -> Outcome {
    let Value::Constant(a) = n.input(0)? else {
        return Err("it makes activations of one bit, which the machine has no step function for: use a Quant of 2 bits or more".into());
    };
    let scale = n.constant(1)?;
    let (at, scales) = (repeated(scale, &a.dims)?, scale.finite()?);
    let real = |(i, &x): (usize, &f32)| if x >= 0.0 { scales[at(i)] } else { -scales[at(i)] };
    let all = a.finite()?.iter().enumerate().map(real).collect();
    one(Value::Constant(Rc::new(Array::reals(&a.name, a.dims.clone(), all))))
}
