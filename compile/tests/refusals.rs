//! What the scheduler refuses, and how it says so; and the programs it makes.

use cnna_compile::{CompileError, CompiledProgram, Options, compile, zoo};
use cnna_machine::Board;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, Queue, TOKEN_PATHS, store_kind};
use cnna_machine::layer::{Network, Op};
use cnna_machine::num::Word;
use cnna_machine::program::Stream;
use std::collections::BTreeMap;

fn board(set: &[(&str, &str)]) -> Board {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Board::load("ultra96", &set).expect("within range")
}

fn small() -> Network {
    zoo::network("zoo:conv3x3@8x8x4-4", 1, Word::W16).expect("in the zoo")
}

fn commands(program: &CompiledProgram, stream: &Stream) -> Vec<Command> {
    program.image.bytes()[stream.commands_offset..]
        .chunks_exact(COMMAND_BYTES)
        .take(stream.commands)
        .map(Command::from_bytes)
        .collect()
}

fn refusal(net: &Network, set: &[(&str, &str)]) -> CompileError {
    compile(net, &board(set), &Options::default()).expect_err("must be refused")
}

#[test]
fn a_sum_that_could_reach_2_to_47_is_refused_by_layer_and_channel() {
    let mut net = small();
    let Op::Conv(c) = &mut net.layers[0].op else {
        unreachable!("a convolution")
    };
    c.bias[2] = (1 << 47) - 1;
    let e = refusal(&net, &[]);
    assert!(
        matches!(
            &e,
            CompileError::Accumulator {
                channel: 2,
                input_bits: 15,
                ..
            }
        ),
        "{e}"
    );
    assert!(e.to_string().contains("output channel 2"), "{e}");
}

#[test]
fn the_largest_sum_below_2_to_47_is_accepted() {
    let mut net = small();
    let Op::Conv(c) = &mut net.layers[0].op else {
        unreachable!("a convolution")
    };
    let weights: i64 = c.weights[..36].iter().map(|w| i64::from(*w).abs()).sum();
    c.bias[0] = (1 << 47) - 1 - (weights << 15);
    compile(&net, &board(&[]), &Options::default()).expect("just fits");
    let Op::Conv(c) = &mut net.layers[0].op else {
        unreachable!("a convolution")
    };
    c.bias[0] += 1;
    assert!(matches!(
        refusal(&net, &[]),
        CompileError::Accumulator { channel: 0, .. }
    ));
}

#[test]
fn another_word_width_is_refused_with_the_setting_that_mends_it() {
    let e = refusal(&small(), &[("word", "8")]);
    assert!(e.to_string().contains("--set word=16"), "{e}");
}

#[test]
fn a_kernel_beyond_the_weight_buffer_names_the_key_to_raise_and_fits_once_raised() {
    let net = zoo::network("zoo:conv9x9@12x12x2-3", 1, Word::W16).expect("in the zoo");
    let e = refusal(&net, &[("weight_depth", "10")]);
    let CompileError::Capacity { key, need, .. } = e else {
        panic!("{e}")
    };
    assert_eq!((key, need), ("weight_depth", 11));
    compile(&net, &board(&[("weight_depth", "11")]), &Options::default()).expect("fits");
}

#[test]
fn layers_that_contradict_each_other_are_refused_by_name() {
    let mut net = small();
    net.layers[0].output.w += 1;
    let e = refusal(&net, &[]);
    assert!(
        matches!(&e, CompileError::Network { layer, .. } if *layer == net.layers[0].name),
        "{e}"
    );
    let mut net = small();
    net.layers.clear();
    assert!(matches!(refusal(&net, &[]), CompileError::Network { .. }));
    let mut net = small();
    if let Op::Conv(c) = &mut net.layers[0].op {
        c.shift = 48;
    }
    assert!(refusal(&net, &[]).to_string().contains("shift 48"));
}

