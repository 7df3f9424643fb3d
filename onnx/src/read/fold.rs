//! Nodes whose inputs are all constants, computed while the file is read: the arithmetic on shapes that exporters leave in
//! graphs, and constants that are stored in another form.

use super::array::{Array, BATCH, Data, MAX_FILLED, MAX_FOLDED, strides, walk};
use super::reader::{Call, Value, dimension};
use crate::ElementType;
use crate::op::quantize;
use std::rc::Rc;

type Folded = Result<Vec<Array>, String>;

/// True for operators that fold where their inputs are constants.
pub(super) fn folds(operator: &str) -> bool {
    matches!(
        operator,
        "Constant"
            | "ConstantOfShape"
            | "Shape"
            | "Size"
            | "Gather"
            | "Slice"
            | "Concat"
            | "Squeeze"
            | "Unsqueeze"
            | "Cast"
            | "CastLike"
            | "Reshape"
            | "Flatten"
            | "Transpose"
            | "Range"
            | "Identity"
            | "Dropout"
            | "Expand"
            | "Where"
            | "QuantizeLinear"
            | "DequantizeLinear"
            | "ReduceProd"
            | "Split"
            | "Clip"
    ) || unary(operator).is_some()
        || binary(operator).is_some()
}

/// The node's outputs, if all it reads is constant; `None` where it is not, or another kind of operator.
pub(crate) fn fold(n: &mut Call) -> Option<Folded> {
    let operator = n.node.op_type.as_str();
    if operator == "Shape" || operator == "Size" {
        return Some(shape(n));
    }
    if operator == "Constant" {
        return Some(constant(n).map(|a| vec![a]));
    }
    let constant = n
        .inputs
        .iter()
        .flatten()
        .all(|v| matches!(v, Value::Constant(_)));
    if !constant || n.inputs.is_empty() || !folds(operator) {
        return None;
    }
    // What a neighbour's fold computes with has one scale.
    for v in n.inputs.iter_mut().flatten() {
        if let Value::Constant(a) = v {
            *a = a.clone().uniform();
        }
    }
    Some(compute(n).map(|mut all| {
        for a in &mut all {
            if let Some(name) = n.node.output.first() {
                a.name = name.as_str().into();
            }
        }
        all
    }))
}

/// Constant input number `i`, the node's own copy where nobody else reads it: weights are not held twice.
fn take(n: &mut Call, i: usize) -> Result<Array, String> {
    match n.inputs.get_mut(i).and_then(Option::take) {
        Some(Value::Constant(a)) => Ok(Rc::try_unwrap(a).unwrap_or_else(|a| (*a).clone())),
        _ => Err(format!("it has no input {i}")),
    }
}

fn ints(n: &Call, name: &str, i: usize) -> Result<Option<Vec<i64>>, String> {
    n.ints_or_input(name, i)
}

