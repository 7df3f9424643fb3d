//! A model file as a quantised graph, whatever it holds: our formats as they are, another tool's scales as formats that cover
//! them, and a float model from calibration images.

use super::own::own_integers;
use super::range::covering;
use super::weights::Rounding;
use super::{
    Agreement, FileModel, FloatModel, Narrow, Options, PtqError, Quality, quantise, unquantised,
};
use super::{formats, weights};
use cnna_data::{Preprocess, Samples, Wanted};
use cnna_machine::num::{Word, dequantise};
use cnna_net::{Graph, Op, Port, run, settle};
use cnna_onnx::{Import, Scale};
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
    /// Where it was quantised here, or images tell how near its own integers are to their reals.
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
    let samples = match calibration.paths.is_empty() {
        true if graph.tensors.iter().all(|t| t.frac.is_none()) && scales.is_empty() => {
            return Err(PtqError::NoImages {
                model: path.display().to_string(),
            });
        }
        true => None,
        false => Some(calibration.samples(&graph, &preprocess)?),
    };
    known |= samples.iter().flatten().any(Samples::has_pictures);
    let samples = samples.as_deref();
    let (graph, quantised) = match scales.is_empty() {
        true => numbers(graph, samples, options, &mut notes, step)?,
        false => {
            graph.word = options.word;
            other_tools(path, graph, &scales, samples, options, &mut notes, step)?
        }
    };
    Ok(Front {
        graph,
        notes,
        quantised,
        preprocess: known.then_some(preprocess),
    })
}

/// The integers of a graph: what formats it leaves open images give, or what can come there at most.
fn numbers(
    mut graph: Graph,
    samples: Option<&[Samples]>,
    options: &Options,
    notes: &mut Vec<String>,
    step: impl FnMut(usize, usize),
) -> Result<(Graph, Option<Quality>), PtqError> {
    if let Some(samples) = samples {
        let done = quantise(graph, samples, options, step)?;
        let table = &done.quality.table;
        notes.extend(table.warning());
        notes.extend(table.narrow_classes.as_ref().and_then(Agreement::warning));
        return Ok((done.graph, Some(done.quality)));
    }
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
    Ok((graph, None))
}

/// The integers of a file with scales that are no powers of two: its own, or where these cannot be had, or images do not
/// show that they are nearer to the file's answers, words that cover the same ranges.
fn other_tools(
    path: &Path,
    graph: Graph,
    scales: &[Scale],
    samples: Option<&[Samples]>,
    options: &Options,
    notes: &mut Vec<String>,
    mut step: impl FnMut(usize, usize),
) -> Result<(Graph, Option<Quality>), PtqError> {
    let against = samples.map(|s| Against::new(path, &graph, s));
    let own = match options.narrow {
        Narrow::Off => own_integers(&graph, scales, options.word)?,
        // Its weights times its scales have more than eight bits.
        _ => None,
    };
    let count = scales.len();
    let mut own_notes = vec![format!(
        "{count} of its scales are no powers of two: it runs in its own integers, each tensor in units of its scale"
    )];
    let mut nearest = None;
    if let Some(own) = own {
        let done = own_numbers(own, samples, options, &mut own_notes, &mut step)?;
        let against = match &against {
            Some(Ok(against)) => against,
            other => {
                own_notes.extend(other.iter().filter_map(|a| a.as_ref().err()).map(unknown));
                notes.append(&mut own_notes);
                return Ok(done);
            }
        };
        nearest = Some((against.integers(&done.0)?, done));
    }
    let mut reals = graph.clone();
    without_passes(&mut reals, scales, options.word);
    let mut reals_notes = vec![format!(
        "{count} of its scales are no powers of two: their tensors have {}-bit words that cover the same ranges, its weights are the reals that its integers stand for",
        options.word.bits()
    )];
    let done = numbers(reals, samples, options, &mut reals_notes, step)?;
    let db = match &against {
        Some(Ok(against)) => Some(against.integers(&done.0)?),
        _ => None,
    };
    if let (Some((own_db, _)), Some(db)) = (&nearest, db)
        && *own_db > db + super::WORTH_DB
    {
        own_notes.push(format!(
            "the output has {own_db:.1} dB against its own integers; words as fine as this machine's, which do not repeat its \
             roundings, would have {db:.1} dB"
        ));
    } else {
        own_notes = reals_notes;
        match against {
            Some(Ok(against)) => own_notes.push(format!(
                "its own integers and these differ by {:.1} dB of the output; its own are {:.1} dB from its reals, whose activations are not \
                 rounded{}",
                db.unwrap_or_default(),
                against.reals(graph)?,
                nearest.take().map_or(String::new(), |(db, _)| format!(
                    "; running in its own integers would be no nearer: {db:.1} dB"
                ))
            )),
            Some(Err(e)) => own_notes.push(unknown(&e)),
            None => {}
        }
    }
    notes.append(&mut own_notes);
    Ok(nearest.map_or(done, |(_, own)| own))
}

fn unknown(e: &PtqError) -> String {
    format!("its own integers could not be run for comparison: {e}")
}

