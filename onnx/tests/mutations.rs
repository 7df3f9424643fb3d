//! Damaged files: every mutation is read or refused, without a panic and in time. `CNNA_MUTATIONS` says how many.

mod common;

use cnna_onnx::{AttributeValue, Model, NodeProto, import};
use common::{Net, node};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::time::{Duration, Instant};

/// Models with many kinds of nodes, small enough that most mutations hit something.
fn models() -> Vec<Model> {
    let image = || {
        Net::new(&[3, 8, 8])
            .ramp("w", &[4, 3, 3, 3])
            .ramp("b", &[4])
            .ramp("f", &[16, 5])
            .i("flat", &[0, -1])
            .i("five", &[0, 2, 2, 4, 4])
            .i("four", &[0, 4, 4, 4])
            .f("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
            .i("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
            .i("zero", &[0])
            .i("two", &[2])
            .n(node("Conv", &["x", "w", "b"], "c")
                .with("strides", [2, 2])
                .with("pads", [1, 1, 1, 1]))
            .n(node("Relu", &["c"], "r"))
    };
    let all = [
        image()
            .n(node("MaxPool", &["r"], "p")
                .with("kernel_shape", [2, 2])
                .with("strides", [2, 2]))
            .n(node("Reshape", &["p", "flat"], "q"))
            .n(node("Gemm", &["q", "f"], "y")),
        image()
            .n(node("Reshape", &["r", "five"], "s"))
            .n(node("Transpose", &["s"], "t").with("perm", [0, 2, 1, 3, 4]))
            .n(node("Reshape", &["t", "four"], "u"))
            .n(node("Resize", &["u", "", "scales"], "v"))
            .n(node("Pad", &["v", "pads"], "y")),
        image()
            .n(node("Slice", &["r", "zero", "two", "two"], "s"))
            .n(node("Concat", &["s", "s"], "t").with("axis", 2))
            .n(node("Sigmoid", &["t"], "u"))
            .n(node("Mul", &["t", "u"], "v"))
            .n(node("AveragePool", &["v"], "a")
                .with("kernel_shape", [3, 3])
                .with("ceil_mode", 1)
                .with("strides", [2, 2]))
            .n(node("Softmax", &["a"], "y").with("axis", 1)),
        image()
            .n(node("Shape", &["r"], "s"))
            .n(node("Gather", &["s", "zero"], "t"))
            .n(node("ConstantOfShape", &["four"], "k"))
            .n(node("Concat", &["t", "two"], "u").with("axis", 0))
            .n(node("DepthToSpace", &["r"], "d").with("blocksize", 2))
            .n(node("ConvTranspose", &["r", "w2"], "e").with("output_shape", [9, 9]))
            .ramp("w2", &[4, 2, 2, 2])
            .n(node("ReduceMean", &["e"], "y").with("axes", [2, 3])),
    ];
    all.into_iter().map(Net::model).collect()
}

const NUMBERS: [i64; 14] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    7,
    255,
    65_536,
    1 << 31,
    -(1 << 31),
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// One random change of the structure: what bytes seldom reach.
fn change(r: &mut StdRng, m: &mut Model) {
    let nodes = m.graph.node.len();
    let at = r.random_range(0..nodes);
    let number = NUMBERS[r.random_range(0..NUMBERS.len())];
    match r.random_range(0..7) {
        0 => {
            let from = r.random_range(0..nodes);
            m.graph.node[at].op_type = m.graph.node[from].op_type.clone();
        }
        1 => {
            let inputs = &mut m.graph.node[at].input;
            if !inputs.is_empty() {
                let i = r.random_range(0..inputs.len());
                inputs.remove(i);
            }
        }
        2 => {
            let name = m.graph.node[r.random_range(0..nodes)].output[0].clone();
            let inputs = &mut m.graph.node[at].input;
            let i = r.random_range(0..=inputs.len());
            inputs.insert(i, name);
        }
        3 => {
            for a in &mut m.graph.node[at].attribute {
                a.i = a.i.map(|_| number);
                if !a.ints.is_empty() {
                    let i = r.random_range(0..a.ints.len());
                    a.ints[i] = number;
                }
            }
        }
        4 => {
            let names = [
                "axis",
                "group",
                "auto_pad",
                "axes",
                "mode",
                "keepdims",
                "dilations",
                "blocksize",
                "to",
                "perm",
            ];
            let name = names[r.random_range(0..names.len())];
            let value: AttributeValue = match r.random_range(0..3) {
                0 => number.into(),
                1 => vec![number, 1].into(),
                _ => "SAME_UPPER".into(),
            };
            let n: NodeProto = std::mem::take(&mut m.graph.node[at]);
            m.graph.node[at] = n.with(name, value);
        }
        5 => {
            let t = r.random_range(0..m.graph.initializer.len());
            let t = &mut m.graph.initializer[t];
            if let Ok(mut v) = t.to_i64() {
                let i = r.random_range(0..v.len());
                v[i] = number;
                *t = cnna_onnx::TensorProto::new(&t.name.clone(), &[v.len()], &v);
            } else {
                t.dims.reverse();
            }
        }
        _ => m.opset = [1, 5, 7, 9, 10, 11, 12, 13, 18, 21, 99][r.random_range(0..11)],
    }
}

#[test]
fn no_mutation_panics_or_hangs() {
    let count: u64 = std::env::var("CNNA_MUTATIONS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(400);
    let models = models();
    for m in &models {
        import(m, None).unwrap_or_else(|e| panic!("{e}"));
    }
    let mut read = 0;
    for seed in 0..count {
        let mut r = StdRng::seed_from_u64(seed);
        let mut m = models[r.random_range(0..models.len())].clone();
        let start = Instant::now();
        if r.random_bool(0.5) {
            for _ in 0..r.random_range(1..4) {
                change(&mut r, &mut m);
            }
        } else {
            let mut bytes = m.encode();
            for _ in 0..r.random_range(1..6) {
                let at = r.random_range(0..bytes.len());
                match r.random_range(0..3) {
                    0 => bytes[at] = r.random(),
                    1 => bytes[at] ^= 1 << r.random_range(0..8),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            match Model::decode(bytes, Path::new("mutated")) {
                Ok(d) => m = d,
                Err(_) => continue,
            }
        }
        if let Ok(i) = import(&m, None) {
            read += 1;
            let _ = cnna_onnx::export(&i.graph);
            let _ = cnna_onnx::quantised(i);
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "seed {seed} took {:?}",
            start.elapsed()
        );
    }
    println!("{count} mutations, {read} still read");
}
