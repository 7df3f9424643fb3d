//! Functions of one value that have an operator of their own.

use super::{Outcome, Write, one};
use crate::read::formula;
use crate::read::reader::{Call, Reader, Value};
use crate::read::spread::Spread;
use crate::read::view::View;
use crate::write::{WriteError, Writer};
use crate::NodeProto;
use cnna_net::activation::{Function, SMALLEST};
use cnna_net::op::Activate;
use cnna_net::{Activation, Node, Values};

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let operator = n.node.op_type.as_str();
    let function = match operator {
        "Relu" | "Clip" => {
            let (lo, hi) = match operator {
                "Relu" => (0.0, f32::INFINITY),
                _ => bounds(n)?,
            };
            return one(clip(r, n, lo, hi)?);
        }
        "LeakyRelu" => leaky(n.float("alpha", 0.01)?)?,
        "PRelu" => {
            let view = r.operand(n, 0)?;
            match r.spread(&view, &n.constant(1)?.clone())? {
                Spread::Channels(v) if v.iter().all(|s| *s == v[0]) => leaky(v[0])?,
                Spread::Channels(v) => {
                    v.iter().try_for_each(|&s| leaky(s).map(drop))?;
                    Activation::PRelu(Values::Reals(v))
                }
                Spread::Elements(_) => return Err("its slopes differ inside a channel: use one slope a channel".into()),
            }
        }
        "Sigmoid" => Activation::Table(Function::Sigmoid),
        "Tanh" => Activation::Table(Function::Tanh),
        "HardSigmoid" => Activation::Table(Function::HardSigmoid {
            alpha: n.float("alpha", 0.2)?,
            beta: n.float("beta", 0.5)?,
        }),
        "HardSwish" => Activation::Table(Function::HardSwish),
        "Swish" if n.float("alpha", 1.0)? == 1.0 => Activation::Table(Function::Silu),
        "Swish" => return Err("its alpha is not 1: use SiLU".into()),
        "Gelu" => Activation::Table(Function::Gelu),
        _ => Activation::Table(Function::Mish),
    };
    if let (Value::Part(..), Activation::Table(f)) = (n.input(0)?, &function) {
        let v = n.input(0)?.clone();
        return one(r.part(n.label, &v, |x| f.of(x))?);
    }
    let view = r.operand(n, 0)?;
    let out = r.activate(n.label, function.clone(), &view)?;
    if let Activation::Table(f) = function {
        let formulas = formula::through(&r.formulas_of(view.tensor), |x| f.of(x));
        r.remember(out.tensor, formulas);
    }
    one(Value::View(out))
}

fn leaky(slope: f32) -> Result<Activation, String> {
    match slope {
        0.0 => Ok(Activation::Relu),
        s if s.abs() <= 1.0 => Ok(Activation::Leaky(s)),
        s => Err(format!("its slope {s} must be between -1 and 1")),
    }
}

/// Least and largest of a Clip, by attribute or input. Errors: NaN, or no constant.
pub(crate) fn bounds(n: &Call) -> Result<(f32, f32), String> {
    let bound = |i: usize, name: &str, none: f32| -> Result<f32, String> {
        let v = match n.optional_constant(i)? {
            Some(a) => a.scalar()?,
            None => n.float(name, none)?,
        };
        match v.is_nan() {
            true => Err(format!("its {name} is NaN")),
            false => Ok(v),
        }
    };
    Ok((bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?))
}

/// `min(hi, max(lo, x))` of any value, integers between QuantizeLinear and DequantizeLinear too.
pub(super) fn clip(r: &mut Reader, n: &Call, lo: f32, hi: f32) -> Result<Value, String> {
    let v = n.input(0)?.clone();
    clipped(r, n, &v, lo, hi)
}

pub(super) fn clipped(r: &mut Reader, n: &Call, v: &Value, lo: f32, hi: f32) -> Result<Value, String> {
    let f = |x: f64| x.max(lo.into()).min(hi.into());
    if let Value::Part(..) = v {
        return r.part(n.label, v, f);
    }
    let view = r.view(v, n.label)?;
    let (lo, hi) = match view.step {
        None => (lo, hi),
        Some(s) => ((lo - s.zero as f32) * s.scale, (hi - s.zero as f32) * s.scale),
    };
    // The largest float is how some exporters say that there is no bound.
    let (lo, hi) = (if lo <= f32::MIN { f32::NEG_INFINITY } else { lo }, if hi >= f32::MAX { f32::INFINITY } else { hi });
    if lo == f32::NEG_INFINITY && hi == f32::INFINITY {
        return Ok(Value::View(view));
    }
    let function = match lo == 0.0 && hi == f32::INFINITY {
        true => Activation::Relu,
        false => Activation::Clip { lo, hi },
    };
    let formulas = formula::through(&r.formulas_of(view.tensor), f);
    let out = r.activate(n.label, function, &view)?;
    r.remember(out.tensor, formulas);
    Ok(Value::View(View { step: view.step, ..out }))
}

