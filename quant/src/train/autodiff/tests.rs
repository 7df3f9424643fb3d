//! Every operator's gradients against differences, and random quantised graphs against the reference run.

use super::{Network, cross_entropy};
use crate::ptq::unquantised;
use crate::train::net::Norm;
use crate::{Arch, BLOCKS, with_block};
use cnna_machine::num::{Word, dequantise};
use cnna_net::op::{Conv, OPERATORS};
use cnna_net::random::{Limits, graph, inputs, single};
use cnna_net::{Activation, Graph, Op, Padding, Shape, TensorId, Values, Window};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Images of a batch: more than the parts it is cut into, and no multiple.
const N: usize = 11;
const WORST: f64 = 1e-3;

fn batch(r: &mut StdRng, s: Shape, n: usize) -> Vec<f64> {
    (0..n * s.len())
        .map(|_| r.random_range(-1.5..1.5))
        .collect()
}

/// A weighted sum of the outputs after a forward pass.
fn value(
    network: &mut Network<f64>,
    n: usize,
    x: &[Vec<f64>],
    weights: &[(TensorId, Vec<f64>)],
) -> f64 {
    let x: Vec<&[f64]> = x.iter().map(|v| &v[..]).collect();
    network.forward(n, &x);
    // The maximum of no values is the least finite number, beside which nothing else counts.
    let real = |v: f64| if v.abs() < 1e30 { v } else { 0.0 };
    let dot = |(t, w): &(TensorId, Vec<f64>)| {
        let values = network.value(*t).iter().zip(w);
        values.map(|(v, w)| real(*v) * w).sum::<f64>()
    };
    weights.iter().map(dot).sum()
}

/// The worst error of some gradients against differences, relative to the largest of its kind; how many were not zero.
fn check(g: &Graph, norms: &[Option<Norm>], r: &mut StdRng, n: usize, what: &str) -> usize {
    let mut network =
        Network::<f64>::new(g, norms).unwrap_or_else(|e| panic!("{what}: {}", e.reason));
    let mut x: Vec<Vec<f64>> = g
        .inputs
        .iter()
        .map(|p| batch(r, g.tensors[p.tensor].shape, n))
        .collect();
    let weights: Vec<_> = g
        .outputs
        .iter()
        .map(|p| (p.tensor, batch(r, g.tensors[p.tensor].shape, n)))
        .collect();
    value(&mut network, n, &x, &weights);
    let seeds: Vec<(TensorId, &[f64])> = weights.iter().map(|(t, w)| (*t, &w[..])).collect();
    let constants = network.backward(&seeds, true);
    let of_inputs: Vec<Vec<f64>> = g
        .inputs
        .iter()
        .map(|p| network.gradient(p.tensor).to_vec())
        .collect();
    const STEP: f64 = 1e-5;
    let mut nonzero = 0;
    let mut compare =
        |analytic: f64, most: f64, mut at: Box<dyn FnMut(f64) -> f64 + '_>, place: &str| {
            let (above, here, below) = (at(STEP), at(0.0), at(-STEP));
            let numeric = (above - below) / (2.0 * STEP);
            // A corner between the two has no derivative: its sides differ.
            let sides = [(above - here) / STEP, (here - below) / STEP];
            let size = most.max(numeric.abs()).max(1e-3);
            if (sides[0] - sides[1]).abs() > WORST * size {
                return;
            }
            let off = (numeric - analytic).abs() / size;
            assert!(
                off < WORST,
                "{what}, {place}: {analytic}, by differences {numeric}"
            );
            nonzero += usize::from(analytic != 0.0);
        };
    let largest = |v: &[f64]| v.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (k, gradient) in of_inputs.iter().enumerate() {
        for _ in 0..6 {
            let e = r.random_range(0..gradient.len());
            let (network, x, weights) = (&mut network, &mut x, &weights);
            let at = |by: f64| {
                x[k][e] += by;
                let v = value(network, n, x, weights);
                x[k][e] -= by;
                v
            };
            compare(
                gradient[e],
                largest(gradient),
                Box::new(at),
                &format!("input {k} at {e}"),
            );
        }
    }
    for (i, node) in constants.iter().enumerate() {
        for (c, gradient) in node.iter().enumerate() {
            for _ in 0..6 {
                let e = r.random_range(0..gradient.len());
                let (network, x, weights) = (&mut network, &x, &weights);
                let at = |by: f64| {
                    let (mut moved, mut norms) = (g.clone(), norms.to_vec());
                    let mut all = moved.nodes[i].op.constants_mut();
                    // Constants are f32: what was really added counts.
                    let v = match all.get_mut(c) {
                        Some(Values::Reals(v)) => &mut v[e],
                        _ => &mut norms[i].as_mut().expect("a scale comes last").scale[e],
                    };
                    let before = *v;
                    *v = (f64::from(before) + by * 256.0) as f32;
                    let really = f64::from(*v) - f64::from(before);
                    network.load(&moved, &norms);
                    let y = value(network, n, x, weights);
                    // Linear in between, or refused as a corner.
                    if really == 0.0 {
                        (y, 0.0)
                    } else {
                        (y, really / by)
                    }
                };
                let mut at = at;
                let here = at(0.0).0;
                let scaled = move |by: f64| match at(by) {
                    (_, 0.0) => here,
                    (y, ratio) => here + (y - here) / ratio,
                };
                compare(
                    gradient[e],
                    largest(gradient),
                    Box::new(scaled),
                    &format!("node {i}, constant {c} at {e}"),
                );
            }
        }
    }
    nonzero
}

