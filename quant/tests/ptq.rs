//! Post-training quantisation of small graphs: near float, reproducible, and refused in one sentence where it cannot be.

use cnna_data::{Preprocess, Samples};
use cnna_machine::num::Word;
use cnna_net::op::{Add, Concat, Constant, Conv, MaxPool};
use cnna_net::{Activation, Graph, Op, Shape, TensorId, Values, Window};
use cnna_quant::ptq::{
    Calibration, FloatModel, Measured, Method, NARROW_DB, Narrow, Options, PtqError, Quantised,
    load_or_quantise, output_db, quantise, unquantised,
};
use std::path::{Path, PathBuf};

const INPUT: Shape = Shape { c: 3, h: 8, w: 8 };

/// Numbers that look random and are the same everywhere, -1 to 1.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn conv(
    oc: usize,
    ic: usize,
    kernel: usize,
    scale: f32,
    seed: u32,
    activation: Activation,
) -> Conv {
    let mut window = Window::plain(kernel, kernel);
    let border = kernel / 2;
    (
        window.pad.top,
        window.pad.left,
        window.pad.bottom,
        window.pad.right,
    ) = (border, border, border, border);
    let scaled = |v: Vec<f32>| v.into_iter().map(|w| w * scale).collect();
    Conv {
        finer: Vec::new(),
        oc,
        groups: 1,
        window,
        weights: Values::Reals(scaled(noise(oc * ic * kernel * kernel, seed))),
        bias: Values::Reals(noise(oc, seed + 100)),
        activation,
    }
}

/// A residual block, a concatenation, a pooling and a classifier.
fn network() -> Graph {
    let mut g = Graph::new("net", Word::W16);
    let x = g.input("x", INPUT, None);
    let push = |g: &mut Graph, name: &str, op: Op, inputs: &[TensorId]| {
        g.push(name, op, inputs, None).expect("it fits")
    };
    let a = push(
        &mut g,
        "a",
        conv(8, 3, 3, 0.5, 1, Activation::Relu).into(),
        &[x],
    );
    let b = push(
        &mut g,
        "b",
        conv(8, 8, 3, 0.2, 2, Activation::None).into(),
        &[a],
    );
    let s = push(&mut g, "s", Add::of(2).into(), &[a, b]);
    let c = push(
        &mut g,
        "c",
        conv(4, 8, 1, 20.0, 3, Activation::Relu).into(),
        &[s],
    );
    let cat = push(&mut g, "cat", Concat { axis: 0 }.into(), &[s, c]);
    let mut window = Window::plain(2, 2);
    window.stride = [2, 2];
    let p = push(&mut g, "p", MaxPool { window }.into(), &[cat]);
    let mut fc = conv(5, 12, 4, 0.05, 4, Activation::None);
    fc.window = Window::plain(4, 4);
    let y = push(&mut g, "y", fc.into(), &[p]);
    g.output(y);
    g
}

/// Writes `n` images as npy; `scale` times noise.
fn images(dir: &Path, n: usize, scale: f32) -> PathBuf {
    let path = dir.join("x.npy");
    let values = noise(n * INPUT.len(), 7);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, 3, 8, 8), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|v| (v * scale).to_le_bytes()));
    std::fs::write(&path, bytes).expect("a temporary folder can be written");
    path
}

fn samples(graph: &Graph, path: &Path) -> Vec<Samples> {
    let array = &graph.inputs[0].array;
    vec![
        Samples::open(&[path.into()], INPUT, array, &Preprocess::default())
            .expect("images that fit"),
    ]
}

fn options(word: Word, method: Option<Method>) -> Options {
    Options {
        word,
        method,
        ..Options::default()
    }
}

/// The network with channels of very different size in its second convolution.
fn skewed() -> Graph {
    let mut g = network();
    let Op::Conv(c) = &mut g.nodes[1].op else {
        panic!("b is a convolution");
    };
    let each = c.weights.len() / c.oc;
    let mut w = c.weights.to_reals(0);
    for (i, w) in w.iter_mut().enumerate() {
        *w *= 2f32.powi(-((i / each) as i32));
    }
    c.weights = Values::Reals(w);
    g
}

