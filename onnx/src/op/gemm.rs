//! Gemm and MatMul with a constant matrix: convolutions whose kernel is the whole input, or 1x1 along one dimension.

use super::{Outcome, one};
use crate::read::array::{Array, walk};
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::{View, merged};
use cnna_net::op::Conv;
use cnna_net::{Activation, Shape, Values, Window};
use std::rc::Rc;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    match n.node.op_type.as_str() {
        "Gemm" => gemm(r, n),
        _ => mat_mul(r, n),
    }
}

fn gemm(r: &mut Reader, n: &Call) -> Outcome {
    let mut view = r.operand(n, 0)?;
    if n.int("transA", 0)? != 0 && view.dims.len() == 2 {
        view = view.transpose(&[1, 0]);
    }
    let view = r.batched(&view)?;
    let b = n.constant(1)?.clone();
    if view.dims.len() != 2 || b.dims.len() != 2 {
        return Err(format!("its inputs are {:?} and {:?}, expected matrices", view.sizes(), b.dims));
    }
    let b = if n.int("transB", 0)? != 0 { b } else { Rc::new(b.transpose(&[1, 0])) };
    let (alpha, beta) = (n.float("alpha", 1.0)?, n.float("beta", 1.0)?);
    let bias = n.optional_constant(2)?.filter(|_| beta != 0.0).cloned();
    let t = whole(r, n, &view, &b, alpha, bias.as_deref().map(|c| (c, beta)))?;
    one(Value::View(View::plain(t, &[r.shape(t).c], view.batch.is_some())))
}

/// Fully connected: every element of the view by `b` [outputs][inputs], whose columns follow the tensor's order.
fn whole(r: &mut Reader, n: &Call, view: &View, b: &Array, alpha: f32, bias: Option<(&Array, f32)>) -> Result<usize, String> {
    let shape = r.shape(view.tensor);
    let &[m, k] = &b.dims[..] else { return Err("its weights are no matrix".into()) };
    if k != shape.len() {
        return Err(format!("its weights are for {k} inputs, its input {:?} has {}", view.sizes(), shape.len()));
    }
    let weights = match view.is_plain() {
        true => r.values(b)?,
        false => {
            let mut column = vec![0; k];
            walk(&view.axes(), 0).enumerate().for_each(|(i, at)| column[at] = i);
            r.values(&b.pick(b.dims.clone(), (0..m).flat_map(|o| column.iter().map(move |c| o * k + c))))?
        }
    };
    let weights = scaled(weights, alpha);
    let bias = match bias {
        None => Values::Reals(vec![0.0; m]),
        Some((c, beta)) => {
            let last = c.dims.last().copied().unwrap_or(1);
            if c.len() != last || ![1, m].contains(&last) {
                return Err(format!("its C has shape {:?}, expected one value an output ({m})", c.dims));
            }
            let one_each = |v: Vec<f32>| if v.len() == m { v } else { vec![v[0]; m] };
            let exact = super::conv::sums(r, c, view.tensor, (&weights, &[])).filter(|v| v.len() == m && beta == 1.0);
            match exact {
                Some(v) => Values::Sums(v),
                None => Values::Reals(one_each(c.finite()?.iter().map(|v| v * beta).collect())),
            }
        }
    };
    let conv = Conv {
        finer: Vec::new(),
        oc: m,
        groups: 1,
        window: Window::plain(shape.h, shape.w),
        weights,
        bias,
        activation: Activation::None,
    };
    r.push(n.label, conv, &[view.tensor])
}

/// The values times a factor; words keep theirs where it is a power of two.
fn scaled(v: Values, factor: f32) -> Values {
    match (v, super::quantize::frac_of(factor)) {
        (v, _) if factor == 1.0 => v,
        (Values::Words(w, frac), Some(f)) => Values::Words(w, frac + f),
        (v, _) => Values::Reals(v.to_reals(0).iter().map(|x| x * factor).collect()),
    }
}

fn mat_mul(r: &mut Reader, n: &Call) -> Outcome {
    match (n.input(0)?, n.input(1)?) {
        (Value::Constant(a), other) => {
            // A x B = (B' x A')': only where B's rows are no batch.
            let (a, view) = (matrix(a)?.transpose(&[1, 0]), r.view(&other.clone(), n.label)?);
            let rank = view.dims.len();
            if rank < 3 {
                return Err("it multiplies a constant by a matrix whose rows are the batch: write x @ W".into());
            }
            let mut swap: Vec<usize> = (0..rank).collect();
            swap.swap(rank - 2, rank - 1);
            let done = along_last(r, n, &view.transpose(&swap), &a)?;
            one(Value::View(done.transpose(&swap)))
        }
        (_, Value::Constant(b)) => {
            let view = r.operand(n, 0)?;
            let vector = b.dims.len() == 1;
            let b = match vector {
                true => Array { dims: vec![b.len(), 1], ..(**b).clone() },
                false => matrix(b)?,
            };
            let mut done = along_last(r, n, &view, &b)?;
            if vector {
                done.dims.pop();
            }
            one(Value::View(done))
        }
        _ => Err("it multiplies two values that images change (attention): such a network is not read; one side must be a constant".into()),
    }
}

/// A matrix with leading dimensions of 1 at most.
fn matrix(a: &Array) -> Result<Array, String> {
    match a.dims[..] {
        [ref first @ .., k, m] if first.iter().all(|&d| d == 1) => Ok(Array { dims: vec![k, m], ..a.clone() }),
        _ => Err(format!("its constant `{}` has shape {:?}, expected a matrix", a.name, a.dims)),
    }
}

/// The view's last dimension by `b` [inputs][outputs].
fn along_last(r: &mut Reader, n: &Call, view: &View, b: &Array) -> Result<View, String> {
    let view = r.batched(view)?;
    let sizes = view.sizes();
    let (last, (k, m)) = (sizes.len() - 1, (b.dims[0], b.dims[1]));
    if sizes.is_empty() || sizes[last] != k || view.batch == Some(last) {
        return Err(format!("its inputs are {sizes:?} and {:?}: the last and the first side must be equal", b.dims));
    }
    let b = b.transpose(&[1, 0]);
    if sizes[..last].iter().all(|&d| d == 1) {
        let t = whole(r, n, &view, &b, 1.0, None)?;
        let mut dims = vec![Vec::new(); last];
        dims.push(merged([(m, 1)]));
        return Ok(View { tensor: t, dims, batch: view.batch, step: None });
    }
    let conv = Conv {
        finer: Vec::new(),
        oc: m,
        groups: 1,
        window: Window::plain(1, 1),
        weights: r.values(&b)?,
        bias: Values::Reals(vec![0.0; m]),
        activation: Activation::None,
    };
    let shape = r.shape(view.tensor);
    let side_of = view.permutation(shape).filter(|s| s[last] == Some(0));
    if let Some(side_of) = side_of {
        let t = r.push(n.label, conv, &[view.tensor])?;
        return Ok(View::of_sides(t, r.shape(t), &side_of, view.batch));
    }
    // The last dimension becomes the channels, all others one row.
    let order: Vec<usize> = std::iter::once(last).chain(0..last).collect();
    let l = shape.len() / k;
    let t = r.ordered(&view.transpose(&order), Shape { c: k, h: 1, w: l }, n.label)?;
    let t = r.push(n.label, conv, &[t])?;
    let rest = View::plain(t, &[&[m], &sizes[..last]].concat(), false);
    let back: Vec<usize> = (1..=last).chain([0]).collect();
    Ok(View { batch: view.batch, ..rest.transpose(&back) })
}
