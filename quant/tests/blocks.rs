//! Down-sampling blocks: each trains, and its integers are those of the fake-quantised network.

mod common;

use cnna_machine::num::Word;
use cnna_net::{Op, Shape};
use cnna_quant::{Arch, BLOCKS, BUILT_IN, FloatNet, TrainOptions, calibrate, train, with_block};
use common::{compare, fashion};

#[test]
fn the_integers_of_every_block_are_those_of_the_fake_quantised_network() {
    let data = fashion();
    let (sample, images) = (data.train.first(32), data.test.first(8));
    for (name, layers) in BLOCKS {
        let arch = with_block(name, layers, [6, 8, 8]);
        let arch = Arch::parse(&arch).unwrap_or_else(|e| panic!("{name}: {e}"));
        let net = arch.init(images.shape, 10, 5);
        let net = net.unwrap_or_else(|e| panic!("{e}"));
        for word in [Word::W16, Word::W8] {
            let formats = calibrate(&net, &sample, word, true);
            let formats = formats.unwrap_or_else(|e| panic!("{name}: {e}"));
            compare(&net, &formats, &images);
        }
    }
}

/// What a block computes for one channel of 2x2 pixels.
fn of_pixels(layer: &str, pixels: [u8; 4]) -> f64 {
    let text = format!("name = \"b\"\nlayer = [\n{layer},\n]\n");
    let arch: Arch = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
    let shape = Shape { c: 1, h: 2, w: 2 };
    let net: FloatNet = arch.init(shape, 1, 1).unwrap_or_else(|e| panic!("{e}"));
    let split = cnna_quant::Split {
        shape,
        images: pixels.to_vec(),
        labels: vec![0],
        preprocess: Default::default(),
    };
    let logits = cnna_quant::float_logits(&net.graph(), &split);
    f64::from(logits.unwrap_or_else(|e| panic!("{e}"))[0][0])
}

/// By the formulas of the papers, written down anew.
#[test]
fn blocks_compute_what_their_papers_say() {
    let pixels = [255u8, 51, 0, 153];
    let x = pixels.map(|p| f64::from(p) / 255.0);
    let mean = x.iter().sum::<f64>() / 4.0;
    let weighted = |w: &dyn Fn(f64) -> f64| {
        let all: f64 = x.iter().map(|&v| w(v)).sum();
        x.iter().map(|&v| w(v) * v).sum::<f64>() / all
    };
    let soft = weighted(&f64::exp);
    let alike = weighted(&|v| (2.0 * v * mean / (v * v + mean * mean)).exp());
    let root = (x.iter().map(|v| v.powi(3)).sum::<f64>() / 4.0).cbrt();
    let near = |layer: &str, want: f64| {
        let got = of_pixels(layer, pixels);
        assert!((got - want).abs() < 1e-4, "{layer}: {got} is not {want}");
    };
    near(r#"{ kind = "soft-pool", name = "y" }"#, soft);
    near(r#"{ kind = "ada-pool", name = "y" }"#, (soft + alike) / 2.0);
    near(r#"{ kind = "gem-pool", name = "y" }"#, root);
    near(r#"{ kind = "gem-pool", name = "y", kernel = 2 }"#, root);
    near(
        r#"{ kind = "mixed-pool", name = "y", kernel = 2, stride = 2 }"#,
        (1.0 + mean) / 2.0,
    );
    // The corner of a 3x3 binomial filter with zeros around the picture.
    near(
        r#"{ kind = "blur-pool", name = "y", kernel = 3 }"#,
        (4.0 * x[0] + 2.0 * x[1] + 2.0 * x[2] + x[3]) / 16.0,
    );
}

#[test]
fn the_filter_of_a_blur_is_not_trained_and_what_surrounds_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let arch = dir.path().join("blur.toml");
    let text = r#"
        name = "blur"
        layer = [
          { kind = "conv", name = "c", channels = 3, kernel = 3, stride = 2, pad = 1 },
          { kind = "blur-pool", name = "b", kernel = 3 },
          { kind = "fc", name = "f", features = 10 },
        ]
    "#;
    std::fs::write(&arch, text).expect("a file");
    let arch = arch.to_string_lossy().into_owned();
    let first = Arch::load(&arch).and_then(|a| a.init(Shape { c: 1, h: 28, w: 28 }, 10, 1));
    let first = first.unwrap_or_else(|e| panic!("{e}"));
    let options = TrainOptions {
        arch,
        epochs: 1,
        float_only: true,
        limit: Some(64),
        ..TrainOptions::new(dir.path().join("blur.onnx"))
    };
    train(&options).unwrap_or_else(|e| panic!("{e}"));
    let trained = cnna_onnx::read_graph(&options.out).unwrap_or_else(|e| panic!("{e}"));
    let weights = |g: &cnna_net::Graph, name: &str| {
        let node = g.nodes.iter().find(|n| n.name == name);
        match node.map(|n| &n.op) {
            Some(Op::Conv(c)) => c.real_weights(),
            other => panic!("{name}: {other:?}"),
        }
    };
    let (before, after) = (first.graph(), trained);
    assert_eq!(weights(&before, "b"), weights(&after, "b"));
    assert_ne!(weights(&before, "c"), weights(&after, "c"));
}

#[test]
fn every_built_in_architecture_takes_pictures_of_28_pixels() {
    for (name, _) in BUILT_IN {
        let net = Arch::load(name).and_then(|a| a.init(Shape { c: 1, h: 28, w: 28 }, 10, 1));
        net.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn blocks_that_do_not_fit_are_refused_by_layer() {
    let refused = |layer: &str| {
        let text = format!("name = \"b\"\nlayer = [\n{layer},\n]\n");
        let arch: Arch = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
        let e = arch.init(Shape { c: 3, h: 4, w: 4 }, 3, 1);
        e.expect_err(layer).to_string()
    };
    for (layer, want) in [
        (
            r#"{ kind = "maxout", name = "m", pieces = 2 }"#,
            "layer `m`: 2 pieces do not divide its 3 channels",
        ),
        (
            r#"{ kind = "soft-pool", name = "s", kernel = 5 }"#,
            "layer `s`: blocks of 5 by 5",
        ),
        (
            r#"{ kind = "space-to-depth", name = "s", block = 0 }"#,
            "use 1 to 4",
        ),
        (
            r#"{ kind = "tree-pool", name = "t", kernel = 2, stride = 2, levels = 9 }"#,
            "use 1 to 3",
        ),
        (
            r#"{ kind = "blur-pool", name = "b", kernel = 9 }"#,
            "use 2 to 5",
        ),
        (
            r#"{ kind = "gem-pool", name = "g", power = 0.5 }"#,
            "use at least 1",
        ),
        (
            r#"{ kind = "squeeze-excite", name = "e", reduction = 4 }"#,
            "use 1 to 3",
        ),
        (
            r#"{ kind = "pixels", name = "p", rows = 2 }"#,
            "a divisor of 3",
        ),
        (
            r#"{ kind = "add", name = "a", with = "z" }"#,
            "no layer before it is named `z`",
        ),
    ] {
        let e = refused(layer);
        assert!(
            e.contains(want) && e.starts_with("architecture `b`"),
            "{want}: {e}"
        );
    }
    let text = "name = \"b\"\nlayer = [{ kind = \"gem-pool\", name = \"g\", sides = 3 }]";
    let e = toml::from_str::<Arch>(text).expect_err("an unknown key");
    assert!(
        e.to_string().contains("layer `g`: unknown field `sides`"),
        "{e}"
    );
}