#[test]
fn channels_of_their_own_scale_keep_small_weights_at_eight_bits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = skewed();
    let s = samples(&g, &images(dir.path(), 4, 1.0));
    let Op::Conv(exact) = &g.nodes[1].op else {
        panic!("b is a convolution");
    };
    // The smallest channel's weights against what they were: error over signal.
    let error = |per_channel: bool| {
        let o = Options {
            per_channel,
            ..options(Word::W8, Some(Method::Max))
        };
        let q = quantise(g.clone(), &s, &o, |_, _| ()).expect("it quantises");
        let row = q.quality.table.rows.iter().find(|r| r.tensor == "b");
        let row = row.expect("a row");
        assert_eq!((row.weight_bits, row.per_channel), (Some(8), per_channel));
        assert_eq!(q.quality.table.text().contains("8/ch"), per_channel);
        let named = |name: &str| {
            let n = q.graph.nodes.iter().find(|n| n.name == name);
            n.and_then(|n| n.op.conv()).expect("a convolution")
        };
        // A fully connected layer streams its weights: one scale.
        assert!(named("y").finer.is_empty());
        let finer = &named("b").finer;
        assert!(
            !per_channel || finer.contains(&0) && finer.iter().any(|d| *d >= 5),
            "{finer:?}"
        );
        let (got, want) = (named("b").real_weights(), exact.real_weights());
        let last = want.len() - want.len() / exact.oc;
        let power = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>();
        power(&mut got[last..].iter().zip(&want[last..]).map(|(g, w)| g - w))
            / power(&mut want[last..].iter().copied())
    };
    let [whole, own] = [error(false), error(true)];
    assert!(whole > 0.1 && own < 1e-3, "{whole} and {own}");
}

#[test]
fn eight_bit_weights_fill_the_upper_half_and_the_picked_ones_leave_40_db() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    let s = samples(&g, &images(dir.path(), 4, 1.0));
    let other = tempfile::tempdir().expect("a temporary folder");
    let many = samples(&g, &images(other.path(), 200, 1.0));
    let measured = Measured::new(&many, (0..200).collect());
    let float = FloatModel::new(&g).expect("a model");
    let with = |narrow: Narrow, per_channel: bool| {
        let o = Options {
            narrow,
            per_channel,
            ..Options::default()
        };
        let q = quantise(g.clone(), &s, &o, |_, _| ()).expect("it quantises");
        let bits: Vec<u32> = q
            .quality
            .table
            .rows
            .iter()
            .filter_map(|r| r.weight_bits)
            .collect();
        for n in q.graph.nodes.iter().filter(|n| n.op.conv().is_some()) {
            let row = q
                .quality
                .table
                .rows
                .iter()
                .find(|r| r.tensor == n.name)
                .expect("a row");
            let (words, _) = n.op.constants()[0].words().expect("words");
            let low = words.iter().all(|w| w % 256 == 0);
            assert_eq!(low, row.weight_bits == Some(8), "{}", n.name);
        }
        let db = q.quality.table.output_db.expect("not exact");
        // Five outputs of four images say little: judged on many.
        let surely = output_db(&q.graph, &float, &measured).expect("formats");
        (bits, db, surely)
    };
    let (bits, wide, _) = with(Narrow::Off, false);
    assert!(bits.iter().all(|b| *b == 16));
    let (bits, all, whole) = with(Narrow::All, false);
    assert!(
        bits.iter().all(|b| *b == 8) && all > 20.0 && all < wide,
        "{all} of {wide} dB"
    );
    let (bits, some, _) = with(Narrow::Auto, false);
    assert!(bits.contains(&8), "{bits:?}");
    assert!(
        some >= NARROW_DB.min(wide - 1.0) - 0.5,
        "{some} of {wide} dB"
    );
    let (_, few, own) = with(Narrow::All, true);
    assert!(
        own >= whole - 0.2,
        "{own} and {whole} dB ({few} and {all} on four images)"
    );
}

