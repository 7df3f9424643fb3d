//! The fake-quantised network and its exported integers agree bit for bit on real images.

mod common;

use cnna_machine::num::Word;
use cnna_net::activation::Function;
use cnna_net::graph::TensorId;
use cnna_net::op::{
    Activate, Add, AveragePool, Concat, Conv, ConvTranspose, MaxPool, Mul, Pad, Resize, Slice,
};
use cnna_net::{Activation, Graph, Op, Padding, Shape, Values, Window};
use cnna_quant::{
    AccuracyRow, Arch, FloatNet, Formats, accuracy_report, calibrate, evaluate, evaluate_fake,
    to_graph,
};
use common::{compare, fashion, odd};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Residuals, concatenation, depthwise and grouped convolutions, averages, a gate, slopes, functions by table, a
/// border, a part, rows and columns repeated, a transposed convolution.
fn branches() -> FloatNet {
    let mut r = StdRng::seed_from_u64(11);
    let mut reals =
        |n: usize| Values::Reals((0..n).map(|_| r.random_range(-0.4f32..0.4)).collect());
    let mut g = Graph::new("branches", Word::W16);
    let x = g.input("x", Shape { c: 1, h: 28, w: 28 }, None);
    let same = |k: usize, stride: usize, dilation: usize| Window {
        stride: [stride; 2],
        dilation: [dilation; 2],
        // One more behind than before where the kernel is even, as TensorFlow does.
        pad: Padding {
            top: (k - 1) * dilation / 2,
            left: (k - 1) * dilation / 2,
            bottom: ((k - 1) * dilation).div_ceil(2),
            right: ((k - 1) * dilation).div_ceil(2),
        },
        ..Window::plain(k, k)
    };
    let mut conv =
        |ic: usize, oc: usize, groups: usize, window: Window, activation: Activation| -> Op {
            let [kh, kw] = window.kernel;
            let weights = reals(oc * ic / groups * kh * kw);
            Conv {
                oc,
                groups,
                window,
                weights,
                finer: Vec::new(),
                bias: reals(oc),
                activation,
            }
            .into()
        };
    let table = |f: Function| Activate {
        function: Activation::Table(f),
    };
    let slopes = Activation::PRelu(Values::Reals(vec![
        0.25, -0.1, 0.3, 0.0, 1.2, 0.7, 0.01, -0.9,
    ]));
    let c1 = conv(1, 8, 1, same(4, 2, 1), slopes);
    let depthwise = conv(
        8,
        8,
        8,
        same(3, 1, 2),
        Activation::Clip { lo: 0.0, hi: 6.0 },
    );
    let grouped = conv(8, 8, 2, same(3, 1, 1), Activation::Leaky(0.1));
    let point = conv(8, 8, 1, same(1, 1, 1), Activation::None);
    let gate = conv(16, 16, 1, Window::plain(1, 1), Activation::None);
    let head = conv(16, 10, 1, Window::plain(1, 1), Activation::None);
    let up = ConvTranspose {
        oc: 16,
        groups: 4,
        window: same(3, 2, 1),
        extra: [1, 0],
        weights: Values::Reals(
            (0..16 * 4 * 9)
                .map(|k| (k as f32 * 0.7).sin() * 0.3)
                .collect(),
        ),
        bias: Values::Reals(vec![0.02; 16]),
        activation: Activation::Relu,
    };
    let mut push =
        |name: &str, op: Op, inputs: &[TensorId]| g.push(name, op, inputs, None).expect("it fits");
    let c1 = push("c1", c1, &[x]);
    let d = push("d", depthwise, &[c1]);
    let gr = push("gr", grouped, &[d]);
    let p = push("p", point, &[gr]);
    let difference = Add {
        negative: vec![false, true],
        activation: Activation::Relu,
    };
    let sum = push("sum", difference.into(), &[c1, p]);
    let silu = push("silu", table(Function::Silu).into(), &[sum]);
    let both = push("both", Concat { axis: 0 }.into(), &[silu, c1]);
    let pooled = AveragePool {
        window: same(3, 2, 1),
        counted: Padding::default(),
    };
    let average = push("average", pooled.into(), &[both]);
    let whole = AveragePool {
        window: Window::plain(7, 7),
        counted: Padding::default(),
    };
    let mean = push("mean", whole.into(), &[average]);
    let gate = push("gate", gate, &[mean]);
    let sigmoid = push("sigmoid", table(Function::Sigmoid).into(), &[gate]);
    let gated = push("gated", Mul {}.into(), &[average, sigmoid]);
    let up = push("up", up.into(), &[gated]);
    let border = Pad {
        before: [0, 1, 0],
        after: [0, 0, 2],
        value: 0.3,
    };
    let border = push("border", border.into(), &[up]);
    let part = Slice {
        start: [0, 1, 2],
        count: [16, 6, 6],
        step: [1, 2, 2],
    };
    let part = push("part", part.into(), &[border]);
    let twice = Resize {
        rows: vec![0, 0, 1, 2, 4, 5],
        columns: vec![5, 3, 3, 0],
    };
    let twice = push("twice", twice.into(), &[part]);
    let max = push(
        "max",
        MaxPool {
            window: same(3, 2, 1),
        }
        .into(),
        &[twice],
    );
    let shape = g.tensors[max].shape;
    let all = AveragePool {
        window: Window::plain(shape.h, shape.w),
        counted: Padding::default(),
    };
    let all = g.push("all", all, &[max], None).expect("it fits");
    let head = g.push("head", head, &[all], None).expect("it fits");
    g.output(head);
    FloatNet::new(g).unwrap_or_else(|e| panic!("{}: {}", e.node, e.reason))
}

