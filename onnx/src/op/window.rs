//! Kernel, stride, dilation and padding of convolutions and pools, auto_pad included, in one and two dimensions.

use crate::read::reader::Call;
use crate::read::view::View;
use cnna_net::{Padding, Shape, Window};

/// Largest kernel, stride, dilation or padding read: far beyond any network, small enough that no sum overflows.
const MAX_STEP: i64 = 1 << 16;

/// How a node sees a view as rows and columns: [N, C, H, W], or [N, C, L] as one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane {
    /// Dimensions beside batch and channels: 1 or 2.
    pub rank: usize,
    pub shape: Shape,
}

impl Plane {
    /// Errors: another rank.
    pub fn of(view: &View) -> Result<Self, String> {
        let sizes = view.sizes();
        let (rank, shape) = match sizes[..] {
            [_, c, h, w] => (2, Shape { c, h, w }),
            [_, c, w] => (1, Shape { c, h: 1, w }),
            _ => {
                return Err(format!(
                    "its input has {} dimensions, expected [N, C, H, W] or [N, C, L]",
                    sizes.len()
                ));
            }
        };
        if view.batch.is_none() && sizes[0] != 1 {
            return Err("its input has no batch: expected [N, C, H, W]".into());
        }
        Ok(Plane { rank, shape })
    }

    /// Sizes beside the batch of a result of that shape.
    pub fn sides(&self, s: Shape) -> Vec<usize> {
        match self.rank {
            1 => vec![s.c, s.w],
            _ => vec![s.c, s.h, s.w],
        }
    }

    /// Two numbers (rows, columns) of a list with one each of the dimensions. Errors: another length, or beyond `range`.
    fn pair(
        &self,
        name: &str,
        v: &[i64],
        range: std::ops::RangeInclusive<i64>,
        row: usize,
    ) -> Result<[usize; 2], String> {
        let inside = v.iter().all(|n| range.contains(n));
        match (self.rank, v, inside) {
            (2, &[a, b], true) => Ok([a as usize, b as usize]),
            (1, &[b], true) => Ok([row, b as usize]),
            _ => Err(format!(
                "its {name} {v:?} must be {} of {range:?}",
                match self.rank {
                    1 => "one number",
                    _ => "two numbers (rows, columns)",
                }
            )),
        }
    }

    /// An attribute of two numbers, 1 where it is absent.
    pub fn steps(&self, n: &Call, name: &str) -> Result<[usize; 2], String> {
        match n.ints(name)? {
            None => Ok([1, 1]),
            Some(v) => self.pair(name, &v, 1..=MAX_STEP, 1),
        }
    }

    /// The same for numbers that may be 0, as they are where it is absent.
    pub fn extras(&self, n: &Call, name: &str) -> Result<[usize; 2], String> {
        match n.ints(name)? {
            None => Ok([0, 0]),
            Some(v) => self.pair(name, &v, 0..=MAX_STEP, 0),
        }
    }

    /// The kernel that weights of these dims have, agreed with `kernel_shape`.
    pub fn kernel(&self, n: &Call, dims: &[usize]) -> Result<[usize; 2], String> {
        let of_weights = match (self.rank, dims) {
            (2, &[_, _, h, w]) => [h, w],
            (1, &[_, _, w]) => [1, w],
            _ => {
                return Err(format!(
                    "its weights are {dims:?}, its input has {} dimensions",
                    self.rank + 2
                ));
            }
        };
        if of_weights.iter().any(|&k| k == 0 || k > MAX_STEP as usize) {
            return Err(format!(
                "its weights are {dims:?}, expected a kernel of 1 to {MAX_STEP}"
            ));
        }
        if n.has("kernel_shape") && self.steps(n, "kernel_shape")? != of_weights {
            return Err(format!(
                "its kernel_shape is not that of its weights {dims:?}"
            ));
        }
        Ok(of_weights)
    }

    /// The explicit padding; `None` where auto_pad says it.
    pub fn pads(&self, n: &Call) -> Result<Padding, String> {
        let Some(v) = n.ints("pads")? else {
            return Ok(Padding::default());
        };
        if !v.iter().all(|p| (0..=MAX_STEP).contains(p)) {
            return Err(format!("its pads {v:?} must be numbers of 0 to {MAX_STEP}"));
        }
        let u: Vec<usize> = v.iter().map(|&p| p as usize).collect();
        match (self.rank, &u[..]) {
            (2, &[top, left, bottom, right]) => Ok(Padding {
                top,
                left,
                bottom,
                right,
            }),
            (1, &[left, right]) => Ok(Padding {
                left,
                right,
                ..Default::default()
            }),
            _ => Err(format!(
                "its pads {v:?} must be {} numbers, begins before ends",
                2 * self.rank
            )),
        }
    }

    /// The node's window, its padding made explicit.
    pub fn window(&self, n: &Call, kernel: [usize; 2]) -> Result<Window, String> {
        let mut w = Window {
            kernel,
            stride: self.steps(n, "strides")?,
            dilation: self.steps(n, "dilations")?,
            pad: Padding::default(),
        };
        let size = [self.shape.h, self.shape.w];
        // Both ends' padding along one axis that makes the output ceil(size / stride).
        let same = |axis: usize, upper: bool| {
            let outputs = size[axis].div_ceil(w.stride[axis]);
            let total = ((outputs - 1) * w.stride[axis] + w.span(axis)).saturating_sub(size[axis]);
            let (small, large) = (total / 2, total - total / 2);
            if upper {
                (small, large)
            } else {
                (large, small)
            }
        };
        match n.string("auto_pad", "NOTSET")? {
            "NOTSET" => w.pad = self.pads(n)?,
            "VALID" => {}
            which @ ("SAME_UPPER" | "SAME_LOWER") => {
                let upper = which == "SAME_UPPER";
                let ((top, bottom), (left, right)) = (same(0, upper), same(1, upper));
                w.pad = Padding {
                    top,
                    left,
                    bottom,
                    right,
                };
            }
            other => {
                return Err(format!(
                    "its auto_pad {other} is not NOTSET, VALID, SAME_UPPER or SAME_LOWER"
                ));
            }
        }
        Ok(w)
    }

    /// A pool's window: rounding its output up becomes padding at the end. The second is the padding before that.
    pub fn pool(&self, n: &Call) -> Result<(Window, Padding), String> {
        if !n.has("kernel_shape") {
            return Err("it has no kernel_shape".into());
        }
        let mut w = self.window(n, self.steps(n, "kernel_shape")?)?;
        let own = w.pad;
        let up = n.int("ceil_mode", 0)? != 0;
        for axis in 0..2 {
            let size = [self.shape.h, self.shape.w][axis];
            let more = more(&w, axis, size).ok_or_else(|| {
                format!(
                    "its kernel {:?} is larger than its padded input {}: use a smaller kernel or a larger image",
                    w.kernel, self.shape
                )
            })?;
            match axis {
                0 if up => w.pad.bottom += more,
                1 if up => w.pad.right += more,
                _ => {}
            }
        }
        Ok((w, own))
    }
}

/// Padding at the end that rounding the output's size up adds; `None` where the kernel does not fit.
pub(crate) fn more(w: &Window, axis: usize, size: usize) -> Option<usize> {
    let [before, after] = w.border(axis);
    let free = (size + before + after).checked_sub(w.span(axis))?;
    let whole = free.div_ceil(w.stride[axis]) * w.stride[axis];
    // A window that would begin behind the input and its border is dropped.
    Some(if whole < size + before {
        whole - free
    } else {
        0
    })
}
