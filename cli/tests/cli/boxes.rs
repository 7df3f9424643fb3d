//! Detectors: boxes printed, thinned out, drawn.

use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Shape, Values, Window};
use serde_json::Value;

/// A head of YOLOv4-tiny with one class over 32 x 32 pixels: each of 2 x 2 cells has a box of its first anchor, 23 wide and 27
/// high, in its middle, whatever the picture shows.
fn detector() -> Workplace {
    let w = Workplace::new();
    let mut graph = Graph::new("detector", Word::W16);
    let side = |c| Shape { c, h: 32, w: 32 };
    let x = graph.input("x", side(3), None);
    let bias = (0..18).map(|c| match c {
        0..4 => 0.0,
        4 | 5 => 3.0,
        _ => -6.0,
    });
    let conv = Conv {
        finer: Vec::new(),
        oc: 18,
        groups: 1,
        window: Window {
            stride: [16, 16],
            ..Window::plain(1, 1)
        },
        weights: Values::Reals(vec![1.0 / 1024.0; 18 * 3]),
        bias: Values::Reals(bias.collect()),
        activation: Activation::None,
    };
    let y = graph.push("head", conv, &[x], None).unwrap();
    graph.output(y);
    let options = cnna_onnx::Options {
        float: true,
        ..Default::default()
    };
    let model = cnna_onnx::export_with(&graph, options).unwrap();
    cnna_onnx::write(w.path("float.onnx"), &model).unwrap();
    std::fs::write(
        w.path("photo.png"),
        include_bytes!("../../../docs/pictures/report-vgg16.png"),
    )
    .unwrap();
    w.succeeds("compile float.onnx --calib photo.png --board ultra96 -o d.cnna");
    w
}

const RUN: &str = "run d.cnna --device reference --input photo.png --boxes v4-tiny --json r.json";

#[test]
fn boxes_are_printed_thinned_out_and_drawn() {
    let w = detector();
    std::fs::write(w.path("labels.txt"), "cat\n").unwrap();
    let text = w.succeeds(&format!("{RUN} --labels labels.txt --draw found"));
    assert!(text.contains("photo.png: 4 box(es)"), "{text}");
    let boxes = |w: &Workplace| -> Vec<Value> {
        w.json("r.json")["boxes"][0]["boxes"]
            .as_array()
            .unwrap()
            .clone()
    };
    let found = boxes(&w);
    let mut places: Vec<Vec<f64>> = found.iter().map(|b| numbers(&b["corners"])).collect();
    places.sort_by(|a, b| a.partial_cmp(b).unwrap());
    // Left, top, right, bottom about the cells' middles.
    let middles = [[8.0, 8.0], [8.0, 24.0], [24.0, 8.0], [24.0, 24.0]];
    for (place, [x, y]) in places.iter().zip(middles) {
        let expected = [x - 11.5, y - 13.5, x + 11.5, y + 13.5];
        for (a, b) in place.iter().zip(expected) {
            assert!((a - b).abs() < 0.2, "{place:?} {expected:?}");
        }
    }
    let sure = 1.0 / (1.0 + (-3.0f64).exp());
    for b in &found {
        assert_eq!((&b["class"], &b["label"]), (&0.into(), &"cat".into()));
        assert!(
            (b["score"].as_f64().unwrap() - sure * sure).abs() < 0.01,
            "{b}"
        );
    }
    // The picture, and more than its frame of boxes.
    let drawn = std::fs::read(w.path("found/0000-photo.png")).unwrap();
    assert!(drawn.starts_with(b"\x89PNG"), "a PNG");
    assert_ne!(drawn, std::fs::read(w.path("photo.png")).unwrap());
    // Neighbours above one another share a quarter, those side by side less than a fifth.
    w.succeeds(&format!("{RUN} --nms 0.22"));
    assert_eq!(boxes(&w).len(), 2);
    w.succeeds(&format!("{RUN} --soft-nms 0.5"));
    let scores: Vec<f64> = boxes(&w)
        .iter()
        .map(|b| b["score"].as_f64().unwrap())
        .collect();
    assert_eq!(scores.len(), 4);
    assert!(scores[0] - scores[3] > 0.05, "{scores:?}");
    w.succeeds(&format!("{RUN} --score 0.95"));
    assert_eq!(boxes(&w).len(), 0);
}

#[test]
fn what_has_no_boxes_is_refused() {
    let w = detector();
    w.fails(
        "run d.cnna --device reference --input photo.png --boxes v8",
        &["no YOLOv8 head: expected [4 + classes, boxes]"],
    );
    w.save("x.npy", &[1, 3, 32, 32], vec![0f32; 3 * 32 * 32]);
    w.fails(
        "run d.cnna --device reference --input x.npy --boxes v4-tiny --draw found",
        &["--draw needs pictures"],
    );
    w.fails(
        "run d.cnna --device reference --input photo.png -o y.npy --labels labels.txt",
        &["labels.txt"],
    );
}

fn numbers(v: &Value) -> Vec<f64> {
    let all = v.as_array().unwrap().iter();
    all.map(|n| n.as_f64().unwrap()).collect()
}
