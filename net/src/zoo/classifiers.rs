//! Networks that tell images apart.

use super::builder::{Builder, Layer, NORMALISED, conv};
use crate::graph::TensorId;
use crate::window::{Padding, Window};
use crate::{Activation, Shape};

/// Convolutions and channels of VGG16's five blocks.
const VGG16: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// Source: Simonyan and Zisserman 2014, arXiv:1409.1556, configuration D.
pub(super) fn vgg16(b: &mut Builder, divisor: usize) {
    let mut x = b.input();
    for (block, (convs, channels)) in (1..).zip(VGG16) {
        for i in 1..=convs {
            x = b.conv(
                &format!("conv{block}_{i}"),
                x,
                conv(channels / divisor, 3, 1),
            );
        }
        x = b.pool(&format!("pool{block}"), x);
    }
    x = b.fc("fc6", x, 4096 / divisor, Activation::Relu);
    x = b.fc("fc7", x, 4096 / divisor, Activation::Relu);
    x = b.fc("fc8", x, 1000 / divisor, Activation::None);
    b.classes(x);
}

pub(super) fn lenet(b: &mut Builder) {
    let x = b.input();
    let x = b.conv("conv1", x, conv(16, 5, 1));
    let x = b.pool("pool1", x);
    let x = b.conv("conv2", x, conv(32, 5, 1));
    let x = b.pool("pool2", x);
    let x = b.fc("fc1", x, 128, Activation::Relu);
    let x = b.fc("fc2", x, 10, Activation::None);
    b.classes(x);
}

pub(super) fn tiny(b: &mut Builder) {
    let x = b.input();
    let x = b.conv("conv1", x, conv(6, 3, 1));
    let x = b.pool("pool1", x);
    let x = b.conv("conv2", x, conv(5, 3, 1).linear());
    let x = b.fc("fc", x, 4, Activation::None);
    b.classes(x);
}

pub(super) fn one_conv(b: &mut Builder, [kh, kw]: [usize; 2], oc: usize) {
    let window = Window {
        pad: Padding {
            top: kh / 2,
            left: kw / 2,
            bottom: kh / 2,
            right: kw / 2,
        },
        ..Window::plain(kh, kw)
    };
    let x = b.input();
    let x = b.conv("conv", x, conv(oc, 1, 1).window(window));
    b.graph.output(x);
}

/// Mean square that sums of a residual stage stay below: all its tensors share the format for it.
const STAGE: f64 = 3.0;
/// Mean square of a branch over that of what it is added to.
const BRANCH: f64 = 0.25;

/// Source: He et al. 2015, arXiv:1512.03385, 18 layers.
pub(super) fn resnet18(b: &mut Builder, divisor: usize) {
    resnet(b, divisor, [2, 2, 2, 2], false);
}

/// The same, 50 layers: the first 1x1 convolution of a stage takes its step.
pub(super) fn resnet50(b: &mut Builder, divisor: usize) {
    resnet(b, divisor, [3, 4, 6, 3], true);
}

fn resnet(b: &mut Builder, divisor: usize, blocks: [usize; 4], bottleneck: bool) {
    let x = b.input();
    let x = b.conv("conv1", x, conv(64 / divisor, 7, 2).power(NORMALISED));
    let window = Window {
        stride: [2, 2],
        pad: Padding {
            top: 1,
            left: 1,
            bottom: 1,
            right: 1,
        },
        ..Window::plain(3, 3)
    };
    let mut x = b.max_pool("maxpool", x, window);
    for (stage, n) in blocks.into_iter().enumerate() {
        let inner = (64 << stage) / divisor;
        let oc = if bottleneck { 4 * inner } else { inner };
        for block in 0..n {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let projected = b.shape(x).c != oc || stride != 1;
            let (frac, power) = match projected {
                true => (b.frac_for(STAGE), 1.0),
                false => (b.frac(x), BRANCH * b.power(x)),
            };
            let last = |k| conv(oc, k, 1).linear().power(power).frac(frac);
            let mut y = x;
            if bottleneck {
                y = b.conv(&name("conv1"), y, conv(inner, 1, stride).power(NORMALISED));
                y = b.conv(&name("conv2"), y, conv(inner, 3, 1).power(NORMALISED));
                y = b.conv(&name("conv3"), y, last(1));
            } else {
                y = b.conv(&name("conv1"), y, conv(inner, 3, stride).power(NORMALISED));
                y = b.conv(&name("conv2"), y, last(3));
            }
            if projected {
                let spec = conv(oc, 1, stride).linear().power(power).frac(frac);
                x = b.conv(&name("downsample"), x, spec);
            }
            x = b.add(&name("add"), x, y, true);
        }
    }
    head(b, x, 1000 / divisor);
}

