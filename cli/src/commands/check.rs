//! `cnna check`: reference model, cycle simulator and RTL on the same input, compared value for value and cycle for cycle.

use super::JsonArguments;
use crate::progress::Bar;
use anyhow::Result;
use cnna_flow::compare::{Cycles, Report, compare};
use cnna_flow::{Session, Simulated, images};
use cnna_host::{files, signals, tensor};
use cnna_machine::program::Program;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
    #[arg(long, value_name = "FILE")]
    input: Vec<String>,
    /// Seed of the random images.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random images (default: enough for every stream of the program), or only the first images of the input.
    #[arg(long, value_name = "N", value_parser = super::images)]
    images: Option<usize>,
    /// What to compare with the reference, which always runs: some of reference, cycle and rtl, with commas between them.
    #[arg(long, value_name = "LIST", value_parser = engines, default_value = "reference,cycle,rtl")]
    engines: Engines,
    /// Seconds without progress after which an engine counts as hung.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    json: JsonArguments,
}

/// Engines to compare with the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines(pub Vec<Simulated>);

fn engines(text: &str) -> Result<Engines, String> {
    let mut found = Vec::new();
    for name in text.split(',').map(str::trim) {
        match Simulated::named(name) {
            Some(engine) => found.push(engine),
            None if name == "reference" => {}
            None => {
                return Err(format!(
                    "`{name}` is no engine: give some of reference, cycle and rtl, as in reference,cycle"
                ));
            }
        }
    }
    Ok(Engines(found))
}

impl Check {
    /// A comparison of an input file's first images.
    pub fn new(program: PathBuf, input: PathBuf, images: usize, engines: Vec<Simulated>) -> Self {
        Check {
            program,
            input: vec![input.display().to_string()],
            seed: 1,
            images: Some(images),
            engines: Engines(engines),
            timeout: 60,
            json: JsonArguments::default(),
        }
    }

    /// Runs all engines; status 1 when they differ.
    pub fn run(self) -> Result<ExitCode> {
        let report = self.compare_all()?;
        self.json.report(text(&report).trim_end(), &report, &[])?;
        Ok(ExitCode::from(u8::from(!report.equal)))
    }

    /// Runs all engines and compares them with the reference and each other.
    pub fn compare_all(&self) -> Result<Report> {
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let meta = &program.meta;
        let files = match self.input.is_empty() {
            true => Vec::new(),
            false => tensor::port_files(&self.input, &meta.inputs, "input")?,
        };
        let mut inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        inputs.push(&self.program);
        self.json.check_places(&inputs, &[])?;
        let every_stream = meta.streams.iter().map(|s| s.images).sum();
        let mut images =
            images::read_or_random(&files, meta, self.images, every_stream, self.seed)?;
        let stop = signals::stop_flag()?;
        let session = Session {
            stop: &stop,
            progress: &Bar::new(),
            timeout: Duration::from_secs(self.timeout),
        };
        Ok(compare(&program, &mut *images, &self.engines.0, &session)?)
    }
}

/// What the comparison could not see.
fn gone(r: &Report) -> String {
    match r.gone {
        0 => String::new(),
        n => format!(
            "\nof {n} result(s) within and between layers only cycles and saturated results were compared, for later ones take their memory: compile with --keep to compare all values"
        ),
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
        row(&l.name, l.mode.name(), l.saturated, &l.cycles);
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
        None if r.engines.len() < 2 => {
            let _ = write!(
                s,
                "\nnothing compared: the reference alone ran {} image(s), {} values each; name a second engine, as in --engines reference,cycle",
                r.images, r.values_compared
            );
        }
        None => {
            let _ = write!(
                s,
                "{}\nequal: {} on {} image(s), {} values each",
                gone(r),
                r.engines.join(" = "),
                r.images,
                r.values_compared
            );
        }
    }
    s
}
