//! Operators on integers, QONNX's and QCDQ: each is read as the DequantizeLinear, operator and QuantizeLinear that it is.

mod common;

use cnna_net::op::Op;
use cnna_onnx::{Import, NodeProto};
use common::{Net, nameless, node};

/// A node of another set than ONNX's own.
fn of(domain: &str, n: NodeProto) -> NodeProto {
    NodeProto {
        domain: domain.into(),
        ..n
    }
}

/// Scales `xs`, `as`, `ys` and zero points of an input and two results, and weights.
fn net(input: &[usize]) -> Net {
    let mut net = Net::new(input)
        .f("xs", &[], &[0.03])
        .f("as", &[], &[0.04])
        .f("ys", &[], &[0.05])
        .f("ws", &[2], &[0.01, 0.02])
        .f("bs", &[2], &[0.03 * 0.01, 0.03 * 0.02])
        .f("one", &[], &[1.0])
        .i("dims", &[0, -1]);
    let words: Vec<i8> = (0..18i8).map(|i| i * 7 % 50 - 20).collect();
    net.b
        .constant("xz", &[], &[-5i8])
        .constant("az", &[], &[4i8])
        .constant("yz", &[], &[3i8])
        .constant("w", &[2, 1, 3, 3], &words)
        .constant("m", &[9, 2], &words)
        .constant("t", &[2, 9], &words)
        .constant("wz", &[2], &[0i8, 0])
        .constant("b", &[2], &[500i32, -700]);
    net.n(node("QuantizeLinear", &["x", "xs", "xz"], "q"))
}

/// The model, ending in the reals of the integers `r`.
fn ended(net: Net) -> Import {
    let model = net
        .n(node("DequantizeLinear", &["r", "ys", "yz"], "y"))
        .model();
    cnna_onnx::import(&model, None).unwrap_or_else(|e| panic!("{e}"))
}

/// The same with `real` between the reals of `q` (and of `a`, a convolution of it) and `r`.
fn assert_same(input: &[usize], integers: &[NodeProto], reals: &[NodeProto]) {
    let first = net(input);
    let one = ended(integers.iter().cloned().fold(first, Net::n));
    let spelt = net(input)
        .n(node("DequantizeLinear", &["q", "xs", "xz"], "d"))
        .n(node("DequantizeLinear", &["w", "ws", "wz"], "wd").with("axis", 0))
        .n(node("DequantizeLinear", &["m", "ws", "wz"], "md").with("axis", 1))
        .n(node("DequantizeLinear", &["t", "ws", "wz"], "td").with("axis", 0))
        .n(node("DequantizeLinear", &["b", "bs"], "bd").with("axis", 0));
    let spelt = reals.iter().cloned().fold(spelt, Net::n);
    let other = ended(spelt.n(node("QuantizeLinear", &["o", "ys", "yz"], "r")));
    let name = &integers.last().expect("a node").op_type;
    assert_eq!(nameless(&one.graph), nameless(&other.graph), "{name}");
    let scales = |i: &Import| -> Vec<(f32, i64)> {
        i.scales.iter().map(|s| (s.scale, s.zero_point)).collect()
    };
    assert_eq!(scales(&one), scales(&other), "{name}");
}

const MS: &str = "com.microsoft";

