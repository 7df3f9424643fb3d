//! Random networks through compiler and machine (values, no time) against the reference model.
//!
//! `CNNA_SEED=n` runs one case, `CNNA_CASES=n` that many from the first on.

use cnna_compile::{CompileError, CompiledProgram, Options, compile};
use cnna_machine::counters::Counters;
use cnna_machine::golden;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, Queue, store_kind};
use cnna_machine::layer::{Layer, Network, Op, Padding, Shape, Window};
use cnna_machine::num::Word;
use cnna_machine::program::Stream;
use cnna_machine::{Accelerator, Board};
use cnna_sim::buffers::Buffers;
use cnna_sim::exec::{self, run_in_order};
use cnna_tests::engines;
use cnna_tests::random::{pick, random_conv, random_network, random_vector_network, random_words};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn random_board(r: &mut StdRng) -> Board {
    let depths = [16, 24, 40, 64, 128, 256, 1024, 8192];
    let lanes = pick(r, &[1, 2, 5, 11, 13, 22]);
    let set = [
        ("tiles", pick(r, &[1, 2, 4])),
        ("lanes", lanes),
        ("word", pick(r, &[8, 16])),
        ("act_depth", pick(r, &depths)),
        ("weight_depth", pick(r, &[4, 8, 16, 48, 128, 1024])),
        ("bias_depth", pick(r, &[4 * lanes, 4 * lanes + 3, 96])),
        ("out_depth", pick(r, &depths)),
        ("weight_ports", pick(r, &[1, 2, 3, 4]).min(lanes)),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    Board::load("ultra96", &set).expect("all within range")
}

fn commands(stream: &Stream, image: &[u8]) -> Vec<Command> {
    image[stream.commands_offset..]
        .chunks_exact(COMMAND_BYTES)
        .take(stream.commands)
        .map(Command::from_bytes)
        .collect()
}

/// Runs the four queues as far apart as the tokens let them: always the first of `order` that may go on does.
///
/// What tokens fail to forbid, some order does wrong. Marks have no counters here.
fn run_apart(
    commands: &[Command],
    a: &Accelerator,
    order: [Queue; 4],
    window: &mut [u8],
) -> Result<(), String> {
    let queue = |q: Queue| commands.iter().filter(move |c| c.queue() == q);
    let mut heads = Queue::ALL.map(|q| queue(q).peekable());
    let mut tokens = [[0u32; 4]; 4];
    let mut b = Buffers::new(a);
    loop {
        let ready = order.into_iter().find(|q| {
            heads[*q as usize].peek().is_some_and(|c| {
                Queue::ALL
                    .iter()
                    .all(|f| c.wait & f.bit() == 0 || tokens[*f as usize][*q as usize] > 0)
            })
        });
        let Some(q) = ready else {
            return Err(format!("{order:?}: every queue waits for another"));
        };
        let c = heads[q as usize].next().expect("it was there to peek at");
        for other in Queue::ALL {
            tokens[other as usize][q as usize] -= u32::from(c.wait & other.bit() != 0);
            tokens[q as usize][other as usize] += u32::from(c.signal & other.bit() != 0);
        }
        let done = match &c.body {
            Body::Load(l) => exec::load(l, &mut b, window),
            Body::Weight(w) => exec::weight(c.kind, w, &mut b, window),
            Body::Compute(k) => exec::compute(k, &mut b).map(|_| ()),
            Body::Store(s) if c.kind == store_kind::STORE => exec::store(s, &b, window),
            Body::Store(_) if c.kind == store_kind::END => return Ok(()),
            Body::Store(_) => Ok(()),
        };
        done.map_err(|e| format!("{order:?}: {e}"))?;
    }
}

/// Orders that push each queue as far ahead, and as far behind, as it gets.
const ORDERS: [[Queue; 4]; 4] = {
    use Queue::{Compute, Load, Store, Weight};
    [
        [Load, Weight, Compute, Store],
        [Store, Compute, Weight, Load],
        [Compute, Load, Weight, Store],
        [Weight, Store, Load, Compute],
    ]
};

fn saturation_counter(window: &[u8], record: usize) -> u64 {
    let bytes = window[record..].first_chunk();
    Counters::from_bytes(bytes.expect("a record in the window")).saturated
}

/// What ran: images at most in one run.
type Checked = Result<usize, String>;

/// Compiles and runs every stream on the first of `images`; compares every stored layer of every image, and its
/// saturation count, with the reference model.
fn check(net: &Network, board: &Board, options: &Options, images: &[Vec<i16>]) -> Checked {
    let program = match compile(net, board, options) {
        Ok(p) => p,
        Err(e @ CompileError::Capacity { .. }) => return Err(format!("refused: {e}")),
        Err(e) => return Err(format!("compile: {e}")),
    };
    for stream in &program.meta.streams {
        let images = &images[..stream.images];
        let compared = check_stream(net, &program, stream, images);
        compared.map_err(|e| format!("{} image(s): {e}", stream.images))?;
    }
    Ok(program.meta.batch())
}

fn check_stream(
    net: &Network,
    program: &CompiledProgram,
    stream: &Stream,
    images: &[Vec<i16>],
) -> Result<(), String> {
    let (meta, image) = (&program.meta, &program.image.bytes());
    let a = meta.accelerator();
    let commands = commands(stream, image);
    // What nobody writes must not matter.
    let mut window = engines::window(meta, image, images, 0x5a);
    run_in_order(&commands, a, &mut window).map_err(|e| e.to_string())?;
    let values = engines::layers(meta, &window, images.len());
    for order in ORDERS {
        let mut apart = engines::window(meta, image, images, 0xa5);
        run_apart(&commands, a, order, &mut apart)?;
        if engines::layers(meta, &apart, images.len()) != values {
            return Err(format!("tokens permit a wrong order: {order:?}"));
        }
    }
    let expected: Vec<_> = images.iter().map(|i| golden::run(net, i)).collect();
    let (mut layer, mut saturated) = (0, 0);
    for (k, info) in meta.layers.iter().enumerate() {
        for (n, (values, expected)) in values.iter().zip(&expected).enumerate() {
            let want = &expected[info.network_layer].values;
            let s = net.layers[info.network_layer].output;
            if let Some(difference) = first_difference(&values[k], want, s) {
                return Err(format!(
                    "{} ({}), image {n}, {difference}",
                    info.name, info.mode
                ));
            }
        }
        let of_layer = expected.iter().flat_map(|e| &e[layer..=info.network_layer]);
        let count: u64 = of_layer.map(|r| r.saturated).sum();
        let counter = saturation_counter(&window, info.record);
        if counter - saturated != count {
            return Err(format!(
                "{} ({}): {} saturated instead of {count}",
                info.name,
                info.mode,
                counter - saturated
            ));
        }
        (layer, saturated) = (info.network_layer + 1, counter);
    }
    Ok(())
}

fn first_difference(got: &[i16], want: &[i16], s: Shape) -> Option<String> {
    let i = (0..got.len()).find(|&i| got[i] != want[i])?;
    let wrong = (0..got.len()).filter(|&i| got[i] != want[i]).count();
    let (c, y, x) = (i / (s.h * s.w), i / s.w % s.h, i % s.w);
    Some(format!(
        "channel {c}, row {y}, column {x}: {} instead of {}; {wrong} of {} differ",
        got[i],
        want[i],
        got.len()
    ))
}

fn case(seed: u64, network: fn(&mut StdRng, Word) -> Network) -> Checked {
    let mut r = StdRng::seed_from_u64(seed);
    let board = random_board(&mut r);
    let net = network(&mut r, board.accelerator.word);
    let most = board.accelerator.vector_images();
    let images: Vec<_> = (0..most)
        .map(|_| random_words(&mut r, net.input.len(), net.word))
        .collect();
    let options = Options {
        winograd: r.random_ratio(3, 4),
        fuse: r.random_ratio(3, 4),
        batch: pick(&mut r, &[2, 3, 4]),
    };
    check(&net, &board, &options, &images).map_err(|e| {
        let mut text = format!("seed {seed}: {e}\n  {:?}\n  {options:?}", board.accelerator);
        for l in &net.layers {
            let w = match &l.op {
                Op::Conv(c) => (&c.window, c.shift),
                Op::MaxPool(w) => (w, 0),
            };
            text += &format!("\n  {} {} -> {} {w:?}", l.name, l.input, l.output);
        }
        text
    })
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|v| v.parse().expect("a number"))
}

