//! `cnna train`: images become a quantised ONNX model.

use crate::pictures::PictureArguments;
use anyhow::{Context as _, Result, ensure};
use cnna_host::files;
use cnna_machine::num::Word;
use cnna_quant::{EpochRow, Optimiser, TrainOptions};
use cnna_report::curves::{self, Curve, Panel};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna train`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna train --dataset fashion-mnist --arch vgg-small --seed 1 -o model.onnx
  cnna train --dataset DIR --arch net.toml --word 8 -o model.onnx
  cnna train --init float.onnx --dataset DIR --epochs 0 --qat-epochs 2 -o model.onnx
  cnna train --mirror --shift 2 --smoothing 0.1 --epochs 12 --json run.json -o model.onnx
  cnna train --arch vgg-bn --patience 3 --cutout 8 --word 8 --per-channel -o model.onnx
  cnna train --init float.onnx --teacher --dataset DIR --epochs 0 --qat-epochs 20 --word 8 --optimiser adam -o q.onnx
  cnna train --init float.onnx --prune 0.8 --low-rank 0.9 --epochs 2 --qat-epochs 1 -o small.onnx

--init takes any model that is read whose operators have gradients: branches, residuals, groups, all activations.
Training changes weights; `cnna quantize` keeps them. The network sees pixel / 255 unless --mean, --std or --pixels say
otherwise; with --init or --crop pictures are resized. --teacher needs no labels: any pictures will do, in one class folder.
An interrupted run continues from its checkpoint when started again with the same options.")]
pub struct Train {
    /// A data set's name, or a folder: train/CLASS and test/CLASS of pictures, npy arrays, or idx files.
    #[arg(long, default_value = "fashion-mnist")]
    dataset: String,
    /// A built-in architecture, or a TOML file.
    #[arg(long, default_value = "vgg-small")]
    arch: String,
    /// Begin from this float ONNX file instead of random weights; say --epochs and --qat-epochs.
    #[arg(
        long,
        value_name = "FILE",
        requires = "epochs",
        requires = "qat_epochs"
    )]
    init: Option<PathBuf>,
    /// Passes over the data in float [default: 6].
    #[arg(long)]
    epochs: Option<usize>,
    /// Further passes with fake quantisation [default: 1].
    #[arg(long)]
    qat_epochs: Option<usize>,
    /// Seed of weights, order and mirroring.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bits of weights and activations: 8 or 16.
    #[arg(long, default_value_t = 16)]
    word: u32,
    /// One weight format for all layers instead of a scale a layer.
    #[arg(long)]
    no_auto_scale: bool,
    /// Stop after the float phase and write the float network.
    #[arg(long)]
    float_only: bool,
    /// Images a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// How weights follow their gradients.
    #[arg(long, value_enum, default_value = "sgd")]
    optimiser: Descent,
    /// Largest learning rate of the float phase [default: 0.04, adam 0.002].
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Largest learning rate of the quantised phase [default: 0.002, adam 0.0002].
    #[arg(long)]
    qat_learning_rate: Option<f64>,
    /// Mirror half of the images left to right: helps long runs, and is wrong for digits and letters.
    #[arg(long)]
    mirror: bool,
    /// Move each image by up to so many pixels along both axes.
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    shift: usize,
    /// Blacken a square of so many pixels a side in each image.
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    cutout: usize,
    /// Share of each label that all classes get alike.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    smoothing: f64,
    /// End a phase after so many epochs without a better accuracy on a tenth of the training images, held out for that.
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// A weight format for each output channel instead of one a layer.
    #[arg(long, conflicts_with = "no_auto_scale")]
    per_channel: bool,
    /// Weights of 8 bits in words of 16.
    #[arg(long)]
    narrow_weights: bool,
    /// Learn the ranges of activations in the quantised phase.
    #[arg(long)]
    learn_ranges: bool,
    /// First make this share of the weights of --init zero (LAMP); they stay so.
    #[arg(long, value_name = "SHARE", requires = "init")]
    prune: Option<f64>,
    /// First make each fully connected layer of --init two of a lower rank that keep this share of its squares.
    #[arg(long, value_name = "SHARE", requires = "init")]
    low_rank: Option<f64>,
    /// Learn what --init answers in float, number by number, instead of labels.
    #[arg(long, requires = "init")]
    teacher: bool,
    /// Use only so many training images.
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    /// Also write the float network of the float phase's end.
    #[arg(long, value_name = "FILE")]
    float_output: Option<PathBuf>,
    /// Also draw loss and accuracy by epoch, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    curves: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArguments,
    /// The model's file.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    json: super::JsonArguments,
}

/// The optimisers by their names.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Descent {
    /// Gradient descent with momentum.
    Sgd,
    /// Adam, with the decay of weights apart.
    Adam,
}

/// Loss and right answers of all epochs.
fn panels(epochs: &[EpochRow]) -> [Panel<'static>; 2] {
    let curve = |name, value: fn(&EpochRow) -> Option<f64>| Curve {
        name,
        points: epochs
            .iter()
            .filter_map(|e| Some((e.epoch, value(e)?)))
            .collect(),
    };
    [
        Panel {
            unit: "loss",
            curves: vec![curve("training", |e| Some(e.loss))],
        },
        Panel {
            unit: "right answers, %",
            curves: vec![
                curve("training", |e| Some(e.train_percent)),
                curve("test", |e| Some(e.test_percent)),
                curve("held out", |e| e.held_out_percent),
            ],
        },
    ]
}

impl Train {
    /// Trains and writes the model.
    pub fn run(self) -> Result<ExitCode> {
        let defaults = TrainOptions::new(&self.output);
        self.check_places(&defaults.checkpoint())?;
        let optimiser = match self.optimiser {
            Descent::Sgd => Optimiser::Sgd,
            Descent::Adam => Optimiser::Adam,
        };
        let [rate, qat_rate] = optimiser.rates();
        let options = TrainOptions {
            dataset: self.dataset,
            arch: self.arch,
            init: self.init,
            epochs: self.epochs.unwrap_or(defaults.epochs),
            qat_epochs: self.qat_epochs.unwrap_or(defaults.qat_epochs),
            seed: self.seed,
            word: Word::try_from(self.word).map_err(anyhow::Error::msg)?,
            auto_scale: !self.no_auto_scale,
            float_only: self.float_only,
            batch: self.batch,
            optimiser,
            learning_rate: self.learning_rate.unwrap_or(rate),
            qat_learning_rate: self.qat_learning_rate.unwrap_or(qat_rate),
            mirror: self.mirror,
            shift: self.shift,
            cutout: self.cutout,
            smoothing: self.smoothing,
            patience: self.patience,
            per_channel: self.per_channel,
            narrow_weights: self.narrow_weights,
            learn_ranges: self.learn_ranges,
            prune: self.prune,
            low_rank: self.low_rank,
            teacher: self.teacher,
            preprocess: self.pictures.wanted().over(None),
            limit: self.limit,
            out: self.output,
            float_out: self.float_output,
            progress: true,
        };
        let report = cnna_quant::train(&options).context("training")?;
        if let Some(path) = &self.curves {
            let svg = curves::draw(&panels(&report.epochs))?;
            files::write_whole(path, |f| f.write_all(svg.as_bytes()))?;
        }
        let mut text = format!("{}: float {}", report.out.display(), report.float);
        if let Some(q) = report.quantised {
            text += &format!(", {}-bit integers {q}", options.word.bits());
        }
        text += match options.teacher {
            true => " of the test images as --init does in float",
            false => " of the test images",
        };
        if let Some(db) = report.output_db {
            text += &format!(", output {db:.1} dB against it");
        }
        self.json.report(&text, &report, &[&options.out])?;
        Ok(ExitCode::SUCCESS)
    }

    /// Training takes minutes: what its end needs is looked at before.
    fn check_places(&self, checkpoint: &Path) -> Result<()> {
        let inputs: Vec<&Path> = [&self.arch, &self.dataset]
            .map(Path::new)
            .into_iter()
            .chain(self.init.as_deref())
            .collect();
        let mut outputs = vec![self.output.as_path()];
        outputs.extend(self.float_output.as_deref());
        for output in &outputs {
            ensure!(
                *output != checkpoint,
                "{}: the checkpoint of this run has that name, and goes at its end: name the file otherwise, as in model.onnx",
                output.display()
            );
            ensure!(
                !files::is_stdout(output),
                "-: a model is a file, beside which the checkpoint lies: name one, as in model.onnx"
            );
        }
        outputs.extend(self.curves.as_deref());
        self.json.check_places(&inputs, &outputs)?;
        let mut with_checkpoint = outputs.clone();
        with_checkpoint.push(checkpoint);
        files::check_places(&inputs, &with_checkpoint)?;
        files::check_space(&outputs)?;
        if checkpoint.exists() {
            files::note(&format!("continues from {}", checkpoint.display()));
        }
        Ok(())
    }
}
