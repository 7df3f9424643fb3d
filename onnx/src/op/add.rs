//! Add, Sub, Sum and Mean: of tensors, or of a tensor and a constant, which becomes an offset a channel.

use super::{Outcome, Write, one};
use crate::read::array::Array;
use crate::read::formula;
use crate::read::reader::{Call, Reader, Value};
use crate::read::spread::Spread;
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::op::{Add, Concat, Constant, Resize};
use cnna_net::{Activation, Node, Values};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if n.opset < 7 && n.has("axis") {
        return Err("its axis is of operator set 6 and older: convert the model with onnx.version_converter to 13".into());
    }
    let mut all: Vec<Value> = (0..n.inputs.len()).map(|i| n.input(i).cloned()).collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err("it has no input".into());
    }
    let minus = n.node.op_type == "Sub";
    if !minus {
        // What images change comes first: a sum has no order.
        all.sort_by_key(|v| matches!(v, Value::Constant(_)));
    }
    let sum = match plain(r, n, &all)? {
        Some(view) if !minus => Value::View(view),
        _ => {
            let mut sum = all[0].clone();
            for v in &all[1..] {
                sum = two(r, n, &sum, v, minus)?;
            }
            sum
        }
    };
    if n.node.op_type != "Mean" || all.len() == 1 {
        return one(sum);
    }
    let view = r.view(&sum, n.label)?;
    let c = r.shape(view.tensor).c;
    let mean = r.affine(&format!("{}/mean", n.label), &view, vec![1.0 / all.len() as f32; c], vec![0.0; c])?;
    one(Value::View(mean))
}

/// Three and more tensors of one shape and order are one sum, rounded once; constants of that shape among them.
fn plain(r: &mut Reader, n: &Call, all: &[Value]) -> Result<Option<View>, String> {
    let first = match all {
        [Value::View(first), _, _, ..] => first.clone(),
        _ => return Ok(None),
    };
    let same = |v: &Value| match v {
        Value::View(v) => {
            let alike = v.axes() == first.axes() && r.shape(v.tensor) == r.shape(first.tensor);
            alike && v.sizes() == first.sizes() && v.step.is_none()
        }
        Value::Constant(c) => c.dims == first.sizes(),
        Value::Part(..) => false,
    };
    if !all.iter().all(same) {
        return Ok(None);
    }
    let mut inputs = Vec::with_capacity(all.len());
    for v in all {
        let tensor = match v {
            Value::Constant(c) => match r.spread(&first, c)? {
                Spread::Elements(v) => held(r, n, &first, v, c.words())?,
                Spread::Channels(v) => {
                    let plane = r.shape(first.tensor).len() / v.len();
                    let each = v.iter().flat_map(|&x| std::iter::repeat_n(x, plane)).collect();
                    held(r, n, &first, each, c.words())?
                }
            },
            other => r.view(other, n.label)?.tensor,
        };
        inputs.push(tensor);
    }
    let t = r.push(n.label, Add::of(inputs.len()), &inputs)?;
    Ok(Some(first.over(t)))
}