fn compute(n: &mut Call) -> Folded {
    let operator = n.node.op_type.as_str();
    if let Some(f) = unary(operator) {
        let a = take(n, 0)?;
        return Ok(vec![map(a, f)?]);
    }
    if let Some(f) = binary(operator) {
        let (a, b) = (n.constant(0)?, n.constant(1)?);
        return Ok(vec![pairwise(a, b, f)?]);
    }
    Ok(vec![match operator {
        "Identity" | "Dropout" => take(n, 0)?,
        "CastLike" => {
            let to = n.constant(1)?.element;
            cast(take(n, 0)?, to)?
        }
        "Cast" => {
            let to = n.int("to", 0)?;
            let to = ElementType::from_number(to as i32)
                .ok_or_else(|| format!("its element type {to} is not read"))?;
            cast(take(n, 0)?, to)?
        }
        "ConstantOfShape" => constant_of_shape(n)?,
        "Gather" => gather(n.constant(0)?, n.constant(1)?, n.int("axis", 0)?)?,
        "Slice" => {
            let a = n.constant(0)?;
            let parts = crate::op::slice::parts(n, &a.dims)?;
            let strides = strides(&a.dims);
            let first = parts
                .iter()
                .zip(&strides)
                .map(|(p, s)| p.start * s)
                .sum::<usize>();
            let back = parts.iter().any(|p| p.step < 0);
            if back {
                // Rare, and only of small arrays: by position.
                let at = positions(
                    &parts.iter().map(|p| p.count).collect::<Vec<_>>(),
                    |d, i| (p_at(parts[d].start, parts[d].step, i)) * strides[d],
                );
                a.pick(parts.iter().map(|p| p.count).collect(), at.into_iter())
            } else {
                let axes: Vec<_> = parts
                    .iter()
                    .zip(&strides)
                    .map(|(p, s)| (p.count, p.step as usize * s))
                    .collect();
                a.pick(parts.iter().map(|p| p.count).collect(), walk(&axes, first))
            }
        }
        "Split" => return split(n),
        "Concat" => concat(n)?,
        "Squeeze" => {
            let axes = ints(n, "axes", 1)?;
            let mut a = take(n, 0)?;
            let rank = a.dims.len();
            let gone: Vec<usize> = match axes {
                Some(v) => v
                    .iter()
                    .map(|&x| dimension(x, rank))
                    .collect::<Result<_, _>>()?,
                None => (0..rank).filter(|&d| a.dims[d] == 1).collect(),
            };
            if let Some(d) = gone.iter().find(|&&d| a.dims[d] != 1) {
                return Err(format!("its axis {d} is {}, expected 1", a.dims[*d]));
            }
            a.dims = (0..rank)
                .filter(|d| !gone.contains(d))
                .map(|d| a.dims[d])
                .collect();
            a
        }
        "Unsqueeze" => {
            let axes = ints(n, "axes", 1)?.ok_or("it has no axes")?;
            let mut a = take(n, 0)?;
            let rank = a.dims.len() + axes.len();
            let new: Vec<usize> = axes
                .iter()
                .map(|&x| dimension(x, rank))
                .collect::<Result<_, _>>()?;
            let mut old = a.dims.iter().copied();
            a.dims = (0..rank)
                .map(|d| {
                    if new.contains(&d) {
                        1
                    } else {
                        old.next().unwrap_or(1)
                    }
                })
                .collect();
            a
        }
        "Reshape" => {
            let to = ints(n, "shape", 1)?.ok_or("it has no shape")?;
            let keep_zero = n.int("allowzero", 0)? != 0;
            let mut a = take(n, 0)?;
            a.dims = target(&a.dims, &to, keep_zero)?;
            a
        }
        "Flatten" => {
            let axis = n.int("axis", 1)?;
            let mut a = take(n, 0)?;
            let at = if axis == a.dims.len() as i64 {
                a.dims.len()
            } else {
                dimension(axis, a.dims.len())?
            };
            a.dims = vec![a.dims[..at].iter().product(), a.dims[at..].iter().product()];
            a
        }
        "Transpose" => {
            let a = n.constant(0)?;
            let perm = permutation(n, a.dims.len())?;
            a.transpose(&perm)
        }
        "Expand" => {
            let a = n.constant(0)?;
            let to = n.constant(1)?.to_ints()?;
            let to: Vec<usize> = to.iter().map(|&d| size(d)).collect::<Result<_, _>>()?;
            let dims = broadcast(&a.dims, &to)?;
            a.pick(dims.clone(), spread(&a.dims, &dims).into_iter())
        }
        "Where" => {
            let (c, a, b) = (n.constant(0)?, n.constant(1)?, n.constant(2)?);
            let dims = broadcast(&broadcast(&c.dims, &a.dims)?, &b.dims)?;
            let at = [c, a, b].map(|x| spread(&x.dims, &dims));
            let condition = c.to_ints()?;
            let which = |i: usize| condition[at[0][i]] != 0;
            let all = 0..at[0].len();
            let data = match (&a.data, &b.data) {
                (Data::Real(x), Data::Real(y)) => Data::Real(
                    all.map(|i| if which(i) { x[at[1][i]] } else { y[at[2][i]] })
                        .collect(),
                ),
                _ => {
                    let (x, y) = (a.to_ints()?, b.to_ints()?);
                    Data::Int(
                        all.map(|i| if which(i) { x[at[1][i]] } else { y[at[2][i]] })
                            .collect(),
                    )
                }
            };
            Array {
                name: a.name.clone(),
                dims,
                data,
                element: a.element,
                frac: None,
                finer: Vec::new(),
            }
        }
        "Clip" => {
            let (lo, hi) = crate::op::activate::bounds(n)?;
            let a = take(n, 0)?;
            clip(a, lo.into(), hi.into())
        }
        "Range" => range(n)?,
        "ReduceProd" => {
            let a = n.constant(0)?;
            let all = a.to_ints()?;
            let product =
                all.iter().try_fold(
                    1i64,
                    |p, &v| if v == BATCH { None } else { p.checked_mul(v) },
                );
            let product = product.ok_or("it computes with the batch size, which is open")?;
            let rank = if n.int("keepdims", 1)? != 0 {
                a.dims.len()
            } else {
                0
            };
            if a.dims.len() > 1 {
                return Err(
                    "its input has more than one dimension: fold the model with onnxsim".into(),
                );
            }
            Array::ints("", vec![1; rank], vec![product])
        }
        "QuantizeLinear" => quantize::quantise_constant(n)?,
        "DequantizeLinear" => {
            let how = quantize::Parameters::of(n)?;
            let a = take(n, 0)?;
            quantize::dequantise_constant(a, &how)?
        }
        other => {
            return Err(format!(
                "{other} of constants is not folded: fold the model with onnxsim"
            ));
        }
    }])
}