/// A classifier whose classes are near one another: what they share is all but the whole of them. Its first layer's weights
/// are all but whole steps of eight bits.
fn alike() -> Graph {
    let mut g = Graph::new("alike", Word::W16);
    let x = g.input("x", INPUT, None);
    let mut first = conv(4, 3, 3, 1.0, 1, Activation::Relu);
    let mut weights = first.weights.to_reals(0);
    for w in &mut weights {
        *w = (*w * 64.0).round() / 64.0 + *w * 1e-4;
    }
    first.weights = Values::Reals(weights);
    let a = g.push("a", first, &[x], None).expect("it fits");
    let mut last = conv(8, 4, 8, 1.0, 2, Activation::None);
    last.window = Window::plain(8, 8);
    let (shared, own) = (noise(256, 3), noise(8 * 256, 4));
    let weight = |(i, own): (usize, f32)| shared[i % 256] + 0.003 * own;
    last.weights = Values::Reals(own.into_iter().enumerate().map(weight).collect());
    last.bias = Values::Reals(vec![0.0; 8]);
    let y = g.push("y", last, &[a], None).expect("it fits");
    g.output(y);
    g
}

#[test]
fn layers_whose_eight_bits_change_the_best_class_go_back_to_sixteen() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = alike();
    let path = images(dir.path(), 120, 1.0);
    let with = |narrow: Narrow, s: &[Samples], g: &Graph| {
        let o = Options {
            narrow,
            ..Options::default()
        };
        quantise(g.clone(), s, &o, |_, _| ()).expect("it quantises")
    };
    let s = samples(&g, &path);
    let bits = |q: &Quantised| -> Vec<u32> {
        let rows = q.quality.table.rows.iter();
        rows.filter_map(|r| r.weight_bits).collect()
    };
    // All in eight bits: enough decibels, other answers.
    let all = with(Narrow::All, &s, &g);
    let classes = all.quality.table.narrow_classes.as_ref();
    let classes = classes.expect("eight outputs are classes");
    assert!(all.quality.table.output_db > Some(NARROW_DB), "{classes:?}");
    assert!(!classes.holds() && classes.taken_back.is_empty());
    assert_eq!((bits(&all), classes.images), (vec![8, 8], 120));
    let warning = classes.warning().expect("too many differ");
    assert!(warning.contains("another best class"), "{warning}");
    // Chosen: the layer that decibels alone would take is taken back, the other stays.
    let some = with(Narrow::Auto, &s, &g);
    let kept = some.quality.table.narrow_classes.as_ref();
    let kept = kept.expect("eight outputs are classes");
    assert_eq!(bits(&some), [8, 16], "{kept:?}");
    assert_eq!(kept.taken_back, ["y"]);
    assert_eq!(kept.same_by_db, classes.same);
    assert!(kept.holds() && 100 * kept.same >= 99 * 120, "{kept:?}");
    assert!(kept.warning().is_none(), "of 120 images one may differ");
    let text = some.quality.table.text();
    assert!(text.contains("back to 16 bits y"), "{text}");
    // The agreement is that of what is returned, counted here by hand.
    let wide = with(Narrow::Off, &s, &g);
    assert!(wide.quality.table.narrow_classes.is_none());
    let best = |q: &Quantised, i: usize| {
        let t = q.graph.inputs[0].tensor;
        let frac = q.graph.tensors[t].frac.expect("a format");
        let words: Vec<i16> = s[0]
            .image(i)
            .expect("an image")
            .iter()
            .map(|&v| cnna_machine::num::quantise(v.into(), frac, Word::W16).expect("finite"))
            .collect();
        let y = &answers(&q.graph, &words)[0];
        (0..y.len()).rev().max_by_key(|&k| y[k])
    };
    for (q, same) in [(&all, classes.same), (&some, kept.same)] {
        let counted = (0..120).filter(|&i| best(q, i) == best(&wide, i)).count();
        assert_eq!(counted, same);
    }
    // Of few images all must agree, and that is said; without classes nothing is.
    let few = [s[0].clone().spread(20)];
    let few = with(Narrow::Auto, &few, &g).quality.table.narrow_classes;
    let few = few.expect("eight outputs are classes");
    assert_eq!((few.same, few.images), (20, 20));
    let warning = few.warning().expect("too few");
    assert!(warning.contains("too few to tell 99 %"), "{warning}");
    let mut map = g.clone();
    map.outputs.clear();
    map.output(map.nodes[0].output);
    let none = with(Narrow::All, &s, &map).quality.table.narrow_classes;
    assert!(none.is_none());
}

