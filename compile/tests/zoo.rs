//! The zoo: shapes by the paper, integers by the seed alone, values that live from the first layer to the last.

use cnna_compile::zoo::network;
use cnna_machine::golden;
use cnna_machine::layer::{Activation, Conv, Network, Op};
use cnna_machine::num::{SHIFT_RANGE, Word};

fn convs(n: &Network) -> impl Iterator<Item = (&str, &Conv)> {
    n.layers.iter().filter_map(|l| match &l.op {
        Op::Conv(c) => Some((l.name.as_str(), c)),
        Op::MaxPool(_) => None,
    })
}

/// Every size and range that the layers promise one another.
fn check_consistent(n: &Network) {
    let (mut shape, mut frac) = (n.input, n.input_frac);
    for l in &n.layers {
        assert_eq!(l.input, shape, "{}", l.name);
        let w = match &l.op {
            Op::Conv(c) => {
                assert_eq!(
                    c.weights.len(),
                    c.oc * shape.c * c.window.kernel[0] * c.window.kernel[1]
                );
                assert_eq!((c.bias.len(), l.output.c), (c.oc, c.oc));
                assert_eq!(c.shift, frac + c.weight_frac - l.output_frac);
                assert!(SHIFT_RANGE.contains(&c.shift));
                let top = c.weights.iter().map(|w| i64::from(*w).abs()).max().unwrap();
                assert!(
                    top > n.word.max() / 2,
                    "{}: auto-scaling left a bit unused",
                    l.name
                );
                c.window
            }
            Op::MaxPool(w) => {
                assert_eq!((l.output_frac, l.output.c), (frac, shape.c));
                *w
            }
        };
        assert_eq!(w.output(shape.h, shape.w), Some([l.output.h, l.output.w]));
        (shape, frac) = (l.output, l.output_frac);
    }
}

/// Words uniform over their whole range.
fn noise(len: usize, word: Word) -> Vec<i16> {
    let mut s = 1u64;
    (0..len)
        .map(|_| {
            s = s
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((s >> 48) as i16) >> (16 - word.bits())
        })
        .collect()
}

#[test]
fn vgg16_has_the_papers_layers_weights_and_macs() {
    let n = network("zoo:vgg16", 1, Word::W16).unwrap();
    check_consistent(&n);
    let names: Vec<_> = n.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(
        names.join(" "),
        "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3 \
         conv4_1 conv4_2 conv4_3 pool4 conv5_1 conv5_2 conv5_3 pool5 fc6 fc7 fc8"
    );
    // Simonyan and Zisserman: 138.36 M parameters with biases; 15.47 G multiply-accumulates.
    let weights: usize = convs(&n).map(|(_, c)| c.weights.len() + c.bias.len()).sum();
    assert_eq!(weights, 138_357_544);
    assert_eq!(
        n.layers.iter().map(|l| l.macs()).sum::<u64>(),
        15_470_264_320
    );
    assert!(convs(&n).all(|(name, c)| (c.activation == Activation::None) == (name == "fc8")));
    assert!(n.layers[18].is_fc() && n.layers[18].output.c == 4096);
}

#[test]
fn quarter_size_divides_every_width_by_four() {
    let n = network("zoo:vgg16@56", 1, Word::W16).unwrap();
    check_consistent(&n);
    let widths: Vec<_> = convs(&n).map(|(_, c)| c.oc).collect();
    assert_eq!(
        widths,
        [
            16, 16, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128, 1024, 1024, 250
        ]
    );
    let whole = network("zoo:vgg16@64/1", 1, Word::W16).unwrap();
    assert_eq!((whole.input.h, whole.layers[0].output.c), (64, 64));
}

#[test]
fn the_same_seed_gives_the_same_integers_on_any_thread_count() {
    let on = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| network("zoo:vgg16@56", seed, Word::W16).unwrap())
    };
    let one = on(1, 7);
    assert_eq!(one, on(3, 7));
    assert_ne!(one, on(1, 8));
    let (a, b) = (
        &convs(&one).nth(7).unwrap().1.weights,
        &convs(&one).nth(8).unwrap().1.weights,
    );
    assert_ne!(a[..64], b[..64], "layers have streams of their own");
}

#[test]
fn weights_are_he_scaled_and_heavier_tailed_than_normal() {
    let n = network("zoo:vgg16@56", 3, Word::W16).unwrap();
    let (_, c) = convs(&n).find(|(name, _)| *name == "fc6").unwrap();
    let w: Vec<f64> = c
        .weights
        .iter()
        .map(|&q| f64::from(q) * 2f64.powi(-c.weight_frac))
        .collect();
    let moment = |k: i32| w.iter().map(|x| x.powi(k)).sum::<f64>() / w.len() as f64;
    let fan_in = (c.weights.len() / c.oc) as f64;
    assert!(
        (moment(2) * fan_in / 2.0 - 1.0).abs() < 0.03,
        "{}",
        moment(2) * fan_in
    );
    assert!(moment(1).abs() < 0.01 * moment(2).sqrt());
    let kurtosis = moment(4) / moment(2).powi(2);
    assert!((3.9..4.5).contains(&kurtosis), "{kurtosis}");
}

#[test]
fn values_neither_vanish_nor_saturate() {
    for (name, word) in [
        ("zoo:vgg16@56", Word::W16),
        ("zoo:vgg16@56", Word::W8),
        ("zoo:lenet", Word::W16),
        ("zoo:tiny", Word::W16),
        ("zoo:conv3x3@14x14x64-64", Word::W8),
    ] {
        let n = network(name, 1, word).unwrap();
        check_consistent(&n);
        let results = golden::run(&n, &noise(n.input.len(), word));
        for (l, r) in n.layers.iter().zip(&results) {
            let top = r.values.iter().map(|v| i64::from(*v).abs()).max().unwrap();
            let share = r.saturated as f64 / r.values.len() as f64;
            println!(
                "{name} {} top {:.3} of full scale, saturated {share:.6}",
                l.name,
                top as f64 / word.max() as f64
            );
            assert!(share < 0.001, "{name} {}: {share} saturated", l.name);
            assert!(
                top * 32 > word.max(),
                "{name} {}: {top} is the largest",
                l.name
            );
        }
    }
}

#[test]
fn names_that_are_not_in_the_zoo_are_refused_with_those_that_are() {
    let cases = [
        ("vgg16", "begins with zoo:"),
        ("zoo:vgg19", "unknown name"),
        ("zoo:vgg16@x", "`x` is not a number"),
        ("zoo:vgg16@31", "outside 32 to 512"),
        ("zoo:vgg16@56/0", "divisor 0"),
        ("zoo:vgg16@56/17", "divisor 17"),
        ("zoo:lenet@3", "one size only"),
        ("zoo:conv3x3@2x9x4-4", "as in zoo:conv3x3"),
        ("zoo:conv3@9x9x4-4", "as in zoo:conv3x3"),
        ("zoo:conv1x1@2048x2048x2048-1", "as in zoo:conv3x3"),
    ];
    for (name, reason) in cases {
        let e = network(name, 1, Word::W16).unwrap_err().to_string();
        assert!(
            e.starts_with(&format!("`{name}`: ")) && e.contains(reason) && e.contains("zoo:lenet"),
            "{e}"
        );
    }
}
