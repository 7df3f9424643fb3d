//! Random networks on the reference, the cycle simulator and the RTL: what the RTL's tests and the RTL's seeded mistakes share.

use crate::engines::{self, Inputs, Outcome, run};
use cnna_compile::{CompileError, CompiledProgram, Options, Use, compile};
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, Queue, mode, store_kind, weight_kind};
use cnna_machine::num::Word;
use cnna_machine::{Accelerator, Board};
use cnna_net::activation::Function;
use cnna_net::op::{Activate, Add, AveragePool, Conv, MaxPool, Mul};
use cnna_net::random::{self, pick};
use cnna_net::{Activation, Graph, Op, Padding, Shape, TensorId, Values, Window};
use cnna_rtlsim::Rtl;
use cnna_sim::Machine;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;

/// Cycles after which a random case counts as hanging.
pub const LIMIT: u64 = 20_000_000;
/// Cycles that the RTL runs of a random case at most: some two seconds.
pub const SHORT: u64 = 400_000;

/// A random network for words of one width, from a seed.
pub type Draw = fn(u64, Word) -> Graph;
/// How the RTL of a board comes about.
pub type Build<'a> = &'a dyn Fn(&Board) -> Result<Rtl, String>;

/// The kinds of networks that every configuration runs.
pub const DRAWS: [Draw; 7] = [
    any_graph,
    vector_graph,
    winograd_graph,
    direct_graph,
    folded_graph,
    chained_graph,
    gated_graph,
];

