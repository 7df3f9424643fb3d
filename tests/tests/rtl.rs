//! Random networks through the reference model, the cycle simulator and the RTL in Verilator, with and without random
//! latency and back-pressure, one image and several at once: equal values, equal cycles, equal counters.
//!
//! `CNNA_SEED=n` runs one case of each configuration, `CNNA_CASES=n` that many.

use cnna_compile::{CompileError, CompiledProgram, Options, compile, zoo};
use cnna_machine::engine::Engine;
use cnna_machine::layer::{Network, Shape};
use cnna_machine::num::Word;
use cnna_machine::{Board, golden};
use cnna_rtlsim::Rtl;
use cnna_sim::Machine;
use cnna_tests::engines::{self, Outcome, run};
use cnna_tests::random::{
    fully_connected, pick, random_network, random_vector_network, random_words,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::time::Duration;

/// Cycles after which a random case counts as hanging.
const LIMIT: u64 = 20_000_000;
/// Cycles that the RTL runs of a random case at most: some two seconds.
const SHORT: u32 = 400_000;

fn board(tiles: u32, lanes: u32, word: u32, ports: u32, out_depth: u32) -> Board {
    let set = [
        ("tiles", tiles),
        ("lanes", lanes),
        ("word", word),
        ("weight_ports", ports),
        ("act_depth", 256),
        ("weight_depth", 64),
        ("bias_depth", 4 * lanes),
        ("out_depth", out_depth),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    Board::load("ultra96", &set).expect("all within range")
}

fn difference(a: &Outcome, b: &Outcome) -> Option<String> {
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

/// What a case did: refused for its buffers, or run, with how many images at most in the RTL.
enum Ran {
    Refused,
    Images(usize),
}

fn case(base: &Board, seed: u64, cache: &Path, network: RandomNetwork) -> Result<Ran, String> {
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
    let net = network(&mut r, board.accelerator.word);
    let options = Options {
        winograd: r.random_ratio(3, 4),
        fuse: r.random_ratio(3, 4),
        batch: pick(&mut r, &[2, 3, 4]),
    };
    let program = match compile(&net, &board, &options) {
        Ok(p) => p,
        Err(CompileError::Capacity { .. }) => return Ok(Ran::Refused),
        Err(e) => return Err(e.to_string()),
    };
    let mut most = 0;
    for stream in &program.meta.streams {
        let images: Vec<Vec<i16>> = (0..stream.images)
            .map(|_| random_words(&mut r, net.input.len(), net.word))
            .collect();
        if stream_case(&board, &net, &program, &images, SHORT, cache)
            .map_err(|e| format!("{} image(s): {e}", stream.images))?
        {
            most = stream.images;
        }
    }
    Ok(Ran::Images(most))
}

/// Runs one stream on every engine; false when it takes more than `most` cycles: then the RTL was left out.
fn stream_case(
    board: &Board,
    net: &Network,
    program: &CompiledProgram,
    images: &[Vec<i16>],
    most: u32,
    cache: &Path,
) -> Result<bool, String> {
    let (meta, image) = (&program.meta, &program.image.bytes());
    let mut machine = Machine::new(board);
    let cycle = run(&mut machine, meta, image, images, LIMIT).map_err(|e| format!("cycle: {e}"))?;
    for (n, (image, got)) in images.iter().zip(&cycle.images).enumerate() {
        let wanted = golden::run(net, image);
        for (info, got) in meta.layers.iter().zip(got) {
            if *got != wanted[info.network_layer].values {
                return Err(format!(
                    "cycle and reference differ in {} ({}) of image {n}",
                    info.name, info.mode
                ));
            }
        }
    }
    if cycle.counters.cycles > u64::from(most) {
        return Ok(false);
    }
    let mut rtl = Rtl::new(board, cache).map_err(|e| e.to_string())?;
    // Twice: nothing may depend on what a run leaves behind.
    for pass in 0..2 {
        let got = run(&mut rtl, meta, image, images, LIMIT).map_err(|e| format!("rtl: {e}"))?;
        if let Some(d) = difference(&cycle, &got) {
            let modes: Vec<_> = meta.layers.iter().map(|l| &l.mode).collect();
            return Err(format!("cycle and rtl (run {pass}) {modes:?}: {d}"));
        }
    }
    Ok(true)
}

type RandomNetwork = fn(&mut StdRng, Word) -> Network;

fn cases(board: &Board) {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let env = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|v| v.parse::<u64>().expect("a number"))
    };
    let seeds = match env("CNNA_SEED") {
        Some(s) => s..=s,
        None => 1..=env("CNNA_CASES").unwrap_or(12),
    };
    let networks: [RandomNetwork; 2] = [random_network, random_vector_network];
    for (network, most) in networks
        .into_iter()
        .zip([1, board.accelerator.vector_images()])
    {
        let mut images = 0;
        for seed in seeds.clone() {
            match case(board, seed, cache, network) {
                Ok(Ran::Images(n)) => images = images.max(n),
                Ok(Ran::Refused) => {}
                Err(e) => panic!("seed {seed}, {:?}: {e}", board.accelerator),
            }
        }
        // One seed alone may draw a smaller batch.
        let most = if seeds.start() == seeds.end() {
            1
        } else {
            most
        };
        assert!(
            images >= most,
            "{images} images at most in the RTL instead of {most}"
        );
    }
}

#[test]
fn two_tiles_eleven_lanes_of_16_bits() {
    cases(&board(2, 11, 16, 3, 256));
}

#[test]
fn one_tile_two_lanes_of_8_bits() {
    cases(&board(1, 2, 8, 1, 256));
}

#[test]
fn one_tile_thirteen_lanes_of_16_bits() {
    cases(&board(1, 13, 16, 2, 256));
}

#[test]
fn one_tile_twenty_two_lanes_of_16_bits() {
    cases(&board(1, 22, 16, 3, 256));
}

#[test]
fn two_tiles_five_lanes_of_8_bits() {
    cases(&board(2, 5, 8, 2, 16));
}

/// Two of four images: the other two must not write over results that wait for their store.
#[test]
fn images_that_a_run_does_not_have_write_nothing() {
    let mut board = board(2, 5, 8, 2, 16);
    // One write at a time, few weights and all biases at once: compute is as far ahead of the stores as tokens permit.
    (board.memory.latency, board.memory.outstanding) = (100, 1);
    board.accelerator.bias_depth = 240;
    let mut r = StdRng::seed_from_u64(1);
    let net = fully_connected(&mut r, Shape { c: 1, h: 1, w: 1 }, &[480], Word::W8);
    let options = Options {
        batch: 2,
        ..Options::default()
    };
    let program = compile(&net, &board, &options).expect("fits");
    let images: Vec<Vec<i16>> = (0..2).map(|_| random_words(&mut r, 1, Word::W8)).collect();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ran = stream_case(&board, &net, &program, &images, SHORT, cache);
    assert_eq!(ran, Ok(true));
}

#[test]
fn four_tiles_five_lanes_of_16_bits() {
    cases(&board(4, 5, 16, 4, 256));
}

/// A quarter of VGG16's side and channels, on the whole machine of `ultra96` and its memory, with jitter and without.
#[test]
fn vgg16_of_quarter_size_on_ultra96() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for jitter in [("0", "0"), ("30", "60")] {
        let set = [
            ("memory.latency_jitter".into(), jitter.0.into()),
            ("memory.stall_per_256".into(), jitter.1.into()),
        ];
        let board = Board::load("ultra96", &set).expect("built in");
        let net = zoo::network("zoo:vgg16@56", 1, board.accelerator.word).expect("in the zoo");
        let program = compile(&net, &board, &Options::default()).expect("fits");
        let sizes: Vec<usize> = program.meta.streams.iter().map(|s| s.images).collect();
        assert_eq!(sizes, [1, 4]);
        let mut r = StdRng::seed_from_u64(1);
        for n in sizes {
            let images: Vec<Vec<i16>> = (0..n)
                .map(|_| random_words(&mut r, net.input.len(), net.word))
                .collect();
            let ran = stream_case(&board, &net, &program, &images, 2_000_000, cache);
            assert_eq!(ran, Ok(true), "{n} image(s), jitter {jitter:?}");
        }
    }
}

