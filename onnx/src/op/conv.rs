//! Conv, in one and two dimensions.

use super::window::Plane;
use super::{Outcome, Write, one};
use crate::read::array::Array;
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::op::Conv;
use cnna_net::{Activation, Node, TensorId, Values};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let plane = Plane::of(&view)?;
    let w = n.constant(1)?.clone();
    let kernel = plane.kernel(n, &w.dims)?;
    let window = plane.window(n, kernel)?;
    let groups = usize::try_from(n.int("group", 1)?).map_err(|_| "its group is negative")?;
    let (oc, of_input) = (w.dims[0], w.dims[1]);
    if of_input.checked_mul(groups) != Some(plane.shape.c) {
        return Err(format!(
            "its weights {:?} are for {of_input} channels in {groups} groups, its input has {}",
            w.dims, plane.shape.c
        ));
    }
    let input = r.map(&view, n.label)?;
    let (weights, finer) = r.weights(&w)?;
    let bias = bias(r, n, 2, oc, input, (&weights, &finer))?;
    let conv = Conv {
        oc,
        groups,
        window,
        bias,
        weights,
        finer,
        activation: Activation::None,
    };
    let t = r.push(n.label, conv, &[input])?;
    one(Value::View(View::plain(t, &plane.sides(r.shape(t)), true)))
}

/// Optional constant input number `i` as biases; integers where its scale is that of the accumulator.
pub(super) fn bias(r: &Reader, n: &Call, i: usize, oc: usize, input: TensorId, weights: (&Values, &[u8])) -> Result<Values, String> {
    let Some(b) = n.optional_constant(i)? else {
        return Ok(Values::Reals(vec![0.0; oc]));
    };
    if b.len() != oc {
        return Err(format!("its bias has shape {:?}, expected {oc} elements", b.dims));
    }
    Ok(match sums(r, b, input, weights) {
        Some(v) => Values::Sums(v),
        None => Values::Reals(b.finite()?),
    })
}

/// A constant's integers, if they stand in the accumulator's scale of that input and weights, whose channels are so much finer.
pub(super) fn sums(r: &Reader, b: &Array, input: TensorId, (weights, finer): (&Values, &[u8])) -> Option<Vec<i64>> {
    let scale = r.frac(input)? + weights.words()?.1;
    (b.frac? == scale && b.finer == finer).then(|| b.to_ints().ok())?
}

impl Write for Conv {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let input = w.shape(n.inputs[0]);
        let dims = [self.oc, input.c / self.groups, self.window.kernel[0], self.window.kernel[1]];
        if w.is_float() && !self.finer.is_empty() {
            let mut real = self.clone();
            real.unquantise(w.format_of(n.inputs[0]).unwrap_or(0));
            return real.write(w, n);
        }
        let weight = w.constant(n, "weight", &dims, &self.weights, None, &self.finer);
        let bias = w.bias(n, &self.bias, self.oc, &self.weights, &self.finer)?;
        let node = w.node("Conv", n, &[&w.value(n.inputs[0]), &weight, &bias]);
        let node = window(node, &self.window).with("group", self.groups as i64);
        w.activated(n, node, &self.activation)
    }
}

/// The node with a window's attributes.
pub(super) fn window(node: crate::NodeProto, w: &cnna_net::Window) -> crate::NodeProto {
    let p = w.pad;
    node.with("kernel_shape", w.kernel.map(|n| n as i64))
        .with("strides", w.stride.map(|n| n as i64))
        .with("dilations", w.dilation.map(|n| n as i64))
        .with("pads", [p.top, p.left, p.bottom, p.right].map(|n| n as i64))
}
