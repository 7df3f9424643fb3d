//! Post-training quantisation: number formats for every tensor of a float graph from sample images, weights as they are.
//!
//! ```text
//! float.rs    the float network, every tensor of it, by rten
//! range.rs    what values a tensor had, and the format that follows
//! formats.rs  one format a tensor, shared where tensors meet
//! correct.rs  bias correction
//! equalise.rs equal ranges for the channels of a map, for words of eight bits
//! weights.rs  weights of eight bits, and scales of output channels
//! table.rs    integers against float: signal-to-noise, saturation
//! file.rs     a model's file as it is, by rten
//! own.rs      a file of another tool in units of its own scales
//! front.rs    a model file, quantised or not, as a quantised graph
//! ```

mod correct;
mod equalise;
mod error;
mod file;
mod float;
pub(crate) mod formats;
mod front;
mod own;
pub(crate) mod range;
mod table;
pub(crate) mod weights;

pub use error::PtqError;
pub use file::FileModel;
pub use float::{FloatModel, unquantised};
pub use front::{Calibration, Front, load_or_quantise};
pub use range::{Method, covering};
pub use table::{LEAST_DB, Measured, Row, Table, output_db};
pub use weights::{NARROW_DB, Narrow};

use cnna_data::Samples;
use cnna_machine::num::Word;
use cnna_net::{Graph, GraphError, Tensor, settle};
use equalise::View;
use range::Range;
use table::Power;
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
    /// What they were made from, and how near they are.
    pub quality: Quality,
}

/// How a graph became integers.
#[derive(Clone, Debug)]
pub struct Quality {
    /// Measured on some of the calibration images.
    pub table: Table,
    /// The method that was taken.
    pub method: Method,
    /// True when bias correction made the output better and was kept.
    pub corrected: bool,
    /// True when equal ranges for the channels of maps, which 8-bit words try, made the output better and were kept. The
    /// table's values are then those of the scaled maps.
    pub equalised: bool,
    /// Calibration images.
    pub images: usize,
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

/// A float graph to quantise, and what is known of it.
struct Subject<'s> {
    float: &'s Graph,
    /// Formats that tensors must have.
    given: &'s [Option<i32>],
    seen: &'s Seen,
    /// How its tensors' values differ from those of the network that it is compared with.
    views: &'s [Option<View>],
}

/// A subject as integers.
struct Attempt {
    graph: Graph,
    /// The worst output's signal-to-noise.
    db: f64,
    powers: Vec<Power>,
    method: Method,
    corrected: bool,
}

impl Subject<'_> {
    /// Integers by one method.
    fn with(
        &self,
        method: Method,
        how: &Rounding,
        biases: &[Option<Vec<f32>>],
    ) -> Result<Graph, PtqError> {
        let (float, word) = (self.float, self.float.word);
        let bounds = formats::bounds(float);
        let ranges = self.seen.ranges.iter().zip(&bounds);
        let own = ranges.map(|(r, b)| r.frac(method, word, *b));
        let wanted = self.given.iter().zip(own).map(|(g, own)| g.unwrap_or(own));
        let mut fracs = formats::assign(float, wanted.collect(), word);
        let own = fracs.iter_mut().zip(self.given);
        own.for_each(|(f, given)| *f = given.unwrap_or(*f));
        let mut graph = weights::round(float, fracs, how, biases)?;
        settle::settle(&mut graph)?;
        Ok(graph)
    }

    /// The best integers that the options allow, compared with `model`.
    fn best(
        &self,
        model: &FloatModel,
        measured: &Measured,
        options: &Options,
    ) -> Result<Attempt, PtqError> {
        let mut rounding = Rounding {
            per_channel: options.per_channel,
            narrow: vec![options.narrow == Narrow::All; self.float.tensors.len()],
        };
        // Beside the reals there are one layer's words at a time.
        let errors = |graph: Graph, how: &Rounding| {
            let rounded = weights::Rounded::new(graph, self.float, how);
            let integers = table::Integers {
                graph: &rounded.graph,
                op: &|n| rounded.operator(n),
            };
            let powers = table::powers(&integers, model, measured, self.views)?;
            let db = table::worst_output(&rounded.graph, &powers).unwrap_or(f64::INFINITY);
            Ok::<_, PtqError>((db, powers))
        };
        let mut best: Option<(f64, Method, Vec<Tensor>, Vec<Power>)> = None;
        let tried = match (options.method, options.word) {
            (Some(m), _) => vec![m],
            (None, Word::W16) => vec![Method::Max],
            (None, Word::W8) => Method::ALL.to_vec(),
        };
        for method in tried {
            let graph = self.with(method, &rounding, &[])?;
            // The same formats give the same integers.
            if best
                .as_ref()
                .is_some_and(|(_, _, t, _)| *t == graph.tensors)
            {
                continue;
            }
            let tensors = graph.tensors.clone();
            let (db, powers) = errors(graph, &rounding)?;
            if best.as_ref().is_none_or(|(b, ..)| db > *b + WORTH_DB) {
                best = Some((db, method, tensors, powers));
            }
        }
        let (mut db, method, _, mut powers) = best.expect("at least one method was tried");
        if options.narrow == Narrow::Auto && options.word == Word::W16 {
            let rounded = |how: &Rounding| self.with(method, how, &[]);
            rounding.narrow = weights::pick(rounded, options.per_channel, model, measured)?;
            (db, powers) = errors(self.with(method, &rounding, &[])?, &rounding)?;
        }
        let quantised = self.with(method, &rounding, &[])?;
        let biases = correct::corrected(self.float, &quantised, &self.seen.means);
        // One graph of words at a time: making the first again is cheaper than the memory of both.
        drop(quantised);
        let mut corrected = false;
        // Where a mean is far beyond its tensor's format the correction may not fit, and would be of no use.
        if let Ok(graph) = self.with(method, &rounding, &biases) {
            let (its_db, its) = errors(graph, &rounding)?;
            if its_db > db {
                (corrected, db, powers) = (true, its_db, its);
            }
        }
        let kept: &[_] = if corrected { &biases } else { &[] };
        let graph = self.with(method, &rounding, kept)?;
        Ok(Attempt {
            graph,
            db,
            powers,
            method,
            corrected,
        })
    }
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
    // Evenly spread, so that class folders have their share.
    let few = images.min(MEASURED);
    let measured = Measured::new(samples, (0..few).map(|k| k * images / few).collect());
    let plain = Subject {
        float: &float,
        given: &given,
        seen: &seen,
        views: &[],
    };
    let (mut done, mut equal) = (plain.best(&model, &measured, options)?, false);
    if options.word == Word::W8
        && let Some(e) = equalise::equalised(&float, &given, &seen.channels, images)?
    {
        let its = look(&e.graph, &FloatModel::new(&e.graph)?, samples, |_, _| {})?;
        let subject = Subject {
            float: &e.graph,
            given: &e.given,
            seen: &its,
            views: &e.views,
        };
        // Formats that hold no shift of the machine, or a sum too large: then not.
        if let Ok(tried) = subject.best(&model, &measured, options)
            && tried.db > done.db + WORTH_DB
        {
            (done, equal, seen) = (tried, true, its);
        }
    }
    let peaks: Vec<f32> = seen.ranges.iter().map(Range::peak).collect();
    Ok(Quantised {
        quality: Quality {
            table: Table::new(&done.graph, &done.powers, &peaks, measured.len()),
            method: done.method,
            corrected: done.corrected,
            equalised: equal,
            images,
        },
        graph: done.graph,
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
