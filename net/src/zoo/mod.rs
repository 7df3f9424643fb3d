//! Built-in topologies with weights from a seed: `zoo:vgg16`, `zoo:resnet18@56`, `zoo:conv3x3@56x56x64-64`, `zoo:random`.
//!
//! Real in shape, distribution and number formats; not trained. Batch normalisations are folded. Fractions are chosen so that
//! values neither vanish nor saturate from the first layer to the last.
//!
//! ```text
//! builder.rs      nodes with weights and formats, keeping track of the mean square of each tensor
//! classifiers.rs  VGG16, ResNets, MobileNetV2, EfficientNets, SqueezeNet, DenseNet, LeNet and smaller
//! detectors.rs    YOLOv4-tiny and YOLOv8n up to their heads
//! weights.rs      weights and biases as a function of the seed
//! ```

mod builder;
mod classifiers;
mod detectors;
mod weights;

use crate::graph::Graph;

use crate::Shape;
use crate::random::{self, Limits};
use builder::Builder;
use cnna_machine::num::Word;

/// A topology: its name, its input's channels and side, and what builds it with all channels divided.
struct Topology {
    name: &'static str,
    channels: usize,
    side: usize,
    /// Sides are multiples of it.
    step: usize,
    build: fn(&mut Builder, usize),
}

/// Those that have sizes and divisors.
const TOPOLOGIES: &[Topology] = &[
    classifier("vgg16", classifiers::vgg16),
    classifier("resnet18", classifiers::resnet18),
    classifier("resnet50", classifiers::resnet50),
    classifier("mobilenet-v2", classifiers::mobilenet_v2),
    classifier("efficientnet-lite0", classifiers::efficientnet_lite0),
    classifier("efficientnet-b0", classifiers::efficientnet_b0),
    classifier("squeezenet1.1", classifiers::squeezenet),
    classifier("densenet121", classifiers::densenet121),
    // What is halved five times and doubled again meets what was not.
    Topology {
        name: "yolov4-tiny",
        channels: 3,
        side: 416,
        step: 32,
        build: detectors::yolov4_tiny,
    },
    Topology {
        name: "yolov8n",
        channels: 3,
        side: 640,
        step: 32,
        build: detectors::yolov8n,
    },
];

const fn classifier(name: &'static str, build: fn(&mut Builder, usize)) -> Topology {
    Topology {
        name,
        channels: 3,
        side: 224,
        step: 1,
        build,
    }
}

/// What a zoo name may be.
pub const KNOWN: &str = "zoo:vgg16, zoo:resnet18, zoo:resnet50, zoo:mobilenet-v2, zoo:efficientnet-lite0, zoo:efficientnet-b0, \
zoo:squeezenet1.1, zoo:densenet121 (224x224x3), zoo:yolov4-tiny (416x416x3), zoo:yolov8n (640x640x3), each also as \
zoo:NAME@SIZE (channels divided by its own size over SIZE, as in zoo:vgg16@56) and zoo:NAME@SIZE/DIVISOR (as in \
zoo:vgg16@112/1), zoo:lenet (28x28x1), zoo:tiny (8x8x2), zoo:convKxK@HxWxC-OC (as in zoo:conv3x3@56x56x64-64), and \
zoo:random (another graph for each seed)";

