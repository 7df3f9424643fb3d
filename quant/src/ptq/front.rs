//! A model file as a quantised graph, whatever it holds: our formats as they are, another tool's scales as formats that cover
//! them, and a float model from calibration images.

use super::formats;
use super::range::covering;
use super::{FileModel, FloatModel, Options, PtqError, Quality, quantise, unquantised};
use cnna_data::{Preprocess, Samples, Wanted};
use cnna_machine::num::{dequantise, quantise as to_word};
use cnna_net::op::Activate;
use cnna_net::{Activation, Graph, Node, Op, run, settle};
use cnna_onnx::{ElementType, Import, Scale};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Calibration images as a user names them.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// The input's name, where a network has several, and a picture, array or folder.
    pub paths: Vec<(Option<String>, PathBuf)>,
    /// From pictures to inputs, as far as the model's file does not say it.
    pub preprocess: Wanted,
    /// At most so many images, evenly spread.
    pub most: usize,
}

impl Calibration {
    /// One set an input of the graph. Errors: a name that no input has, no images for an input.
    pub fn samples(
        &self,
        graph: &Graph,
        preprocess: &Preprocess,
    ) -> Result<Vec<Samples>, PtqError> {
        let mut all = Vec::new();
        for p in &graph.inputs {
            let mine = |(name, _): &&(Option<String>, PathBuf)| match name {
                Some(n) => *n == p.name,
                None => graph.inputs.len() == 1,
            };
            let paths: Vec<PathBuf> = self
                .paths
                .iter()
                .filter(mine)
                .map(|(_, p)| p.clone())
                .collect();
            if paths.is_empty() {
                return Err(super::inputs_error(graph, all.len()));
            }
            let shape = graph.tensors[p.tensor].shape;
            all.push(Samples::open(&paths, shape, &p.array, preprocess)?.spread(self.most));
        }
        Ok(all)
    }
}

/// A quantised graph and what a user should know about it.
#[derive(Clone, Debug)]
pub struct Front {
    /// Integers, ready to compile.
    pub graph: Graph,
    /// What was done to the model.
    pub notes: Vec<String>,
    /// Where it was quantised here.
    pub quantised: Option<Quality>,
    /// How pictures become its input, where the file or the user says so.
    pub preprocess: Option<Preprocess>,
}

/// Reads a model and quantises it where it is not.
///
/// Errors: an unreadable model; a float one without calibration images; as [`quantise`].
pub fn load_or_quantise(
    path: &Path,
    calibration: &Calibration,
    options: &Options,
    step: impl FnMut(usize, usize),
) -> Result<Front, PtqError> {
    let Import {
        mut graph,
        scales,
        metadata,
        word,
    } = cnna_onnx::read_import_for(path, options.word)?;
    let stored = Preprocess::of(metadata.iter().map(|(k, v)| (&k[..], &v[..])))?;
    let wanted = &calibration.preprocess;
    let preprocess = wanted.over(stored.as_ref());
    let mut notes: Vec<String> = wanted
        .changes(stored.as_ref())
        .into_iter()
        .map(|c| format!("{c}, which the model's file says"))
        .collect();
    let mut known = stored.is_some() || wanted.is_any();
    if word != graph.word {
        notes.push(format!(
            "its {}-bit words are exact among these of {} bits: what they saturate is clipped, in some places by a \
             pass of its own",
            word.bits(),
            graph.word.bits()
        ));
    }
    if !scales.is_empty() {
        graph.word = options.word;
        for s in &scales {
            graph.tensors[s.tensor].frac = Some(covering(reach(s), options.word));
        }
        saturate(&mut graph, &scales);
        notes.push(format!(
            "{} of its scales are no powers of two: their tensors have {}-bit words that cover the same ranges, its weights are the reals that its integers stand for",
            scales.len(),
            options.word.bits()
        ));
    }
    let quantised = match calibration.paths.is_empty() {
        true if graph.tensors.iter().all(|t| t.frac.is_none()) => {
            return Err(PtqError::NoImages {
                model: path.display().to_string(),
            });
        }
        true => {
            settle::fuse(&mut graph);
            settle::spread_formats(&mut graph);
            let covered = formats::cover(&mut graph);
            if !covered.is_empty() {
                notes.push(format!(
                    "it says no scale for {}: their words cover all that can come there, images give finer ones \
                     (`--calib`)",
                    covered.join(", ")
                ));
            }
            settle::settle(&mut graph)?;
            None
        }
        // Where the file has formats, images give those that it leaves open.
        false => {
            let samples = calibration.samples(&graph, &preprocess)?;
            known |= samples.iter().any(Samples::has_pictures);
            let imported = (!scales.is_empty()).then(|| graph.clone());
            let done = quantise(graph, &samples, options, step)?;
            graph = done.graph;
            if let Some(imported) = imported {
                notes.push(match Against::file(path, imported, &graph, &samples) {
                    Ok(against) => against.note(),
                    Err(e) => format!("its own integers could not be run for comparison: {e}"),
                });
            }
            notes.extend(done.quality.table.warning());
            Some(done.quality)
        }
    };
    Ok(Front {
        graph,
        notes,
        quantised,
        preprocess: known.then_some(preprocess),
    })
}

