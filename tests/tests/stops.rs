//! Stops at random cycles, in the simulator and in the RTL, with latency and back-pressure that change all the time, and a
//! memory that is never re-made: whatever a stop left behind on the bus would meet the next run. The stop takes equally many
//! cycles on both, and the next run is equal to one that nothing went before.
//!
//! `CNNA_STOPS=n` makes n stops; the suite makes [`STOPS`]. `make bench-stops` makes 1,000.

use cnna_compile::{Options, compile};
use cnna_machine::config::port;
use cnna_machine::engine::Engine;
use cnna_machine::program::ProgramMeta;
use cnna_machine::regs::{self, DeviceError};
use cnna_machine::{Board, Counters};
use cnna_net::random;
use cnna_rtlsim::{BadAnswer, Rtl};
use cnna_sim::Machine;
use cnna_tests::engines::{self, Inputs, Outcome, run, start};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

/// Stops of the suite.
const STOPS: u64 = 48;
/// Longest run that is stopped again and again.
const LONGEST: u64 = 20_000;
/// Cycles after which a stop counts as hanging: far more than all bursts of all ports take.
const HANGS: u64 = 200_000;

fn stops() -> u64 {
    let set = std::env::var("CNNA_STOPS").ok();
    set.map_or(STOPS, |v| v.parse().expect("CNNA_STOPS is a number"))
}

struct Case {
    board: Board,
    meta: ProgramMeta,
    bytes: Vec<u8>,
    image: Vec<Inputs>,
    /// What a run makes of it.
    wanted: Outcome,
}

impl Case {
    fn run(&self, engine: &mut dyn Engine) -> Outcome {
        run(engine, &self.meta, &self.bytes, &self.image, 20_000_000).expect("runs")
    }

    fn window(&self) -> Vec<u8> {
        engines::window(&self.meta, &self.bytes, &self.image, 0x5a)
    }
}

/// A random network of moderate length on a machine of this shape, behind a memory of every bad habit.
fn some_case(r: &mut StdRng, tiles: u32, lanes: u32, word: u32, ports: u32) -> Case {
    let set = [
        ("tiles", tiles),
        ("lanes", lanes),
        ("word", word),
        ("weight_ports", ports),
        ("load_ports", 1 + lanes % 2),
        ("act_depth", 256),
        ("weight_depth", 64),
        ("bias_depth", 4 * lanes),
        ("out_depth", 256),
        ("memory.latency", r.random_range(1..100)),
        ("memory.outstanding", r.random_range(1..=16)),
        ("memory.latency_jitter", r.random_range(0..40)),
        ("memory.stall_per_256", r.random_range(0..200)),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    let board = Board::load("ultra96", &set).expect("in range");
    loop {
        let net = random::graph(
            r.random(),
            board.accelerator.word,
            &random::Limits::default(),
        );
        let options = Options {
            host: false,
            keep: true,
            ..Options::default()
        };
        let Ok(program) = compile(&net, &board, &options) else {
            continue;
        };
        let image = vec![random::inputs(r, &net)];
        let mut case = Case {
            wanted: Outcome {
                images: vec![],
                records: vec![],
                counters: Counters::default(),
                status: 0,
            },
            board: board.clone(),
            bytes: program.image.bytes().to_vec(),
            meta: program.meta,
            image,
        };
        case.wanted = case.run(&mut Machine::new(&case.board));
        if (2_000..LONGEST).contains(&case.wanted.counters.cycles) {
            return case;
        }
    }
}

/// Lets time pass until the engine rests; how much of it.
fn rest(engine: &mut dyn Engine, window: &mut [u8]) -> u64 {
    let mut cycles = 0;
    while engine
        .advance(window, 1)
        .expect("no assertion, no rule broken")
    {
        cycles += 1;
        assert!(cycles < HANGS, "the stop hangs");
    }
    cycles
}

/// Starts the program, lets `at` cycles pass and stops it, as a host does; the cycles from the stop to the end of the reset.
fn stop(engine: &mut dyn Engine, case: &Case, at: u64) -> u64 {
    let mut window = case.window();
    start(engine, &case.meta, 1).expect("a stream for one image");
    let running = engine.advance(&mut window, at).expect("runs");
    engine.write(regs::CONTROL, 1);
    let status = engine.read(regs::STATUS);
    assert!(
        !running || status & regs::STATUS_RESET_DONE == 0,
        "too early"
    );
    let cycles = rest(engine, &mut window);
    assert_eq!(engine.read(regs::STATUS), regs::STATUS_RESET_DONE);
    let done = engine.read(regs::DONE);
    assert_eq!(
        engine.read(regs::START),
        done,
        "a pending start is forgotten"
    );
    engine.write(regs::CONTROL, 0);
    cycles
}

const SHAPES: [[u32; 4]; 4] = [[2, 11, 16, 3], [1, 13, 16, 2], [4, 5, 16, 4], [1, 2, 8, 1]];

#[test]
fn a_run_after_a_stop_is_equal() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut drained = 0;
    for (seed, [tiles, lanes, word, ports]) in SHAPES.into_iter().enumerate() {
        let mut r = StdRng::seed_from_u64(seed as u64);
        let case = some_case(&mut r, tiles, lanes, word, ports);
        let mut rtl = Rtl::new(&case.board, cache).expect("builds");
        let mut machine = Machine::new(&case.board);
        for n in 0..stops().div_ceil(SHAPES.len() as u64) {
            let at = r.random_range(1..case.wanted.counters.cycles);
            let (simulated, cycles) = (stop(&mut machine, &case, at), stop(&mut rtl, &case, at));
            // The RTL is seen to rest in the cycle after its last, the simulator in its last.
            let seen = simulated + u64::from(cycles > 0);
            assert_eq!(seen, cycles, "shape {seed}, stop {n} at cycle {at}");
            drained += u64::from(cycles > 4);
            for engine in [&mut machine as &mut dyn Engine, &mut rtl] {
                assert!(
                    case.run(engine) == case.wanted,
                    "shape {seed}, after stop {n} at cycle {at}"
                );
            }
        }
    }
    assert!(drained * 2 > stops(), "most stops have something to end");
}

