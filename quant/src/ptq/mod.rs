//! Post-training quantisation: number formats for every tensor of a float graph from sample images, weights as they are.
//!
//! ```text
//! float.rs    the float network, every tensor of it, by rten
//! range.rs    what values a tensor had, and the format that follows
//! formats.rs  one format a tensor, shared where tensors meet
//! subject.rs  what is tried, and the best of it
//! correct.rs  bias correction
//! equalise.rs equal ranges for the channels of a map, for words of eight bits
//! weights.rs  weights of eight bits, and scales of output channels
//! classes.rs  a classifier's answers with weights of eight bits
//! table.rs    integers against float: signal-to-noise, saturation
//! file.rs     a model's file as it is, by rten
//! own.rs      a file of another tool in units of its own scales
//! front.rs    a model file, quantised or not, as a quantised graph
//! ```

mod classes;
mod correct;
mod equalise;
mod error;
mod file;
mod float;
pub(crate) mod formats;
mod front;
mod own;
pub(crate) mod range;
mod subject;
mod table;
pub(crate) mod weights;

pub use classes::{Agreement, LEAST_AGREEMENT};
pub use error::PtqError;
pub use file::FileModel;
pub use float::{FloatModel, unquantised};
pub use front::{Calibration, Front, load_or_quantise};
pub use range::{Method, covering};
pub use table::{LEAST_DB, Measured, Row, Table, output_db};
pub use weights::{NARROW_DB, Narrow};

use cnna_data::Samples;
use cnna_machine::num::Word;
use cnna_net::{Graph, GraphError, settle};
use range::Range;
use subject::Subject;

/// Images that decide between methods, and that the table is measured on: the reference run takes a second for a large
/// network's image.
const MEASURED: usize = 4;

/// What a method must be better by than the one before it: ranges that cover every peak also leave room for images to come,
/// which those measured do not show.
const WORTH_DB: f64 = 1.0;

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Width of weights and activations.
    pub word: Word,
    /// How ranges become formats. Without one 16-bit words cover every peak with room to spare; for 8-bit words all are tried,
    /// and the one with the best output on the calibration images is taken: which is best depends on the network's outliers.
    pub method: Option<Method>,
    /// Layers whose weights have eight bits among words of sixteen.
    pub narrow: Narrow,
    /// A weight scale for each output channel of a convolution.
    pub per_channel: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            word: Word::W16,
            method: None,
            narrow: Narrow::Off,
            per_channel: false,
        }
    }
}

/// A quantised graph and how good it is.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// Integers.
    pub graph: Graph,
    /// What they were made from, and how near they are.
    pub quality: Quality,
}

/// How a graph became integers.
#[derive(Clone, Debug)]
pub struct Quality {
    /// Measured on some of the calibration images.
    pub table: Table,
    /// The method that was taken; none where the file's own integers stand, and the reals that they are rounded from are what it
    /// is compared with.
    pub method: Option<Method>,
    /// True when bias correction made the output better and was kept.
    pub corrected: bool,
    /// True when equal ranges for the channels of maps, which 8-bit words try, made the output better and were kept. The
    /// table's values are then those of the scaled maps.
    pub equalised: bool,
    /// Calibration images.
    pub images: usize,
}

impl Quality {
    /// How near the output is, and to what, for the screen.
    pub fn output(&self) -> String {
        let db = self.table.output_db;
        let db = db.map_or("exact".into(), |d| format!("{d:.1} dB"));
        let what = match self.method {
            Some(_) => "float",
            None => "the file's reals, whose activations are not rounded,",
        };
        format!("output {db} against {what}")
    }
}

/// What the calibration images tell.
struct Seen {
    /// Of each tensor.
    ranges: Vec<Range>,
    means: correct::Means,
    channels: equalise::Channels,
}

/// Runs all images in float, one after another, and keeps statistics of each tensor. Errors: images that do not
/// fit, values that are not finite.
fn look(
    float: &Graph,
    model: &FloatModel,
    samples: &[Samples],
    mut step: impl FnMut(usize, usize),
) -> Result<Seen, PtqError> {
    let images = samples.iter().map(Samples::len).min().unwrap_or(0);
    let mut ranges = vec![Range::default(); float.tensors.len()];
    let mut means = correct::Means::new(float);
    let mut channels = equalise::Channels::new(float);
    for i in 0..images {
        step(i, images);
        let inputs = samples
            .iter()
            .map(|s| s.image(i))
            .collect::<Result<Vec<_>, _>>()?;
        means.image();
        model.run(inputs, |t, values| {
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(PtqError::NotFinite {
                    tensor: float.tensors[t].name.clone(),
                    value: *v,
                    image: samples[0].name(i),
                });
            }
            ranges[t].add(values);
            means.add(t, values);
            if float.word == Word::W8 {
                channels.add(t, values);
            }
            Ok(())
        })?;
    }
    step(images, images);
    Ok(Seen {
        ranges,
        means,
        channels,
    })
}

