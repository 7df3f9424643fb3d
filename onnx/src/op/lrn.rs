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
        let x = w.value(n.inputs[0]);
        if !w.basic() {
            let node = w
                .node("LRN", n, &[&x])
                .with("size", self.size as i64)
                .with("alpha", self.alpha)
                .with("beta", self.beta)
                .with("bias", self.bias);
            w.finish(n, node);
            return Ok(());
        }
        // The mean of squares over channels is one over rows when the channels are rows.
        let s = w.shape(n.inputs[0]);
        let node = w.node("Mul", n, &[&x, &x]);
        let squares = w.step(n, "squares", node);
        let flat = w.integers(n, "flat", &[1, 1, s.c as i64, (s.h * s.w) as i64]);
        let node = w.node("Reshape", n, &[&squares, &flat]);
        let rows = w.step(n, "rows", node);
        let below = (self.size as i64 - 1) / 2;
        let above = self.size as i64 - 1 - below;
        let node = w
            .node("AveragePool", n, &[&rows])
            .with("kernel_shape", [self.size as i64, 1])
            .with("strides", [1, 1])
            .with("pads", [below, 0, above, 0])
            .with("count_include_pad", 1);
        let means = w.step(n, "means", node);
        let [c, h, v] = s.sides().map(|d| d as i64);
        let whole = w.integers(n, "whole", &[1, c, h, v]);
        let node = w.node("Reshape", n, &[&means, &whole]);
        let means = w.step(n, "maps", node);
        let alpha = w.reals(n, "alpha", &[], &[self.alpha]);
        let node = w.node("Mul", n, &[&means, &alpha]);
        let scaled = w.step(n, "scaled", node);
        let bias = w.reals(n, "bias", &[], &[self.bias]);
        let node = w.node("Add", n, &[&scaled, &bias]);
        let sums = w.step(n, "sums", node);
        let beta = w.reals(n, "beta", &[], &[self.beta]);
        let node = w.node("Pow", n, &[&sums, &beta]);
        let scale = w.step(n, "scale", node);
        let node = w.node("Div", n, &[&x, &scale]);
        w.finish(n, node);
        Ok(())
    }
}
