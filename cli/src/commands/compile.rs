//! `cnna compile`: a model and a board become one program file.

use super::{BoardArguments, JsonArguments, writable};
use crate::progress;
use anyhow::{Context, Result, bail};
use cnna_compile::{Options, import, zoo};
use cnna_spec::layer::Network;
use cnna_spec::num::Word;
use cnna_spec::program;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna compile`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna compile model.onnx --board ultra96 -o model.cnna
  cnna compile zoo:vgg16 --seed 1 --board ultra96 -o vgg16.cnna
  cnna compile model.onnx --board pynq-z2 --set memory.latency=20 --no-winograd -o model.cnna")]
pub struct Compile {
    /// An ONNX file with QuantizeLinear/DequantizeLinear, or zoo:NAME (`zoo:` lists the names).
    model: String,
    #[command(flatten)]
    board: BoardArguments,
    /// The program file.
    #[arg(short, long)]
    output: PathBuf,
    /// Seed of a zoo network's weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compute every convolution directly, for comparison.
    #[arg(long)]
    no_winograd: bool,
    /// Run every pooling by itself, for comparison.
    #[arg(long)]
    no_fuse: bool,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    program: &'a Path,
    network: &'a str,
    board: &'a str,
    config: String,
    layers: usize,
    commands: usize,
    image_bytes: usize,
    window_bytes: usize,
    estimated_cycles: u64,
    estimated_milliseconds: f64,
}

impl Compile {
    /// Compiles and writes the program file.
    pub fn run(self) -> Result<ExitCode> {
        writable(&self.output)?;
        let board = self.board.load()?;
        let spinner = progress::spinner(&format!("compiling {}", self.model));
        let network = load_network(&self.model, self.seed, board.accelerator.word)?;
        let options = Options {
            winograd: !self.no_winograd,
            fuse: !self.no_fuse,
        };
        let compiled = cnna_compile::compile(&network, &board, &options)
            .with_context(|| format!("{} for {}", self.model, board.name))?;
        let (meta, image) = (&compiled.meta, &compiled.image);
        program::write(&self.output, meta, image, &network)?;
        spinner.finish_and_clear();
        let report = Report {
            program: &self.output,
            network: &meta.name,
            board: &board.name,
            config: format!("{:016x}", board.accelerator.hash()),
            layers: meta.layers.len(),
            commands: meta.commands,
            image_bytes: image.len(),
            window_bytes: meta.window_bytes,
            estimated_cycles: meta.estimated_cycles,
            estimated_milliseconds: meta.estimated_cycles as f64 / (board.clock_mhz * 1e3),
        };
        let mut text = format!(
            "{}: {} for {}, {} layers, {} commands, {:.1} MB to load, window of {:.1} MB, estimate {} cycles = {:.3} ms",
            self.output.display(),
            report.network,
            report.board,
            report.layers,
            report.commands,
            image.len() as f64 / 1e6,
            meta.window_bytes as f64 / 1e6,
            report.estimated_cycles,
            report.estimated_milliseconds
        );
        let reserved = board.platform.dma_bytes;
        if meta.window_bytes as u64 > reserved {
            text += &format!(
                "\nnote: {} reserves {reserved} bytes for the window, less than this program needs: raise platform.dma_bytes to run it there",
                board.name
            );
        }
        self.json.report(&text, &report)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn load_network(model: &str, seed: u64, word: Word) -> Result<Network> {
    if zoo::is_zoo(model) {
        return Ok(zoo::network(model, seed, word)?);
    }
    let network = import::read(model).with_context(|| model.to_owned())?;
    if network.word != word {
        bail!(
            "{model}: it has {}-bit words, the board's machine {}-bit ones: use --set word={}, or train with the other width",
            network.word.bits(),
            word.bits(),
            network.word.bits()
        );
    }
    Ok(network)
}