fn p_at(start: usize, step: i64, i: usize) -> usize {
    (start as i64 + step * i as i64) as usize
}

fn size(d: i64) -> Result<usize, String> {
    match d {
        BATCH => Err("it makes a tensor of the batch's size, which is open: export the model with a batch of 1".into()),
        d => usize::try_from(d).map_err(|_| format!("a size of {d}")),
    }
}

/// Offsets of an array of `counts`, from each dimension's own offsets.
fn positions(counts: &[usize], at: impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let mut all = vec![0];
    for (d, &count) in counts.iter().enumerate() {
        all = all
            .iter()
            .flat_map(|&base| (0..count).map(|i| base + at(d, i)).collect::<Vec<_>>())
            .collect();
    }
    all
}

/// Dims of a Reshape: 0 copies, -1 is what remains.
fn target(from: &[usize], to: &[i64], keep_zero: bool) -> Result<Vec<usize>, String> {
    let bad = || format!("{from:?} cannot become {to:?}");
    let len: usize = from.iter().product();
    let mut dims = Vec::new();
    for (i, &d) in to.iter().enumerate() {
        dims.push(match d {
            -1 => 1,
            0 if !keep_zero => *from.get(i).ok_or_else(bad)?,
            d => usize::try_from(d).map_err(|_| bad())?,
        });
    }
    let known = dims
        .iter()
        .try_fold(1usize, |a, &d| a.checked_mul(d))
        .ok_or_else(bad)?;
    if let Some(free) = to.iter().position(|&d| d == -1) {
        dims[free] = len.checked_div(known).ok_or_else(bad)?;
    }
    match dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d)) {
        Some(n) if n == len => Ok(dims),
        _ => Err(bad()),
    }
}

