//! Every bar of speed that the README's table keeps: measured, printed, and failed when missed. Minutes; `make bench`.
//!
//! Cycles come from the cycle simulator, which equals the RTL on every test and on VGG16 whole (`make bench-vgg16`). Times are
//! this machine's. Names after `--` run only the groups whose names contain one of them.

use cnna_compile::{CompiledProgram, Options, compile, for_board};
use cnna_machine::engine::Engine;
use cnna_machine::program::Program;
use cnna_machine::{Board, Counters};
use cnna_net::{Graph, Node, Op, random, zoo};
use cnna_rtlsim::Rtl;
use cnna_sim::Machine;
use cnna_tests::engines::{Inputs, Outcome, run, start, window};
use cnna_tests::rtl::narrow;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "bars/host.rs"]
mod host;

/// What is asked of a figure.
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints figures beside their bars.
#[derive(Default)]
struct Sheet {
    missed: usize,
}

impl Sheet {
    fn put(&mut self, what: &str, measured: f64, bar: Bar) {
        let (text, holds) = match bar {
            Bar::AtMost(b) => (format!("<= {}", number(b)), measured <= b),
            Bar::AtLeast(b) => (format!(">= {}", number(b)), measured >= b),
        };
        self.missed += usize::from(!holds);
        let verdict = if holds { "" } else { "MISSED" };
        println!("{what:<74} {:>13}  {text:>13}  {verdict}", number(measured));
    }
}

fn number(v: f64) -> String {
    if v >= 1000.0 {
        format!("{v:.0}")
    } else {
        format!("{v:.3}")
    }
}

fn board(name: &str, set: &[(&str, &str)]) -> Board {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Board::load(name, &set).expect("a built-in board and its keys")
}

fn network(name: &str) -> Graph {
    zoo::network(name, 1, board("ultra96", &[]).accelerator.word).expect("in the zoo")
}

fn images(net: &Graph, count: usize) -> Vec<Inputs> {
    let mut r = StdRng::seed_from_u64(1);
    (0..count).map(|_| random::inputs(&mut r, net)).collect()
}

fn compiled<'a>(net: &'a Graph, board: &Board, options: &Options) -> CompiledProgram<'a> {
    compile(net, board, options).expect("the board has room")
}

/// Runs `count` images at once on the simulator; the outcome, and how long it took.
fn simulate(net: &Graph, program: &CompiledProgram<'_>, count: usize) -> (Outcome, Duration) {
    let mut machine = Machine::new(&program.meta.board);
    let inputs = images(net, count);
    let image = program.image.bytes();
    let begin = Instant::now();
    let done = run(&mut machine, &program.meta, &image, &inputs, u64::MAX / 2).expect("completes");
    (done, begin.elapsed())
}

/// Each layer's cycles, from mark to mark.
fn layer_cycles(done: &Outcome) -> Vec<f64> {
    let mut before = Counters::default();
    let cycles = |now: &Counters| now.since(&std::mem::replace(&mut before, *now)).cycles as f64;
    done.records.iter().map(cycles).collect()
}

/// Cycles of the layers whose names begin with `prefix`, and their multiply-accumulates per DSP and cycle.
fn of_layers(program: &CompiledProgram<'_>, done: &Outcome, prefix: &str) -> (f64, f64) {
    let meta = &program.meta;
    let layers = meta.layers.iter().zip(layer_cycles(done));
    let (mut cycles, mut macs) = (0.0, 0.0);
    for (l, c) in layers.filter(|(l, _)| l.name.starts_with(prefix)) {
        cycles += c;
        macs += l.macs as f64;
    }
    (cycles, macs / (cycles * meta.accelerator().dsps() as f64))
}

