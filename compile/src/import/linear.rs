//! Conv, Gemm and MatMul as one integer layer: weights [oc][ic][kh][kw], bias in the accumulator's scale.

use super::constant::{Constant, Data, transposed};
use super::error::ImportError;
use super::graph::Graph;
use super::window;
use cnna_machine::layer::{Activation, Conv, Shape, Window};
use cnna_machine::num::{ACC_BITS, Word};

/// A layer whose output fraction is not yet known (its shift holds the accumulator's fraction until then), and its output shape.
pub(super) struct Open {
    pub conv: Conv,
    pub output: Shape,
}

/// Words of a constant that must be quantised to the model's word. `what` is "weight".
fn words(
    g: &Graph,
    index: usize,
    tensor: &str,
    word: Word,
) -> Result<(Constant, Vec<i16>, i32), ImportError> {
    let c = g.constant(index, tensor)?;
    let (Data::Words(w, _), Some(frac)) = (&c.data, c.frac) else {
        return Err(match c.data {
            Data::Integers(_) => g.refuse(
                index,
                format!("its weight `{}` is not int8 or int16", c.name),
            ),
            _ => g.not_quantised(index, format!("its weight `{}`", c.name)),
        });
    };
    if *w != word {
        return Err(g.refuse(
            index,
            format!(
                "its weight `{}` is int{}, the activations are int{}: use one width for both",
                c.name,
                w.bits(),
                word.bits()
            ),
        ));
    }
    let mut c = c;
    let Data::Words(_, values) = std::mem::replace(&mut c.data, Data::Integers(Vec::new())) else {
        unreachable!("matched above");
    };
    Ok((c, values, frac))
}

/// A constant as `oc` accumulator-scale integers with `frac` fraction bits: integers as they are, reals rounded half to even.
///
/// Errors: another length or scale, values beyond the accumulator.
pub(super) fn bias(
    g: &Graph,
    index: usize,
    c: &Constant,
    oc: usize,
    frac: i32,
) -> Result<Vec<i64>, ImportError> {
    let limit = 1i64 << (ACC_BITS - 1);
    let values = match (c.integers(), c.frac) {
        (Some(_), None) => {
            return Err(g.refuse(
                index,
                format!("its bias `{}` lacks a DequantizeLinear", c.name),
            ));
        }
        (Some(v), Some(f)) if f == frac => v,
        (Some(_), Some(f)) => {
            return Err(g.refuse(
                index,
                format!(
                    "its bias `{}` has scale 2^{}, it must be input scale x weight scale = 2^{}",
                    c.name, -f, -frac
                ),
            ));
        }
        (None, _) => {
            let Data::Real(v) = &c.data else {
                unreachable!("not integers, so real");
            };
            let scaled = v
                .iter()
                .map(|&x| (f64::from(x) * 2f64.powi(frac)).round_ties_even());
            // A cast saturates, and what saturates is beyond the limit below.
            scaled.map(|x| x as i64).collect()
        }
    };
    let values = match values.len() {
        1 => vec![values[0]; oc],
        n if n == oc => values,
        n => {
            return Err(g.refuse(
                index,
                format!("its bias `{}` has {n} elements for {oc} outputs", c.name),
            ));
        }
    };
    if let Some(i) = values.iter().position(|v| !(-limit..limit).contains(v)) {
        return Err(g.refuse(
            index,
            format!(
                "its bias `{}`, element {i}, does not fit the {ACC_BITS}-bit accumulator",
                c.name
            ),
        ));
    }
    Ok(values)
}

/// The bias input at position `at`, or zeros.
fn bias_input(
    g: &Graph,
    index: usize,
    at: usize,
    oc: usize,
    frac: i32,
) -> Result<Vec<i64>, ImportError> {
    match g.node(index).input.get(at).filter(|s| !s.is_empty()) {
        None => Ok(vec![0; oc]),
        Some(name) => bias(g, index, &g.constant(index, name)?, oc, frac),
    }
}

