//! What each refusal says.

use crate::chain::Chain;
use cnna_compile::import::read;
use cnna_machine::layer::Shape;
use cnna_onnx::{AttributeValue, ElementType, NodeProto};

#[test]
fn missing_quantisation_is_named_where_it_is_missing() {
    let mut c = Chain::new(&[1, 4, 4]);
    let w = c.constant(&[1, 1, 1, 1], &[1f32]);
    let e = c.node("Conv", "c", &[&w], &[]).refused();
    assert!(
        e.starts_with(
            "the model is not quantised: quantise it first: `cnna train --init FILE --epochs 0`"
        ),
        "{e}"
    );

    let e = Chain::new(&[1, 4, 4])
        .conv("c", [1, 1, 1, 1], &[])
        .q(8)
        .refused();
    assert!(
        e.contains("`c`") && e.contains("its input is not quantised"),
        "{e}"
    );
    let e = Chain::new(&[1, 4, 4])
        .q(8)
        .conv("a", [1, 1, 1, 1], &[])
        .conv("b", [1, 1, 1, 1], &[])
        .q(8)
        .refused();
    assert!(
        e.contains("`b`") && e.contains("its input is not quantised"),
        "{e}"
    );
    let e = Chain::new(&[1, 4, 4])
        .q(8)
        .conv("a", [1, 1, 1, 1], &[])
        .node("Relu", "end", &[], &[])
        .refused();
    assert!(
        e.contains("`end`")
            && e.contains("output")
            && e.contains("cnna train --init FILE --epochs 0"),
        "{e}"
    );

    let mut c = Chain::new(&[1, 4, 4]);
    let w = c.q(8).constant(&[1, 1, 1, 1], &[1f32]);
    let e = c.node("Conv", "c", &[&w], &[]).q(8).refused();
    assert!(
        e.contains("`c`") && e.contains(&format!("its weight `{w}` is not quantised")),
        "{e}"
    );
}

#[test]
fn scales_and_zero_points_that_the_machine_cannot_have_are_refused() {
    let case = |f: &dyn Fn(&mut Chain)| {
        let mut c = Chain::new(&[1, 4, 4]);
        f(&mut c);
        c.conv("c", [1, 1, 1, 1], &[]).q(8).refused()
    };
    let e = case(&|c| {
        c.one("QuantizeLinear", 0.1, 0i16);
    });
    assert!(
        e.contains("quantizelinear0") && e.contains("0.1 is not a power of two"),
        "{e}"
    );
    let e = case(&|c| {
        c.one("QuantizeLinear", 0.5, 3i16);
    });
    assert!(e.contains("is 3: only symmetric"), "{e}");
    let e = case(&|c| {
        c.one("QuantizeLinear", 0.5, 0u8);
    });
    assert!(e.contains("not int8 or int16"), "{e}");
    let e = case(&|c| {
        c.q(8).q(9);
    });
    assert!(e.contains("2^-8 to 2^-9 without a layer between"), "{e}");
    let e = case(&|c| {
        c.one("QuantizeLinear", 0.5, 0i16)
            .one("DequantizeLinear", 0.25, 0i16);
    });
    assert!(
        e.contains("not that of the QuantizeLinear before it"),
        "{e}"
    );

    let mut c = Chain::new(&[1, 4, 4]);
    let s = c.constant(&[2], &[0.5f32, 0.25]);
    let e = c
        .node("QuantizeLinear", "q", &[&s], &[("output_dtype", 5.into())])
        .refused();
    assert!(e.contains("`q`") && e.contains("differs by channel"), "{e}");
    for (frac, shift) in [(60, -38), (-26, 48)] {
        let e = Chain::new(&[1, 4, 4])
            .q(8)
            .conv("big", [1, 1, 1, 1], &[])
            .q(frac)
            .refused();
        assert!(
            e.contains("`big`") && e.contains(&format!("shift of {shift} bits")),
            "{e}"
        );
    }
}

