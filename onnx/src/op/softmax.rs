//! Softmax and LogSoftmax.

use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Softmax;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let (view, side_of) = r.sided(&view, n.label)?;
    let rank = view.dims.len();
    // Before operator set 13 the sum runs over all dimensions from the axis on.
    let old = n.opset < 13;
    let axis = dimension(n.int("axis", if old { 1 } else { -1 })?, rank.max(1))?;
    let over = if old { axis..rank } else { axis..axis + 1 };
    if view.batch.is_some_and(|b| over.contains(&b)) && r.batch != Some(1) {
        return Err("its sum runs over the batch: leave images apart".into());
    }
    let mut axes = [false; 3];
    for d in over {
        if let Some(s) = side_of.get(d).copied().flatten() {
            axes[s] = true;
        }
    }
    let log = n.node.op_type == "LogSoftmax";
    let t = r.push(n.label, Softmax { axes, log }, &[view.tensor])?;
    one(Value::View(view.over(t)))
}

impl Write for Softmax {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let operator = if self.log { "LogSoftmax" } else { "Softmax" };
        let input = w.value(n.inputs[0]);
        let s = w.shape(n.inputs[0]);
        let sides = s.sides();
        // Sides of one add nothing.
        let axes: Vec<usize> = (0..3).filter(|&a| self.axes[a] && sides[a] > 1).collect();
        match axes[..] {
            [] | [_] => {
                let axis = axes.first().map_or_else(|| self.axes.iter().position(|&a| a).unwrap_or(0), |a| *a);
                let node = w.node(operator, n, &[&input]).with("axis", axis as i64 + 1);
                w.finish(n, node);
            }
            [first, ..] if (first..3).all(|a| self.axes[a] || sides[a] == 1) => {
                let outer: usize = sides[..first].iter().product();
                let flat = w.integers(n, "flat", &[0, outer as i64, -1]);
                let node = w.node("Reshape", n, &[&input, &flat]);
                let value = w.step(n, "flat_value", node);
                let node = w.node(operator, n, &[&value]).with("axis", 2);
                let value = w.step(n, "flat_result", node);
                let shape = w.integers(n, "shape", &[0, s.c as i64, s.h as i64, s.w as i64]);
                let node = w.node("Reshape", n, &[&value, &shape]);
                w.finish(n, node);
            }
            _ => return Err(w.cannot(n, "its sum runs over channels and rows")),
        }
        Ok(())
    }
}