#[test]
fn each_is_the_operator_on_reals_between_its_scales() {
    let pads = [1i64, 1, 1, 1];
    assert_same(
        &[1, 4, 4],
        &[node(
            "QLinearConv",
            &["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
            "r",
        )
        .with("pads", pads)],
        &[node("Conv", &["d", "wd", "bd"], "o").with("pads", pads)],
    );
    assert_same(
        &[9],
        &[node(
            "QLinearMatMul",
            &["q", "xs", "xz", "m", "ws", "wz", "ys", "yz"],
            "r",
        )],
        &[node("MatMul", &["d", "md"], "o")],
    );
    let gemm = ["q", "xs", "xz", "t", "ws", "wz", "b", "ys", "yz"];
    assert_same(
        &[9],
        &[of(MS, node("QGemm", &gemm, "r").with("transB", 1))],
        &[node("Gemm", &["d", "td", "bd"], "o").with("transB", 1)],
    );
    let unary = |name: &str| of(MS, node(name, &["q", "xs", "xz", "ys", "yz"], "r"));
    for (name, real) in [
        ("QLinearSigmoid", "Sigmoid"),
        ("QLinearGlobalAveragePool", "GlobalAveragePool"),
    ] {
        assert_same(&[2, 4, 4], &[unary(name)], &[node(real, &["d"], "o")]);
    }
    assert_same(
        &[2, 4, 4],
        &[unary("QLinearLeakyRelu").with("alpha", 0.25f32)],
        &[node("LeakyRelu", &["d"], "o").with("alpha", 0.25f32)],
    );
    let kernel = [2i64, 2];
    assert_same(
        &[2, 4, 4],
        &[unary("QLinearAveragePool").with("kernel_shape", kernel)],
        &[node("AveragePool", &["d"], "o").with("kernel_shape", kernel)],
    );
    assert_same(
        &[2, 4, 4],
        &[unary("QLinearReduceMean").with("axes", [2, 3])],
        &[node("ReduceMean", &["d"], "o").with("axes", [2, 3])],
    );
    // Two operands: integers of another scale, through a maximum on integers.
    let another = [
        node("MaxPool", &["q"], "p").with("kernel_shape", [1i64, 1]),
        of(
            MS,
            node("QLinearLeakyRelu", &["p", "xs", "xz", "as", "az"], "a"),
        ),
    ];
    let spelt = [
        node("MaxPool", &["d"], "dm").with("kernel_shape", [1i64, 1]),
        node("LeakyRelu", &["dm"], "l"),
        node("QuantizeLinear", &["l", "as", "az"], "aq"),
        node("DequantizeLinear", &["aq", "as", "az"], "ad"),
    ];
    let both = ["a", "as", "az", "q", "xs", "xz", "ys", "yz"];
    for (name, real) in [("QLinearAdd", "Add"), ("QLinearMul", "Mul")] {
        let mut integers = another.to_vec();
        integers.push(of(MS, node(name, &both, "r")));
        let mut reals = spelt.to_vec();
        reals.push(node(real, &["ad", "d"], "o"));
        assert_same(&[2, 4, 4], &integers, &reals);
    }
    let mut integers = another.to_vec();
    let parts = ["ys", "yz", "a", "as", "az", "q", "xs", "xz"];
    integers.push(of(MS, node("QLinearConcat", &parts, "r").with("axis", 1)));
    let mut reals = spelt.to_vec();
    reals.push(node("Concat", &["ad", "d"], "o").with("axis", 1));
    assert_same(&[2, 4, 4], &integers, &reals);
}

#[test]
fn sums_of_integers_are_reals_over_the_inputs_scale() {
    let mut net = Net::new(&[1, 4, 4])
        .f("xs", &[], &[0.25])
        .f("k", &[], &[0.25]);
    net.b
        .constant("xz", &[], &[100u8])
        .constant("w", &[1, 1, 1, 1], &[10u8])
        .constant("wz", &[], &[128u8]);
    let g = net
        .n(node("QuantizeLinear", &["x", "xs", "xz"], "q"))
        .n(node("ConvInteger", &["q", "w", "xz", "wz"], "i"))
        .n(node("Cast", &["i"], "f").with("to", 1))
        .n(node("Mul", &["f", "k"], "y"))
        .read();
    let [Op::Activate(_), Op::Conv(c)] = &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..]
    else {
        panic!("{g}");
    };
    // (x / 0.25) * (10 - 128) * 0.25.
    assert_eq!(c.weights.to_reals(0), [-118.0]);
}