fn two(r: &mut Reader, n: &Call, a: &Value, b: &Value, minus: bool) -> Result<Value, String> {
    let sign = if minus { -1.0 } else { 1.0 };
    match (a, b) {
        (Value::Constant(_), Value::Constant(_)) => Err("both its inputs are constants: fold the model with onnxsim".into()),
        (Value::Part(..), Value::Constant(c)) => {
            let c = f64::from(c.scalar()?);
            r.part(n.label, a, |x| x + f64::from(sign) * c)
        }
        (Value::Constant(c), Value::Part(..)) => {
            let c = f64::from(c.scalar()?);
            r.part(n.label, b, |x| c + f64::from(sign) * x)
        }
        (x, Value::Constant(c)) => offset(r, n, x, c, [1.0, sign]),
        (Value::Constant(c), x) => offset(r, n, x, c, [sign, 1.0]),
        (x, y) => {
            let formulas = formula::joined(&r.formulas_of_value(x), &r.formulas_of_value(y), |x, y| x + f64::from(sign) * y);
            // Parts of one function, else two functions that meet.
            if let (Value::Part(like, _), _) | (_, Value::Part(like, _)) = (x, y)
                && !formulas.is_empty()
            {
                return r.combined(n.label, like.clone(), formulas);
            }
            let (x, y) = (real(r, n, x)?, real(r, n, y)?);
            let (x, y) = alike(r, &x, &y, n.label)?;
            if let Some(v) = r.known(n.label, &x, &formulas)? {
                return Ok(Value::View(v));
            }
            let add = Add { negative: vec![false, minus], activation: Activation::None };
            let t = r.push(n.label, add, &[x.tensor, y.tensor])?;
            r.remember(t, formulas);
            Ok(Value::View(x.over(t)))
        }
    }
}

/// A value as real activations.
pub(super) fn real(r: &mut Reader, n: &Call, v: &Value) -> Result<View, String> {
    let view = r.view(v, n.label)?;
    match view.step {
        None => Ok(view),
        Some(_) => Err("it computes with integers between QuantizeLinear and DequantizeLinear: only QDQ models are read".into()),
    }
}

/// `sign[0] * x + sign[1] * c`.
fn offset(r: &mut Reader, n: &Call, x: &Value, c: &Array, [of_x, of_c]: [f32; 2]) -> Result<Value, String> {
    let view = real(r, n, x)?;
    let view = larger(r, &view, c, n.label)?;
    match r.spread(&view, c)? {
        Spread::Channels(v) => {
            let scale = vec![of_x; v.len()];
            let v = v.iter().map(|v| v * of_c).collect();
            Ok(Value::View(r.affine(n.label, &view, scale, v)?))
        }
        Spread::Elements(v) => {
            let held = held(r, n, &view, v, c.words())?;
            let add = Add { negative: vec![of_x < 0.0, of_c < 0.0], activation: Activation::None };
            let t = r.push(n.label, add, &[view.tensor, held])?;
            Ok(Value::View(view.over(t)))
        }
    }
}

/// A constant of the view's tensor's shape as a tensor that the model holds; `words` are what the file has it as.
pub(super) fn held(
    r: &mut Reader,
    n: &Call,
    view: &View,
    v: Vec<f32>,
    words: Option<(&[i16], i32)>,
) -> Result<usize, String> {
    let values = match words {
        // Exact: every element is a word with these fraction bits.
        Some((_, frac)) => {
            let scale = 2f64.powi(frac);
            Values::Words(v.iter().map(|&x| (f64::from(x) * scale) as i16).collect(), frac)
        }
        None => Values::Reals(v),
    };
    let constant = Constant {
        shape: r.shape(view.tensor),
        values,
    };
    r.push(&format!("{}/constant", n.label), constant, &[])
}

/// The view repeated where the constant is larger.
pub(super) fn larger(r: &mut Reader, view: &View, c: &Array, label: &str) -> Result<View, String> {
    let sizes = view.sizes();
    if c.dims.len() > sizes.len() || c.dims.iter().rev().zip(sizes.iter().rev()).all(|(&c, &s)| c <= s) {
        return Ok(view.clone());
    }
    let mut wanted = sizes;
    for (w, &c) in wanted.iter_mut().rev().zip(c.dims.iter().rev()) {
        *w = c.max(*w);
    }
    expanded(r, view, &wanted, label)
}

