//! The commands, one file each; this is their list.

mod boards;
mod check;
mod compile;
mod demo;
mod explore;
mod inspect;
mod quantize;
mod report;
mod rtl;
mod run;
mod serve;
#[cfg(feature = "train")]
mod train;
#[cfg(not(feature = "train"))]
#[path = "no_trainer.rs"]
mod train;

use anyhow::Result;
use clap::Subcommand;
use cnna_flow::model;
use cnna_host::files;
use cnna_machine::Board;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `cnna` can do.
#[derive(Subcommand)]
pub enum Command {
    /// Train a network with quantisation-aware training and write it as ONNX.
    Train(train::Train),
    /// The main job from end to end on real images: compile, emit, simulate, compare.
    Demo(demo::Demo),
    /// Give a float ONNX model number formats from sample images; its weights stay as they are.
    Quantize(quantize::Quantize),
    /// Compile an ONNX model (or a zoo network) to a program file.
    Compile(compile::Compile),
    /// Write the RTL and the board's bitstream sources.
    Rtl(rtl::Rtl),
    /// Run a program on a device: reference, cycle, rtl, a board, or a served file.
    Run(run::Run),
    /// Compare all engines on the same input, bit for bit and cycle for cycle.
    Check(check::Check),
    /// Show a program's layers, formats, memory map and commands.
    Inspect(inspect::Inspect),
    /// Write a page that shows where a program's time goes: roofline, cycles, memory, all numbers.
    Report(report::Page),
    /// Find the machine for networks: plan many shapes of a board's accelerator, simulate the best, write a page.
    Explore(explore::Explore),
    /// List the boards, or print one's configuration.
    Boards(boards::Boards),
    /// Serve a simulated device behind a shared file.
    Serve(serve::Serve),
}

impl Command {
    /// Runs the command. Errors end the program with status 2.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Command::Train(c) => c.run(),
            Command::Demo(c) => c.run(),
            Command::Quantize(c) => c.run(),
            Command::Compile(c) => c.run(),
            Command::Rtl(c) => c.run(),
            Command::Run(c) => c.run(),
            Command::Check(c) => c.run(),
            Command::Inspect(c) => c.run(),
            Command::Report(c) => c.run(),
            Command::Explore(c) => c.run(),
            Command::Boards(c) => c.run(),
            Command::Serve(c) => c.run(),
        }
    }
}

/// Which machine: a board and overrides of its keys.
#[derive(clap::Args)]
pub struct BoardArguments {
    /// A board's name (see `cnna boards`) or the path of its .toml file.
    #[arg(long)]
    board: String,
    /// Override a key, for example lanes=5 or memory.latency=20; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

impl BoardArguments {
    /// Loads the board and refuses what its chip cannot hold.
    fn load(&self) -> Result<Board> {
        Ok(model::board(&self.board, &self.set)?)
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(k, v)| (k.trim().into(), v.trim().into()))
        .ok_or_else(|| format!("`{text}` is not key=value, as in lanes=5"))
}

/// Where results go besides the screen.
#[derive(clap::Args, Default)]
pub struct JsonArguments {
    /// Also write the report to this file; `-` prints it instead of the text.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl JsonArguments {
    /// Finds out, before work that takes minutes, whether every output can be written and destroys neither an input nor
    /// another output; the report is one of them.
    fn check_places(&self, inputs: &[&Path], outputs: &[&Path]) -> Result<()> {
        let outputs: Vec<&Path> = outputs
            .iter()
            .copied()
            .chain(self.json.as_deref())
            .collect();
        Ok(files::check_places(inputs, &outputs)?)
    }

    /// True when the report is what standard output is for.
    fn is_printed(&self) -> bool {
        self.json.as_deref().is_some_and(files::is_stdout)
    }

    /// Writes `value` as JSON, where asked.
    fn write(&self, value: &impl serde::Serialize) -> Result<()> {
        match &self.json {
            Some(path) => Ok(files::write_json(path, value)?),
            None => Ok(()),
        }
    }

    /// Prints `text`, or writes `value` as JSON, as asked. The text goes to standard error where one of `outputs` has
    /// taken standard output.
    fn report(&self, text: &str, value: &impl serde::Serialize, outputs: &[&Path]) -> Result<()> {
        self.write(value)?;
        if self.is_printed() {
            return Ok(());
        }
        if outputs.iter().any(|o| files::is_stdout(o)) {
            files::note(text);
            return Ok(());
        }
        Ok(files::print(text)?)
    }
}

/// A number of images.
fn images(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("no image is none to run: give at least 1, or leave the option out".into()),
        Ok(n) => Ok(n as usize),
        Err(_) => Err(format!("`{text}` is not a number from 1 to {}", u32::MAX)),
    }
}
