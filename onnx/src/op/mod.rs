//! ONNX's operators, a family a file: its reader and its writer together. The list below is all that names them; it makes
//! the dispatch and the list in error messages.

pub(crate) mod window;

use crate::read::reader::{Call, Reader, Value};
use crate::write::{WriteError, Writer};
use cnna_net::{Node, Op};

/// What a node writes. Errors: why it is not read, and what to do.
pub(crate) type Outcome = Result<Vec<Value>, String>;

type Read = fn(&mut Reader, &Call) -> Outcome;

/// An operator of ours that writes itself as nodes.
pub(crate) trait Write {
    /// Appends its nodes, which write the value of the node's output.
    fn write(&self, w: &mut Writer, n: &Node) -> Result<(), WriteError>;
}

macro_rules! operators {
    ($($file:ident: [$($name:literal),*] $(writes $($op:ident),+)?;)*) => {
        $(pub(crate) mod $file;)*

        const READERS: &[(&str, Read)] = &[$($(($name, $file::read as Read),)*)*];

        pub(crate) fn write(w: &mut Writer, n: &Node) -> Result<(), WriteError> {
            match &n.op {
                $($($(Op::$op(o) => o.write(w, n),)+)?)*
            }
        }
    };
}

operators! {
    conv: ["Conv"] writes Conv;
    conv_transpose: ["ConvTranspose"] writes ConvTranspose;
    gemm: ["Gemm", "MatMul"];
    batch_normalization: ["BatchNormalization"];
    activate: ["Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Gelu", "Mish"]
        writes Activate;
    part: ["Abs", "Cosh", "Erf", "Softplus", "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Neg"];
    add: ["Add", "Sub", "Sum", "Mean"] writes Add;
    mul: ["Mul", "Div"] writes Mul;
    min_max: ["Max", "Min"];
    max_pool: ["MaxPool"] writes MaxPool;
    global_max_pool: ["GlobalMaxPool"];
    average_pool: ["AveragePool", "GlobalAveragePool", "ReduceMean"] writes AveragePool;
    concat: ["Concat"] writes Concat;
    split: ["Split"];
    slice: ["Slice"] writes Slice;
    gather: ["Gather"];
    pad: ["Pad"] writes Pad;
    resize: ["Resize", "Upsample"] writes Resize, Bilinear;
    reshape: ["Reshape", "Flatten", "Squeeze", "Unsqueeze"];
    transpose: ["Transpose"];
    depth_to_space: ["DepthToSpace", "SpaceToDepth"];
    rearrange: [] writes Rearrange;
    identity: ["Identity", "Dropout", "Cast"];
    constant: [] writes Constant;
    softmax: ["Softmax", "LogSoftmax"] writes Softmax;
    arg_max: ["ArgMax"] writes ArgMax;
    lrn: ["LRN"] writes Lrn;
    quantize: ["QuantizeLinear", "DequantizeLinear"];
    qlinear: ["QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearAveragePool",
        "QLinearGlobalAveragePool", "QLinearReduceMean", "QLinearSoftmax", "QLinearConcat", "QGemm", "ConvInteger", "MatMulInteger",
        "DynamicQuantizeLinear"];
    quant: ["Quant"];
    bipolar_quant: ["BipolarQuant"];
    trunc: ["Trunc"];
}

/// Operators of ONNX Runtime's own set that equal ONNX's of that name.
const MICROSOFT: &[&str] = &["QuantizeLinear", "DequantizeLinear", "Gelu"];

/// Operators of ONNX Runtime's own set alone.
const MICROSOFT_ONLY: &[&str] = &[
    "QLinearAdd",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearReduceMean",
    "QLinearSoftmax",
    "QLinearConcat",
    "QGemm",
];

/// QONNX's operators.
const QONNX: &[&str] = &["Quant", "BipolarQuant", "Trunc"];

/// The reader of an operator; `None` for one that is not read.
pub(crate) fn entry(domain: &str, name: &str) -> Option<Read> {
    let ours = match domain {
        "" | "ai.onnx" => !QONNX.contains(&name) && !MICROSOFT_ONLY.contains(&name),
        // QONNX's own, and Brevitas's older name of it.
        "qonnx.custom_op.general" | "onnx.brevitas" => QONNX.contains(&name),
        "com.microsoft" => MICROSOFT.contains(&name) || MICROSOFT_ONLY.contains(&name),
        _ => false,
    };
    READERS
        .iter()
        .find(|(n, _)| *n == name && ours)
        .map(|(_, read)| *read)
}

/// Names of all operators that are read.
pub fn supported() -> String {
    READERS
        .iter()
        .map(|(n, _)| *n)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A node's one output.
pub(crate) fn one(v: Value) -> Outcome {
    Ok(vec![v])
}
