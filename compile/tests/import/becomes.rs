//! What each operator becomes.

use crate::chain::{Chain, counting};
use cnna_compile::import::{import, read};
use cnna_machine::layer::{Activation, Conv, Network, Op, Padding, Shape, Window};
use cnna_machine::num::Word;
use cnna_onnx::{AttributeValue, NodeProto, TensorProto};

fn conv(n: &Network, layer: usize) -> &Conv {
    match &n.layers[layer].op {
        Op::Conv(c) => c,
        Op::MaxPool(_) => panic!("layer {layer} is a pool"),
    }
}

fn pads(top: usize, left: usize, bottom: usize, right: usize) -> Padding {
    Padding {
        top,
        left,
        bottom,
        right,
    }
}

#[test]
fn a_whole_chain_becomes_its_integers() {
    let mut c = Chain::new(&[2, 9, 7]);
    c.q(12);
    let w = c.dequantised(&[3, 2, 3, 3], &counting(54), 15);
    let b = c.dequantised(&[3], &[100i32, -7, i32::MIN], 27);
    c.node(
        "Conv",
        "c1",
        &[&w, &b],
        &[("pads", [1, 0, 2, 1].into()), ("strides", [2, 1].into())],
    )
    .node("Relu", "", &[], &[])
    .q(10)
    .node(
        "MaxPool",
        "p1",
        &[],
        &[("kernel_shape", [2, 2].into()), ("strides", [2, 2].into())],
    )
    .q(10)
    .node("Dropout", "", &[], &[])
    .node("Flatten", "", &[], &[]);
    let w = c.dequantised(&[4, 18], &counting(72), 13);
    let n = c
        .node("Gemm", "fc", &[&w], &[("transB", 1.into())])
        .q(9)
        .node("Identity", "", &[], &[])
        .import();

    assert_eq!(
        (n.name.as_str(), n.word, n.input_frac),
        ("net", Word::W16, 12)
    );
    assert_eq!(n.input, Shape { c: 2, h: 9, w: 7 });
    let names: Vec<_> = n.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["c1", "p1", "fc"]);
    let c1 = conv(&n, 0);
    assert_eq!(
        (c1.weights.as_slice(), c1.weight_frac),
        (&counting(54)[..], 15)
    );
    assert_eq!(c1.bias, [100, -7, i64::from(i32::MIN)]);
    assert_eq!((c1.shift, c1.activation), (12 + 15 - 10, Activation::Relu));
    assert_eq!(c1.window.pad, pads(1, 0, 2, 1));
    assert_eq!(n.layers[0].output, Shape { c: 3, h: 5, w: 6 });
    assert_eq!(n.layers[1].output, Shape { c: 3, h: 2, w: 3 });
    assert_eq!((n.layers[1].output_frac, n.layers[2].output_frac), (10, 9));
    let fc = conv(&n, 2);
    assert_eq!(
        (fc.oc, fc.window, fc.shift),
        (4, Window::plain(2, 3), 10 + 13 - 9)
    );
    assert_eq!(
        (fc.weights.as_slice(), &fc.bias[..]),
        (&counting(72)[..], &[0; 4][..])
    );
    assert!(n.layers[2].is_fc() && fc.activation == Activation::None);
    for pair in n.layers.windows(2) {
        assert_eq!(pair[0].output, pair[1].input);
    }
}

#[test]
fn relu_and_pool_may_stand_on_either_side_of_the_quantisation() {
    let pool = [
        ("kernel_shape", AttributeValue::from([3, 2])),
        ("pads", [1, 0, 1, 1].into()),
    ];
    let build = |order: &[&str]| {
        let mut c = Chain::new(&[1, 6, 6]);
        c.q(8).conv("c", [2, 1, 1, 1], &[]);
        for o in order {
            match *o {
                "q" => c.q(5),
                "relu" => c.node("Relu", "", &[], &[]),
                _ => c.node("MaxPool", "p", &[], &pool),
            };
        }
        c.import()
    };
    let want = build(&["relu", "q", "pool", "q"]);
    assert_eq!(conv(&want, 0).shift, 8 + 14 - 5);
    assert_eq!(conv(&want, 0).activation, Activation::Relu);
    let Op::MaxPool(w) = want.layers[1].op else {
        panic!()
    };
    assert_eq!(
        (w.kernel, w.stride, w.pad),
        ([3, 2], [1, 1], pads(1, 0, 1, 1))
    );
    assert_eq!(want.layers[1].output, Shape { c: 2, h: 6, w: 6 });
    for order in [
        &["q", "relu", "q", "pool", "q"][..],
        &["pool", "relu", "q"],
        &["relu", "pool", "q"],
        &["q", "pool", "relu"],
    ] {
        assert_eq!(build(order), want, "{order:?}");
    }
    assert_eq!(conv(&build(&["pool", "q"]), 0).activation, Activation::None);
}