/// A machine with small buffers, so that small networks are cut into parts as large ones are; with an odd number of lanes it has two
/// ports for activations.
pub fn board(tiles: u32, lanes: u32, word: u32, ports: u32, out_depth: u32, paired: bool) -> Board {
    let numbers = [
        ("tiles", tiles),
        ("lanes", lanes),
        ("word", word),
        ("weight_ports", ports),
        ("load_ports", 1 + lanes % 2),
        ("act_depth", 256),
        ("weight_depth", 64),
        ("bias_depth", 4 * lanes),
        ("out_depth", out_depth),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    let mut set = numbers.to_vec();
    set.push(("paired".into(), paired.to_string()));
    Board::load("ultra96", &set).expect("all within range")
}

/// What the machine runs of the operators list: no products of two tensors, no constants.
pub fn accept(op: &Op, _shapes: &[Shape]) -> bool {
    !matches!(op, Op::Mul(_) | Op::Constant(_))
}

fn limits() -> random::Limits {
    random::Limits {
        accept,
        ..random::Limits::default()
    }
}

fn any_graph(seed: u64, word: Word) -> Graph {
    random::graph(seed, word, &limits())
}

fn vector_graph(seed: u64, word: Word) -> Graph {
    some_narrow(random::vector_graph(seed, word, &limits()), seed)
}

/// In a third of the graphs of 16-bit words every weight's lower 8 bits are zero.
fn some_narrow(mut g: Graph, seed: u64) -> Graph {
    if g.word == Word::W16 && StdRng::seed_from_u64(seed).random_ratio(1, 3) {
        narrow(&mut g, |_| true);
    }
    g
}

/// Sets the lower 8 bits of the weights to zero in those convolutions whose names are `chosen`.
pub fn narrow(g: &mut Graph, chosen: impl Fn(&str) -> bool) {
    for n in &mut g.nodes {
        if let (Op::Conv(c), true) = (&mut n.op, chosen(&n.name))
            && let Values::Words(w, _) = &mut c.weights
        {
            w.iter_mut().for_each(|w| *w &= !0xff);
        }
    }
}

/// Of enough channels that WINOGRAD mode is faster, and not cut into chunks.
fn winograd_graph(seed: u64, word: Word) -> Graph {
    plain_graph(seed, word, &[3], &[16, 24, 30], [&SIDES; 2], 7)
}

/// Of so few channels, or of such kernels, that DIRECT mode is faster, or in chunks.
fn direct_graph(seed: u64, word: Word) -> Graph {
    some_narrow(
        plain_graph(seed, word, &[1, 3, 5], &[1, 2, 5, 31], [&SIDES; 2], 7),
        seed,
    )
}

/// Of maps whose last rows leave most of the array's four empty.
pub fn folded_graph(seed: u64, word: Word) -> Graph {
    let sides: [&[usize]; 2] = [&[9, 10, 13, 14, 17], &[9, 13, 14, 16, 27, 28, 32]];
    let mut g = plain_graph(seed, word, &[1], &[8, 16, 24], sides, 0);
    g.name = "folded".into();
    g
}

/// Sides of small maps.
const SIDES: [usize; 19] = [
    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
];

/// Convolutions that keep their input's size, `pools` eighths with 2x2 pooling behind them, half of them with sums so small that
/// they are shifted to the left.
fn plain_graph(
    seed: u64,
    word: Word,
    kernels: &[usize],
    channels: &[usize],
    [heights, widths]: [&[usize]; 2],
    pools: u32,
) -> Graph {
    let r = &mut StdRng::seed_from_u64(seed);
    let mut g = Graph::new("plain", word);
    let input = Shape {
        c: pick(r, channels),
        h: pick(r, heights),
        w: pick(r, widths),
    };
    let mut at = g.input("input", input, Some(8));
    for n in 0..r.random_range(1..=2) {
        let k = pick(r, kernels);
        let oc = r.random_range(4..=40);
        at = convolve(r, &mut g, at, n, [k, 1, 1], oc);
        let [h, w] = [g.tensors[at].shape.h, g.tensors[at].shape.w];
        if h >= 2 && w >= 2 && r.random_ratio(pools, 8) {
            at = pool(&mut g, at, n, 2);
        }
    }
    g.output(at);
    g
}

/// Of convolutions and poolings behind each other, so few channels that what one makes can stay in the activation buffer for the
/// next; in a third of them the input is added in the end.
pub fn chained_graph(seed: u64, word: Word) -> Graph {
    let r = &mut StdRng::seed_from_u64(seed);
    let mut g = Graph::new("chained", word);
    let input = Shape {
        c: r.random_range(1..=9),
        h: r.random_range(4..=14),
        w: r.random_range(3..=14),
    };
    let first = g.input("input", input, Some(8));
    let mut at = first;
    let adds = r.random_ratio(1, 3);
    let count = r.random_range(2..=4);
    for n in 0..count {
        let Shape { c, h, w } = g.tensors[at].shape;
        let stride = if adds { 1 } else { pick(r, &[1, 1, 2]) };
        let last = n + 1 == count;
        let oc = match adds && last {
            true => input.c,
            false => r.random_range(1..=14),
        };
        at = match r.random_range(0..6) {
            0 | 1 => convolve(r, &mut g, at, n, [1, 1, 1], oc),
            2 if !(adds && last) => convolve(r, &mut g, at, n, [3, c, stride], c),
            3 if !adds && h.min(w) >= 2 => pool(&mut g, at, n, stride),
            _ => convolve(r, &mut g, at, n, [3, 1, stride], oc),
        };
    }
    let to = g.tensors[at].frac;
    // Scales too far apart are refused.
    let near = to.is_some_and(|f| (f - 8).abs() <= 8);
    if adds && near && g.tensors[at].shape == input {
        at = g.push("add", Add::of(2), &[at, first], to).expect("fits");
    }
    g.output(at);
    g
}

/// A map times one value a channel that fully connected layers make of the map's means, as squeeze and excite has it.
pub fn gated_graph(seed: u64, word: Word) -> Graph {
    let r = &mut StdRng::seed_from_u64(seed);
    let mut g = Graph::new("gated", word);
    let input = Shape {
        c: r.random_range(1..=40),
        h: r.random_range(1..=9),
        w: r.random_range(1..=20),
    };
    let first = g.input("input", input, Some(8));
    let map = match r.random_range(0..3) {
        0 => first,
        1 => convolve(r, &mut g, first, 0, [3, input.c, 1], input.c),
        _ => {
            let oc = r.random_range(1..=40);
            convolve(r, &mut g, first, 0, [1, 1, 1], oc)
        }
    };
    let (shape, frac) = (g.tensors[map].shape, g.tensors[map].frac.expect("all have"));
    let mean = AveragePool {
        window: Window::plain(shape.h, shape.w),
        counted: Padding::default(),
    };
    let mut at = g.push("mean", mean, &[map], Some(frac)).expect("fits");
    for (n, oc) in [(1, r.random_range(1..=6)), (2, shape.c)] {
        at = convolve(r, &mut g, at, n, [1, 1, 1], oc);
        if r.random_ratio(2, 3) {
            let f = pick(r, &[Function::Sigmoid, Function::Silu, Function::Tanh]);
            let function = Activation::Table(f);
            let to = Some(word.bits() as i32 - pick(r, &[1, 2, 4]));
            at = g
                .push(&format!("table{n}"), Activate { function }, &[at], to)
                .expect("fits");
        }
    }
    let product = frac + g.tensors[at].frac.expect("all have");
    let to = product - (word.bits() as i32 - 1) + r.random_range(-1..=3);
    let gated = g.push("gated", Mul {}, &[map, at], Some(to)).expect("fits");
    let last = match r.random() {
        true => {
            let oc = r.random_range(1..=14);
            convolve(r, &mut g, gated, 3, [1, 1, 1], oc)
        }
        false => gated,
    };
    g.output(last);
    g
}

/// Appends a convolution of a side's kernel, groups, stride, that pads as much as it takes; half of them with sums so small that they
/// are shifted to the left.
fn convolve(
    r: &mut StdRng,
    g: &mut Graph,
    at: TensorId,
    n: usize,
    [k, groups, stride]: [usize; 3],
    oc: usize,
) -> TensorId {
    const WEIGHT_FRAC: i32 = 4;
    let word = g.word;
    let (i, frac) = (g.tensors[at].shape, g.tensors[at].frac.expect("all have"));
    let taps = i.c / groups * k * k;
    let left = r.random();
    let weights = match left {
        // About one tap of a channel counts.
        true => (0..oc * taps)
            .map(|_| match r.random_ratio(1, taps as u32) {
                true => r.random_range(-2..=2),
                false => 0,
            })
            .collect(),
        false => random::words(r, oc * taps, word),
    };
    let shift = match left {
        true => pick(r, &[-1, -1, -1, -1, 0, -2, -4, -8]),
        false => word.bits() as i32 - 1 + taps.ilog2() as i32 / 2 + r.random_range(-2..=1),
    };
    let side = k / 2;
    let conv = Conv {
        finer: Vec::new(),
        oc,
        groups,
        window: Window {
            pad: Padding {
                top: side,
                left: side,
                bottom: side,
                right: side,
            },
            stride: [stride; 2],
            ..Window::plain(k, k)
        },
        weights: Values::Words(weights, WEIGHT_FRAC),
        bias: Values::Sums((0..oc).map(|_| r.random_range(-99..=99)).collect()),
        activation: match r.random_ratio(1, 3) {
            true => Activation::Relu,
            false => Activation::None,
        },
    };
    let to = Some(frac + WEIGHT_FRAC - shift);
    g.push(&format!("conv{n}"), conv, &[at], to).expect("fits")
}

/// Appends a maximum of 2x2.
fn pool(g: &mut Graph, at: TensorId, n: usize, stride: usize) -> TensorId {
    let window = Window {
        stride: [stride; 2],
        ..Window::plain(2, 2)
    };
    let to = g.tensors[at].frac;
    g.push(&format!("pool{n}"), MaxPool { window }, &[at], to)
        .expect("fits")
}

/// What ran in the RTL, by the commands.
#[derive(Debug, Default)]
pub struct Coverage {
    seen: BTreeSet<&'static str>,
    /// Images at most in one run.
    pub images: usize,
    /// Cases that ran.
    pub cases: usize,
}

/// What every configuration must have run: every mode, fusion and sign of shift.
const WANTED: [&str; 16] = [
    "winograd",
    "direct",
    "vector",
    "pool",
    "winograd with pooling",
    "direct with pooling",
    "pooling without ReLU",
    "shift to the left by 1",
    "shift to the left by 2 to 8",
    "shift to the right",
    "columns to two planes",
    "a store of several rows",
    "a fence",
    "layers in turns",
    MADE,
    FOLDED,
];
const MADE: &str = "weights that a layer makes";
const FOLDED: &str = "a folded map";

/// What a machine of 16-bit words must have run besides.
const NARROW: &str = "8-bit weights";
/// Local loads of each kind.
const LOCAL: [&str; 4] = [
    "local",
    "local to two sets",
    "local to planes",
    "local, two rows at once",
];

/// What a machine with two ports for activations must have run besides.
const TWO_ROWS: &str = "two rows from memory at once";

/// What a machine with pairs must have run besides.
const PAIRED: [&str; 6] = [
    "paired",
    "paired with pooling",
    "paired with a stride",
    "paired in chunks",
    "paired with sums of the first group",
    "paired with sums of several commands",
];

impl Coverage {
    fn add(&mut self, program: &CompiledProgram, images: usize) {
        self.images = self.images.max(images);
        if program.meta.layers.iter().any(|l| !l.inner.is_empty()) {
            self.seen.insert("layers in turns");
        }
        let bytes = program.image.bytes();
        let stream = program.meta.stream(images).expect("it ran");
        let commands = bytes[stream.commands_offset..]
            .chunks_exact(COMMAND_BYTES)
            .take(stream.commands);
        for command in commands.map(Command::from_bytes) {
            if matches!(command.body, Body::Weight(_)) {
                if command.kind == weight_kind::NARROW {
                    self.seen.insert(NARROW);
                }
                if command.wait & Queue::Store.bit() != 0 {
                    self.seen.insert(MADE);
                }
            }
            let c = match command.body {
                Body::Compute(c) => c,
                Body::Load(l) if l.local == 1 => {
                    self.seen.insert(match (l.stride, l.parity) {
                        (1, 0) => LOCAL[0],
                        (1, _) => LOCAL[1],
                        _ => LOCAL[2],
                    });
                    if l.both == 1 {
                        self.seen.insert(LOCAL[3]);
                    }
                    continue;
                }
                Body::Load(l) if l.both == 1 => {
                    self.seen.insert(TWO_ROWS);
                    continue;
                }
                Body::Load(l) if l.stride == 2 => {
                    self.seen.insert("columns to two planes");
                    continue;
                }
                Body::Store(s) => {
                    if command.kind == store_kind::STORE && s.rows > 1 {
                        self.seen.insert("a store of several rows");
                    }
                    if command.kind == store_kind::FENCE {
                        self.seen.insert("a fence");
                    }
                    continue;
                }
                Body::Load(_) | Body::Weight(_) => continue,
            };
            if c.short_row > 0 {
                self.seen.insert(FOLDED);
            }
            self.seen.insert(match c.mode {
                mode::WINOGRAD => "winograd",
                mode::DIRECT if c.paired == 1 => PAIRED[0],
                mode::DIRECT => "direct",
                mode::VECTOR => "vector",
                _ => "pool",
            });
            if c.pool == 1 {
                self.seen.insert(match c.mode {
                    mode::WINOGRAD => "winograd with pooling",
                    _ if c.paired == 1 => PAIRED[1],
                    _ => "direct with pooling",
                });
                if c.relu == 0 {
                    self.seen.insert("pooling without ReLU");
                }
            }
            if c.paired == 1 && c.stride > 1 {
                self.seen.insert(PAIRED[2]);
            }
            if c.reuses == 1 {
                self.seen.insert(PAIRED[4]);
                if c.begins == 0 {
                    self.seen.insert(PAIRED[5]);
                }
            }
            if c.paired == 1 && c.first != c.last {
                self.seen.insert(PAIRED[3]);
            }
            match c.shift {
                -1 => self.seen.insert("shift to the left by 1"),
                -8..=-2 => self.seen.insert("shift to the left by 2 to 8"),
                1.. => self.seen.insert("shift to the right"),
                _ => false,
            };
        }
    }

    /// What should have run on the machine and did not.
    pub fn missing(&self, a: &Accelerator) -> Vec<&'static str> {
        // A fold takes a whole row of results, and with four tiles pays on larger maps only.
        let folds = a.out_depth > 16 && a.tiles < 4;
        let narrow = (a.word == Word::W16).then_some(NARROW);
        let two = (a.load_ports > 1).then_some(TWO_ROWS);
        let paired = PAIRED.into_iter().filter(|_| a.paired);
        let all = WANTED.into_iter().filter(|w| folds || *w != FOLDED);
        let local = LOCAL.into_iter().filter(|l| a.paired || *l != LOCAL[1]);
        let all = all.chain(narrow).chain(two).chain(paired).chain(local);
        all.filter(|w| !self.seen.contains(w)).collect()
    }
}