#[test]
fn gradients_of_every_operator_are_those_of_differences() {
    let limits = Limits {
        macs: 40_000,
        elements: 400,
        ..Limits::default()
    };
    let mut without = Vec::new();
    for (index, (name, _)) in OPERATORS.iter().enumerate() {
        let mut nonzero = 0;
        for seed in 0..24 {
            let Some(mut g) = single(seed, index, Word::W16, &limits) else {
                continue;
            };
            g = unquantised(g);
            tame(&mut g);
            let r = &mut StdRng::seed_from_u64(seed);
            nonzero += check(&g, &[], r, N, &format!("{name}, seed {seed}"));
        }
        if nonzero == 0 {
            without.push(*name);
        }
    }
    assert_eq!(without, ["Bilinear", "Softmax", "ArgMax", "Lrn"]);
}

/// Weights of the size that trained ones have: random words reach far beyond, and differences drown in their sums.
fn tame(g: &mut Graph) {
    for n in &mut g.nodes {
        let slopes = !matches!(n.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Constant(_));
        for v in n.op.constants_mut() {
            let Values::Reals(v) = v else { continue };
            let most = v.iter().fold(0f32, |m, x| m.max(x.abs()));
            if most > 0.0 && !slopes {
                v.iter_mut().for_each(|x| *x /= most);
            }
        }
    }
}

/// A convolution between an activation and the sum of its own input.
fn normalised(activation: Activation) -> Graph {
    let r = &mut StdRng::seed_from_u64(5);
    let mut reals =
        |n: usize| Values::Reals((0..n).map(|_| r.random_range(-0.5f32..0.5)).collect());
    let mut g = Graph::new("norm", Word::W16);
    let x = g.input("x", Shape { c: 3, h: 5, w: 4 }, None);
    let pad = Padding {
        top: 1,
        left: 1,
        bottom: 1,
        right: 1,
    };
    for (name, input, ic) in [("a", x, 3), ("b", 1, 6)] {
        let conv = Conv {
            oc: 6,
            groups: 3,
            window: Window {
                pad,
                ..Window::plain(3, 3)
            },
            weights: reals(6 * ic / 3 * 9),
            finer: Vec::new(),
            bias: reals(6),
            activation: activation.clone(),
        };
        g.push(name, conv, &[input], None).expect("it fits");
    }
    g.output(2);
    g
}

