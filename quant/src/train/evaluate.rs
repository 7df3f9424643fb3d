//! Accuracy: of the float network, of the fake-quantised one (exact), and of the integers by the reference model.

use super::forward::{Place, forward};
use crate::{
    Dataset, FloatNet, Formats, QuantError, Split, quantise_images, read_float,
    round_after_training,
};
use burn::tensor::Tensor;
use cnna_machine::num::{Word, dequantise};
use cnna_net::{Graph, Op, Shape};
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// Images of one forward pass: enough to fill the cores, small enough for the caches.
const BATCH: usize = 100;

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

fn check(input: Shape, classes: usize, split: &Split) -> Result<(), QuantError> {
    let labels = split.labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
    if split.is_empty() || input != split.shape || labels > classes {
        return Err(QuantError::Option {
            option: "dataset",
            reason: format!(
                "{} images of shape {} with {labels} classes do not fit a network of input {input} with {classes} outputs",
                split.len(),
                split.shape
            ),
        });
    }
    Ok(())
}

/// The quantised graph's logits by the reference run, [image][class], images in parallel.
///
/// Cost: as many multiply-accumulates as the network has, times the images. Errors: shapes or classes that do not fit, a
/// tensor without a format, more than one input or output.
pub fn integer_logits(graph: &Graph, split: &Split) -> Result<Vec<Vec<i16>>, QuantError> {
    let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
        return Err(QuantError::Option {
            option: "model",
            reason: format!(
                "`{}` has {} inputs and {} outputs: labels are for networks with one of each",
                graph.name,
                graph.inputs.len(),
                graph.outputs.len()
            ),
        });
    };
    let tensor = &graph.tensors[input.tensor];
    check(
        tensor.shape,
        graph.tensors[output.tensor].shape.len(),
        split,
    )?;
    let frac = tensor.frac.unwrap_or_default();
    let run = |i: usize| {
        let image = quantise_images(split.image(i), frac, graph.word);
        let mut run = cnna_net::run::run(graph, &[&image])?;
        Ok(std::mem::take(&mut run.tensors[output.tensor].values))
    };
    (0..split.len()).into_par_iter().map(run).collect()
}

/// Accuracy of the quantised graph by the reference run. Cost and errors: as [`integer_logits`].
pub fn evaluate(graph: &Graph, split: &Split) -> Result<Accuracy, QuantError> {
    Ok(right_answers(&integer_logits(graph, split)?, split))
}

fn right_answers<T: PartialOrd + Copy>(logits: &[Vec<T>], split: &Split) -> Accuracy {
    let right = |(row, label): &(&Vec<T>, &u8)| first_largest(row) == usize::from(**label);
    Accuracy {
        correct: logits.iter().zip(&split.labels).filter(right).count(),
        images: split.len(),
    }
}

/// Calls `each` with the logits of every image, in order.
fn logits(
    net: &FloatNet,
    formats: Option<&Formats>,
    split: &Split,
    mut each: impl FnMut(&[f64]),
) -> Result<(), QuantError> {
    check(net.input(), net.classes(), split)?;
    let place = if formats.is_some() {
        Place::exact()
    } else {
        Place::float()
    };
    let tensors = place.layers(net, formats)?;
    let indices: Vec<usize> = (0..split.len()).collect();
    for chunk in indices.chunks(BATCH) {
        let x = place.batch(split, chunk, &[], formats);
        let y: Tensor<2> = forward(net, &tensors, formats, x, &mut |_, _| ());
        let y: Vec<f64> = y.try_into_vec_as().expect("a float tensor converts to f64");
        y.chunks_exact(net.classes()).for_each(&mut each);
    }
    Ok(())
}

fn all_logits(
    net: &FloatNet,
    formats: Option<&Formats>,
    split: &Split,
) -> Result<Vec<Vec<f64>>, QuantError> {
    let mut all = Vec::with_capacity(split.len());
    logits(net, formats, split, |row| all.push(row.to_vec()))?;
    Ok(all)
}

/// Accuracy in f32. Errors: shapes or classes that do not fit.
pub fn evaluate_float(net: &FloatNet, split: &Split) -> Result<Accuracy, QuantError> {
    Ok(right_answers(&all_logits(net, None, split)?, split))
}

/// Accuracy of the fake-quantised network, exact: that of its integers. Errors: as [`evaluate_float`]; bad weights.
pub fn evaluate_fake(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Accuracy, QuantError> {
    Ok(right_answers(
        &all_logits(net, Some(formats), split)?,
        split,
    ))
}

/// The fake-quantised network's logits, [image][class], exact. Errors: as [`evaluate_fake`].
pub fn fake_logits(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Vec<Vec<f64>>, QuantError> {
    all_logits(net, Some(formats), split)
}

/// Accuracy of a float ONNX file of this room on the test images.
pub fn float_accuracy(path: &Path, data: &Dataset) -> Result<Accuracy, QuantError> {
    evaluate_float(&read_float(path)?, &data.test)
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
/// and each quantisation-aware trained network given. Everything but the float row is measured on the integers.
///
/// Errors: shapes or classes that do not fit, bad weights.
pub fn accuracy_report(
    net: &FloatNet,
    trained: &[Graph],
    data: &Dataset,
) -> Result<Vec<AccuracyRow>, QuantError> {
    let float = all_logits(net, None, &data.test)?;
    let base = right_answers(&float, &data.test);
    let mut rows = vec![AccuracyRow {
        method: "float",
        word: None,
        auto_scale: None,
        correct: base.correct,
        images: base.images,
        percent: base.percent(),
        points: 0.0,
        agree: base.images,
        sqnr_db: None,
    }];
    let mut add = |method, integers: &Graph, auto_scale| -> Result<(), QuantError> {
        let words = integer_logits(integers, &data.test)?;
        let a = right_answers(&words, &data.test);
        let same = |(w, f): &(&Vec<i16>, &Vec<f64>)| first_largest(w) == first_largest(f);
        let frac = output_frac(integers);
        rows.push(AccuracyRow {
            method,
            word: Some(integers.word),
            auto_scale: Some(auto_scale),
            correct: a.correct,
            images: a.images,
            percent: a.percent(),
            points: a.percent() - base.percent(),
            agree: words.iter().zip(&float).filter(same).count(),
            sqnr_db: (method == "rounded").then(|| sqnr_db(&float, &words, frac)),
        });
        Ok(())
    };
    for word in [Word::W16, Word::W8] {
        for auto_scale in [true, false] {
            let rounded = round_after_training(net, &data.train, word, auto_scale)?;
            add("rounded", &rounded, auto_scale)?;
        }
    }
    for t in trained {
        add("trained", t, is_auto_scaled(t))?;
    }
    Ok(rows)
}

fn sqnr_db(real: &[Vec<f64>], words: &[Vec<i16>], frac: i32) -> f64 {
    let pairs = real.iter().flatten().zip(words.iter().flatten());
    let (mut signal, mut noise) = (0.0, 0.0);
    for (&r, &w) in pairs {
        signal += r * r;
        noise += (r - dequantise(w, frac)).powi(2);
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
