//! The zoo: shapes by the papers, integers by the seed alone, values that live from the first node to the last.

use cnna_machine::num::{SHIFT_RANGE, Word};
use cnna_net::op::{Conv, Op};
use cnna_net::zoo::{KNOWN, network};
use cnna_net::{Activation, Graph, run};

fn convs(g: &Graph) -> impl Iterator<Item = (&str, &Conv)> {
    g.nodes.iter().filter_map(|n| match &n.op {
        Op::Conv(c) => Some((n.name.as_str(), c)),
        _ => None,
    })
}

fn weights(c: &Conv) -> &[i16] {
    c.weights.words().expect("the zoo is quantised").0
}

/// Shift of each convolution, by node.
fn shifts(g: &Graph) -> impl Iterator<Item = i32> {
    g.nodes.iter().filter_map(|n| match &n.op {
        Op::Conv(c) => {
            let frac = |t: usize| g.tensors[t].frac.expect("the zoo is quantised");
            c.shift(frac(n.inputs[0]), frac(n.output))
        }
        _ => None,
    })
}

/// Every size and format that the nodes promise one another.
fn check_consistent(g: &Graph) {
    g.check().unwrap_or_else(|e| panic!("{e}"));
    let frac = |t: usize| g.tensors[t].frac.expect("the zoo is quantised");
    for n in &g.nodes {
        let same = n.inputs.iter().all(|&t| frac(t) == frac(n.inputs[0]));
        assert!(
            same || matches!(n.op, Op::Mul(_)),
            "{} {}: what meets has one format",
            g.name,
            n.name
        );
        if n.op.keeps_format() || matches!(n.op, Op::Add(_)) {
            assert_eq!(frac(n.output), frac(n.inputs[0]), "{} {}", g.name, n.name);
        }
    }
    for (name, c) in convs(g) {
        let top = weights(c)
            .iter()
            .map(|w| i64::from(*w).abs())
            .max()
            .unwrap();
        assert!(
            top > g.word.max() / 2,
            "{name}: auto-scaling left a bit unused"
        );
    }
    assert!(shifts(g).all(|s| SHIFT_RANGE.contains(&s)), "{}", g.name);
}

/// Words uniform over their whole range.
fn noise(len: usize, word: Word) -> Vec<i16> {
    let mut s = 1u64;
    (0..len)
        .map(|_| {
            s = s
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((s >> 48) as i16) >> (16 - word.bits())
        })
        .collect()
}

/// Multiply-accumulates of convolutions, as papers count them.
fn macs(g: &Graph) -> u64 {
    let conv = |n: &&cnna_net::Node| matches!(n.op, Op::Conv(_));
    g.nodes.iter().filter(conv).map(|n| g.macs(n)).sum()
}

#[test]
fn vgg16_has_the_papers_layers_weights_and_macs() {
    let g = network("zoo:vgg16", 1, Word::W16).unwrap();
    check_consistent(&g);
    let names: Vec<_> = g.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(
        names.join(" "),
        "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3 \
         conv4_1 conv4_2 conv4_3 pool4 conv5_1 conv5_2 conv5_3 pool5 fc6 fc7 fc8"
    );
    // Simonyan and Zisserman: 138.36 M parameters with biases; 15.47 G multiply-accumulates.
    let all: usize = convs(&g).map(|(_, c)| c.weights.len() + c.bias.len()).sum();
    assert_eq!(all, 138_357_544);
    assert_eq!(macs(&g), 15_470_264_320);
    assert!(convs(&g).all(|(name, c)| (c.activation == Activation::None) == (name == "fc8")));
}

#[test]
fn topologies_have_the_literatures_macs_and_weights() {
    // In millions; weights without biases and batch normalisations, of which the literature counts the latter.
    for (name, wanted, parameters) in [
        ("resnet18", 1814, 11.68),
        ("resnet50", 3858, 25.5),
        ("mobilenet-v2", 301, 3.47),
        ("efficientnet-lite0", 385, 4.6),
        ("efficientnet-b0", 386, 5.29),
        ("squeezenet1.1", 349, 1.23),
        ("yolov4-tiny", 3454, 6.05),
        ("yolov8n", 4371, 3.15),
    ] {
        let g = network(&format!("zoo:{name}"), 1, Word::W16).unwrap();
        check_consistent(&g);
        let millions = (macs(&g) as f64 / 1e6).round() as u64;
        let weights: usize = convs(&g).map(|(_, c)| c.weights.len()).sum();
        println!("{name}: {} {weights} {}", macs(&g), g.nodes.len());
        assert_eq!(millions, wanted, "{name}");
        let weights = weights as f64 / 1e6;
        assert!(
            (weights / parameters - 1.0).abs() < 0.02,
            "{name}: {weights}"
        );
    }
    // DenseNet without its normalisations, which elsewhere are not convolutions.
    let g = network("zoo:densenet121", 1, Word::W16).unwrap();
    check_consistent(&g);
    let dense = |n: &&cnna_net::Node| matches!(&n.op, Op::Conv(c) if c.groups == 1);
    let macs: u64 = g.nodes.iter().filter(dense).map(|n| g.macs(n)).sum();
    assert_eq!((macs as f64 / 1e6).round(), 2834.0);
    let last = g.outputs[0].tensor;
    assert_eq!((g.outputs.len(), g.tensors[last].shape.len()), (1, 1000));
}

