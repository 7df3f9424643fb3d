//! What a training run is told.

use crate::{Optimiser, QuantError};
use cnna_machine::num::Word;
use std::path::PathBuf;

/// A training run.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Name or folder.
    pub dataset: String,
    /// Name or TOML file; not used when `init` is given.
    pub arch: String,
    /// A float ONNX file to begin from, instead of random weights.
    pub init: Option<PathBuf>,
    /// Passes over the data in float.
    pub epochs: usize,
    /// Passes over the data with fake quantisation, after those in float.
    pub qat_epochs: usize,
    /// Of weights, order and mirroring.
    pub seed: u64,
    /// Width of weights and activations.
    pub word: Word,
    /// Whether each layer's weights get their own power-of-two scale.
    pub auto_scale: bool,
    /// Stop after the float phase and write the float network to `out`.
    pub float_only: bool,
    /// Images a step.
    pub batch: usize,
    /// How weights follow their gradients.
    pub optimiser: Optimiser,
    /// Largest learning rate of the float phase.
    pub learning_rate: f64,
    /// Largest learning rate of the quantised phase.
    pub qat_learning_rate: f64,
    /// Mirror half of the training images left to right: helps long runs, and is wrong for digits and letters.
    pub mirror: bool,
    /// Move training images by up to so many pixels along each axis.
    pub shift: usize,
    /// Share of each label that all classes get alike.
    pub smoothing: f64,
    /// Use only the first so many training images, and as many test images.
    pub limit: Option<usize>,
    /// The model's file.
    pub out: PathBuf,
    /// File for the float network as it was before the quantised phase.
    pub float_out: Option<PathBuf>,
    /// Show a progress bar and a line an epoch on standard error.
    pub progress: bool,
}

impl TrainOptions {
    /// The defaults, which give `models/fashion.onnx`; `out` is the only thing to say.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        TrainOptions {
            dataset: "fashion-mnist".into(),
            arch: "vgg-small".into(),
            init: None,
            epochs: 6,
            qat_epochs: 1,
            seed: 1,
            word: Word::W16,
            auto_scale: true,
            float_only: false,
            batch: 64,
            optimiser: Optimiser::Sgd,
            learning_rate: Optimiser::Sgd.rates()[0],
            qat_learning_rate: Optimiser::Sgd.rates()[1],
            mirror: false,
            shift: 0,
            smoothing: 0.0,
            limit: None,
            out: out.into(),
            float_out: None,
            progress: false,
        }
    }

    /// The checkpoint: beside the model, removed at the end.
    pub fn checkpoint(&self) -> PathBuf {
        self.out.with_extension("checkpoint")
    }

    /// Everything that decides the result.
    pub(crate) fn run(&self) -> String {
        format!(
            "dataset={} arch={} init={:?} epochs={}+{} seed={} word={} auto_scale={} float_only={} batch={} optimiser={:?} rate={}/{} mirror={} shift={} smoothing={} limit={:?}",
            self.dataset,
            self.arch,
            self.init,
            self.epochs,
            self.qat_epochs,
            self.seed,
            self.word.bits(),
            self.auto_scale,
            self.float_only,
            self.batch,
            self.optimiser,
            self.learning_rate,
            self.qat_learning_rate,
            self.mirror,
            self.shift,
            self.smoothing,
            self.limit
        )
    }

    /// Refuses what cannot be trained. Errors: the option's name and range.
    pub(crate) fn check(&self) -> Result<(), QuantError> {
        let bad = |option, reason: &str| {
            Err(QuantError::Option {
                option,
                reason: reason.into(),
            })
        };
        let rates = [self.learning_rate, self.qat_learning_rate];
        if self.batch == 0 {
            return bad("batch", "is 0: use at least 1");
        }
        if self.limit == Some(0) {
            return bad("limit", "is 0: use at least 1 image");
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return bad("smoothing", "must be at least 0 and below 1");
        }
        if !rates.iter().all(|r| r.is_finite() && *r > 0.0) {
            return bad("learning rate", "must be above 0");
        }
        if self.epochs == 0 && self.init.is_none() {
            return bad(
                "epochs",
                "is 0 without a float model to begin from: train at least one",
            );
        }
        Ok(())
    }
}
