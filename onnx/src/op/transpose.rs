//! Transpose: another order of the view.

use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.view(n.input(0)?, n.label)?;
    let rank = view.dims.len();
    let perm = match n.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(v) => {
            let all: Vec<usize> = v.iter().filter_map(|&p| usize::try_from(p).ok()).collect();
            if all.len() != rank || !(0..rank).all(|d| all.contains(&d)) {
                return Err(format!("its perm {v:?} is no order of {rank} dimensions"));
            }
            all
        }
    };
    one(Value::View(view.transpose(&perm)))
}
