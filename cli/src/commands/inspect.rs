//! `cnna inspect`: what a program file holds.

use super::JsonArguments;
use anyhow::{Context, Result};
use cnna_host::files;
use cnna_spec::isa::{COMMAND_BYTES, COMMAND_WORDS, Head, Queue};
use cnna_spec::program::{Program, ProgramMeta};
use cnna_spec::regs::RECORD_BYTES;
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

/// A stretch of the memory window.
#[derive(Serialize)]
struct Region {
    offset: usize,
    bytes: usize,
    what: String,
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
        let (by_queue, by_layer) = count(&program)
            .with_context(|| format!("{}: the command stream", self.program.display()))?;
        let report = Report {
            meta,
            config: format!("{:016x}", meta.accelerator().hash()),
            memory: memory_map(&program),
            commands_by_queue: by_queue,
            commands_by_layer: by_layer,
        };
        self.json.report(text(&report).trim_end(), &report)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Commands of each queue, and of each layer by their tags.
fn count(program: &Program<'_>) -> Result<(BTreeMap<&'static str, usize>, Vec<usize>)> {
    let meta = &program.meta;
    let end = meta.commands_offset + meta.commands * COMMAND_BYTES;
    let stream = program
        .image
        .get(meta.commands_offset..end)
        .context("leaves the image: compile the model again")?;
    let mut by_queue = BTreeMap::from(Queue::ALL.map(|q| (queue_name(q), 0)));
    let mut by_layer = vec![0; meta.layers.len()];
    for command in stream.chunks_exact(COMMAND_BYTES) {
        let mut words = [0; COMMAND_WORDS];
        words[0] = u32::from_le_bytes([command[0], command[1], command[2], command[3]]);
        let head = Head::decode(&words);
        *by_queue
            .entry(queue_name(Queue::from_bits(head.queue as u32)))
            .or_default() += 1;
        if let Some(n) = by_layer.get_mut(head.tag as usize) {
            *n += 1;
        }
    }
    Ok((by_queue, by_layer))
}

fn queue_name(q: Queue) -> &'static str {
    match q {
        Queue::Load => "load",
        Queue::Weight => "weight",
        Queue::Compute => "compute",
        Queue::Store => "store",
    }
}

fn memory_map(program: &Program<'_>) -> Vec<Region> {
    let meta = &program.meta;
    let region = |offset, bytes, what: String| Region {
        offset,
        bytes,
        what,
    };
    let commands = meta.commands * COMMAND_BYTES;
    let behind = meta.commands_offset + commands;
    let mut map = vec![
        region(meta.commands_offset, commands, "commands".into()),
        region(
            behind,
            program.image.len().saturating_sub(behind),
            "weights and biases".into(),
        ),
        region(meta.input.offset, meta.input.layout.bytes(), "input".into()),
    ];
    for l in &meta.layers {
        let output = &l.output;
        map.push(region(
            output.offset,
            output.layout.bytes(),
            format!("output of {}", l.name),
        ));
        map.push(region(
            l.record,
            RECORD_BYTES,
            format!("counters of {}", l.name),
        ));
    }
    map.sort_by_key(|r| r.offset);
    map
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
