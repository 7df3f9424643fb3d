//! `cnna compile`: a model and a board become one program file.

use super::quantize::{CalibrationArguments, say_notes};
use super::{BoardArguments, JsonArguments};
use crate::pictures::PictureArguments;
use crate::progress;
use anyhow::{Context, Result, bail};
use cnna_compile::Options;
use cnna_data::Preprocess;
use cnna_machine::num::Word;
use cnna_machine::program::Stream;
use cnna_net::{Graph, zoo};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna compile`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna compile model.onnx --board ultra96 -o model.cnna
  cnna compile float.onnx --calib photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --board ultra96 -o model.cnna
  cnna compile zoo:vgg16 --seed 1 --board ultra96 -o vgg16.cnna
  cnna compile zoo:vgg16 --board ultra96 --batch 1 -o vgg16.cnna
  cnna compile model.onnx --board pynq-z2 --set memory.latency=20 --no-winograd -o model.cnna")]
pub struct Compile {
    /// An ONNX file, or zoo:NAME (`zoo:` lists the names). A float model needs --calib.
    model: String,
    #[command(flatten)]
    calibration: CalibrationArguments,
    #[command(flatten)]
    pictures: PictureArguments,
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
    /// Refuse what the machine cannot run instead of leaving it to the host.
    #[arg(long)]
    no_host: bool,
    /// Give each tensor memory of its own, so that `cnna check` can compare all values.
    #[arg(long)]
    keep: bool,
    /// Run every pooling by itself, for comparison.
    #[arg(long)]
    no_fuse: bool,
    /// Most images that share the weights of fully connected layers, as far as machine and memory let them [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
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
    streams: &'a [Stream],
    image_bytes: usize,
    window_bytes: usize,
}

impl Compile {
    /// Compiles and writes the program file.
    pub fn run(self) -> Result<ExitCode> {
        let mut inputs = vec![Path::new(&self.model), Path::new(&self.board.board)];
        inputs.extend(self.calibration.calib.iter().map(Path::new));
        self.json.check_places(&inputs, &[&self.output])?;
        let board = self.board.load()?;
        let (network, preprocess) = self.network(board.accelerator.word)?;
        let spinner = progress::spinner(&format!("compiling {}", self.model));
        let options = Options {
            winograd: !self.no_winograd,
            paired: cnna_compile::Use::Cheaper,
            fuse: !self.no_fuse,
            batch: self.batch.map_or(usize::MAX, |n| n as usize),
            host: !self.no_host,
            keep: self.keep,
        };
        let mut compiled = cnna_compile::compile(&network, &board, &options)
            .with_context(|| format!("{} for {}", self.model, board.name))?;
        if let Some(p) = &preprocess {
            let metadata = &mut compiled.meta.metadata;
            metadata.insert(Preprocess::KEY.into(), p.to_text());
        }
        let (meta, image) = (&compiled.meta, &compiled.image);
        cnna_flow::program::write(&self.output, &compiled, &network)?;
        spinner.finish_and_clear();
        let report = Report {
            program: &self.output,
            network: &meta.name,
            board: &board.name,
            config: format!("{:016x}", board.accelerator.hash()),
            layers: meta.layers.len(),
            streams: &meta.streams,
            image_bytes: image.len(),
            window_bytes: meta.window_bytes,
        };
        let mut text = format!(
            "{}: {} for {}, {} layers, {:.1} MB to load, window of {:.1} MB",
            self.output.display(),
            report.network,
            report.board,
            report.layers,
            image.len() as f64 / 1e6,
            meta.window_bytes as f64 / 1e6,
        );
        for s in &meta.streams {
            text += &format!(
                "\n{} image(s) a run: {} commands, estimate {} cycles = {:.3} ms",
                s.images,
                s.commands,
                s.estimated_cycles,
                s.estimated_cycles as f64 / (board.clock_mhz * 1e3)
            );
        }
        for h in &meta.host {
            text += &format!("\non the host: {} ({}): {}", h.name, h.operator, h.reason);
        }
        let reserved = board.platform.dma_bytes;
        if meta.batch() < compiled.batch_wanted {
            text += &format!(
                "\nnote: {} image(s) a run instead of {}: the {reserved} bytes that {} reserves have room for no more, raise platform.dma_bytes",
                meta.batch(),
                compiled.batch_wanted,
                board.name
            );
        }
        if meta.window_bytes as u64 > reserved {
            text += &format!(
                "\nnote: {} reserves {reserved} bytes for the window, less than this program needs: raise platform.dma_bytes to run it there",
                board.name
            );
        }
        self.json.report(&text, &report, &[&self.output])?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Compile {
    /// The zoo's network or the file's, quantised where it is float, and how pictures become its input. Errors: not readable, float without images, words of
    /// another width.
    fn network(&self, word: Word) -> Result<(Graph, Option<Preprocess>)> {
        let model = &self.model;
        if zoo::is_zoo(model) {
            return Ok((zoo::network(model, self.seed, word)?, None));
        }
        let front = self
            .calibration
            .load(Path::new(model), &self.pictures, word)?;
        if front.graph.word != word {
            bail!(
                "{model}: it has {}-bit words, the board's machine {}-bit ones: use --set word={}, or quantise with the other width",
                front.graph.word.bits(),
                word.bits(),
                front.graph.word.bits()
            );
        }
        if let Some(q) = &front.quantised {
            let db = q
                .table
                .output_db
                .map_or("exact".into(), |d| format!("{d:.1} dB"));
            cnna_host::files::note(&format!(
                "quantised with {} image(s): output {db} against float",
                q.images
            ));
        }
        say_notes(&front);
        Ok((front.graph, front.preprocess))
    }
}
