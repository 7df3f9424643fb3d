//! `cnna check`: reference model, cycle simulator and RTL on the same input, compared value for value and cycle for cycle.

use super::JsonArguments;
use super::run::saturated;
use crate::engines::Simulated;
use crate::{images, progress};
use anyhow::Result;
use cnna_host::report::RunReport;
use cnna_host::tensor::Batch;
use cnna_host::{Driver, HostError, Loaded, Options, SharedFile, files, signals};
use cnna_machine::golden::{self, LayerResult};
use cnna_machine::layer::{Network, Shape};
use cnna_machine::program::{Program, ProgramMeta};
use serde::Serialize;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Arguments of `cnna check`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna check model.cnna
  cnna check model.cnna --input x.npy --images 3
  cnna check vgg16.cnna --engines reference,cycle --seed 7

Ends with status 0 when everything is equal, 1 when anything differs, 2 when it cannot tell.")]
pub struct Check {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    /// Images as for `cnna run`; without it, random words, the extremes among them.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Seed of the random images.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random images (default: enough for every stream of the program), or only the first images of the input.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// What to compare with the reference.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["reference", "cycle", "rtl"])]
    engines: Vec<Engine>,
    /// Seconds without progress after which an engine counts as hung.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    json: JsonArguments,
}

/// An engine to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Plain integer loops; always part of the comparison.
    Reference,
    /// The cycle-level simulator.
    Cycle,
    /// The RTL itself, by Verilator.
    Rtl,
}

/// The first difference found.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Difference {
    Value {
        engine: &'static str,
        image: usize,
        layer: String,
        channel: usize,
        row: usize,
        column: usize,
        reference: i16,
        found: i16,
    },
    Saturated {
        engine: &'static str,
        images: Range<usize>,
        layer: String,
        reference: u64,
        found: u64,
    },
    Cycles {
        images: Range<usize>,
        layer: String,
        cycle: u64,
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
    fn per_image(&self) -> u64 {
        (self.cycles + self.images as u64 / 2) / self.images.max(1) as u64
    }
}

/// One layer of a comparison, over all images.
#[derive(Serialize)]
pub struct Row {
    /// The layer's name.
    pub name: String,
    /// How it ran.
    pub mode: String,
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
    /// In order of execution.
    pub layers: Vec<Row>,
    /// From start to done, by engine and size of the run.
    pub whole: Vec<Cycles>,
    /// The first one found.
    pub difference: Option<Difference>,
}

impl Check {
    /// A comparison of an input file's first images.
    #[cfg(feature = "train")]
    pub fn new(program: PathBuf, input: PathBuf, images: usize, engines: Vec<Engine>) -> Self {
        Check {
            program,
            input: Some(input),
            seed: 1,
            images: Some(images),
            engines,
            timeout: 60,
            json: JsonArguments::default(),
        }
    }

    /// Runs all engines; status 1 when they differ.
    pub fn run(self) -> Result<ExitCode> {
        let report = self.compare_all()?;
        self.json.report(text(&report).trim_end(), &report)?;
        Ok(ExitCode::from(u8::from(!report.equal)))
    }

    /// Runs all engines and compares them with the reference and each other.
    pub fn compare_all(&self) -> Result<Report> {
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let meta = &program.meta;
        let network = program.network()?;
        let every_stream = meta.streams.iter().map(|s| s.images).sum();
        let batch = images::read_or_random(
            self.input.as_deref(),
            meta,
            self.images,
            every_stream,
            self.seed,
        )?;
        let stop = signals::stop_flag()?;
        let spinner = progress::spinner("reference");
        let references: Vec<Vec<LayerResult>> = batch
            .images()
            .map(|image| golden::run(&network, image))
            .collect();
        spinner.finish_and_clear();
        let mut runs: Vec<(Simulated, Vec<RunReport>)> = Vec::new();
        let mut difference = None;
        for (wanted, engine) in [
            (Engine::Cycle, Simulated::Cycle),
            (Engine::Rtl, Simulated::Rtl),
        ] {
            if self.engines.contains(&wanted) && difference.is_none() {
                let (reports, found) =
                    engine.with_device(&meta.board, meta.window_bytes, &stop, |device| {
                        self.compare(
                            engine,
                            device,
                            &program,
                            &network,
                            &batch,
                            &references,
                            &stop,
                        )
                    })?;
                runs.push((engine, reports));
                difference = found;
            }
        }
        if let (None, [(_, cycle), (_, rtl)]) = (&difference, runs.as_slice()) {
            difference = cycle_difference(cycle, rtl);
        }
        Ok(report(meta, &references, &runs, difference))
    }