fn open(window: Window, weights: Vec<i16>, fracs: [i32; 2], bias: Vec<i64>, output: Shape) -> Open {
    let [input_frac, weight_frac] = fracs;
    let conv = Conv {
        oc: output.c,
        window,
        weights,
        weight_frac,
        bias,
        shift: input_frac + weight_frac,
        activation: Activation::None,
    };
    Open { conv, output }
}

/// A Conv node over `input` with `input_frac` fraction bits.
pub(super) fn conv(
    g: &Graph,
    index: usize,
    input: Shape,
    input_frac: i32,
    word: Word,
) -> Result<Open, ImportError> {
    let node = g.node(index);
    let group = node.int("group", 1)?;
    if group != 1 {
        return Err(g.refuse(
            index,
            format!("group {group} is not supported: use group 1"),
        ));
    }
    let (w, values, frac) = words(g, index, node.input.get(1).map_or("", |s| s), word)?;
    let [oc, ic, kh, kw] = w.dims[..] else {
        return Err(g.refuse(
            index,
            format!(
                "its weight `{}` is {:?}, expected [oc, ic, rows, columns]",
                w.name, w.dims
            ),
        ));
    };
    if ic != input.c || oc == 0 || kh == 0 || kw == 0 {
        return Err(g.refuse(
            index,
            format!(
                "its weight `{}` is {:?}, its input {input}: channels disagree or are 0",
                w.name, w.dims
            ),
        ));
    }
    let kernel = window::pair(g, index, "kernel_shape", [kh, kw])?;
    if kernel != [kh, kw] {
        return Err(g.refuse(
            index,
            format!(
                "kernel_shape {kernel:?} is not that of its weight `{}`, {:?}",
                w.name, w.dims
            ),
        ));
    }
    let window = window::window(g, index, kernel, input)?;
    let output = window::output(g, index, &window, oc, input)?;
    let bias = bias_input(g, index, 2, oc, input_frac + frac)?;
    Ok(open(window, values, [input_frac, frac], bias, output))
}

/// A Gemm or MatMul node over the flattened `input`: a convolution whose kernel is the whole input.
pub(super) fn fully_connected(
    g: &Graph,
    index: usize,
    input: Shape,
    input_frac: i32,
    word: Word,
) -> Result<Open, ImportError> {
    let node = g.node(index);
    let gemm = node.op_type == "Gemm";
    let trans_b = gemm && node.int("transB", 0)? != 0;
    if gemm {
        if node.int("transA", 0)? != 0 {
            return Err(g.refuse(index, "transA 1 is not supported: use transA 0"));
        }
        for name in ["alpha", "beta"] {
            let v = node.float(name, 1.0)?;
            if v != 1.0 {
                return Err(g.refuse(
                    index,
                    format!("{name} {v} is not supported: fold it into the weights"),
                ));
            }
        }
    }
    let (w, values, frac) = words(g, index, node.input.get(1).map_or("", |s| s), word)?;
    let (oc, inputs) = match w.dims[..] {
        [o, i] if trans_b => (o, i),
        [i, o] => (o, i),
        _ => {
            return Err(g.refuse(
                index,
                format!("its weight `{}` is {:?}, expected a matrix", w.name, w.dims),
            ));
        }
    };
    if inputs != input.len() || oc == 0 {
        return Err(g.refuse(
            index,
            format!(
                "its weight `{}` is {:?}, its input has {} elements: they disagree or are 0",
                w.name,
                w.dims,
                input.len()
            ),
        ));
    }
    // [oc][c*h*w] is [oc][c][h][w] already: Flatten keeps the order.
    let weights = if trans_b {
        values
    } else {
        transposed(&values, inputs, oc)
    };
    let window = Window::plain(input.h, input.w);
    let output = window::output(g, index, &window, oc, input)?;
    let at = if gemm { 2 } else { usize::MAX };
    let bias = bias_input(g, index, at, oc, input_frac + frac)?;
    Ok(open(window, weights, [input_frac, frac], bias, output))
}
