//! Built-in topologies with weights from a seed: `zoo:vgg16`, `zoo:vgg16@56`, `zoo:lenet`, `zoo:tiny`, `zoo:conv3x3@56x56x64-64`.
//!
//! Real in shape, distribution and number formats; not trained. Fractions are chosen so that values neither vanish nor
//! saturate from the first layer to the last. Source: Simonyan and Zisserman 2014, arXiv:1409.1556, configuration D.

mod random;

use cnna_machine::layer::{Activation, Conv, Layer, Network, Op, Padding, Shape, Window};
use cnna_machine::num::Word;

/// What a zoo name may be.
pub const KNOWN: &str = "zoo:vgg16 (224x224x3), zoo:vgg16@SIZE (channels divided by 224/SIZE, as in zoo:vgg16@56), \
zoo:vgg16@SIZE/DIVISOR (as in zoo:vgg16@112/1), zoo:lenet (28x28x1), zoo:tiny (8x8x2), zoo:convKxK@HxWxC-OC (as in zoo:conv3x3@56x56x64-64)";

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

/// Builds the network of that name for words of one width; equal names and seeds give equal integers on any thread count.
///
/// Cost: 2 bytes a weight, about 1 ns a weight and core. Errors: see [`ZooError`].
pub fn network(name: &str, seed: u64, word: Word) -> Result<Network, ZooError> {
    let bad = |reason: &str| ZooError {
        name: name.into(),
        reason: reason.into(),
    };
    let short = name
        .strip_prefix("zoo:")
        .ok_or_else(|| bad("a zoo name begins with zoo:"))?;
    let (kind, size) = match short.split_once('@') {
        Some((k, s)) => (k, Some(s)),
        None => (short, None),
    };
    let mut b = match (kind, size) {
        ("vgg16", size) => vgg16(short, seed, word, size).map_err(|r| bad(&r))?,
        ("lenet", None) => lenet(short, seed, word),
        ("tiny", None) => tiny(short, seed, word),
        (k, Some(size)) if k.starts_with("conv") => {
            let (kernel, shape, oc) = conv_numbers(&k[4..], size)
                .ok_or_else(|| bad("write kernel, input and output channels as in zoo:conv3x3@56x56x64-64, each from 1 to 2048"))?;
            let mut b = Builder::new(short, shape, seed, word);
            let pad = (kernel[0] / 2, kernel[1] / 2);
            b.conv("conv", oc, kernel, pad, Activation::Relu);
            b
        }
        ("lenet" | "tiny", Some(_)) => return Err(bad("it has one size only")),
        _ => return Err(bad("unknown name")),
    };
    b.net.layers.shrink_to_fit();
    Ok(b.net)
}

/// Convolutions and channels of VGG16's five blocks.
const VGG16: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

fn vgg16(name: &str, seed: u64, word: Word, size: Option<&str>) -> Result<Builder, String> {
    let (side, divisor) = match size {
        None => (224, 1),
        Some(s) => {
            let (side, divisor) = match s.split_once('/') {
                Some((a, b)) => (a, Some(b)),
                None => (s, None),
            };
            let number = |t: &str| {
                t.parse::<usize>()
                    .map_err(|_| format!("`{t}` is not a number"))
            };
            let side = number(side)?;
            if !(32..=512).contains(&side) {
                return Err(format!("size {side} is outside 32 to 512"));
            }
            let divisor = match divisor {
                Some(d) => number(d)?,
                None => (224 / side).max(1),
            };
            if !(1..=16).contains(&divisor) {
                return Err(format!("divisor {divisor} is outside 1 to 16"));
            }
            (side, divisor)
        }
    };
    let shape = Shape {
        c: 3,
        h: side,
        w: side,
    };
    let mut b = Builder::new(name, shape, seed, word);
    for (block, (convs, channels)) in (1..).zip(VGG16) {
        for i in 1..=convs {
            b.conv(
                &format!("conv{block}_{i}"),
                channels / divisor,
                [3, 3],
                (1, 1),
                Activation::Relu,
            );
        }
        b.pool(&format!("pool{block}"));
    }
    b.fc("fc6", 4096 / divisor, Activation::Relu);
    b.fc("fc7", 4096 / divisor, Activation::Relu);
    b.fc("fc8", 1000 / divisor, Activation::None);
    Ok(b)
}