/// [`numbers`] of a graph in a file's own units, whose formats stand: their table says what the file's rounding costs, which is
/// no reason to warn of.
fn own_numbers(
    mut graph: Graph,
    samples: Option<&[Samples]>,
    options: &Options,
    notes: &mut Vec<String>,
    step: impl FnMut(usize, usize),
) -> Result<(Graph, Option<Quality>), PtqError> {
    settle::fuse(&mut graph);
    settle::spread_formats(&mut graph);
    let fracs: Option<Vec<i32>> = graph.tensors.iter().map(|t| t.frac).collect();
    let Some(fracs) = fracs else {
        return numbers(graph, samples, options, notes, step);
    };
    let how = Rounding {
        per_channel: options.per_channel,
        narrow: Vec::new(),
    };
    let mut words = weights::round(&graph, fracs, &how, &[])?;
    settle::settle(&mut words)?;
    let quality = match samples.map(|s| super::quality_of(&words, graph, s)) {
        Some(Err(e)) => {
            notes.push(format!(
                "it could not be compared with the reals that its integers stand for: {e}"
            ));
            None
        }
        other => other.and_then(Result::ok),
    };
    Ok((words, quality))
}

/// Takes the clips of scales out where they are passes of their own: they cost nothing behind a convolution or a sum.
fn without_passes(graph: &mut Graph, scales: &[Scale], word: Word) {
    let clips: HashMap<usize, &Scale> = scales.iter().map(|s| (s.tensor, s)).collect();
    let mut fuses = vec![false; graph.tensors.len()];
    let mut place: Vec<usize> = (0..graph.tensors.len()).collect();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut n in std::mem::take(&mut graph.nodes) {
        n.inputs.iter_mut().for_each(|t| *t = place[*t]);
        let format = clips.get(&n.output).map(|s| covering(reach(s), word));
        match (format, n.inputs.first()) {
            (Some(frac), Some(&t)) if !fuses[t] => {
                graph.tensors[t].frac.get_or_insert(frac);
                place[n.output] = t;
                continue;
            }
            (Some(frac), _) => graph.tensors[n.output].frac = Some(frac),
            _ => {}
        }
        fuses[n.output] = matches!(
            n.op,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Add(_) | Op::Activate(_)
        );
        nodes.push(n);
    }
    graph.nodes = nodes;
    graph
        .outputs
        .iter_mut()
        .for_each(|p| p.tensor = place[p.tensor]);
    cnna_net::simplify::simplify(graph);
}

/// Largest magnitude that a scale's integers stand for.
fn reach(s: &Scale) -> f64 {
    let [min, max] = s.limits;
    let far = (min - s.zero_point).abs().max((max - s.zero_point).abs());
    // The most negative integer of a symmetric scale is one step beyond its range: no bit is spent on it.
    let far = if s.zero_point == 0 && min < 0 {
        max
    } else {
        far
    };
    f64::from(s.scale).abs() * far as f64
}

/// The outputs of a file that another tool quantised, run as it is, on some of the images.
struct Against<'s> {
    samples: &'s [Samples],
    /// Of each image, each output.
    outputs: Vec<Vec<Vec<f32>>>,
}

impl<'s> Against<'s> {
    /// Runs the file. Errors: one that the engine does not run.
    fn new(path: &Path, graph: &Graph, samples: &'s [Samples]) -> Result<Self, PtqError> {
        let inputs = graph.inputs.iter().map(|p| (&p.name[..], &p.array));
        let outputs = graph.outputs.iter().map(|p| &p.name[..]);
        let file = FileModel::open(path, inputs, outputs)?;
        let images = samples.iter().map(Samples::len).min().unwrap_or(0);
        let outputs = (0..images.min(super::MEASURED))
            .map(|i| file.run(&images_of(samples, i)?))
            .collect::<Result<_, _>>()?;
        Ok(Against { samples, outputs })
    }

    /// Signal-to-noise ratio of a graph's integers, in dB of all outputs together.
    fn integers(&self, graph: &Graph) -> Result<f64, PtqError> {
        self.compare(&graph.outputs, |given| {
            let words = super::table::words(graph, &given);
            let words: Vec<&[i16]> = words.iter().map(|w| &w[..]).collect();
            let done = run::run(graph, &words)?;
            let real = |p: &Port| {
                let frac = graph.tensors[p.tensor].frac.unwrap_or_default();
                let words = &done.tensors[p.tensor].values;
                words.iter().map(|&q| dequantise(q, frac)).collect()
            };
            Ok(graph.outputs.iter().map(real).collect())
        })
    }

    /// The same of its weights' reals with activations that are clipped, but not rounded.
    fn reals(&self, imported: Graph) -> Result<f64, PtqError> {
        let imported = unquantised(imported);
        let float = FloatModel::new(&imported)?;
        self.compare(&imported.outputs, |given| {
            let all = float.outputs(given)?;
            let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
            Ok(all.into_iter().map(wide).collect())
        })
    }

    fn compare(
        &self,
        ports: &[Port],
        run: impl Fn(Vec<Vec<f32>>) -> Result<Vec<Vec<f64>>, PtqError>,
    ) -> Result<f64, PtqError> {
        let (mut signal, mut noise) = (0.0, 0.0);
        for (i, theirs) in self.outputs.iter().enumerate() {
            let ours = run(images_of(self.samples, i)?)?;
            for ((p, ours), theirs) in ports.iter().zip(ours).zip(theirs) {
                for (&v, at) in theirs.iter().zip(p.array.offsets()) {
                    signal += f64::from(v).powi(2);
                    noise += (f64::from(v) - ours[at]).powi(2);
                }
            }
        }
        Ok(10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10())
    }
}

/// One image of each input.
fn images_of(samples: &[Samples], i: usize) -> Result<Vec<Vec<f32>>, PtqError> {
    Ok(samples
        .iter()
        .map(|s| s.image(i))
        .collect::<Result<_, _>>()?)
}