#[test]
fn tokens_use_only_paths_that_exist_and_the_stream_ends_once() {
    let net = zoo::network("zoo:lenet", 1, Word::W16).expect("in the zoo");
    let program = compile(&net, &board(&[]), &Options::default()).expect("fits");
    assert_eq!(program.meta.streams.len(), 2);
    for stream in &program.meta.streams {
        let commands = commands(&program, stream);
        for c in &commands {
            for q in Queue::ALL {
                let path = |from, to| TOKEN_PATHS.contains(&(from, to));
                assert!(c.wait & q.bit() == 0 || path(q, c.queue()), "{c:?}");
                assert!(c.signal & q.bit() == 0 || path(c.queue(), q), "{c:?}");
            }
        }
        let end = |c: &Command| matches!(c.body, Body::Store(_)) && c.kind == store_kind::END;
        assert_eq!(commands.iter().filter(|c| end(c)).count(), 1);
        assert!(end(commands.last().expect("not empty")));
    }
}

#[test]
fn pooling_rides_on_a_convolution_only_when_asked_to() {
    let net = zoo::network("zoo:vgg16@32", 1, Word::W16).expect("in the zoo");
    let layers = |fuse: bool| {
        let options = Options {
            fuse,
            ..Options::default()
        };
        let p = compile(&net, &board(&[]), &options).expect("fits");
        p.meta.layers.len()
    };
    assert_eq!(layers(false), net.layers.len());
    assert!(layers(true) < net.layers.len());
}

/// How often each block of weights is read, by layer and address.
fn weight_reads(program: &CompiledProgram, stream: &Stream) -> BTreeMap<(u16, i32), usize> {
    let mut reads = BTreeMap::new();
    for c in commands(program, stream) {
        if let Body::Weight(w) = c.body {
            *reads.entry((c.tag, w.ddr)).or_default() += 1;
        }
    }
    reads
}

#[test]
fn a_batch_reads_the_same_weights_and_those_of_fully_connected_layers_only_once() {
    let net = zoo::network("zoo:vgg16@56", 1, Word::W16).expect("in the zoo");
    for (name, images) in [("ultra96", 4), ("pynq-z2", 2)] {
        let board = Board::load(name, &[]).expect("built in");
        let program = compile(&net, &board, &Options::default()).expect("fits");
        let [alone, batch] = &*program.meta.streams else {
            panic!("{:?}", program.meta.streams)
        };
        assert_eq!((alone.images, batch.images), (1, images));
        let [alone, batch] = [alone, batch].map(|s| weight_reads(&program, s));
        assert_eq!(
            alone.keys().collect::<Vec<_>>(),
            batch.keys().collect::<Vec<_>>()
        );
        for (key, n) in &batch {
            let mode = &program.meta.layers[key.0 as usize].mode;
            let most = if mode == "vector" {
                alone[key]
            } else {
                images * alone[key]
            };
            assert!(
                *n <= most,
                "{mode} {key:?}: {n} times, alone {}",
                alone[key]
            );
        }
        // The first layer's stay in the buffer from the first image to the last.
        assert!(
            batch
                .iter()
                .filter(|(key, _)| key.0 == 0)
                .all(|(_, n)| *n == 1)
        );
    }
}

#[test]
fn a_batch_is_as_large_as_machine_user_and_memory_let_it_be() {
    let batch = |name: &str, batch: usize, set: &[(&str, &str)]| {
        let net = zoo::network(name, 1, Word::W16).expect("in the zoo");
        let options = Options {
            batch,
            ..Options::default()
        };
        let p = compile(&net, &board(set), &options).expect("fits");
        (p.meta.batch(), p.batch_wanted, p.meta.window_bytes)
    };
    let all = usize::MAX;
    let (four, wanted, bytes) = batch("zoo:lenet", all, &[]);
    assert_eq!((four, wanted), (4, 4));
    assert_eq!(batch("zoo:lenet", all, &[("tiles", "1")]).0, 2);
    assert_eq!(
        batch("zoo:lenet", all, &[("tiles", "4"), ("lanes", "5")]).0,
        4
    );
    for n in [0, 1, 2, 3] {
        assert_eq!(batch("zoo:lenet", n, &[]).0, n.max(1));
    }
    assert_eq!(
        batch("zoo:conv3x3@8x8x4-4", all, &[]).0,
        1,
        "nothing to share"
    );
    let reserved = |bytes: usize| {
        batch(
            "zoo:lenet",
            all,
            &[("platform.dma_bytes", &bytes.to_string())],
        )
    };
    assert_eq!(reserved(bytes).0, 4);
    let (three, wanted, smaller) = reserved(bytes - 1);
    assert_eq!((three, wanted), (3, 4));
    assert!(smaller < bytes);
    assert_eq!(reserved(4096).0, 1);
}
