//! Slice, with steps.

use super::{Outcome, Write, one};
use crate::read::array::BATCH;
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::{Resize, Slice};

/// What is taken of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub start: usize,
    pub count: usize,
    /// Negative: backwards.
    pub step: i64,
}

/// What a Slice node takes of an array of that shape.
pub(crate) fn parts(n: &Call, dims: &[usize]) -> Result<Vec<Part>, String> {
    let rank = dims.len();
    let old = n.opset < 10 && n.has("starts");
    let list = |name: &str, i: usize| -> Result<Option<Vec<i64>>, String> {
        match old {
            true => n.ints(name),
            false => n.optional_constant(i)?.map(|a| a.to_ints()).transpose(),
        }
    };
    let starts = list("starts", 1)?.ok_or("it has no starts")?;
    let ends = list("ends", 2)?.ok_or("it has no ends")?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("its starts, ends, axes and steps are of different lengths".into());
    }
    let mut parts: Vec<Part> = dims.iter().map(|&count| Part { start: 0, count, step: 1 }).collect();
    for (i, &axis) in axes.iter().enumerate() {
        let d = dimension(axis, rank)?;
        let size = dims[d] as i64;
        // An end at the open batch is the whole of it.
        let open = |v: i64| if v == BATCH { i64::MAX } else { v };
        let (start, end, step) = (open(starts[i]), open(ends[i]), steps[i]);
        let from_end = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
        if step == 0 {
            return Err("its step is 0".into());
        }
        let (first, last) = match step > 0 {
            true => (from_end(start).clamp(0, size), from_end(end).clamp(0, size)),
            false => (from_end(start).clamp(-1, size - 1), from_end(end).clamp(-1, size - 1)),
        };
        let way = if step > 0 { last - first } else { first - last };
        let count = if way <= 0 { 0 } else { (way - 1) / step.saturating_abs() + 1 };
        parts[d] = Part { start: first.max(0) as usize, count: count as usize, step };
    }
    Ok(parts)
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.view(n.input(0)?, n.label)?;
    let mut dims = view.sizes();
    if let Some(b) = view.batch {
        // Whatever is not all images shows in a batch that is not one.
        dims[b] = r.batch.unwrap_or(1 << 20);
    }
    let mut parts = parts(n, &dims)?;
    if let Some(b) = view.batch {
        if parts[b] != (Part { start: 0, count: dims[b], step: 1 }) {
            return Err("it takes a part of the batch: leave images apart".into());
        }
        parts[b].count = 1;
    }
    one(Value::View(slice(r, n.label, &view, &parts)?.1))
}

/// A part of a view; the first is the view whose sides were sliced, for the next part.
pub(super) fn slice(r: &mut Reader, label: &str, view: &View, parts: &[Part]) -> Result<(View, View), String> {
    if parts.iter().any(|p| p.count == 0) {
        return Err("its result is empty".into());
    }
    let sizes = view.sizes();
    if parts.iter().zip(&sizes).all(|(p, &s)| *p == (Part { start: 0, count: s, step: 1 })) {
        return Ok((view.clone(), view.clone()));
    }
    if view.sides().len() > 3 {
        return many(r, label, view, parts);
    }
    let (view, side_of) = r.sided(view, label)?;
    let shape = r.shape(view.tensor);
    let mut op = Slice { start: [0; 3], count: shape.sides(), step: [1; 3] };
    let mut back = [false; 3];
    for (p, side) in parts.iter().zip(&side_of) {
        let Some(s) = *side else { continue };
        let step = usize::try_from(p.step.unsigned_abs()).unwrap_or(usize::MAX);
        // Of one the step does not matter, and an absurd one would overflow.
        op.step[s] = if p.count == 1 { 1 } else { step };
        op.count[s] = p.count;
        back[s] = p.step < 0 && p.count > 1;
        op.start[s] = if back[s] { p.start - (p.count - 1) * step } else { p.start };
    }
    if back[0] {
        return Err("it takes channels backwards: reorder the weights instead".into());
    }
    let whole = op.start == [0; 3] && op.count == shape.sides();
    let mut t = match whole {
        true => view.tensor,
        false => r.push(label, op, &[view.tensor])?,
    };
    if back[1] || back[2] {
        let s = r.shape(t);
        let index = |n: usize, back: bool| {
            let all = 0..n as u32;
            if back { all.rev().collect() } else { all.collect::<Vec<_>>() }
        };
        t = r.push(&format!("{label}/backwards"), Resize { rows: index(s.h, back[1]), columns: index(s.w, back[2]) }, &[t])?;
    }
    let out = View::of_sides(t, r.shape(t), &side_of, view.batch);
    let step = view.step;
    Ok((view, View { step, ..out }))
}

/// The same of an array of more dimensions than a tensor has sides: one dimension after the other.
fn many(r: &mut Reader, label: &str, view: &View, parts: &[Part]) -> Result<(View, View), String> {
    let mut out = r.batched(view)?;
    for (d, p) in parts.iter().enumerate() {
        let size = out.sizes()[d];
        if *p == (Part { start: 0, count: size, step: 1 }) {
            continue;
        }
        let t = r.grouped(&out, d, label)?;
        let sides = r.shape(t).sides();
        let middle = View::plain(t, &sides, false);
        let whole = |count: usize| Part { start: 0, count, step: 1 };
        let (_, cut) = slice(r, label, &middle, &[whole(sides[0]), *p, whole(sides[2])])?;
        let mut sizes = out.sides();
        let at = if out.batch.is_some() { d.saturating_sub(1) } else { d };
        sizes[at] = p.count;
        out = View { step: out.step, ..View::plain(cut.tensor, &sizes, out.batch.is_some()) };
    }
    Ok((view.clone(), out))
}

impl Write for Slice {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let end = |a: usize| (self.start[a] + (self.count[a] - 1) * self.step[a] + 1) as i64;
        let starts = w.integers(n, "starts", &self.start.map(|v| v as i64));
        let ends = w.integers(n, "ends", &[end(0), end(1), end(2)]);
        let axes = w.integers(n, "axes", &[1, 2, 3]);
        let steps = w.integers(n, "steps", &self.step.map(|v| v as i64));
        let node = w.node("Slice", n, &[&w.value(n.inputs[0]), &starts, &ends, &axes, &steps]);
        w.finish(n, node);
        Ok(())
    }
}