#[test]
fn a_pool_before_the_input_is_quantised_commutes_too() {
    let pool = [("kernel_shape", AttributeValue::from([2, 2]))];
    let n = Chain::new(&[1, 4, 4])
        .node("MaxPool", "", &[], &pool)
        .q(7)
        .conv("", [1, 1, 1, 1], &[])
        .q(7)
        .import();
    assert_eq!((n.input_frac, n.layers[0].output_frac), (7, 7));
    assert_eq!(
        (n.layers[0].name.as_str(), n.layers[1].name.as_str()),
        ("maxpool0", "conv0")
    );
}

#[test]
fn auto_pad_gives_onnx_explicit_padding() {
    // (auto_pad, kernel, stride, dilation, size) -> padding, output. By the formulas of the ONNX specification.
    let cases = [
        ("SAME_UPPER", 5, 1, 1, 28, pads(2, 2, 2, 2), 28),
        ("SAME_UPPER", 3, 2, 1, 8, pads(0, 0, 1, 1), 4),
        ("SAME_LOWER", 3, 2, 1, 8, pads(1, 1, 0, 0), 4),
        ("SAME_LOWER", 2, 1, 1, 5, pads(1, 1, 0, 0), 5),
        ("SAME_UPPER", 3, 1, 2, 5, pads(2, 2, 2, 2), 5),
        ("SAME_UPPER", 1, 3, 1, 7, pads(0, 0, 0, 0), 3),
        ("VALID", 3, 2, 1, 8, pads(0, 0, 0, 0), 3),
    ];
    for (auto, k, s, d, size, pad, out) in cases {
        let attributes = [
            ("auto_pad", auto.into()),
            ("strides", [s, s].into()),
            ("dilations", [d, d].into()),
        ];
        let n = Chain::new(&[1, size, size])
            .q(8)
            .conv("c", [1, 1, k, k], &attributes)
            .q(8)
            .import();
        assert_eq!(
            (conv(&n, 0).window.pad, n.layers[0].output.h),
            (pad, out),
            "{auto} {k} {s} {d} {size}"
        );
        assert_eq!(conv(&n, 0).window.dilation, [d as usize; 2]);
    }
}

#[test]
fn gemm_and_matmul_weights_become_output_major() {
    let rows: Vec<i16> = (0..6).collect(); // [in = 3][out = 2]
    let by_output = [0i16, 2, 4, 1, 3, 5];
    let matmul = |op: &str, reshape: &[i64]| {
        let mut c = Chain::new(&[3, 1, 1]);
        let shape = c.q(8).constant(&[reshape.len()], reshape);
        c.node("Reshape", "", &[&shape], &[]);
        let w = c.dequantised(&[3, 2], &rows, 14);
        c.node(op, "m", &[&w], &[]);
        let b = c.constant(&[2], &[0.5f32, -1.0]);
        c.node("Add", "", &[&b], &[]).q(8).import()
    };
    for (op, reshape) in [
        ("MatMul", &[0i64, -1][..]),
        ("Gemm", &[-1, 3]),
        ("MatMul", &[1, 3]),
    ] {
        let n = matmul(op, reshape);
        assert_eq!(conv(&n, 0).weights, by_output);
        assert_eq!(conv(&n, 0).bias, [1 << 21, -(1 << 22)]);
    }
    // PyTorch's form: weight [out, in] -> QuantizeLinear -> DequantizeLinear -> Transpose -> MatMul.
    let mut c = Chain::new(&[3]);
    c.q(8);
    let w = c.constant(&[2, 3], &[0.0f32, 2.0, 4.0, 1.0, 3.0, 5.0]);
    let (s, z) = (c.constant(&[1], &[1f32]), c.constant(&[1], &[0i16]));
    c.b.node(NodeProto::new("QuantizeLinear", "", &[&w, &s, &z], &["wq"]))
        .node(NodeProto::new(
            "DequantizeLinear",
            "",
            &["wq", &s, &z],
            &["wd"],
        ))
        .node(NodeProto::new("Transpose", "", &["wd"], &["wt"]).with("perm", [1, 0]));
    let n = c.node("MatMul", "m", &["wt"], &[]).q(0).import();
    assert_eq!(
        (&conv(&n, 0).weights[..], conv(&n, 0).weight_frac),
        (&by_output[..], 0)
    );
}

