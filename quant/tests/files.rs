//! Architectures and ONNX files: round trips, and refusals that name what is wrong.

mod common;

use cnna_machine::num::Word;
use cnna_net::{Op, Shape};
use cnna_quant::{
    Arch, calibrate, float_accuracy, float_model, qdq_model, read_float, to_graph, write_float,
};
use common::{ODD, fashion, odd};
use std::path::Path;

const INPUT: Shape = Shape { c: 1, h: 28, w: 28 };

#[test]
fn a_float_network_survives_its_file() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.onnx");
    let mut net = odd(&fashion(), 4);
    net.parameters_mut().for_each(|[_, b]| b[1] = 0.25);
    write_float(&net, &path).expect("a file");
    assert_eq!(read_float(&path).expect("just written"), net);
}

#[test]
fn the_quantised_graph_holds_the_networks_integers_and_scales() {
    let data = fashion();
    let mut net = odd(&data, 4);
    net.parameters_mut().nth(3).expect("f1")[1][2] = 3e6;
    for word in [Word::W16, Word::W8] {
        let formats = calibrate(&net, &data.train, word, true).expect("finite weights");
        let integers = to_graph(&net, &formats).expect("finite weights");
        let model = qdq_model(&integers, Path::new("test.onnx")).expect("biases fit");
        let constant = |name: &str| {
            model
                .graph
                .initializer
                .iter()
                .find(|t| t.name == name)
                .unwrap_or_else(|| panic!("no constant {name}"))
        };
        assert_eq!(model.opset, 21);
        let mut input_frac = formats.input_frac;
        for l in &integers.nodes {
            assert!(
                model.graph.node.iter().any(|n| n.name == l.name),
                "no node {}",
                l.name
            );
            if let Op::Conv(c) = &l.op {
                let (words, weight_frac) = c.weights.words().expect("words");
                let sums = c.bias.sums().expect("sums");
                assert_eq!(
                    constant(&format!("{}.weight", l.name))
                        .to_i16()
                        .expect("words"),
                    words
                );
                let scale = constant(&format!("{}.weight_scale", l.name))
                    .to_f32()
                    .expect("a float");
                assert_eq!(scale, [2f32.powi(-weight_frac)]);
                let bias = constant(&format!("{}.bias", l.name));
                let unit = 2f64.powi(input_frac + weight_frac);
                let got: Vec<f64> = if l.name == "f1" {
                    // Beyond 32 bits: as reals.
                    bias.to_f32()
                        .expect("floats")
                        .iter()
                        .map(|&b| f64::from(b) * unit)
                        .collect()
                } else {
                    let scale = constant(&format!("{}.bias_scale", l.name))
                        .to_f32()
                        .expect("a float")[0];
                    let integers = bias.to_i64().expect("integers");
                    integers
                        .iter()
                        .map(|&b| b as f64 * f64::from(scale) * unit)
                        .collect()
                };
                assert_eq!(
                    got,
                    sums.iter().map(|&b| b as f64).collect::<Vec<_>>(),
                    "{}",
                    l.name
                );
            }
            input_frac = integers.tensors[l.output].frac.expect("a format");
        }
    }
}

#[test]
fn models_that_are_not_a_float_chain_are_refused_by_node() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("net.onnx");
    let good = float_model(&odd(&fashion(), 4));
    let spoil = |change: &dyn Fn(&mut cnna_onnx::Model)| {
        let mut model = good.clone();
        change(&mut model);
        cnna_onnx::write(&path, &model).expect("a file");
        read_float(&path).expect_err("a spoilt model").to_string()
    };
    let e = spoil(&|m| m.graph.node[0].op_type = "Softmax".into());
    assert!(
        e.contains("node `c1`: operator Softmax") && e.contains("Conv, Relu, MaxPool"),
        "{e}"
    );
    let e = spoil(&|m| m.graph.node[2].input[0] = "input".into());
    assert!(
        e.contains("node `p1`: it does not read the node before it"),
        "{e}"
    );
    let e = spoil(&|m| m.graph.initializer.retain(|t| t.name != "c2.bias"));
    assert!(
        e.contains("node `c2`: its input 2 (`c2.bias`) is not a constant"),
        "{e}"
    );
    let e = spoil(&|m| {
        let t = m
            .graph
            .initializer
            .iter_mut()
            .find(|t| t.name == "f1.bias")
            .expect("f1");
        *t = cnna_onnx::TensorProto::new("f1.bias", &[20], &[f32::INFINITY; 20]);
    });
    assert!(e.contains("layer `f1`: bias 0 is inf"), "{e}");
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
    let accuracy = float_accuracy(&path, &fashion()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(accuracy.images, 10_000);
    assert!(accuracy.percent() >= 91.0, "{accuracy}");
}