/// The first difference between what two engines did.
pub fn difference(a: &Outcome, b: &Outcome) -> Option<String> {
    for (n, (a, b)) in a.images.iter().zip(&b.images).enumerate() {
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            if let Some(k) = (0..x.len()).find(|&k| x[k] != y[k]) {
                let wrong = (0..x.len()).filter(|&k| x[k] != y[k]).count();
                return Some(format!(
                    "image {n}, layer {i}, element {k}: {} and {}; {wrong} of {} differ",
                    x[k],
                    y[k],
                    x.len()
                ));
            }
        }
    }
    (a != b).then(|| {
        format!(
            "records {:?} and {:?}, counters {:?} and {:?}, status {:#x} and {:#x}",
            a.records, b.records, a.counters, b.counters, a.status, b.status
        )
    })
}

/// A random network, memory and options on every engine; a program that the compiler refuses is no case.
pub fn case(
    base: &Board,
    seed: u64,
    draw: Draw,
    build: Build,
    covered: &mut Coverage,
) -> Result<(), String> {
    // Every configuration has cases of its own.
    let a = &base.accelerator;
    let shape = [a.tiles, a.lanes, a.word.bytes(), a.weight_ports];
    let seed = shape.iter().fold(seed, |s, &n| {
        s.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(n as u64)
    });
    let mut r = StdRng::seed_from_u64(seed);
    let mut board = base.clone();
    let m = &mut board.memory;
    m.latency = r.random_range(1..100);
    m.bytes_per_cycle = pick(&mut r, &[8, 24, 64]);
    m.outstanding = r.random_range(1..=16);
    if r.random() {
        m.latency_jitter = r.random_range(0..40);
        m.stall_per_256 = r.random_range(0..200);
        m.seed = r.random();
    }
    let graph = draw(seed, board.accelerator.word);
    // Whether results stay on chip where they can: only where tensors have no memory of their own.
    let stay = match &*graph.name {
        "chained" => r.random_ratio(3, 4),
        // Where steps take turns no map is folded.
        "folded" => false,
        _ => r.random_ratio(1, 4),
    };
    let options = Options {
        winograd: r.random_ratio(2, 3),
        paired: pick(&mut r, &[Use::Never, Use::Cheaper, Use::Always]),
        fuse: r.random_ratio(7, 8),
        batch: pick(&mut r, &[2, 3, 4]),
        host: false,
        keep: !stay && r.random(),
        plan_bytes: None,
        turns: match stay {
            true => Use::Always,
            false if &*graph.name == "folded" => Use::Never,
            false => pick(&mut r, &[Use::Never, Use::Never, Use::Always]),
        },
        local: if stay { Use::Always } else { Use::Never },
        uneven: r.random(),
    };
    let program = match compile(&graph, &board, &options) {
        Ok(p) => p,
        Err(CompileError::Capacity { .. } | CompileError::Accumulator { .. }) => return Ok(()),
        // Orders of elements that no addresses express.
        Err(e @ CompileError::Unsupported { .. })
            if ["neither of channels", "too steep for a table"]
                .iter()
                .any(|why| e.to_string().contains(why)) =>
        {
            return Ok(());
        }
        Err(e) => return Err(e.to_string()),
    };
    for stream in &program.meta.streams {
        let images: Vec<Inputs> = (0..stream.images)
            .map(|_| random::inputs(&mut r, &graph))
            .collect();
        if stream_case(&board, &graph, &program, &images, SHORT, build)
            .map_err(|e| format!("{} image(s): {e}\n{graph}", stream.images))?
        {
            covered.cases += 1;
            covered.add(&program, stream.images);
        }
    }
    Ok(())
}