#[test]
fn float_bias_rounds_half_to_even_in_the_accumulator_scale() {
    let mut c = Chain::new(&[1, 1, 1]);
    c.q(0);
    let w = c.dequantised(&[3, 1, 1, 1], &[1i16; 3], 1);
    let b = c.constant(&[3], &[0.25f32, 0.75, -1.25]);
    let n = c.node("Conv", "c", &[&w, &b], &[]).q(0).import();
    assert_eq!(conv(&n, 0).bias, [0, 2, -2]);
}

#[test]
fn int8_models_have_8_bit_words() {
    let mut c = Chain::new(&[1, 2, 2]);
    c.one("QuantizeLinear", 0.125, 0i8)
        .one("DequantizeLinear", 0.125, 0i8);
    let w = c.dequantised(&[1, 1, 1, 1], &[-128i8], 6);
    c.node("Conv", "c", &[&w], &[])
        .one("QuantizeLinear", 0.25, 0i8);
    let n = c.import();
    assert_eq!(
        (n.word, &conv(&n, 0).weights[..], n.layers[0].output_frac),
        (Word::W8, &[-128i16][..], 2)
    );
    let mut c = Chain::new(&[1, 2, 2]);
    let w = c.q(8).dequantised(&[1, 1, 1, 1], &[1i8], 6);
    let e = c.node("Conv", "c", &[&w], &[]).q(8).refused();
    assert!(
        e.contains("`c`") && e.contains("int8") && e.contains("int16"),
        "{e}"
    );
}

#[test]
fn constants_come_from_constant_nodes_too() {
    let mut c = Chain::new(&[1, 2, 2]);
    c.q(8);
    let t = TensorProto::new("", &[1, 1, 1, 1], &[9i16]);
    c.b.node(NodeProto::new("Constant", "", &[], &["k"]).with("value", t))
        .node(NodeProto::new("Constant", "", &[], &["ks"]).with("value_float", 0.5f32))
        .node(NodeProto::new("Identity", "", &["ks"], &["ks2"]))
        .node(NodeProto::new(
            "DequantizeLinear",
            "",
            &["k", "ks2"],
            &["kd"],
        ));
    let n = c.node("Conv", "c", &["kd"], &[]).q(8).import();
    assert_eq!(
        (&conv(&n, 0).weights[..], conv(&n, 0).weight_frac),
        (&[9i16][..], 1)
    );
}

#[test]
fn names_are_made_unique() {
    let n = Chain::new(&[1, 2, 2])
        .q(8)
        .conv("a", [1, 1, 1, 1], &[])
        .q(8)
        .conv("a", [1, 1, 1, 1], &[])
        .q(8)
        .conv("", [1, 1, 1, 1], &[])
        .q(8)
        .conv("a_2", [1, 1, 1, 1], &[])
        .q(8)
        .import();
    let names: Vec<_> = n.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["a", "a_3", "conv2", "a_2"]);
}

#[test]
fn a_file_gives_the_same_network_and_lends_its_name() {
    let mut c = Chain::new(&[1, 4, 4]);
    let mut m = c.q(8).conv("c", [1, 1, 3, 3], &[]).q(8).finish();
    m.graph.name.clear();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("lent.onnx");
    cnna_onnx::write(&path, &m).unwrap();
    let n = read(&path).unwrap();
    assert_eq!(
        (n.name.as_str(), &n.layers),
        ("lent", &import(&m).unwrap().layers)
    );
}
