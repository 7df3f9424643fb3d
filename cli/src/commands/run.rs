//! `cnna run`: a program on a device, images in, results out.

use super::{JsonArguments, writable};
use crate::{devices, images, progress, trace};
use anyhow::{Result, bail};
use cnna_host::files;
use cnna_host::report::{LayerReport, RunReport, Summary};
use cnna_host::tensor::{self, Batch};
use cnna_machine::Counters;
use cnna_machine::golden::{self, LayerResult};
use cnna_machine::program::{Program, ProgramMeta};
use rayon::prelude::*;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `cnna run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna run model.cnna --device reference --input x.npy -o y.npy
  cnna run model.cnna --device cycle --input x.npy -o y.npy --json run.json
  cnna run model.cnna --device cycle --input x.npy --images 1 -o y.npy --trace t.json   # then open t.json in Perfetto
  cnna run model.cnna --device rtl --input x.npy --images 3 -o y.npy --raw
  cnna run model.cnna --device uio0 --input x.npy -o y.npy")]
pub struct Run {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    /// reference, cycle, rtl, a UIO device (uio0), or the path of a file served by `cnna serve`.
    #[arg(long)]
    device: String,
    /// Images: npy, (C, H, W) or (N, C, H, W), float32, int16 or int8.
    #[arg(long)]
    input: PathBuf,
    /// Only the first images of the batch.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Results: npy, (N, C, H, W) or (N, n), float32.
    #[arg(short, long)]
    output: PathBuf,
    /// Write the integers (int16) instead of float32.
    #[arg(long)]
    raw: bool,
    /// Also write a timeline of all queues and AXI ports, for Perfetto (device cycle only).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Seconds without progress after which a device counts as hung.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
    #[command(flatten)]
    json: JsonArguments,
}

impl Run {
    /// Runs the batch and writes the results.
    pub fn run(self) -> Result<ExitCode> {
        writable(&self.output)?;
        self.trace.iter().try_for_each(|t| writable(t))?;
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let batch = images::read(&self.input, &program.meta, self.images)?;
        let timeout = Duration::from_secs(self.timeout);
        let (words, report) = match (self.device.as_str(), &self.trace) {
            ("cycle", Some(path)) => {
                let (words, report, timeline) = devices::run_recorded(timeout, &program, &batch)?;
                trace::write(path, &timeline, &program.meta)?;
                (words, report)
            }
            (name, Some(_)) => {
                bail!("--trace needs --device cycle: {name} does not tell when its queues work")
            }
            ("reference", None) => reference(&program, &batch)?,
            (name, None) => devices::run_on(name, timeout, &program, &batch)?,
        };
        let meta = &program.meta;
        tensor::write_output(&self.output, meta.output(), &words, self.raw)?;
        let summary = Summary::new(&meta.name, &meta.board, &self.device, &report);
        let text = match self.device.as_str() {
            "reference" => format!(
                "{} image(s) by the reference model, {} results saturated",
                report.images, report.saturated
            ),
            _ => summary.table(meta.accelerator().dsps()),
        };
        self.json.report(&text, &summary)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs the reference model, images in parallel; its report has no cycles.
fn reference(program: &Program<'_>, batch: &Batch) -> Result<(Vec<i16>, RunReport)> {
    let network = program.network()?;
    let bar = progress::bar(batch.len() as u64, "reference", "images");
    let images: Vec<&[i16]> = batch.images().collect();
    let results: Vec<(Vec<i16>, Vec<u64>)> = images
        .par_iter()
        .map(|image| {
            let mut layers = golden::run(&network, image);
            let saturated = saturated(&program.meta, &layers);
            bar.inc(1);
            (
                layers.pop().map(|l| l.values).unwrap_or_default(),
                saturated,
            )
        })
        .collect();
    bar.finish_and_clear();
    let mut report = RunReport {
        images: images.len() as u64,
        ..RunReport::default()
    };
    for (i, l) in program.meta.layers.iter().enumerate() {
        let saturated = results.iter().map(|(_, s)| s[i]).sum();
        report.saturated += saturated;
        report.layers.push(LayerReport {
            name: l.name.clone(),
            mode: l.mode.clone(),
            macs: l.macs * report.images,
            counters: Counters {
                saturated,
                ..Counters::default()
            },
        });
    }
    let words = results.into_iter().flat_map(|(w, _)| w).collect();
    Ok((words, report))
}

/// Saturated results of each of the program's layers, which may cover several of the network's.
pub fn saturated(meta: &ProgramMeta, layers: &[LayerResult]) -> Vec<u64> {
    let mut from = 0;
    let each = meta.layers.iter().map(|l| {
        let covered = from..l.network_layer + 1;
        from = l.network_layer + 1;
        let results = layers.get(covered).unwrap_or_default();
        results.iter().map(|r| r.saturated).sum()
    });
    each.collect()
}
