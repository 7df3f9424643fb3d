//! AveragePool, GlobalAveragePool and ReduceMean.

use super::window::Plane;
use super::{Outcome, Write, one};
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::op::{AveragePool, Conv};
use cnna_net::{Activation, Node, Padding, Values, Window};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if n.node.op_type == "ReduceMean" {
        return reduce(r, n);
    }
    let view = r.operand(n, 0)?;
    let plane = Plane::of(&view)?;
    let (window, counted) = match n.node.op_type.as_str() {
        "GlobalAveragePool" => (Window::plain(plane.shape.h, plane.shape.w), Padding::default()),
        _ => {
            let (window, own) = plane.pool(n)?;
            let all = n.int("count_include_pad", 0)? != 0;
            if !all {
                super::max_pool::sees(&window, [plane.shape.h, plane.shape.w])?;
            }
            (window, if all { own } else { Padding::default() })
        }
    };
    let input = r.map(&view, n.label)?;
    let t = r.push(n.label, AveragePool { window, counted }, &[input])?;
    one(Value::View(View::plain(t, &plane.sides(r.shape(t)), true)))
}

/// The mean over some dimensions.
fn reduce(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let rank = view.dims.len();
    let axes = n.ints_or_input("axes", 1)?.filter(|a| !a.is_empty());
    if axes.is_none() && n.int("noop_with_empty_axes", 0)? != 0 {
        return one(Value::View(view));
    }
    let gone: Vec<usize> = match axes {
        Some(v) => v.iter().map(|&a| dimension(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if gone.iter().any(|&d| Some(d) == view.batch) && r.batch != Some(1) {
        return Err("it takes the mean over the batch: leave images apart".into());
    }
    let (view, side_of) = r.sided(&view, n.label)?;
    let shape = r.shape(view.tensor);
    let over = |side: usize| gone.iter().any(|&d| side_of[d] == Some(side));
    let kernel = [if over(1) { shape.h } else { 1 }, if over(2) { shape.w } else { 1 }];
    let window = Window { stride: kernel, ..Window::plain(kernel[0], kernel[1]) };
    let t = match over(0) && shape.c > 1 {
        false => r.push(n.label, AveragePool { window: Window { stride: [1, 1], ..window }, counted: Padding::default() }, &[view.tensor])?,
        true => {
            let count = shape.c * kernel[0] * kernel[1];
            let mean = Conv {
                finer: Vec::new(),
                oc: 1,
                groups: 1,
                window: Window { stride: [1, 1], ..window },
                weights: Values::Reals(vec![1.0 / count as f32; count]),
                bias: Values::Reals(vec![0.0]),
                activation: Activation::None,
            };
            r.push(n.label, mean, &[view.tensor])?
        }
    };
    let out = View::of_sides(t, r.shape(t), &side_of, view.batch);
    if n.int("keepdims", 1)? != 0 {
        return one(Value::View(out));
    }
    let kept: Vec<usize> = (0..rank).filter(|d| !gone.contains(d)).collect();
    one(Value::View(View {
        dims: kept.iter().map(|&d| out.dims[d].clone()).collect(),
        batch: out.batch.and_then(|b| kept.iter().position(|&d| d == b)),
        ..out
    }))
}

impl Write for AveragePool {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let input = w.value(n.inputs[0]);
        let own = self.counted == Padding::default();
        let shape = w.shape(n.inputs[0]);
        let pad = match own {
            true => self.window.pad,
            false => self.counted,
        };
        let window = Window { pad, ..self.window };
        let (up, all) = (pad != self.window.pad, i64::from(!own));
        if !up || rounded_up(&window, [shape.h, shape.w]) == Some(self.window.pad) {
            let node = w.node("AveragePool", n, &[&input]);
            let node = super::conv::window(node, &window)
                .with("count_include_pad", all)
                .with("ceil_mode", i64::from(up));
            w.finish(n, node);
            return Ok(());
        }
        // Zeros that count as positions are part of the map, the rest is border.
        let p = self.counted;
        let pads = [0, 0, p.top, p.left, 0, 0, p.bottom, p.right].map(|v| v as i64);
        let pads = w.integers(n, "pads", &pads);
        let node = w.node("Pad", n, &[&input, &pads]);
        let padded = w.step(n, "padded", node);
        let rest = Padding {
            top: self.window.pad.top - p.top.min(self.window.pad.top),
            left: self.window.pad.left - p.left.min(self.window.pad.left),
            bottom: self.window.pad.bottom - p.bottom.min(self.window.pad.bottom),
            right: self.window.pad.right - p.right.min(self.window.pad.right),
        };
        let node = w.node("AveragePool", n, &[&padded]);
        let node = super::conv::window(node, &Window { pad: rest, ..self.window }).with("count_include_pad", 0);
        w.finish(n, node);
        Ok(())
    }
}

/// The border that rounding the output's size up makes of a window's own.
fn rounded_up(w: &Window, size: [usize; 2]) -> Option<Padding> {
    let mut pad = w.pad;
    for (axis, size) in size.into_iter().enumerate() {
        let more = super::window::more(w, axis, size)?;
        match axis {
            0 => pad.bottom += more,
            _ => pad.right += more,
        }
    }
    Some(pad)
}
