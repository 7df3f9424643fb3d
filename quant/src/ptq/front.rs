//! A model file as a quantised graph, whatever it holds: our formats as they are, another tool's scales as formats that cover
//! them, and a float model from calibration images.

use super::range::covering;
use super::{FileModel, Options, PtqError, Quantised, quantise};
use cnna_data::{Preprocess, Samples};
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
    /// From pictures to inputs.
    pub preprocess: Preprocess,
    /// At most so many images, evenly spread.
    pub most: usize,
}

impl Calibration {
    /// One set an input of the graph. Errors: a name that no input has, no images for an input.
    pub fn samples(&self, graph: &Graph) -> Result<Vec<Samples>, PtqError> {
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
            all.push(Samples::open(&paths, shape, &p.array, &self.preprocess)?.spread(self.most));
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
    pub quantised: Option<Quantised>,
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
    let import = cnna_onnx::read_import(path)?;
    if !import.scales.is_empty() {
        return rescaled(path, import, calibration, options, step);
    }
    let mut graph = import.graph;
    if graph.tensors.iter().any(|t| t.frac.is_some()) && calibration.paths.is_empty() {
        settle::settle(&mut graph)?;
        return Ok(Front {
            graph,
            notes: Vec::new(),
            quantised: None,
        });
    }
    if calibration.paths.is_empty() {
        return Err(PtqError::NoImages {
            model: path.display().to_string(),
        });
    }
    let samples = calibration.samples(&graph)?;
    let q = quantise(&graph, &samples, options, step)?;
    let notes = q.table.warning().into_iter().collect();
    Ok(Front {
        graph: q.graph.clone(),
        notes,
        quantised: Some(q),
    })
}

/// Formats that cover another tool's scales; weights are the reals that its integers stand for.
fn rescaled(
    path: &Path,
    import: Import,
    calibration: &Calibration,
    options: &Options,
    step: impl FnMut(usize, usize),
) -> Result<Front, PtqError> {
    let Import { mut graph, scales } = import;
    graph.word = options.word;
    for s in &scales {
        graph.tensors[s.tensor].frac = Some(covering(reach(s), options.word));
    }
    saturate(&mut graph, &scales);
    let mut notes = vec![format!(
        "{} of its scales are no powers of two: their tensors have {}-bit words that cover the same ranges, its weights are the reals that its integers stand for",
        scales.len(),
        options.word.bits()
    )];
    if calibration.paths.is_empty() {
        settle::settle(&mut graph)?;
        return Ok(Front {
            graph,
            notes,
            quantised: None,
        });
    }
    // Images also give formats to what the file leaves without a scale.
    let samples = calibration.samples(&graph)?;
    let q = quantise(&graph, &samples, options, step)?;
    notes.push(match against_file(path, &q.graph, &samples) {
        Ok(db) => format!("its own integers and these differ by {db:.1} dB of the output"),
        Err(e) => format!("its own integers could not be run for comparison: {e}"),
    });
    notes.extend(q.table.warning());
    Ok(Front {
        graph: q.graph.clone(),
        notes,
        quantised: Some(q),
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

/// Signal-to-noise of the graph's outputs against the file run as it is.
fn against_file(path: &Path, graph: &Graph, samples: &[Samples]) -> Result<f64, PtqError> {
    let inputs = graph.inputs.iter().map(|p| (&p.name[..], &p.array));
    let outputs = graph.outputs.iter().map(|p| &p.name[..]);
    let file = FileModel::open(path, inputs, outputs)?;
    let images = samples
        .iter()
        .map(Samples::len)
        .min()
        .unwrap_or(0)
        .min(super::MEASURED);
    let (mut signal, mut noise) = (0.0, 0.0);
    for i in 0..images {
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
        for (p, value) in graph.outputs.iter().zip(theirs) {
            let frac = graph.tensors[p.tensor].frac.unwrap_or_default();
            let values = &ours.tensors[p.tensor].values;
            for (r, at) in value.into_iter().zip(p.array.offsets()) {
                signal += f64::from(r).powi(2);
                noise += (f64::from(r) - dequantise(values[at], frac)).powi(2);
            }
        }
    }
    Ok(10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10())
}