/// The order of a Transpose of that rank; without one it is reversed.
pub(crate) fn permutation(n: &Call, rank: usize) -> Result<Vec<usize>, String> {
    let Some(perm) = n.ints("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let all: Vec<usize> = perm
        .iter()
        .map(|&p| dimension(p, rank))
        .collect::<Result<_, _>>()?;
    let whole = all.len() == rank && (0..rank).all(|d| all.contains(&d));
    whole
        .then_some(all)
        .ok_or_else(|| format!("its perm {perm:?} is no order of {rank} dimensions"))
}

fn shape(n: &Call) -> Folded {
    let (dims, batch) = match n.input(0)? {
        Value::Constant(a) => (a.dims.clone(), None),
        Value::View(v) | Value::Part(v, _) => (v.sizes(), v.batch),
    };
    let mut all: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    if let Some(b) = batch {
        all[b] = n.batch.map_or(BATCH, |b| b as i64);
    }
    let name = n.node.output.first().map_or("", |s| s);
    if n.node.op_type == "Size" {
        let product = all.iter().try_fold(
            1i64,
            |p, &v| if v == BATCH { None } else { p.checked_mul(v) },
        );
        let product = product.ok_or("it computes with the batch size, which is open")?;
        return Ok(vec![Array::ints(name, vec![], vec![product])]);
    }
    let rank = all.len() as i64;
    let bound = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (bound(n.int("start", 0)?), bound(n.int("end", rank)?));
    let part = all.get(start..end).unwrap_or_default().to_vec();
    Ok(vec![Array::ints(name, vec![part.len()], part)])
}

fn constant(n: &Call) -> Result<Array, String> {
    let name = n.node.output.first().map_or("", |s| s);
    if let Some(t) = n.raw("value").and_then(|a| a.t.as_ref()) {
        return Array::load(name, t, None);
    }
    if let Some(v) = n.ints("value_ints")? {
        return Ok(Array::ints(name, vec![v.len()], v));
    }
    if let Some(v) = n.floats("value_floats")? {
        return Ok(Array::reals(name, vec![v.len()], v));
    }
    if n.has("value_int") {
        return Ok(Array::ints(name, vec![], vec![n.int("value_int", 0)?]));
    }
    if n.has("value_float") {
        return Ok(Array::reals(
            name,
            vec![],
            vec![n.float("value_float", 0.0)?],
        ));
    }
    Err("it has none of value, value_int, value_ints, value_float, value_floats".into())
}

fn constant_of_shape(n: &Call) -> Result<Array, String> {
    let dims = n.constant(0)?.to_ints()?;
    let dims: Vec<usize> = dims.iter().map(|&d| size(d)).collect::<Result<_, _>>()?;
    let len = dims
        .iter()
        .try_fold(1usize, |a, &d| a.checked_mul(d))
        .filter(|&l| l <= MAX_FILLED);
    let len = len.ok_or_else(|| {
        format!("a constant of shape {dims:?} has more than {MAX_FILLED} elements")
    })?;
    let value = match n.raw("value").and_then(|a| a.t.as_ref()) {
        Some(t) => Array::load("value", t, None)?,
        None => Array::reals("value", vec![1], vec![0.0]),
    };
    if value.len() != 1 {
        return Err("its value is not one element".into());
    }
    Ok(value.pick(dims, std::iter::repeat_n(0, len)))
}

fn gather(a: &Array, index: &Array, axis: i64) -> Result<Array, String> {
    let axis = dimension(axis, a.dims.len())?;
    let side = a.dims[axis];
    let index_dims = &index.dims;
    let index: Vec<usize> = index
        .to_ints()?
        .iter()
        .map(|&i| dimension(i, side))
        .collect::<Result<_, _>>()?;
    let inner: usize = a.dims[axis + 1..].iter().product();
    let outer: usize = a.dims[..axis].iter().product();
    let dims = [&a.dims[..axis], index_dims, &a.dims[axis + 1..]].concat();
    if outer
        .checked_mul(inner)
        .and_then(|n| n.checked_mul(index.len()))
        .is_none_or(|n| n > MAX_FOLDED.max(a.len()))
    {
        return Err(format!(
            "its result {dims:?} is larger than {MAX_FOLDED} elements"
        ));
    }
    let at = (0..outer).flat_map(|o| {
        index
            .iter()
            .flat_map(move |&i| (0..inner).map(move |k| (o * side + i) * inner + k))
    });
    Ok(a.pick(dims, at))
}

fn split(n: &Call) -> Folded {
    let a = n.constant(0)?;
    let axis = dimension(n.int("axis", 0)?, a.dims.len())?;
    let counts = crate::op::split::counts(n, a.dims[axis])?;
    let strides = strides(&a.dims);
    let mut start = 0;
    Ok(counts
        .iter()
        .map(|&count| {
            let mut dims = a.dims.clone();
            dims[axis] = count;
            let axes: Vec<_> = dims.iter().copied().zip(strides.iter().copied()).collect();
            let part = a.pick(dims, walk(&axes, start * strides[axis]));
            start += count;
            part
        })
        .collect())
}

fn concat(n: &Call) -> Result<Array, String> {
    let all: Vec<&Rc<Array>> = (0..n.inputs.len())
        .map(|i| n.constant(i))
        .collect::<Result<_, _>>()?;
    let first = all[0];
    let axis = dimension(n.int("axis", 0)?, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for a in &all {
        let fits = a.dims.len() == dims.len()
            && (0..dims.len()).all(|d| d == axis || a.dims[d] == dims[d]);
        if !fits {
            return Err(format!(
                "its inputs {:?} and {:?} differ beside axis {axis}",
                first.dims, a.dims
            ));
        }
        dims[axis] = dims[axis].saturating_add(a.dims[axis]);
    }
    let outer: usize = dims[..axis].iter().product();
    fn join<T: Copy>(parts: &[&[T]], outer: usize) -> Vec<T> {
        let mut out = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
        for o in 0..outer {
            for p in parts {
                let part = p.len() / outer;
                out.extend_from_slice(&p[o * part..(o + 1) * part]);
            }
        }
        out
    }
    let frac = first
        .frac
        .filter(|f| all.iter().all(|a| a.frac == Some(*f)));
    let plain = all.iter().all(|a| a.frac.is_none()) || frac.is_some();
    let data = if all.iter().all(|a| matches!(a.data, Data::Int(_))) && plain {
        Data::Int(join(
            &all.iter()
                .map(|a| a.to_ints())
                .collect::<Result<Vec<_>, _>>()?
                .iter()
                .map(|v| &v[..])
                .collect::<Vec<_>>(),
            outer,
        ))
    } else if all.iter().all(|a| matches!(a.data, Data::Small(_))) && plain {
        let parts: Vec<&[i16]> = all
            .iter()
            .filter_map(|a| {
                if let Data::Small(v) = &a.data {
                    Some(&v[..])
                } else {
                    None
                }
            })
            .collect();
        Data::Small(join(&parts, outer))
    } else {
        let parts: Vec<Vec<f32>> = all.iter().map(|a| a.to_reals()).collect();
        return Ok(Array::reals(
            "",
            dims,
            join(&parts.iter().map(|v| &v[..]).collect::<Vec<_>>(), outer),
        ));
    };
    Ok(Array {
        name: first.name.clone(),
        dims,
        data,
        element: first.element,
        frac,
        finer: Vec::new(),
    })
}

fn cast(a: Array, to: ElementType) -> Result<Array, String> {
    let data = match (a.data, to) {
        (Data::Real(v), t) if t.is_float() => Data::Real(v),
        (Data::Real(v), ElementType::Bool) => {
            Data::Int(v.iter().map(|&x| i64::from(x != 0.0)).collect())
        }
        (Data::Real(v), _) => Data::Int(v.iter().map(|&x| x as i64).collect()),
        (Data::Small(v), t) if t.is_float() && a.frac.is_none() => {
            Data::Real(v.iter().map(|&q| f32::from(q)).collect())
        }
        (Data::Int(v), t) if t.is_float() && a.frac.is_none() => {
            Data::Real(v.iter().map(|&q| q as f32).collect())
        }
        // Reals held as integers with a format stay so: a cast between floats changes nothing here.
        (data, t) if a.frac.is_some() && t.is_float() => {
            return Ok(Array {
                data,
                ..Array::reals(&a.name, a.dims, Vec::new())
            }
            .with_frac(a.frac, a.element));
        }
        (Data::Int(v), ElementType::Bool) => {
            Data::Int(v.iter().map(|&x| i64::from(x != 0)).collect())
        }
        (Data::Small(v), ElementType::I8 | ElementType::U8 | ElementType::I16) => Data::Small(v),
        (Data::Small(v), _) => Data::Int(v.iter().map(|&q| q.into()).collect()),
        (Data::Int(v), ElementType::I8 | ElementType::U8 | ElementType::I16) => Data::Small(
            v.iter()
                .map(|&q| q.clamp(i16::MIN.into(), i16::MAX.into()) as i16)
                .collect(),
        ),
        (data, _) => data,
    };
    Ok(Array {
        name: a.name,
        dims: a.dims,
        data,
        element: to,
        frac: None,
        finer: Vec::new(),
    })
}

/// `min(hi, max(lo, x))`; integers stay what they are, as between the Q and the DQ of a weight.
fn clip(a: Array, lo: f64, hi: f64) -> Array {
    let bounded = |x: f64| x.max(lo).min(hi);
    let data = match a.data {
        Data::Real(v) => Data::Real(v.iter().map(|&x| bounded(x.into()) as f32).collect()),
        Data::Small(v) if a.frac.is_none() => {
            Data::Small(v.iter().map(|&q| bounded(q.into()) as i16).collect())
        }
        Data::Int(v) if a.frac.is_none() => {
            Data::Int(v.iter().map(|&q| bounded(q as f64) as i64).collect())
        }
        data => {
            let a = Array { data, ..a };
            let all = a
                .to_reals()
                .iter()
                .map(|&x| bounded(x.into()) as f32)
                .collect();
            return Array::reals(&a.name, a.dims.clone(), all);
        }
    };
    Array { data, ..a }
}

impl Array {
    fn with_frac(self, frac: Option<i32>, element: ElementType) -> Self {
        Array {
            frac,
            element,
            ..self
        }
    }
}

fn range(n: &Call) -> Result<Array, String> {
    let [start, limit, delta] = [n.constant(0)?, n.constant(1)?, n.constant(2)?];
    if let (Data::Int(s), Data::Int(l), Data::Int(d)) = (&start.data, &limit.data, &delta.data) {
        let (&[s], &[l], &[d]) = (&s[..], &l[..], &d[..]) else {
            return Err("its inputs are not one element each".into());
        };
        if d == 0 || s == BATCH || l == BATCH {
            return Err("its step is 0, or its end is the batch's size".into());
        }
        let sign = i128::from(d.signum());
        let (way, step) = ((i128::from(l) - i128::from(s)) * sign, i128::from(d) * sign);
        let count = (way + step - 1).div_euclid(step);
        let count = usize::try_from(count.max(0))
            .ok()
            .filter(|&c| c <= MAX_FOLDED)
            .ok_or("its result is too long")?;
        let all: Vec<i64> = (0..count)
            .map(|i| s.wrapping_add(d.wrapping_mul(i as i64)))
            .collect();
        return Ok(Array::ints("", vec![all.len()], all));
    }
    let (s, l, d) = (start.scalar()?, limit.scalar()?, delta.scalar()?);
    let count = ((l - s) / d).ceil();
    if !count.is_finite() || count > MAX_FOLDED as f32 {
        return Err("its result is too long".into());
    }
    let all: Vec<f32> = (0..count.max(0.0) as usize)
        .map(|i| s + i as f32 * d)
        .collect();
    Ok(Array::reals("", vec![all.len()], all))
}

/// An operator on integers, where it has one, and on reals.
type Unary = (Option<fn(i64) -> i64>, fn(f64) -> f64);

fn unary(operator: &str) -> Option<Unary> {
    Some(match operator {
        "Neg" => (Some(i64::wrapping_neg), |x| -x),
        "Abs" => (Some(i64::wrapping_abs), f64::abs),
        "Floor" => (None, f64::floor),
        "Ceil" => (None, f64::ceil),
        "Round" => (None, f64::round_ties_even),
        "Sqrt" => (None, f64::sqrt),
        "Reciprocal" => (None, |x| 1.0 / x),
        "Exp" => (None, f64::exp),
        "Log" => (None, f64::ln),
        "Not" => (Some(|x| i64::from(x == 0)), |x| {
            f64::from(u8::from(x == 0.0))
        }),
        "Relu" => (Some(|x| x.max(0)), |x| x.max(0.0)),
        "Sigmoid" => (None, |x| 1.0 / (1.0 + (-x).exp())),
        "Tanh" => (None, f64::tanh),
        _ => return None,
    })
}

fn map(a: Array, (on_ints, on_reals): Unary) -> Result<Array, String> {
    let data = match (&a.data, on_ints) {
        (Data::Int(v), Some(f)) if a.frac.is_none() => {
            if v.contains(&BATCH) {
                return Err("it computes with the batch size, which is open".into());
            }
            Data::Int(v.iter().map(|&x| f(x)).collect())
        }
        (Data::Small(v), Some(f)) if a.frac.is_none() => {
            Data::Int(v.iter().map(|&x| f(x.into())).collect())
        }
        // Floor and Ceil of integers that were cast to floats and of the open batch alike.
        _ => Data::Real(
            a.to_reals()
                .iter()
                .map(|&x| on_reals(x.into()) as f32)
                .collect(),
        ),
    };
    let element = if matches!(data, Data::Real(_)) {
        ElementType::F32
    } else {
        ElementType::I64
    };
    Ok(Array {
        data,
        element,
        frac: None,
        ..a
    })
}

/// An operator on integers (`None`: a division by zero or an overflow) and on reals; true when it compares.
type Binary = (fn(i64, i64) -> Option<i64>, fn(f64, f64) -> f64, bool);

fn binary(operator: &str) -> Option<Binary> {
    fn yes(b: bool) -> f64 {
        f64::from(u8::from(b))
    }
    Some(match operator {
        "Add" => (i64::checked_add, |a, b| a + b, false),
        "Sub" => (i64::checked_sub, |a, b| a - b, false),
        "Mul" => (i64::checked_mul, |a, b| a * b, false),
        "Div" => (i64::checked_div, |a, b| a / b, false),
        "Mod" => (i64::checked_rem_euclid, |a, b| a % b, false),
        "Pow" => (
            |a, b| a.checked_pow(u32::try_from(b).ok()?),
            f64::powf,
            false,
        ),
        "Max" => (|a, b| Some(a.max(b)), f64::max, false),
        "Min" => (|a, b| Some(a.min(b)), f64::min, false),
        "Equal" => (|a, b| Some((a == b).into()), |a, b| yes(a == b), true),
        "Greater" => (|a, b| Some((a > b).into()), |a, b| yes(a > b), true),
        "Less" => (|a, b| Some((a < b).into()), |a, b| yes(a < b), true),
        "And" => (
            |a, b| Some((a != 0 && b != 0).into()),
            |a, b| yes(a != 0.0 && b != 0.0),
            true,
        ),
        "Or" => (
            |a, b| Some((a != 0 || b != 0).into()),
            |a, b| yes(a != 0.0 || b != 0.0),
            true,
        ),
        _ => return None,
    })
}

/// The common shape of two arrays. Errors: they do not fit each other.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let side = |v: &[usize], d: usize| (d + v.len()).checked_sub(rank).map_or(1, |i| v[i]);
    let dims: Result<Vec<usize>, String> = (0..rank)
        .map(|d| match (side(a, d), side(b, d)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("shapes {a:?} and {b:?} do not fit each other")),
        })
        .collect();
    let dims = dims?;
    match dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
        Some(n) if n <= MAX_FOLDED.max(a.iter().product::<usize>().max(b.iter().product())) => {
            Ok(dims)
        }
        _ => Err(format!("shapes {a:?} and {b:?} make too many elements")),
    }
}

