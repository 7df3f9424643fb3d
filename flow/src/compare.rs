//! Reference model, cycle simulator and RTL on the same input, compared value for value and cycle for cycle.

use crate::engines::Simulated;
use crate::error::FlowError;
use crate::progress::Session;
use crate::reference::{self, graph, saturated};
use cnna_host::report::RunReport;
use cnna_host::steps::Steps;
use cnna_host::tensor::{Batch, Images};
use cnna_host::{Driver, HostError, Loaded, Options, SharedFile};
use cnna_machine::layout::Shape;
use cnna_machine::program::{LayerInfo, Mode, Program, ProgramMeta, TensorInfo};
use cnna_net::run::Run;
use cnna_net::{Graph, TensorId};
use serde::Serialize;
use std::ops::Range;
use std::sync::atomic::AtomicU64;

/// The first difference found.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Difference {
    /// Another value.
    Value {
        /// Who ran.
        engine: &'static str,
        /// Index in the input.
        image: usize,
        /// The layer's name.
        layer: String,
        /// Of the layer's result.
        channel: usize,
        /// Of the layer's result.
        row: usize,
        /// Of the layer's result.
        column: usize,
        /// The reference's word.
        reference: i16,
        /// The engine's word.
        found: i16,
    },
    /// A result of another size: the program's layout is not that of its network.
    Length {
        /// Who ran.
        engine: &'static str,
        /// The layer's name.
        layer: String,
        /// Values of the reference.
        reference: usize,
        /// Values of the engine.
        found: usize,
    },
    /// Another count of results that saturation changed.
    Saturated {
        /// Who ran.
        engine: &'static str,
        /// Those of the run.
        images: Range<usize>,
        /// The layer's name.
        layer: String,
        /// Counted by the reference.
        reference: u64,
        /// Counted by the engine.
        found: u64,
    },
    /// Simulator and RTL take another time.
    Cycles {
        /// Those of the run.
        images: Range<usize>,
        /// The layer's name.
        layer: String,
        /// The simulator's cycles.
        cycle: u64,
        /// The RTL's cycles.
        rtl: u64,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::Value {
                engine,
                image,
                layer,
                channel,
                row,
                column,
                reference,
                found,
            } => write!(
                f,
                "image {image}, layer {layer}, channel {channel}, row {row}, column {column}: reference {reference}, {engine} {found}"
            ),
            Difference::Length {
                engine,
                layer,
                reference,
                found,
            } => write!(
                f,
                "layer {layer}, values of one image: reference {reference}, {engine} {found}"
            ),
            Difference::Saturated {
                engine,
                images,
                layer,
                reference,
                found,
            } => write!(
                f,
                "{}, layer {layer}, saturated results: reference {reference}, {engine} {found}",
                run_name(images)
            ),
            Difference::Cycles {
                images,
                layer,
                cycle,
                rtl,
            } => write!(
                f,
                "{}, layer {layer}, cycles: cycle {cycle}, rtl {rtl}",
                run_name(images)
            ),
        }
    }
}

fn run_name(images: &Range<usize>) -> String {
    match images.len() {
        1 => format!("image {}", images.start),
        _ => format!("images {} to {} in one run", images.start, images.end - 1),
    }
}

/// Cycles on one engine in runs of one size.
#[derive(Serialize)]
pub struct Cycles {
    /// Who ran.
    pub engine: &'static str,
    /// Images of each run.
    pub run_images: usize,
    /// Images of all these runs.
    pub images: usize,
    /// All these runs together.
    pub cycles: u64,
}

impl Cycles {
    /// Rounded to the nearest.
    pub fn per_image(&self) -> u64 {
        (self.cycles + self.images as u64 / 2) / self.images.max(1) as u64
    }
}

/// One layer of a comparison, over all images.
#[derive(Serialize)]
pub struct Row {
    /// The layer's name.
    pub name: String,
    /// How it ran.
    pub mode: Mode,
    /// Results that saturation changed.
    pub saturated: u64,
    /// By engine and size of the run.
    pub cycles: Vec<Cycles>,
}