/// What a scale's integers saturate to.
fn limits(s: &Scale) -> [i64; 2] {
    match s.element {
        ElementType::I8 => [i8::MIN.into(), i8::MAX.into()],
        ElementType::U8 => [u8::MIN.into(), u8::MAX.into()],
        ElementType::I16 => [i64::from(i16::MIN), i16::MAX.into()],
        _ => [u16::MIN.into(), u16::MAX.into()],
    }
}

/// Tools leave a Relu or Clip out where their integers saturate there: the saturation is part of the network. Where it costs
/// nothing, behind a convolution or a sum, it becomes a clip.
fn saturate(graph: &mut Graph, scales: &[Scale]) {
    let clips: HashMap<usize, &Scale> = scales.iter().map(|s| (s.tensor, s)).collect();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut n in std::mem::take(&mut graph.nodes) {
        let after = n.output;
        let fuses = matches!(
            n.op,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Add(_) | Op::Activate(_)
        );
        let clip = clips.get(&after).filter(|_| fuses).map(|s| {
            let [lo, hi] = limits(s).map(|q| (q - s.zero_point) as f32 * s.scale);
            let name = format!("{}/saturated", n.name);
            n.output = graph.tensor(&name, graph.tensors[after].shape, None);
            Node {
                name,
                op: Activate {
                    function: Activation::Clip { lo, hi },
                }
                .into(),
                inputs: vec![n.output],
                output: after,
            }
        });
        nodes.push(n);
        nodes.extend(clip);
    }
    graph.nodes = nodes;
}

/// Largest magnitude that a scale's integers stand for.
fn reach(s: &Scale) -> f64 {
    let [min, max] = limits(s);
    let far = (min - s.zero_point).abs().max((max - s.zero_point).abs());
    // The most negative integer of a symmetric scale is one step beyond its range: no bit is spent on it.
    let far = if s.zero_point == 0 && min < 0 {
        max
    } else {
        far
    };
    f64::from(s.scale).abs() * far as f64
}

/// The outputs of a file that another tool quantised, run as it is, against ours and against its own reals.
#[derive(Debug, Default)]
struct Against {
    signal: f64,
    /// Squared differences of the file's outputs and ours.
    ours: f64,
    /// Of the file's outputs and those of its weights' reals with activations that are clipped, but not rounded.
    reals: f64,
}

impl Against {
    /// Runs the file, `imported` in reals and `graph` in integers. Errors: a file that the engine does not run.
    fn file(
        path: &Path,
        imported: Graph,
        graph: &Graph,
        samples: &[Samples],
    ) -> Result<Self, PtqError> {
        let inputs = graph.inputs.iter().map(|p| (&p.name[..], &p.array));
        let outputs = graph.outputs.iter().map(|p| &p.name[..]);
        let file = FileModel::open(path, inputs, outputs)?;
        let imported = unquantised(imported);
        let float = FloatModel::new(&imported)?;
        let images = samples.iter().map(Samples::len).min().unwrap_or(0);
        let mut sums = Against::default();
        for i in 0..images.min(super::MEASURED) {
            let (mut words, mut given) = (Vec::new(), Vec::new());
            for (p, s) in graph.inputs.iter().zip(samples) {
                let values = s.image(i)?;
                let frac = graph.tensors[p.tensor].frac.unwrap_or_default();
                let word = |&x: &f32| to_word(x.into(), frac, graph.word).unwrap_or_default();
                words.push(values.iter().map(word).collect::<Vec<i16>>());
                given.push(values);
            }
            let words: Vec<&[i16]> = words.iter().map(|w| &w[..]).collect();
            let ours = run::run(graph, &words)?;
            let theirs = file.run(&given)?;
            let reals = float.outputs(given)?;
            let ports = graph.outputs.iter().zip(&reals).zip(theirs);
            for ((p, reals), values) in ports {
                let frac = graph.tensors[p.tensor].frac.unwrap_or_default();
                let words = &ours.tensors[p.tensor].values;
                for (v, at) in values.into_iter().zip(p.array.offsets()) {
                    let v = f64::from(v);
                    sums.signal += v * v;
                    sums.ours += (v - dequantise(words[at], frac)).powi(2);
                    sums.reals += (v - f64::from(reals[at])).powi(2);
                }
            }
        }
        Ok(sums)
    }

    fn note(&self) -> String {
        let db = |noise: f64| 10.0 * (self.signal / noise.max(f64::MIN_POSITIVE)).log10();
        format!(
            "its own integers and these differ by {:.1} dB of the output; its own are {:.1} dB from its reals, whose activations are not \
             rounded: a network as fine as these words cannot be nearer to it than that",
            db(self.ours),
            db(self.reals)
        )
    }
}