impl Write for Activate {
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError> {
        let input = w.value(n.inputs[0]);
        let node = match function(w, n, &self.function, &input) {
            Some(node) => node,
            None => w.node("Identity", n, &[&input]),
        };
        w.finish(n, node);
        Ok(())
    }
}

/// The node that applies a function to the value `input`; `None` where it is the identity.
pub(crate) fn function(w: &mut Writer, n: &Node, f: &Activation, input: &str) -> Option<NodeProto> {
    Some(match f {
        Activation::None => return None,
        Activation::Relu => w.node("Relu", n, &[input]),
        Activation::Clip { lo, hi } => {
            let mut bound = |name: &str, v: f32| match v.is_finite() {
                true => w.reals(n, name, &[], &[v]),
                false => String::new(),
            };
            let (lo, hi) = (bound("min", *lo), bound("max", *hi));
            match hi.is_empty() {
                true => w.node("Clip", n, &[input, &lo]),
                false => w.node("Clip", n, &[input, &lo, &hi]),
            }
        }
        Activation::Leaky(m) => w.node("LeakyRelu", n, &[input]).with("alpha", *m),
        Activation::PRelu(m) => {
            let m = m.to_reals(0);
            let slopes = w.reals(n, "slope", &[m.len(), 1, 1], &m);
            w.node("PRelu", n, &[input, &slopes])
        }
        Activation::Table(Function::Sigmoid) => w.node("Sigmoid", n, &[input]),
        Activation::Table(Function::Tanh) => w.node("Tanh", n, &[input]),
        Activation::Table(Function::HardSigmoid { alpha, beta }) => {
            w.node("HardSigmoid", n, &[input]).with("alpha", *alpha).with("beta", *beta)
        }
        Activation::Table(Function::HardSwish) => w.node("HardSwish", n, &[input]),
        Activation::Table(Function::Silu) => {
            let gate = w.node("Sigmoid", n, &[input]);
            let gate = w.step(n, "gate", gate);
            w.node("Mul", n, &[input, &gate])
        }
        Activation::Table(Function::Gelu) => w.node("Gelu", n, &[input]),
        Activation::Table(Function::Mish) => w.node("Mish", n, &[input]),
        Activation::Table(Function::Exp) => w.node("Exp", n, &[input]),
        Activation::Table(Function::XExp) => {
            let exp = w.node("Exp", n, &[input]);
            let exp = w.step(n, "exp", exp);
            w.node("Mul", n, &[input, &exp])
        }
        Activation::Table(Function::ExpSech) => {
            let cosh = w.node("Cosh", n, &[input]);
            let cosh = w.step(n, "cosh", cosh);
            let sech = w.node("Reciprocal", n, &[&cosh]);
            let sech = w.step(n, "sech", sech);
            w.node("Exp", n, &[&sech])
        }
        Activation::Table(Function::Log) => {
            let magnitude = magnitude(w, n, input);
            w.node("Log", n, &[&magnitude])
        }
        Activation::Table(Function::Power { factor, exponent }) => {
            let magnitude = magnitude(w, n, input);
            let exponent = w.reals(n, "exponent", &[], &[*exponent]);
            let power = w.node("Pow", n, &[&magnitude, &exponent]);
            let power = w.step(n, "power", power);
            let factor = w.reals(n, "factor", &[], &[*factor]);
            w.node("Mul", n, &[&power, &factor])
        }
    })
}

/// `max(|x|, SMALLEST)`.
fn magnitude(w: &mut Writer, n: &Node, input: &str) -> String {
    let abs = w.node("Abs", n, &[input]);
    let abs = w.step(n, "abs", abs);
    let smallest = w.reals(n, "smallest", &[], &[SMALLEST as f32]);
    let above = w.node("Clip", n, &[&abs, &smallest]);
    w.step(n, "magnitude", above)
}
