//! Architectures and ONNX files: round trips, and refusals that name what is wrong.

mod common;

use cnna_machine::num::Word;
use cnna_net::op::Lrn;
use cnna_net::{Graph, Op, Shape};
use cnna_quant::{
    Arch, FloatNet, Preprocess, calibrate, float_logits, read_float, to_graph, write_float,
    write_quantised,
};
use common::{ODD, fashion, odd};
use std::path::Path;

const INPUT: Shape = Shape { c: 1, h: 28, w: 28 };

/// Node by node: tensors may be named otherwise in a file.
fn assert_same(a: &FloatNet, b: &FloatNet) {
    let (a, b) = (a.graph(), b.graph());
    assert_eq!(a.nodes.len(), b.nodes.len());
    for (m, n) in a.nodes.iter().zip(&b.nodes) {
        assert_eq!((&m.name, &m.op), (&n.name, &n.op));
        assert_eq!(
            (a.shapes(m), a.tensors[m.output].shape),
            (b.shapes(n), b.tensors[n.output].shape)
        );
    }
    assert_eq!(
        (&a.name, a.tensors[a.inputs[0].tensor].shape),
        (&b.name, b.tensors[b.inputs[0].tensor].shape)
    );
}

#[test]
fn a_float_network_survives_its_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.onnx");
    let mut net = odd(&fashion(), 4);
    net.parameters_mut()
        .for_each(|(_, mut all)| all[1][1] = 0.25);
    write_float(&net, &Preprocess::default(), &path).expect("a file");
    assert_same(&read_float(&path).expect("just written"), &net);
}

#[test]
fn the_quantised_file_holds_the_networks_integers_and_formats() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.onnx");
    let data = fashion();
    let mut net = odd(&data, 4);
    // Beyond 32 bits at the accumulator's scale.
    net.parameters_mut().nth(3).expect("f1").1[1][2] = 3e3;
    for word in [Word::W16, Word::W8] {
        let formats = calibrate(&net, &data.train, word, true).expect("finite weights");
        let integers = to_graph(&net, &formats).expect("finite weights");
        write_quantised(&integers, &Preprocess::default(), &path).expect("a file");
        let read = cnna_onnx::read_quantised(&path).expect("just written");
        assert_eq!(read.word, word);
        let nodes = |g: &Graph| -> Vec<(String, Op, Option<i32>)> {
            let one = |n: &cnna_net::Node| (n.name.clone(), n.op.clone(), g.tensors[n.output].frac);
            g.nodes.iter().map(one).collect()
        };
        for (got, want) in nodes(&read).iter().zip(nodes(&integers)) {
            assert_eq!(*got, want, "{}", want.0);
        }
        assert_eq!(read.nodes.len(), integers.nodes.len());
    }
}

#[test]
fn models_that_cannot_be_trained_are_refused_by_node_with_another_way() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.onnx");
    let good = odd(&fashion(), 4);
    let spoil = |change: &dyn Fn(&mut Graph)| {
        let mut graph = good.graph().into_owned();
        change(&mut graph);
        cnna_onnx::write(&path, &cnna_onnx::export(&graph).expect("a model")).expect("a file");
        read_float(&path).expect_err("a spoilt model").to_string()
    };
    let e = spoil(&|g| {
        let lrn = Lrn {
            size: 3,
            alpha: 1e-4,
            beta: 0.75,
            bias: 1.0,
        };
        let last = g.nodes[8].output;
        let t = g.push("t", lrn, &[last], None).expect("it fits");
        g.outputs[0].tensor = t;
    });
    assert!(
        e.contains("net.onnx: node `t`: operator Lrn has no gradient")
            && e.contains("cnna quantize"),
        "{e}"
    );
    let e = spoil(&|g| {
        let first = g.nodes[0].output;
        g.outputs[0] = cnna_net::Port {
            name: "y".into(),
            tensor: first,
            array: cnna_net::ArrayLayout::plain(g.tensors[first].shape),
        };
    });
    assert!(e.contains("is not one value a class"), "{e}");
    let e = spoil(&|g| {
        let Op::Conv(c) = &mut g.nodes[6].op else {
            panic!("f1 is a convolution")
        };
        c.bias = cnna_net::Values::Reals(vec![f32::INFINITY; 20]);
    });
    assert!(
        e.contains("node `f1`") && e.contains("holds inf at element 0"),
        "{e}"
    );
    std::fs::write(&path, b"no model").expect("a file");
    assert!(
        read_float(&path)
            .expect_err("text")
            .to_string()
            .contains("net.onnx")
    );
}

#[test]
fn architectures_are_refused_for_unknown_keys_names_and_sizes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        Arch::load(&path.to_string_lossy())
            .and_then(|a| a.init(INPUT, 10, 1))
            .map(drop)
    };
    load(ODD).expect("a good description");
    let cases = [
        (
            ODD.replace("features = 20", "features = 20, dropout = 1"),
            "dropout",
        ),
        (
            ODD.replace("name = \"odd\"", "name = \"odd\"\nseed = 1"),
            "seed",
        ),
        (ODD.replace(", pad = 2", ""), "pad"),
        (ODD.replace("\"c2\"", "\"c1\""), "two layers are named `c1`"),
        (
            ODD.replace("kernel = 5", "kernel = 99"),
            "layer `c1`: kernel",
        ),
        (
            ODD.replace("stride = 2, pad = 2", "stride = 0, pad = 2"),
            "must be at least 1",
        ),
        (
            ODD.replace("features = 10", "features = 11"),
            "the data set needs 10x1x1",
        ),
    ];
    for (text, want) in cases {
        let e = load(&text).expect_err(want).to_string();
        assert!(
            e.contains(want) && e.starts_with("architecture"),
            "{want}: {e}"
        );
    }
    let e = Arch::load("vgg-tiny").expect_err("unknown").to_string();
    assert!(e.contains("use vgg-small"), "{e}");
}

#[test]
fn the_shipped_float_model_reaches_91_percent_on_all_test_images() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fashion-float.onnx");
    let graph = cnna_onnx::read_graph(path).unwrap_or_else(|e| panic!("{e}"));
    let test = fashion().test;
    let logits = float_logits(&graph, &test).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(logits.len(), 10_000);
    let best = |row: &Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let right = logits.iter().zip(&test.labels);
    let right = right.filter(|(row, label)| best(row) == Some(usize::from(**label)));
    assert!(right.count() >= 9_100);
}