fn head(b: &mut Builder, x: TensorId, classes: usize) {
    let x = b.global_average("avgpool", x);
    let x = b.fc("fc", x, classes, Activation::None);
    b.classes(x);
}

const RELU6: Activation = Activation::Clip { lo: 0.0, hi: 6.0 };

/// A stage of inverted residuals: widening, kernel, step, channels, blocks.
type Inverted = (usize, usize, usize, usize, usize);

/// Source: Sandler et al. 2018, arXiv:1801.04381, table 2.
pub(super) fn mobilenet_v2(b: &mut Builder, divisor: usize) {
    let stages = [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 3, 2, 32, 3),
        (6, 3, 2, 64, 4),
        (6, 3, 1, 96, 3),
        (6, 3, 2, 160, 3),
        (6, 3, 1, 320, 1),
    ];
    inverted_residuals(b, divisor, &stages, half, false);
}

/// Before and behind a side half of the kernel.
fn half(_side: usize, kernel: usize, _stride: usize) -> [usize; 2] {
    [kernel / 2; 2]
}

/// Stages of EfficientNet-B0. Source: Tan and Le 2019, arXiv:1905.11946, table 1.
const EFFICIENTNET: [Inverted; 7] = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
];

/// With SiLU, and squeeze and excite by a quarter of a block's input channels.
pub(super) fn efficientnet_b0(b: &mut Builder, divisor: usize) {
    inverted_residuals(b, divisor, &EFFICIENTNET, half, true);
}

/// Without squeeze and excite and with ReLU6, as the lite variants are. Borders are TensorFlow's: where they are odd the larger part
/// lies behind.
pub(super) fn efficientnet_lite0(b: &mut Builder, divisor: usize) {
    let border = |side: usize, k: usize, stride: usize| {
        let all = ((side.div_ceil(stride) - 1) * stride + k).saturating_sub(side);
        [all / 2, all - all / 2]
    };
    inverted_residuals(b, divisor, &EFFICIENTNET, border, false);
}

/// `border` gives what lies before and behind a side for a kernel and step; `full`: SiLU instead of ReLU6, and squeeze and excite.
fn inverted_residuals(
    b: &mut Builder,
    divisor: usize,
    stages: &[Inverted],
    border: fn(usize, usize, usize) -> [usize; 2],
    full: bool,
) {
    let padded = |b: &Builder, x: TensorId, k: usize, stride: usize| {
        let Shape { h, w, .. } = b.shape(x);
        let ([top, bottom], [left, right]) = (border(h, k, stride), border(w, k, stride));
        Padding {
            top,
            left,
            bottom,
            right,
        }
    };
    let convolve = |b: &mut Builder, name: &str, x: TensorId, layer: Layer| match full {
        true => b.silu(name, x, layer),
        false => b.conv(name, x, layer.then(RELU6).power(NORMALISED)),
    };
    let frac = b.frac_for(STAGE);
    let mut x = b.input();
    let pad = padded(b, x, 3, 2);
    x = convolve(b, "stem", x, conv(32 / divisor, 3, 2).pad(pad));
    let mut block = 0;
    for &(widening, kernel, step, channels, blocks) in stages {
        for n in 0..blocks {
            let name = |part: &str| format!("block{block}.{part}");
            let stride = if n == 0 { step } else { 1 };
            let inner = b.shape(x).c * widening;
            let mut y = x;
            if widening > 1 {
                y = convolve(b, &name("expand"), y, conv(inner, 1, 1));
            }
            let pad = padded(b, y, kernel, stride);
            let spec = conv(inner, kernel, stride).pad(pad).depthwise();
            y = convolve(b, &name("depthwise"), y, spec);
            if full {
                let squeezed = (b.shape(x).c / 4).max(1);
                y = b.squeeze_excite(&name("se"), y, squeezed);
            }
            let power = if n == 0 { 1.0 } else { 2.0 * BRANCH };
            let spec = conv(channels / divisor, 1, 1).linear();
            y = b.conv(&name("project"), y, spec.power(power).frac(frac));
            x = match n {
                0 => y,
                _ => b.add(&name("add"), x, y, false),
            };
            block += 1;
        }
    }
    x = convolve(b, "head", x, conv(1280 / divisor, 1, 1));
    head(b, x, 1000 / divisor);
}

