//! Gather by constant indices: a slice, or rows and columns by number.

use super::slice::{Part, slice};
use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use cnna_net::op::{Concat, Resize};

/// Most channels that are put together one by one.
const MOST: usize = 4096;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.view(n.input(0)?, n.label)?;
    let axis = dimension(n.int("axis", 0)?, view.dims.len())?;
    if view.batch == Some(axis) {
        return Err("it takes images out of the batch: leave images apart".into());
    }
    let size = view.sizes()[axis];
    let index = n.constant(1)?.clone();
    let all: Vec<usize> = index.to_ints()?.iter().map(|&i| dimension(i, size)).collect::<Result<_, _>>()?;
    if index.dims.len() > 1 || all.is_empty() {
        return Err(format!("its indices have shape {:?}, expected one number or a list", index.dims));
    }
    let mut out = taken(r, n.label, &view, axis, &all)?;
    if index.dims.is_empty() {
        out.dims.remove(axis);
        out.batch = out.batch.map(|b| if b > axis { b - 1 } else { b });
    }
    one(Value::View(out))
}

/// These elements along a dimension.
pub(super) fn taken(r: &mut Reader, label: &str, view: &View, axis: usize, all: &[usize]) -> Result<View, String> {
    let sizes = view.sizes();
    let part = |start: usize, count: usize, step: i64| {
        let mut parts: Vec<Part> = sizes.iter().map(|&count| Part { start: 0, count, step: 1 }).collect();
        parts[axis] = Part { start, count, step };
        parts
    };
    let step = all.get(1).map_or(1, |&b| b as i64 - all[0] as i64);
    let even = all.windows(2).all(|w| w[1] as i64 - w[0] as i64 == step);
    if even && (step > 0 || all.len() == 1) {
        return Ok(slice(r, label, view, &part(all[0], all.len(), step.max(1)))?.1);
    }
    let (view, side_of) = r.sided(view, label)?;
    let shape = r.shape(view.tensor);
    let t = match side_of[axis] {
        Some(0) | None => {
            if all.len() > MOST || side_of[axis].is_none() {
                return Err(format!("it puts {} channels in another order: reorder the weights instead", all.len()));
            }
            let mut each = Vec::new();
            for (i, &c) in all.iter().enumerate() {
                each.push(slice(r, &format!("{label}/{i}"), &view, &part(c, 1, 1))?.1.tensor);
            }
            r.push(label, Concat { axis: 0 }, &each)?
        }
        Some(side) => {
            let list = all.iter().map(|&i| i as u32).collect();
            let whole = |n: usize| (0..n as u32).collect();
            let op = match side {
                1 => Resize { rows: list, columns: whole(shape.w) },
                _ => Resize { rows: whole(shape.h), columns: list },
            };
            r.push(label, op, &[view.tensor])?
        }
    };
    let out = View::of_sides(t, r.shape(t), &side_of, view.batch);
    Ok(View { step: view.step, ..out })
}
