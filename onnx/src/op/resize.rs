//! Resize and Upsample: nearest by a list of rows and columns, linear by two of each.

use super::{Outcome, Write, one};
use crate::NodeProto;
use crate::read::reader::{Call, Reader, Value, dimension};
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::bilinear::Between;
use cnna_net::op::{Bilinear, Resize};

/// Longest side of a result.
const MOST: usize = 1 << 16;

/// Where an output row lies in the input.
#[derive(Clone, Copy, Debug)]
struct Axis<'a> {
    mode: &'a str,
    size: usize,
    out: usize,
    scale: f64,
}

impl Axis<'_> {
    fn at(&self, i: usize) -> Result<f64, String> {
        let (x, size, out) = (i as f64, self.size as f64, self.out as f64);
        Ok(match self.mode {
            "asymmetric" => x / self.scale,
            "half_pixel" => (x + 0.5) / self.scale - 0.5,
            "pytorch_half_pixel" if self.out > 1 => (x + 0.5) / self.scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if self.out > 1 => x * (size - 1.0) / (out - 1.0),
            "align_corners" => 0.0,
            "half_pixel_symmetric" => {
                let adjustment = out / (self.scale * size);
                let center = size / 2.0;
                center * (1.0 - adjustment) + (x + 0.5) / self.scale - 0.5
            }
            "tf_half_pixel_for_nn" => (x + 0.5) / self.scale,
            other => return Err(format!("its coordinate_transformation_mode {other} is not read")),
        })
    }

    fn nearest(&self, rounding: &str) -> Result<Vec<u32>, String> {
        (0..self.out)
            .map(|i| {
                let x = self.at(i)?;
                let n = match rounding {
                    "round_prefer_floor" => (x - 0.5).ceil(),
                    "round_prefer_ceil" => (x + 0.5).floor(),
                    "floor" => x.floor(),
                    "ceil" => x.ceil(),
                    other => return Err(format!("its nearest_mode {other} is not read")),
                };
                Ok(n.clamp(0.0, self.size as f64 - 1.0) as u32)
            })
            .collect()
    }

    fn linear(&self) -> Result<Vec<Between>, String> {
        (0..self.out)
            .map(|i| {
                let x = self.at(i)?.clamp(0.0, self.size as f64 - 1.0);
                let first = x.floor();
                let second = (first as usize + 1).min(self.size - 1) as u32;
                Ok(Between { first: first as u32, second, share: (x - first) as f32 })
            })
            .collect()
    }
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let upsample = n.node.op_type == "Upsample";
    let view = r.view(n.input(0)?, n.label)?;
    let rank = view.dims.len();
    let sizes = view.sizes();
    let axes: Vec<usize> = match n.ints("axes")? {
        Some(v) => v.iter().map(|&a| dimension(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    // Operator set 10 and Upsample have scales as their second input, later ones behind roi.
    let at = if upsample || n.opset < 11 { 1 } else { 2 };
    let scales = match n.floats("scales")? {
        Some(v) => Some(v),
        None if n.has("height_scale") => Some(vec![1.0, 1.0, n.float("height_scale", 1.0)?, n.float("width_scale", 1.0)?]),
        None => n.optional_constant(at)?.filter(|a| a.len() > 0).map(|a| a.finite()).transpose()?,
    };
    let wanted = match upsample {
        true => None,
        false => n.optional_constant(3)?.filter(|a| a.len() > 0).map(|a| a.to_ints()).transpose()?,
    };
    let (mut out, mut scale) = (sizes.clone(), vec![1.0f64; rank]);
    match (&scales, &wanted) {
        (Some(v), None) if v.len() == axes.len() => {
            for (&d, &s) in axes.iter().zip(v) {
                if s <= 0.0 {
                    return Err(format!("its scales {v:?} must be positive"));
                }
                scale[d] = s.into();
                out[d] = (sizes[d] as f64 * f64::from(s)).floor() as usize;
            }
        }
        (None, Some(v)) if v.len() == axes.len() => {
            let policy = n.string("keep_aspect_ratio_policy", "stretch")?;
            let ratios = axes.iter().zip(v).map(|(&d, &s)| s as f64 / sizes[d] as f64);
            let common = match policy {
                "stretch" => None,
                "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(ratios.fold(0.0, f64::max)),
                other => return Err(format!("its keep_aspect_ratio_policy {other} is not read")),
            };
            for (&d, &s) in axes.iter().zip(v) {
                if view.batch == Some(d) {
                    continue;
                }
                match common {
                    None => {
                        out[d] = usize::try_from(s).map_err(|_| format!("its size {s}"))?;
                        scale[d] = out[d] as f64 / sizes[d] as f64;
                    }
                    Some(c) => {
                        scale[d] = c;
                        out[d] = (c * sizes[d] as f64 + 0.5).floor() as usize;
                    }
                }
            }
        }
        _ => return Err(format!("its scales {scales:?} or sizes {wanted:?} must be constants, one for each of {} dimensions", axes.len())),
    }
    if out.iter().any(|&s| s == 0 || s > MOST.max(*sizes.iter().max().unwrap_or(&1))) {
        return Err(format!("its result {out:?} is empty or longer than {MOST}"));
    }
    let mode = n.string("mode", "nearest")?;
    let (transform, rounding) = match upsample || n.opset < 11 {
        true => ("asymmetric", "floor"),
        false => (
            n.string("coordinate_transformation_mode", "half_pixel")?,
            n.string("nearest_mode", "round_prefer_floor")?,
        ),
    };
    let (view, side_of) = r.sided(&view, n.label)?;
    let shape = r.shape(view.tensor);
    let mut axis = [1, 2].map(|s: usize| {
        let size = shape.sides()[s];
        Axis { mode: transform, size, out: size, scale: 1.0 }
    });
    for d in 0..rank {
        match side_of[d] {
            Some(s @ (1 | 2)) => (axis[s - 1].out, axis[s - 1].scale) = (out[d], scale[d]),
            _ if out[d] == sizes[d] => {}
            _ => return Err("it resizes channels or the batch: only rows and columns are read".into()),
        }
    }
    let shrinks = axis.iter().any(|a| a.out < a.size);
    if n.int("antialias", 0)? != 0 && shrinks {
        return Err("it smooths (antialias) while it shrinks: use antialias 0".into());
    }
    let t = match mode {
        "nearest" => {
            let op = Resize { rows: axis[0].nearest(rounding)?, columns: axis[1].nearest(rounding)? };
            let same = |v: &[u32], n: usize| v.iter().copied().eq(0..n as u32);
            match same(&op.rows, shape.h) && same(&op.columns, shape.w) {
                true => view.tensor,
                false => r.push(n.label, op, &[view.tensor])?,
            }
        }
        "linear" | "bilinear" if view.step.is_none() => {
            let still = |a: &Axis| a.out == a.size && a.scale == 1.0;
            let map = |a: &Axis| match still(a) {
                true => Axis { mode: "asymmetric", ..*a }.linear(),
                false => a.linear(),
            };
            let op = Bilinear { rows: map(&axis[0])?, columns: map(&axis[1])? };
            r.push(n.label, op, &[view.tensor])?
        }
        other => return Err(format!("its mode {other} is not read: use nearest or linear")),
    };
    let out = View::of_sides(t, r.shape(t), &side_of, view.batch);
    one(Value::View(View { step: view.step, ..out }))
}

/// Coordinates and rounding that ONNX knows, the plainest first.
const MODES: [&str; 5] = ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel", "tf_half_pixel_for_nn"];
const ROUNDINGS: [&str; 4] = ["floor", "round_prefer_floor", "round_prefer_ceil", "ceil"];

fn axes(mode: &'static str, from: [usize; 2], to: [usize; 2]) -> [Axis<'static>; 2] {
    [0, 1].map(|a: usize| Axis { mode, size: from[a], out: to[a], scale: to[a] as f64 / from[a] as f64 })
}

/// The node without its mode. Whole factors are written as such, which engines without `axes` read, too; else the sizes, which
/// leave no doubt about rounding, of all but the batch.
fn to_size(w: &mut Writer, n: &Node, to: [usize; 2]) -> NodeProto {
    let (input, from, shape) = (w.value(n.inputs[0]), w.shape(n.inputs[0]), w.shape(n.output));
    if to[0] % from.h == 0 && to[1] % from.w == 0 {
        let factors = [1.0, 1.0, (to[0] / from.h) as f32, (to[1] / from.w) as f32];
        let factors = w.reals(n, "scales", &[4], &factors);
        return w.node("Resize", n, &[&input, "", &factors]);
    }
    let sizes = w.integers(n, "sizes", &[shape.c as i64, to[0] as i64, to[1] as i64]);
    w.node("Resize", n, &[&input, "", "", &sizes]).with("axes", [1, 2, 3])
}

impl Write for Resize {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let shape = w.shape(n.inputs[0]);
        let to = [self.rows.len(), self.columns.len()];
        let input = w.value(n.inputs[0]);
        for mode in MODES {
            for rounding in ROUNDINGS {
                let [y, x] = axes(mode, [shape.h, shape.w], to);
                if y.nearest(rounding).ok().as_ref() == Some(&self.rows) && x.nearest(rounding).ok().as_ref() == Some(&self.columns) {
                    let node = to_size(w, n, to)
                        .with("mode", "nearest")
                        .with("coordinate_transformation_mode", mode)
                        .with("nearest_mode", rounding);
                    w.finish(n, node);
                    return Ok(());
                }
            }
        }
        let list = |v: &[u32]| v.iter().map(|&i| i64::from(i)).collect::<Vec<_>>();
        let rows = w.integers(n, "rows", &list(&self.rows));
        let columns = w.integers(n, "columns", &list(&self.columns));
        let node = w.node("Gather", n, &[&input, &rows]).with("axis", 2);
        let middle = w.step(n, "rows_taken", node);
        let node = w.node("Gather", n, &[&middle, &columns]).with("axis", 3);
        w.finish(n, node);
        Ok(())
    }
}

impl Write for Bilinear {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let shape = w.shape(n.inputs[0]);
        let to = [self.rows.len(), self.columns.len()];
        let close = |a: &[Between], b: Result<Vec<Between>, String>| {
            let at = |b: &Between| f64::from(b.first) + f64::from(b.share) * f64::from(b.second - b.first);
            b.is_ok_and(|b| a.iter().zip(&b).all(|(a, b)| (at(a) - at(b)).abs() < 1e-4))
        };
        let mode = MODES.into_iter().find(|mode| {
            let [y, x] = axes(mode, [shape.h, shape.w], to);
            close(&self.rows, y.linear()) && close(&self.columns, x.linear())
        });
        let mode = mode.ok_or_else(|| w.cannot(n, "its rows and columns follow no coordinates that ONNX knows"))?;
        let node = to_size(w, n, to)
            .with("mode", "linear")
            .with("coordinate_transformation_mode", mode);
        w.finish(n, node);
        Ok(())
    }
}
