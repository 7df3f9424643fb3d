//! Accuracy on labelled images: of a float network by `rten`, and of integers by the reference model; needs no trainer.

use crate::ptq::{FloatModel, Options, PtqError, quantise};
use crate::{Dataset, Split};
use cnna_data::Samples;
use cnna_machine::num::{Word, dequantise, quantise as to_word};
use cnna_net::{Graph, Op, Shape, TensorId, Values};
use rayon::prelude::*;
use serde::Serialize;

/// Training images that tell the ranges of a network that is rounded after training.
const CALIBRATION: usize = 1000;

/// Parts of a set of images that cores take from one another.
const SHARES: usize = 32;

/// Right answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Accuracy {
    /// Images classified as labelled.
    pub correct: usize,
    /// Images in all.
    pub images: usize,
}

impl Accuracy {
    /// In percent.
    pub fn percent(self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} %", self.percent())
    }
}

/// Index of the largest value; of equal ones the first.
pub(crate) fn first_largest<T: PartialOrd + Copy>(values: &[T]) -> usize {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (0..values.len()).reduce(better).unwrap_or(0)
}

/// Why accuracy cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum AccuracyError {
    /// Images or labels that do not fit the network.
    #[error("the data set: {0}")]
    Images(String),
    /// A network with several inputs or outputs.
    #[error("the model: {0}")]
    Ends(String),
    /// Rounding, or the float engine.
    #[error(transparent)]
    Ptq(#[from] PtqError),
    /// A graph that contradicts itself, or is not quantised.
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
}

pub(crate) fn check(input: Shape, classes: usize, split: &Split) -> Result<(), AccuracyError> {
    let labels = split.labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
    if split.is_empty() || input != split.shape || labels > classes {
        return Err(AccuracyError::Images(format!(
            "{} images of shape {} with {labels} classes do not fit a network of input {input} with {classes} outputs",
            split.len(),
            split.shape
        )));
    }
    Ok(())
}

/// The one input and output. Errors: a network with more.
fn ends(graph: &Graph) -> Result<(TensorId, TensorId), AccuracyError> {
    match (&graph.inputs[..], &graph.outputs[..]) {
        ([input], [output]) => Ok((input.tensor, output.tensor)),
        (inputs, outputs) => Err(AccuracyError::Ends(format!(
            "`{}` has {} inputs and {} outputs: labels are for networks with one of each",
            graph.name,
            inputs.len(),
            outputs.len()
        ))),
    }
}

/// Of each channel the network's input words that bytes are: [`Split::through`] makes an image of them.
pub fn input_words(split: &Split, input_frac: i32, word: Word) -> Vec<[i16; 256]> {
    let of = |r: f32| to_word(r.into(), input_frac, word).expect("a pixel is a number");
    split.reals().iter().map(|reals| reals.map(of)).collect()
}

/// The quantised graph's logits by the reference run, [image][class], images in parallel.
///
/// Cost: as many multiply-accumulates as the network has, times the images. Errors: shapes or classes that do not fit, a
/// tensor without a format, more than one input or output.
pub fn integer_logits(graph: &Graph, split: &Split) -> Result<Vec<Vec<i16>>, AccuracyError> {
    let (input, output) = ends(graph)?;
    let tensor = &graph.tensors[input];
    check(tensor.shape, graph.tensors[output].shape.len(), split)?;
    let frac = tensor.frac.unwrap_or_default();
    let words = input_words(split, frac, graph.word);
    let run = |i: usize| {
        let image = split.through(i, &words);
        let mut run = cnna_net::run::run(graph, &[&image])?;
        Ok(std::mem::take(&mut run.tensors[output].values))
    };
    (0..split.len()).into_par_iter().map(run).collect()
}

/// Accuracy of the quantised graph by the reference run. Cost and errors: as [`integer_logits`].
pub fn evaluate(graph: &Graph, split: &Split) -> Result<Accuracy, AccuracyError> {
    Ok(right_answers(&integer_logits(graph, split)?, split))
}

pub(crate) fn right_answers<T: PartialOrd + Copy>(logits: &[Vec<T>], split: &Split) -> Accuracy {
    let right = |(row, label): &(&Vec<T>, &u16)| first_largest(row) == usize::from(**label);
    Accuracy {
        correct: logits.iter().zip(&split.labels).filter(right).count(),
        images: split.len(),
    }
}

/// One line of the accuracy table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccuracyRow {
    /// "float", "rounded" (after training) or "trained" (quantisation-aware).
    pub method: &'static str,
    /// Width of weights and activations; none in float.
    pub word: Option<Word>,
    /// Whether each layer's weights have their own power-of-two scale; none in float.
    pub auto_scale: Option<bool>,
    /// Right answers of the test images.
    pub correct: usize,
    /// Test images.
    pub images: usize,
    /// In percent.
    pub percent: f64,
    /// Percentage points above the float network.
    pub points: f64,
    /// Images that it puts into the same class as the float network, right or wrong: finer than accuracy.
    pub agree: usize,
    /// Power of the float network's logits over that of their error, in dB; only for the same weights, rounded.
    pub sqnr_db: Option<f64>,
}

