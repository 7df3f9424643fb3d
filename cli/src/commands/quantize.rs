//! `cnna quantize`: a float model and images become a quantised model; its weights stay as they are.

use super::JsonArguments;
use crate::pictures::PictureArguments;
use crate::progress::Bar;
use anyhow::Result;
use cnna_flow::model::{self, CALIBRATION_IMAGES, QuantiseReport};
use cnna_flow::{Model, Session};
use cnna_host::{files, memory, signals};
use cnna_machine::num::Word;
use cnna_quant::ptq::{Calibration, Front, Method, Narrow};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna quantize`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna quantize model.onnx --calib photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --resize 256 -o q.onnx
  cnna quantize model.onnx --calib x.npy -o q.onnx            # x.npy: float32, (N, the model's input)
  cnna quantize model.onnx --calib fashion-mnist --word 8 -o q.onnx
  cnna quantize keras.onnx --calib photos --pixels 255 -o q.onnx

Columns: frac, fraction bits of the tensor's words; weights, bits of a layer's weights, /ch with a scale a channel; peak, its largest
magnitude on the calibration images; SNR, power of the float
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
    /// Layers whose weights have 8 bits in a 16-bit machine, half the bytes: off, as many as leave the output 40 dB (and a
    /// classifier the best class of 99 % of the calibration images), or all.
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
    /// The model with these images.
    pub fn model(&self, model: &str, seed: u64, pictures: &PictureArguments) -> Model {
        let named = |text: &String| match text.split_once('=') {
            Some((name, path)) if !Path::new(text).exists() => (Some(name.to_owned()), path.into()),
            _ => (None, text.into()),
        };
        let calibration = Calibration {
            paths: self.calib.iter().map(named).collect(),
            preprocess: pictures.wanted(),
            most: self.calib_images,
        };
        Model {
            name: model.into(),
            seed,
            calibration,
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
        }
    }
}

/// What a user should know about how the model became integers.
pub fn say_notes(front: &Front) {
    for n in &front.notes {
        files::note(&format!("note: {n}"));
    }
}

impl Quantize {
    /// Quantises and writes the model.
    pub fn run(self) -> Result<ExitCode> {
        let mut inputs = vec![self.model.as_path()];
        inputs.extend(self.calibration.calib.iter().map(Path::new));
        self.json.check_places(&inputs, &[&self.output])?;
        let word = Word::try_from(self.word).map_err(anyhow::Error::msg)?;
        let name = self.model.display().to_string();
        let model = self.calibration.model(&name, 0, &self.pictures);
        memory::return_large_blocks();
        let stop = signals::stop_flag()?;
        let front = model.quantised(word, &Session::new(&stop, &Bar::new()))?;
        model::write_quantised(&name, &front.graph, front.preprocess.as_ref(), &self.output)?;
        let q = front.quantised.as_ref();
        let report = QuantiseReport::new(&self.model, &self.output, &front);
        let mut text = q.map_or(String::new(), |q| q.table.text());
        text += &format!("{}: {}-bit words", self.output.display(), report.word);
        if let Some(q) = q {
            let how = match q.method {
                None => "in its own integers".into(),
                Some(m) => format!(
                    "ranges by {}{}",
                    serde_json::to_value(m)?.as_str().unwrap_or_default(),
                    if q.equalised {
                        " of equal channels"
                    } else {
                        ""
                    }
                ),
            };
            text += &format!(
                ", {} calibration image(s), {how}, {} on {} of them",
                q.images,
                q.output(),
                q.table.images
            );
        }
        say_notes(&front);
        self.json.report(&text, &report, &[&self.output])?;
        Ok(ExitCode::SUCCESS)
    }
}
