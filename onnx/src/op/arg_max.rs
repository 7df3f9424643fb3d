//! ArgMax.

use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::ArgMax;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let rank = view.dims.len();
    let axis = dimension(n.int("axis", 0)?, rank)?;
    if view.batch == Some(axis) {
        return Err("it looks for the largest along the batch: use axis 1".into());
    }
    let (view, side_of) = r.sided(&view, n.label)?;
    let side = side_of[axis].ok_or("its dimension is 1: there is nothing to compare")?;
    let last = n.int("select_last_index", 0)? != 0;
    let t = r.push(n.label, ArgMax { axis: side, last }, &[view.tensor])?;
    let mut out = View::of_sides(t, r.shape(t), &side_of, view.batch);
    if n.int("keepdims", 1)? == 0 {
        out.dims.remove(axis);
        out.batch = out.batch.map(|b| if b > axis { b - 1 } else { b });
    }
    one(Value::View(out))
}

impl Write for ArgMax {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let node = w
            .node("ArgMax", n, &[&w.value(n.inputs[0])])
            .with("axis", self.axis as i64 + 1)
            .with("select_last_index", i64::from(self.last));
        let index = w.step(n, "index", node);
        let node = w.node("Cast", n, &[&index]).with("to", crate::ElementType::F32 as i64);
        w.finish(n, node);
        Ok(())
    }
}
