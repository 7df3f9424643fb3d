//! Pad: with a constant, by reflection, or with the edge.

use super::gather::taken;
use super::slice::{Part, slice};
use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Pad;

/// Largest border read.
const MOST: i64 = 1 << 16;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let rank = view.dims.len();
    let old = n.opset < 11 && n.has("pads") || n.has("paddings");
    let list = match old {
        true => n.ints("pads")?.or(n.ints("paddings")?).unwrap_or_default(),
        false => n.constant(1)?.to_ints()?,
    };
    let value = match old {
        true => n.float("value", 0.0)?,
        false => n.optional_constant(2)?.map(|a| a.scalar()).transpose()?.unwrap_or(0.0),
    };
    let axes: Vec<usize> = match n.optional_constant(3)? {
        Some(a) => a.to_ints()?.iter().map(|&d| dimension(d, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * axes.len() || list.iter().any(|p| p.saturating_abs() > MOST) {
        return Err(format!("its pads {list:?} must be {} numbers of at most {MOST}", 2 * axes.len()));
    }
    let mut border = vec![[0i64; 2]; rank];
    for (i, &d) in axes.iter().enumerate() {
        border[d] = [list[i], list[i + axes.len()]];
    }
    if view.batch.is_some_and(|b| border[b] != [0, 0]) {
        return Err("it pads the batch: leave images apart".into());
    }
    // Negative padding cuts off.
    let sizes = view.sizes();
    let mut parts = Vec::new();
    for (&size, b) in sizes.iter().zip(&mut border) {
        let cut = b.map(|p| (-p).max(0) as usize);
        *b = b.map(|p| p.max(0));
        let count = size.checked_sub(cut[0] + cut[1]).ok_or("it cuts off more than there is")?;
        parts.push(Part { start: cut[0], count, step: 1 });
    }
    let (_, view) = slice(r, &format!("{}/cut", n.label), &view, &parts)?;
    one(Value::View(match n.string("mode", "constant")? {
        "constant" => constant(r, n, &view, &border, value)?,
        mode @ ("reflect" | "edge" | "wrap") => {
            let mut view = view;
            for (d, &[before, after]) in border.iter().enumerate().filter(|(_, b)| **b != [0, 0]) {
                let size = view.sizes()[d] as i64;
                let index: Vec<usize> = (-before..size + after).map(|i| match mode {
                    "edge" => i.clamp(0, size - 1),
                    "wrap" => i.rem_euclid(size),
                    _ => {
                        let period = (2 * (size - 1)).max(1);
                        let at = i.rem_euclid(period);
                        if at < size { at } else { period - at }
                    }
                } as usize).collect();
                view = taken(r, n.label, &view, d, &index)?;
            }
            view
        }
        other => return Err(format!("its mode {other} is not constant, reflect, edge or wrap")),
    }))
}

fn constant(r: &mut Reader, n: &Call, view: &View, border: &[[i64; 2]], value: f32) -> Result<View, String> {
    if border.iter().all(|b| *b == [0, 0]) {
        return Ok(view.clone());
    }
    if value.is_nan() {
        return Err("its value is NaN".into());
    }
    let (view, side_of) = r.sided(view, n.label)?;
    let mut op = Pad { before: [0; 3], after: [0; 3], value };
    for (&[before, after], side) in border.iter().zip(&side_of) {
        match side {
            Some(s) => (op.before[*s], op.after[*s]) = (before as usize, after as usize),
            None if before + after == 0 => {}
            None => return Err("it pads a dimension that the tensor does not have".into()),
        }
    }
    let t = r.push(n.label, op, &[view.tensor])?;
    Ok(View::of_sides(t, r.shape(t), &side_of, view.batch))
}

impl Write for Pad {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let pads: Vec<i64> = [0].iter().chain(&self.before).chain(&[0]).chain(&self.after).map(|&p| p as i64).collect();
        let pads = w.integers(n, "pads", &pads);
        let value = w.reals(n, "value", &[], &[self.value]);
        let node = w.node("Pad", n, &[&w.value(n.inputs[0]), &pads, &value]);
        w.finish(n, node);
        Ok(())
    }
}
