//! Training begins from any chain that is read, whatever its names are, and what it writes is compiled.

use crate::workplace::Workplace;
use cnna_onnx::{ElementType, GraphBuilder, NodeProto};

/// A data set of `n` images of 4 x 4 pixels in two classes.
fn write_set(w: &Workplace, n: usize) {
    std::fs::create_dir(w.path("idx")).unwrap();
    let idx = |name: &str, sizes: &[u32], data: Vec<u8>| {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
        bytes.extend(data);
        std::fs::write(w.path(&format!("idx/{name}")), bytes).unwrap();
    };
    for prefix in ["train", "t10k"] {
        let pixels = (0..n * 16).map(|i| (i * 37 % 256) as u8).collect();
        idx(
            &format!("{prefix}-images-idx3-ubyte"),
            &[n as u32, 4, 4],
            pixels,
        );
        idx(
            &format!("{prefix}-labels-idx1-ubyte"),
            &[n as u32],
            (0..n).map(|i| (i % 2) as u8).collect(),
        );
    }
}

#[test]
fn names_that_are_missing_equal_or_those_of_others_are_no_obstacle() {
    let w = Workplace::new();
    write_set(&w, 32);
    let weights: Vec<f32> = (0..32).map(|k| (k as f32 * 0.7).cos()).collect();
    for (name, names) in [
        ("none", ["", "", ""]),
        ("equal", ["a", "a", "a"]),
        ("clash", ["w1", "b1", "x"]),
    ] {
        let mut b = GraphBuilder::new("chain");
        b.input("x", ElementType::F32, &[1, 4, 4])
            .output("y", ElementType::F32, &[2])
            .constant("w1", &[2, 1, 1, 1], &weights[..2])
            .constant("b1", &[2], &[0.1f32, -0.1])
            .constant("w2", &[2, 32], &[&weights[..], &weights[..]].concat())
            .constant("b2", &[2], &[0.0f32, 0.0])
            .node(NodeProto::new("Conv", names[0], &["x", "w1", "b1"], &["c"]))
            .node(NodeProto::new("Flatten", names[1], &["c"], &["f"]))
            .node(NodeProto::new("Gemm", names[2], &["f", "w2", "b2"], &["y"]).with("transB", 1));
        cnna_onnx::write(w.path(&format!("{name}.onnx")), &b.finish()).unwrap();
        w.succeeds(&format!(
            "train --dataset idx --init {name}.onnx --epochs 0 --qat-epochs 1 -o {name}-q.onnx"
        ));
        w.succeeds(&format!(
            "compile {name}-q.onnx --board ultra96 -o {name}.cnna"
        ));
        w.succeeds(&format!(
            "check {name}.cnna --images 1 --engines reference,cycle"
        ));
    }
}

#[test]
fn coloured_npy_arrays_train_and_curves_have_a_point_an_epoch() {
    let w = Workplace::new();
    std::fs::create_dir(w.path("set")).unwrap();
    for part in ["train", "test"] {
        let pixels: Vec<u8> = (0..32 * 48).map(|i| (i * 37 % 256) as u8).collect();
        w.save(&format!("set/{part}-images.npy"), &[32, 3, 4, 4], pixels);
        let labels: Vec<i64> = (0..32).map(|i| i % 2).collect();
        w.save(&format!("set/{part}-labels.npy"), &[32], labels);
    }
    let weights: Vec<f32> = (0..96).map(|k| (k as f32 * 0.7).cos()).collect();
    let mut b = GraphBuilder::new("fc");
    b.input("x", ElementType::F32, &[3, 4, 4])
        .output("y", ElementType::F32, &[2])
        .constant("w", &[2, 48], &weights)
        .constant("b", &[2], &[0.1f32, -0.1])
        .node(NodeProto::new("Flatten", "f", &["x"], &["f"]))
        .node(NodeProto::new("Gemm", "y", &["f", "w", "b"], &["y"]).with("transB", 1));
    cnna_onnx::write(w.path("fc.onnx"), &b.finish()).unwrap();
    let run = "train --dataset set --init fc.onnx --epochs 2 --qat-epochs 1 --mirror --shift 1 --cutout 2 -o q.onnx";
    w.succeeds(&format!("{run} --curves c.svg"));
    let svg = std::fs::read_to_string(w.path("c.svg")).unwrap();
    // Loss, training and test accuracy.
    assert_eq!(svg.matches("<circle").count(), 3 * 3);
    // A teacher's answers, from pixels that are shifted and scaled; the file says how.
    w.succeeds(
        "train --dataset set --init fc.onnx --teacher --epochs 0 --qat-epochs 3 --word 8 --per-channel --optimiser adam \
         --mean 0.5 --std 0.25 -o t.onnx --json t.json",
    );
    let text = std::fs::read_to_string(w.path("t.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let db = report["output_db"].as_f64().unwrap();
    assert!((20.0..80.0).contains(&db), "{db} dB");
    assert_eq!(report["float"]["correct"], report["float"]["images"]);
    let stored = cnna_onnx::read(w.path("t.onnx")).unwrap().metadata;
    assert!(
        stored
            .iter()
            .any(|(key, value)| key == "cnna.preprocess" && value.contains("0.25")),
        "{stored:?}"
    );
    w.fails(&format!("{run} --curves fc.onnx"), &["fc.onnx"]);
    w.fails(&format!("{run} --curves q.onnx"), &["q.onnx"]);
}
