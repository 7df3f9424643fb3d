//! Random networks through compiler and machine (values, no time) against the reference model.
//!
//! `CNNA_SEED=n` runs one case, `CNNA_CASES=n` that many, from the first or `CNNA_FROM=n` on.

use cnna_compile::{CompileError, CompiledProgram, Options, Use, compile};
use cnna_machine::counters::Counters;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, Queue, store_kind};
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;
use cnna_machine::program::Stream;
use cnna_machine::{Accelerator, Board};
use cnna_net::op::OPERATORS;
use cnna_net::random::{self, pick};
use cnna_net::run::Run;
use cnna_net::{Graph, Op};
use cnna_sim::buffers::Buffers;
use cnna_sim::exec::{self, run_in_order};
use cnna_tests::engines::{self, Inputs};
use cnna_tests::rtl::{chained_graph, gated_graph};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn random_board(r: &mut StdRng) -> Board {
    let depths = [24, 40, 64, 128, 256, 1024, 8192];
    let lanes = pick(r, &[1, 2, 5, 11, 13, 22]);
    let act_depth: u32 = pick(r, &depths);
    let paired = lanes > 1 && act_depth.is_power_of_two() && r.random_ratio(2, 3);
    let set = [
        ("tiles", pick(r, &[1, 2, 4])),
        ("lanes", lanes),
        ("word", pick(r, &[8, 16])),
        ("act_depth", act_depth),
        ("weight_depth", pick(r, &[16, 48, 128, 1024])),
        ("bias_depth", pick(r, &[4 * lanes, 4 * lanes + 3, 96])),
        ("out_depth", pick(r, &depths)),
        ("weight_ports", pick(r, &[1, 2, 3, 4]).min(lanes)),
        ("load_ports", pick(r, &[1, 2])),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()));
    let paired = ("paired".into(), paired.to_string());
    Board::load("ultra96", &[&set[..], &[paired]].concat()).expect("all within range")
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
                // A store that local loads have not taken keeps those behind it waiting.
                let room = match &c.body {
                    Body::Load(l) => l.local == 0 || !b.local.is_empty(),
                    Body::Store(_) => b.local.is_empty(),
                    _ => true,
                };
                let has = |f: &Queue| tokens[*f as usize][*q as usize] > 0;
                room && Queue::ALL.iter().all(|f| c.wait & f.bit() == 0 || has(f))
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
            Body::Store(s) if c.kind == store_kind::STORE => exec::store(s, &mut b, window),
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

/// Compiles and runs every stream on the first of `images`; compares every layer's result that lasts, and its saturation
/// count, with the reference model.
fn check(graph: &Graph, board: &Board, options: &Options, images: &[Inputs]) -> Checked {
    let program = match compile(graph, board, options) {
        Ok(p) => p,
        Err(e @ (CompileError::Capacity { .. } | CompileError::Accumulator { .. })) => {
            return Err(format!("refused: {e}"));
        }
        // Orders of elements that no addresses express; results so much finer than their argument that no table holds them.
        Err(e @ CompileError::Unsupported { .. })
            if ["neither of channels", "too steep for a table"]
                .iter()
                .any(|why| e.to_string().contains(why)) =>
        {
            return Err(format!("refused: {e}"));
        }
        Err(e) => return Err(format!("compile: {e}")),
    };
    for stream in &program.meta.streams {
        check_stream(graph, &program, stream, &images[..stream.images])?;
    }
    Ok(program.meta.batch())
}

fn check_stream(
    graph: &Graph,
    program: &CompiledProgram,
    stream: &Stream,
    images: &[Inputs],
) -> Result<(), String> {
    let (meta, image) = (&program.meta, &program.image.bytes());
    let a = meta.accelerator();
    let commands = commands(stream, image);
    let expected: Vec<Run> = images
        .iter()
        .map(|i| {
            let inputs: Vec<&[i16]> = i.iter().map(|i| &i[..]).collect();
            cnna_net::run::run(graph, &inputs).map_err(|e| e.to_string())
        })
        .collect::<Result<_, _>>()?;
    // What nobody writes must not matter.
    let mut window = engines::window(meta, image, images, 0x5a);
    run_in_order(&commands, a, &mut window).map_err(|e| e.to_string())?;
    engines::compare(graph, meta, &window, &expected)?;
    for order in ORDERS {
        let mut apart = engines::window(meta, image, images, 0xa5);
        run_apart(&commands, a, order, &mut apart)?;
        engines::compare(graph, meta, &apart, &expected)
            .map_err(|e| format!("tokens permit a wrong order: {order:?}: {e}"))?;
    }
    let mut saturated = 0;
    for info in &meta.layers {
        let of_layer = expected.iter().flat_map(|e| {
            let result = |&n: &usize| e.tensors[graph.nodes[n].output].saturated;
            info.nodes.iter().map(result)
        });
        let count: u64 = of_layer.sum();
        let counter = saturation_counter(&window, info.record);
        if counter - saturated != count {
            return Err(format!(
                "{} ({}): {} saturated instead of {count}",
                info.name,
                info.mode,
                counter - saturated
            ));
        }
        saturated = counter;
    }
    Ok(())
}

