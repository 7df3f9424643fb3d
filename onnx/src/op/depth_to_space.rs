//! DepthToSpace and SpaceToDepth: views like Reshape, Transpose, Reshape.

use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.view(n.input(0)?, n.label)?;
    let view = r.batched(&view)?;
    let sizes = view.sizes();
    let &[_, c, h, w] = &sizes[..] else {
        return Err(format!("its input has {} dimensions, expected [N, C, H, W]", sizes.len()));
    };
    let b = n.int("blocksize", 0)?;
    let b = usize::try_from(b).ok().filter(|b| (1..1 << 12).contains(b)).ok_or_else(|| format!("its blocksize is {b}"))?;
    let fits = match n.node.op_type.as_str() {
        "DepthToSpace" => c % (b * b) == 0,
        _ => h % b == 0 && w % b == 0,
    };
    if !fits {
        return Err(format!("its blocksize {b} does not divide its input {c}x{h}x{w}"));
    }
    let (first, order, last) = match n.node.op_type.as_str() {
        "SpaceToDepth" => ([1, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], [1, c * b * b, h / b, w / b]),
        _ => {
            let last = [1, c / (b * b), h * b, w * b];
            match n.string("mode", "DCR")? {
                "DCR" => ([1, b, b, c / (b * b), h, w], [0, 3, 4, 1, 5, 2], last),
                "CRD" => ([1, c / (b * b), b, b, h, w], [0, 1, 4, 2, 5, 3], last),
                other => return Err(format!("its mode {other} is not DCR or CRD")),
            }
        }
    };
    let out = r.reshape(&view, &first, Some(0), n.label)?.transpose(&order);
    one(Value::View(r.reshape(&out, &last, Some(0), n.label)?))
}