#[test]
fn detectors_end_in_their_heads() {
    let outputs = |name: &str| -> Vec<String> {
        let g = network(name, 1, Word::W16).unwrap();
        let shape = |p: &cnna_net::Port| g.tensors[p.tensor].shape.to_string();
        g.outputs.iter().map(shape).collect()
    };
    assert_eq!(outputs("zoo:yolov4-tiny"), ["255x13x13", "255x26x26"]);
    let all = "64x80x80 80x80x80 64x40x40 80x40x40 64x20x20 80x20x20";
    assert_eq!(outputs("zoo:yolov8n").join(" "), all);
}

#[test]
fn quarter_size_divides_every_width_by_four() {
    let g = network("zoo:vgg16@56", 1, Word::W16).unwrap();
    check_consistent(&g);
    let widths: Vec<_> = convs(&g).map(|(_, c)| c.oc).collect();
    assert_eq!(
        widths,
        [
            16, 16, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128, 1024, 1024, 250
        ]
    );
    let whole = network("zoo:vgg16@64/1", 1, Word::W16).unwrap();
    let first = convs(&whole).next().unwrap().1.oc;
    assert_eq!((whole.tensors[0].shape.h, first), (64, 64));
}

#[test]
fn chains_keep_their_integers() {
    // Of the chain-shaped networks that the graphs took over from.
    for (name, seed, word, wanted) in [
        ("zoo:vgg16@56", 1, Word::W16, 0xd69f1f82),
        ("zoo:vgg16@32/5", 7, Word::W8, 0x9d290565),
        ("zoo:lenet", 1, Word::W16, 0x805ada5f),
        ("zoo:tiny", 3, Word::W8, 0x0ef1e99b),
        ("zoo:conv3x3@56x56x64-64", 1, Word::W16, 0x38c63249),
        ("zoo:conv2x5@9x7x3-11", 2, Word::W16, 0xef0e99ac),
        ("zoo:vgg16", 1, Word::W16, 0xa6edd7b4),
    ] {
        let g = network(name, seed, word).unwrap();
        let mut d = crc32fast::Hasher::new();
        d.update(&g.tensors[0].frac.unwrap().to_le_bytes());
        let mut shifts = shifts(&g);
        for n in &g.nodes {
            d.update(n.name.as_bytes());
            d.update(&g.tensors[n.output].frac.unwrap().to_le_bytes());
            if let Op::Conv(c) = &n.op {
                weights(c).iter().for_each(|w| d.update(&w.to_le_bytes()));
                let bias = c.bias.sums().unwrap();
                bias.iter().for_each(|b| d.update(&b.to_le_bytes()));
                d.update(&shifts.next().unwrap().to_le_bytes());
                d.update(&[u8::from(c.activation == Activation::Relu)]);
            }
        }
        assert_eq!(d.finalize(), wanted, "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_integers_on_any_thread_count() {
    let on = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| network("zoo:vgg16@56", seed, Word::W16).unwrap())
    };
    let one = on(1, 7);
    assert_eq!(one, on(3, 7));
    assert_ne!(one, on(1, 8));
    let layer = |n: usize| &weights(convs(&one).nth(n).unwrap().1)[..64];
    assert_ne!(layer(7), layer(8), "layers have streams of their own");
}

#[test]
fn weights_are_he_scaled_and_heavier_tailed_than_normal() {
    let g = network("zoo:vgg16@56", 3, Word::W16).unwrap();
    let (_, c) = convs(&g).find(|(name, _)| *name == "fc6").unwrap();
    let w: Vec<f64> = c.weights.to_reals(0).into_iter().map(f64::from).collect();
    let moment = |k: i32| w.iter().map(|x| x.powi(k)).sum::<f64>() / w.len() as f64;
    let fan_in = (c.weights.len() / c.oc) as f64;
    let scaled = moment(2) * fan_in;
    assert!((scaled / 2.0 - 1.0).abs() < 0.03, "{scaled}");
    assert!(moment(1).abs() < 0.01 * moment(2).sqrt());
    let kurtosis = moment(4) / moment(2).powi(2);
    assert!((3.9..4.5).contains(&kurtosis), "{kurtosis}");
}