/// Runs one stream on every engine; false when it takes more than `most` cycles: then the RTL was left out.
pub fn stream_case(
    board: &Board,
    graph: &Graph,
    program: &CompiledProgram,
    images: &[Inputs],
    most: u64,
    build: Build,
) -> Result<bool, String> {
    let (meta, image) = (&program.meta, &program.image.bytes());
    let mut machine = Machine::new(board);
    let mut window = engines::window(meta, image, images, 0x5a);
    let cycle = engines::run_in(&mut machine, meta, &mut window, images.len(), LIMIT)
        .map_err(|e| format!("cycle: {e}"))?;
    let expected = images
        .iter()
        .map(|i| {
            let inputs: Vec<&[i16]> = i.iter().map(|i| &i[..]).collect();
            cnna_net::run::run(graph, &inputs).map_err(|e| e.to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    engines::compare(graph, meta, &window, &expected)
        .map_err(|e| format!("cycle and reference: {e}"))?;
    if cycle.counters.cycles > most {
        return Ok(false);
    }
    let mut rtl = build(board)?;
    // Time enough to end late, not enough to hang for long.
    let limit = 2 * cycle.counters.cycles + 10_000;
    // Twice: nothing may depend on what a run leaves behind.
    for pass in 0..2 {
        let got = run(&mut rtl, meta, image, images, limit).map_err(|e| format!("rtl: {e}"))?;
        if let Some(d) = difference(&cycle, &got) {
            let modes: Vec<_> = meta.layers.iter().map(|l| l.mode.name()).collect();
            return Err(format!("cycle and rtl (run {pass}) {modes:?}: {d}"));
        }
    }
    Ok(true)
}
