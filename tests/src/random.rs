//! Random layers and networks: shapes, strides, borders, and the extremes of the number range.

use cnna_machine::layer::{Activation, Conv, Layer, Network, Op, Padding, Shape, Window};
use cnna_machine::num::Word;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// One of a few.
pub fn pick<T: Copy>(r: &mut StdRng, of: &[T]) -> T {
    *of.choose(r).expect("a choice")
}

/// Words over the whole range; some tensors hold nothing but the extremes.
pub fn random_words(r: &mut StdRng, n: usize, word: Word) -> Vec<i16> {
    // Some tensors hold nothing but the extremes.
    let extreme = r.random_ratio(1, 6);
    let any = word.min() as i16..=word.max() as i16;
    (0..n)
        .map(|_| match extreme {
            true => pick(r, &[word.min() as i16, word.max() as i16, 0]),
            false => r.random_range(any.clone()),
        })
        .collect()
}

/// Any kernel up to `largest`, any stride, dilation and border that fits `i`.
pub fn random_window(r: &mut StdRng, i: Shape, largest: usize) -> Window {
    let kernel = match r.random_range(0..4) {
        0 => [3, 3],
        1 => [1, 1],
        _ => [r.random_range(1..=largest), r.random_range(1..=largest)],
    };
    let stride = match r.random_range(0..6) {
        0..=2 => [1, 1],
        3 => [2, 2],
        4 => [4, 4],
        _ => [r.random_range(1..=5), r.random_range(1..=5)],
    };
    let dilation = match r.random_range(0..4) {
        0 => [r.random_range(1..=3), r.random_range(1..=3)],
        _ => [1, 1],
    };
    let mut side = |k: usize| r.random_range(0..=k);
    let pad = Padding {
        top: side(kernel[0]),
        left: side(kernel[1]),
        bottom: side(kernel[0]),
        right: side(kernel[1]),
    };
    let w = Window {
        kernel,
        stride,
        dilation,
        pad,
    };
    match w.output(i.h, i.w) {
        Some(_) => w,
        None => Window::plain(1, 1),
    }
}

/// A convolution with weights over the whole range and a shift that lets some results saturate.
pub fn random_conv(r: &mut StdRng, i: Shape, window: Window, oc: usize, word: Word) -> Conv {
    let n = oc * i.c * window.kernel[0] * window.kernel[1];
    let scale = word.bits() as i32 - 1;
    let spread = (n / oc).ilog2() as i32 / 2;
    Conv {
        oc,
        window,
        weights: random_words(r, n, word),
        weight_frac: 14,
        bias: (0..oc).map(|_| r.random_range(-1 << 20..1 << 20)).collect(),
        shift: match r.random_range(0..8) {
            0 => r.random_range(-16..=47),
            // About the word's full range, so that some results saturate.
            _ => scale + spread + r.random_range(-2..=1),
        },
        activation: pick(r, &[Activation::None, Activation::Relu]),
    }
}

/// Multiply-accumulates of one random layer, at most: the RTL runs it in seconds.
const MOST_MACS: usize = 20_000_000;

/// Channels: mostly few, up to 600.
fn random_channels(r: &mut StdRng) -> usize {
    match r.random_range(0..6) {
        0 => r.random_range(1..=600),
        _ => r.random_range(1..=40),
    }
}

/// Output channels for a window of `i`, few enough for [`MOST_MACS`].
fn random_outputs(r: &mut StdRng, i: Shape, w: &Window) -> usize {
    let [oh, ow] = w.output(i.h, i.w).expect("windows are chosen to fit");
    let each = oh * ow * i.c * w.kernel[0] * w.kernel[1];
    random_channels(r).min((MOST_MACS / each).max(1))
}

/// A convolution, a fully connected layer or a pooling of `i`.
pub fn random_layer(r: &mut StdRng, n: usize, i: Shape, word: Word) -> Layer {
    let kind = r.random_range(0..8);
    let op = match kind {
        0 => {
            let w = Window::plain(i.h, i.w);
            let channels = random_outputs(r, i, &w);
            Op::Conv(random_conv(r, i, w, channels, word))
        }
        1 => Op::MaxPool(random_window(r, i, 4)),
        2 if i.h >= 2 && i.w >= 2 => Op::MaxPool(Window {
            stride: [2, 2],
            ..Window::plain(2, 2)
        }),
        _ => {
            let w = random_window(r, i, 7);
            let channels = random_outputs(r, i, &w);
            Op::Conv(random_conv(r, i, w, channels, word))
        }
    };
    layer(format!("layer{n}"), op, i)
}

fn layer(name: String, op: Op, i: Shape) -> Layer {
    let (w, c) = match &op {
        Op::Conv(c) => (c.window, c.oc),
        Op::MaxPool(w) => (*w, i.c),
    };
    let [oh, ow] = w.output(i.h, i.w).expect("windows are chosen to fit");
    Layer {
        name,
        op,
        input: i,
        output: Shape { c, h: oh, w: ow },
        output_frac: 8,
    }
}

/// One to three layers on inputs of up to 600 channels and 64 x 64 pixels, not both at once.
pub fn random_network(r: &mut StdRng, word: Word) -> Network {
    let c = random_channels(r);
    let side = pick(r, &[1, 4, 9, 16, 40, 64]).min((65_536 / c).isqrt());
    let input = Shape {
        c,
        h: r.random_range(1..=side),
        w: r.random_range(1..=side),
    };
    let mut layers: Vec<Layer> = Vec::new();
    for n in 0..r.random_range(1..=3) {
        let i = layers.last().map_or(input, |l| l.output);
        layers.push(random_layer(r, n, i, word));
    }
    network(input, word, layers)
}

/// Up to one other layer, then one to three fully connected ones: a network whose weights a batch shares.
pub fn random_vector_network(r: &mut StdRng, word: Word) -> Network {
    let side = pick(r, &[1, 2, 5, 9]);
    let input = Shape {
        c: r.random_range(1..=40),
        h: r.random_range(1..=side),
        w: r.random_range(1..=side),
    };
    let mut layers: Vec<Layer> = Vec::new();
    if r.random() {
        layers.push(random_layer(r, 0, input, word));
    }
    let outputs: Vec<usize> = (0..r.random_range(1..=3))
        .map(|_| r.random_range(1..=250))
        .collect();
    let from = layers.last().map_or(input, |l| l.output);
    layers.extend(fully_connected(r, from, &outputs, word).layers);
    network(input, word, layers)
}

/// Fully connected layers with so many outputs each.
pub fn fully_connected(r: &mut StdRng, input: Shape, outputs: &[usize], word: Word) -> Network {
    let mut layers: Vec<Layer> = Vec::new();
    for (n, &outputs) in outputs.iter().enumerate() {
        let i = layers.last().map_or(input, |l| l.output);
        let conv = random_conv(r, i, Window::plain(i.h, i.w), outputs, word);
        layers.push(layer(format!("fc{n}"), Op::Conv(conv), i));
    }
    network(input, word, layers)
}

fn network(input: Shape, word: Word, layers: Vec<Layer>) -> Network {
    Network {
        name: "random".into(),
        word,
        input,
        input_frac: 8,
        layers,
    }
}