#[test]
fn values_neither_vanish_nor_saturate() {
    for (name, word) in [
        ("zoo:vgg16@56", Word::W16),
        ("zoo:vgg16@56", Word::W8),
        ("zoo:lenet", Word::W16),
        ("zoo:tiny", Word::W16),
        ("zoo:conv3x3@14x14x64-64", Word::W8),
        ("zoo:resnet18@56", Word::W16),
        ("zoo:resnet18@56", Word::W8),
        ("zoo:resnet50@56", Word::W16),
        ("zoo:mobilenet-v2@56", Word::W16),
        ("zoo:efficientnet-lite0@56", Word::W16),
        ("zoo:efficientnet-b0", Word::W16),
        ("zoo:squeezenet1.1@56", Word::W16),
        ("zoo:squeezenet1.1@56", Word::W8),
        ("zoo:densenet121@56", Word::W16),
        ("zoo:yolov4-tiny@96", Word::W16),
        ("zoo:yolov8n@96/2", Word::W16),
        ("zoo:yolov8n@160/2", Word::W16),
    ] {
        let g = network(name, 1, word).unwrap();
        check_consistent(&g);
        let result = run::run(&g, &[&noise(g.tensors[0].shape.len(), word)]).unwrap();
        for n in &g.nodes {
            let r = &result.tensors[n.output];
            let top = r.values.iter().map(|v| i64::from(*v).abs()).max().unwrap();
            let share = r.saturated as f64 / r.values.len() as f64;
            println!(
                "{name} {} top {:.3} of full scale, saturated {share:.6}",
                n.name,
                top as f64 / word.max() as f64
            );
            assert!(share < 0.001, "{name} {}: {share} saturated", n.name);
            // Means over whole maps, and what squeeze and excite makes of them, are small by nature.
            let of_means = n.name.contains(".se.") || matches!(n.op, Op::AveragePool(_));
            let least = if of_means { 128 } else { 32 };
            assert!(
                top * least > word.max(),
                "{name} {}: {top} is the largest",
                n.name
            );
        }
    }
}

#[test]
fn a_random_network_is_its_seeds() {
    let of = |seed| network("zoo:random", seed, Word::W16).unwrap();
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
    for seed in 0..30 {
        let g = of(seed);
        let table = |n: &cnna_net::Node| match &n.op {
            Op::Activate(a) => matches!(a.function, Activation::Table(_)),
            _ => false,
        };
        assert!(!g.nodes.iter().any(table), "{g}");
    }
}

#[test]
fn a_kernel_larger_than_its_map_is_padded() {
    let g = network("zoo:conv3x3@1x1x1-1", 1, Word::W16).unwrap();
    assert_eq!(g.tensors[1].shape.sides(), [1, 1, 1]);
    let g = network("zoo:conv4x3@2x9x4-4", 1, Word::W16).unwrap();
    assert_eq!(g.tensors[1].shape.sides(), [4, 3, 9]);
}

#[test]
fn names_that_are_not_in_the_zoo_are_refused_with_those_that_are() {
    let cases = [
        ("vgg16", "begins with zoo:"),
        ("zoo:vgg19", "unknown name"),
        ("zoo:vgg16@x", "`x` is not a number"),
        ("zoo:vgg16@31", "outside 32 to 512"),
        ("zoo:yolov8n@672", "outside 32 to 640"),
        ("zoo:yolov4-tiny@100", "no multiple of 32"),
        ("zoo:resnet18@56/0", "divisor 0"),
        ("zoo:vgg16@56/17", "divisor 17"),
        ("zoo:lenet@3", "one size only"),
        ("zoo:random@3", "one size only"),
        ("zoo:conv0x3@2x9x4-4", "as in zoo:conv3x3"),
        ("zoo:conv3@9x9x4-4", "as in zoo:conv3x3"),
        ("zoo:conv1x1@2048x2048x2048-1", "its tensors have more than"),
        (
            "zoo:conv2048x2048@1x1x2048-1",
            "more than 536870912 weights",
        ),
    ];
    for (name, reason) in cases {
        let e = network(name, 1, Word::W16).unwrap_err().to_string();
        assert!(
            e.starts_with(&format!("`{name}`: ")) && e.contains(reason) && e.contains("zoo:lenet"),
            "{e}"
        );
    }
    for word in KNOWN
        .split([' ', ',', ')'])
        .filter(|w| w.starts_with("zoo:"))
    {
        if !word.contains(['N', 'K']) {
            network(word, 1, Word::W8).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}