#[test]
fn gradients_pass_through_batch_normalisation_and_each_activation_behind_it() {
    let slopes = Values::Reals(vec![0.2, 0.7, -0.3, 0.1, 0.5, 1.5]);
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::Clip { lo: -0.5, hi: 1.0 },
        Activation::Leaky(0.1),
        Activation::PRelu(slopes),
    ] {
        let g = normalised(activation);
        let mut norm = Norm::new(6);
        norm.scale = vec![1.0, 0.5, 2.0, -1.0, 0.8, 1.2];
        let norms = vec![Some(norm.clone()), Some(norm)];
        let r = &mut StdRng::seed_from_u64(6);
        let nonzero = check(&g, &norms, r, N, &format!("{:?}", g.nodes[0].op));
        assert!(nonzero > 10, "only {nonzero} gradients were not zero");
    }
}

/// The whole network around each block, normalisations and fixed filters among it.
#[test]
fn gradients_of_every_block_are_those_of_differences() {
    for (name, layers) in BLOCKS {
        let arch = with_block(name, layers, [4, 4, 3]);
        let arch = Arch::parse(&arch).unwrap_or_else(|e| panic!("{name}: {e}"));
        let net = arch
            .init(Shape { c: 1, h: 9, w: 8 }, 10, 3)
            .unwrap_or_else(|e| panic!("{e}"));
        let (g, norms) = net.parts();
        let r = &mut StdRng::seed_from_u64(9);
        let nonzero = check(g, norms, r, 3, name);
        assert!(
            nonzero > 30,
            "{name}: only {nonzero} gradients were not zero"
        );
    }
}

/// All tensors of random graphs, every operator of the machine among them, as the reference run has them.
#[test]
fn fake_quantised_graphs_are_the_reference_run_bit_for_bit() {
    let limits = Limits {
        macs: 200_000,
        elements: 4096,
        ..Limits::default()
    };
    for seed in 0..120 {
        let word = if seed % 2 == 0 { Word::W16 } else { Word::W8 };
        let g = graph(seed, word, &limits);
        let mut network = Network::<f64>::new(&g, &[]).unwrap_or_else(|e| panic!("{}", e.reason));
        let r = &mut StdRng::seed_from_u64(seed);
        let images: Vec<Vec<Vec<i16>>> = (0..3).map(|_| inputs(r, &g)).collect();
        let last = |t: TensorId, words: &[i16]| -> Vec<f64> {
            let (s, frac) = (
                g.tensors[t].shape,
                g.tensors[t].frac.expect("all have formats"),
            );
            let mut values = vec![0.0; words.len()];
            for (at, &q) in words.iter().enumerate() {
                values[super::op::moves::channels_last(s, at)] = dequantise(q, frac);
            }
            values
        };
        let x: Vec<Vec<f64>> = g
            .inputs
            .iter()
            .enumerate()
            .map(|(k, p)| images.iter().flat_map(|i| last(p.tensor, &i[k])).collect())
            .collect();
        network.forward(3, &x.iter().map(|v| &v[..]).collect::<Vec<_>>());
        for (n, image) in images.iter().enumerate() {
            let words: Vec<&[i16]> = image.iter().map(|w| &w[..]).collect();
            let run = cnna_net::run::run(&g, &words).expect("all have formats");
            for node in &g.nodes {
                let want = last(node.output, &run.tensors[node.output].values);
                let got = &network.value(node.output)[n * want.len()..][..want.len()];
                assert!(
                    got == want,
                    "seed {seed}, image {n}, node `{}`: {:?}",
                    node.name,
                    node.op
                );
            }
        }
    }
}