/// Quantises a float graph from `samples`, one set an input of the graph; `step` is told how many images are done.
/// Tensors that have a format keep it.
///
/// Errors: no images or too few sets; images that do not fit; values that are not finite; what the machine cannot hold.
pub fn quantise(
    graph: Graph,
    samples: &[Samples],
    options: &Options,
    step: impl FnMut(usize, usize),
) -> Result<Quantised, PtqError> {
    let images = samples.iter().map(Samples::len).min().unwrap_or(0);
    if samples.len() != graph.inputs.len() || images == 0 {
        return Err(inputs_error(&graph, samples.len()));
    }
    check_finite(&graph)?;
    let mut float = graph;
    float.word = options.word;
    settle::fuse(&mut float);
    let given: Vec<Option<i32>> = float.tensors.iter().map(|t| t.frac).collect();
    let float = unquantised(float);
    let model = FloatModel::new(&float)?;
    let mut seen = look(&float, &model, samples, step)?;
    let measured = Measured::new(samples, spread(images));
    let all = Measured::new(samples, (0..images).collect());
    let plain = Subject {
        float: &float,
        given: &given,
        seen: &seen,
        views: &[],
        model: &model,
        measured: &measured,
        images: &all,
    };
    let (mut done, mut equal) = (plain.best(options)?, false);
    if options.word == Word::W8
        && let Some(e) = equalise::equalised(&float, &given, &seen.channels, images)?
    {
        let its = look(&e.graph, &FloatModel::new(&e.graph)?, samples, |_, _| {})?;
        let subject = Subject {
            float: &e.graph,
            given: &e.given,
            seen: &its,
            views: &e.views,
            ..plain
        };
        // Formats that hold no shift of the machine, or a sum too large: then not.
        if let Ok(tried) = subject.best(options)
            && tried.db > done.db + WORTH_DB
        {
            (done, equal, seen) = (tried, true, its);
        }
    }
    let peaks: Vec<f32> = seen.ranges.iter().map(Range::peak).collect();
    let mut table = Table::new(&done.graph, &done.powers, &peaks, measured.len());
    table.narrow_classes = done.agreement;
    Ok(Quantised {
        quality: Quality {
            table,
            method: Some(done.method),
            corrected: done.corrected,
            equalised: equal,
            images,
        },
        graph: done.graph,
    })
}

/// How near integers whose formats all stand are to the reals of `float`, which they were rounded from.
///
/// Errors: images that do not fit, or give values that are not finite; what the float engine does not run.
fn quality_of(graph: &Graph, float: Graph, samples: &[Samples]) -> Result<Quality, PtqError> {
    let float = unquantised(float);
    let model = FloatModel::new(&float)?;
    let seen = look(&float, &model, samples, |_, _| {})?;
    let images = samples.iter().map(Samples::len).min().unwrap_or(0);
    let measured = Measured::new(samples, spread(images));
    let integers = table::Integers {
        graph,
        op: &|_| None,
    };
    let powers = table::powers(&integers, &model, &measured, &[])?;
    let peaks: Vec<f32> = seen.ranges.iter().map(Range::peak).collect();
    Ok(Quality {
        table: Table::new(graph, &powers, &peaks, measured.len()),
        method: None,
        corrected: false,
        equalised: false,
        images,
    })
}

/// The images measured of so many: evenly spread, so that class folders have their share.
fn spread(images: usize) -> Vec<usize> {
    let few = images.min(MEASURED);
    (0..few).map(|k| k * images / few).collect()
}

/// Refuses constants that are NaN or infinite, by node and index.
fn check_finite(graph: &Graph) -> Result<(), PtqError> {
    for n in &graph.nodes {
        for v in n.op.constants() {
            let Some(i) = v.not_finite() else { continue };
            let value = v.reals().map_or(f32::NAN, |r| r[i]);
            return Err(PtqError::Graph(GraphError::Node {
                node: n.name.clone(),
                operator: n.op.name(),
                reason: format!(
                    "element {i} of its constants is {value}: the model is damaged or its training diverged"
                ),
            }));
        }
    }
    Ok(())
}

fn inputs_error(graph: &Graph, given: usize) -> PtqError {
    let names: Vec<_> = graph.inputs.iter().map(|p| p.name.as_str()).collect();
    PtqError::Inputs {
        inputs: graph.inputs.len(),
        names: names.join(", "),
        given,
    }
}