#[test]
fn branches_are_refused_by_node() {
    let mut c = Chain::new(&[1, 4, 4]);
    c.q(8).conv("c1", [1, 1, 1, 1], &[]);
    let fork = c.tensor.clone();
    c.q(8).conv("c2", [1, 1, 1, 1], &[]);
    let e = c.node("Add", "sum", &[&fork], &[]).q(8).refused();
    assert!(
        e.contains("node `c1`") && e.contains("`sum`") && e.contains("no branches"),
        "{e}"
    );

    let mut c = Chain::new(&[1, 4, 4]);
    c.b.input("y", ElementType::F32, &[1]);
    let e = c.q(8).refused();
    assert!(e.contains("2 inputs (x, y)"), "{e}");
}

#[test]
fn unsupported_operators_are_refused_with_the_list() {
    let e = Chain::new(&[1, 4, 4])
        .q(8)
        .node("Softmax", "prob", &[], &[])
        .refused();
    assert!(
        e.starts_with("node `prob`: operator Softmax is not supported; supported are Conv"),
        "{e}"
    );
    for op in [
        "Conv",
        "Relu",
        "MaxPool",
        "Gemm",
        "MatMul",
        "Flatten",
        "Reshape",
        "QuantizeLinear",
    ] {
        assert!(e.contains(op), "{op}");
    }
}

