//! Operators on integers, ONNX's and ONNX Runtime's: each is a DequantizeLinear before, the operator of that kind on reals,
//! and a QuantizeLinear behind, and is read as those three.
//!
//! ConvInteger and MatMulInteger give sums of integers: the same on reals, divided by the input's scale. What
//! DynamicQuantizeLinear makes has a scale of its own for every image, which no program can hold: it is taken as the reals
//! themselves with a scale of one, so such a model is a float model with integer weights.

use super::{Outcome, one};
use crate::read::array::Array;
use crate::read::fold::fold;
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::{Step, View};
use crate::{ElementType, NodeProto};
use std::rc::Rc;

/// Where a node has an array of integers, its scale and its zero point.
type Place = [usize; 3];

/// An operator on integers as one on reals.
struct Linear {
    /// ONNX's name of it.
    real: &'static str,
    /// What it reads.
    inputs: &'static [Place],
    /// Scale and zero point of what it writes.
    output: [usize; 2],
    /// Axis of the second input along which its scale may differ.
    axis: i64,
    /// The integers that are added to the products, in the scale of both inputs.
    bias: Option<usize>,
}

fn linear(name: &str) -> Option<Linear> {
    const ONE: &[Place] = &[[0, 1, 2]];
    const TWO: &[Place] = &[[0, 1, 2], [3, 4, 5]];
    let unary = |real| Linear { real, inputs: ONE, output: [3, 4], axis: 1, bias: None };
    let binary = |real, axis| Linear { real, inputs: TWO, output: [6, 7], axis, bias: None };
    Some(match name {
        "QLinearConv" => Linear { bias: Some(8), ..binary("Conv", 0) },
        "QLinearMatMul" => binary("MatMul", -1),
        "QLinearAdd" => binary("Add", 1),
        "QLinearMul" => binary("Mul", 1),
        "QGemm" => Linear { output: [7, 8], bias: Some(6), ..binary("Gemm", 1) },
        "QLinearSigmoid" => unary("Sigmoid"),
        "QLinearLeakyRelu" => unary("LeakyRelu"),
        "QLinearAveragePool" => unary("AveragePool"),
        "QLinearGlobalAveragePool" => unary("GlobalAveragePool"),
        "QLinearReduceMean" => unary("ReduceMean"),
        "QLinearSoftmax" => unary("Softmax"),
        _ => return None,
    })
}

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    if n.int("channels_last", 0)? != 0 {
        return Err("its channels come last: export the model with channels first".into());
    }
    match n.node.op_type.as_str() {
        "QLinearConcat" => concat(r, n),
        "ConvInteger" => sums(r, n, "Conv", 0),
        "MatMulInteger" => sums(r, n, "MatMul", -1),
        "DynamicQuantizeLinear" => dynamic(r, n),
        name => {
            let how = linear(name).ok_or("it is no operator on integers")?;
            through(r, n, &how)
        }
    }
}

fn through(r: &mut Reader, n: &Call, how: &Linear) -> Outcome {
    // Gemm's second matrix has its outputs along the other axis when it is transposed.
    let axis = if how.real == "Gemm" && n.int("transB", 0)? != 0 { 0 } else { how.axis };
    let mut inputs = Vec::new();
    for place in how.inputs {
        inputs.push(Some(real(r, n, *place, axis)?));
    }
    if let Some(at) = how.bias.filter(|&at| n.optional(at).is_some()) {
        let scale = |i: usize| n.input(how.inputs[i][1]).cloned().map(Some);
        let mut both = apply(r, n, &NodeProto::new("Mul", "", &[], &[]), vec![scale(0)?, scale(1)?])?;
        let alpha = n.float("alpha", 1.0)?;
        if alpha != 1.0 {
            both = apply(r, n, &NodeProto::new("Mul", "", &[], &[]), vec![Some(both), Some(number(alpha))])?;
        }
        let node = NodeProto::new("DequantizeLinear", "", &[], &[]).with("axis", 0);
        inputs.push(Some(apply(r, n, &node, vec![n.optional(at).cloned(), Some(both)])?));
    }
    let out = apply(r, n, &renamed(n, how.real), inputs)?;
    one(match n.optional(how.output[0]) {
        // QGemm without one gives reals.
        None => out,
        Some(_) => quantised(r, n, out, how.output)?,
    })
}

