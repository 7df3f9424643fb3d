//! ConvTranspose, in one and two dimensions.

use super::conv::{bias, window};
use super::window::Plane;
use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::op::ConvTranspose;
use cnna_net::{Activation, Node, Padding};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let plane = Plane::of(&view)?;
    let w = n.constant(1)?.clone();
    let kernel = plane.kernel(n, &w.dims)?;
    let groups = usize::try_from(n.int("group", 1)?).map_err(|_| "its group is negative")?;
    if w.dims[0] != plane.shape.c {
        return Err(format!("its weights {:?} are for {} channels, its input has {}", w.dims, w.dims[0], plane.shape.c));
    }
    let oc = w.dims[1].checked_mul(groups).ok_or("its group is too large")?;
    let mut window = cnna_net::Window {
        kernel,
        stride: plane.steps(n, "strides")?,
        dilation: plane.steps(n, "dilations")?,
        pad: Padding::default(),
    };
    let mut extra = plane.extras(n, "output_padding")?;
    let auto = n.string("auto_pad", "NOTSET")?;
    let size = [plane.shape.h, plane.shape.w];
    let wanted = match n.ints("output_shape")? {
        Some(_) => {
            // Some exporters write batch and channels before the sides.
            let all = n.ints("output_shape")?.unwrap_or_default();
            let skip = all.len().saturating_sub(plane.rank);
            let sides: Option<Vec<usize>> = all[skip..].iter().map(|&v| usize::try_from(v).ok()).collect();
            match sides.as_deref() {
                Some(&[h, w]) if plane.rank == 2 => Some([h, w]),
                Some(&[w]) if plane.rank == 1 => Some([1, w]),
                _ => return Err(format!("its output_shape {all:?} must be rows and columns")),
            }
        }
        None if auto.starts_with("SAME") => Some([size[0] * window.stride[0], size[1] * window.stride[1]]),
        None => None,
    };
    match wanted {
        None => window.pad = plane.pads(n)?,
        Some(wanted) => {
            for axis in 0..2 {
                let whole = window.stride[axis] * (size[axis] - 1) + extra[axis] + window.span(axis);
                let total = whole.saturating_sub(wanted[axis]);
                extra[axis] += wanted[axis].saturating_sub(whole);
                let (small, large) = (total / 2, total - total / 2);
                let (before, after) = if auto == "SAME_UPPER" { (small, large) } else { (large, small) };
                match axis {
                    0 => (window.pad.top, window.pad.bottom) = (before, after),
                    _ => (window.pad.left, window.pad.right) = (before, after),
                }
            }
        }
    }
    let input = r.map(&view, n.label)?;
    let weights = r.values(&w)?;
    let op = ConvTranspose {
        oc,
        groups,
        window,
        extra,
        bias: bias(r, n, 2, oc, input, (&weights, &[]))?,
        weights,
        activation: Activation::None,
    };
    let t = r.push(n.label, op, &[input])?;
    one(Value::View(View::plain(t, &plane.sides(r.shape(t)), true)))
}

impl Write for ConvTranspose {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let input = w.shape(n.inputs[0]);
        let dims = [input.c, self.oc / self.groups, self.window.kernel[0], self.window.kernel[1]];
        let weight = w.constant(n, "weight", &dims, &self.weights, None, &[]);
        let bias = w.bias(n, &self.bias, self.oc, &self.weights, &[])?;
        let node = w.node("ConvTranspose", n, &[&w.value(n.inputs[0]), &weight, &bias]);
        let node = window(node, &self.window)
            .with("group", self.groups as i64)
            .with("output_padding", self.extra.map(|e| e as i64));
        w.activated(n, node, &self.activation)
    }
}
