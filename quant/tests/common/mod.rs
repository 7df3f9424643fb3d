//! A small network and small data for the tests of this room.

#![allow(dead_code)]

use cnna_quant::{Arch, Dataset, FloatNet, Formats, fake_logits, input_words, to_graph};
use std::path::Path;

/// Convolutions of stride 1 and 2, odd kernel sizes, overlapping pooling behind ReLU, pooling behind pooling, three FCs.
pub const ODD: &str = r#"
name = "odd"
layer = [
  { kind = "conv", name = "c1", channels = 5, kernel = 5, stride = 2, pad = 2 },
  { kind = "max-pool", name = "p1", kernel = 3, stride = 1 },
  { kind = "conv", name = "c2", channels = 7, kernel = 3, stride = 1, pad = 0 },
  { kind = "conv", name = "c3", channels = 6, kernel = 1, stride = 1, pad = 0 },
  { kind = "max-pool", name = "p2", kernel = 2, stride = 2 },
  { kind = "max-pool", name = "p3", kernel = 2, stride = 1 },
  { kind = "fc", name = "f1", features = 20 },
  { kind = "fc", name = "f2", features = 12 },
  { kind = "fc", name = "f3", features = 10 },
]
"#;

/// The odd network with weights from `seed`.
pub fn odd(data: &Dataset, seed: u64) -> FloatNet {
    let arch: Arch = toml::from_str(ODD).expect("the description above");
    arch.init(data.test.shape, data.classes, seed)
        .expect("it fits 28x28")
}

/// Real images; the package is a condition of the tests.
pub fn fashion() -> Dataset {
    Dataset::load("fashion-mnist").unwrap_or_else(|e| panic!("{e}"))
}

/// Writes an idx file of bytes.
pub fn write_idx(path: &Path, sizes: &[u32], data: &[u8]) {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    for s in sizes {
        bytes.extend(s.to_be_bytes());
    }
    bytes.extend(data);
    std::fs::write(path, bytes).expect("a temporary folder can be written");
}

/// A folder with `train` and `test` images of 2 x 3 pixels in 2 classes.
pub fn tiny_folder(train: usize, test: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (prefix, n) in [("train", train), ("t10k", test)] {
        let pixels: Vec<u8> = (0..n * 6).map(|i| (i * 37 % 256) as u8).collect();
        let labels: Vec<u8> = (0..n).map(|i| (i % 2) as u8).collect();
        write_idx(
            &dir.path().join(format!("{prefix}-images-idx3-ubyte")),
            &[n as u32, 2, 3],
            &pixels,
        );
        write_idx(
            &dir.path().join(format!("{prefix}-labels-idx1-ubyte")),
            &[n as u32],
            &labels,
        );
    }
    dir
}

/// Compares all logits of `images`; the number of saturated results.
pub fn compare(net: &FloatNet, formats: &Formats, images: &cnna_quant::Split) -> u64 {
    let integers = to_graph(net, formats).expect("finite weights");
    let fake = fake_logits(net, formats, images).expect("images fit");
    let frac = integers.tensors[integers.outputs[0].tensor]
        .frac
        .expect("it is quantised");
    let input_frac = integers.tensors[integers.inputs[0].tensor]
        .frac
        .expect("it is quantised");
    let mut saturated = 0;
    let tables = input_words(images, input_frac, formats.word);
    for (i, row) in fake.iter().enumerate() {
        let words = images.through(i, &tables);
        let run = cnna_net::run::run(&integers, &[&words]).expect("every tensor has a format");
        saturated += run.tensors.iter().map(|t| t.saturated).sum::<u64>();
        let want: Vec<f64> = run.tensors[integers.outputs[0].tensor]
            .values
            .iter()
            .map(|&v| f64::from(v))
            .collect();
        let got: Vec<f64> = row.iter().map(|v| v * 2f64.powi(frac)).collect();
        assert_eq!(
            got, want,
            "image {i}, {:?}, auto-scale {}",
            formats.word, formats.auto_scale
        );
    }
    saturated
}
