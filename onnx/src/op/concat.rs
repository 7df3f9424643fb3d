//! Concat.

use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Concat;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let mut views = Vec::new();
    for i in 0..n.inputs.len() {
        let view = r.view(n.input(i)?, n.label)?;
        views.push(r.batched(&view)?);
    }
    let first = views.first().ok_or("it has no input")?.clone();
    let axis = dimension(n.int("axis", 1)?, first.dims.len())?;
    if views.iter().any(|v| v.batch.is_some() && v.batch == Some(axis)) {
        return Err("it joins along the batch: leave images apart".into());
    }
    if let Some(v) = views.iter().find(|v| v.dims.len() != first.dims.len() || v.step != first.step) {
        return Err(format!("its inputs {:?} and {:?} are of different ranks or scales", first.sizes(), v.sizes()));
    }
    if views.len() == 1 {
        return one(Value::View(first));
    }
    if first.sides().len() > 3 {
        let inputs: Vec<_> = views.iter().map(|v| r.grouped(v, axis, n.label)).collect::<Result<_, _>>()?;
        let t = r.push(n.label, Concat { axis: 1 }, &inputs)?;
        let mut sides = first.sides();
        sides[if first.batch.is_some() { axis - 1 } else { axis }] = r.shape(t).h;
        return one(Value::View(View { step: first.step, ..View::plain(t, &sides, first.batch.is_some()) }));
    }
    let shared: Vec<_> = views.iter().map(|v| v.permutation(r.shape(v.tensor))).collect();
    let shared = shared[0].clone().filter(|s| s[axis].is_some() && shared.iter().all(|o| o.as_ref() == Some(s)));
    let (inputs, side_of) = match shared {
        Some(s) => (views.iter().map(|v| v.tensor).collect::<Vec<_>>(), s),
        None => {
            let inputs: Vec<_> = views.iter().map(|v| r.map(v, n.label)).collect::<Result<_, _>>()?;
            let plain = View::plain(inputs[0], &first.sides(), first.batch.is_some());
            let side_of = plain.permutation(r.shape(inputs[0])).filter(|s| s[axis].is_some());
            let side_of = side_of.ok_or_else(|| {
                format!("its inputs {:?} have too many dimensions: expected at most three beside the batch", first.sizes())
            })?;
            (inputs, side_of)
        }
    };
    let side = side_of[axis].unwrap_or(0);
    let t = r.push(n.label, Concat { axis: side }, &inputs)?;
    let batch = first.batch;
    one(Value::View(View { step: first.step, ..View::of_sides(t, r.shape(t), &side_of, batch) }))
}

impl Write for Concat {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let values: Vec<String> = n.inputs.iter().map(|&t| w.value(t)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let node = w.node("Concat", n, &values).with("axis", self.axis as i64 + 1);
        w.finish(n, node);
        Ok(())
    }
}
