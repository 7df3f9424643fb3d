//! Kernel, stride, dilation and padding of Conv and MaxPool, auto_pad included.

use super::error::ImportError;
use super::graph::Graph;
use cnna_machine::layer::{Padding, Shape, Window};

/// Largest kernel, stride, dilation or padding read: far beyond any network, small enough that no sum overflows.
const MAX_STEP: i64 = 1 << 16;
/// Most elements of one activation tensor: far beyond any buffer, so that a damaged file cannot ask for all memory.
const MAX_ELEMENTS: usize = 1 << 28;

/// Two numbers (rows, columns) from an attribute; `default` where it is absent.
pub(super) fn pair(
    g: &Graph,
    index: usize,
    name: &str,
    default: [usize; 2],
) -> Result<[usize; 2], ImportError> {
    match g.node(index).ints(name)? {
        None => Ok(default),
        Some(&[a, b]) if (1..=MAX_STEP).contains(&a) && (1..=MAX_STEP).contains(&b) => {
            Ok([a as usize, b as usize])
        }
        Some(v) => Err(g.refuse(
            index,
            format!("{name} {v:?} must be two numbers (rows, columns) of 1 to {MAX_STEP}"),
        )),
    }
}

/// The node's window over a map of shape `input`, its padding made explicit.
pub(super) fn window(
    g: &Graph,
    index: usize,
    kernel: [usize; 2],
    input: Shape,
) -> Result<Window, ImportError> {
    let node = g.node(index);
    let mut w = Window {
        kernel,
        stride: pair(g, index, "strides", [1, 1])?,
        dilation: pair(g, index, "dilations", [1, 1])?,
        pad: Padding::default(),
    };
    let size = [input.h, input.w];
    // Both ends' padding along one axis that makes the output ceil(size / stride).
    let same = |axis: usize, upper: bool| {
        let span = w.dilation[axis] * (kernel[axis] - 1) + 1;
        let outputs = size[axis].div_ceil(w.stride[axis]);
        let total = ((outputs - 1) * w.stride[axis] + span).saturating_sub(size[axis]);
        let (small, large) = (total / 2, total - total / 2);
        if upper {
            (small, large)
        } else {
            (large, small)
        }
    };
    let auto_pad = node.string("auto_pad", "NOTSET")?;
    match auto_pad {
        "NOTSET" => {
            w.pad = match node.ints("pads")? {
                None => Padding::default(),
                Some(&[top, left, bottom, right])
                    if [top, left, bottom, right]
                        .iter()
                        .all(|p| (0..=MAX_STEP).contains(p)) =>
                {
                    Padding {
                        top: top as usize,
                        left: left as usize,
                        bottom: bottom as usize,
                        right: right as usize,
                    }
                }
                Some(v) => {
                    return Err(g.refuse(
                        index,
                        format!("pads {v:?} must be four numbers (top, left, bottom, right) of 0 to {MAX_STEP}"),
                    ));
                }
            };
        }
        "VALID" => {}
        "SAME_UPPER" | "SAME_LOWER" => {
            let ((top, bottom), (left, right)) = (
                same(0, auto_pad == "SAME_UPPER"),
                same(1, auto_pad == "SAME_UPPER"),
            );
            w.pad = Padding {
                top,
                left,
                bottom,
                right,
            };
        }
        other => {
            return Err(g.refuse(
                index,
                format!("auto_pad {other} is not NOTSET, VALID, SAME_UPPER or SAME_LOWER"),
            ));
        }
    }
    Ok(w)
}

/// Shape behind the window with `c` channels. Errors: the kernel is larger than the padded map, or the map is absurd.
pub(super) fn output(
    g: &Graph,
    index: usize,
    w: &Window,
    c: usize,
    input: Shape,
) -> Result<Shape, ImportError> {
    let [oh, ow] = w.output(input.h, input.w).ok_or_else(|| {
        g.refuse(
            index,
            format!(
                "its kernel {:?} is larger than its padded input {input}",
                w.kernel
            ),
        )
    })?;
    checked(Shape { c, h: oh, w: ow }).ok_or_else(|| {
        g.refuse(
            index,
            format!("its output {c}x{oh}x{ow} is larger than {MAX_ELEMENTS} elements"),
        )
    })
}

/// The shape, if it is not empty and its elements can be counted and stored.
pub(super) fn checked(s: Shape) -> Option<Shape> {
    let len = s.c.checked_mul(s.h)?.checked_mul(s.w)?;
    (1..=MAX_ELEMENTS).contains(&len).then_some(s)
}

/// MaxPool's window. Errors: ceil_mode that adds a row or column, padding that covers a whole kernel, column-major order.
pub(super) fn max_pool(g: &Graph, index: usize, input: Shape) -> Result<Window, ImportError> {
    let node = g.node(index);
    if node.attribute("kernel_shape").is_none() {
        return Err(g.refuse(index, "it has no kernel_shape"));
    }
    let w = window(g, index, pair(g, index, "kernel_shape", [1, 1])?, input)?;
    let (size, pads) = (
        [input.h, input.w],
        [[w.pad.top, w.pad.bottom], [w.pad.left, w.pad.right]],
    );
    for axis in 0..2 {
        let span = w.dilation[axis] * (w.kernel[axis] - 1) + 1;
        if pads[axis].iter().any(|&p| p >= span) {
            return Err(g.refuse(index, "its padding must be smaller than its kernel"));
        }
        let free = (size[axis] + pads[axis][0] + pads[axis][1]).saturating_sub(span);
        if node.int("ceil_mode", 0)? != 0 && free % w.stride[axis] != 0 {
            return Err(g.refuse(
                index,
                format!("ceil_mode 1 adds an output beyond its {input} input: use ceil_mode 0 and explicit pads"),
            ));
        }
    }
    Ok(w)
}