/// Source: Iandola et al. 2016, arXiv:1602.07360, in the authors' version 1.1.
pub(super) fn squeezenet(b: &mut Builder, divisor: usize) {
    // Channels of the squeezed part and of each expanded one; 0 is a pooling.
    let fires = [0, 16, 16, 0, 32, 32, 0, 48, 48, 64, 64];
    let x = b.input();
    let mut x = b.conv(
        "conv1",
        x,
        conv(64 / divisor, 3, 2)
            .power(NORMALISED)
            .pad(Padding::default()),
    );
    let (mut fire, mut pool) = (2, 1);
    for squeezed in fires {
        if squeezed == 0 {
            x = b.pool3_up(&format!("pool{pool}"), x);
            pool += 1;
            continue;
        }
        let name = |part: &str| format!("fire{fire}.{part}");
        let expanded = 4 * squeezed / divisor;
        x = b.conv(
            &name("squeeze"),
            x,
            conv(squeezed / divisor, 1, 1).power(NORMALISED),
        );
        let one = b.conv(
            &name("expand1x1"),
            x,
            conv(expanded, 1, 1).power(NORMALISED),
        );
        let three = b.conv(
            &name("expand3x3"),
            x,
            conv(expanded, 3, 1).power(NORMALISED),
        );
        x = b.concat(&name("concat"), &[one, three]);
        fire += 1;
    }
    let x = b.conv("conv10", x, conv(1000 / divisor, 1, 1).power(NORMALISED));
    let x = b.global_average("avgpool", x);
    b.classes(x);
}

/// Source: Huang et al. 2016, arXiv:1608.06993, 121 layers. A batch normalisation behind a concatenation folds into no
/// convolution: it is a 1x1 one of each channel.
pub(super) fn densenet121(b: &mut Builder, divisor: usize) {
    let growth = 32 / divisor;
    let x = b.input();
    let x = b.conv("conv0", x, conv(64 / divisor, 7, 2).power(NORMALISED));
    let window = Window {
        stride: [2, 2],
        pad: Padding {
            top: 1,
            left: 1,
            bottom: 1,
            right: 1,
        },
        ..Window::plain(3, 3)
    };
    let mut x = b.max_pool("pool0", x, window);
    let normalised = |b: &mut Builder, name: &str, x: TensorId| {
        // One weight a channel: sums have the weights' tails, not those of many.
        let frac = b.frac_for(16.0 * NORMALISED);
        let spec = conv(b.shape(x).c, 1, 1).depthwise();
        b.conv(name, x, spec.power(NORMALISED).frac(frac))
    };
    for (block, layers) in (1..).zip([6, 12, 24, 16]) {
        let frac = b.frac(x);
        for layer in 1..=layers {
            let name = |part: &str| format!("block{block}.layer{layer}.{part}");
            let y = normalised(b, &name("norm1"), x);
            // Of few channels that have such tails.
            let frac1 = b.frac_for(4.0 * NORMALISED);
            let spec = conv(4 * growth, 1, 1).power(NORMALISED).frac(frac1);
            let y = b.conv(&name("conv1"), y, spec);
            let spec = conv(growth, 3, 1).linear().power(1.0).frac(frac);
            let y = b.conv(&name("conv2"), y, spec);
            x = b.concat(&name("concat"), &[x, y]);
        }
        if block < 4 {
            let name = |part: &str| format!("transition{block}.{part}");
            let y = normalised(b, &name("norm"), x);
            let spec = conv(b.shape(y).c / 2, 1, 1).linear().power(2.0);
            let y = b.conv(&name("conv"), y, spec);
            let window = Window {
                stride: [2, 2],
                ..Window::plain(2, 2)
            };
            x = b.average(&name("pool"), y, window);
        }
    }
    let x = normalised(b, "norm5", x);
    head(b, x, 1000 / divisor);
}
