//! The quantised network as integers: what every engine computes, free of tiles and timing.
//!
//! Activations are [channel][row][column] words (`f` fraction bits a tensor); weights [oc][ic][kh][kw].

use crate::num::Word;
use serde::{Deserialize, Serialize};

pub use crate::layout::Shape;

/// Zero (convolution) or never-winning (max pooling) border, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

/// A sliding window: kernel, stride, dilation (rows, columns) and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Distance between taps in rows and columns.
    pub dilation: [usize; 2],
    /// Border.
    pub pad: Padding,
}

impl Window {
    /// Stride 1, dilation 1, no padding.
    pub fn plain(kh: usize, kw: usize) -> Self {
        Window {
            kernel: [kh, kw],
            stride: [1, 1],
            dilation: [1, 1],
            pad: Padding::default(),
        }
    }

    /// Output rows and columns for an input of `h` x `w`; `None` when the kernel does not fit.
    pub fn output(&self, h: usize, w: usize) -> Option<[usize; 2]> {
        let one = |i: usize, before: usize, after: usize, a: usize| {
            let span = self.dilation[a] * (self.kernel[a] - 1) + 1;
            let padded = i + before + after;
            (padded >= span).then(|| (padded - span) / self.stride[a] + 1)
        };
        Some([
            one(h, self.pad.top, self.pad.bottom, 0)?,
            one(w, self.pad.left, self.pad.right, 1)?,
        ])
    }
}

/// Applied to the saturated integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// Identity.
    #[default]
    None,
    /// `max(0, y)`.
    Relu,
}

impl Activation {
    /// The activated word.
    #[inline]
    pub fn apply(self, y: i16) -> i16 {
        match self {
            Activation::None => y,
            Activation::Relu => y.max(0),
        }
    }
}

/// Convolution; a fully connected layer is the convolution whose kernel is its whole input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv {
    /// Output channels.
    pub oc: usize,
    /// Kernel and its steps.
    pub window: Window,
    /// Words, [oc][ic][kh][kw]; stored beside the structure in a program file.
    #[serde(skip)]
    pub weights: Vec<i16>,
    /// Fraction bits of the weights (14 - e for auto-scaled Q2.14).
    pub weight_frac: i32,
    /// Accumulator-scale bias, [oc], `f_in + f_w` fraction bits; stored beside the structure in a program file.
    #[serde(skip)]
    pub bias: Vec<i64>,
    /// Requantisation shift `f_in + f_w - f_out`, in bits.
    pub shift: i32,
    /// Applied after saturation.
    pub activation: Activation,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Convolution or fully connected.
    Conv(Conv),
    /// Maximum over the window's valid positions.
    MaxPool(Window),
}

/// One layer; its input is the layer before it (or the network's input).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The ONNX node's name, or the zoo's.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Shape of its input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
    /// Fraction bits of its output.
    pub output_frac: i32,
}

impl Layer {
    /// Multiply-accumulates of one image, padding counted as in the literature.
    pub fn macs(&self) -> u64 {
        match &self.op {
            Op::Conv(c) => {
                (self.output.len() * self.input.c * c.window.kernel[0] * c.window.kernel[1]) as u64
            }
            Op::MaxPool(_) => 0,
        }
    }

    /// A fully connected layer sees its whole input at once.
    pub fn is_fc(&self) -> bool {
        match &self.op {
            Op::Conv(c) => {
                c.window.kernel == [self.input.h, self.input.w]
                    && c.window.pad == Padding::default()
                    && self.output.h == 1
                    && self.output.w == 1
            }
            Op::MaxPool(_) => false,
        }
    }
}

/// A chain of layers over words of one width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// From the model's file or graph.
    pub name: String,
    /// Word width of weights and activations.
    pub word: Word,
    /// Shape of one input image.
    pub input: Shape,
    /// Fraction bits of the input.
    pub input_frac: i32,
    /// In order of execution.
    pub layers: Vec<Layer>,
}