fn vgg16(sheet: &mut Sheet) {
    let net = network("zoo:vgg16");
    let board_u = board("ultra96", &[]);
    let program = compiled(&net, &board_u, &Options::default());
    let (done, took) = simulate(&net, &program, 1);
    let (conv, rate) = of_layers(&program, &done, "conv");
    let total = done.counters.cycles as f64;
    sheet.put("VGG16, ultra96: cycles", total, Bar::AtMost(33e6));
    sheet.put("  its 13 convolutions: cycles", conv, Bar::AtMost(22e6));
    sheet.put("  the same: MAC/DSP/cycle", rate, Bar::AtLeast(2.0));
    for fc in ["fc6", "fc7"] {
        let (cycles, _) = of_layers(&program, &done, fc);
        let node = net.nodes.iter().find(|n| n.name == fc).expect("VGG16's");
        let bytes = 2.0 * net.macs(node) as f64;
        let share = bytes / (cycles * f64::from(board_u.memory.bytes_per_cycle));
        let what = format!("  {fc}: weights' share of the memory's bytes a cycle");
        sheet.put(&what, share, Bar::AtLeast(0.9));
    }
    let seconds = took.as_secs_f64();
    sheet.put(
        "  simulator, values included: seconds",
        seconds,
        Bar::AtMost(10.0),
    );
    let image = &images(&net, 1)[0];
    let begin = Instant::now();
    let image: Vec<&[i16]> = image.iter().map(Vec::as_slice).collect();
    let reference = cnna_net::run::run(&net, &image).expect("it is quantised");
    let seconds = begin.elapsed().as_secs_f64();
    sheet.put("  reference model: seconds", seconds, Bar::AtMost(5.0));
    let scores = &reference.tensors[net.outputs[0].tensor].values;
    assert_eq!(Some(scores), done.images[0].last(), "the engines agree");

    let batch = program.meta.streams.last().expect("at least one").images;
    let (done, _) = simulate(&net, &program, batch);
    let each = done.counters.cycles as f64 / batch as f64;
    let what = format!("  {batch} images at once: cycles an image");
    sheet.put(&what, each, Bar::AtMost(total));

    let program = compiled(&net, &board("pynq-z2", &[]), &Options::default());
    let (done, _) = simulate(&net, &program, 1);
    let total = done.counters.cycles as f64;
    sheet.put("VGG16, pynq-z2: cycles", total, Bar::AtMost(57e6));

    let mut net = net;
    narrow(&mut net, |name| name.starts_with("fc"));
    for (name, most) in [("ultra96", 25.8e6), ("pynq-z2", 44.8e6)] {
        let program = compiled(&net, &board(name, &[]), &Options::default());
        let (done, _) = simulate(&net, &program, 1);
        let total = done.counters.cycles as f64;
        let what = format!("VGG16 with 8-bit weights in fc6 to fc8, {name}: cycles");
        sheet.put(&what, total, Bar::AtMost(most));
    }
}

