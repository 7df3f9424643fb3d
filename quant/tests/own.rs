//! A file that another tool quantised with any scales runs in its own integers: against plain loops over them.

use cnna_machine::num::{dequantise, quantise};
use cnna_net::{Op, run};
use cnna_onnx::{ElementType, GraphBuilder, NodeProto};
use cnna_quant::ptq::{Calibration, Narrow, Options, load_or_quantise};

/// Scale, zero point, least and largest integer of a tensor.
#[derive(Clone, Copy)]
struct Grid(f32, i64, [i64; 2]);

const BYTE: [i64; 2] = [0, 255];
const X: Grid = Grid(0.0173, 118, BYTE);
const A: Grid = Grid(0.0311, 0, BYTE);
const B: Grid = Grid(0.0457, 131, BYTE);
const S: Grid = Grid(0.0523, 90, BYTE);
const Y: Grid = Grid(0.0619, -3, [-128, 127]);
const SIDE: usize = 8;
const C: usize = 8;
const CLASSES: usize = 5;

/// Integers that look random and are the same everywhere.
fn integers(n: usize, seed: u32, most: i64) -> Vec<i64> {
    let mut x = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(x >> 8) % (2 * most + 1) - most
    };
    (0..n).map(|_| next()).collect()
}

/// A convolution of the file: integers of weights and biases, a scale a channel.
struct Layer {
    weights: Vec<i64>,
    bias: Vec<i64>,
    scales: Vec<f32>,
}

impl Layer {
    fn new(oc: usize, taps: usize, seed: u32) -> Self {
        Layer {
            weights: integers(oc * taps, seed, 127),
            bias: integers(oc, seed + 1, 4000),
            scales: (0..oc).map(|c| 0.0021 + 0.0007 * c as f32).collect(),
        }
    }

    /// 3x3 with a border of one, or 1x1: what the file's integers give. `x` has its zero point subtracted.
    fn run(&self, x: &[i64], groups: usize, kernel: usize, from: Grid, to: Grid) -> Vec<i64> {
        let oc = self.bias.len();
        let ic = self.weights.len() / oc / (kernel * kernel);
        let pixels = x.len() / (ic * groups);
        let side = (pixels as f64).sqrt() as usize;
        let mut out = Vec::new();
        for c in 0..oc {
            let first = c / (oc / groups) * ic;
            for at in 0..pixels {
                let mut acc = self.bias[c];
                for k in 0..ic * kernel * kernel {
                    let (i, dy, dx) = (k / kernel / kernel, k / kernel % kernel, k % kernel);
                    let (y, z) = (at / side + dy, at % side + dx);
                    let border = kernel / 2;
                    let inside = |v: usize| v >= border && v - border < side;
                    if inside(y) && inside(z) {
                        let from = (first + i) * pixels + (y - border) * side + z - border;
                        acc += self.weights[c * ic * kernel * kernel + k] * x[from];
                    }
                }
                let real = acc as f64 * f64::from(from.0) * f64::from(self.scales[c]);
                out.push(to.of(real));
            }
        }
        out
    }
}

impl Grid {
    /// QuantizeLinear, the zero point subtracted.
    fn of(self, real: f64) -> i64 {
        let q = (real / f64::from(self.0)).round_ties_even() as i64 + self.1;
        q.clamp(self.2[0], self.2[1]) - self.1
    }
}

fn main_layers() -> [Layer; 3] {
    [
        Layer::new(C, 27, 1),
        Layer::new(C, 9, 11),
        Layer::new(CLASSES, C, 21),
    ]
}