#[test]
fn an_interrupted_run_goes_on_from_its_checkpoint() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let board = board(1, 2, 8, 1, 256);
    let net = zoo::network("zoo:lenet", 1, board.accelerator.word).expect("in the zoo");
    let program = compile(&net, &board, &Options::default()).expect("fits");
    let meta = &program.meta;
    let input = random_words(&mut StdRng::seed_from_u64(1), net.input.len(), net.word);
    let mut machine = Machine::new(&board);
    let (image, inputs) = (&program.image.bytes(), [input]);
    let whole = run(&mut machine, meta, image, &inputs, LIMIT).expect("completes");

    // Steps of 4,000 cycles with a checkpoint before each; the first engine is dropped on its way.
    const STEP: u64 = 4000;
    let engine = || Rtl::with_checkpoints(&board, cache, Duration::ZERO).expect("builds");
    let steps = |most: usize| {
        let mut rtl = engine();
        let mut window = engines::window(meta, image, &inputs, 0x5a);
        engines::start(&mut rtl, meta, 1).expect("a stream for one image");
        let mut n = 0;
        while n < most && rtl.advance(&mut window, STEP).expect("runs") {
            n += 1;
        }
        (n, engines::outcome(&mut rtl, meta, &window, 1))
    };
    let most = (whole.counters.cycles / STEP / 2) as usize;
    assert!(most >= 4, "{:?}", whole.counters);
    steps(most);
    let (n, resumed) = steps(usize::MAX);
    assert_eq!(difference(&whole, &resumed), None);
    let all = whole.counters.cycles / STEP;
    assert!(
        (n as u64) < all - most as u64 + 3,
        "{n} steps of {all} after {most}"
    );
    // Complete: nothing is left to go on from.
    let (n, again) = steps(usize::MAX);
    assert_eq!(difference(&whole, &again), None);
    assert_eq!(n as u64, all);
}
