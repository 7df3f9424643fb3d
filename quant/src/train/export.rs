//! Networks as standard ONNX, operator set 21: the float graph, and the quantised one with QuantizeLinear and
//! DequantizeLinear. Node names are the layers' names; tensors are NCHW with a symbolic batch.

use super::net::reals;
use crate::{FloatNet, FloatOp, QuantError};
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Op, Padding, Shape, Window};
use cnna_onnx::{ElementType, GraphBuilder, Model, NodeProto};
use std::path::Path;

/// Name of the graph's input.
pub const INPUT: &str = "input";
/// Name of the graph's output.
pub const OUTPUT: &str = "logits";

/// Writes the float network, through a temporary file. Errors: the file system's.
pub fn write_float(net: &FloatNet, path: &Path) -> Result<(), QuantError> {
    Ok(cnna_onnx::write(path, &float_model(net))?)
}

/// Writes the quantised network, through a temporary file. Errors: the file system's; as [`qdq_model`].
pub fn write_quantised(net: &Graph, path: &Path) -> Result<(), QuantError> {
    Ok(cnna_onnx::write(path, &qdq_model(net, path)?)?)
}

/// A graph that grows at its end: `value` is the name of the last result.
struct Chain {
    graph: GraphBuilder,
    value: String,
    flat: bool,
}

impl Chain {
    fn new(name: &str, input: Shape) -> Self {
        let mut graph = GraphBuilder::new(name);
        graph.input(INPUT, ElementType::F32, &[input.c, input.h, input.w]);
        Chain {
            graph,
            value: INPUT.into(),
            flat: false,
        }
    }

    /// Appends a node that reads the last value and `others`; its result is named after it.
    fn push(
        &mut self,
        op: &str,
        name: &str,
        others: &[&str],
        with: impl FnOnce(NodeProto) -> NodeProto,
    ) {
        let result = format!("{name}_out");
        let mut inputs = vec![self.value.as_str()];
        inputs.extend(others);
        let node = with(NodeProto::new(op, name, &inputs, &[&result]));
        self.graph.node(node);
        self.value = result;
    }

    fn max_pool(&mut self, name: &str, window: &Window) {
        self.push("MaxPool", name, &[], |n| windowed(n, window));
    }

    /// Appends the convolution or Gemm of a layer whose constants are the values `weight` and `bias`.
    fn conv(&mut self, name: &str, window: &Window, is_fc: bool, weight: &str, bias: &str) {
        if !is_fc {
            return self.push("Conv", name, &[weight, bias], |n| {
                windowed(n, window).with("group", 1)
            });
        }
        if !self.flat {
            self.push("Flatten", &format!("{name}_flatten"), &[], |n| {
                n.with("axis", 1)
            });
            self.flat = true;
        }
        self.push("Gemm", name, &[weight, bias], |n| n.with("transB", 1));
    }

    fn relu(&mut self, name: &str, activation: &Activation) {
        if *activation == Activation::Relu {
            self.push("Relu", &format!("{name}_relu"), &[], |n| n);
        }
    }

    /// Appends QuantizeLinear and DequantizeLinear to words of `frac` fraction bits.
    fn quantise(&mut self, name: &str, frac: i32, word: Word) {
        let (scale, zero) = (format!("{name}_scale"), format!("{name}_zero_point"));
        self.graph.constant(&scale, &[], &[step(frac)]);
        match word {
            Word::W8 => self.graph.constant(&zero, &[], &[0i8]),
            Word::W16 => self.graph.constant(&zero, &[], &[0i16]),
        };
        self.push(
            "QuantizeLinear",
            &format!("{name}_quantize"),
            &[&scale, &zero],
            |n| n,
        );
        self.push(
            "DequantizeLinear",
            &format!("{name}_dequantize"),
            &[&scale, &zero],
            |n| n,
        );
    }

    /// Renames the last result to the graph's output.
    fn finish(mut self, output: Shape) -> Model {
        let dims: &[usize] = if self.flat {
            &[output.c]
        } else {
            &[output.c, output.h, output.w]
        };
        self.graph.output(OUTPUT, ElementType::F32, dims);
        let mut model = self.graph.finish();
        if let Some(last) = model.graph.node.last_mut() {
            last.output = vec![OUTPUT.into()];
        }
        model
    }
}

fn step(frac: i32) -> f32 {
    2f32.powi(-frac)
}

fn windowed(node: NodeProto, w: &Window) -> NodeProto {
    let two = |v: [usize; 2]| v.map(|n| n as i64);
    let Padding {
        top,
        left,
        bottom,
        right,
    } = w.pad;
    node.with("kernel_shape", two(w.kernel))
        .with("strides", two(w.stride))
        .with("dilations", two(w.dilation))
        .with("pads", [top, left, bottom, right].map(|n| n as i64))
}

/// Shape of a layer's weights: [oc, ic, kh, kw], or [oc, inputs] for Gemm.
fn weight_dims(is_fc: bool, oc: usize, input: Shape, w: &Window) -> Vec<usize> {
    if is_fc {
        vec![oc, input.len()]
    } else {
        vec![oc, input.c, w.kernel[0], w.kernel[1]]
    }
}

