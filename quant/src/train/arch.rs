//! Architectures: the layers of a network before it has weights, built in by name or described in TOML.

use super::net::square;
use crate::{FloatNet, QuantError};
use cnna_machine::num::Word;
use cnna_net::op::{Add, AveragePool, Conv, MaxPool};
use cnna_net::{Activation, ArrayLayout, Graph, Op, Padding, Shape, TensorId, Values, Window};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The built-in descriptions: name and TOML.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("vgg-small", include_str!("../../arch/vgg-small.toml")),
    ("resnet20", include_str!("../../arch/resnet20.toml")),
    (
        "mobilenet-v2-small",
        include_str!("../../arch/mobilenet-v2-small.toml"),
    ),
    ("all-cnn", include_str!("../../arch/all-cnn.toml")),
    ("nin", include_str!("../../arch/nin.toml")),
];

/// Layers, each behind the one before it unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// Becomes the network's name.
    pub name: String,
    /// In order of execution.
    #[serde(rename = "layer")]
    pub layers: Vec<ArchLayer>,
}

/// What follows a layer's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchActivation {
    /// Nothing.
    None,
    /// `max(0, y)`.
    Relu,
    /// `min(6, max(0, y))`.
    Relu6,
}

/// One layer; sizes in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ArchLayer {
    /// Square convolution.
    Conv {
        /// The layer's name.
        name: String,
        /// The layer that it reads; without one that before it.
        from: Option<String>,
        /// Output channels.
        channels: usize,
        /// Rows and columns of the kernel.
        kernel: usize,
        /// Step in rows and columns.
        stride: usize,
        /// Zero border on every side.
        pad: usize,
        /// Groups; without them 1. As many as channels is depthwise.
        groups: Option<usize>,
        /// Batch normalisation of its sums, folded into it after training.
        #[serde(default)]
        norm: bool,
        /// Without one ReLU, and none for the last layer.
        activation: Option<ArchActivation>,
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
    /// Mean of each whole channel.
    GlobalAverage {
        /// The layer's name.
        name: String,
    },
    /// Sum with an earlier layer of the same shape.
    Add {
        /// The layer's name.
        name: String,
        /// The earlier layer.
        with: String,
        /// Without one ReLU.
        activation: Option<ArchActivation>,
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
            | ArchLayer::GlobalAverage { name }
            | ArchLayer::Add { name, .. }
            | ArchLayer::Fc { name, .. } => name,
        }
    }
}

