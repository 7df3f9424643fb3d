//! `cnna demo`: the main job from end to end on real images, with the figures and the pictures a user came for.

use super::JsonArguments;
use super::check::Check;
use anyhow::{Context, Result, ensure};
use cnna_compile::{Options, compile};
use cnna_flow::Simulated;
use cnna_flow::compare::Report as Compared;
use cnna_host::files::{self, write_whole};
use cnna_machine::program::Mode;
use cnna_quant::{AccuracyRow, Dataset, Split, accuracy_report};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna demo`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna demo -o build/demo
  cnna demo --model my.onnx --float my-float.onnx --board pynq-z2 -o build/my")]
pub struct Demo {
    /// A name or a folder as for `cnna train`.
    #[arg(long, default_value = "fashion-mnist")]
    dataset: String,
    /// The quantised model.
    #[arg(long, default_value = "models/fashion.onnx")]
    model: PathBuf,
    /// The same network in float.
    #[arg(long, default_value = "models/fashion-float.onnx")]
    float: PathBuf,
    /// Further quantised models for the accuracy table (other word widths).
    #[arg(long, default_values = ["models/fashion-w8.onnx"])]
    also: Vec<PathBuf>,
    /// The board.
    #[arg(long, default_value = "ultra96")]
    board: String,
    /// Images for the cycle simulator.
    #[arg(long, default_value_t = 100)]
    cycle_images: usize,
    /// Images for the RTL.
    #[arg(long, default_value_t = 3)]
    rtl_images: usize,
    /// Folder for everything made.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report {
    accuracy: Vec<AccuracyRow>,
    layers: Vec<Row>,
    cycles: u64,
    milliseconds: f64,
    mac_per_dsp_per_cycle: f64,
    equal: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    mode: Mode,
    macs: u64,
    simulator_cycles: u64,
    rtl_cycles: u64,
    mac_per_dsp_per_cycle: f64,
    saturated: u64,
}

impl Demo {
    /// Runs all stages; status 1 when engines differ.
    pub fn run(self) -> Result<ExitCode> {
        let mut inputs = vec![self.model.as_path(), self.float.as_path()];
        inputs.extend(self.also.iter().map(PathBuf::as_path));
        self.json.check_places(&inputs, &[])?;
        let board = cnna_flow::model::board(&self.board, &[])?;
        let data = Dataset::load(&self.dataset)?;
        let network = cnna_onnx::read_quantised(&self.model)
            .with_context(|| self.model.display().to_string())?;
        std::fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;

        // Program and sources.
        let program_path = self.output.join("program.cnna");
        let meta = {
            // Every layer's values are compared below.
            let options = Options {
                keep: true,
                ..Options::default()
            };
            let compiled = compile(&network, &board, &options)?;
            cnna_flow::program::write(&program_path, &compiled, &network)?;
            compiled.meta
        };
        self.say(&format!(
            "compiled  {} for {}: {} layers, {} commands -> {}",
            self.model.display(),
            board.name,
            meta.layers.len(),
            meta.streams.iter().map(|s| s.commands).sum::<usize>(),
            program_path.display()
        ))?;
        let sources = self.output.join("bitstream");
        let files = cnna_flow::sources::write(&board, &sources)?;
        self.say(&format!(
            "emitted   {} files of RTL and bitstream sources -> {}",
            files.len(),
            sources.display()
        ))?;

        // Accuracy: everything but the float row on integers, by the reference model.
        let mut trained = vec![network];
        for path in self.also.iter().filter(|p| p.exists()) {
            trained
                .push(cnna_onnx::read_quantised(path).with_context(|| path.display().to_string())?);
        }
        let float =
            cnna_onnx::read_graph(&self.float).with_context(|| self.float.display().to_string())?;
        self.say(&format!("\naccuracy on {} test images", data.test.len()))?;
        let mut said = Ok(());
        let accuracy = accuracy_report(&float, &trained, &data, |row| {
            if said.is_ok() {
                said = self.say(&accuracy_line(row));
            }
        })?;
        said?;

        // The same images on every engine, through the host runtime.
        let images = self.output.join("images.npy");
        let most = self.cycle_images.max(self.rtl_images);
        write_images(&images, &data.test.first(most))?;
        let cycle = self.compare(
            &program_path,
            &images,
            self.cycle_images,
            &[Simulated::Cycle],
        )?;
        let both = Simulated::ALL;
        let rtl = self.compare(&program_path, &images, self.rtl_images, &both)?;

        let dsps = board.accelerator.dsps() as u64;
        let rate = |macs: u64, cycles: u64| macs as f64 / (dsps * cycles.max(1)) as f64;
        let images = rtl.images as u64;
        let layers: Vec<Row> = rtl
            .layers
            .iter()
            .zip(&meta.layers)
            .map(|(l, info)| {
                let of = |engine: &str| {
                    let such = l.cycles.iter().filter(|c| c.engine == engine);
                    such.map(|c| c.cycles).sum::<u64>() / images
                };
                Row {
                    name: l.name.clone(),
                    mode: l.mode,
                    macs: info.macs,
                    simulator_cycles: of("cycle"),
                    rtl_cycles: of("rtl"),
                    mac_per_dsp_per_cycle: rate(info.macs, of("rtl")),
                    saturated: l.saturated,
                }
            })
            .collect();
        // From start to done, as everywhere: the layers' sum lacks what comes before the first and after the last mark.
        let whole = rtl.whole.iter().filter(|c| c.engine == "rtl");
        let cycles = whole.map(|c| c.cycles).sum::<u64>() / images;
        let macs = layers.iter().map(|l| l.macs).sum();
        let report = Report {
            milliseconds: cycles as f64 / (board.clock_mhz * 1e3),
            mac_per_dsp_per_cycle: rate(macs, cycles),
            cycles,
            equal: cycle.equal && rtl.equal,
            accuracy,
            layers,
        };
        let text = layer_table(&report, board.clock_mhz);
        self.say(&format!("\n{text}\n{}\n{}", verdict(&cycle), verdict(&rtl)))?;
        self.json.write(&report)?;
        Ok(ExitCode::from(u8::from(!report.equal)))
    }

    /// Tells a result as soon as it is there. To standard error where standard output is the report's.
    fn say(&self, text: &str) -> Result<()> {
        match self.json.is_printed() {
            true => files::note(text),
            false => files::print(text)?,
        }
        Ok(())
    }

    fn compare(
        &self,
        program: &Path,
        images: &Path,
        count: usize,
        engines: &[Simulated],
    ) -> Result<Compared> {
        ensure!(count > 0, "at least one image is needed for each engine");
        Check::new(program.into(), images.into(), count, engines.to_vec()).compare_all()
    }
}

fn verdict(c: &Compared) -> String {
    match &c.difference {
        None => format!(
            "equal: {} on {} image(s), {} values each",
            c.engines.join(" = "),
            c.images,
            c.values_compared
        ),
        Some(d) => format!("different: {d}"),
    }
}

/// Images as [n][1][row][column] float32, pixels as the trainer sees them.
fn write_images(path: &Path, split: &Split) -> Result<()> {
    let s = split.shape;
    let dims = [split.len(), s.c, s.h, s.w].map(|d| d as u64);
    write_whole(path, |w| {
        use npyz::WriterBuilder;
        let mut npy = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&dims)
            .writer(w)
            .begin_nd()?;
        let reals = split.reals();
        (0..split.len()).try_for_each(|i| npy.extend(split.through(i, &reals)))?;
        npy.finish()
    })?;
    Ok(())
}

fn accuracy_line(row: &AccuracyRow) -> String {
    let what = match (row.word, row.auto_scale) {
        (None, _) | (_, None) => "float".to_string(),
        (Some(w), Some(auto)) => format!(
            "{} bits, {}, {}",
            w.bits(),
            if auto { "auto-scaled" } else { "plain Q2.n" },
            match row.method {
                "trained" => "quantisation-aware training",
                _ => "rounded after training",
            }
        ),
    };
    let bar = "#".repeat(((row.percent - 50.0).max(0.0) / 1.25) as usize);
    format!(
        "  {what:<52} {:6.2} %  {:+.2}  {bar}",
        row.percent, row.points
    )
}

fn layer_table(r: &Report, clock_mhz: f64) -> String {
    let mut s = String::new();
    let _ = writeln!(
        s,
        "{:<10} {:<9} {:>11} {:>12} {:>12} {:>14} {:>10}",
        "layer", "mode", "MAC", "simulator", "RTL cycles", "MAC/DSP/cycle", "saturated"
    );
    for l in &r.layers {
        let bar = "#".repeat((40 * l.rtl_cycles / r.cycles.max(1)) as usize);
        let _ = writeln!(
            s,
            "{:<10} {:<9} {:>11} {:>12} {:>12} {:>14.2} {:>10}  {bar}",
            l.name,
            l.mode.name(),
            l.macs,
            l.simulator_cycles,
            l.rtl_cycles,
            l.mac_per_dsp_per_cycle,
            l.saturated
        );
    }
    let _ = writeln!(
        s,
        "whole, from start to done: {} cycles an image, {:.2} MAC/DSP/cycle, {:.3} ms at {clock_mhz} MHz (predicted)",
        r.cycles, r.mac_per_dsp_per_cycle, r.milliseconds
    );
    s
}
