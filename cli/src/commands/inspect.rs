//! `cnna inspect`: what a program file holds.

use super::JsonArguments;
use anyhow::{Context, Result};
use cnna_host::files;
use cnna_report::memory::{self, Region};
use cnna_report::stream::traffic;
use cnna_spec::program::{Program, ProgramMeta};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `cnna inspect`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna inspect model.cnna
  cnna inspect model.cnna --json -")]
pub struct Inspect {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    meta: &'a ProgramMeta,
    config: String,
    memory: Vec<Region>,
    commands_by_queue: BTreeMap<&'static str, usize>,
    commands_by_layer: Vec<usize>,
}

impl Inspect {
    /// Prints the program's contents.
    pub fn run(self) -> Result<ExitCode> {
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let meta = &program.meta;
        let name = || self.program.display().to_string();
        let traffic = traffic(&program).with_context(name)?;
        let report = Report {
            meta,
            config: format!("{:016x}", meta.accelerator().hash()),
            memory: memory::map(&program, &traffic).with_context(name)?,
            commands_by_layer: traffic.layers.iter().map(|l| l.commands).collect(),
            commands_by_queue: traffic.by_queue,
        };
        self.json.report(text(&report).trim_end(), &report)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(r: &Report<'_>) -> String {
    let (m, mut s) = (r.meta, String::new());
    let a = m.accelerator();
    // Writing to a String cannot fail.
    let _ = writeln!(
        s,
        "{}: for {} (tiles {}, lanes {}, {}-bit words), configuration {}",
        m.name,
        m.board.name,
        a.tiles,
        a.lanes,
        a.word.bits(),
        r.config
    );
    let _ = writeln!(
        s,
        "input {} with {} fraction bits; window of {} bytes; estimate {} cycles",
        m.input.layout.shape, m.input.frac, m.window_bytes, m.estimated_cycles
    );
    let width = m
        .layers
        .iter()
        .map(|l| l.name.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let _ = writeln!(
        s,
        "\n{:<width$}  {:<8}  {:>14}  {:>14}  {:>4}  {:>14}  {:>8}",
        "layer", "mode", "input", "output", "frac", "macs", "commands"
    );
    for (l, n) in m.layers.iter().zip(&r.commands_by_layer) {
        let _ = writeln!(
            s,
            "{:<width$}  {:<8}  {:>14}  {:>14}  {:>4}  {:>14}  {n:>8}",
            l.name,
            l.mode,
            l.input.to_string(),
            l.output.layout.shape.to_string(),
            l.output.frac,
            l.macs
        );
    }
    let _ = writeln!(s, "\n{:>12}  {:>12}  memory", "offset", "bytes");
    for region in &r.memory {
        let _ = writeln!(
            s,
            "{:>#12x}  {:>12}  {}",
            region.offset, region.bytes, region.what
        );
    }
    let _ = write!(s, "\n{} commands:", m.commands);
    for (queue, n) in &r.commands_by_queue {
        let _ = write!(s, " {queue} {n}");
    }
    s
}