/// x -> conv -> A -> depthwise -> B, A + B -> S -> maximum -> 1x1 -> Y, each rounded to the grid of that name.
fn write(path: &std::path::Path) {
    let mut b = GraphBuilder::new("own");
    b.input("x", ElementType::F32, &[3, SIDE, SIDE]);
    b.output("y", ElementType::F32, &[CLASSES, SIDE / 2, SIDE / 2]);
    for (name, g) in [("X", X), ("A", A), ("B", B), ("S", S), ("Y", Y)] {
        b.constant(&format!("{name}s"), &[], &[g.0]);
        match g.2[0] {
            0 => b.constant(&format!("{name}z"), &[], &[g.1 as u8]),
            _ => b.constant(&format!("{name}z"), &[], &[g.1 as i8]),
        };
    }
    let round = |b: &mut GraphBuilder, from: &str, name: &str, to: &str| {
        let (s, z, q) = (format!("{name}s"), format!("{name}z"), format!("{to}_q"));
        b.node(NodeProto::new("QuantizeLinear", &q, &[from, &s, &z], &[&q]));
        b.node(NodeProto::new(
            "DequantizeLinear",
            &format!("{to}_d"),
            &[&q, &s, &z],
            &[to],
        ));
    };
    let conv = |b: &mut GraphBuilder,
                from: &str,
                l: &Layer,
                name: &str,
                kernel: usize,
                groups: usize,
                scale: f32| {
        let oc = l.bias.len();
        let ic = l.weights.len() / oc / kernel / kernel;
        let named = |what: &str| format!("{name}_{what}");
        let bytes: Vec<i8> = l.weights.iter().map(|&w| w as i8).collect();
        let sums: Vec<i32> = l.bias.iter().map(|&v| v as i32).collect();
        let both: Vec<f32> = l.scales.iter().map(|s| s * scale).collect();
        b.constant(&named("w"), &[oc, ic, kernel, kernel], &bytes);
        b.constant(&named("b"), &[oc], &sums);
        b.constant(&named("ws"), &[oc], &l.scales);
        b.constant(&named("bs"), &[oc], &both);
        for (what, s) in [("w", "ws"), ("b", "bs")] {
            let out = named(&format!("{what}d"));
            let node = NodeProto::new(
                "DequantizeLinear",
                &out,
                &[&named(what), &named(s)],
                &[&out],
            );
            b.node(node.with("axis", 0));
        }
        let pads = [(kernel / 2) as i64; 4];
        let node = NodeProto::new("Conv", name, &[from, &named("wd"), &named("bd")], &[name]);
        b.node(node.with("pads", pads).with("group", groups as i64));
    };
    let [first, second, third] = main_layers();
    round(&mut b, "x", "X", "xd");
    conv(&mut b, "xd", &first, "c1", 3, 1, X.0);
    round(&mut b, "c1", "A", "a");
    conv(&mut b, "a", &second, "c2", 3, C, A.0);
    round(&mut b, "c2", "B", "bd");
    b.node(NodeProto::new("Add", "sum", &["a", "bd"], &["sum"]));
    round(&mut b, "sum", "S", "s");
    let pool = NodeProto::new("MaxPool", "pool", &["s"], &["pool"]);
    b.node(
        pool.with("kernel_shape", [2i64, 2])
            .with("strides", [2i64, 2]),
    );
    round(&mut b, "pool", "S", "p");
    conv(&mut b, "p", &third, "c3", 1, 1, S.0);
    round(&mut b, "c3", "Y", "y");
    cnna_onnx::write(path, &b.finish()).expect("a file");
}

/// The file's integers of the output, zero point subtracted, for an image of reals.
fn plain(image: &[f32]) -> Vec<i64> {
    let [first, second, third] = main_layers();
    let x: Vec<i64> = image.iter().map(|&v| X.of(v.into())).collect();
    let a = first.run(&x, 1, 3, X, A);
    let b = second.run(&a, C, 3, A, B);
    let sum = |(&a, &b): (&i64, &i64)| S.of(a as f64 * f64::from(A.0) + b as f64 * f64::from(B.0));
    let s: Vec<i64> = a.iter().zip(&b).map(sum).collect();
    let half = SIDE / 2;
    let most = |at: usize| {
        let (c, y, x) = (at / half / half, at / half % half, at % half);
        let four = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let each = four.map(|(dy, dx)| s[(c * SIDE + 2 * y + dy) * SIDE + 2 * x + dx]);
        each.into_iter().max().expect("four")
    };
    let p: Vec<i64> = (0..C * half * half).map(most).collect();
    third.run(&p, 1, 1, S, Y)
}

