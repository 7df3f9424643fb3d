//! Architectures: the layers of a network before it has weights, built in by name or described in TOML.
//!
//! ```text
//! blocks.rs  one network for each down-sampling block
//! build.rs   layers become nodes
//! pooling.rs down-sampling blocks from the literature, of operators that the machine has
//! ```

mod blocks;
mod build;
mod pooling;

use crate::{FloatNet, QuantError};
pub use blocks::{BLOCKS, with_block};
use cnna_net::Shape;
use serde::{Deserialize, Serialize};

macro_rules! built_in {
    ($($name:literal,)*) => {
        /// The built-in descriptions: name and TOML.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../arch/", $name, ".toml"))),)*];
    };
}

built_in! {
    "vgg-small",
    "vgg-bn",
    "resnet20",
    "resnext20",
    "mobilenet-v2-small",
    "all-cnn",
    "nin",
    "dla-small",
    "csp-small",
    "se-small",
    "poolformer-small",
    "mixer-small",
    "fcn-1d",
    "deeplab-tiny",
    "yolo-tiny",
}

/// Layers, each behind the one before it unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// `y` where it is positive, else a tenth of it.
    Leaky,
    /// `1 / (1 + exp(-y))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `y * sigmoid(y)`.
    Silu,
    /// `y` times the normal distribution up to it.
    Gelu,
    /// `y * min(1, max(0, y / 6 + 1/2))`.
    HardSwish,
}

/// Rows and columns, or one number for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// The same.
    Both(usize),
    /// Rows, then columns.
    Each([usize; 2]),
}

impl Sides {
    /// Rows and columns.
    pub fn get(self) -> [usize; 2] {
        match self {
            Sides::Both(n) => [n; 2],
            Sides::Each(n) => n,
        }
    }
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct ArchLayer {
    /// Unique.
    pub name: String,
    /// The layer that it reads; without one that before it.
    pub from: Option<String>,
    /// What it computes.
    pub kind: LayerKind,
}

/// The keys `name` and `from` are every layer's, the others its kind's. Errors: a key that is missing, unknown or wrong.
impl TryFrom<toml::Table> for ArchLayer {
    type Error = String;
    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let mut text = |key: &str| match table.remove(key) {
            Some(toml::Value::String(s)) => Ok(Some(s)),
            Some(other) => Err(format!("a layer's `{key}` is {other}, expected a text")),
            None => Ok(None),
        };
        let name = text("name")?.ok_or("a layer has no `name`: give it one of its own")?;
        let from = text("from")?;
        let kind = LayerKind::deserialize(table);
        let kind = kind.map_err(|e| format!("layer `{name}`: {}", e.message()))?;
        Ok(ArchLayer { name, from, kind })
    }
}

fn one() -> Sides {
    Sides::Both(1)
}

fn zero() -> Sides {
    Sides::Both(0)
}

fn halves() -> usize {
    2
}

fn cube() -> f32 {
    3.0
}

/// What a layer computes; sizes in pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerKind {
    /// Convolution.
    Conv {
        /// Output channels.
        channels: usize,
        /// Rows and columns of the kernel.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
        /// Zero border on every side.
        pad: Sides,
        /// Groups; without them 1. As many as channels is depthwise.
        groups: Option<usize>,
        /// Distance between the kernel's taps: more than 1 is atrous.
        #[serde(default = "one")]
        dilation: Sides,
        /// Batch normalisation of its sums, folded into it after training.
        #[serde(default)]
        norm: bool,
        /// Without one ReLU, and none for the last layer.
        activation: Option<ArchActivation>,
    },
    /// Max pooling.
    MaxPool {
        /// Rows and columns of the window.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
        /// Border that never wins.
        #[serde(default = "zero")]
        pad: Sides,
    },
    /// Average pooling.
    AveragePool {
        /// Rows and columns of the window.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
        /// Border that does not count.
        #[serde(default = "zero")]
        pad: Sides,
    },
    /// Mean of each whole channel.
    GlobalAverage {},
    /// Maximum of each whole channel.
    GlobalMax {},
    /// Sum with an earlier layer of the same shape, or what remains of the layer without it.
    Add {
        /// The earlier layer.
        with: String,
        /// Subtract it.
        #[serde(default)]
        negative: bool,
        /// Without one ReLU.
        activation: Option<ArchActivation>,
    },
    /// The layer's channels, then those of earlier layers of the same size.
    Concat {
        /// The earlier layers.
        with: Vec<String>,
    },
    /// Some of the channels.
    Channels {
        /// The first.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Each row and column so many times.
    Upsample {
        /// How many.
        factor: usize,
    },
    /// Fully connected.
    Fc {
        /// Outputs.
        features: usize,
        /// Without one ReLU, and none for the last layer.
        activation: Option<ArchActivation>,
    },
    /// The largest of so many neighbouring parts of the channels.
    Maxout {
        /// Parts.
        pieces: usize,
    },
    /// A learned mixture of maximum and average, one share a channel.
    MixedPool {
        /// Rows and columns of the window.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
    },
    /// The same with a share that each window's values decide.
    GatedPool {
        /// Rows and columns of the window.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
    },
    /// Learned filters, mixed by a tree of such gates.
    TreePool {
        /// Rows and columns of the window.
        kernel: Sides,
        /// Step in rows and columns.
        stride: Sides,
        /// Gates from root to leaf, 1 to 3.
        levels: u32,
    },
    /// Mean weighted by the exponentials of the values; windows do not overlap.
    SoftPool {
        /// Rows and columns of the window.
        #[serde(default = "halves")]
        kernel: usize,
    },
    /// A learned mixture of SoftPool and of the mean weighted by each value's likeness to the mean.
    AdaPool {
        /// Rows and columns of the window.
        #[serde(default = "halves")]
        kernel: usize,
    },
    /// Every second pixel of a binomial filter's result, which is not trained.
    BlurPool {
        /// Rows and columns of the filter, 2 to 5.
        kernel: usize,
    },
    /// Blocks of pixels become channels.
    SpaceToDepth {
        /// Rows and columns of a block.
        #[serde(default = "halves")]
        block: usize,
    },
    /// Generalised mean: the root of the mean power of what is not negative; of whole channels where it has no kernel.
    GemPool {
        /// Rows and columns of the window, and its step.
        kernel: Option<usize>,
        /// The power.
        #[serde(default = "cube")]
        power: f32,
    },
    /// Each channel times a gate that all channels' means decide.
    SqueezeExcite {
        /// Channels for each one in between.
        reduction: usize,
    },
    /// Pixels become channels, and channels rows: [c][h][w] becomes [h * w][c][1].
    Tokens {},
    /// The opposite.
    Pixels {
        /// Rows of the map; its columns follow.
        rows: usize,
    },
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
        Self::parse(&text).map_err(|e| bad(e.to_string()))
    }

    /// A description. Errors: unknown or missing key.
    pub fn parse(text: &str) -> Result<Arch, toml::de::Error> {
        toml::from_str(text)
    }

    /// The network with He-uniform weights from `seed` and zero biases, for images of shape `input`.
    ///
    /// Errors: a window that does not fit, a zero size, a name used twice or not at all, shapes that do not meet, a
    /// last layer that is not `classes` wide. Source: He et al. 2015, arXiv:1502.01852 (bound sqrt(6 / fan-in)).
    pub fn init(&self, input: Shape, classes: usize, seed: u64) -> Result<FloatNet, QuantError> {
        build::network(self, input, classes, seed).map_err(|reason| QuantError::Arch {
            name: self.name.clone(),
            reason,
        })
    }
}
