//! Files that hold operators on integers, and scales of channels: from the file to values, and what is refused.

use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Shape, Values, Window};
use std::path::Path;
use std::process::Command;

/// Needs onnx and onnxruntime, which scripts/setup puts in place.
#[test]
fn operators_on_integers_are_as_near_to_onnx_runtime_as_their_steps() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/integer_operators.py");
    let output = Command::new("python3")
        .args([script.as_os_str(), env!("CARGO_BIN_EXE_cnna").as_ref()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "run scripts/setup: python3 with onnxruntime\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("all of 19 near"), "{text}");
}

#[test]
fn scales_of_channels_are_in_the_file_and_a_machine_without_them_says_so() {
    let w = Workplace::new();
    let values = (0..4 * 128).map(|i| (i as f32 * 0.37).sin());
    w.save("x.npy", &[4, 2, 8, 8], values.collect());
    let mut graph = Graph::new("skewed", Word::W16);
    let x = graph.input("x", Shape { c: 2, h: 8, w: 8 }, None);
    // Each channel a quarter of the one before.
    let weight = |k: usize| (k as f32 * 0.7).cos() * 0.25f32.powi((k / 18) as i32);
    let conv = Conv {
        oc: 4,
        groups: 1,
        window: Window::plain(3, 3),
        weights: Values::Reals((0..72).map(weight).collect()),
        finer: Vec::new(),
        bias: Values::Reals(vec![0.0; 4]),
        activation: Activation::Relu,
    };
    let y = graph.push("conv", conv, &[x], None).unwrap();
    graph.output(y);
    let model = cnna_onnx::export(&graph).unwrap();
    cnna_onnx::write(w.path("float.onnx"), &model).unwrap();
    let text = w.succeeds("quantize float.onnx --calib x.npy --per-channel -o q.onnx");
    assert!(text.contains("16/ch"), "{text}");
    w.fails(
        "compile q.onnx --board ultra96 -o q.cnna",
        &["weight scales of their own", "without --per-channel"],
    );
    let text = w
        .succeeds("quantize float.onnx --calib x.npy --narrow-weights all -o n.onnx --json n.json");
    assert!(!text.contains("/ch"), "{text}");
    let json = w.json("n.json");
    let rows = json["table"]["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .all(|r| r["weight_bits"].is_null() || r["weight_bits"] == 8)
    );
    w.succeeds("compile n.onnx --board ultra96 -o n.cnna");
    w.succeeds("check n.cnna --engines reference,cycle");
}