fn activation(wanted: Option<ArchActivation>, is_last: bool) -> Activation {
    match wanted {
        Some(ArchActivation::Relu6) => Activation::Clip { lo: 0.0, hi: 6.0 },
        Some(ArchActivation::Relu) => Activation::Relu,
        Some(ArchActivation::None) => Activation::None,
        None if is_last => Activation::None,
        None => Activation::Relu,
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
    /// Errors: a window that does not fit, a zero size, a name used twice or not at all, shapes that do not meet, a
    /// last layer that is not `classes` wide. Source: He et al. 2015, arXiv:1502.01852 (bound sqrt(6 / fan-in)).
    pub fn init(&self, input: Shape, classes: usize, seed: u64) -> Result<FloatNet, QuantError> {
        let bad = |reason| QuantError::Arch {
            name: self.name.clone(),
            reason,
        };
        let mut rng = StdRng::seed_from_u64(seed);
        // Until it is quantised, the width decides nothing.
        let mut graph = Graph::new(&self.name, Word::W16);
        let mut last = graph.input(super::export::INPUT, input, None);
        let mut places: HashMap<&str, TensorId> = HashMap::new();
        let mut normalised = Vec::new();
        for (i, l) in self.layers.iter().enumerate() {
            let (name, is_last) = (l.name(), i + 1 == self.layers.len());
            let earlier = |other: &String| {
                let known = places.get(&other[..]).copied();
                known.ok_or_else(|| {
                    bad(format!(
                        "layer `{name}`: no layer before it is named `{other}`"
                    ))
                })
            };
            let mut inputs = vec![last];
            if let ArchLayer::Conv {
                from: Some(from), ..
            } = l
            {
                inputs = vec![earlier(from)?];
            }
            let shape = graph.tensors[inputs[0]].shape;
            let mut conv = |oc: usize,
                            groups: usize,
                            window: Window,
                            activation: Activation|
             -> Result<Op, QuantError> {
                let divides = |n: usize| n.is_multiple_of(groups);
                if groups == 0 || !divides(shape.c) || !divides(oc) || oc == 0 {
                    return Err(bad(format!(
                        "layer `{name}`: channels must be at least 1, and its groups divide its {} input and {oc} output channels",
                        shape.c
                    )));
                }
                let fan_in = shape.c / groups * window.kernel[0] * window.kernel[1];
                let bound = (6.0 / fan_in as f32).sqrt();
                let weights = (0..oc * fan_in).map(|_| rng.random_range(-bound..bound));
                Ok(Conv {
                    oc,
                    groups,
                    window,
                    weights: Values::Reals(weights.collect()),
                    finer: Vec::new(),
                    bias: Values::Reals(vec![0.0; oc]),
                    activation,
                }
                .into())
            };
            let fits = |window: Window| match window.kernel.contains(&0)
                || window.stride.contains(&0)
            {
                false if window.output(shape.h, shape.w).is_some() => Ok(window),
                _ => Err(bad(format!(
                    "layer `{name}`: kernel, stride and channels must be at least 1 and the kernel fit its {shape} input"
                ))),
            };
            let whole = Window::plain(shape.h, shape.w);
            let op: Op = match l {
                ArchLayer::Conv {
                    channels,
                    kernel,
                    stride,
                    pad,
                    groups,
                    activation: wanted,
                    ..
                } => {
                    let window = fits(square(*kernel, *stride, *pad))?;
                    conv(
                        *channels,
                        groups.unwrap_or(1),
                        window,
                        activation(*wanted, is_last),
                    )?
                }
                ArchLayer::Fc { features, .. } => {
                    conv(*features, 1, whole, activation(None, is_last))?
                }
                ArchLayer::MaxPool { kernel, stride, .. } => {
                    let window = fits(square(*kernel, *stride, 0))?;
                    MaxPool { window }.into()
                }
                ArchLayer::GlobalAverage { .. } => AveragePool {
                    window: whole,
                    counted: Padding::default(),
                }
                .into(),
                ArchLayer::Add {
                    with,
                    activation: wanted,
                    ..
                } => {
                    inputs.push(earlier(with)?);
                    Add {
                        negative: vec![false; 2],
                        activation: activation(*wanted, is_last),
                    }
                    .into()
                }
            };
            if let ArchLayer::Conv {
                norm: true,
                channels,
                ..
            } = l
            {
                normalised.push((graph.nodes.len(), *channels));
            }
            last = graph
                .push(name, op, &inputs, None)
                .map_err(|e| bad(e.to_string()))?;
            if places.insert(name, last).is_some() {
                return Err(bad(format!("two layers are named `{name}`")));
            }
        }
        let shape = graph.tensors[last].shape;
        let wanted = Shape {
            c: classes,
            h: 1,
            w: 1,
        };
        if self.layers.is_empty() || shape != wanted {
            return Err(bad(format!(
                "its last layer gives {shape}, the data set needs {wanted}: end with an fc layer of {classes} features"
            )));
        }
        graph.output(last);
        graph.outputs[0].name = super::export::OUTPUT.into();
        graph.outputs[0].array = ArrayLayout {
            dims: vec![classes],
            ..ArrayLayout::plain(shape)
        };
        let mut net =
            FloatNet::new(graph).map_err(|e| bad(format!("layer `{}`: {}", e.node, e.reason)))?;
        normalised
            .into_iter()
            .for_each(|(node, channels)| net.normalise(node, channels));
        Ok(net)
    }
}
