//! The float network: what training learns and quantisation starts from. Mirrors `cnna_machine::layer` with real weights.

use crate::QuantError;
use cnna_machine::layer::{Activation, Padding, Shape, Window};

/// Convolution; a fully connected layer is the convolution whose kernel is its whole input.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatConv {
    /// Output channels.
    pub oc: usize,
    /// Kernel and its steps.
    pub window: Window,
    /// [oc][ic][kh][kw].
    pub weights: Vec<f32>,
    /// [oc].
    pub bias: Vec<f32>,
    /// Applied to the sum.
    pub activation: Activation,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOp {
    /// Convolution or fully connected.
    Conv(FloatConv),
    /// Maximum over the window's valid positions.
    MaxPool(Window),
}

/// One layer of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// Its name in every file and table.
    pub name: String,
    /// What it computes.
    pub op: FloatOp,
    /// Shape of its input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
}

impl FloatLayer {
    /// A fully connected layer sees its whole input at once.
    pub fn is_fc(&self) -> bool {
        match &self.op {
            FloatOp::Conv(c) => {
                c.window.kernel == [self.input.h, self.input.w]
                    && c.window.pad == Padding::default()
                    && (self.output.h, self.output.w) == (1, 1)
            }
            FloatOp::MaxPool(_) => false,
        }
    }
}

/// A chain of layers over real numbers; the input is `pixel / 255`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNet {
    /// From the architecture or the file.
    pub name: String,
    /// Shape of one input image.
    pub input: Shape,
    /// In order of execution.
    pub layers: Vec<FloatLayer>,
}

impl FloatNet {
    /// The layers with weights.
    pub fn convs(&self) -> impl Iterator<Item = &FloatConv> {
        self.layers.iter().filter_map(|l| match &l.op {
            FloatOp::Conv(c) => Some(c),
            FloatOp::MaxPool(_) => None,
        })
    }

    /// The layers with weights.
    pub fn convs_mut(&mut self) -> impl Iterator<Item = &mut FloatConv> {
        self.layers.iter_mut().filter_map(|l| match &mut l.op {
            FloatOp::Conv(c) => Some(c),
            FloatOp::MaxPool(_) => None,
        })
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |l| l.output.len())
    }

    /// Refuses NaN and infinity, by layer and index.
    pub fn check_finite(&self) -> Result<(), QuantError> {
        for l in &self.layers {
            let FloatOp::Conv(c) = &l.op else { continue };
            for (what, values) in [("weight", &c.weights), ("bias", &c.bias)] {
                if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                    return Err(QuantError::NotFinite {
                        layer: l.name.clone(),
                        what,
                        index,
                        value: values[index],
                    });
                }
            }
        }
        Ok(())
    }
}
