//! Identity, Dropout and Cast: nothing, for inference.

use super::{Outcome, one};
use crate::ElementType;
use crate::read::reader::{Call, Reader, Value};
use cnna_net::Op;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    match n.node.op_type.as_str() {
        "Dropout" => {
            let training = n.optional_constant(2)?.map(|a| a.to_ints()).transpose()?;
            if training.is_some_and(|t| t != [0]) || n.int("is_test", 1)? == 0 {
                return Err("it is in training mode: export the model for inference".into());
            }
        }
        "Cast" => {
            let to = n.int("to", 1)?;
            let element = ElementType::from_number(to as i32).ok_or_else(|| format!("its type {to} is not read"))?;
            if let (Value::View(v), false) = (n.input(0)?, element.is_float()) {
                let index = matches!(r.writer(v.tensor), Some((Op::ArgMax(_), _)));
                if !index && !r.integers.contains_key(&v.tensor) {
                    return Err("it casts reals to integers: leave them reals".into());
                }
            }
        }
        _ => {}
    }
    one(n.input(0)?.clone())
}