#[test]
fn sixteen_bits_are_near_float_in_every_tensor_and_eight_are_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    let s = samples(&g, &images(dir.path(), 6, 1.0));
    let mut steps = Vec::new();
    let wide = quantise(g.clone(), &s, &options(Word::W16, None), |done, all| {
        steps.push((done, all))
    })
    .expect("finite");
    assert_eq!(
        (steps.first(), steps.last()),
        (Some(&(0, 6)), Some(&(6, 6)))
    );
    assert_eq!((wide.quality.images, wide.quality.table.images), (6, 4));
    for r in &wide.quality.table.rows {
        assert!(r.snr_db.is_none_or(|d| d > 60.0), "{r:?}");
    }
    // The input, eight operators.
    assert_eq!(wide.quality.table.rows.len(), 8);
    assert!(wide.quality.table.warning().is_none());
    let narrow = quantise(g.clone(), &s, &options(Word::W8, None), |_, _| ()).expect("finite");
    let db = narrow
        .quality
        .table
        .output_db
        .expect("8 bits have an error");
    assert!((10.0..45.0).contains(&db), "{db}");
    let again = quantise(g.clone(), &s, &options(Word::W8, None), |_, _| ()).expect("finite");
    assert_eq!(again.graph, narrow.graph);
}

#[test]
fn the_method_taken_is_the_best_of_those_that_can_be_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    let s = samples(&g, &images(dir.path(), 4, 1.0));
    let db = |method| {
        let q = quantise(g.clone(), &s, &options(Word::W8, method), |_, _| ()).expect("finite");
        (
            q.quality.table.output_db.expect("8 bits have an error"),
            q.quality.method,
        )
    };
    let (best, taken) = db(None);
    for m in Method::ALL {
        let (d, own) = db(Some(m));
        assert_eq!(own, Some(m));
        // Covering every peak wins by being less than 1 dB worse; bias correction is judged after the method.
        assert!(
            d <= best + 2.0,
            "{m:?}: {d} dB, {taken:?} was taken with {best}"
        );
    }
}

#[test]
fn float_values_of_an_integer_graph_are_those_that_its_words_stand_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    let s = samples(&g, &images(dir.path(), 2, 1.0));
    let q = quantise(g.clone(), &s, &Options::default(), |_, _| ()).expect("finite");
    let reals = unquantised(q.graph.clone());
    let float = FloatModel::new(&reals).expect("a model");
    // Weights are rounded in both: what is left is the rounding of activations.
    let db = output_db(&q.graph, &float, &Measured::new(&s, vec![0, 1])).expect("formats");
    assert!(
        db > q.quality.table.output_db.expect("an error") - 3.0,
        "{db}"
    );
}

#[test]
fn raw_bytes_and_tiny_values_have_formats_of_their_own() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    for scale in [255.0, 1e-3] {
        let s = samples(&g, &images(dir.path(), 4, scale));
        let q = quantise(g.clone(), &s, &Options::default(), |_, _| ()).expect("finite");
        assert!(
            q.quality.table.output_db.is_none_or(|d| d > 55.0),
            "{scale}: {:?}",
            q.quality.table.output_db
        );
    }
}

#[test]
fn what_cannot_be_quantised_is_one_sentence() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut g = network();
    let path = images(dir.path(), 2, 1.0);
    let s = samples(&g, &path);
    let e = quantise(g.clone(), &[], &Options::default(), |_, _| ())
        .expect_err("no images")
        .to_string();
    assert!(
        e.contains("1 inputs (x)") && e.contains("--calib INPUT=x.npy"),
        "{e}"
    );
    let Op::Conv(c) = &mut g.nodes[1].op else {
        panic!("b is a convolution")
    };
    let good = c.weights.clone();
    let mut bad = good.reals().expect("reals").to_vec();
    bad[5] = f32::NAN;
    c.weights = Values::Reals(bad);
    let e = quantise(g.clone(), &s, &Options::default(), |_, _| ())
        .expect_err("NaN")
        .to_string();
    assert!(
        e.contains("node `b`") && e.contains("element 5") && e.contains("NaN"),
        "{e}"
    );
    let Op::Conv(c) = &mut g.nodes[1].op else {
        panic!("b is a convolution")
    };
    c.weights = good;
    c.bias = Values::Reals(vec![3e38; 8]);
    let e = quantise(g.clone(), &s, &Options::default(), |_, _| ())
        .expect_err("overflow")
        .to_string();
    assert!(e.contains("tensor `") && e.contains("x.npy[0]"), "{e}");
}