fn concat(r: &mut Reader, n: &Call) -> Outcome {
    if n.inputs.len() < 5 || (n.inputs.len() - 2) % 3 != 0 {
        return Err(format!("it has {} inputs, expected a scale, a zero point and three for each part", n.inputs.len()));
    }
    let parts = (2..n.inputs.len()).step_by(3);
    let parts = parts.map(|i| real(r, n, [i, i + 1, i + 2], 1).map(Some)).collect::<Result<_, _>>()?;
    let out = apply(r, n, &renamed(n, "Concat"), parts)?;
    one(quantised(r, n, out, [0, 1])?)
}

/// Sums of products of integers: reals divided by the input's scale.
fn sums(r: &mut Reader, n: &Call, name: &str, axis: i64) -> Outcome {
    let Value::View(view) = n.input(0)?.clone() else {
        return Err("its first input must be one that images change".into());
    };
    let step = view.step.ok_or("its input holds reals, expected integers of a QuantizeLinear")?;
    let zero = n.optional_constant(2)?.map_or(Ok(vec![0]), |z| z.to_ints())?;
    if zero.iter().any(|z| *z != step.zero) {
        return Err(format!("its input's zero point {zero:?} is not that of its QuantizeLinear, {}", step.zero));
    }
    let scales = match n.optional_constant(3)? {
        Some(z) => Value::Constant(Rc::new(Array::reals("scale", z.dims.clone(), vec![1.0; z.len()]))),
        None => number(1.0),
    };
    let node = NodeProto::new("DequantizeLinear", "", &[], &[]).with("axis", axis);
    let weights = apply(r, n, &node, vec![n.optional(1).cloned(), Some(scales), n.optional(3).cloned()])?;
    let x = Value::View(View { step: None, ..view });
    let out = apply(r, n, &renamed(n, name), vec![Some(x), Some(weights)])?;
    if step.scale == 1.0 {
        return one(out);
    }
    let mul = NodeProto::new("Mul", "", &[], &[]);
    one(apply(r, n, &mul, vec![Some(out), Some(number(1.0 / step.scale))])?)
}

fn dynamic(r: &mut Reader, n: &Call) -> Outcome {
    let view = r.operand(n, 0)?;
    let zero = Array {
        element: ElementType::U8,
        ..Array::ints("zero", vec![], vec![0])
    };
    let step = Some(Step { scale: 1.0, zero: 0 });
    Ok(vec![Value::View(View { step, ..view }), number(1.0), Value::Constant(Rc::new(zero))])
}

fn number(x: f32) -> Value {
    Value::Constant(Rc::new(Array::reals("scale", vec![], vec![x])))
}

/// The node under another name, its attributes with it.
fn renamed(n: &Call, name: &str) -> NodeProto {
    NodeProto {
        op_type: name.into(),
        attribute: n.node.attribute.clone(),
        ..NodeProto::default()
    }
}

/// The reals of integers of a node.
fn real(r: &mut Reader, n: &Call, [x, scale, zero]: Place, axis: i64) -> Result<Value, String> {
    let node = NodeProto::new("DequantizeLinear", "", &[], &[]).with("axis", axis);
    apply(r, n, &node, vec![n.optional(x).cloned(), n.optional(scale).cloned(), n.optional(zero).cloned()])
}

fn quantised(r: &mut Reader, n: &Call, x: Value, [scale, zero]: [usize; 2]) -> Result<Value, String> {
    let node = NodeProto::new("QuantizeLinear", "", &[], &[]);
    apply(r, n, &node, vec![Some(x), n.optional(scale).cloned(), n.optional(zero).cloned()])
}

/// What a node of ONNX's own set makes of values that are at hand.
fn apply(r: &mut Reader, n: &Call, node: &NodeProto, inputs: Vec<Option<Value>>) -> Result<Value, String> {
    // QLinearSoftmax says which set's Softmax it is.
    let opset = n.int("opset", n.opset)?;
    let mut call = Call::new(node, n.label, opset, inputs, n.batch);
    if let Some(done) = fold(&mut call) {
        let array = done?.into_iter().next().ok_or("it computes nothing")?;
        return Ok(Value::Constant(Rc::new(array)));
    }
    let read = super::entry("", &node.op_type).ok_or_else(|| format!("{} is not read", node.op_type))?;
    read(r, &call)?.into_iter().next().ok_or_else(|| "it writes nothing".into())
}