#[test]
fn exported_integers_equal_the_fake_quantised_network() {
    let data = fashion();
    let images = data.test.first(24);
    let vgg = Arch::load("vgg-small")
        .and_then(|a| a.init(data.test.shape, 10, 3))
        .expect("built in");
    for mut net in [odd(&data, 1), odd(&data, 2), vgg, branches()] {
        // Biases are zero at birth: give them values, one of them beyond 32 bits at the accumulator's scale.
        for (_, constants) in net.parameters_mut() {
            let [weights, bias, ..] = &mut constants.into_iter().collect::<Vec<_>>()[..] else {
                continue;
            };
            // A channel that is smaller than the others.
            let taps = weights.len() / bias.len();
            weights[..taps].iter_mut().for_each(|w| *w *= 0.1);
            for (i, b) in bias.iter_mut().enumerate() {
                *b = if i == 0 { 1.7 } else { 0.01 * i as f32 - 0.03 };
            }
        }
        for word in [Word::W16, Word::W8] {
            for auto_scale in [true, false] {
                let formats =
                    calibrate(&net, &data.train, word, auto_scale).expect("finite weights");
                compare(&net, &formats, &images);
            }
        }
        for (word, narrow_weights) in [(Word::W16, true), (Word::W16, false), (Word::W8, false)] {
            let formats = Formats {
                per_channel: true,
                narrow_weights,
                ..calibrate(&net, &data.train, word, true).expect("finite weights")
            };
            compare(&net, &formats, &images);
            let graph = to_graph(&net, &formats).expect("finite weights");
            let convs = || graph.nodes.iter().filter_map(|n| n.op.conv());
            assert!(
                convs().any(|c| !c.finer.is_empty()),
                "no channel has a scale of its own"
            );
            let low = |c: &Conv| {
                c.weights
                    .words()
                    .is_some_and(|(w, _)| w.iter().all(|q| q & 0xff == 0))
            };
            assert_eq!(convs().all(low), narrow_weights, "{word:?}");
        }
    }
}

