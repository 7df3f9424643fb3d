//! `cnna quantize`: a float model and images become a quantised model; its weights stay as they are.

use super::JsonArguments;
use crate::pictures::PictureArguments;
use crate::progress::Bar;
use anyhow::{Context, Result};
use cnna_data::Preprocess;
use cnna_flow::Progress as _;
use cnna_host::files;
use cnna_machine::num::Word;
use cnna_quant::ptq::{Calibration, Front, Method, Narrow, Options, load_or_quantise};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Calibration images used when a caller has no reason for another number: ranges change little beyond it.
const CALIBRATION_IMAGES: usize = 64;

/// Arguments of `cnna quantize`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna quantize model.onnx --calib photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --resize 256 -o q.onnx
  cnna quantize model.onnx --calib x.npy -o q.onnx            # x.npy: float32, (N, the model's input)
  cnna quantize model.onnx --calib fashion-mnist --word 8 -o q.onnx
  cnna quantize keras.onnx --calib photos --pixels 255 -o q.onnx

Columns: frac, fraction bits of the tensor's words; weights, bits of a layer's weights, /ch with a scale a channel; peak, its largest magnitude on the calibration images; SNR, power of the float
values over that of the integers' error; saturated, results beyond the word.")]
pub struct Quantize {
    /// A float ONNX model, or one that another tool quantised.
    model: PathBuf,
    #[command(flatten)]
    calibration: CalibrationArguments,
    #[command(flatten)]
    pictures: PictureArguments,
    /// Bits of weights and activations: 8 or 16.
    #[arg(long, default_value_t = 16)]
    word: u32,
    /// The quantised model.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArguments,
}

/// Which images tell the ranges, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Calibration")]
pub struct CalibrationArguments {
    /// Images like those that the network is made for: pictures, a folder of them or of class folders, npy arrays, a data set;
    /// with several inputs INPUT=x.npy for each.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub calib: Vec<String>,
    /// How ranges become formats [default: max at 16 bits; at 8 bits the one with the best output].
    #[arg(long, value_parser = ["max", "percentile", "mse"])]
    method: Option<String>,
    /// Layers whose weights have 8 bits in a 16-bit machine, half the bytes: off, as many as leave the output 40 dB, or all.
    #[arg(long, value_name = "WHICH", value_parser = ["off", "auto", "all"], default_value = "off")]
    narrow_weights: String,
    /// A weight scale for each output channel of a convolution instead of one a layer.
    #[arg(long)]
    per_channel: bool,
    /// At most so many images, evenly spread.
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_IMAGES, value_parser = super::images)]
    calib_images: usize,
}

impl CalibrationArguments {
    /// Reads `model`, quantising it where it is float. Errors: named by the model.
    pub fn load(&self, model: &Path, pictures: &PictureArguments, word: Word) -> Result<Front> {
        let named = |text: &String| match text.split_once('=') {
            Some((name, path)) if !Path::new(text).exists() => (Some(name.to_owned()), path.into()),
            _ => (None, text.into()),
        };
        let calibration = Calibration {
            paths: self.calib.iter().map(named).collect(),
            preprocess: pictures.wanted(),
            most: self.calib_images,
        };
        let options = Options {
            word,
            method: self.method.as_deref().map(|m| match m {
                "max" => Method::Max,
                "mse" => Method::Mse,
                _ => Method::Percentile,
            }),
            narrow: match self.narrow_weights.as_str() {
                "all" => Narrow::All,
                "auto" => Narrow::Auto,
                _ => Narrow::Off,
            },
            per_channel: self.per_channel,
        };
        let bar = Bar::new();
        let front = load_or_quantise(model, &calibration, &options, |done, all| {
            if done == 0 {
                bar.begin("calibrating", Some(all as u64), "images");
            }
            bar.at(done as u64);
            if done == all {
                bar.begin("comparing with float", None, "");
            }
        })
        .with_context(|| model.display().to_string())?;
        bar.end();
        Ok(front)
    }
}

/// What a user should know about how the model became integers.
pub fn say_notes(front: &Front) {
    for n in &front.notes {
        files::note(&format!("note: {n}"));
    }
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a Path,
    output: &'a Path,
    word: u32,
    notes: &'a [String],
    method: Option<Method>,
    bias_corrected: Option<bool>,
    calibration_images: Option<usize>,
    table: Option<&'a cnna_quant::ptq::Table>,
}

impl Quantize {
    /// Quantises and writes the model.
    pub fn run(self) -> Result<ExitCode> {
        let mut inputs = vec![self.model.as_path()];
        inputs.extend(self.calibration.calib.iter().map(Path::new));
        self.json.check_places(&inputs, &[&self.output])?;
        let word = Word::try_from(self.word).map_err(anyhow::Error::msg)?;
        let front = self.calibration.load(&self.model, &self.pictures, word)?;
        let mut model =
            cnna_onnx::export(&front.graph).with_context(|| self.model.display().to_string())?;
        if let Some(p) = &front.preprocess {
            model.metadata.push((Preprocess::KEY.into(), p.to_text()));
        }
        cnna_onnx::write(&self.output, &model)?;
        let q = front.quantised.as_ref();
        let report = Report {
            model: &self.model,
            output: &self.output,
            word: front.graph.word.bits(),
            notes: &front.notes,
            method: q.map(|q| q.method),
            bias_corrected: q.map(|q| q.corrected),
            calibration_images: q.map(|q| q.images),
            table: q.map(|q| &q.table),
        };
        let mut text = q.map_or(String::new(), |q| q.table.text());
        text += &format!("{}: {}-bit words", self.output.display(), report.word);
        if let Some(q) = q {
            let db = q
                .table
                .output_db
                .map_or("exact".into(), |d| format!("{d:.1} dB"));
            text += &format!(
                ", {} calibration image(s), ranges by {}, output {db} against float on {} of them",
                q.images,
                serde_json::to_value(q.method)?.as_str().unwrap_or_default(),
                q.table.images
            );
        }
        say_notes(&front);
        self.json.report(&text, &report, &[&self.output])?;
        Ok(ExitCode::SUCCESS)
    }
}