#[test]
fn forms_of_operators_that_are_not_supported_are_refused_by_node() {
    type Attributes<'a> = &'a [(&'a str, AttributeValue)];
    let conv = |a: Attributes| {
        Chain::new(&[2, 4, 4])
            .q(8)
            .conv("c", [2, 2, 3, 3], a)
            .q(8)
            .refused()
    };
    let pool = |a: Attributes| {
        Chain::new(&[2, 4, 4])
            .q(8)
            .node("MaxPool", "c", &[], a)
            .q(8)
            .refused()
    };
    let k2 = ("kernel_shape", AttributeValue::from([2, 2]));
    let cases = [
        (conv(&[("group", 2.into())]), "group 2"),
        (conv(&[("pads", [0, -1, 0, 0].into())]), "pads"),
        (conv(&[("strides", [0, 1].into())]), "strides"),
        (conv(&[("strides", vec![1i64].into())]), "strides"),
        (
            conv(&[("dilations", [2, 2].into())]),
            "larger than its padded input 2x4x4",
        ),
        (conv(&[("kernel_shape", [3, 2].into())]), "kernel_shape"),
        (conv(&[("auto_pad", "SAME".into())]), "auto_pad SAME"),
        (
            conv(&[("group", "x".into())]),
            "attribute `group` should be an integer",
        ),
        (
            conv(&[("pads", [60_000, 60_000, 60_000, 60_000].into())]),
            "larger than",
        ),
        (pool(&[]), "no kernel_shape"),
        (
            pool(&[
                k2.clone(),
                ("strides", [3, 3].into()),
                ("ceil_mode", 1.into()),
            ]),
            "ceil_mode",
        ),
        (
            pool(&[k2.clone(), ("pads", [2, 0, 0, 0].into())]),
            "padding must be smaller",
        ),
    ];
    for (e, part) in cases {
        assert!(e.contains("node `c`") && e.contains(part), "{e}");
    }
    // ceil_mode that changes nothing is read.
    let n = Chain::new(&[2, 4, 4])
        .q(8)
        .node(
            "MaxPool",
            "c",
            &[],
            &[k2, ("strides", [2, 2].into()), ("ceil_mode", 1.into())],
        )
        .q(8)
        .import();
    assert_eq!(n.layers[0].output, Shape { c: 2, h: 2, w: 2 });

    let e = Chain::new(&[3, 4, 4])
        .q(8)
        .conv("c", [2, 2, 3, 3], &[])
        .q(8)
        .refused();
    assert!(e.contains("channels disagree"), "{e}");
    let fc = |flatten: bool, a: Attributes| {
        let mut c = Chain::new(&[1, 2, 2]);
        let w = c.q(8).dequantised(&[4, 1], &[1i16; 4], 14);
        if flatten {
            c.node("Flatten", "", &[], &[]);
        }
        c.node("Gemm", "c", &[&w], a).q(8).refused()
    };
    assert!(fc(false, &[]).contains("put a Flatten before it"));
    assert!(fc(true, &[("alpha", 0.5f32.into())]).contains("alpha 0.5"));
    assert!(fc(true, &[("transA", 1.into())]).contains("transA"));
    assert!(fc(true, &[("transB", 1.into())]).contains("disagree"));
    let e = Chain::new(&[1, 2, 2])
        .q(8)
        .node("Relu", "r", &[], &[])
        .refused();
    assert!(e.contains("`r`") && e.contains("before it"), "{e}");
    let e = Chain::new(&[1, 2, 2])
        .q(8)
        .node("Flatten", "f", &[], &[("axis", 2.into())])
        .refused();
    assert!(e.contains("`f`") && e.contains("axis 2"), "{e}");
    let mut c = Chain::new(&[1, 2, 2]);
    let s = c.q(8).constant(&[3], &[1i64, 2, 2]);
    let e = c.node("Reshape", "r", &[&s], &[]).refused();
    assert!(e.contains("`r`") && e.contains("use [N, -1]"), "{e}");
}

#[test]
fn biases_of_another_scale_or_length_are_refused() {
    let case = |b: &dyn Fn(&mut Chain) -> String| {
        let mut c = Chain::new(&[1, 2, 2]);
        let w = c.q(8).dequantised(&[2, 1, 1, 1], &[1i16; 2], 14);
        let b = b(&mut c);
        c.node("Conv", "c", &[&w, &b], &[]).q(8).refused()
    };
    let e = case(&|c| c.dequantised(&[2], &[1i32; 2], 20));
    assert!(e.contains("has scale 2^-20") && e.contains("2^-22"), "{e}");
    assert!(case(&|c| c.dequantised(&[3], &[1i32; 3], 22)).contains("3 elements for 2 outputs"));
    assert!(case(&|c| c.dequantised(&[2], &[1i64 << 47; 2], 22)).contains("48-bit accumulator"));
    assert!(case(&|c| c.constant(&[2], &[0f32, 1e30])).contains("element 1, does not fit"));
    assert!(case(&|c| c.constant(&[2], &[1i32; 2])).contains("lacks a DequantizeLinear"));
}

#[test]
fn nan_and_infinity_are_refused_with_tensor_and_index() {
    for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let mut c = Chain::new(&[1, 2, 2]);
        let w = c.q(8).dequantised(&[2, 1, 1, 1], &[1i16; 2], 14);
        c.b.constant("bad_bias", &[2], &[0.5, value]);
        let e = c.node("Conv", "c", &[&w, "bad_bias"], &[]).q(8).refused();
        assert!(
            e.starts_with(&format!("tensor `bad_bias`: element 1 is {text}")),
            "{e}"
        );
    }
}

#[test]
fn damaged_graphs_are_refused() {
    let e = Chain::new(&[1, 0, 4]).q(8).refused();
    assert!(e.contains("`x`") && e.contains("fixed"), "{e}");
    let mut c = Chain::new(&[1, 4, 4]);
    c.b.node(NodeProto::new("Relu", "again", &["x"], &["x2"]))
        .node(NodeProto::new("Relu", "", &["x"], &["x2"]));
    assert!(c.q(8).refused().contains("`x2` is defined twice"));
    let mut c = Chain::new(&[1, 4, 4]);
    c.b.node(NodeProto::new("Identity", "", &["x"], &["x"]));
    c.b.constant("s", &[], &[1f32]).node(NodeProto::new(
        "DequantizeLinear",
        "",
        &["z", "s"],
        &["z"],
    ));
    c.tensor = "z".into();
    assert!(c.refused().contains("loop"));
    let e = Chain::new(&[1, 4, 4])
        .q(8)
        .node("Conv", "c", &["nowhere"], &[])
        .q(8)
        .refused();
    assert!(
        e.contains("`c`") && e.contains("`nowhere` must be a constant"),
        "{e}"
    );
    let e = read("/nonexistent/m.onnx").unwrap_err().to_string();
    assert!(e.contains("m.onnx"), "{e}");
}
