//! From some formats to integers: fusing, spreading, constants; each refusal says what to do.

use cnna_machine::num::Word;
use cnna_net::op::*;
use cnna_net::settle::{
    check_quantised, fuse, maxima_before_concatenations, quantise_constants, settle, spread_formats,
};
use cnna_net::{Activation, Graph, GraphError, Shape, Values, Window};
use rand::SeedableRng;
use rand::rngs::StdRng;

const INPUT: Shape = Shape { c: 2, h: 4, w: 4 };

fn conv(bias: f32) -> Conv {
    Conv {
        finer: Vec::new(),
        oc: 2,
        groups: 1,
        window: Window::plain(1, 1),
        weights: Values::Reals(vec![0.5, -0.25, 1.0, 0.125]),
        bias: Values::Reals(vec![bias; 2]),
        activation: Activation::None,
    }
}

fn activate(function: Activation) -> Activate {
    Activate { function }
}

#[test]
fn a_clip_moves_before_a_maximum_and_clips_become_one() {
    let mut g = Graph::new("clips", Word::W16);
    let x = g.input("x", INPUT, Some(10));
    let a = g.push("conv", conv(0.5), &[x], None).unwrap();
    let b = g
        .push(
            "most",
            MaxPool {
                window: Window::plain(2, 2),
            },
            &[a],
            None,
        )
        .unwrap();
    let c = g
        .push("relu", activate(Activation::Relu), &[b], None)
        .unwrap();
    let d = g
        .push(
            "clip",
            activate(Activation::Clip { lo: -1.0, hi: 6.0 }),
            &[c],
            Some(10),
        )
        .unwrap();
    g.output(d);
    settle(&mut g).unwrap();
    let [Op::Conv(c), Op::MaxPool(_)] = &g.nodes.iter().map(|n| &n.op).collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", g.nodes);
    };
    assert_eq!(c.activation, Activation::Clip { lo: 0.0, hi: 6.0 });
    assert!(g.tensors.iter().all(|t| t.frac == Some(10)));
    assert!(c.weights.words().is_some() && c.bias.sums().is_some());
}

#[test]
fn what_others_see_is_not_fused() {
    let mut g = Graph::new("seen", Word::W16);
    let x = g.input("x", INPUT, Some(10));
    let a = g.push("conv", conv(0.5), &[x], Some(10)).unwrap();
    let b = g
        .push("relu", activate(Activation::Relu), &[a], Some(12))
        .unwrap();
    g.output(b);
    let before = g.clone();
    fuse(&mut g);
    assert_eq!(g, before, "the formats differ");
    g.output(a);
    g.tensors[b].frac = Some(10);
    let before = g.clone();
    fuse(&mut g);
    assert_eq!(g, before, "the tensor between is an output");
}

#[test]
fn members_that_meet_are_rescaled_once() {
    let mut g = Graph::new("meet", Word::W16);
    let x = g.input("x", INPUT, Some(10));
    let y = g.input("y", INPUT, None);
    let a = g
        .push("join", Concat { axis: 0 }, &[x, y, x], Some(8))
        .unwrap();
    g.output(a);
    spread_formats(&mut g);
    let names: Vec<&str> = g.nodes.iter().map(|n| n.op.name()).collect();
    assert_eq!(names, ["Activate", "Concat"]);
    assert_eq!(g.tensors[y].frac, Some(8));
    assert_eq!(g.nodes[1].inputs[0], g.nodes[1].inputs[2]);
    g.check().unwrap();
}

#[test]
fn numbers_that_do_not_fit_and_formats_that_are_missing_are_named() {
    let graph = |bias: f32, output: Option<i32>| {
        let mut g = Graph::new("bad", Word::W16);
        let x = g.input("x", INPUT, Some(12));
        let y = g.push("conv", conv(bias), &[x], output).unwrap();
        g.output(y);
        g
    };
    let e = quantise_constants(&mut graph(1e9, Some(12)))
        .unwrap_err()
        .to_string();
    assert!(
        e.contains("`conv`") && e.contains("does not fit 48 bits"),
        "{e}"
    );
    let e = quantise_constants(&mut graph(0.0, Some(60)))
        .unwrap_err()
        .to_string();
    assert!(e.contains("shifted by") && e.contains("nearer"), "{e}");
    let e = quantise_constants(&mut graph(f32::NAN, Some(12)));
    assert!(e.is_err());
    let e = check_quantised(&graph(0.0, None)).unwrap_err();
    assert!(
        matches!(&e, GraphError::Formats(all) if all.len() == 1),
        "{e}"
    );
}

