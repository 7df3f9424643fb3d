//! How near the integers are to the float network, tensor by tensor.

use super::classes::Agreement;
use super::equalise::View;
use super::weights::is_narrow;
use super::{FloatModel, PtqError};
use cnna_data::Samples;
use cnna_machine::num::{dequantise, quantise};
use cnna_net::run::Steps;
use cnna_net::{Graph, Node, Op};
use serde::Serialize;
use std::fmt::Write as _;

/// Below so many dB of the output a network's answers begin to change.
pub const LEAST_DB: f64 = 30.0;

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub tensor: String,
    /// The operator that writes it; none for an input.
    pub operator: Option<&'static str>,
    /// Fraction bits.
    pub frac: i32,
    /// Of a convolution: bits of its weights.
    pub weight_bits: Option<u32>,
    /// True where its output channels have weight scales of their own.
    pub per_channel: bool,
    /// Largest magnitude on the calibration images.
    pub peak: f32,
    /// Power of the float values over that of the error, in dB; none where there is no error.
    pub snr_db: Option<f64>,
    /// Results that saturated on the images measured.
    pub saturated: u64,
    /// True for an output of the network.
    pub output: bool,
}

/// All tensors of a quantised graph.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// In order of execution.
    pub rows: Vec<Row>,
    /// The worst output's, in dB; none where there is no error.
    pub output_db: Option<f64>,
    /// [`LEAST_DB`], for readers of the JSON.
    pub least_db: f64,
    /// Images measured.
    pub images: usize,
    /// Of a classifier some of whose weights are of eight bits among words of sixteen: what that does to its answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrow_classes: Option<Agreement>,
}

/// Signal and noise of one tensor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Power {
    signal: f64,
    noise: f64,
    saturated: u64,
}

impl Power {
    fn db(&self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal.max(f64::MIN_POSITIVE) / self.noise).log10())
    }
}

/// One image's inputs as words.
pub(super) fn words(graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<i16>> {
    let ports = graph.inputs.iter().zip(inputs);
    ports
        .map(|(p, v)| {
            let frac = graph.tensors[p.tensor].frac.unwrap_or_default();
            let word = |&x: &f32| quantise(x.into(), frac, graph.word).unwrap_or_default();
            v.iter().map(word).collect()
        })
        .collect()
}

/// Images that integers and float are compared on, read again each time: so they take the memory of one.
#[derive(Clone, Debug)]
pub struct Measured<'s> {
    samples: &'s [Samples],
    at: Vec<usize>,
}

impl<'s> Measured<'s> {
    /// The images of these indices, one set an input of the graph.
    pub fn new(samples: &'s [Samples], at: Vec<usize>) -> Self {
        Measured { samples, at }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// True without an image.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The inputs of each image. Errors: as [`Samples::image`].
    pub fn images(&self) -> impl Iterator<Item = Result<Vec<Vec<f32>>, PtqError>> {
        (0..self.len()).map(|k| self.image(k))
    }

    /// The inputs of one. Errors: as [`Samples::image`].
    pub fn image(&self, k: usize) -> Result<Vec<Vec<f32>>, PtqError> {
        let image = |s: &Samples| Ok(s.image(self.at[k])?);
        self.samples.iter().map(image).collect()
    }
}

/// Integers to be compared: a graph, and the operators of nodes whose constants it does not have.
pub(super) struct Integers<'g> {
    pub graph: &'g Graph,
    pub op: &'g dyn Fn(&Node) -> Option<Op>,
}

/// Runs `images` in integers and compares every tensor with `float`'s; its tensors come first in the graph's. Both
/// runs go side by side, so that a tensor is there no longer than it is needed. `views` tell what became of `float`'s
/// values in the graph. Errors: as the reference run.
pub(super) fn powers(
    integers: &Integers,
    float: &FloatModel,
    images: &Measured,
    views: &[Option<View>],
) -> Result<Vec<Power>, PtqError> {
    let graph = integers.graph;
    let mut powers = vec![Power::default(); graph.tensors.len()];
    for inputs in images.images() {
        let inputs = inputs?;
        let mut steps =
            Steps::new(graph, words(graph, &inputs), float.tensors()).with_operators(integers.op);
        float.run(inputs, |t, reals| {
            let (p, frac) = (&mut powers[t], graph.tensors[t].frac.unwrap_or_default());
            Ok(steps.take(t, |words| {
                p.saturated += words.saturated;
                let reals = View::of(views.get(t).and_then(Option::as_ref), reals);
                for (&w, &r) in words.values.iter().zip(reals.iter()) {
                    p.signal += f64::from(r).powi(2);
                    p.noise += (f64::from(r) - dequantise(w, frac)).powi(2);
                }
            })?)
        })?;
    }
    Ok(powers)
}