fn compiling(sheet: &mut Sheet) {
    let cnna = std::env::var_os("CNNA").map(PathBuf::from);
    let cnna = cnna.expect("CNNA names the program cnna: use `make bench`");
    let folder = tempfile::tempdir().expect("a folder for the program file");
    let begin = Instant::now();
    let mut child = Command::new(&cnna)
        .args("compile zoo:vgg16 --seed 1 --board ultra96 -o".split(' '))
        .arg(folder.path().join("vgg16.cnna"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("cnna starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0.0;
    while child.try_wait().expect("our own child").is_none() {
        peak = peak_megabytes(&status).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    let seconds = begin.elapsed().as_secs_f64();
    assert!(child.wait().expect("ended").success());
    let net = network("zoo:vgg16");
    let weights = 2e-6 * net.nodes.iter().map(|n| weight_count(&n.op)).sum::<usize>() as f64;
    sheet.put("cnna compile zoo:vgg16: seconds", seconds, Bar::AtMost(5.0));
    let what = "  peak memory as multiple of the weights";
    sheet.put(what, peak / weights, Bar::AtMost(2.0));
}

fn weight_count(op: &Op) -> usize {
    match op {
        Op::Conv(c) => c.weights.len(),
        _ => 0,
    }
}

/// Multiply-accumulates of one image.
fn macs(net: &Graph) -> f64 {
    net.nodes.iter().map(|n| net.macs(n) as f64).sum()
}

/// The largest resident size so far, while the process lives.
fn peak_megabytes(status: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024e-6)
}

fn single_layers(sheet: &mut Sheet) {
    let near = board("ultra96", &[("memory.latency", "20")]);
    let direct = Options {
        winograd: false,
        ..Options::default()
    };
    for (name, options, least) in [
        ("conv3x3@14x14x64-64", Options::default(), 1.4),
        ("conv3x3@28x28x16-16", Options::default(), 0.85),
        ("conv3x3@56x56x64-64", direct, 0.85),
        ("conv1x1@56x56x256-64", Options::default(), 1.6),
        ("conv1x1@28x28x512-128", Options::default(), 1.6),
    ] {
        let net = network(&format!("zoo:{name}"));
        let written = for_board(&net, &near, &options).expect("the board has room");
        let net = written.unwrap_or(net);
        let program = compiled(&net, &near, &options);
        let (done, _) = simulate(&net, &program, 1);
        let cycles = done.counters.cycles as f64;
        let rate = macs(&net) / (cycles * 352.0);
        let mode = &program.meta.layers[0].mode;
        let what = format!("{name}, {mode}, DRAM to DRAM, latency 20: MAC/DSP/cycle");
        sheet.put(&what, rate, Bar::AtLeast(least));
    }
}

/// Time must grow as the work does: one convolution, and VGG16's thirteen, on inputs of three sizes.
fn growth(sheet: &mut Sheet) {
    let layer = |side: usize| network(&format!("zoo:conv3x3@{side}x{side}x64-64"));
    let what = "cycles per MAC at 112, 224, 448, most / least: conv3x3 64-64";
    sheet.put(what, spread(layer), Bar::AtMost(1.05));
    // Its maps end at 7, 14 and 28 pixels: 49 of 64, 196 of 224 and all places of pairs of 2x2 tiles give results.
    let convolutions = |side: usize| {
        let mut net = network(&format!("zoo:vgg16@{side}/1"));
        let is_fc = |n: &Node| matches!(&n.op, Op::Conv(c) if c.is_fc(net.shapes(n)[0]));
        let convs = net.nodes.iter().position(is_fc);
        net.nodes
            .truncate(convs.expect("VGG16 ends with fully connected layers"));
        let last = net.nodes.last().expect("VGG16 begins otherwise").output;
        // Each node's tensor comes behind those before it.
        net.tensors.truncate(last + 1);
        net.outputs.clear();
        net.output(last);
        net
    };
    let what = "  the same: VGG16's convolutions, ending at 7x7, 14x14, 28x28";
    sheet.put(what, spread(convolutions), Bar::AtMost(1.10));
}

/// Most by least cycles per multiply-accumulate of the networks for inputs of 112, 224 and 448 pixels.
fn spread(of: impl Fn(usize) -> Graph) -> f64 {
    let per_mac = |side: usize| {
        let net = of(side);
        let program = compiled(&net, &board("ultra96", &[]), &Options::default());
        let (done, _) = simulate(&net, &program, 1);
        done.counters.cycles as f64 / macs(&net)
    };
    let all = [112, 224, 448].map(per_mac);
    let most = all.iter().copied().fold(0.0, f64::max);
    most / all.iter().copied().fold(f64::MAX, f64::min)
}

/// The simulator against the RTL on the demo's network, both with values, in CPU time.
fn simulator_speed(sheet: &mut Sheet) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fashion.onnx");
    let net = cnna_onnx::read_quantised(&model).expect("the shipped model");
    let board = board("ultra96", &[]);
    let program = compiled(&net, &board, &Options::default());
    let mut window = window(&program.meta, &program.image.bytes(), &images(&net, 1), 0);
    let mut per_run = |engine: &mut dyn Engine, runs: u32| {
        let begin = cpu_seconds();
        for _ in 0..runs {
            start(engine, &program.meta, 1).expect("a stream for one image");
            let busy = engine.advance(&mut window, u64::MAX / 4).expect("runs");
            assert!(!busy, "completes");
        }
        (cpu_seconds() - begin) / f64::from(runs)
    };
    let mut rtl = Rtl::new(&board, Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("verilator");
    let mut machine = Machine::new(&board);
    // In turn, so that both see the same machine.
    let mut ratios: Vec<f64> = (0..5)
        .map(|_| {
            let cycle = per_run(&mut machine, 200);
            let rtl = per_run(&mut rtl, 4);
            println!("  {:.2} ms and {:.1} ms an image", cycle * 1e3, rtl * 1e3);
            rtl / cycle
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let what = "simulator against verilated RTL, demo network: times faster (median)";
    sheet.put(what, ratios[2], Bar::AtLeast(50.0));
}

fn cpu_seconds() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// The host's own time an image of VGG16, and how much of it hides behind the device.
fn host_time(sheet: &mut Sheet) {
    let net = network("zoo:vgg16");
    let board = board("ultra96", &[]);
    let options = Options {
        batch: 1,
        ..Options::default()
    };
    let program = compiled(&net, &board, &options);
    let image = program.image.bytes();
    let program = Program {
        meta: program.meta.clone(),
        image: &image,
        network: [&[], &[]],
    };
    let [at_once, alone, overlapped, twice] = host::times(&program);
    sheet.put(
        "host, an image of VGG16, npy to npy, on a device that answers at once, ms",
        at_once,
        Bar::AtMost(1.0),
    );
    sheet.put(
        "... on a device that takes 2 ms, each image alone, ms",
        alone,
        Bar::AtLeast(2.0),
    );
    sheet.put(
        "... while it works, the next is prepared, ms",
        overlapped,
        Bar::AtMost(alone),
    );
    sheet.put(
        "... and copied beside, in a window with room for two, ms",
        twice,
        Bar::AtMost(alone),
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    type Group = (&'static str, fn(&mut Sheet));
    let groups: [Group; 6] = [
        ("layers", single_layers),
        ("vgg16", vgg16),
        ("growth", growth),
        ("compile", compiling),
        ("speed", simulator_speed),
        ("host", host_time),
    ];
    let mut sheet = Sheet::default();
    println!("{:<74} {:>13}  {:>13}", "what", "measured", "bar");
    for (name, group) in groups {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            group(&mut sheet);
        }
    }
    println!("{} bar(s) missed", sheet.missed);
    std::process::exit(i32::from(sheet.missed > 0));
}