/// A random graph for words of one width, from a seed.
type Draw = fn(u64, Word) -> Graph;

fn case(seed: u64, draw: Draw) -> Checked {
    let mut r = StdRng::seed_from_u64(seed);
    let board = random_board(&mut r);
    let graph = draw(seed, board.accelerator.word);
    let most = board.accelerator.vector_images();
    let images: Vec<Inputs> = (0..most).map(|_| random::inputs(&mut r, &graph)).collect();
    let options = Options {
        winograd: r.random_ratio(3, 4),
        paired: pick(&mut r, &[Use::Cheaper, Use::Always]),
        turns: pick(&mut r, &[Use::Never, Use::Always]),
        local: pick(&mut r, &[Use::Never, Use::Always, Use::Always]),
        uneven: r.random(),
        fuse: r.random_ratio(3, 4),
        batch: pick(&mut r, &[2, 3, 4]),
        keep: r.random_ratio(1, 2),
        plan_bytes: None,
        host: false,
    };
    check(&graph, &board, &options, &images).map_err(|e| {
        format!(
            "seed {seed}: {e}\n  {:?}\n  {options:?}\n{graph}",
            board.accelerator
        )
    })
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|v| v.parse().expect("a number"))
}

/// Runs `cases` seeds; returns how many of them ran several images at once.
fn all_equal(cases: u64, network: Draw) -> u64 {
    if let Some(seed) = env("CNNA_SEED") {
        return case(seed, network).unwrap_or_else(|e| panic!("{e}")) as u64;
    }
    let (cases, from) = (
        env("CNNA_CASES").unwrap_or(cases),
        env("CNNA_FROM").unwrap_or(1),
    );
    let (mut refused, mut orders, mut batches, mut wrong) = (0, 0, 0, Vec::new());
    for seed in from..from + cases {
        match case(seed, network) {
            Err(e) if e.contains("neither of channels") => orders += 1,
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
    println!(
        "{cases} cases, {refused} refused for their buffers, {orders} for an order of elements, {batches} with several images"
    );
    assert!(refused * 4 <= cases, "{refused} of {cases} refused");
    assert!(orders * 4 <= cases, "{orders} of {cases} refused");
    batches
}

/// What the machine runs of the operators list: no products of two tensors, no constants.
fn accept(op: &Op, _shapes: &[Shape]) -> bool {
    !matches!(op, Op::Mul(_) | Op::Constant(_))
}

fn any_graph(seed: u64, word: Word) -> Graph {
    let limits = random::Limits {
        accept,
        ..random::Limits::default()
    };
    random::graph(seed, word, &limits)
}

#[test]
fn random_graphs_equal_the_reference_in_every_layer() {
    all_equal(400, any_graph);
}

#[test]
fn what_stays_on_chip_equals_the_reference() {
    all_equal(300, chained_graph);
}

#[test]
fn what_fully_connected_layers_gate_equals_the_reference() {
    all_equal(300, gated_graph);
}

fn vector_graph(seed: u64, word: Word) -> Graph {
    let limits = random::Limits {
        accept,
        ..random::Limits::default()
    };
    random::vector_graph(seed, word, &limits)
}

#[test]
fn fully_connected_layers_equal_the_reference_for_every_image_of_a_batch() {
    let batches = all_equal(200, vector_graph);
    assert!(batches > 0, "no case ran several images");
}

/// Each operator by itself, so that none hides behind the others.
#[test]
fn every_operator_equals_the_reference() {
    for (index, (name, _)) in OPERATORS.iter().enumerate() {
        let mut compared = 0;
        for seed in 1..=env("CNNA_CASES").unwrap_or(40) {
            let mut r = StdRng::seed_from_u64(seed);
            let board = random_board(&mut r);
            let limits = random::Limits {
                accept,
                ..random::Limits::default()
            };
            let Some(graph) = random::single(seed, index, board.accelerator.word, &limits) else {
                continue;
            };
            let most = board.accelerator.vector_images();
            let images: Vec<Inputs> = (0..most).map(|_| random::inputs(&mut r, &graph)).collect();
            let options = Options {
                host: false,
                ..Options::default()
            };
            match check(&graph, &board, &options, &images) {
                Ok(_) => compared += 1,
                Err(e) if e.contains("refused") => {}
                Err(e) => panic!("{name}, seed {seed}: {e}\n{:?}\n{graph}", board.accelerator),
            }
        }
        println!("{name}: {compared} compared");
        // All of the list but those of the host, and those that this machine has no unit for.
        let alone = ["Mul", "Constant", "Bilinear", "Softmax", "ArgMax", "Lrn"];
        assert!(
            compared > 0 || alone.contains(name),
            "{name}: none compared"
        );
    }
}

/// One output is one row whichever way it lies; what it reads is not.
#[test]
fn a_fully_connected_layer_of_one_output_reads_the_row_before_it() {
    let board = Board::load("ultra96", &[]).expect("built in");
    let mut r = StdRng::seed_from_u64(1);
    let input = Shape { c: 5, h: 3, w: 3 };
    let graph = random::fully_connected(&mut r, input, &[14, 1, 34, 1], Word::W16);
    let images: Vec<Inputs> = (0..4).map(|_| random::inputs(&mut r, &graph)).collect();
    check(&graph, &board, &Options::default(), &images).unwrap_or_else(|e| panic!("{e}"));
}

/// Such a layer's taps lie in one plane of the rows and of the columns: the buffer here holds one plane of its rows, not four.
#[test]
fn a_pointwise_convolution_with_a_stride_keeps_one_plane() {
    let mut r = StdRng::seed_from_u64(1);
    for paired in [false, true] {
        // Of each channel and four rows a plane takes one line of eight words.
        let lines = if paired { 128 } else { 80 };
        let set = [
            ("act_depth", lines.to_string()),
            ("paired", paired.to_string()),
        ];
        let set = set.map(|(k, v)| (k.to_string(), v));
        let board = Board::load("ultra96", &set).expect("all within range");
        let of_one_pixel = Shape { c: 64, h: 1, w: 1 };
        let one = random::fully_connected(&mut r, of_one_pixel, &[16], Word::W16);
        let Op::Conv(mut conv) = one.nodes[0].op.clone() else {
            unreachable!("a fully connected layer is a convolution");
        };
        conv.window.stride = [2, 2];
        let mut graph = Graph::new("strided", Word::W16);
        let from = graph.input(
            "x",
            Shape {
                c: 64,
                h: 15,
                w: 16,
            },
            Some(8),
        );
        let to = graph.push(
            "pointwise",
            conv,
            &[from],
            one.tensors[one.nodes[0].output].frac,
        );
        graph.output(to.expect("it fits the map"));
        let images: Vec<Inputs> = (0..2).map(|_| random::inputs(&mut r, &graph)).collect();
        check(&graph, &board, &Options::default(), &images).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// A block whose first results are both read on chip and added at its end: what is added must have come to memory by then.
#[test]
fn what_a_chain_adds_at_its_end_has_come_to_memory() {
    let mut compared = 0;
    for seed in 1..=60 {
        let mut r = StdRng::seed_from_u64(seed);
        let board = random_board(&mut r);
        let word = board.accelerator.word;
        let graph =
            cnna_net::zoo::network("zoo:mobilenet-v2@64/8", seed, word).expect("in the zoo");
        let options = Options {
            turns: Use::Always,
            local: Use::Always,
            uneven: r.random(),
            ..Options::default()
        };
        let images = [random::inputs(&mut r, &graph)];
        match check(
            &graph,
            &board,
            &Options {
                batch: 1,
                ..options
            },
            &images,
        ) {
            Ok(_) => compared += 1,
            Err(e) if e.contains("refused") => {}
            Err(e) => panic!("seed {seed}: {e}\n{:?}", board.accelerator),
        }
    }
    assert!(compared > 10, "{compared} compared");
}