#[test]
fn a_file_with_any_scales_gives_its_own_integers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("own.onnx");
    write(&path);
    let off = |options: &Options| {
        let front = load_or_quantise(&path, &Calibration::default(), options, |_, _| ())
            .expect("a quantised file");
        let g = &front.graph;
        let frac = |t: usize| g.tensors[t].frac.expect("integers");
        let (mut all, mut others, mut worst) = (0, 0, 0f64);
        for seed in 0..8 {
            let image = integers(3 * SIDE * SIDE, 100 + seed, 2000);
            let image: Vec<f32> = image.iter().map(|&q| q as f32 * 1e-3).collect();
            let t = g.inputs[0].tensor;
            let words: Vec<i16> = image
                .iter()
                .map(|&v| quantise(v.into(), frac(t), g.word).expect("finite"))
                .collect();
            let done = run::run(g, &[&words]).expect("it runs");
            let t = g.outputs[0].tensor;
            for (&q, want) in done.tensors[t].values.iter().zip(plain(&image)) {
                let off = (dequantise(q, frac(t)) / f64::from(Y.0) - want as f64).abs();
                (all, worst) = (all + 1, worst.max(off));
                others += usize::from(off > 0.02);
            }
        }
        (others as f64 / all as f64, worst, front)
    };
    let (others, worst, front) = off(&Options {
        per_channel: true,
        ..Options::default()
    });
    assert!(
        others <= 0.03 && worst < 1.02,
        "{others} of the values differ, by {worst} at most"
    );
    assert!(
        front
            .notes
            .iter()
            .any(|n| n.contains("in its own integers")),
        "{:?}",
        front.notes
    );
    // The sum and the maximum need no clips of their own.
    let alone = |n: &&cnna_net::Node| matches!(n.op, Op::Activate(_));
    assert_eq!(
        front.graph.nodes.iter().filter(alone).count(),
        0,
        "{}",
        front.graph
    );
    // Eight-bit weights cannot hold a weight times three scales: words that cover the ranges, without the file's roundings.
    let (others, _, front) = off(&Options {
        narrow: Narrow::All,
        ..Options::default()
    });
    assert!(
        others > 0.5,
        "only {others} of the values differ without the grid"
    );
    assert!(
        front
            .notes
            .iter()
            .any(|n| n.contains("cover the same ranges")),
        "{:?}",
        front.notes
    );
}

#[test]
fn images_tell_how_near_its_own_integers_are_to_its_reals() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (path, array) = (dir.path().join("own.onnx"), dir.path().join("x.npy"));
    write(&path);
    let images = 6;
    let values = integers(images * 3 * SIDE * SIDE, 100, 2000);
    let bytes = values.iter().flat_map(|&q| (q as f32 * 1e-3).to_le_bytes());
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({images}, 3, {SIDE}, {SIDE}), }}"
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend(bytes);
    std::fs::write(&array, npy).expect("a file");
    let some = Calibration {
        paths: vec![(None, array)],
        most: 64,
        ..Calibration::default()
    };
    let options = Options {
        per_channel: true,
        ..Options::default()
    };
    let load = |c: &Calibration| {
        load_or_quantise(&path, c, &options, |_, _| ()).expect("a quantised file")
    };
    let (front, alone) = (load(&some), load(&Calibration::default()));
    assert!(alone.quantised.is_none());
    // The images only compare: the integers are the same.
    assert_eq!(front.graph, alone.graph, "{:?}", front.notes);
    let q = front.quantised.expect("images are there");
    assert_eq!((q.method, q.images, q.table.images), (None, images, 4));
    assert!(!q.corrected && q.output().contains("against the file's reals"));
    // Eight bits, a step of 0.06 among values of several: what enters is near, what leaves has the rounding of five grids.
    let rows = &q.table.rows;
    assert!(
        rows.len() >= 6 && rows.iter().all(|r| r.peak > 0.0),
        "{rows:?}"
    );
    let output = q.table.output_db.expect("a rounding");
    assert!((15.0..45.0).contains(&output), "{output}");
    assert!(rows[0].snr_db > Some(60.0), "{:?}", rows[0]);
    assert!(!front.notes.iter().any(|n| n.contains("less than 30 dB")));
}
