//! What a training run is told.

use crate::{Optimiser, QuantError};
use cnna_data::Preprocess;
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
    /// Blacken a square of so many pixels a side somewhere in each training image; it may lie across the border. Source:
    /// DeVries and Taylor 2017, arXiv:1708.04552.
    pub cutout: usize,
    /// Share of each label that all classes get alike.
    pub smoothing: f64,
    /// End a phase after so many epochs without a better accuracy on the last tenth of the training images, which then
    /// train nothing.
    pub patience: Option<usize>,
    /// A scale for each output channel's weights instead of one a layer; fully connected layers keep one.
    pub per_channel: bool,
    /// Weights of 8 bits in words of 16.
    pub narrow_weights: bool,
    /// Learn the ranges of activations in the quantised phase, instead of looking at them anew before each epoch.
    pub learn_ranges: bool,
    /// Before the first epoch make this share of all weights zero, layer by layer as their magnitudes allow; weights that
    /// are zero then stay so.
    pub prune: Option<f64>,
    /// Before the first epoch make each fully connected layer two of a lower rank that keep this share of its weights'
    /// squares, where they are smaller.
    pub low_rank: Option<f64>,
    /// Learn what the float model of `init` answers, number by number, instead of labels.
    pub teacher: bool,
    /// What a byte of a picture is for the network, and how pictures become its size.
    pub preprocess: Preprocess,
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
            cutout: 0,
            smoothing: 0.0,
            patience: None,
            per_channel: false,
            narrow_weights: false,
            learn_ranges: false,
            prune: None,
            low_rank: None,
            teacher: false,
            preprocess: Preprocess::default(),
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
            "dataset={} arch={} init={:?} epochs={}+{} seed={} word={} auto_scale={} float_only={} batch={} optimiser={:?} rate={}/{} mirror={} shift={} cutout={} smoothing={} patience={:?} per_channel={} narrow={} learn_ranges={} prune={:?} low_rank={:?} teacher={} preprocess={} limit={:?}",
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
            self.cutout,
            self.smoothing,
            self.patience,
            self.per_channel,
            self.narrow_weights,
            self.learn_ranges,
            self.prune,
            self.low_rank,
            self.teacher,
            self.preprocess,
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
        if self.patience == Some(0) {
            return bad("patience", "is 0: wait for at least 1 epoch");
        }
        if self.per_channel && !self.auto_scale {
            return bad(
                "per channel",
                "asks for scales, plain formats have none: use one of both",
            );
        }
        if self.narrow_weights && self.word != Word::W16 {
            return bad(
                "narrow weights",
                "are 8 bits in words of 16: use words of 16",
            );
        }
        let shares = [("prune", self.prune), ("low rank", self.low_rank)];
        for (option, share) in shares.into_iter().filter_map(|(o, s)| Some((o, s?))) {
            if !(0.0..1.0).contains(&share) {
                return bad(option, "must be at least 0 and below 1");
            }
            if self.init.is_none() {
                return bad(
                    option,
                    "changes what is trained: say the float model to begin from",
                );
            }
        }
        if self.teacher && self.init.is_none() {
            return bad("teacher", "is the float model to begin from: say one");
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