/// The worst output's signal-to-noise ratio in dB; none where there is no error.
pub(super) fn worst_output(graph: &Graph, powers: &[Power]) -> Option<f64> {
    let all = graph.outputs.iter().filter_map(|p| powers[p.tensor].db());
    all.reduce(f64::min)
}

/// The worst output's signal-to-noise ratio in dB; infinite where there is no error.
pub fn output_db(graph: &Graph, float: &FloatModel, images: &Measured) -> Result<f64, PtqError> {
    let whole = Integers {
        graph,
        op: &|_| None,
    };
    Ok(worst_output(graph, &powers(&whole, float, images, &[])?).unwrap_or(f64::INFINITY))
}

impl Table {
    /// Of a graph whose errors on so many images are known; `peaks` are those of the calibration.
    pub(super) fn new(graph: &Graph, powers: &[Power], peaks: &[f32], images: usize) -> Table {
        let row = |t: usize, op: Option<&Op>| Row {
            tensor: graph.tensors[t].name.clone(),
            operator: op.map(Op::name),
            weight_bits: op
                .and_then(Op::conv)
                .map(|c| match is_narrow(&c.weights, graph.word) {
                    true => 8,
                    false => graph.word.bits(),
                }),
            per_channel: op.and_then(Op::conv).is_some_and(|c| !c.finer.is_empty()),
            frac: graph.tensors[t].frac.unwrap_or_default(),
            peak: peaks.get(t).copied().unwrap_or_default(),
            snr_db: powers[t].db(),
            saturated: powers[t].saturated,
            output: graph.is_output(t),
        };
        let inputs = graph.inputs.iter().map(|p| row(p.tensor, None));
        // Rescaled copies, which the float network has not, have no row.
        let nodes = graph.nodes.iter().filter(|n| n.output < peaks.len());
        Table {
            rows: inputs
                .chain(nodes.map(|n| row(n.output, Some(&n.op))))
                .collect(),
            output_db: worst_output(graph, powers),
            least_db: LEAST_DB,
            images,
            narrow_classes: None,
        }
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|r| r.tensor.chars().count().min(40))
            .max()
            .unwrap_or(0)
            .max(6);
        let mut s = format!(
            "{:width$}  {:<13} {:>5} {:>7} {:>10} {:>8} {:>10}\n",
            "tensor", "operator", "frac", "weights", "peak", "SNR dB", "saturated"
        );
        for r in &self.rows {
            let skip = r.tensor.chars().count().saturating_sub(40);
            let name: String = r.tensor.chars().skip(skip).collect();
            let db = r.snr_db.map_or("exact".into(), |d| format!("{d:.1}"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                s,
                "{name:width$}  {:<13} {:>5} {:>7} {:>10.4} {db:>8} {:>10}",
                r.operator.unwrap_or("(input)"),
                r.frac,
                match (r.weight_bits, r.per_channel) {
                    (None, _) => String::new(),
                    (Some(bits), false) => bits.to_string(),
                    (Some(bits), true) => format!("{bits}/ch"),
                },
                r.peak,
                r.saturated
            );
        }
        if let Some(a) = &self.narrow_classes {
            let _ = writeln!(s, "{}", a.text());
        }
        s
    }

    /// What a user must know; none where all is well.
    pub fn warning(&self) -> Option<String> {
        let db = self.output_db.filter(|d| *d < LEAST_DB)?;
        let worst = self
            .rows
            .iter()
            .filter(|r| r.operator.is_some())
            .filter_map(|r| Some((r.snr_db?, &r.tensor)))
            .find(|(d, _)| *d < LEAST_DB);
        Some(format!(
            "the output's signal-to-noise ratio is {db:.1} dB, less than {LEAST_DB} dB{}: give calibration images like those to come, check the \
             pixels' scale (0..1 or 0..255, --mean, --std), or use 16-bit words",
            worst.map_or(String::new(), |(d, t)| format!(
                ", the first tensor below it is `{t}` with {d:.1} dB"
            ))
        ))
    }
}