/// Where the elements of an array of shape `to` lie in the smaller one.
fn spread(from: &[usize], to: &[usize]) -> Vec<usize> {
    let strides = strides(from);
    let skip = to.len() - from.len();
    let axes: Vec<_> = to
        .iter()
        .enumerate()
        .map(|(d, &n)| match d.checked_sub(skip) {
            Some(i) if from[i] != 1 => (n, strides[i]),
            _ => (n, 0),
        })
        .collect();
    walk(&axes, 0).collect()
}

fn pairwise(a: &Array, b: &Array, (on_ints, on_reals, compares): Binary) -> Result<Array, String> {
    let dims = broadcast(&a.dims, &b.dims)?;
    let (at, bt) = (spread(&a.dims, &dims), spread(&b.dims, &dims));
    let real = |x: &Array| matches!(x.data, Data::Real(_)) || x.frac.is_some();
    if !real(a) && !real(b) {
        let (x, y) = (a.to_ints()?, b.to_ints()?);
        let open = |v: &[i64]| v.contains(&BATCH);
        // The open batch equals nothing but itself, which tf2onnx and PyTorch ask in Equal.
        if (open(&x) || open(&y)) && !compares {
            return Err("it computes with the batch size, which is open: export the model with a batch of 1".into());
        }
        let all: Option<Vec<i64>> = at
            .iter()
            .zip(&bt)
            .map(|(&i, &j)| on_ints(x[i], y[j]))
            .collect();
        let all = all.ok_or("it divides by zero or overflows")?;
        return Ok(Array::ints("", dims, all));
    }
    let (x, y) = (a.to_reals(), b.to_reals());
    let all = at
        .iter()
        .zip(&bt)
        .map(|(&i, &j)| on_reals(x[i].into(), y[j].into()));
    Ok(match compares {
        true => Array::ints("", dims, all.map(|v| v as i64).collect()),
        false => Array::reals("", dims, all.map(|v| v as f32).collect()),
    })
}