#[test]
fn what_is_quantised_image_by_image_is_a_float_model() {
    let mut net = Net::new(&[9]).f("ws", &[], &[0.5]);
    let words: Vec<u8> = (100..118).collect();
    net.b
        .constant("w", &[9, 2], &words)
        .constant("wz", &[], &[110u8]);
    let mut dynamic = node("DynamicQuantizeLinear", &["x"], "q");
    dynamic.output.extend(["s".into(), "z".into()]);
    let g = net
        .n(dynamic)
        .n(node("MatMulInteger", &["q", "w", "z", "wz"], "i"))
        .n(node("Cast", &["i"], "f").with("to", 1))
        .n(node("Mul", &["s", "ws"], "k"))
        .n(node("Mul", &["f", "k"], "y"))
        .read();
    let [Op::Conv(c)] = &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..] else {
        panic!("{g}");
    };
    let want: Vec<f32> = (0..18)
        .map(|i| (words[i % 9 * 2 + i / 9] as f32 - 110.0) * 0.5)
        .collect();
    assert_eq!(c.weights.to_reals(0), want);
    assert!(g.tensors.iter().all(|t| t.frac.is_none()));
}

#[test]
fn integers_that_do_not_fit_their_operator_are_refused_by_name() {
    let last = |n: NodeProto| net(&[1, 4, 4]).n(n).refused();
    let e = last(of(
        MS,
        node("QLinearSigmoid", &["q", "xs", "xz", "ys", "yz"], "y").with("channels_last", 1),
    ));
    assert!(
        e.contains("com.microsoft.QLinearSigmoid") && e.contains("channels first"),
        "{e}"
    );
    let e = last(node("ConvInteger", &["q", "w", "az"], "y"));
    assert!(
        e.contains("ConvInteger") && e.contains("zero point [4]"),
        "{e}"
    );
    let e = last(node("ConvInteger", &["x", "w"], "y"));
    assert!(e.contains("holds reals"), "{e}");
    let e = last(of(MS, node("QLinearConcat", &["ys", "yz", "q", "xs"], "y")));
    assert!(e.contains("it has 4 inputs"), "{e}");
    let e = last(node(
        "QLinearAdd",
        &["q", "xs", "xz", "q", "xs", "xz", "ys", "yz"],
        "y",
    ));
    assert!(e.contains("not supported"), "ONNX's own set has none: {e}");
}

#[test]
fn weights_of_one_bit_are_read_and_activations_of_one_refused() {
    for domain in ["qonnx.custom_op.general", "onnx.brevitas"] {
        let quant = |x: &str, y: &str| of(domain, node("BipolarQuant", &[x, "s"], y));
        let g = Net::new(&[1, 2, 2])
            .f("w", &[2, 1, 1, 1], &[0.0, -0.3])
            .f("s", &[2, 1, 1, 1], &[0.5, 2.0])
            .n(quant("w", "wq"))
            .n(node("Conv", &["x", "wq"], "y"))
            .read();
        let Op::Conv(c) = &g.nodes[0].op else {
            panic!("{g}");
        };
        assert_eq!(c.weights.to_reals(0), [0.5, -2.0]);
        let e = Net::new(&[1, 2, 2])
            .f("s", &[], &[1.0])
            .n(quant("x", "y"))
            .refused();
        assert!(
            e.contains("BipolarQuant") && e.contains("2 bits or more"),
            "{e}"
        );
    }
}