/// The float graph: Conv, Relu, MaxPool, Flatten, Gemm.
pub fn float_model(net: &FloatNet) -> Model {
    let mut chain = Chain::new(net.name(), net.input());
    let mut output = net.input();
    for l in net.layers() {
        match l.op {
            FloatOp::MaxPool(w) => chain.max_pool(l.name, w),
            FloatOp::Conv(c) => {
                let (weight, bias) = (format!("{}.weight", l.name), format!("{}.bias", l.name));
                let dims = weight_dims(l.is_fc(), c.oc, l.input, &c.window);
                chain.graph.constant(&weight, &dims, reals(&c.weights));
                chain.graph.constant(&bias, &[c.oc], reals(&c.bias));
                chain.conv(l.name, &c.window, l.is_fc(), &weight, &bias);
                chain.relu(l.name, &c.activation);
            }
        }
        output = l.output;
    }
    chain.finish(output)
}

/// The quantised graph. Weights are int16 (int8) with scale 2^-f_w, biases int32 with scale 2^-(f_in + f_w), or plain floats
/// where 32 bits are too few. ONNX rounds half to even where the machine rounds half up, so other runtimes agree within
/// a few steps of the last place.
///
/// Errors: a bias that neither form holds exactly (`path` is for the error only).
pub fn qdq_model(net: &Graph, path: &Path) -> Result<Model, QuantError> {
    let bad = |node: &str, reason: &str| QuantError::Model {
        path: path.into(),
        node: node.into(),
        reason: reason.into(),
    };
    let frac = |t: usize| {
        net.tensors[t]
            .frac
            .ok_or_else(|| bad(&net.tensors[t].name, "it has no number format"))
    };
    let input = net.inputs.first().ok_or_else(|| bad("(graph)", "there is no input"))?.tensor;
    let mut chain = Chain::new(&net.name, net.tensors[input].shape);
    chain.quantise(INPUT, frac(input)?, net.word);
    let mut last = input;
    for (i, n) in net.nodes.iter().enumerate() {
        let shape = net.tensors[n.inputs[0]].shape;
        match &n.op {
            Op::MaxPool(p) => chain.max_pool(&n.name, &p.window),
            Op::Conv(c) => {
                let (weight, bias) =
                    constants(&mut chain.graph, &n.name, c, shape, frac(n.inputs[0])?, net.word, path)?;
                chain.conv(&n.name, &c.window, c.is_fc(shape), &weight, &bias);
                chain.relu(&n.name, &c.activation);
            }
            other => return Err(bad(&n.name, other.name())),
        }
        last = n.output;
        // Pooling commutes with rounding: quantise behind it, once.
        if !matches!(net.nodes.get(i + 1).map(|n| &n.op), Some(Op::MaxPool(_))) {
            chain.quantise(&n.name, frac(last)?, net.word);
        }
    }
    Ok(chain.finish(net.tensors[last].shape))
}

/// Adds a layer's integers and their DequantizeLinear nodes; the names of the real weight and bias.
fn constants(
    graph: &mut GraphBuilder,
    name: &str,
    c: &Conv,
    input: Shape,
    input_frac: i32,
    word: Word,
    path: &Path,
) -> Result<(String, String), QuantError> {
    let (Some((weights, weight_frac)), Some(sums)) = (c.weights.words(), c.bias.sums()) else {
        return Err(QuantError::Model {
            path: path.into(),
            node: name.into(),
            reason: "its constants are not quantised".into(),
        });
    };
    let dims = weight_dims(c.is_fc(input), c.oc, input, &c.window);
    let weight = format!("{name}.weight");
    match word {
        Word::W16 => graph.constant(&weight, &dims, weights),
        Word::W8 => graph.constant(
            &weight,
            &dims,
            &weights.iter().map(|&w| w as i8).collect::<Vec<_>>(),
        ),
    };
    let bias = format!("{name}.bias");
    let bias_frac = input_frac + weight_frac;
    let short: Option<Vec<i32>> = sums.iter().map(|&b| i32::try_from(b).ok()).collect();
    let mut real = |name: &str, frac: i32, zero: Option<Word>| {
        let (scale, zero_point, out) = (
            format!("{name}_scale"),
            format!("{name}_zero_point"),
            format!("{name}_real"),
        );
        graph.constant(&scale, &[], &[step(frac)]);
        let mut inputs = vec![name, &scale];
        match zero {
            // Biases: int32 has no zero point.
            None => {}
            Some(Word::W8) => _ = graph.constant(&zero_point, &[], &[0i8]),
            Some(Word::W16) => _ = graph.constant(&zero_point, &[], &[0i16]),
        }
        if zero.is_some() {
            inputs.push(&zero_point);
        }
        graph.node(NodeProto::new(
            "DequantizeLinear",
            &format!("{name}_dequantize"),
            &inputs,
            &[&out],
        ));
        out
    };
    let weight = real(&weight, weight_frac, Some(word));
    if let Some(short) = short {
        let bias_real = real(&bias, bias_frac, None);
        graph.constant(&bias, &[c.oc], &short);
        return Ok((weight, bias_real));
    }
    // Too wide for int32, and DequantizeLinear takes no wider integer: as reals, which f32 must hold exactly.
    let reals: Vec<f32> = sums
        .iter()
        .map(|&b| (b as f64 * 2f64.powi(-bias_frac)) as f32)
        .collect();
    if reals
        .iter()
        .zip(sums)
        .any(|(&r, &b)| f64::from(r) * 2f64.powi(bias_frac) != b as f64)
    {
        return Err(QuantError::Model {
            path: path.into(),
            node: name.into(),
            reason: "a bias fits neither 32 bits at the accumulator's scale nor a float".into(),
        });
    }
    graph.constant(&bias, &[c.oc], &reals);
    Ok((weight, bias))
}
