//! Reshape, Flatten, Squeeze and Unsqueeze: another view of the same elements.

use super::{Outcome, one};
use crate::read::array::BATCH;
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if let Value::Part(..) = n.input(0)? {
        return Err("it reshapes a part of a function: move it behind the function".into());
    }
    let view = r.view(n.input(0)?, n.label)?;
    let sizes = view.sizes();
    let rank = sizes.len();
    one(Value::View(match n.node.op_type.as_str() {
        "Reshape" => {
            let to = n.ints_or_input("shape", 1)?.ok_or("it has no shape")?;
            let keep_zero = n.int("allowzero", 0)? != 0;
            let (to, batch) = target(r, &view, &to, keep_zero)?;
            r.reshape(&view, &to, batch, n.label)?
        }
        "Flatten" => {
            let axis = n.int("axis", 1)?;
            let at = if axis == rank as i64 { rank } else { dimension(axis, rank.max(1))? };
            let (first, second): (usize, usize) = (sizes[..at].iter().product(), sizes[at..].iter().product());
            let alone = r.batch == Some(1);
            match view.batch {
                Some(b) if b < at && first == 1 => r.reshape(&view, &[1, second], Some(0), n.label)?,
                Some(_) if !alone => {
                    return Err(format!("its axis {axis} would mix images: use axis 1"));
                }
                Some(b) if b >= at && first == 1 => r.reshape(&view, &[1, second], Some(0), n.label)?,
                _ => r.reshape(&view, &[first, second], None, n.label)?,
            }
        }
        "Squeeze" => {
            let gone: Vec<usize> = match n.ints_or_input("axes", 1)? {
                Some(v) => v.iter().map(|&a| dimension(a, rank)).collect::<Result<_, _>>()?,
                None => (0..rank).filter(|&d| sizes[d] == 1 && (view.batch != Some(d) || r.batch == Some(1))).collect(),
            };
            if let Some(&d) = gone.iter().find(|&&d| sizes[d] != 1) {
                return Err(format!("its axis {d} is {}, expected 1", sizes[d]));
            }
            if view.batch.is_some_and(|b| gone.contains(&b)) && r.batch.is_some_and(|b| b != 1) {
                return Err("it removes the batch, which is not 1".into());
            }
            let kept: Vec<usize> = (0..rank).filter(|d| !gone.contains(d)).collect();
            View {
                dims: kept.iter().map(|&d| view.dims[d].clone()).collect(),
                batch: view.batch.and_then(|b| kept.iter().position(|&d| d == b)),
                ..view
            }
        }
        _ => {
            let axes = n.ints_or_input("axes", 1)?.ok_or("it has no axes")?;
            let whole = rank + axes.len();
            let new: Vec<usize> = axes.iter().map(|&a| dimension(a, whole)).collect::<Result<_, _>>()?;
            let (mut dims, mut batch) = (Vec::new(), None);
            let mut old = view.dims.iter().enumerate();
            for d in 0..whole {
                if new.contains(&d) {
                    dims.push(Vec::new());
                } else if let Some((from, axes)) = old.next() {
                    if view.batch == Some(from) {
                        batch = Some(d);
                    }
                    dims.push(axes.clone());
                }
            }
            View { dims, batch, ..view }
        }
    }))
}

/// The sizes of a Reshape's result, the batch as 1, and where the batch is.
fn target(r: &Reader, view: &View, to: &[i64], keep_zero: bool) -> Result<(Vec<usize>, Option<usize>), String> {
    let sizes = view.sizes();
    let len: usize = sizes.iter().product();
    let shown: Vec<i64> = to.iter().map(|&d| if d == BATCH { -1 } else { d }).collect();
    let bad = || format!("{sizes:?} of each image cannot become {shown:?}");
    // The size of what is left where the batch is the first dimension.
    let resolve = |to: &[i64], from: usize| -> Option<Vec<usize>> {
        let mut dims = Vec::new();
        for (i, &d) in to.iter().enumerate() {
            dims.push(match d {
                -1 => 1,
                0 if !keep_zero => *sizes.get(i + from)?,
                BATCH => return None,
                d => usize::try_from(d).ok()?,
            });
        }
        let known = dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d))?;
        match to.iter().filter(|&&d| d == -1).count() {
            0 => {}
            1 => {
                let free = to.iter().position(|&d| d == -1)?;
                dims[free] = len.checked_div(known)?;
            }
            _ => return None,
        }
        (dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d)) == Some(len)).then_some(dims)
    };
    let leads = match (view.batch, to.first()) {
        (Some(0), Some(&d)) => {
            d == BATCH || d == -1 || d == 1 || (d == 0 && !keep_zero) || usize::try_from(d).is_ok_and(|d| Some(d) == r.batch)
        }
        (None, Some(&d)) => d == 1,
        _ => false,
    };
    if leads {
        if let Some(mut dims) = resolve(&to[1..], 1) {
            dims.insert(0, 1);
            return Ok((dims, Some(0)));
        }
    }
    // Without a batch: only where there is one image.
    if view.batch.is_none() || r.batch == Some(1) || (r.batch.is_none() && !to.contains(&BATCH) && to.len() == 1) {
        if let Some(dims) = resolve(to, 0) {
            return Ok((dims, None));
        }
    }
    Err(match view.batch {
        Some(_) => format!("{}: it must leave the batch, its first dimension, apart (use -1 or 0 there)", bad()),
        None => bad(),
    })
}