/// A run with one answer of the memory an error: any that comes, of any port that has some.
fn bus_error(rtl: &mut Rtl, case: &Case, r: &mut StdRng, write: bool) {
    let mut answers = 0;
    let mut port = port::ACT;
    loop {
        if answers == 0 {
            answers = 1000;
            if !write {
                port = r.random_range(0..case.board.accelerator.port_numbers());
            }
        }
        let left = r.random_range(0..answers);
        rtl.fail(BadAnswer { port, write, left });
        start(rtl, &case.meta, 1).expect("a stream for one image");
        rest(rtl, &mut case.window());
        match rtl.read(regs::STATUS) {
            // At rest without an error: so many do not come.
            0 => answers = left,
            status => {
                let bus = (DeviceError::Bus as u32) << 8 | regs::STATUS_RESET_DONE;
                return assert_eq!(status, bus, "answer {left} of port {port}");
            }
        }
    }
}

/// After an error the machine comes to rest and resets itself: the next start needs no help.
#[test]
fn a_run_after_an_error_is_equal() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut r = StdRng::seed_from_u64(9);
    let case = some_case(&mut r, 2, 11, 16, 3);
    let mut rtl = Rtl::new(&case.board, cache).expect("builds");
    let mut machine = Machine::new(&case.board);
    let mut seen = vec![];
    for n in 0..stops().div_ceil(4) {
        let mut window = case.window();
        let mut small = case.meta.clone();
        let most = [2048, case.meta.window_bytes as u32][n as usize % 2];
        let size = r.random_range(64..most) & !63;
        small.window_bytes = size as usize;
        let after = [&mut machine as &mut dyn Engine, &mut rtl].map(|engine| {
            start(engine, &small, 1).expect("a stream for one image");
            rest(engine, &mut window);
            let left = [regs::CYCLES, regs::STATUS].map(|r| engine.read(r));
            let next = case.run(engine);
            assert!(next == case.wanted, "after error {n}, size {size}");
            left
        });
        assert_eq!(after[0], after[1], "size {size}");
        let code = (after[0][1] >> 8) as u8;
        if code != 0 {
            assert_eq!(after[0][1] & 0xff, regs::STATUS_RESET_DONE);
            seen.push(DeviceError::from_code(code).expect("a known code"));
        }

        bus_error(&mut rtl, &case, &mut r, n % 4 == 3);
        assert!(case.run(&mut rtl) == case.wanted, "after bus error {n}");
    }
    for error in [DeviceError::LoadAddress, DeviceError::FetchAddress] {
        assert!(seen.contains(&error), "{error} never came: {seen:?}");
    }
}
