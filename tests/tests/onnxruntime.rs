//! Random graphs, written as QDQ ONNX and run by ONNX Runtime, against the reference: an implementation that nobody here
//! wrote. Needs its Python package, which scripts/setup puts in place.
//!
//! ONNX Runtime computes in 32-bit floats and rounds half to even where the machine rounds half up, so a result may be one
//! step off for each rounding; what only moves or chooses values is equal. Every node is judged by what ONNX Runtime itself
//! made of its inputs, so that steps do not add up. `CNNA_CASES=n` takes that many seeds an operator.

use cnna_machine::layout::Shape;
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_net::op::{Activate, Add, Conv, ConvTranspose, MaxPool, OPERATORS, Op};
use cnna_net::random::{self, Limits};
use cnna_net::run;
use cnna_net::{Activation, Graph, Node, Window};
use cnna_onnx::{Options, WriteError, export_with};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A graph, its inputs, and where its files are.
struct Case {
    graph: Graph,
    inputs: Vec<Vec<i16>>,
    stem: PathBuf,
}

/// What was compared of an operator.
#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    nodes: usize,
    results: usize,
    /// Results a step off or two.
    off: usize,
}

/// Where ONNX Runtime and the machine say the same, or one of them says nothing.
fn accept(op: &Op, shapes: &[Shape]) -> bool {
    // ONNX Runtime wants borders of pooling smaller than the kernel.
    let narrow = |w: &Window| {
        let axis = |a: usize| w.border(a).iter().all(|p| *p < w.kernel[a]);
        axis(0) && axis(1)
    };
    match op {
        Op::MaxPool(MaxPool { window }) => narrow(window),
        // A mean of nothing is no number.
        Op::AveragePool(p) => {
            let out = p.window.output(shapes[0].h, shapes[0].w);
            let [h, w] = out.unwrap_or([0, 0]);
            let counted =
                |axis: usize, n: usize, size: usize| (0..n).all(|at| p.count(axis, at, size) > 0);
            narrow(&p.window) && counted(0, h, shapes[0].h) && counted(1, w, shapes[0].w)
        }
        _ => activation(op).is_none_or(steep),
    }
}

/// Slopes that the machine multiplies by are less than one.
fn steep(f: &Activation) -> bool {
    const LARGEST: f32 = 32767.0 / 32768.0;
    match f {
        Activation::Leaky(m) => m.abs() <= LARGEST,
        Activation::PRelu(m) => m.to_reals(0).iter().all(|m| m.abs() <= LARGEST),
        _ => true,
    }
}

fn activation(op: &Op) -> Option<&Activation> {
    match op {
        Op::Conv(Conv { activation, .. })
        | Op::ConvTranspose(ConvTranspose { activation, .. })
        | Op::Add(Add { activation, .. })
        | Op::Activate(Activate {
            function: activation,
        }) => Some(activation),
        _ => None,
    }
}

/// The node without what it applies to its saturated results.
fn linear(n: &Node) -> Node {
    let mut n = n.clone();
    match &mut n.op {
        Op::Conv(Conv { activation, .. })
        | Op::ConvTranspose(ConvTranspose { activation, .. })
        | Op::Add(Add { activation, .. })
        | Op::Activate(Activate {
            function: activation,
        }) => *activation = Activation::None,
        _ => {}
    }
    n
}

/// Steps that a result may be off: one a rounding.
fn steps(op: &Op) -> i32 {
    if op.keeps_format() || matches!(op, Op::Constant(_)) {
        return 0;
    }
    match activation(op) {
        Some(Activation::Leaky(_) | Activation::PRelu(_)) => 2,
        _ => 1,
    }
}

/// Steps by which 32-bit floats may miss a sum: its terms may be far larger than it.
fn float_steps(g: &Graph, n: &Node) -> i32 {
    let (weights, bias) = match &n.op {
        Op::Conv(c) => (&c.weights, &c.bias),
        Op::ConvTranspose(c) => (&c.weights, &c.bias),
        _ => return 0,
    };
    let frac = |t: usize| g.tensors[t].frac.expect("all formats are set");
    let (words, weight_frac) = weights.words().expect("random graphs are quantised");
    let sums = bias.sums().expect("random graphs are quantised");
    let largest = |w: &mut dyn Iterator<Item = f64>| w.map(f64::abs).fold(0.0, f64::max);
    let terms = (words.len() / sums.len()) as f64 * largest(&mut words.iter().map(|&w| w.into()));
    let most =
        terms * 2f64.powi(g.word.bits() as i32 - 1) + largest(&mut sums.iter().map(|&b| b as f64));
    let shift = frac(n.inputs[0]) + weight_frac - frac(n.output);
    (most * 2f64.powi(-22 - shift)) as i32
}

/// The reference's result of a node, and for each element whether it may be judged.
fn expected(g: &Graph, n: &Node, words: &[Vec<i16>]) -> (Vec<i16>, Vec<bool>) {
    let tensor = |t: usize| &words[t][..];
    let run = |n: &Node| run::node(g, n, tensor).expect("all formats are set").values;
    let frac = |t: usize| g.tensors[t].frac.expect("all formats are set");
    if let Op::Activate(Activate {
        function: Activation::Table(f),
    }) = &n.op
    {
        // Tables are compared with their functions where they are made; here it is the function.
        let value = |&q: &i16| {
            let exact = f.of(dequantise(q, frac(n.inputs[0])));
            quantise(exact, frac(n.output), g.word).expect("finite")
        };
        let values: Vec<i16> = words[n.inputs[0]].iter().map(value).collect();
        let judged = vec![true; values.len()];
        return (values, judged);
    }
    let values = run(n);
    let judged = match activation(&n.op) {
        // The machine saturates first.
        Some(Activation::Leaky(_) | Activation::PRelu(_)) => {
            let inside = |v: &i16| (g.word.min() + 1..g.word.max()).contains(&i64::from(*v));
            run(&linear(n)).iter().map(inside).collect()
        }
        _ => vec![true; values.len()],
    };
    (values, judged)
}