fn lenet(name: &str, seed: u64, word: Word) -> Builder {
    let mut b = Builder::new(name, Shape { c: 1, h: 28, w: 28 }, seed, word);
    b.conv("conv1", 16, [5, 5], (2, 2), Activation::Relu);
    b.pool("pool1");
    b.conv("conv2", 32, [5, 5], (2, 2), Activation::Relu);
    b.pool("pool2");
    b.fc("fc1", 128, Activation::Relu);
    b.fc("fc2", 10, Activation::None);
    b
}

fn tiny(name: &str, seed: u64, word: Word) -> Builder {
    let mut b = Builder::new(name, Shape { c: 2, h: 8, w: 8 }, seed, word);
    b.conv("conv1", 6, [3, 3], (1, 1), Activation::Relu);
    b.pool("pool1");
    b.conv("conv2", 5, [3, 3], (1, 1), Activation::None);
    b.fc("fc", 4, Activation::None);
    b
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
    // Same limit as an imported model's tensors, and twice that for the weights.
    let fits = h * w * c.max(oc) <= 1 << 28 && kh * kw * c * oc <= 1 << 29;
    (fits && kh <= h && kw <= w).then_some(([kh, kw], Shape { c, h, w }, oc))
}

/// Fraction bits of the input: the range [-2, 2) holds a normalised image.
const fn input_frac(word: Word) -> i32 {
    word.weight_frac()
}
/// Mean square expected of the input: uniform over its whole range.
const INPUT_POWER: f64 = 4.0 / 3.0;
/// Mean square behind 2x2 max pooling over that before it: 1 for equal neighbours, 3.1 for independent ones. With 1.5 the
/// largest value of every layer of VGG16 is 0.24 to 0.60 of full scale on uniform noise, and nothing saturates.
const POOL_GAIN: f64 = 1.5;
/// Standard deviations of an output that its format holds at least.
const HEADROOM: f64 = 8.0;
/// Bias over output, in standard deviations.
const BIAS: f64 = 0.05;

/// Appends layers, keeping track of the mean square of the activations.
struct Builder {
    net: Network,
    shape: Shape,
    frac: i32,
    power: f64,
    seed: u64,
}

impl Builder {
    fn new(name: &str, input: Shape, seed: u64, word: Word) -> Self {
        let frac = input_frac(word);
        let net = Network {
            name: name.into(),
            word,
            input,
            input_frac: frac,
            layers: Vec::new(),
        };
        Builder {
            net,
            shape: input,
            frac,
            power: INPUT_POWER,
            seed,
        }
    }

    /// A convolution with He-scaled weights: variance 2 / fan-in keeps the mean square through a ReLU.
    fn conv(
        &mut self,
        name: &str,
        oc: usize,
        kernel: [usize; 2],
        pad: (usize, usize),
        activation: Activation,
    ) {
        let word = self.net.word;
        let fan_in = self.shape.c * kernel[0] * kernel[1];
        let key = random::key(self.seed, self.net.layers.len() as u64);
        let (weights, weight_frac) =
            random::weights(key, oc * fan_in, (2.0 / fan_in as f64).sqrt(), word);
        let deviation = (2.0 * self.power).sqrt();
        let bias = random::bias(key, oc, BIAS * deviation, self.frac + weight_frac);
        let limit = (word.max() as f64) / (HEADROOM * deviation);
        let output_frac = limit.log2().floor() as i32;
        let window = Window {
            pad: Padding {
                top: pad.0,
                left: pad.1,
                bottom: pad.0,
                right: pad.1,
            },
            ..Window::plain(kernel[0], kernel[1])
        };
        let conv = Conv {
            oc,
            window,
            weights,
            weight_frac,
            bias,
            shift: self.frac + weight_frac - output_frac,
            activation,
        };
        if activation == Activation::None {
            self.power *= 2.0;
        }
        self.frac = output_frac;
        self.push(name, Op::Conv(conv), oc, window);
    }

    fn fc(&mut self, name: &str, oc: usize, activation: Activation) {
        self.conv(name, oc, [self.shape.h, self.shape.w], (0, 0), activation);
    }

    fn pool(&mut self, name: &str) {
        let window = Window {
            stride: [2, 2],
            ..Window::plain(2, 2)
        };
        self.power *= POOL_GAIN;
        self.push(name, Op::MaxPool(window), self.shape.c, window);
    }

    fn push(&mut self, name: &str, op: Op, c: usize, window: Window) {
        let [h, w] = window
            .output(self.shape.h, self.shape.w)
            .expect("the zoo's sizes leave at least a pixel");
        let output = Shape { c, h, w };
        self.net.layers.push(Layer {
            name: name.into(),
            op,
            input: self.shape,
            output,
            output_frac: self.frac,
        });
        self.shape = output;
    }
}
