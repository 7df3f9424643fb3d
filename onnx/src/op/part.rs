//! Functions that are mostly parts of others: of SiLU, GELU and Mish in their many spellings, and of powers. What is left
//! alone runs by table where it is one of [`formula::lone`](crate::read::formula::lone).

use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};
use cnna_net::activation::Function;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    let v = n.input(0)?.clone();
    let f: Box<dyn Fn(f64) -> f64> = match n.node.op_type.as_str() {
        "Abs" => Box::new(f64::abs),
        "Cosh" => Box::new(f64::cosh),
        "Erf" => Box::new(erf),
        "Softplus" => Box::new(|x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Exp" => Box::new(f64::exp),
        "Log" => Box::new(f64::ln),
        "Sqrt" => Box::new(f64::sqrt),
        "Reciprocal" => Box::new(|x: f64| 1.0 / x),
        "Pow" => {
            let exponent = f64::from(n.constant(1)?.scalar()?);
            Box::new(move |x: f64| x.powf(exponent))
        }
        _ => {
            if let Value::View(_) = v {
                let view = r.operand(n, 0)?;
                let c = r.shape(view.tensor).c;
                return one(Value::View(r.affine(n.label, &view, vec![-1.0; c], vec![0.0; c])?));
            }
            Box::new(|x: f64| -x)
        }
    };
    one(r.part(n.label, &v, f)?)
}

/// From GELU's own: `gelu(z) = z / 2 * (1 + erf(z / sqrt 2))`.
fn erf(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let z = x * std::f64::consts::SQRT_2;
    2.0 * Function::Gelu.of(z) / z - 1.0
}
