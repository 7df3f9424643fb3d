//! `cnna explore`: which machine for these networks.

use super::quantize::{CalibrationArguments, say_notes};
use super::{BoardArguments, JsonArguments};
use crate::pictures::PictureArguments;
use crate::progress::Bar;
use anyhow::Result;
use cnna_explore::{Exploration, Network, PAGE, Request, axes, explore, write};
use cnna_flow::Session;
use cnna_host::signals;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna explore`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna explore model.onnx --board ultra96 -o explored             # then open explored/index.html
  cnna explore zoo:resnet18 --model zoo:mobilenet-v2 --board ultra96 -o explored
  cnna explore model.onnx --board pynq-z2 --vary tiles,lanes,weight_depth=256/512/1024 -o explored
  cnna compile model.onnx --board explored/board.toml -o model.cnna

Writes into the folder: index.html (cycles against DSPs, block RAMs, look-up tables and bytes over DDR, every machine a point),
board.toml (the fastest), machines/NAME.toml (all), explore.json (all numbers). Resources are the formulas of `cnna boards`; cycles
are the compiler's plan, and the cycle simulator's for every machine on a front.")]
pub struct Explore {
    /// An ONNX file, or zoo:NAME. A float model needs --calib.
    model: String,
    /// Further networks that the same machine is to run; may be repeated.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    #[command(flatten)]
    calibration: CalibrationArguments,
    #[command(flatten)]
    pictures: PictureArguments,
    #[command(flatten)]
    board: BoardArguments,
    /// Keys of the accelerator that change, with commas between them: KEY for its usual values, KEY=V/V/V for others
    /// [default: tiles,lanes,act_depth,weight_depth,out_depth,weight_ports].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    vary: Vec<String>,
    /// Machines to plan, at most.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    machines: u32,
    /// Seed of the sample, and of a zoo network's weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder for the page and the board files.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArguments,
}

impl Explore {
    /// Explores and writes the folder.
    pub fn run(self) -> Result<ExitCode> {
        let names: Vec<&String> = std::iter::once(&self.model).chain(&self.models).collect();
        let mut inputs: Vec<&Path> = names.iter().map(Path::new).collect();
        inputs.push(Path::new(&self.board.board));
        inputs.extend(self.calibration.calib.iter().map(Path::new));
        self.json.check_places(&inputs, &[])?;
        let axes = axes(&self.vary)?;
        let board = self.board.load()?;
        let (stop, bar) = (signals::stop_flag()?, Bar::new());
        let session = Session::new(&stop, &bar);
        let mut networks = Vec::new();
        for name in names {
            let model = self.calibration.model(name, self.seed, &self.pictures);
            let front = model.network(board.accelerator.word, &session)?;
            say_notes(&front);
            networks.push(Network {
                name: name.clone(),
                graph: front.graph,
            });
        }
        let request = Request {
            networks: &networks,
            board: &board,
            axes: &axes,
            machines: self.machines as usize,
            seed: self.seed,
        };
        let found = explore(&request, &session)?;
        write(&found, &self.output)?;
        let text = format!("{}\n{}", summary(&found), self.output.join(PAGE).display());
        self.json.report(&text, &found, &[])?;
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(e: &Exploration) -> String {
    let chosen = &e.machines[e.chosen];
    let a = &chosen.board.accelerator;
    format!(
        "{} machines planned of {} shapes, {} on a front and simulated\n\
         fastest: {}, {} DSPs, {} BRAM36, {} cycles = {:.3} ms at {} MHz (the board's own machine: {} cycles)",
        e.machines.len(),
        e.space,
        e.machines.iter().filter(|m| m.front).count(),
        chosen.board.name,
        a.all_dsps(),
        a.bram36(),
        chosen.cycles(),
        chosen.milliseconds(),
        chosen.board.clock_mhz,
        e.machines[0].cycles()
    )
}
