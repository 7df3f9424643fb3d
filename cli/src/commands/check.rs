//! `cnna check`: reference model, cycle simulator and RTL on the same input, compared value for value and cycle for cycle.

use super::JsonArguments;
use super::run::saturated;
use crate::engines::Simulated;
use crate::{images, progress};
use anyhow::Result;
use cnna_host::report::RunReport;
use cnna_host::tensor::Batch;
use cnna_host::{Driver, HostError, Options, SharedFile, files, signals};
use cnna_spec::golden::{self, LayerResult};
use cnna_spec::layer::{Network, Shape};
use cnna_spec::program::{Program, ProgramMeta};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
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
    /// Random images, or only the first images of the input.
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
        image: usize,
        layer: String,
        reference: u64,
        found: u64,
    },
    Cycles {
        image: usize,
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
                image,
                layer,
                reference,
                found,
            } => write!(
                f,
                "image {image}, layer {layer}, saturated results: reference {reference}, {engine} {found}"
            ),
            Difference::Cycles {
                image,
                layer,
                cycle,
                rtl,
            } => write!(
                f,
                "image {image}, layer {layer}, cycles: cycle {cycle}, rtl {rtl}"
            ),
        }
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
    /// By engine, summed over the images.
    pub cycles: BTreeMap<&'static str, u64>,
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
        let batch = images::read_or_random(self.input.as_deref(), meta, self.images, self.seed)?;
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
                    engine.with_device(&meta.board, meta.window_bytes, |device| {
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

    /// Runs the batch on one engine; stops at the first image that differs.
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
        let bar = progress::bar(
            meta.estimated_cycles * batch.len() as u64,
            engine.name(),
            "cycles",
        );
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
        for (i, (image, reference)) in batch.images().zip(references).enumerate() {
            let report = loaded.run(image)?;
            before.set(before.get() + report.cycles);
            let counts = saturated(meta, reference);
            for (k, layer) in meta.layers.iter().enumerate() {
                let want = &reference[layer.network_layer].values;
                let got = loaded.tensor(&layer.output)?;
                let shape = network.layers[layer.network_layer].output;
                difference = value_difference(engine, i, &layer.name, shape, want, &got);
                if difference.is_none() && report.layers[k].saturated != counts[k] {
                    difference = Some(Difference::Saturated {
                        engine: engine.name(),
                        image: i,
                        layer: layer.name.clone(),
                        reference: counts[k],
                        found: report.layers[k].saturated,
                    });
                }
                if difference.is_some() {
                    break;
                }
            }
            reports.push(report);
            if difference.is_some() {
                break;
            }
        }
        bar.finish_and_clear();
        Ok((reports, difference))
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
    for (image, (c, r)) in cycle.iter().zip(rtl).enumerate() {
        let differ = |layer: &str, cycle: u64, rtl: u64| {
            (cycle != rtl).then(|| Difference::Cycles {
                image,
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
    let row = |(k, l): (usize, &cnna_spec::program::LayerInfo)| Row {
        name: l.name.clone(),
        mode: l.mode.clone(),
        saturated: counts.iter().map(|c| c[k]).sum(),
        cycles: runs
            .iter()
            .map(|(e, reports)| (e.name(), reports.iter().map(|r| r.layers[k].cycles).sum()))
            .collect(),
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
        difference,
    }
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
    for e in &r.engines[1..] {
        let _ = write!(s, "  {:>14}", format!("{e} cycles"));
    }
    for l in &r.layers {
        let _ = write!(
            s,
            "\n{:<width$}  {:<8}  {:>10}",
            l.name, l.mode, l.saturated
        );
        for e in &r.engines[1..] {
            let _ = write!(s, "  {:>14}", l.cycles.get(e).copied().unwrap_or(0));
        }
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
