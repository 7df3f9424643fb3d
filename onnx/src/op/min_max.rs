//! Max and Min with a constant: bounds.

use super::activate::clipped;
use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let mut value = None;
    let mut bound = None::<f32>;
    let most = n.node.op_type == "Max";
    for i in 0..n.inputs.len() {
        match n.input(i)? {
            Value::Constant(c) => {
                let all = c.to_reals();
                let first = *all.first().ok_or("its constant is empty")?;
                if all.iter().any(|v| *v != first) {
                    return Err(format!("its constant `{}` is not the same everywhere: only one bound for all is read", c.name));
                }
                bound = Some(bound.map_or(first, |b| if most { b.max(first) } else { b.min(first) }));
            }
            v if value.is_none() => value = Some(v.clone()),
            _ => return Err("it compares two values that images change: only a constant bound is read".into()),
        }
    }
    let v = value.ok_or("it has no input that images change")?;
    one(match bound {
        None => v,
        Some(b) if most => clipped(r, n, &v, b, f32::INFINITY)?,
        Some(b) => clipped(r, n, &v, f32::NEG_INFINITY, b)?,
    })
}