/// Runs `cases` seeds; returns how many of them ran several images at once.
fn all_equal(cases: u64, network: fn(&mut StdRng, Word) -> Network) -> u64 {
    if let Some(seed) = env("CNNA_SEED") {
        return case(seed, network).unwrap_or_else(|e| panic!("{e}")) as u64;
    }
    let cases = env("CNNA_CASES").unwrap_or(cases);
    let (mut refused, mut batches, mut wrong) = (0, 0, Vec::new());
    for seed in 1..=cases {
        match case(seed, network) {
            Err(e) if e.contains("refused") => {
                refused += 1;
                println!("{e}");
            }
            Err(e) => wrong.push(e),
            Ok(images) => batches += u64::from(images > 1),
        }
    }
    let first = wrong.iter().take(3).map(String::as_str);
    let first = first.collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases:\n{first}",
        wrong.len()
    );
    println!("{cases} cases, {refused} refused for their buffers, {batches} with several images");
    assert!(refused * 10 <= cases, "{refused} of {cases} refused");
    batches
}

#[test]
fn random_networks_equal_the_reference_in_every_layer() {
    all_equal(400, random_network);
}

#[test]
fn fully_connected_layers_equal_the_reference_for_every_image_of_a_batch() {
    let batches = all_equal(200, random_vector_network);
    assert!(batches > 0, "no case ran several images");
}

#[test]
fn a_plain_3x3_convolution_equals_the_reference() {
    let mut r = StdRng::seed_from_u64(7);
    let board = Board::load("ultra96", &[]).expect("built in");
    let input = Shape {
        c: 20,
        h: 14,
        w: 17,
    };
    let mut window = Window::plain(3, 3);
    window.pad = Padding {
        top: 1,
        left: 1,
        bottom: 1,
        right: 1,
    };
    let conv = random_conv(&mut r, input, window, 30, Word::W16);
    let net = Network {
        name: "one".into(),
        word: Word::W16,
        input,
        input_frac: 8,
        layers: vec![Layer {
            name: "conv".into(),
            op: Op::Conv(conv),
            input,
            output: Shape { c: 30, ..input },
            output_frac: 8,
        }],
    };
    let images = [random_words(&mut r, input.len(), Word::W16)];
    for winograd in [false, true] {
        let options = Options {
            winograd,
            ..Options::default()
        };
        check(&net, &board, &options, &images).unwrap_or_else(|e| panic!("{e}"));
    }
}