/// The accuracy table on the test images: float; rounded after training with 16 and 8 bits, with and without auto-scaling;
/// and each quantisation-aware trained network given. Everything but the float row is measured on the integers. `each`
/// hears of a row when it is there, since one takes seconds.
///
/// Errors: shapes or classes that do not fit, bad weights, an operator that the float engine lacks.
pub fn accuracy_report(
    float: &Graph,
    trained: &[Graph],
    data: &Dataset,
    mut each: impl FnMut(&AccuracyRow),
) -> Result<Vec<AccuracyRow>, AccuracyError> {
    let reals = float_logits(float, &data.test)?;
    let base = right_answers(&reals, &data.test);
    let mut rows = Vec::new();
    let mut put = |row: AccuracyRow| {
        each(&row);
        rows.push(row);
    };
    put(AccuracyRow {
        method: "float",
        word: None,
        auto_scale: None,
        correct: base.correct,
        images: base.images,
        percent: base.percent(),
        points: 0.0,
        agree: base.images,
        sqnr_db: None,
    });
    let mut add = |method, integers: &Graph, auto_scale| -> Result<(), AccuracyError> {
        let words = integer_logits(integers, &data.test)?;
        let a = right_answers(&words, &data.test);
        let same = |(w, f): &(&Vec<i16>, &Vec<f32>)| first_largest(w) == first_largest(f);
        let frac = output_frac(integers);
        put(AccuracyRow {
            method,
            word: Some(integers.word),
            auto_scale: Some(auto_scale),
            correct: a.correct,
            images: a.images,
            percent: a.percent(),
            points: a.percent() - base.percent(),
            agree: words.iter().zip(&reals).filter(same).count(),
            sqnr_db: (method == "rounded").then(|| sqnr_db(&reals, &words, frac)),
        });
        Ok(())
    };
    let (input, _) = ends(float)?;
    let shape = float.tensors[input].shape;
    check(shape, usize::MAX, &data.train)?;
    let samples = Samples::of(&data.train, &data.name, &float.inputs[0].array).spread(CALIBRATION);
    for word in [Word::W16, Word::W8] {
        let options = Options {
            word,
            ..Options::default()
        };
        for auto_scale in [true, false] {
            let float = match auto_scale {
                true => float.clone(),
                false => plain(float, word),
            };
            let samples = std::slice::from_ref(&samples);
            let rounded = quantise(float, samples, &options, |_, _| ())?;
            add("rounded", &rounded.graph, auto_scale)?;
        }
    }
    for t in trained {
        add("trained", t, is_auto_scaled(t))?;
    }
    Ok(rows)
}

/// The network with weights that the plain format Q2.14 or Q2.6 holds: rounded to its steps, clipped to its range.
fn plain(float: &Graph, word: Word) -> Graph {
    let frac = word.weight_frac();
    let mut graph = float.clone();
    for n in &mut graph.nodes {
        let Op::Conv(c) = &mut n.op else { continue };
        let steps =
            |&w: &f32| to_word(w.into(), frac, word).map_or(w, |q| dequantise(q, frac) as f32);
        // What is no number is refused with its place later.
        if let Some(reals) = c.weights.reals() {
            c.weights = Values::Reals(reals.iter().map(steps).collect());
        }
    }
    graph
}

/// The float network's logits, [image][class]. Errors: shapes or classes that do not fit, an operator that the engine lacks.
pub fn float_logits(float: &Graph, split: &Split) -> Result<Vec<Vec<f32>>, AccuracyError> {
    let (input, output) = ends(float)?;
    let tensors = &float.tensors;
    check(tensors[input].shape, tensors[output].shape.len(), split)?;
    let model = FloatModel::new(float)?;
    let reals = split.reals();
    let run = |i: usize| {
        let image = split.through(i, &reals);
        Ok(model.outputs(vec![image])?.swap_remove(0))
    };
    // The engine waits for its own tasks, and a core that waits takes the next image on top of its stack: a few shares of many
    // images keep that shallow.
    let share = split.len().div_ceil(SHARES);
    let images = (0..split.len()).into_par_iter().with_min_len(share);
    images.map(run).collect()
}

fn sqnr_db(real: &[Vec<f32>], words: &[Vec<i16>], frac: i32) -> f64 {
    let pairs = real.iter().flatten().zip(words.iter().flatten());
    signal_to_noise(pairs.map(|(&r, &w)| (r.into(), dequantise(w, frac))))
}

/// Power of what is wanted over that of its distance from what was made, in dB.
pub(crate) fn signal_to_noise(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (wanted, made) in pairs {
        signal += wanted * wanted;
        noise += (wanted - made).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// Fraction bits of the one output.
fn output_frac(graph: &Graph) -> i32 {
    let output = graph.outputs.first().map(|p| &graph.tensors[p.tensor]);
    output.and_then(|t| t.frac).unwrap_or_default()
}

/// True when some layer's weights are not in the plain format Q2.14 or Q2.6.
fn is_auto_scaled(graph: &Graph) -> bool {
    graph.nodes.iter().any(|n| match &n.op {
        Op::Conv(c) => c
            .weights
            .words()
            .is_some_and(|(_, f)| f != graph.word.weight_frac()),
        _ => false,
    })
}