    /// Runs the batch on one engine; stops at the first run that differs.
    #[allow(clippy::too_many_arguments)]
    fn compare(
        &self,
        engine: Simulated,
        device: &mut SharedFile,
        program: &Program<'_>,
        network: &Network,
        batch: &Batch,
        references: &[Vec<LayerResult>],
        stop: &AtomicBool,
    ) -> Result<(Vec<RunReport>, Option<Difference>), HostError> {
        let meta = &program.meta;
        let estimate = |run: Range<usize>| meta.stream(run.len()).map_or(0, |s| s.estimated_cycles);
        let expected = meta.runs(batch.len()).map(estimate).sum();
        let bar = progress::bar(expected, engine.name(), "cycles");
        let before = std::cell::Cell::new(0);
        let watch = |cycles| bar.set_position(before.get() + cycles);
        let options = Options {
            timeout: Duration::from_secs(self.timeout),
            stop: Some(stop),
            watch: Some(&watch),
        };
        let mut loaded = Driver::new(device, options)?.load(program)?;
        let mut reports = Vec::new();
        let mut difference = None;
        for run in meta.runs(batch.len()) {
            let report = loaded.run(batch.range(&run))?;
            before.set(before.get() + report.cycles);
            difference = compare_run(engine, &loaded, meta, network, &run, references, &report)?;
            reports.push(report);
            if difference.is_some() {
                break;
            }
        }
        bar.finish_and_clear();
        Ok((reports, difference))
    }
}

/// Every layer of every image of a run, and each layer's saturated results in the whole run.
fn compare_run(
    engine: Simulated,
    loaded: &Loaded,
    meta: &ProgramMeta,
    network: &Network,
    run: &Range<usize>,
    references: &[Vec<LayerResult>],
    report: &RunReport,
) -> Result<Option<Difference>, HostError> {
    let counts: Vec<Vec<u64>> = references[run.clone()]
        .iter()
        .map(|r| saturated(meta, r))
        .collect();
    for (k, layer) in meta.layers.iter().enumerate() {
        let shape = network.layers[layer.network_layer].output;
        for image in run.clone() {
            let want = &references[image][layer.network_layer].values;
            let got = loaded.tensor(&layer.output, image - run.start)?;
            let found = value_difference(engine, image, &layer.name, shape, want, &got);
            if found.is_some() {
                return Ok(found);
            }
        }
        let wanted = counts.iter().map(|c| c[k]).sum();
        if report.layers[k].saturated != wanted {
            return Ok(Some(Difference::Saturated {
                engine: engine.name(),
                images: run.clone(),
                layer: layer.name.clone(),
                reference: wanted,
                found: report.layers[k].saturated,
            }));
        }
    }
    Ok(None)
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

fn cycle_difference(cycle: &[RunReport], rtl: &[RunReport]) -> Option<Difference> {
    let mut first = 0;
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

fn report(
    meta: &ProgramMeta,
    references: &[Vec<LayerResult>],
    runs: &[(Simulated, Vec<RunReport>)],
    difference: Option<Difference>,
) -> Report {
    let counts: Vec<Vec<u64>> = references.iter().map(|r| saturated(meta, r)).collect();
    let row = |(k, l): (usize, &cnna_machine::program::LayerInfo)| Row {
        name: l.name.clone(),
        mode: l.mode.clone(),
        saturated: counts.iter().map(|c| c[k]).sum(),
        cycles: cycles(meta, runs, |r| r.layers[k].cycles),
    };
    let mut engines = vec!["reference"];
    engines.extend(runs.iter().map(|(e, _)| e.name()));
    let values = meta.layers.iter().map(|l| l.output.layout.shape.len());
    Report {
        equal: difference.is_none(),
        engines,
        images: references.len(),
        values_compared: values.sum::<usize>() * references.len(),
        layers: meta.layers.iter().enumerate().map(row).collect(),
        whole: cycles(meta, runs, |r| r.cycles),
        difference,
    }
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

fn text(r: &Report) -> String {
    let mut s = String::new();
    let width = r
        .layers
        .iter()
        .map(|l| l.name.len())
        .max()
        .unwrap_or(0)
        .max(5);
    // Writing to a String cannot fail.
    let _ = write!(s, "{:<width$}  {:<8}  {:>10}", "layer", "mode", "saturated");
    let batches = r.whole.iter().any(|c| c.run_images > 1);
    for c in &r.whole {
        let of = match c.run_images {
            1 if batches => ", alone".into(),
            1 => " cycles".into(),
            n => format!(", {n} a run"),
        };
        let _ = write!(s, "  {:>14}", format!("{}{of}", c.engine));
    }
    let mut row = |name: &str, mode: &str, saturated: u64, cycles: &[Cycles]| {
        let _ = write!(s, "\n{name:<width$}  {mode:<8}  {saturated:>10}");
        for c in cycles {
            let _ = write!(s, "  {:>14}", c.per_image());
        }
    };
    for l in &r.layers {
        row(&l.name, &l.mode, l.saturated, &l.cycles);
    }
    let saturated = r.layers.iter().map(|l| l.saturated).sum();
    row("all", "", saturated, &r.whole);
    if !r.whole.is_empty() {
        s.push_str("\ncycles are those of one image");
    }
    match &r.difference {
        Some(d) => {
            let _ = write!(s, "\ndifferent: {d}");
        }
        None => {
            let _ = write!(
                s,
                "\nequal: {} on {} image(s), {} values each",
                r.engines.join(" = "),
                r.images,
                r.values_compared
            );
        }
    }
    s
}
