//! Post-training quantisation: number formats for every tensor of a float graph from sample images, weights as they are.
//!
//! ```text
//! float.rs    the float network, every tensor of it, by rten
//! range.rs    what values a tensor had, and the format that follows
//! formats.rs  one format a tensor, shared where tensors meet
//! correct.rs  bias correction
//! weights.rs  weights of eight bits, and scales of output channels
//! table.rs    integers against float: signal-to-noise, saturation
//! file.rs     a model's file as it is, by rten
//! front.rs    a model file, quantised or not, as a quantised graph
//! ```

mod correct;
mod error;
mod file;
mod float;
pub(crate) mod formats;
mod front;
pub(crate) mod range;
mod table;
mod weights;

pub use error::PtqError;
pub use file::FileModel;
pub use float::{FloatModel, unquantised};
pub use front::{Calibration, Front, load_or_quantise};
pub use range::{Method, covering};
pub use table::{LEAST_DB, Row, Table, output_db};
pub use weights::{NARROW_DB, Narrow};

use cnna_data::Samples;
use cnna_machine::num::Word;
use cnna_net::{Graph, GraphError, settle};
use range::Range;
use weights::Rounding;

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
    /// Measured on some of the calibration images.
    pub table: Table,
    /// The method that was taken.
    pub method: Method,
    /// True when bias correction made the output better and was kept.
    pub corrected: bool,
    /// Calibration images.
    pub images: usize,
}

/// Quantises a float graph from `samples`, one set an input of the graph; `step` is told how many images are done. Tensors
/// that have a format keep it.
///
/// Errors: no images or too few sets; images that do not fit; values that are not finite; what the machine cannot hold.
pub fn quantise(
    graph: &Graph,
    samples: &[Samples],
    options: &Options,
    mut step: impl FnMut(usize, usize),
) -> Result<Quantised, PtqError> {
    let images = samples.iter().map(Samples::len).min().unwrap_or(0);
    if samples.len() != graph.inputs.len() || images == 0 {
        return Err(inputs_error(graph, samples.len()));
    }
    check_finite(graph)?;
    let mut float = graph.clone();
    float.word = options.word;
    settle::fuse(&mut float);
    let given: Vec<Option<i32>> = float.tensors.iter().map(|t| t.frac).collect();
    let float = unquantised(&float);
    let bounds = formats::bounds(&float);
    let model = FloatModel::new(&float)?;
    let mut ranges = vec![Range::default(); float.tensors.len()];
    let mut means = correct::Means::new(&float);
    // Evenly spread, so that class folders have their share.
    let measured_at: Vec<usize> = (0..images.min(MEASURED))
        .map(|k| k * images / images.min(MEASURED))
        .collect();
    let mut measured = Vec::new();
    for i in 0..images {
        step(i, images);
        let inputs = samples
            .iter()
            .map(|s| s.image(i))
            .collect::<Result<Vec<_>, _>>()?;
        let tensors = model.run(&inputs)?;
        for (t, values) in tensors.iter().enumerate() {
            if let Some(v) = values.iter().find(|v| !v.is_finite()) {
                return Err(PtqError::NotFinite {
                    tensor: float.tensors[t].name.clone(),
                    value: *v,
                    image: samples[0].name(i),
                });
            }
            ranges[t].add(values);
        }
        means.add(&tensors);
        if measured_at.contains(&i) {
            measured.push(inputs);
        }
    }
    step(images, images);
    let with = |float: &Graph, method: Method, how: &Rounding| -> Result<Graph, PtqError> {
        let own = ranges
            .iter()
            .zip(&bounds)
            .map(|(r, b)| r.frac(method, options.word, *b));
        let wanted = given
            .iter()
            .zip(own)
            .map(|(g, own)| g.unwrap_or(own))
            .collect();
        let mut graph = float.clone();
        for (t, frac) in formats::assign(float, wanted, options.word)
            .into_iter()
            .enumerate()
        {
            graph.tensors[t].frac = Some(frac);
        }
        weights::round(&mut graph, how)?;
        settle::settle(&mut graph)?;
        Ok(graph)
    };
    let mut rounding = Rounding {
        per_channel: options.per_channel,
        narrow: vec![options.narrow == Narrow::All; float.tensors.len()],
    };
    let mut best: Option<(f64, Method, Graph)> = None;
    let tried = match (options.method, options.word) {
        (Some(m), _) => vec![m],
        (None, Word::W16) => vec![Method::Max],
        (None, Word::W8) => Method::ALL.to_vec(),
    };
    for method in tried {
        let graph = with(&float, method, &rounding)?;
        // The same formats give the same integers.
        if best
            .as_ref()
            .is_some_and(|(_, _, g)| g.tensors == graph.tensors)
        {
            continue;
        }
        let db = output_db(&graph, &model, &measured)?;
        if best.as_ref().is_none_or(|(b, _, _)| db > *b + WORTH_DB) {
            best = Some((db, method, graph));
        }
    }
    let (mut db, method, mut quantised) = best.expect("at least one method was tried");
    if options.narrow == Narrow::Auto && options.word == Word::W16 {
        let rounded = |how: &Rounding| with(&float, method, how);
        rounding.narrow = weights::pick(rounded, options.per_channel, &model, &measured)?;
        quantised = with(&float, method, &rounding)?;
        db = output_db(&quantised, &model, &measured)?;
    }
    let mut corrected_float = float.clone();
    correct::correct(&mut corrected_float, &quantised, &means);
    // Where a mean is far beyond its tensor's format the correction may not fit, and would be of no use.
    let mut corrected = false;
    if let Ok(graph) = with(&corrected_float, method, &rounding) {
        corrected = output_db(&graph, &model, &measured)? > db;
        if corrected {
            quantised = graph;
        }
    }
    let peaks: Vec<f32> = ranges.iter().map(Range::peak).collect();
    let table = Table::measure(&quantised, &model, &measured, &peaks)?;
    Ok(Quantised {
        graph: quantised,
        table,
        method,
        corrected,
        images,
    })
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
