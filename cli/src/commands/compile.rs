//! `cnna compile`: a model and a board become one program file.

use super::quantize::{CalibrationArguments, say_notes};
use super::{BoardArguments, JsonArguments};
use crate::pictures::PictureArguments;
use crate::progress::Bar;
use anyhow::Result;
use cnna_compile::Options;
use cnna_flow::Session;
use cnna_flow::model::CompileReport;
use cnna_host::{files, memory, signals};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna compile`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna compile model.onnx --board ultra96 -o model.cnna
  cnna compile float.onnx --calib photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --board ultra96 -o model.cnna
  cnna compile zoo:vgg16 --seed 1 --board ultra96 -o vgg16.cnna
  cnna compile zoo:vgg16 --board ultra96 --batch 1 -o vgg16.cnna
  cnna compile zoo:mobilenet-v2 --tune -o mobilenet.cnna
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
    /// Try several plans, which trust the memory more or less, and take the fastest one by the simulator: seconds.
    #[arg(long)]
    tune: bool,
    /// Most images that share the weights of fully connected layers, as far as machine and memory let them [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
    #[command(flatten)]
    json: JsonArguments,
}

impl Compile {
    /// Compiles and writes the program file.
    pub fn run(self) -> Result<ExitCode> {
        let mut inputs = vec![Path::new(&self.model), Path::new(&self.board.board)];
        inputs.extend(self.calibration.calib.iter().map(Path::new));
        self.json.check_places(&inputs, &[&self.output])?;
        let board = self.board.load()?;
        if !self.calibration.calib.is_empty() {
            memory::return_large_blocks();
        }
        let model = self
            .calibration
            .model(&self.model, self.seed, &self.pictures);
        let (stop, bar) = (signals::stop_flag()?, Bar::new());
        let session = Session::new(&stop, &bar);
        let options = Options {
            winograd: !self.no_winograd,
            fuse: !self.no_fuse,
            batch: self.batch.map_or(usize::MAX, |n| n as usize),
            host: !self.no_host,
            keep: self.keep,
            ..Options::default()
        };
        let front = model.network_on(&board, &options, &session)?;
        if let Some(q) = &front.quantised {
            let (done, images) = match q.method {
                Some(_) => ("quantised", q.images),
                None => ("compared", q.table.images),
            };
            files::note(&format!("{done} with {images} image(s): {}", q.output()));
            if let Some(classes) = &q.table.narrow_classes {
                files::note(&classes.text());
            }
        }
        say_notes(&front);
        let (compiled, tuned) = match self.tune {
            true => {
                let (compiled, cycles) = model.tune(&front, &board, &options, &session)?;
                (compiled, Some(cycles))
            }
            false => (model.compile(&front, &board, &options, &session)?, None),
        };
        let (meta, image) = (&compiled.meta, &compiled.image);
        cnna_flow::program::write(&self.output, &compiled, &front.graph)?;
        let report = CompileReport::new(&self.output, &compiled);
        let mut text = format!(
            "{}: {} for {}, {} layers, {:.1} MB to load, window of {:.1} MB",
            self.output.display(),
            report.network,
            report.board,
            report.layers,
            image.len() as f64 / 1e6,
            meta.window_bytes as f64 / 1e6,
        );
        let milliseconds = |cycles: u64| cycles as f64 / (board.clock_mhz * 1e3);
        for s in &meta.streams {
            text += &format!(
                "\n{} image(s) a run: {} commands, estimate {} cycles = {:.3} ms",
                s.images,
                s.commands,
                s.estimated_cycles,
                milliseconds(s.estimated_cycles)
            );
        }
        if let Some(cycles) = tuned {
            text += &format!(
                "\n1 image: {cycles} cycles = {:.3} ms in the simulator, the fewest of the plans",
                milliseconds(cycles)
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
