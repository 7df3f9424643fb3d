//! Mul and Div: by constants, which become a scale a channel, and by a gate.

use super::add::{alike, expanded, held, larger, real};
use super::{Outcome, Write, one};
use crate::read::array::Array;
use crate::read::formula;
use crate::read::reader::{Call, Reader, Value};
use crate::read::spread::Spread;
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use cnna_net::Node;
use cnna_net::op::Mul;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if n.opset < 7 && n.has("axis") {
        return Err("its axis is of operator set 6 and older: convert the model with onnx.version_converter to 13".into());
    }
    let (a, b) = (n.input(0)?.clone(), n.input(1)?.clone());
    let divides = n.node.op_type == "Div";
    let f = |x: f64, y: f64| if divides { x / y } else { x * y };
    one(match (&a, &b) {
        (Value::Constant(_), Value::Constant(_)) => return Err("both its inputs are constants: fold the model with onnxsim".into()),
        (Value::Part(..), Value::Constant(c)) => {
            let c = f64::from(c.scalar()?);
            r.part(n.label, &a, |x| f(x, c))?
        }
        (Value::Constant(c), x) if divides || matches!(x, Value::Part(..)) => {
            let c = f64::from(c.scalar()?);
            r.part(n.label, &b, |x| f(c, x))?
        }
        (x, Value::Constant(c)) | (Value::Constant(c), x) => scale(r, n, x, c, divides)?,
        (x, y) => {
            let formulas = formula::joined(&r.formulas_of_value(x), &r.formulas_of_value(y), f);
            // Parts of one function, else two functions that meet.
            if let (Value::Part(like, _), _) | (_, Value::Part(like, _)) = (x, y)
                && !formulas.is_empty()
            {
                return one(r.combined(n.label, like.clone(), formulas)?);
            }
            if divides {
                return Err("it divides by what images change: only division by constants is read".into());
            }
            let (x, y) = (real(r, n, x)?, real(r, n, y)?);
            if let Some(v) = r.known(n.label, &x, &formulas)? {
                return one(Value::View(v));
            }
            let v = product(r, n, x, y)?;
            r.remember(v.tensor, formulas);
            Value::View(v)
        }
    })
}

/// The view times (or divided by) a constant.
fn scale(r: &mut Reader, n: &Call, x: &Value, c: &Array, divides: bool) -> Result<Value, String> {
    let view = real(r, n, x)?;
    let view = larger(r, &view, c, n.label)?;
    let factor = |v: &f32| if divides { 1.0 / v } else { *v };
    let (channels, v) = match r.spread(&view, c)? {
        Spread::Channels(v) => (true, v),
        Spread::Elements(v) => (false, v),
    };
    let v: Vec<f32> = v.iter().map(factor).collect();
    if v.iter().any(|x| !x.is_finite()) {
        return Err(format!("its constant `{}` holds a zero to divide by", c.name));
    }
    if channels {
        let offset = vec![0.0; v.len()];
        return Ok(Value::View(r.affine(n.label, &view, v, offset)?));
    }
    let words = c.words().filter(|_| !divides);
    let gate = held(r, n, &view, v, words)?;
    let t = r.push(n.label, Mul {}, &[view.tensor, gate])?;
    Ok(Value::View(view.over(t)))
}

fn product(r: &mut Reader, n: &Call, x: View, y: View) -> Result<View, String> {
    let (sx, sy) = (x.sizes(), y.sizes());
    if sx == sy && x.batch == y.batch {
        let (x, y) = r.aligned(&x, &y, n.label)?;
        let t = r.push(n.label, Mul {}, &[x.tensor, y.tensor])?;
        return Ok(x.over(t));
    }
    let gates = |s: &[usize], g: &[usize]| s.len() == g.len() && s.iter().zip(g).all(|(s, g)| g == s || *g == 1);
    let (whole, gate) = match (gates(&sx, &sy), gates(&sy, &sx)) {
        (true, _) => (x, y),
        (_, true) => (y, x),
        _ => {
            let (x, y) = alike(r, &x, &y, n.label)?;
            let t = r.push(n.label, Mul {}, &[x.tensor, y.tensor])?;
            return Ok(x.over(t));
        }
    };
    let (mut whole, mut side_of) = r.sided(&whole, n.label)?;
    let (mut gate, gate_side) = r.sided(&gate, n.label)?;
    let agree = |a: &[Option<usize>], b: &[Option<usize>], sizes: &[usize]| {
        a.iter().zip(b).zip(sizes).all(|((a, b), &s)| s == 1 || a == b)
    };
    if !agree(&side_of, &gate_side, &gate.sizes()) {
        for v in [&mut whole, &mut gate] {
            let t = r.map(v, n.label)?;
            *v = View::plain(t, &v.sides(), v.batch.is_some());
        }
        side_of = whole.permutation(r.shape(whole.tensor)).unwrap_or_default();
        let gate_side = gate.permutation(r.shape(gate.tensor)).unwrap_or_default();
        if side_of.is_empty() || !agree(&side_of, &gate_side, &gate.sizes()) {
            gate = expanded(r, &gate, &whole.sizes(), n.label)?;
        }
    }
    let t = r.push(n.label, Mul {}, &[whole.tensor, gate.tensor])?;
    Ok(whole.over(t))
}

impl Write for Mul {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let node = w.node("Mul", n, &[&w.value(n.inputs[0]), &w.value(n.inputs[1])]);
        w.finish(n, node);
        Ok(())
    }
}
