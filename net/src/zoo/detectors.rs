//! Networks that find objects, up to the tensors that their boxes are decoded from.

use super::builder::{Builder, NORMALISED, conv};
use crate::Activation;
use crate::graph::TensorId;
use crate::window::{Padding, Window};

const LEAKY: Activation = Activation::Leaky(0.1);

/// Source: Bochkovskiy et al. 2020, arXiv:2004.10934, and Wang et al. 2020, arXiv:2011.08036; 80 classes.
pub(super) fn yolov4_tiny(b: &mut Builder, divisor: usize) {
    // One power for all: so what is concatenated has one format.
    let leaky = |oc: usize, k: usize, stride: usize| {
        conv(oc / divisor, k, stride).then(LEAKY).power(NORMALISED)
    };
    let out = 3 * (4 + 1 + 80);
    let x = b.input();
    let x = b.conv("conv0", x, leaky(32, 3, 2));
    let mut x = b.conv("conv1", x, leaky(64, 3, 2));
    let mut fine = x;
    // Half of the channels take two more convolutions; all meet again.
    for (stage, c) in [64, 128, 256].into_iter().enumerate() {
        let name = |part: &str| format!("csp{stage}.{part}");
        let whole = b.conv(&name("conv0"), x, leaky(c, 3, 1));
        let n = b.shape(whole).c;
        let half = b.channels(&name("half"), whole, n / 2, n - n / 2);
        let first = b.conv(&name("conv1"), half, leaky(c / 2, 3, 1));
        let second = b.conv(&name("conv2"), first, leaky(c / 2, 3, 1));
        let both = b.concat(&name("concat1"), &[second, first]);
        fine = b.conv(&name("conv3"), both, leaky(c, 1, 1));
        let all = b.concat(&name("concat2"), &[whole, fine]);
        x = b.pool(&name("pool"), all);
    }
    let x = b.conv("conv2", x, leaky(512, 3, 1));
    let neck = b.conv("conv3", x, leaky(256, 1, 1));
    let x = b.conv("head0.conv", neck, leaky(512, 3, 1));
    let coarse = b.conv("head0", x, conv(out / divisor, 1, 1).linear().power(1.0));
    let x = b.conv("conv4", neck, leaky(128, 1, 1));
    let x = b.upsample("upsample", x);
    let x = b.concat("concat", &[x, fine]);
    let x = b.conv("head1.conv", x, leaky(256, 3, 1));
    let finer = b.conv("head1", x, conv(out / divisor, 1, 1).linear().power(1.0));
    b.graph.output(coarse);
    b.graph.output(finer);
}

/// Source: the model's description by its authors (Jocher et al. 2023); width 1/4, depth 1/3, 80 classes.
pub(super) fn yolov8n(b: &mut Builder, divisor: usize) {
    let c = |n: usize| n / divisor;
    let input = b.input();
    let x = silu(b, "0", input, c(16), 3, 2);
    let x = silu(b, "1", x, c(32), 3, 2);
    let x = c2f(b, "2", x, c(32), 1, true);
    let x = silu(b, "3", x, c(64), 3, 2);
    let p3 = c2f(b, "4", x, c(64), 2, true);
    let x = silu(b, "5", p3, c(128), 3, 2);
    let p4 = c2f(b, "6", x, c(128), 2, true);
    let x = silu(b, "7", p4, c(256), 3, 2);
    let x = c2f(b, "8", x, c(256), 1, true);
    let p5 = pyramid(b, "9", x);
    // Down to the finest map and up again.
    let x = b.upsample("10", p5);
    let x = b.concat("11", &[x, p4]);
    let middle = c2f(b, "12", x, c(128), 1, false);
    let x = b.upsample("13", middle);
    let x = b.concat("14", &[x, p3]);
    let fine = c2f(b, "15", x, c(64), 1, false);
    let x = silu(b, "16", fine, c(64), 3, 2);
    let x = b.concat("17", &[x, middle]);
    let medium = c2f(b, "18", x, c(128), 1, false);
    let x = silu(b, "19", medium, c(128), 3, 2);
    let x = b.concat("20", &[x, p5]);
    let coarse = c2f(b, "21", x, c(256), 1, false);
    for (scale, x) in [fine, medium, coarse].into_iter().enumerate() {
        // Four sides of 16 bins each, and classes.
        for (kind, inner, out) in [("box", c(64), c(64)), ("class", c(80), c(80))] {
            let name = |part: &str| format!("22.{kind}{scale}.{part}");
            let y = silu(b, &name("0"), x, inner, 3, 1);
            let y = silu(b, &name("1"), y, inner, 3, 1);
            let y = b.conv(&name("2"), y, conv(out, 1, 1).linear().power(1.0));
            b.graph.output(y);
        }
    }
}

fn silu(b: &mut Builder, name: &str, x: TensorId, oc: usize, k: usize, stride: usize) -> TensorId {
    b.silu(name, x, conv(oc, k, stride))
}

/// Two halves, the second through `n` bottlenecks whose results all join.
fn c2f(b: &mut Builder, name: &str, x: TensorId, oc: usize, n: usize, shortcut: bool) -> TensorId {
    let half = oc / 2;
    let x = silu(b, &format!("{name}.cv1"), x, 2 * half, 1, 1);
    let mut parts = vec![
        b.channels(&format!("{name}.split0"), x, 0, half),
        b.channels(&format!("{name}.split1"), x, half, half),
    ];
    for i in 0..n {
        let x = parts[parts.len() - 1];
        let y = silu(b, &format!("{name}.m{i}.cv1"), x, half, 3, 1);
        let y = silu(b, &format!("{name}.m{i}.cv2"), y, half, 3, 1);
        parts.push(match shortcut {
            true => b.add(&format!("{name}.m{i}.add"), x, y, false),
            false => y,
        });
    }
    let x = b.concat(&format!("{name}.concat"), &parts);
    silu(b, &format!("{name}.cv2"), x, oc, 1, 1)
}

/// Maxima over 5, 9 and 13 pixels beside the map itself.
fn pyramid(b: &mut Builder, name: &str, x: TensorId) -> TensorId {
    let oc = b.shape(x).c;
    let window = Window {
        pad: Padding {
            top: 2,
            left: 2,
            bottom: 2,
            right: 2,
        },
        ..Window::plain(5, 5)
    };
    let mut parts = vec![silu(b, &format!("{name}.cv1"), x, oc / 2, 1, 1)];
    for i in 0..3 {
        let x = parts[parts.len() - 1];
        let y = b.max_pool(&format!("{name}.pool{i}"), x, window);
        // Maxima of maxima are hardly larger.
        if i > 0 {
            b.set_power(y, b.power(x));
        }
        parts.push(y);
    }
    let x = b.concat(&format!("{name}.concat"), &parts);
    silu(b, &format!("{name}.cv2"), x, oc, 1, 1)
}