#[test]
fn a_file_is_taken_as_it_is_when_quantised_and_needs_images_when_float() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (float, whole) = (dir.path().join("float.onnx"), dir.path().join("q.onnx"));
    cnna_onnx::write(&float, &cnna_onnx::export(&network()).expect("a model")).expect("a file");
    let none = Calibration::default();
    let load =
        |path: &Path, c: &Calibration| load_or_quantise(path, c, &Options::default(), |_, _| ());
    let e = load(&float, &none).expect_err("no images");
    assert!(
        matches!(e, PtqError::NoImages { .. })
            && e.to_string().contains("float.onnx` is a float model"),
        "{e}"
    );
    let some = Calibration {
        paths: vec![(None, images(dir.path(), 3, 1.0))],
        most: 2,
        ..Calibration::default()
    };
    let front = load(&float, &some).expect("a float model with images");
    assert_eq!(front.quantised.as_ref().map(|q| q.images), Some(2));
    cnna_onnx::write(&whole, &cnna_onnx::export(&front.graph).expect("a model")).expect("a file");
    let again = load(&whole, &none).expect("a quantised model");
    assert!(again.quantised.is_none() && again.notes.is_empty());
    let words = |g: &Graph| g.nodes.iter().map(|n| n.op.clone()).collect::<Vec<_>>();
    assert_eq!(words(&again.graph), words(&front.graph));
    let wrong = Calibration {
        paths: vec![(Some("z".into()), dir.path().join("x.npy"))],
        ..some
    };
    let e = load(&float, &wrong).expect_err("no such input").to_string();
    assert!(e.contains("(x)"), "{e}");
}

/// The words of a graph's outputs for words at its one input.
fn answers(g: &Graph, words: &[i16]) -> Vec<Vec<i16>> {
    let done = cnna_net::run::run(g, &[words]).expect("formats");
    let outputs = g.outputs.iter();
    outputs
        .map(|p| done.tensors[p.tensor].values.clone())
        .collect()
}

#[test]
fn words_of_eight_bits_in_a_file_are_the_same_among_words_of_sixteen() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    // Images larger than those of the calibration saturate on the way.
    let s = samples(&g, &images(dir.path(), 4, 0.3));
    let q = quantise(g, &s, &options(Word::W8, None), |_, _| ()).expect("finite");
    let path = dir.path().join("q8.onnx");
    cnna_onnx::write(&path, &cnna_onnx::export(&q.graph).expect("a model")).expect("a file");
    let load = |word| {
        let none = Calibration::default();
        load_or_quantise(&path, &none, &options(word, None), |_, _| ()).expect("a quantised file")
    };
    let (own, wide) = (load(Word::W8), load(Word::W16));
    assert_eq!((own.graph.word, own.notes.len()), (Word::W8, 0));
    assert_eq!(wide.graph.word, Word::W16);
    assert!(
        wide.notes[0].contains("8-bit words are exact"),
        "{:?}",
        wide.notes
    );
    let (small, large) = (own.graph.inputs[0].tensor, wide.graph.inputs[0].tensor);
    assert_eq!(
        own.graph.tensors[small].frac,
        wide.graph.tensors[large].frac
    );
    let beyond: Vec<i16> = noise(INPUT.len(), 3)
        .iter()
        .map(|v| (v * 300.0) as i16)
        .collect();
    let saturated: Vec<i16> = beyond.iter().map(|v| (*v).clamp(-128, 127)).collect();
    let want = answers(&own.graph, &saturated);
    assert_eq!(answers(&wide.graph, &beyond), want);
    let done = cnna_net::run::run(&own.graph, &[&saturated]).expect("formats");
    assert!(
        done.tensors.iter().any(|t| t.saturated > 0),
        "nothing saturates"
    );
}

#[test]
fn a_tensor_that_the_model_holds_is_run_in_float_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut g = network();
    let shape = g.tensors[g.outputs[0].tensor].shape;
    let constant = Constant {
        shape,
        values: Values::Reals(noise(shape.len(), 9)),
    };
    let c = g.push("c0", constant, &[], None).expect("it fits");
    let sum = g.push("sum", Add::of(2), &[g.outputs[0].tensor, c], None);
    g.outputs.clear();
    g.output(sum.expect("it fits"));
    let s = samples(&g, &images(dir.path(), 3, 1.0));
    let q = quantise(g, &s, &Options::default(), |_, _| ()).expect("finite");
    assert!(
        q.quality.table.output_db.is_some_and(|d| d > 60.0),
        "{:?}",
        q.quality.table.output_db
    );
}