/// A zoo name that is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{name}`: {reason}; the zoo has {KNOWN}")]
pub struct ZooError {
    /// As given.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// True for names that [`network`] reads rather than paths of files.
pub fn is_zoo(name: &str) -> bool {
    name.starts_with("zoo:")
}

/// The networks that have one name each, as [`network`] reads them.
pub fn names() -> impl Iterator<Item = String> {
    let sized = TOPOLOGIES.iter().map(|t| t.name);
    sized
        .chain(["lenet", "tiny", "random"])
        .map(|n| format!("zoo:{n}"))
}

/// Builds the network of that name for words of one width; equal names and seeds give equal integers on any thread count.
///
/// Cost: 2 bytes a weight, about 1 ns a weight and core. Errors: see [`ZooError`].
pub fn network(name: &str, seed: u64, word: Word) -> Result<Graph, ZooError> {
    built(name, seed, word).map_err(|reason| ZooError {
        name: name.into(),
        reason,
    })
}

fn built(name: &str, seed: u64, word: Word) -> Result<Graph, String> {
    let short = name
        .strip_prefix("zoo:")
        .ok_or("a zoo name begins with zoo:")?;
    let (kind, size) = match short.split_once('@') {
        Some((k, s)) => (k, Some(s)),
        None => (short, None),
    };
    let start = |shape: Shape| Builder::new(short, shape, seed, word);
    if let Some(t) = TOPOLOGIES.iter().find(|t| t.name == kind) {
        let (side, divisor) = scaled(t, size)?;
        let mut b = start(Shape::of([t.channels, side, side]));
        (t.build)(&mut b, divisor);
        return Ok(b.graph);
    }
    match (kind, size) {
        ("lenet", None) => {
            let mut b = start(Shape { c: 1, h: 28, w: 28 });
            classifiers::lenet(&mut b);
            Ok(b.graph)
        }
        ("tiny", None) => {
            let mut b = start(Shape { c: 2, h: 8, w: 8 });
            classifiers::tiny(&mut b);
            Ok(b.graph)
        }
        ("random", None) => Ok(random::graph(seed, word, &Limits::default())),
        ("lenet" | "tiny" | "random", Some(_)) => Err("it has one size only".into()),
        (k, Some(size)) if k.starts_with("conv") => {
            let (kernel, shape, oc) = conv_numbers(&k[4..], size).ok_or(
                "write kernel, input and output channels as in zoo:conv3x3@56x56x64-64, each from 1 to 2048",
            )?;
            // Same limit as an imported model's tensors, and twice that for the weights.
            if shape.h * shape.w * shape.c.max(oc) > 1 << 28 {
                return Err("its tensors have more than 268435456 elements".into());
            }
            if kernel[0] * kernel[1] * shape.c * oc > 1 << 29 {
                return Err("it has more than 536870912 weights".into());
            }
            let mut b = start(shape);
            classifiers::one_conv(&mut b, kernel, oc);
            Ok(b.graph)
        }
        _ => Err("unknown name".into()),
    }
}

/// The side and divisor that `56` or `112/1` stands for.
fn scaled(t: &Topology, size: Option<&str>) -> Result<(usize, usize), String> {
    let Some(size) = size else {
        return Ok((t.side, 1));
    };
    let number = |t: &str| {
        t.parse::<usize>()
            .map_err(|_| format!("`{t}` is not a number"))
    };
    let (side, divisor) = match size.split_once('/') {
        Some((a, b)) => (number(a)?, Some(number(b)?)),
        None => (number(size)?, None),
    };
    let most = t.side.max(512);
    if !(32..=most).contains(&side) {
        return Err(format!("size {side} is outside 32 to {most}"));
    }
    if side % t.step != 0 {
        return Err(format!("size {side} is no multiple of {}", t.step));
    }
    let divisor = divisor.unwrap_or((t.side / side).max(1));
    match divisor {
        1..=16 => Ok((side, divisor)),
        _ => Err(format!("divisor {divisor} is outside 1 to 16")),
    }
}

/// `3x3` and `56x56x64-64` as kernel, input shape and output channels.
fn conv_numbers(kernel: &str, size: &str) -> Option<([usize; 2], Shape, usize)> {
    let numbers = |s: &str| -> Option<Vec<usize>> {
        s.split('x')
            .map(|n| n.parse().ok().filter(|n| (1..=2048).contains(n)))
            .collect()
    };
    let (input, oc) = size.split_once('-')?;
    let [kh, kw] = numbers(kernel)?[..] else {
        return None;
    };
    let [h, w, c] = numbers(input)?[..] else {
        return None;
    };
    let [oc] = numbers(oc)?[..] else { return None };
    Some(([kh, kw], Shape { c, h, w }, oc))
}
