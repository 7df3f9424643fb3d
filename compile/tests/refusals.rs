//! What the scheduler refuses, and how it says so; and the programs it makes.

use cnna_compile::{CompileError, Options, compile, zoo};
use cnna_spec::Board;
use cnna_spec::isa::{Body, COMMAND_BYTES, Command, Queue, TOKEN_PATHS, store_kind};
use cnna_spec::layer::{Network, Op};
use cnna_spec::num::Word;

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
    let commands: Vec<Command> = program
        .image
        .chunks_exact(COMMAND_BYTES)
        .take(program.meta.commands)
        .map(|c| {
            Command::decode(&std::array::from_fn(|i| {
                u32::from_le_bytes(c[4 * i..4 * i + 4].try_into().expect("four bytes"))
            }))
        })
        .collect();
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
