//! `cnna train`: images become a quantised ONNX model.

#[cfg(feature = "train")]
use anyhow::Context as _;
use anyhow::Result;
#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `cnna train`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna train --dataset fashion-mnist --arch vgg-small --seed 1 -o model.onnx
  cnna train --dataset DIR --arch net.toml --word 8 -o model.onnx
  cnna train --init float.onnx --dataset DIR --epochs 0 --qat-epochs 2 -o model.onnx

Training changes weights; `cnna quantize` keeps them. The network sees pixel / 255.
An interrupted run continues from its checkpoint when started again with the same options.")]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub struct Train {
    /// A data set's name, or a folder with its files.
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
    /// Largest learning rate of the float phase.
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Largest learning rate of the quantised phase.
    #[arg(long)]
    qat_learning_rate: Option<f64>,
    /// Mirror half of the images left to right: helps long runs, and is wrong for digits and letters.
    #[arg(long)]
    mirror: bool,
    /// Use only so many training images.
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    /// Also write the float network of the float phase's end.
    #[arg(long, value_name = "FILE")]
    float_output: Option<PathBuf>,
    /// The model's file.
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    json: super::JsonArguments,
}

impl Train {
    /// Trains and writes the model.
    #[cfg(feature = "train")]
    pub fn run(self) -> Result<ExitCode> {
        use cnna_machine::num::Word;
        use cnna_quant::TrainOptions;
        let defaults = TrainOptions::new(&self.output);
        self.check_places(&defaults.checkpoint())?;
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
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            qat_learning_rate: self.qat_learning_rate.unwrap_or(defaults.qat_learning_rate),
            mirror: self.mirror,
            limit: self.limit,
            out: self.output,
            float_out: self.float_output,
            progress: true,
        };
        let report = cnna_quant::train(&options).context("training")?;
        let mut text = format!("{}: float {}", report.out.display(), report.float);
        if let Some(q) = report.quantised {
            text += &format!(", {}-bit integers {q}", options.word.bits());
        }
        text += " of the test images";
        self.json.report(&text, &report, &[&options.out])?;
        Ok(ExitCode::SUCCESS)
    }

    /// Training takes minutes: what its end needs is looked at before.
    #[cfg(feature = "train")]
    fn check_places(&self, checkpoint: &Path) -> Result<()> {
        use anyhow::ensure;
        use cnna_host::files;
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

    /// Says how to get the trainer.
    #[cfg(not(feature = "train"))]
    pub fn run(self) -> Result<ExitCode> {
        anyhow::bail!(
            "this `cnna` was built without the trainer: build it with `cargo build --release -p cnna --features train` (five minutes more on two cores)"
        )
    }
}