/// Rounding passes the gradient on, saturation and clips stop it.
#[test]
fn rounding_is_half_up_and_its_gradient_passes_inside_the_range_only() {
    let half = 1.0 / 128.0;
    let gradient = |activation: Activation| {
        let mut g = Graph::new("g", Word::W8);
        let s = Shape { c: 6, h: 1, w: 1 };
        let x = g.input("x", s, Some(7));
        let a = cnna_net::op::Add {
            negative: vec![false],
            activation,
        };
        // Words of 8 bits with 6 fraction bits: [-2, 2).
        let y = g.push("y", a, &[x], Some(6)).expect("it fits");
        g.output(y);
        let mut network = Network::<f32>::new(&g, &[]).expect("it has gradients");
        network.forward(1, &[&[half, -half, 1.01, -1.0, 2.5, -2.5]]);
        network.backward(&[(y, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])], true);
        (network.value(y).to_vec(), network.gradient(x).to_vec())
    };
    let (y, dx) = gradient(Activation::None);
    assert_eq!(y, [1.0 / 64.0, 0.0, 65.0 / 64.0, -1.0, 127.0 / 64.0, -2.0]);
    assert_eq!(dx, [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    let (y, dx) = gradient(Activation::Relu);
    assert_eq!(y, [1.0 / 64.0, 0.0, 65.0 / 64.0, 0.0, 127.0 / 64.0, 0.0]);
    assert_eq!(dx, [1.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
}

/// Inside a range rounding counts, beyond it the range itself, behind a clip nothing.
#[test]
fn the_gradient_of_a_range_is_that_of_its_threshold() {
    let mut g = Graph::new("g", Word::W8);
    let x = g.input("x", Shape { c: 4, h: 1, w: 1 }, Some(7));
    let a = cnna_net::op::Add {
        negative: vec![false],
        activation: Activation::Relu,
    };
    // Words of 8 bits with 6 fraction bits: up to 127/64.
    let y = g.push("y", a, &[x], Some(6)).expect("it fits");
    g.output(y);
    let mut network = Network::<f64>::new(&g, &[]).expect("it has gradients");
    network.learn_ranges();
    network.forward(1, &[&[0.25 + 1.0 / 128.0, 1.0, 2.5, -1.0]]);
    network.backward(&[(y, &[1.0, 10.0, 100.0, 1000.0])], true);
    let want = (1.0 / 128.0 + 100.0 * 127.0 / 64.0) * std::f64::consts::LN_2;
    let got = network.range_gradient(y).expect("it rounds and clips");
    assert!((got - want).abs() < 1e-9, "{got} is not {want}");
}

/// The numbers that train are those of f64, rounded.
#[test]
fn f32_and_f64_agree() {
    let g = normalised(Activation::Relu);
    let r = &mut StdRng::seed_from_u64(7);
    let x = batch(r, g.tensors[0].shape, N);
    let labels: Vec<u16> = (0..N).map(|i| (i % 5) as u16).collect();
    let norms = vec![Some(Norm::new(6)), None];
    let mut double = Network::<f64>::new(&g, &norms).expect("it has gradients");
    let mut single = Network::<f32>::new(&g, &norms).expect("it has gradients");
    double.forward(N, &[&x]);
    single.forward(N, &[&x.iter().map(|&v| v as f32).collect::<Vec<_>>()]);
    let wide = cross_entropy(double.value(2), &labels, 0.1);
    let narrow = cross_entropy(single.value(2), &labels, 0.1);
    assert!(
        (wide.mean - narrow.mean).abs() < 1e-5 * wide.mean.abs(),
        "{} {}",
        wide.mean,
        narrow.mean
    );
    let wide = double.backward(&[(2, &wide.gradient)], false);
    let narrow = single.backward(&[(2, &narrow.gradient)], false);
    for (w, n) in wide.iter().flatten().zip(narrow.iter().flatten()) {
        let most = w.iter().fold(0f64, |m, v| m.max(v.abs()));
        for (w, n) in w.iter().zip(n) {
            assert!((w - f64::from(*n)).abs() < 1e-4 * most.max(1e-4), "{w} {n}");
        }
    }
}
