//! What elementwise nodes compute together. GELU, SiLU, Mish and their kin come as five to ten nodes in many spellings;
//! rather than matching each, the chain is evaluated at sample points and compared with the functions themselves.

use cnna_net::TensorId;
use cnna_net::activation::Function;
use std::rc::Rc;

/// A value as a function of one tensor's elements, at the sample points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Formula {
    /// The tensor whose element is `x`.
    pub base: TensorId,
    /// The value at each of [`points`].
    pub samples: Rc<[f64]>,
}

/// Tensors that a formula is kept for, the nearest last.
pub(crate) const KEPT: usize = 6;

/// Where functions are compared: both tails and the bend, off the round numbers.
pub(crate) fn points() -> impl Iterator<Item = f64> {
    (-40..=40).map(|n| f64::from(n) * 0.171 + 0.013)
}

/// The function that has these samples.
pub(crate) fn known(samples: &[f64]) -> Option<Function> {
    const SIXTH: f32 = 1.0 / 6.0;
    // GELU's usual form by tanh differs from it by up to 5e-4.
    let functions = [
        (Function::Silu, 1e-5),
        (Function::Gelu, 6e-4),
        (Function::Mish, 1e-5),
        (Function::HardSwish, 1e-5),
        (
            Function::HardSigmoid {
                alpha: SIXTH,
                beta: 0.5,
            },
            1e-5,
        ),
        (
            Function::HardSigmoid {
                alpha: 0.2,
                beta: 0.5,
            },
            1e-5,
        ),
        (Function::Sigmoid, 1e-5),
        (Function::Tanh, 1e-5),
    ];
    let same = |f: Function, tolerance: f64| {
        points()
            .zip(samples)
            .all(|(x, &y)| (f.of(x) - y).abs() <= tolerance * (1.0 + x.abs()))
    };
    functions
        .into_iter()
        .find(|&(f, t)| same(f, t))
        .map(|(f, _)| f)
}

/// The function that has these samples where they are no part of a larger one.
pub(crate) fn lone(samples: &[f64]) -> Option<Function> {
    let all: Vec<(f64, f64)> = points().zip(samples.iter().copied()).collect();
    let same = |f: &Function| {
        let near = |&(x, y): &(f64, f64)| (f.of(x) - y).abs() <= 1e-5 * (1.0 + y.abs());
        all.iter().all(near)
    };
    let whole = [
        Function::Exp,
        Function::XExp,
        Function::Log,
        Function::ExpSech,
    ];
    // Of a power the exponent is the slope of logarithms; a root of what is negative has no samples there.
    let [(x0, y0), (x1, y1)] = [all[all.len() / 2], all[all.len() - 1]];
    let exponent = (y1 / y0).ln() / (x1 / x0).ln();
    let power = Function::Power {
        factor: (y1 / x1.powf(exponent)) as f32,
        exponent: exponent as f32,
    };
    whole.into_iter().chain([power]).find(same)
}

/// The formula through one more function.
pub(crate) fn through(all: &[Formula], f: impl Fn(f64) -> f64) -> Vec<Formula> {
    all.iter()
        .map(|g| Formula {
            base: g.base,
            samples: g.samples.iter().map(|&y| f(y)).collect(),
        })
        .collect()
}

/// Two values combined, for each tensor that both are functions of.
pub(crate) fn joined(a: &[Formula], b: &[Formula], f: impl Fn(f64, f64) -> f64) -> Vec<Formula> {
    a.iter()
        .filter_map(|x| {
            let y = b.iter().find(|y| y.base == x.base)?;
            Some(Formula {
                base: x.base,
                samples: x
                    .samples
                    .iter()
                    .zip(y.samples.iter())
                    .map(|(&x, &y)| f(x, y))
                    .collect(),
            })
        })
        .collect()
}