#[test]
fn a_sum_without_a_format_has_one_that_nothing_can_exceed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let g = network();
    let s = samples(&g, &images(dir.path(), 4, 1.0));
    let q = quantise(g, &s, &Options::default(), |_, _| ()).expect("finite");
    let mut open = q.graph.clone();
    let output = open.outputs[0].tensor;
    open.tensors[output].frac = None;
    let path = dir.path().join("open.onnx");
    cnna_onnx::write(&path, &cnna_onnx::export(&open).expect("a model")).expect("a file");
    let none = Calibration::default();
    let front = load_or_quantise(&path, &none, &Options::default(), |_, _| ()).expect("formats");
    assert!(
        front.notes[0].contains("no scale for `y`"),
        "{:?}",
        front.notes
    );
    let frac = |g: &Graph| g.tensors[g.outputs[0].tensor].frac.expect("a format");
    let lost = frac(&q.graph) - frac(&front.graph);
    assert!((0..8).contains(&lost), "{lost} bits");
    // Even the largest words do not saturate it; half a step apart in the coarser format.
    for words in [
        vec![i16::MAX; INPUT.len()],
        noise(INPUT.len(), 5)
            .iter()
            .map(|v| (v * 9e3) as i16)
            .collect(),
    ] {
        let done = cnna_net::run::run(&front.graph, &[&words]).expect("formats");
        assert_eq!(done.tensors[front.graph.outputs[0].tensor].saturated, 0);
        let step = 2f32.powi(lost);
        for (a, b) in answers(&front.graph, &words)[0]
            .iter()
            .zip(&answers(&q.graph, &words)[0])
        {
            let near = (f32::from(*a) * step - f32::from(*b)).abs() <= step;
            assert!(near || i32::from(*b).abs() >= 32767, "{a} and {b}");
        }
    }
}

#[test]
fn channels_of_very_different_size_become_equal_at_eight_bits_where_that_is_better() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut g = Graph::new("chain", Word::W8);
    let x = g.input("x", INPUT, None);
    let mut first = conv(16, 3, 3, 0.5, 1, Activation::Clip { lo: 0.0, hi: 6.0 });
    let (mut w, mut b) = (first.weights.to_reals(0), first.bias.to_reals(0));
    let each = w.len() / 16;
    let size = |oc: usize| 2f32.powi(1 - (oc % 6) as i32);
    w.iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w *= size(i / each));
    b.iter_mut().enumerate().for_each(|(oc, b)| *b *= size(oc));
    (first.weights, first.bias) = (Values::Reals(w), Values::Reals(b));
    let mut second = conv(8, 16, 1, 0.5, 2, Activation::None);
    let mut w = second.weights.to_reals(0);
    w.iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w /= size(i % 16));
    second.weights = Values::Reals(w);
    let a = g.push("a", first, &[x], None).expect("it fits");
    let y = g.push("y", second, &[a], None).expect("it fits");
    g.output(y);
    let s = samples(&g, &images(dir.path(), 8, 1.0));
    let other = tempfile::tempdir().expect("a temporary folder");
    let unseen = samples(&g, &images(other.path(), 40, 1.0));
    let float = FloatModel::new(&g).expect("a model");
    let done = |g: &Graph, word: Word| {
        let o = Options {
            per_channel: true,
            ..options(word, Some(Method::Max))
        };
        let q = quantise(g.clone(), &s, &o, |_, _| ()).expect("it quantises");
        let images = Measured::new(&unseen, (8..40).collect());
        let db = output_db(&q.graph, &float, &images).expect("formats");
        (q.quality.equalised, q.quality.table.output_db, db)
    };
    assert!(!done(&g, Word::W16).0);
    // A map whose format is given keeps its channels: here the format that it would have anyway.
    let mut fixed = g.clone();
    fixed.tensors[a].frac = Some(4);
    let ((plain, _, before), (equal, _, after)) = (done(&fixed, Word::W8), done(&g, Word::W8));
    assert!(
        !plain && equal && after > before + 3.0,
        "{before} and {after} dB"
    );
}