/// Draws, writes and remembers a graph; `None` for what ONNX has no nodes for.
fn written(folder: &Path, graph: Graph, seed: u64) -> Option<Case> {
    let options = Options {
        every_tensor: true,
        ..Options::default()
    };
    let model = match export_with(&graph, options) {
        Ok(m) => m,
        Err(WriteError::Node {
            operator: "Resize", ..
        }) => return None,
        Err(e) => panic!("{e}\n{graph}"),
    };
    let inputs = random::inputs(&mut StdRng::seed_from_u64(seed), &graph);
    let stem = folder.join(&graph.name);
    let mut reals = Vec::new();
    for (p, words) in graph.inputs.iter().zip(&inputs) {
        let frac = graph.tensors[p.tensor].frac.expect("all formats are set");
        let real = |&q: &i16| (dequantise(q, frac) as f32).to_le_bytes();
        reals.extend(words.iter().flat_map(real));
    }
    let names: Vec<&str> = graph
        .nodes
        .iter()
        .map(|n| &graph.tensors[n.output].name[..])
        .collect();
    let write = |suffix: &str, bytes: &[u8]| {
        std::fs::write(with(&stem, suffix), bytes).expect("a temporary folder takes files");
    };
    write("onnx", &model.encode());
    write("in", &reals);
    write("outputs", names.join("\n").as_bytes());
    Some(Case {
        graph,
        inputs,
        stem,
    })
}

fn with(stem: &Path, suffix: &str) -> PathBuf {
    stem.with_file_name(format!(
        "{}.{suffix}",
        stem.file_name().unwrap_or_default().to_string_lossy()
    ))
}

/// Compares every node of a case with what ONNX Runtime made of it.
fn compare(case: &Case, totals: &mut BTreeMap<&'static str, Compared>) {
    let g = &case.graph;
    if let Ok(reason) = std::fs::read_to_string(with(&case.stem, "error")) {
        panic!("ONNX Runtime refuses it: {reason}\n{g}");
    }
    let bytes = std::fs::read(with(&case.stem, "out")).expect("an output or an error");
    let mut reals = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
    let mut words = vec![Vec::new(); g.tensors.len()];
    for (p, w) in g.inputs.iter().zip(&case.inputs) {
        words[p.tensor] = w.clone();
    }
    for n in &g.nodes {
        let t = &g.tensors[n.output];
        let scale = 2f64.powi(t.frac.expect("all formats are set"));
        let got: Vec<i16> = reals
            .by_ref()
            .take(t.shape.len())
            .map(|x| (f64::from(x) * scale) as i16)
            .collect();
        assert_eq!(got.len(), t.shape.len(), "{}: too few values", n.name);
        let (want, judged) = expected(g, n, &words);
        let steps = steps(&n.op).saturating_add(float_steps(g, n));
        let total = totals.entry(n.op.name()).or_default();
        total.nodes += 1;
        for (at, ((got, want), judged)) in got.iter().zip(&want).zip(judged).enumerate() {
            let off = (i32::from(*got) - i32::from(*want)).abs();
            assert!(
                !judged || off <= steps,
                "{}, element {at}: ONNX Runtime has {got}, the reference {want}\n{g}",
                n.name
            );
            total.results += usize::from(judged);
            total.off += usize::from(judged && off > 0);
        }
        words[n.output] = got;
    }
    assert_eq!(reals.next(), None, "{}: too many values", g.name);
}

#[test]
fn random_graphs_equal_onnx_runtime() {
    let seeds: u64 = std::env::var("CNNA_CASES").map_or(25, |n| n.parse().expect("a number"));
    let limits = Limits {
        nodes: 5,
        macs: 60_000,
        elements: 600,
        accept,
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let word = |seed: u64| [Word::W16, Word::W8][seed as usize % 2];
    let mut cases = Vec::new();
    for index in 0..OPERATORS.len() {
        let drawn =
            (1..=seeds).filter_map(|s| Some((s, random::single(s, index, word(s), &limits)?)));
        cases.extend(drawn.filter_map(|(s, g)| written(folder.path(), g, s)));
    }
    let graphs = (1..=3 * seeds).map(|s| (s, random::graph(s, word(s), &limits)));
    cases.extend(graphs.filter_map(|(s, g)| written(folder.path(), g, s)));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/run_models.py");
    let status = Command::new("python3")
        .arg(script)
        .arg(folder.path())
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "run scripts/setup: python3 with onnxruntime"
    );
    let mut totals = BTreeMap::new();
    cases.iter().for_each(|c| compare(c, &mut totals));

    println!("{} graphs", cases.len());
    for (name, t) in &totals {
        println!("{name}: {t:?}");
        // Ties are rare; rounding down instead would make half of all results differ.
        assert!(t.off * 5 < t.results, "{name}: {t:?}");
    }
    let host = ["Bilinear", "Softmax", "ArgMax", "Lrn"];
    for (name, _) in OPERATORS.iter().filter(|(n, _)| !host.contains(n)) {
        let nodes = totals.get(name).map_or(0, |t| t.nodes);
        assert!(nodes as u64 >= seeds / 3, "{name}: {nodes} nodes compared");
    }
}