/// What a comparison found.
#[derive(Serialize)]
pub struct Report {
    /// Nothing differs.
    pub equal: bool,
    /// The reference and the engines compared with it.
    pub engines: Vec<&'static str>,
    /// Images run on each.
    pub images: usize,
    /// Values compared with the reference, each engine.
    pub values_compared: usize,
    /// Results of layers, and of nodes within them, that were gone when the program ended: later ones took their memory.
    pub gone: usize,
    /// In order of execution.
    pub layers: Vec<Row>,
    /// From start to done, by engine and size of the run.
    pub whole: Vec<Cycles>,
    /// The first one found.
    pub difference: Option<Difference>,
}

/// Values of all layers that are held for comparison at once: some 64 MiB.
const SHARE: usize = 32 << 20;
/// What holding a tensor takes beside its values, in words.
const TENSOR: usize = 24;

/// Runs the reference and all `engines` on `images` and compares them with the reference and each other, a share of the
/// images after the other, up to the first difference.
///
/// Errors: a damaged network, an engine that fails, `images`' own, interrupted. A difference is no error.
pub fn compare(
    program: &Program<'_>,
    images: &mut dyn Images,
    engines: &[Simulated],
    session: &Session<'_>,
) -> Result<Report, FlowError> {
    let meta = &program.meta;
    let graph = graph(program)?;
    let tensors = graph.tensors.iter();
    let held: usize = tensors.map(|t| t.shape.len() + TENSOR).sum();
    let each = meta.image_len() + held;
    // Whole runs, so that shares change nothing but the memory.
    let share = (SHARE / each.max(1) / meta.batch()).max(1) * meta.batch();
    let mut total = Total::new(meta, engines);
    let count = images.count();
    for first in (0..count).step_by(share) {
        let images_here = share.min(count - first);
        let batch = Batch {
            image_len: meta.image_len(),
            words: images.next(images_here)?,
        };
        let progress = session.progress;
        progress.begin("reference", Some(images_here as u64), "images");
        let references = reference::tensors(&graph, &batch.words, session, &AtomicU64::default())?;
        progress.end();
        let both = Both {
            program,
            graph: &graph,
            batch: &batch,
            first,
            references: &references,
            session,
        };
        let found = total.add(&both)?;
        if found.is_some() {
            return Ok(total.report(meta, &graph, found));
        }
    }
    Ok(total.report(meta, &graph, None))
}

/// What has been compared so far.
struct Total {
    /// The engines wanted, and each one's runs.
    runs: Vec<(Simulated, Vec<RunReport>)>,
    images: usize,
    /// Saturated results of each of the program's layers, by the reference.
    saturated: Vec<u64>,
}

impl Total {
    fn new(meta: &ProgramMeta, engines: &[Simulated]) -> Self {
        let wanted = Simulated::ALL.into_iter().filter(|s| engines.contains(s));
        Total {
            runs: wanted.map(|s| (s, Vec::new())).collect(),
            images: 0,
            saturated: vec![0; meta.layers.len()],
        }
    }

    /// Compares a share; the first difference.
    fn add(&mut self, both: &Both<'_>) -> Result<Option<Difference>, FlowError> {
        let meta = &both.program.meta;
        self.images += both.references.len();
        for reference in both.references {
            for (sum, n) in self
                .saturated
                .iter_mut()
                .zip(saturated(meta, both.graph, reference))
            {
                *sum += n;
            }
        }
        let mut found = None;
        let mut here: Vec<Vec<RunReport>> = Vec::new();
        for (engine, all) in &mut self.runs {
            let (reports, difference) =
                engine.with_device(&meta.board, meta.window_bytes, both.session, |device| {
                    both.run(*engine, device)
                })?;
            all.extend(reports.iter().cloned());
            here.push(reports);
            if difference.is_some() {
                found = difference;
                break;
            }
        }
        if let (None, [cycle, rtl]) = (&found, here.as_slice()) {
            found = cycle_difference(both.first, cycle, rtl);
        }
        Ok(found)
    }