#[test]
fn lowest_bits_are_cut_by_a_format() {
    // QONNX's first version: 8 bits of step 1/4 to 5, so an eighth as large, rounded down to 1/4.
    let cut = |names: &[&str]| of("qonnx.custom_op.general", node("Trunc", names, "y"));
    let constants = || {
        Net::new(&[1, 1, 16])
            .f("s", &[], &[0.25])
            .f("z", &[], &[0.0])
            .f("from", &[], &[8.0])
            .f("to", &[], &[5.0])
            .f("os", &[], &[2.0])
    };
    let run = |net: Net| {
        let mut g = net.read();
        g.tensors[g.inputs[0].tensor].frac = Some(2);
        cnna_net::settle::settle(&mut g).expect("all formats follow");
        let words: Vec<i16> = (-8..8).map(|i| i * 7).collect();
        let done = cnna_net::run::run(&g, &[&words]).expect("it runs");
        let out = g.outputs[0].tensor;
        (words, done.tensors[out].values.clone(), g.tensors[out].frac)
    };
    let (words, got, frac) = run(constants().n(cut(&["x", "s", "z", "from", "to"])));
    let want: Vec<i16> = words.iter().map(|w| w.div_euclid(8)).collect();
    assert_eq!((got, frac), (want.clone(), Some(2)));
    // The second keeps the value: a step of 2 is eight of 1/4.
    let (_, got, frac) = run(constants().n(cut(&["x", "s", "z", "from", "os", "to"])));
    assert_eq!((got, frac), (want, Some(-1)));
    let e = constants()
        .n(cut(&["x", "s", "z", "from", "to"]).with("rounding_mode", "CEIL"))
        .refused();
    assert!(e.contains("use FLOOR or ROUND"), "{e}");
}

#[test]
fn a_clip_between_q_and_dq_bounds_weights_and_activations() {
    let mut net = Net::new(&[1, 2, 2])
        .f("s", &[], &[0.3])
        .f("v", &[1, 1, 1, 2], &[-9.0, 0.7]);
    net.b
        .constant("z", &[], &[0i8])
        .constant("lo", &[], &[-7i8])
        .constant("hi", &[], &[7i8]);
    let qcdq = |net: Net, x: &str, y: &str| {
        let [q, c] = ["q", "c"].map(|s| format!("{y}{s}"));
        net.n(node("QuantizeLinear", &[x, "s", "z"], &q))
            .n(node("Clip", &[&q, "lo", "hi"], &c))
            .n(node("DequantizeLinear", &[&c, "s", "z"], y))
    };
    let net = qcdq(qcdq(net, "v", "w"), "x", "a").n(node("Conv", &["a", "w"], "y"));
    let g = net.read();
    // The first clip is that of the scale.
    let [Op::Activate(_), Op::Activate(a), Op::Conv(c)] =
        &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..]
    else {
        panic!("{g}");
    };
    let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
    let w = c.weights.to_reals(0);
    assert!(near(w[0], -2.1) && near(w[1], 0.6), "{w:?}");
    let cnna_net::Activation::Clip { lo, hi } = a.function else {
        panic!("{g}");
    };
    assert!(near(lo, -2.1) && near(hi, 2.1), "{lo} {hi}");
}

#[test]
fn unsigned_and_short_integers_of_scales_that_are_powers_of_two_are_words_with_a_clip() {
    // ONNX: no zero point is uint8. QONNX: signed integers of 4 bits.
    let unsigned = Net::new(&[1, 1, 16])
        .f("s", &[], &[0.25])
        .n(node("QuantizeLinear", &["x", "s"], "q"))
        .n(node("DequantizeLinear", &["q", "s"], "y"));
    let short = Net::new(&[1, 1, 16])
        .f("s", &[], &[0.25])
        .f("z", &[], &[0.0])
        .f("bits", &[], &[4.0])
        .n(of(
            "qonnx.custom_op.general",
            node("Quant", &["x", "s", "z", "bits"], "y"),
        ));
    for (net, [lo, hi]) in [(unsigned, [0, 255]), (short, [-8, 7])] {
        let import = cnna_onnx::import(&net.model(), None).expect("it is read");
        assert!(import.scales.is_empty());
        let g = cnna_onnx::quantised(import).expect("all formats follow");
        let words: Vec<i16> = (-8..8).map(|i| i * 40).collect();
        let done = cnna_net::run::run(&g, &[&words]).expect("it runs");
        let out = g.outputs[0].tensor;
        let want: Vec<i16> = words.iter().map(|w| (*w).clamp(lo, hi)).collect();
        assert_eq!(
            (&done.tensors[out].values, g.tensors[out].frac),
            (&want, Some(2))
        );
    }
}
