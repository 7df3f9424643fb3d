//! `cnna inspect`: what a program file holds.

use super::JsonArguments;
use anyhow::{Context, Result};
use cnna_host::files;
use cnna_machine::program::{Program, ProgramMeta, Stream};
use cnna_report::memory::{self, Region};
use cnna_report::stream::{self, Traffic};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `cnna inspect`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna inspect model.cnna
  cnna inspect model.cnna --json -
  cnna inspect model.cnna --dot | dot -Tsvg > model.svg      # the network, each node with the mode that runs it")]
pub struct Inspect {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    /// Print the network for Graphviz instead.
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    meta: &'a ProgramMeta,
    config: String,
    memory: Vec<Region>,
    commands: Vec<Commands>,
}

/// Commands of one stream.
#[derive(Serialize)]
struct Commands {
    images: usize,
    by_queue: BTreeMap<&'static str, usize>,
    by_layer: Vec<usize>,
    /// Bytes of residuals that each layer reads.
    residual_bytes: Vec<u64>,
    /// Bytes of each layer's results that stay on chip.
    local_bytes: Vec<u64>,
}

impl Inspect {
    /// Prints the program's contents.
    pub fn run(self) -> Result<ExitCode> {
        self.json.check_places(&[&self.program], &[])?;
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let meta = &program.meta;
        if self.dot {
            files::print(cnna_flow::program::drawing(&program)?.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        let name = || self.program.display().to_string();
        let streams = meta.streams.iter().map(|s| stream::traffic(&program, s));
        let streams: Vec<Traffic> = streams.collect::<Result<_, _>>().with_context(name)?;
        let report = Report {
            meta,
            config: format!("{:016x}", meta.accelerator().hash()),
            memory: memory::map(&program, &streams[0]).with_context(name)?,
            commands: meta.streams.iter().zip(&streams).map(count).collect(),
        };
        self.json.report(text(&report).trim_end(), &report, &[])?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Commands of each queue, and of each layer.
fn count((stream, traffic): (&Stream, &Traffic)) -> Commands {
    Commands {
        images: stream.images,
        by_queue: traffic.by_queue.clone(),
        by_layer: traffic.layers.iter().map(|l| l.commands).collect(),
        residual_bytes: traffic.layers.iter().map(|l| l.residual_bytes).collect(),
        local_bytes: traffic.layers.iter().map(|l| l.local_bytes).collect(),
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
    let ports = [("input", &m.inputs), ("output", &m.outputs)];
    for (what, p) in ports
        .iter()
        .flat_map(|(what, all)| all.iter().map(move |p| (what, p)))
    {
        let _ = writeln!(
            s,
            "{what} {} {:?} with {} fraction bits",
            p.name, p.array.dims, p.tensor.frac
        );
    }
    if let Ok(Some(p)) = cnna_flow::model::stored(m) {
        let _ = writeln!(s, "pictures become its input by {p}");
    }
    let _ = writeln!(s, "window of {} bytes", m.window_bytes);
    for stream in &m.streams {
        let _ = writeln!(
            s,
            "{} image(s) a run: {} commands, estimate {} cycles",
            stream.images, stream.commands, stream.estimated_cycles
        );
    }
    let width = m
        .layers
        .iter()
        .map(|l| l.name.len())
        .max()
        .unwrap_or(0)
        .max(5);
    let _ = writeln!(
        s,
        "\n{:<width$}  {:<8}  {:>14}  {:>14}  {:>4}  {:>14}  {:>10}  {:>10}  {:>8}",
        "layer", "mode", "input", "output", "frac", "macs", "residual B", "on chip B", "commands"
    );
    for (i, l) in m.layers.iter().enumerate() {
        let counts = r.commands.iter().map(|c| c.by_layer[i].to_string());
        let n = counts.collect::<Vec<_>>().join(" + ");
        let _ = writeln!(
            s,
            "{:<width$}  {:<8}  {:>14}  {:>14}  {:>4}  {:>14}  {:>10}  {:>10}  {n:>8}",
            l.name,
            l.mode.name(),
            l.input.to_string(),
            l.output.layout.shape.to_string(),
            l.output.frac,
            l.macs,
            r.commands[0].residual_bytes[i],
            r.commands[0].local_bytes[i],
        );
    }
    for h in &m.host {
        let _ = writeln!(
            s,
            "on the host, after segment {}: {} ({}): {}",
            h.after, h.name, h.operator, h.reason
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
    for c in &r.commands {
        let _ = write!(s, "\ncommands for {} image(s):", c.images);
        for (queue, n) in &c.by_queue {
            let _ = write!(s, " {queue} {n}");
        }
    }
    s
}