#[test]
fn a_chain_of_twenty_thousand_is_walked_in_time() {
    let mut g = Graph::new("long", Word::W16);
    let mut t = g.input("x", INPUT, Some(10));
    for i in 0..20_000 {
        t = g
            .push(&format!("a{i}"), activate(Activation::Relu), &[t], None)
            .unwrap();
    }
    g.output(t);
    cnna_net::simplify::simplify(&mut g);
    settle(&mut g).unwrap();
    assert!(g.tensors.iter().all(|t| t.frac == Some(10)));
}

#[test]
fn a_channel_with_finer_weights_is_shifted_by_as_many_bits_more() {
    let mut c = conv(0.75);
    // The same reals in both channels, the second four bits finer.
    c.weights = Values::Words(vec![3, -5, 3 << 4, (-5) << 4], 3);
    c.finer = vec![0, 4];
    let mut g = Graph::new("finer", Word::W16);
    let x = g.input("x", INPUT, Some(10));
    let y = g.push("conv", c, &[x], Some(9)).unwrap();
    g.output(y);
    settle(&mut g).unwrap();
    let Op::Conv(c) = &g.nodes[0].op else {
        panic!("{g}");
    };
    let one = (0.75 * f64::from(1 << 13)) as i64;
    assert_eq!(c.bias.sums(), Some(&[one, one << 4][..]));
    let words: Vec<i16> = (0..32).map(|i| (i * 997 % 4001) as i16 - 2000).collect();
    let done = cnna_net::run::run(&g, &[&words]).unwrap();
    let values = &done.tensors[y].values;
    assert_eq!(values[..16], values[16..]);
    // acc = 3 x0 - 5 x1 + bias at 13 bits, to 9 bits: half up.
    let exact = |i: usize| (3 * i64::from(words[i]) - 5 * i64::from(words[16 + i]) + one + 8) >> 4;
    assert!(
        (0..16).all(|i| i64::from(values[i]) == exact(i)),
        "{values:?}"
    );
    // A scale for each channel, none beyond the machine's.
    for (finer, reason) in [(vec![1], "1 scales for 2"), (vec![0, 32], "at most 31")] {
        let mut c = conv(0.0);
        c.finer = finer;
        let e = g.push("wrong", c, &[x], None).unwrap_err().to_string();
        assert!(e.contains(reason), "{e}");
    }
}

#[test]
fn maxima_of_the_members_of_a_concatenation_are_those_of_the_whole() {
    for (name, maxima) in [("zoo:yolov4-tiny@64/8", 3), ("zoo:squeezenet1.1@64/4", 2)] {
        let before = cnna_net::zoo::network(name, 1, Word::W16).expect("in the zoo");
        let mut after = before.clone();
        maxima_before_concatenations(&mut after);
        after.check().expect("still a network");
        assert_eq!(after.nodes.len(), before.nodes.len() + maxima, "{name}");
        // Each right behind what makes its member.
        for (i, n) in after.nodes.iter().enumerate() {
            if let (true, Some(at)) = (n.name.ends_with("/0"), i.checked_sub(1)) {
                assert_eq!(after.nodes[at].output, n.inputs[0], "{name}: {}", n.name);
            }
        }
        let mut r = StdRng::seed_from_u64(1);
        let images = cnna_net::random::inputs(&mut r, &before);
        let images: Vec<&[i16]> = images.iter().map(Vec::as_slice).collect();
        let outputs = |g: &Graph| -> Vec<Vec<i16>> {
            let run = cnna_net::run::run(g, &images).expect("it runs");
            g.outputs
                .iter()
                .map(|o| run.tensors[o.tensor].values.clone())
                .collect()
        };
        assert_eq!(outputs(&before), outputs(&after), "{name}");
    }
}
