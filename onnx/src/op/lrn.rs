//! LRN: local response normalisation.

use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Lrn;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let view = r.batched(&view)?;
    let t = r.map(&view, n.label)?;
    let size = n.int("size", 0)?;
    let op = Lrn {
        size: usize::try_from(size).ok().filter(|s| (1..1 << 16).contains(s)).ok_or_else(|| format!("its size is {size}"))?,
        alpha: n.float("alpha", 1e-4)?,
        beta: n.float("beta", 0.75)?,
        bias: n.float("bias", 1.0)?,
    };
    let t = r.push(n.label, op, &[t])?;
    one(Value::View(View::plain(t, &view.sides(), view.batch.is_some())))
}

impl Write for Lrn {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let node = w
            .node("LRN", n, &[&w.value(n.inputs[0])])
            .with("size", self.size as i64)
            .with("alpha", self.alpha)
            .with("beta", self.beta)
            .with("bias", self.bias);
        w.finish(n, node);
        Ok(())
    }
}
