//! How pictures become an input is said once, kept in the files, and another word of the user goes before it.

use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Shape, Values, Window};
use image::RgbImage;

/// A float network of 3 x 8 x 8 pixels, and `a.png`, larger than that, in `photos`.
fn place() -> Workplace {
    let w = Workplace::new();
    let mut graph = Graph::new("net", Word::W16);
    let x = graph.input("x", Shape { c: 3, h: 8, w: 8 }, None);
    let conv = Conv {
        oc: 4,
        groups: 1,
        window: Window::plain(3, 3),
        weights: Values::Reals((0..108).map(|k| (k as f32 * 0.7).cos() / 4.0).collect()),
        finer: Vec::new(),
        bias: Values::Reals(vec![0.0; 4]),
        activation: Activation::None,
    };
    let y = graph.push("conv", conv, &[x], None).unwrap();
    graph.output(y);
    let model = cnna_onnx::export(&graph).unwrap();
    cnna_onnx::write(w.path("float.onnx"), &model).unwrap();
    std::fs::create_dir(w.path("photos")).unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([(x * 11) as u8, (y * 13) as u8, (x * y) as u8]);
    RgbImage::from_fn(20, 16, pixel)
        .save(w.path("photos/a.png"))
        .unwrap();
    w
}

const SAID: &str = "--pixels 255 --mean 120,110,100 --std 60 --resize 12 --crop 10";

#[test]
fn a_program_takes_pictures_as_its_network_was_quantised() {
    let w = place();
    let run = |program: &str, more: &str| {
        w.succeeds(&format!(
            "run {program} --device reference --input photos/a.png -o y.npy {more}"
        ));
        w.load::<f32>("y.npy")
    };
    w.succeeds(&format!(
        "quantize float.onnx --calib photos {SAID} -o q.onnx"
    ));
    w.succeeds("compile q.onnx --board ultra96 -o q.cnna");
    let said = run("q.cnna", SAID);
    assert_eq!(run("q.cnna", ""), said);
    let text = w.succeeds("inspect q.cnna");
    assert!(
        text.contains("by pixels 0..255, mean 120,110,100, std 60, resize 12, crop 10"),
        "{text}"
    );
    // In one command, and from a quantised model whose file says nothing.
    w.succeeds(&format!(
        "compile float.onnx --calib photos {SAID} --board ultra96 -o one.cnna"
    ));
    assert_eq!(run("one.cnna", ""), said);
    // Another word goes before the file's, and is said.
    let output =
        w.output("run q.cnna --device reference --input photos/a.png -o z.npy --mean 0 --crop 8");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("--mean 0 instead of 120,110,100, which the program says"),
        "{text}"
    );
    assert!(text.contains("--crop 8 instead of 10"), "{text}");
    assert_ne!(w.load::<f32>("z.npy"), said);
    // Compiled again with another word, the program has that.
    let output = w.output("compile q.onnx --std 30 --board ultra96 -o other.cnna");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("--std 30 instead of 60"),
        "{text}"
    );
    let text = w.succeeds("inspect other.cnna");
    assert!(text.contains("std 30, resize 12"), "{text}");
}

#[test]
fn arrays_need_no_pictures_and_leave_none_in_the_file() {
    let w = place();
    let values = (0..2 * 192).map(|i| (i as f32 * 0.37).sin());
    w.save("x.npy", &[2, 3, 8, 8], values.collect());
    w.succeeds("compile float.onnx --calib x.npy --board ultra96 -o q.cnna");
    assert!(!w.succeeds("inspect q.cnna").contains("pictures become"));
}
