//! Random networks through the reference model, the cycle simulator and the RTL in Verilator, with and without random
//! latency and back-pressure: equal values, equal cycles, equal counters.
//!
//! `CNNA_SEED=n` runs one case of each configuration, `CNNA_CASES=n` that many.

use cnna_compile::{CompileError, Options, compile, zoo};
use cnna_hdl::verilated::Rtl;
use cnna_sim::Machine;
use cnna_spec::engine::Engine;
use cnna_spec::{Board, golden};
use cnna_tests::engines::{self, Outcome, run};
use cnna_tests::random::{pick, random_network, random_words};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// Cycles after which a random case counts as hanging.
const LIMIT: u64 = 20_000_000;

fn board(tiles: u32, lanes: u32, word: u32, ports: u32) -> Board {
    let set = [
        ("tiles", tiles),
        ("lanes", lanes),
        ("word", word),
        ("weight_ports", ports),
        ("act_depth", 256),
        ("weight_depth", 64),
        ("bias_depth", 4 * lanes),
        ("out_depth", 256),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    Board::load("ultra96", &set).expect("all within range")
}

fn difference(a: &Outcome, b: &Outcome) -> Option<String> {
    for (i, (x, y)) in a.layers.iter().zip(&b.layers).enumerate() {
        if let Some(k) = (0..x.len()).find(|&k| x[k] != y[k]) {
            let wrong = (0..x.len()).filter(|&k| x[k] != y[k]).count();
            return Some(format!(
                "layer {i}, element {k}: {} and {}; {wrong} of {} differ",
                x[k],
                y[k],
                x.len()
            ));
        }
    }
    (a != b).then(|| {
        format!(
            "records {:?} and {:?}, counters {:?} and {:?}, status {:#x} and {:#x}",
            a.records, b.records, a.counters, b.counters, a.status, b.status
        )
    })
}

fn case(base: &Board, seed: u64, cache: &std::path::Path) -> Result<bool, String> {
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
    let net = random_network(&mut r, board.accelerator.word);
    let image = random_words(&mut r, net.input.len(), net.word);
    let options = Options {
        winograd: r.random_ratio(3, 4),
        fuse: r.random_ratio(3, 4),
    };
    let program = match compile(&net, &board, &options) {
        Ok(p) => p,
        Err(CompileError::Capacity { .. }) => return Ok(false),
        Err(e) => return Err(e.to_string()),
    };
    let mut machine = Machine::new(&board);
    let cycle = run(&mut machine, &program.meta, &program.image, &image, LIMIT)
        .map_err(|e| format!("cycle: {e}"))?;
    for (info, got) in program.meta.layers.iter().zip(&cycle.layers) {
        let want = &golden::run(&net, &image)[info.network_layer].values;
        if got != want {
            return Err(format!(
                "cycle and reference differ in {} ({})",
                info.name, info.mode
            ));
        }
    }
    if cycle.counters[0] > 400_000 {
        // Too long for the RTL in a test; the values were compared.
        return Ok(true);
    }
    let mut rtl = Rtl::new(&board, cache).map_err(|e| e.to_string())?;
    // Twice: nothing may depend on what a run leaves behind.
    for pass in 0..2 {
        let got = run(&mut rtl, &program.meta, &program.image, &image, LIMIT)
            .map_err(|e| format!("rtl: {e}"))?;
        if let Some(d) = difference(&cycle, &got) {
            let modes: Vec<_> = program.meta.layers.iter().map(|l| &l.mode).collect();
            return Err(format!("cycle and rtl (run {pass}) {modes:?}: {d}"));
        }
    }
    Ok(true)
}

fn cases(tiles: u32, lanes: u32, word: u32, ports: u32) {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let env = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|v| v.parse::<u64>().expect("a number"))
    };
    let board = board(tiles, lanes, word, ports);
    let seeds = match env("CNNA_SEED") {
        Some(s) => s..=s,
        None => 1..=env("CNNA_CASES").unwrap_or(12),
    };
    let mut ran = 0;
    for seed in seeds {
        match case(&board, seed, cache) {
            Ok(true) => ran += 1,
            Ok(false) => {}
            Err(e) => panic!("seed {seed}, T {tiles} M {lanes} words of {word}: {e}"),
        }
    }
    assert!(ran > 0, "every case was refused for its buffers");
}

#[test]
fn two_tiles_eleven_lanes_of_16_bits() {
    cases(2, 11, 16, 3);
}

#[test]
fn one_tile_two_lanes_of_8_bits() {
    cases(1, 2, 8, 1);
}

#[test]
fn one_tile_thirteen_lanes_of_16_bits() {
    cases(1, 13, 16, 2);
}

#[test]
fn one_tile_twenty_two_lanes_of_16_bits() {
    cases(1, 22, 16, 3);
}

#[test]
fn two_tiles_five_lanes_of_8_bits() {
    cases(2, 5, 8, 2);
}

#[test]
fn four_tiles_five_lanes_of_16_bits() {
    cases(4, 5, 16, 4);
}

#[test]
fn an_interrupted_run_goes_on_from_its_checkpoint() {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let board = board(1, 2, 8, 1);
    let net = zoo::network("zoo:lenet", 1, board.accelerator.word).expect("in the zoo");
    let program = compile(&net, &board, &Options::default()).expect("fits");
    let meta = &program.meta;
    let image = random_words(&mut StdRng::seed_from_u64(1), net.input.len(), net.word);
    let mut machine = Machine::new(&board);
    let whole = run(&mut machine, meta, &program.image, &image, LIMIT).expect("completes");

    // Steps of 4,000 cycles with a checkpoint before each; the first engine is dropped on its way.
    const STEP: u64 = 4000;
    let engine = || Rtl::with_checkpoints(&board, cache, Duration::ZERO).expect("builds");
    let steps = |most: usize| {
        let mut rtl = engine();
        let mut window = engines::window(meta, &program.image, &image);
        engines::start(&mut rtl, meta);
        let mut n = 0;
        while n < most && rtl.advance(&mut window, STEP).expect("runs") {
            n += 1;
        }
        (n, engines::outcome(&mut rtl, meta, &window))
    };
    let most = (u64::from(whole.counters[0]) / STEP / 2) as usize;
    assert!(most >= 4, "{:?}", whole.counters);
    steps(most);
    let (n, resumed) = steps(usize::MAX);
    assert_eq!(difference(&whole, &resumed), None);
    let all = u64::from(whole.counters[0]) / STEP;
    assert!(
        (n as u64) < all - most as u64 + 3,
        "{n} steps of {all} after {most}"
    );
    // Complete: nothing is left to go on from.
    let (n, again) = steps(usize::MAX);
    assert_eq!(difference(&whole, &again), None);
    assert_eq!(n as u64, all);
}