    fn report(self, meta: &ProgramMeta, graph: &Graph, difference: Option<Difference>) -> Report {
        // An engine that an earlier one's difference kept from running has no place in the report.
        let runs: Vec<_> = self
            .runs
            .into_iter()
            .filter(|(_, r)| !r.is_empty())
            .collect();
        let row = |(k, l): (usize, &LayerInfo)| Row {
            name: l.name.clone(),
            mode: l.mode,
            saturated: self.saturated[k],
            cycles: cycles(meta, &runs, |r| r.layers[k].cycles),
        };
        let mut engines = vec!["reference"];
        engines.extend(runs.iter().map(|(e, _)| e.name()));
        let values = lasting(meta, graph);
        let values = values.iter().map(|l| l.info.layout.shape.len());
        Report {
            equal: difference.is_none(),
            engines,
            images: self.images,
            values_compared: values.sum::<usize>() * self.images,
            gone: meta
                .layers
                .iter()
                .map(|l| 1 + l.inner.len() - l.lasting().count())
                .sum(),
            layers: meta.layers.iter().enumerate().map(row).collect(),
            whole: cycles(meta, &runs, |r| r.cycles),
            difference,
        }
    }
}

/// A result that is still there when the program has ended.
struct Lasting<'a> {
    name: &'a str,
    info: &'a TensorInfo,
    tensor: TensorId,
}

/// Every layer's that no later one overwrote, and every output.
fn lasting<'a>(meta: &'a ProgramMeta, graph: &'a Graph) -> Vec<Lasting<'a>> {
    let layers = meta.layers.iter().flat_map(LayerInfo::lasting);
    let layers = layers.map(|(node, info)| Lasting {
        name: &graph.nodes[node].name,
        info,
        tensor: graph.nodes[node].output,
    });
    let mut all: Vec<_> = layers.collect();
    for (info, port) in meta.outputs.iter().zip(&graph.outputs) {
        if all.iter().all(|l| l.tensor != port.tensor) {
            all.push(Lasting {
                name: &info.name,
                info: &info.tensor,
                tensor: port.tensor,
            });
        }
    }
    all
}

/// A share of the images, the reference's results for them, and what an engine must give them for.
struct Both<'a> {
    program: &'a Program<'a>,
    graph: &'a Graph,
    batch: &'a Batch,
    /// The share's first image.
    first: usize,
    references: &'a [Run],
    session: &'a Session<'a>,
}