/// Two views of one shape and one order; sides of one are repeated.
pub(super) fn alike(r: &mut Reader, a: &View, b: &View, label: &str) -> Result<(View, View), String> {
    let (sa, sb) = (a.sizes(), b.sizes());
    if sa == sb && a.batch == b.batch {
        return r.aligned(a, b, label);
    }
    let rank = sa.len().max(sb.len());
    let fill = |v: &View| {
        let mut dims = vec![Vec::new(); rank - v.dims.len()];
        dims.extend(v.dims.iter().cloned());
        View { dims, batch: v.batch.map(|b| b + rank - v.dims.len()), ..v.clone() }
    };
    let (mut a, mut b) = (fill(a), fill(b));
    if a.batch.is_some() && b.batch.is_some() && a.batch != b.batch {
        return Err(format!("its inputs {sa:?} and {sb:?} have their batches at different dimensions"));
    }
    let batch = a.batch.or(b.batch);
    (a.batch, b.batch) = (batch, batch);
    let wanted: Vec<usize> = a.sizes().iter().zip(b.sizes()).map(|(&x, y)| x.max(y)).collect();
    let a = expanded(r, &a, &wanted, label)?;
    let b = expanded(r, &b, &wanted, label)?;
    r.aligned(&a, &b, label)
}

/// The view with its sides of one repeated.
pub(super) fn expanded(r: &mut Reader, view: &View, wanted: &[usize], label: &str) -> Result<View, String> {
    let sizes = view.sizes();
    if sizes == wanted {
        return Ok(view.clone());
    }
    let fits = sizes.iter().zip(wanted).enumerate().all(|(d, (&s, &w))| s == w || (s == 1 && view.batch != Some(d)));
    if !fits {
        return Err(format!("its inputs {sizes:?} and {wanted:?} do not fit each other"));
    }
    let (view, mut side_of) = r.sided(view, label)?;
    let missing = side_of.iter().zip(&sizes).zip(wanted).any(|((side, s), w)| side.is_none() && s != w);
    let mut tensor = view.tensor;
    if missing {
        // Its tensor has too few sides: as C x 1 x 1 and the like, in the array's order.
        tensor = r.map(&view, label)?;
        side_of = View::plain(tensor, &view.sides(), view.batch.is_some())
            .permutation(r.shape(tensor))
            .filter(|s| s.iter().zip(&sizes).zip(wanted).all(|((side, s), w)| side.is_some() || s == w))
            .ok_or_else(|| format!("its inputs {sizes:?} and {wanted:?} do not fit each other"))?;
    }
    let mut to = r.shape(tensor).sides();
    for (side, &w) in side_of.iter().zip(wanted) {
        if let Some(s) = side {
            to[*s] = w;
        }
    }
    let shape = r.shape(tensor);
    if to[1] != shape.h || to[2] != shape.w {
        let index = |from: usize, to: usize| (0..to as u32).map(|i| if from == to { i } else { 0 }).collect();
        let op = Resize { rows: index(shape.h, to[1]), columns: index(shape.w, to[2]) };
        tensor = r.push(&format!("{label}/expand"), op, &[tensor])?;
    }
    if to[0] != shape.c {
        tensor = r.push(&format!("{label}/expand"), Concat { axis: 0 }, &vec![tensor; to[0]])?;
    }
    Ok(View::of_sides(tensor, r.shape(tensor), &side_of, view.batch))
}

impl Write for Add {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let values: Vec<String> = n.inputs.iter().map(|&t| w.value(t)).collect();
        let node = match (&values[..], &self.negative[..]) {
            ([a], [false]) => w.node("Identity", n, &[a]),
            ([a, b], [false, false]) => w.node("Add", n, &[a, b]),
            ([a, b], [false, true]) | ([b, a], [true, false]) => w.node("Sub", n, &[a, b]),
            _ => {
                let mut terms = Vec::new();
                for (v, &negative) in values.iter().zip(&self.negative) {
                    terms.push(match negative {
                        false => v.clone(),
                        true => {
                            let node = w.node("Neg", n, &[v]);
                            w.step(n, "negative", node)
                        }
                    });
                }
                let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
                w.node("Sum", n, &terms)
            }
        };
        w.activated(n, node, &self.activation)
    }
}
