//! Random networks through the reference model, the cycle simulator and the RTL in Verilator, with and without random
//! latency and back-pressure, one image and several at once: equal values, equal cycles, equal counters.
//!
//! `CNNA_SEED=n` runs one case of each configuration, `CNNA_CASES=n` that many, from the first or `CNNA_FROM=n` on.

use cnna_compile::{Options, compile};
use cnna_machine::Board;
use cnna_machine::engine::Engine;
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;
use cnna_machine::program::Mode;
use cnna_net::op::{AveragePool, Conv};
use cnna_net::{Activation, Graph, Op, Padding, Values, Window, random, zoo};
use cnna_rtlsim::Rtl;
use cnna_sim::Machine;
use cnna_tests::engines::{self, Inputs, run};
use cnna_tests::rtl::{Coverage, DRAWS, LIMIT, SHORT, board, case, difference, stream_case};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::time::Duration;

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn build(board: &Board) -> Result<Rtl, String> {
    Rtl::new(board, cache()).map_err(|e| e.to_string())
}

fn cases(board: &Board) {
    let env = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|v| v.parse::<u64>().expect("a number"))
    };
    let seeds = match env("CNNA_SEED") {
        Some(s) => s..=s,
        None => {
            let from = env("CNNA_FROM").unwrap_or(1);
            from..=from + env("CNNA_CASES").unwrap_or(30) - 1
        }
    };
    let mut covered = Coverage::default();
    for draw in DRAWS {
        for seed in seeds.clone() {
            case(board, seed, draw, &build, &mut covered)
                .unwrap_or_else(|e| panic!("seed {seed}, {:?}: {e}", board.accelerator));
        }
    }
    println!("{covered:?}");
    // Few seeds may not draw everything.
    if seeds.count() >= 24 {
        assert_eq!(
            covered.missing(&board.accelerator),
            [""; 0],
            "did not occur"
        );
        assert_eq!(covered.images, board.accelerator.vector_images());
    }
}

#[test]
fn two_tiles_eleven_lanes_of_16_bits() {
    cases(&board(2, 11, 16, 3, 256, true));
}

#[test]
fn one_tile_two_lanes_of_8_bits() {
    cases(&board(1, 2, 8, 1, 256, false));
}

#[test]
fn one_tile_thirteen_lanes_of_16_bits() {
    cases(&board(1, 13, 16, 2, 256, true));
}

#[test]
fn one_tile_twenty_two_lanes_of_16_bits() {
    cases(&board(1, 22, 16, 3, 256, false));
}

#[test]
fn two_tiles_five_lanes_of_8_bits() {
    cases(&board(2, 5, 8, 2, 16, true));
}

/// Two of four images: the other two must not write over results that wait for their store.
#[test]
fn images_that_a_run_does_not_have_write_nothing() {
    let mut board = board(2, 5, 8, 2, 16, true);
    // One write at a time, few weights and all biases at once: compute is as far ahead of the stores as tokens permit.
    (board.memory.latency, board.memory.outstanding) = (100, 1);
    board.accelerator.bias_depth = 240;
    let mut r = StdRng::seed_from_u64(1);
    let net = random::fully_connected(&mut r, Shape { c: 1, h: 1, w: 1 }, &[480], Word::W8);
    let options = Options {
        batch: 2,
        ..Options::default()
    };
    let program = compile(&net, &board, &options).expect("fits");
    let images: Vec<Inputs> = (0..2).map(|_| random::inputs(&mut r, &net)).collect();
    let ran = stream_case(&board, &net, &program, &images, SHORT, &build);
    assert_eq!(ran, Ok(true));
}

#[test]
fn four_tiles_five_lanes_of_16_bits() {
    cases(&board(4, 5, 16, 4, 256, true));
}

/// A quarter of VGG16's side and channels, on the whole machine of `ultra96` and its memory, with jitter and without.
#[test]
fn vgg16_of_quarter_size_on_ultra96() {
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
            let images: Vec<Inputs> = (0..n).map(|_| random::inputs(&mut r, &net)).collect();
            let ran = stream_case(&board, &net, &program, &images, 2_000_000, &build);
            assert_eq!(ran, Ok(true), "{n} image(s), jitter {jitter:?}");
        }
    }
}

/// Means and depthwise kernels of a whole map: sums that go on in the next command, in WINOGRAD mode.
#[test]
fn kernels_too_large_for_the_weight_buffer_come_in_chunks() {
    for board in [
        board(2, 11, 16, 3, 256, true),
        board(1, 2, 8, 1, 256, false),
    ] {
        let word = board.accelerator.word;
        let shape = Shape { c: 7, h: 31, w: 29 };
        let window = Window::plain(shape.h - 1, shape.w - 1);
        let mut r = StdRng::seed_from_u64(1);
        let mut net = Graph::new("large", word);
        let x = net.input("x", shape, Some(word.bits() as i32 - 2));
        let mean = AveragePool {
            window: Window::plain(shape.h, shape.w),
            counted: Padding::default(),
        };
        let kernel = Conv {
            oc: shape.c,
            groups: shape.c,
            window,
            weights: Values::Words(
                (0..shape.c * window.kernel[0] * window.kernel[1])
                    .map(|_| r.random_range(-100..=100))
                    .collect(),
                10,
            ),
            finer: Vec::new(),
            bias: Values::Sums((0..shape.c).map(|_| r.random_range(-1000..=1000)).collect()),
            activation: Activation::None,
        };
        for (name, op) in [("mean", Op::from(mean)), ("kernel", Op::from(kernel))] {
            let frac = Some(word.bits() as i32 - 5);
            let made = net.push(name, op, &[x], frac).expect("it fits");
            net.output(made);
        }
        let program = compile(&net, &board, &Options::default()).expect("fits");
        // 11 x 10 kernels of 3x3: not at once, so in chunks where the mode is WINOGRAD.
        assert!(11 * 10 > board.accelerator.weight_depth);
        for layer in &program.meta.layers {
            assert_eq!(layer.mode, Mode::Winograd, "{}", layer.name);
        }
        let images = [random::inputs(&mut r, &net)];
        let ran = stream_case(&board, &net, &program, &images, LIMIT, &build);
        assert_eq!(ran, Ok(true), "{:?}", board.accelerator);
    }
}

#[test]
fn an_interrupted_run_goes_on_from_its_checkpoint() {
    let board = board(1, 2, 8, 1, 256, false);
    let net = zoo::network("zoo:lenet", 1, board.accelerator.word).expect("in the zoo");
    let program = compile(&net, &board, &Options::default()).expect("fits");
    let meta = &program.meta;
    let input = random::inputs(&mut StdRng::seed_from_u64(1), &net);
    let mut machine = Machine::new(&board);
    let (image, inputs) = (&program.image.bytes(), [input]);
    let whole = run(&mut machine, meta, image, &inputs, LIMIT).expect("completes");

    // Steps of 4,000 cycles with a checkpoint before each; the first engine is dropped on its way.
    const STEP: u64 = 4000;
    let engine = || Rtl::with_checkpoints(&board, cache(), Duration::ZERO).expect("builds");
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
