//! MaxPool, in one and two dimensions.

use super::window::Plane;
use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::op::MaxPool;
use cnna_net::{Node, Window};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    // The order of integers is that of the reals.
    let view = r.view(n.input(0)?, n.label)?;
    let plane = Plane::of(&view)?;
    let (window, _) = plane.pool(n)?;
    let input = r.map(&view, n.label)?;
    sees(&window, [plane.shape.h, plane.shape.w])?;
    let t = r.push(n.label, MaxPool { window }, &[input])?;
    let out = View::plain(t, &plane.sides(r.shape(t)), true);
    one(Value::View(View { step: view.step, ..out }))
}

/// Errors: a position of the window that sees padding alone.
pub(super) fn sees(w: &Window, size: [usize; 2]) -> Result<(), String> {
    let outputs = w.output(size[0], size[1]).ok_or("its kernel is larger than its padded input")?;
    for axis in 0..2 {
        let span = w.span(axis);
        let safe = w.border(axis) == [0, 0];
        let blind = |at: usize| w.valid_taps(axis, at, size[axis]).is_empty();
        let beyond = w.border(axis).iter().any(|&p| p >= span);
        let tried = outputs[axis].min(1 << 12);
        if !safe && (beyond || (0..tried).chain(outputs[axis] - tried..outputs[axis]).any(blind)) {
            return Err(format!("its padding {:?} must be smaller than its kernel {:?}", w.border(axis), w.kernel));
        }
    }
    Ok(())
}

impl Write for MaxPool {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        if w.basic() && self.window.dilation != [1, 1] {
            return write_taps(w, n, &self.window);
        }
        let node = w.node("MaxPool", n, &[&w.value(n.inputs[0])]);
        let node = super::conv::window(node, &self.window);
        w.finish(n, node);
        Ok(())
    }
}

/// Less than every value.
const LEAST: f32 = f32::MIN;

/// A dilated maximum as the maximum of its taps' slices, for engines without dilation.
fn write_taps(w: &mut Writer, n: &Node, window: &Window) -> Result<(), WriteError> {
        let out = w.shape(n.output);
        let p = window.pad;
        let pads = [0, 0, p.top, p.left, 0, 0, p.bottom, p.right].map(|v| v as i64);
        let pads = w.integers(n, "pads", &pads);
        let least = w.reals(n, "least", &[], &[LEAST]);
        let node = w.node("Pad", n, &[&w.value(n.inputs[0]), &pads, &least]);
        let padded = w.step(n, "padded", node);
        let axes = w.integers(n, "axes", &[2, 3]);
        let steps = w.integers(n, "steps", &window.stride.map(|v| v as i64));
        let mut taps = Vec::new();
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let from = [ky * window.dilation[0], kx * window.dilation[1]];
                let count = [out.h, out.w];
                let end = |a: usize| (from[a] + (count[a] - 1) * window.stride[a] + 1) as i64;
                let tap = format!("tap{}", taps.len());
                let starts = w.integers(n, &format!("{tap}_starts"), &from.map(|v| v as i64));
                let ends = w.integers(n, &format!("{tap}_ends"), &[end(0), end(1)]);
                let node = w.node("Slice", n, &[&padded, &starts, &ends, &axes, &steps]);
                taps.push(w.step(n, &tap, node));
            }
        }
        let taps: Vec<&str> = taps.iter().map(String::as_str).collect();
        let node = w.node("Max", n, &taps);
        w.finish(n, node);
        Ok(())
    }
