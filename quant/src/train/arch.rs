//! Architectures: the layers of a network before it has weights, built in by name or described in TOML.

use super::net::square;
use crate::{FloatNet, QuantError};
use cnna_machine::num::Word;
use cnna_net::op::{Conv, MaxPool};
use cnna_net::{Activation, ArrayLayout, Graph, Op, Shape, Values, Window};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// The built-in descriptions: name and TOML.
pub const BUILT_IN: [(&str, &str); 1] = [("vgg-small", include_str!("../../arch/vgg-small.toml"))];

/// A chain of layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// Becomes the network's name.
    pub name: String,
    /// In order of execution; every layer but the last ends in ReLU.
    #[serde(rename = "layer")]
    pub layers: Vec<ArchLayer>,
}

/// One layer; sizes in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ArchLayer {
    /// Square convolution.
    Conv {
        /// The layer's name.
        name: String,
        /// Output channels.
        channels: usize,
        /// Rows and columns of the kernel.
        kernel: usize,
        /// Step in rows and columns.
        stride: usize,
        /// Zero border on every side.
        pad: usize,
    },
    /// Square max pooling.
    MaxPool {
        /// The layer's name.
        name: String,
        /// Rows and columns of the window.
        kernel: usize,
        /// Step in rows and columns.
        stride: usize,
    },
    /// Fully connected.
    Fc {
        /// The layer's name.
        name: String,
        /// Outputs.
        features: usize,
    },
}

impl ArchLayer {
    /// The layer's name.
    pub fn name(&self) -> &str {
        match self {
            ArchLayer::Conv { name, .. }
            | ArchLayer::MaxPool { name, .. }
            | ArchLayer::Fc { name, .. } => name,
        }
    }
}

impl Arch {
    /// A built-in architecture by name, or a TOML file. Errors: unknown name, unreadable file, unknown or missing key.
    pub fn load(name_or_file: &str) -> Result<Arch, QuantError> {
        let bad = |reason| QuantError::Arch {
            name: name_or_file.into(),
            reason,
        };
        let text = match BUILT_IN.iter().find(|(n, _)| *n == name_or_file) {
            Some((_, text)) => text.to_string(),
            None if name_or_file.ends_with(".toml") => {
                std::fs::read_to_string(name_or_file).map_err(|e| bad(e.to_string()))?
            }
            None => {
                let names: Vec<_> = BUILT_IN.iter().map(|(n, _)| *n).collect();
                return Err(bad(format!(
                    "unknown: use {}, or the path of a .toml file",
                    names.join(", ")
                )));
            }
        };
        toml::from_str(&text).map_err(|e| bad(e.to_string()))
    }

    /// The network with He-uniform weights from `seed` and zero biases, for images of shape `input`.
    ///
    /// Errors: a window that does not fit, a zero size, a name used twice, a last layer that is not `classes` wide.
    /// Source: He et al. 2015, arXiv:1502.01852 (bound sqrt(6 / fan-in)).
    pub fn init(&self, input: Shape, classes: usize, seed: u64) -> Result<FloatNet, QuantError> {
        let bad = |reason| QuantError::Arch {
            name: self.name.clone(),
            reason,
        };
        let mut rng = StdRng::seed_from_u64(seed);
        // Until it is quantised, the width decides nothing.
        let mut graph = Graph::new(&self.name, Word::W16);
        let mut last = graph.input(super::export::INPUT, input, None);
        let mut shape = input;
        for (i, l) in self.layers.iter().enumerate() {
            let (name, is_last) = (l.name(), i + 1 == self.layers.len());
            if self.layers[..i].iter().any(|o| o.name() == name) {
                return Err(bad(format!("two layers are named `{name}`")));
            }
            let (window, oc) = match *l {
                ArchLayer::Conv {
                    channels,
                    kernel,
                    stride,
                    pad,
                    ..
                } => (square(kernel, stride, pad), Some(channels)),
                ArchLayer::MaxPool { kernel, stride, .. } => (square(kernel, stride, 0), None),
                ArchLayer::Fc { features, .. } => (Window::plain(shape.h, shape.w), Some(features)),
            };
            let sizes = [window.kernel[0], window.stride[0], oc.unwrap_or(1)];
            let fits = if sizes.contains(&0) {
                None
            } else {
                window.output(shape.h, shape.w)
            };
            let [h, w] = fits.ok_or_else(|| {
                bad(format!(
                    "layer `{name}`: kernel, stride and channels must be at least 1 and the kernel fit its {shape} input"
                ))
            })?;
            let op: Op = match oc {
                None => MaxPool { window }.into(),
                Some(oc) => {
                    let fan_in = shape.c * window.kernel[0] * window.kernel[1];
                    let bound = (6.0 / fan_in as f32).sqrt();
                    let weights = (0..oc * fan_in)
                        .map(|_| rng.random_range(-bound..bound))
                        .collect();
                    Conv {
                        oc,
                        groups: 1,
                        window,
                        weights: Values::Reals(weights),
                        finer: Vec::new(),
                        bias: Values::Reals(vec![0.0; oc]),
                        activation: match is_last {
                            true => Activation::None,
                            false => Activation::Relu,
                        },
                    }
                    .into()
                }
            };
            last = graph
                .push(name, op, &[last], None)
                .map_err(|e| bad(e.to_string()))?;
            shape = Shape {
                c: oc.unwrap_or(shape.c),
                h,
                w,
            };
        }
        if self.layers.is_empty()
            || (shape
                != Shape {
                    c: classes,
                    h: 1,
                    w: 1,
                })
        {
            return Err(bad(format!(
                "its last layer gives {shape}, the data set needs {classes}x1x1: end with an fc layer of {classes} features"
            )));
        }
        graph.output(last);
        graph.outputs[0].name = super::export::OUTPUT.into();
        graph.outputs[0].array = ArrayLayout {
            dims: vec![classes],
            ..ArrayLayout::plain(shape)
        };
        FloatNet::new(graph).map_err(|e| bad(format!("layer `{}`: {}", e.node, e.reason)))
    }
}