impl Both<'_> {
    /// Runs the share on one engine; stops at the first run that differs.
    fn run(
        &self,
        engine: Simulated,
        device: &mut SharedFile,
    ) -> Result<(Vec<RunReport>, Option<Difference>), HostError> {
        let (meta, progress) = (&self.program.meta, self.session.progress);
        let estimate = |run: Range<usize>| meta.stream(run.len()).map_or(0, |s| s.estimated_cycles);
        let expected = meta
            .runs(self.batch.len())
            .map(estimate)
            .fold(0, u64::saturating_add);
        progress.begin(engine.name(), Some(expected), "cycles");
        let before = std::cell::Cell::new(0);
        let watch = |cycles| progress.at(before.get() + cycles);
        let host = Steps {
            graph: self.graph,
            meta,
        };
        let options = Options {
            timeout: self.session.timeout,
            stop: Some(self.session.stop),
            watch: Some(&watch),
            host: Some(&host),
        };
        let mut loaded = Driver::new(device, options)?.load(self.program)?;
        let mut reports = Vec::new();
        let mut difference = None;
        for run in meta.runs(self.batch.len()) {
            let report = loaded.run(self.batch.range(&run))?;
            before.set(before.get() + report.cycles);
            difference = self.difference(engine, &loaded, &run, &report)?;
            reports.push(report);
            if difference.is_some() {
                break;
            }
        }
        progress.end();
        Ok((reports, difference))
    }

    /// Every layer of every image of a run, and each layer's saturated results in the whole run.
    fn difference(
        &self,
        engine: Simulated,
        loaded: &Loaded,
        run: &Range<usize>,
        report: &RunReport,
    ) -> Result<Option<Difference>, HostError> {
        let meta = &self.program.meta;
        let counts: Vec<Vec<u64>> = self.references[run.clone()]
            .iter()
            .map(|r| saturated(meta, self.graph, r))
            .collect();
        for l in lasting(meta, self.graph) {
            let shape = self.graph.tensors[l.tensor].shape;
            for image in run.clone() {
                let want = &self.references[image].tensors[l.tensor].values;
                let got = loaded.tensor(l.info, image - run.start)?;
                let index = self.first + image;
                let found = value_difference(engine, index, l.name, shape, want, &got);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        for (k, layer) in meta.layers.iter().enumerate() {
            let wanted = counts.iter().map(|c| c[k]).sum();
            if report.layers[k].saturated != wanted {
                return Ok(Some(Difference::Saturated {
                    engine: engine.name(),
                    images: self.first + run.start..self.first + run.end,
                    layer: layer.name.clone(),
                    reference: wanted,
                    found: report.layers[k].saturated,
                }));
            }
        }
        Ok(None)
    }
}

/// `shape` is the network's, which names a flat result's elements channels.
fn value_difference(
    engine: Simulated,
    image: usize,
    layer: &str,
    shape: Shape,
    want: &[i16],
    got: &[i16],
) -> Option<Difference> {
    if want.len() != got.len() {
        return Some(Difference::Length {
            engine: engine.name(),
            layer: layer.into(),
            reference: want.len(),
            found: got.len(),
        });
    }
    let i = want.iter().zip(got).position(|(w, g)| w != g)?;
    let plane = shape.h * shape.w;
    Some(Difference::Value {
        engine: engine.name(),
        image,
        layer: layer.into(),
        channel: i / plane,
        row: i % plane / shape.w,
        column: i % shape.w,
        reference: want[i],
        found: got[i],
    })
}

/// `first`: the first image of the first run.
fn cycle_difference(
    mut first: usize,
    cycle: &[RunReport],
    rtl: &[RunReport],
) -> Option<Difference> {
    // Without a difference before this both engines made every run of the same program.
    assert_eq!(cycle.len(), rtl.len(), "runs of both engines");
    for (c, r) in cycle.iter().zip(rtl) {
        let images = first..first + c.images as usize;
        first = images.end;
        let differ = |layer: &str, cycle: u64, rtl: u64| {
            (cycle != rtl).then(|| Difference::Cycles {
                images: images.clone(),
                layer: layer.into(),
                cycle,
                rtl,
            })
        };
        assert_eq!(c.layers.len(), r.layers.len(), "layers of one program");
        let layers = c.layers.iter().zip(&r.layers);
        let first = layers
            .filter_map(|(a, b)| differ(&a.name, a.cycles, b.cycles))
            .next();
        let all = differ("(the whole program)", c.cycles, r.cycles);
        if let Some(d) = first.or(all) {
            return Some(d);
        }
    }
    None
}

/// Something's cycles, for each engine and each size of run that happened.
fn cycles(
    meta: &ProgramMeta,
    runs: &[(Simulated, Vec<RunReport>)],
    of: impl Fn(&RunReport) -> u64,
) -> Vec<Cycles> {
    let sizes = meta.streams.iter().map(|s| s.images);
    let each = sizes.flat_map(|size| runs.iter().map(move |(engine, all)| (size, engine, all)));
    each.map(|(size, engine, all)| {
        let such: Vec<_> = all.iter().filter(|r| r.images == size as u64).collect();
        Cycles {
            engine: engine.name(),
            run_images: size,
            images: size * such.len(),
            cycles: such.iter().map(|r| of(r)).sum(),
        }
    })
    .filter(|c| c.images > 0)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_shorter_than_the_reference_differs() {
        let shape = Shape { c: 1, h: 1, w: 3 };
        let of = |got: &[i16]| value_difference(Simulated::Cycle, 0, "fc", shape, &[1, 2, 3], got);
        assert_eq!(of(&[1, 2, 3]), None);
        for got in [&[1, 2][..], &[], &[1, 2, 3, 4]] {
            let text = of(got).expect("another length").to_string();
            let want = format!(
                "layer fc, values of one image: reference 3, cycle {}",
                got.len()
            );
            assert_eq!(text, want);
        }
        assert!(matches!(
            of(&[1, 2, 4]),
            Some(Difference::Value { column: 2, .. })
        ));
    }
}
