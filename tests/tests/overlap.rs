//! What the machine does at the same time: streams, and how long they take.

use cnna_compile::{CompiledProgram, Options, Use, compile};
use cnna_machine::Board;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, Queue, mode, store_kind};
use cnna_machine::num::Word;
use cnna_net::op::{Conv, MaxPool};
use cnna_net::{Activation, Graph, Padding, Shape, Values, Window, random};
use cnna_sim::Machine;
use cnna_tests::engines::{self, Inputs};
use cnna_tests::rtl::{LIMIT, board, folded_graph, stream_case};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn ultra96() -> Board {
    Board::load("ultra96", &[]).expect("shipped")
}

fn conv(r: &mut StdRng, inputs: usize, oc: usize, side: usize) -> Conv {
    let border = side / 2;
    Conv {
        oc,
        finer: Vec::new(),
        groups: 1,
        activation: Activation::None,
        window: Window {
            pad: Padding {
                top: border,
                left: border,
                bottom: border,
                right: border,
            },
            ..Window::plain(side, side)
        },
        weights: Values::Words(random::words(r, oc * inputs * side * side, Word::W16), 14),
        bias: Values::Sums(vec![0; oc]),
    }
}

fn commands(program: &CompiledProgram) -> Vec<Command> {
    let bytes = program.image.bytes();
    let stream = program.meta.stream(1).expect("of one image");
    let commands = bytes[stream.commands_offset..].chunks_exact(COMMAND_BYTES);
    let commands = commands.take(stream.commands);
    commands.map(Command::from_bytes).collect()
}

#[test]
fn the_first_rows_of_a_layer_load_before_the_one_in_front_has_ended() {
    let r = &mut StdRng::seed_from_u64(1);
    let mut g = Graph::new("two", Word::W16);
    let shape = Shape {
        c: 16,
        h: 32,
        w: 32,
    };
    let x = g.input("x", shape, Some(8));
    let a = g
        .push("a", conv(r, 16, 16, 3), &[x], Some(8))
        .expect("fits");
    let b = g
        .push("b", conv(r, 16, 16, 3), &[a], Some(8))
        .expect("fits");
    g.output(b);
    let program = compile(&g, &ultra96(), &Options::default()).expect("fits");
    let all = commands(&program);
    let at = |what: &dyn Fn(&Command) -> bool| all.iter().position(what).expect("is there");
    let load = at(&|c| c.queue() == Queue::Load && c.tag == 1);
    let mark = at(&|c| c.queue() == Queue::Store && c.kind == store_kind::MARK);
    assert!(
        load < mark,
        "its first load is command {load}, the mark {mark}"
    );
    // One command brings a tile row, of two rows in WINOGRAD mode, to memory.
    let stores = all
        .iter()
        .filter(|c| c.queue() == Queue::Store && c.kind == store_kind::STORE);
    assert!(stores.clone().count() > 0);
    assert!(
        stores
            .clone()
            .all(|c| matches!(c.body, Body::Store(s) if s.rows >= 2))
    );
}

#[test]
fn maps_of_14_rows_take_7_passes_for_1x1() {
    let r = &mut StdRng::seed_from_u64(1);
    let mut g = Graph::new("fold", Word::W16);
    let shape = Shape {
        c: 256,
        h: 14,
        w: 14,
    };
    let x = g.input("x", shape, Some(8));
    let y = g
        .push("y", conv(r, 256, 110, 1), &[x], Some(8))
        .expect("fits");
    g.output(y);
    let options = Options {
        paired: Use::Never,
        turns: Use::Never,
        ..Options::default()
    };
    let program = compile(&g, &ultra96(), &options).expect("fits");
    let passes = commands(&program)
        .iter()
        .fold([0; 2], |[n, folded], c| match c.body {
            Body::Compute(c) => {
                assert_eq!(c.mode, mode::DIRECT);
                [n + c.tiles, folded + i32::from(c.short_row > 0)]
            }
            _ => [n, folded],
        });
    assert_eq!(
        passes,
        [10 * 7, 10],
        "passes of ten groups, and folded ones"
    );
}

#[test]
fn columns_go_to_two_planes_at_a_beat_a_cycle() {
    let mut g = Graph::new("pool", Word::W16);
    let shape = Shape {
        c: 64,
        h: 64,
        w: 64,
    };
    let x = g.input("x", shape, Some(8));
    let window = Window {
        stride: [2, 2],
        ..Window::plain(2, 2)
    };
    let y = g
        .push("y", MaxPool { window }, &[x], Some(8))
        .expect("fits");
    g.output(y);
    let board = ultra96();
    let program = compile(&g, &board, &Options::default()).expect("fits");
    let images: Vec<Inputs> = vec![random::inputs(&mut StdRng::seed_from_u64(1), &g)];
    let (meta, image) = (&program.meta, &program.image.bytes());
    let mut window = engines::window(meta, image, &images, 0x5a);
    let mut machine = Machine::new(&board);
    let outcome = engines::run_in(&mut machine, meta, &mut window, 1, LIMIT).expect("runs");
    let beats = shape.len() as u64 / 8;
    let cycles = outcome.counters.cycles;
    assert!(cycles < beats * 6 / 5, "{cycles} cycles for {beats} beats");
}

#[test]
fn folded_maps_equal_the_reference_on_machines_of_one_two_and_four_tiles() {
    let no_rtl = |_: &Board| Err("the simulator alone".into());
    for (tiles, lanes, word) in [(1, 13, 16), (2, 11, 16), (1, 2, 8), (4, 5, 16)] {
        let board = board(tiles, lanes, word, 2, 256, false);
        let mut folded = 0;
        for seed in 1..=12 {
            let graph = folded_graph(seed, board.accelerator.word);
            let program = compile(&graph, &board, &Options::default()).expect("fits");
            let is_folded = |c: &Command| matches!(c.body, Body::Compute(c) if c.short_row > 0);
            folded += commands(&program).iter().filter(|c| is_folded(c)).count();
            let r = &mut StdRng::seed_from_u64(seed);
            let images: Vec<Inputs> = vec![random::inputs(r, &graph)];
            stream_case(&board, &graph, &program, &images, 0, &no_rtl)
                .unwrap_or_else(|e| panic!("seed {seed}, {tiles} tiles: {e}"));
        }
        assert!(folded > 0, "no map was folded with {tiles} tiles");
    }
}