#[test]
fn they_agree_where_results_saturate_and_sums_are_long() {
    let data = fashion();
    let images = data.test.first(24);
    let mut net = odd(&data, 5);
    for (_, mut constants) in net.parameters_mut() {
        constants[0].iter_mut().for_each(|w| *w *= 7.0);
    }
    let mut saturated = 0;
    for word in [Word::W16, Word::W8] {
        let mut formats = calibrate(&net, &data.train, word, true).expect("finite weights");
        // Two bits fewer than the values need.
        for f in formats.fracs.iter_mut().skip(1) {
            *f += 2;
        }
        saturated += compare(&net, &formats, &images);
    }
    assert!(
        saturated > 100,
        "only {saturated} results saturated: the case is not met"
    );
}

#[test]
fn the_reported_accuracy_is_that_of_the_integers() {
    let data = fashion();
    let net = odd(&data, 9);
    let formats = calibrate(&net, &data.train, Word::W8, true).expect("finite weights");
    let images = data.test.first(300);
    let integers = to_graph(&net, &formats).expect("finite weights");
    let (fake, real) = (
        evaluate_fake(&net, &formats, &images),
        evaluate(&integers, &images),
    );
    assert_eq!(fake.expect("images fit"), real.expect("images fit"));
}

#[test]
fn weights_that_are_not_numbers_are_refused_by_layer_and_index() {
    let data = fashion();
    let mut net = odd(&data, 1);
    let formats = calibrate(&net, &data.train, Word::W16, true).expect("finite weights");
    net.parameters_mut().nth(1).expect("c2").1[0][4] = f32::NAN;
    for e in [
        to_graph(&net, &formats).map(drop),
        calibrate(&net, &data.train, Word::W16, true).map(drop),
    ] {
        let e = e.expect_err("NaN").to_string();
        assert!(e.contains("layer `c2`: weight 4 is NaN"), "{e}");
    }
}

#[test]
fn images_of_another_shape_are_refused() {
    let data = fashion();
    let net = odd(&data, 1);
    let formats = calibrate(&net, &data.train, Word::W16, true).expect("finite weights");
    let dir = common::tiny_folder(4, 4);
    let tiny = cnna_quant::Dataset::load(&dir.path().to_string_lossy()).expect("a good folder");
    let e = evaluate(&to_graph(&net, &formats).expect("finite"), &tiny.test)
        .expect_err("2x3 images")
        .to_string();
    assert!(e.contains("1x2x3") && e.contains("1x28x28"), "{e}");
}

#[test]
fn the_table_holds_float_and_rounded_rows_and_eight_bits_lose_what_sixteen_do_not() {
    let mut data = fashion();
    data.test = data.test.first(100);
    let net = odd(&data, 9);
    let formats = calibrate(&net, &data.train, Word::W8, false).expect("finite weights");
    let trained = to_graph(&net, &formats).expect("finite weights");
    let mut told = Vec::new();
    let each = |row: &_| told.push(AccuracyRow::clone(row));
    let rows = accuracy_report(&net.graph(), &[trained], &data, each).expect("images fit");
    assert_eq!(told, rows);
    let heads: Vec<_> = rows
        .iter()
        .map(|r| (r.method, r.word, r.auto_scale))
        .collect();
    let (w16, w8) = (Some(Word::W16), Some(Word::W8));
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(
        heads,
        [
            ("float", None, None),
            ("rounded", w16, yes),
            ("rounded", w16, no),
            ("rounded", w8, yes),
            ("rounded", w8, no),
            ("trained", w8, no)
        ]
    );
    let db: Vec<f64> = rows[1..5].iter().filter_map(|r| r.sqnr_db).collect();
    assert_eq!(db.len(), 4);
    assert!(db[0] > 50.0 && db[2] < 40.0, "{db:?}");
    // The plain format wastes bits on weights far below 2.
    assert!(db[2] > db[3], "{db:?}");
    // The rounded row is what `cnna quantize` does: other images and the best of three methods tell its ranges,
    // biases are corrected. Its integers are others, near enough to decide much the same.
    assert!(rows[4].agree.abs_diff(rows[5].agree) < 10, "{rows:?}");
    assert_eq!(
        (rows[0].agree, rows[0].images, rows[5].sqnr_db),
        (100, 100, None)
    );
}
