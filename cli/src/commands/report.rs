//! `cnna report`: a program's run as one HTML page that shows where the time goes.

use super::JsonArguments;
use crate::progress::Bar;
use anyhow::{Context, Result};
use cnna_flow::devices::REFERENCE;
use cnna_flow::{FlowError, Session, cost, images};
use cnna_host::{files, signals, tensor};
use cnna_machine::program::Program;
use cnna_report::page;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `cnna report`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna report model.cnna -o report.html
  cnna report model.cnna --input x.npy --json report.json -o report.html
  cnna report model.cnna --device rtl -o report.html
  cnna report q.cnna --quantisation q.json -o report.html     # q.json: of `cnna quantize float.onnx --json q.json`

The page needs nothing but itself: a roofline, each layer's cycles, each tensor's
signal-to-noise ratio, the memory window, all numbers.")]
pub struct Page {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    /// cycle, rtl, a UIO device (uio0), or the path of a file served by `cnna serve`.
    #[arg(long, default_value = "cycle")]
    device: String,
    /// Images as for `cnna run`, of which the first runs; without it, random words.
    #[arg(long, value_name = "FILE")]
    input: Vec<String>,
    /// What `cnna quantize --json` wrote of this network: adds each tensor's signal-to-noise ratio.
    #[arg(long, value_name = "JSON")]
    quantisation: Option<PathBuf>,
    /// Seed of the random image.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The page.
    #[arg(short, long)]
    output: PathBuf,
    /// Seconds without progress after which a device counts as hung.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    json: JsonArguments,
}

impl Page {
    /// Runs the program on one image and writes the page.
    pub fn run(self) -> Result<ExitCode> {
        if self.device == REFERENCE {
            return Err(FlowError::NoCycles.into());
        }
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let input_files = match self.input.is_empty() {
            true => Vec::new(),
            false => tensor::port_files(&self.input, &program.meta.inputs, "input")?,
        };
        let mut inputs: Vec<&Path> = input_files.iter().map(PathBuf::as_path).collect();
        inputs.extend([self.program.as_path(), Path::new(&self.device)]);
        inputs.extend(self.quantisation.as_deref());
        self.json.check_places(&inputs, &[&self.output])?;
        let table = self.quantisation.as_deref().map(|p| {
            let name = p.display().to_string();
            let json = std::fs::read(p).with_context(|| name.clone())?;
            anyhow::Ok(cost::quantisation(&name, &json, &program)?)
        });
        let table = table.transpose()?;
        let mut images =
            images::read_or_random(&input_files, &program.meta, Some(1), 1, self.seed)?;
        let stop = signals::stop_flag()?;
        let session = Session {
            stop: &stop,
            progress: &Bar::new(),
            timeout: Duration::from_secs(self.timeout),
        };
        let name = self.program.display().to_string();
        let (device, image) = (&self.device, self.image());
        let mut report = cost::measure(&name, device, &program, &mut *images, &image, &session)?;
        report.quantisation = table;
        let html = page(&report)?;
        files::write_whole(&self.output, |w| w.write_all(html.as_bytes()))?;
        let text = format!("{}: {}", self.output.display(), report.headline());
        self.json.report(&text, &report, &[&self.output])?;
        Ok(ExitCode::SUCCESS)
    }

    /// The image that runs, for people.
    fn image(&self) -> String {
        match self.input.is_empty() {
            false => format!("the first of {}", self.input.join(", ")),
            true => format!("random words of seed {}", self.seed),
        }
    }
}
