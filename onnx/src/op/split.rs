//! Split: slices behind each other.

use super::Outcome;
use super::slice::Part;
use crate::read::reader::{Call, Reader, Value, dimension};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let mut view = r.view(n.input(0)?, n.label)?;
    let axis = dimension(n.int("axis", 0)?, view.dims.len())?;
    if view.batch == Some(axis) {
        return Err("it splits the batch: leave images apart".into());
    }
    let sizes = view.sizes();
    let mut start = 0;
    let mut all = Vec::new();
    for (i, count) in counts(n, sizes[axis])?.into_iter().enumerate() {
        let mut parts: Vec<Part> = sizes.iter().map(|&count| Part { start: 0, count, step: 1 }).collect();
        parts[axis] = Part { start, count, step: 1 };
        start += count;
        let (whole, part) = super::slice::slice(r, &format!("{}/{i}", n.label), &view, &parts)?;
        view = whole;
        all.push(Value::View(part));
    }
    Ok(all)
}

/// Sizes of the parts. Errors: they are not the whole.
pub(crate) fn counts(n: &Call, size: usize) -> Result<Vec<usize>, String> {
    let outputs = n.node.output.len().max(1);
    let counts = match n.ints_or_input("split", 1)? {
        Some(v) => v.iter().map(|&c| usize::try_from(c).map_err(|_| format!("its part of {c}"))).collect::<Result<Vec<_>, _>>()?,
        None => {
            // The last is smaller where it does not divide.
            let each = size.div_ceil(outputs);
            (0..outputs).map(|i| each.min(size.saturating_sub(i * each))).collect()
        }
    };
    match counts.iter().try_fold(0usize, |n, &c| n.checked_add(c)) == Some(size) && counts.len() == outputs && !counts.contains(&0) {
        true => Ok(counts),
        false => Err(format!("its parts {counts:?} for {outputs} outputs are not the {size} of its dimension")),
    }
}
