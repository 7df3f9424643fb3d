//! Reading back a float network that this room exported: a chain of Conv, Relu, MaxPool, Flatten and Gemm.

use crate::{FloatNet, QuantError};
use cnna_machine::num::Word;
use cnna_net::op::{Conv, MaxPool};
use cnna_net::{Activation, ArrayLayout, Graph, Op, Padding, Shape, Values, Window};
use cnna_onnx::{Model, NodeProto, TensorProto};
use std::path::Path;

const SUPPORTED: &str = "a float model of cnna is a chain of Conv, Relu, MaxPool, Flatten and Gemm";

/// Reads a float network. Errors: unreadable or damaged file, another operator or branch, NaN or infinite weights.
pub fn read_float(path: &Path) -> Result<FloatNet, QuantError> {
    let model = cnna_onnx::read(path)?;
    let net = Reader {
        path,
        model: &model,
    }
    .net()?;
    net.check_finite()?;
    Ok(net)
}

struct Reader<'a> {
    path: &'a Path,
    model: &'a Model,
}

impl Reader<'_> {
    fn bad(&self, node: &str, reason: impl Into<String>) -> QuantError {
        QuantError::Model {
            path: self.path.into(),
            node: node.into(),
            reason: format!("{}; {SUPPORTED}", reason.into()),
        }
    }

    fn net(&self) -> Result<FloatNet, QuantError> {
        let graph = &self.model.graph;
        let input = graph
            .input
            .first()
            .ok_or_else(|| self.bad("(graph)", "there is no input"))?;
        let dims = input.dims().unwrap_or_default();
        let sizes: Vec<usize> = dims
            .iter()
            .skip(1)
            .filter_map(|d| usize::try_from((*d)?).ok())
            .collect();
        let &[c, h, w] = &sizes[..] else {
            return Err(self.bad(
                &input.name,
                format!("the input's shape is {dims:?}, expected [N, channels, rows, columns]"),
            ));
        };
        let mut net = Graph::new(&graph.name, Word::W16);
        let mut shape = Shape { c, h, w };
        let mut last = net.input(&input.name, shape, None);
        let mut value = input.name.as_str();
        for node in &graph.node {
            if node.input.first().is_none_or(|i| i != value) || node.output.len() != 1 {
                return Err(self.bad(&node.name, "it does not read the node before it"));
            }
            value = &node.output[0];
            let op: Op = match node.op_type.as_str() {
                "Flatten" => continue,
                "Relu" => {
                    match net.nodes.last_mut().map(|n| &mut n.op) {
                        Some(Op::Conv(c)) => c.activation = Activation::Relu,
                        _ => return Err(self.bad(&node.name, "Relu without a layer before it")),
                    }
                    continue;
                }
                "MaxPool" => MaxPool {
                    window: self.window(node, None)?,
                }
                .into(),
                "Conv" | "Gemm" => self.conv(node, shape)?.into(),
                other => return Err(self.bad(&node.name, format!("operator {other}"))),
            };
            last = net
                .push(&node.name, op, &[last], None)
                .map_err(|e| self.bad(&node.name, e.to_string()))?;
            shape = net.tensors[last].shape;
        }
        net.output(last);
        net.outputs[0].name = super::export::OUTPUT.into();
        if (shape.h, shape.w) == (1, 1) {
            net.outputs[0].array = ArrayLayout {
                dims: vec![shape.c],
                ..ArrayLayout::plain(shape)
            };
        }
        FloatNet::new(net).map_err(|e| self.bad(&e.node, e.reason))
    }

    fn constant(&self, node: &NodeProto, index: usize) -> Result<&TensorProto, QuantError> {
        let name = node
            .input
            .get(index)
            .map(String::as_str)
            .unwrap_or_default();
        let found = self.model.graph.initializer.iter().find(|t| t.name == name);
        found.ok_or_else(|| {
            self.bad(
                &node.name,
                format!("its input {index} (`{name}`) is not a constant"),
            )
        })
    }

    /// Weights and biases of a Conv, or of a Gemm that reads the whole of `input`.
    fn conv(&self, node: &NodeProto, input: Shape) -> Result<Conv, QuantError> {
        let weight = self.constant(node, 1)?;
        let dims = weight.shape()?;
        let window = match (node.op_type.as_str(), &dims[..]) {
            ("Conv", &[_, ic, kh, kw]) if ic == input.c && node.int("group", 1)? == 1 => {
                self.window(node, Some([kh, kw]))?
            }
            ("Gemm", &[_, inputs]) if inputs == input.len() && node.int("transB", 0)? == 1 => {
                Window::plain(input.h, input.w)
            }
            _ => {
                return Err(self.bad(
                    &node.name,
                    format!("weights of shape {dims:?} for a {input} input"),
                ));
            }
        };
        if node.float("alpha", 1.0)? != 1.0 || node.float("beta", 1.0)? != 1.0 {
            return Err(self.bad(&node.name, "alpha and beta other than 1"));
        }
        let (weights, bias) = (weight.to_f32()?, self.constant(node, 2)?.to_f32()?);
        if bias.len() != dims[0] {
            return Err(self.bad(
                &node.name,
                format!("{} biases for {} outputs", bias.len(), dims[0]),
            ));
        }
        Ok(Conv {
            oc: dims[0],
            groups: 1,
            window,
            weights: Values::Reals(weights),
            bias: Values::Reals(bias),
            activation: Activation::None,
        })
    }

    /// The window of a Conv (whose kernel the weights give) or MaxPool.
    fn window(&self, node: &NodeProto, kernel: Option<[usize; 2]>) -> Result<Window, QuantError> {
        if node.string("auto_pad", "NOTSET")? != "NOTSET" || node.int("ceil_mode", 0)? != 0 {
            return Err(self.bad(&node.name, "auto_pad or ceil_mode"));
        }
        let list = |name: &str,
                    default: Option<&[usize]>,
                    least: usize|
         -> Result<Vec<usize>, QuantError> {
            let given = node.ints(name)?.map(|v| {
                v.iter()
                    .map(|&n| usize::try_from(n).ok())
                    .collect::<Option<Vec<_>>>()
            });
            let values = match (given, default) {
                (Some(v), _) => v,
                (None, d) => d.map(<[_]>::to_vec),
            };
            values
                .filter(|v| v.iter().all(|&n| n >= least && n <= 1 << 16))
                .ok_or_else(|| {
                    self.bad(
                        &node.name,
                        format!("attribute {name} is missing or out of range"),
                    )
                })
        };
        let kernel_shape = list("kernel_shape", kernel.as_ref().map(|k| &k[..]), 1)?;
        let strides = list("strides", Some(&[1, 1]), 1)?;
        let dilations = list("dilations", Some(&[1, 1]), 1)?;
        let pads = list("pads", Some(&[0; 4]), 0)?;
        let (&[kh, kw], &[sh, sw], &[dh, dw], &[top, left, bottom, right]) =
            (&kernel_shape[..], &strides[..], &dilations[..], &pads[..])
        else {
            return Err(self.bad(&node.name, "a window that is not of two dimensions"));
        };
        if kernel.is_some_and(|k| k != [kh, kw]) {
            return Err(self.bad(&node.name, "kernel_shape and weights disagree"));
        }
        Ok(Window {
            kernel: [kh, kw],
            stride: [sh, sw],
            dilation: [dh, dw],
            pad: Padding {
                top,
                left,
                bottom,
                right,
            },
        })
    }
}
