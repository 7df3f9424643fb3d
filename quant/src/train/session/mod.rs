//! Training: first in float, then with fake-quantised weights, biases and activations (quantisation-aware).
//!
//! Weights are f32. Each step runs them, or the words that they round to, forwards and backwards, and updates the f32
//! originals: the straight-through estimator, with no gradient where a weight is clipped. Batch normalisations learn in
//! the float phase and are folded into their convolutions before the quantised one.

mod step;

use super::autodiff::Network;
use super::checkpoint::{self, State};
use super::evaluate::{Change, float_logits};
use super::optimise::{Descent, rate};
use super::options::TrainOptions;
use super::ranges::Ranges;
use crate::accuracy::{first_largest, signal_to_noise};
use crate::{
    Accuracy, Arch, Dataset, FloatNet, Formats, QuantError, Split, calibrate, evaluate,
    evaluate_fake, evaluate_float, fake_logits, read_float, to_graph, write_float, write_quantised,
};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Which arithmetic an epoch trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// f32.
    Float,
    /// Fake-quantised.
    Quantised,
}

/// One epoch's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Counted from 1 over both phases.
    pub epoch: usize,
    /// Which arithmetic.
    pub phase: Phase,
    /// Mean cross entropy over the epoch.
    pub loss: f64,
    /// Accuracy on the training images as they passed, in percent.
    pub train_percent: f64,
    /// Accuracy on the training images that were held out, in percent, where there are such.
    pub held_out_percent: Option<f64>,
    /// Accuracy on the test images after the epoch, in percent; it decides nothing.
    pub test_percent: f64,
    /// Wall time of the epoch without the test.
    pub seconds: f64,
}

/// What a training run gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainReport {
    /// All epochs, also those before a resumption.
    pub epochs: Vec<EpochRow>,
    /// Test accuracy of the float network.
    pub float: Accuracy,
    /// Test accuracy of the integers by the reference model.
    pub quantised: Option<Accuracy>,
    /// Power of the teacher's logits over that of the integers' distance from them on the test images, in dB; infinite where they
    /// are equal.
    pub output_db: Option<f64>,
    /// Formats of the quantised network.
    pub formats: Option<Formats>,
    /// The model's file.
    pub out: PathBuf,
    /// The float network's file, if asked for.
    pub float_out: Option<PathBuf>,
}

/// Trains and writes the model. Continues from the checkpoint of the same run if there is one.
///
/// The result depends on the options and the machine's vector units only, not on interruptions.
/// Errors: bad options, data, architecture or checkpoint; divergence; the file system's.
pub fn train(options: &TrainOptions) -> Result<TrainReport, QuantError> {
    options.check()?;
    for file in std::iter::once(&options.out).chain(&options.float_out) {
        writable(file)?;
    }
    let init = options.init.as_deref().map(read_float).transpose()?;
    let input = init.as_ref().map(FloatNet::input);
    let mut data = Dataset::load_for(&options.dataset, &options.preprocess, input)?;
    if let Some(n) = options.limit {
        data.train = data.train.first(n);
        data.test = data.test.first(n);
    }
    let mut net = match init {
        Some(net) => net,
        None => Arch::load(&options.arch)?.init(data.train.shape, data.classes, options.seed)?,
    };
    let classes = match options.teacher {
        true => net.classes(),
        false => data.classes,
    };
    if net.input() != data.train.shape || net.classes() != classes {
        return Err(QuantError::Option {
            option: "init",
            reason: format!(
                "the network takes {} and gives {} classes, the data set has {} and {}",
                net.input(),
                net.classes(),
                data.train.shape,
                data.classes
            ),
        });
    }
    let teacher = options.teacher.then(|| net.clone());
    if let Some(teacher) = &teacher {
        for split in [&mut data.train, &mut data.test] {
            split.labels = classes_of(&float_logits(teacher, split)?);
        }
    }
    if let Some(share) = options.low_rank {
        net.lower_rank(share);
    }
    if let Some(share) = options.prune {
        net.prune(share);
    }
    let held_out = options.patience.map(|_| {
        let kept = data.train.len() - (data.train.len() / HELD_OUT).max(1);
        data.train.split_off(kept)
    });
    let mut trainer = Trainer::begin(options, &data, held_out, net)?;
    trainer.teacher = teacher.map(|net| {
        let network = Network::new(&net.graph(), &[]).expect("a FloatNet has gradients");
        Teacher { net, network }
    });
    trainer.finish()
}

/// The class of each image whose logit is the largest.
fn classes_of(logits: &[Vec<f64>]) -> Vec<u16> {
    logits.iter().map(|row| first_largest(row) as u16).collect()
}

/// A float network whose answers are learned.
pub(crate) struct Teacher {
    net: FloatNet,
    network: Network<f32>,
}

/// One of so many training images is held out for the patience to look at.
const HELD_OUT: usize = 10;

/// Training takes minutes: find out at once whether its result can be written.
fn writable(out: &Path) -> Result<(), QuantError> {
    let dir = out
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let found = if dir.is_dir() {
        Ok(())
    } else {
        Err(std::io::ErrorKind::NotFound.into())
    };
    found.map_err(|source| QuantError::Io {
        path: dir.into(),
        source,
    })
}

pub(crate) struct Trainer<'a> {
    options: &'a TrainOptions,
    data: &'a Dataset,
    /// Training images that train nothing.
    held_out: Option<Split>,
    net: FloatNet,
    descent: Descent,
    state: State,
    teacher: Option<Teacher>,
    /// Of the phase that is trained, built in its first step.
    network: Option<Network<f32>>,
}

impl<'a> Trainer<'a> {
    /// A run from its beginning.
    pub fn new(
        options: &'a TrainOptions,
        data: &'a Dataset,
        net: FloatNet,
        descent: Descent,
    ) -> Self {
        let state = State {
            run: options.run(),
            rows: Vec::new(),
            float: None,
            formats: None,
            ranges: None,
            steps: 0,
            folded: false,
        };
        Trainer {
            options,
            data,
            held_out: None,
            teacher: None,
            net,
            descent,
            state,
            network: None,
        }
    }

    /// A run from its checkpoint, if there is one.
    fn begin(
        options: &'a TrainOptions,
        data: &'a Dataset,
        held_out: Option<Split>,
        mut net: FloatNet,
    ) -> Result<Self, QuantError> {
        let mut descent = Descent::new(options.optimiser, &mut net);
        let found = checkpoint::read(
            &options.checkpoint(),
            &options.run(),
            &mut net,
            &mut descent,
        )?;
        let mut trainer = Trainer::new(options, data, net, descent);
        trainer.held_out = held_out;
        if let Some(state) = found {
            trainer.state = state;
        }
        Ok(trainer)
    }

    pub fn net(&self) -> &FloatNet {
        &self.net
    }

    /// The formats of the steps that follow.
    pub fn use_formats(&mut self, formats: Formats) {
        self.state.formats = Some(formats);
        self.network = None;
    }

    fn finish(mut self) -> Result<TrainReport, QuantError> {
        let o = self.options;
        while !self.is_over(Phase::Float) {
            self.epoch(Phase::Float)?;
        }
        let float = match self.state.float {
            Some(a) => a,
            None => {
                if let Some(path) = &o.float_out {
                    write_float(&self.net, &o.preprocess, path)?;
                }
                evaluate_float(&self.net, &self.data.test)?
            }
        };
        self.state.float = Some(float);
        let (mut quantised, mut output_db) = (None, None);
        if o.float_only {
            write_float(&self.net, &o.preprocess, &o.out)?;
        } else {
            while !self.is_over(Phase::Quantised) {
                self.epoch(Phase::Quantised)?;
            }
            let formats = self.formats()?;
            let graph = to_graph(&self.net, &formats)?;
            write_quantised(&graph, &o.preprocess, &o.out)?;
            if let Some(teacher) = &self.teacher {
                let wanted = float_logits(&teacher.net, &self.data.test)?;
                let made = fake_logits(&self.net, &formats, &self.data.test)?;
                let pairs = wanted.iter().flatten().zip(made.iter().flatten());
                output_db = Some(signal_to_noise(pairs.map(|(&w, &m)| (w, m))));
            }
            quantised = Some(evaluate(&graph, &self.data.test)?);
            self.state.formats = Some(formats);
        }
        match std::fs::remove_file(o.checkpoint()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(QuantError::Io {
                    path: o.checkpoint(),
                    source,
                });
            }
            _ => {}
        }
        Ok(TrainReport {
            epochs: self.state.rows,
            float,
            quantised,
            output_db,
            formats: self.state.formats,
            out: o.out.clone(),
            float_out: o.float_out.clone(),
        })
    }

    /// Those of the last quantised epoch, or calibrated now.
    fn formats(&self) -> Result<Formats, QuantError> {
        match &self.state.formats {
            Some(f) => Ok(f.clone()),
            None => self.calibrated(),
        }
    }

    fn calibrated(&self) -> Result<Formats, QuantError> {
        let o = self.options;
        let formats = calibrate(&self.net, &self.data.train, o.word, o.auto_scale)?;
        Ok(Formats {
            per_channel: o.per_channel,
            narrow_weights: o.narrow_weights,
            ..formats
        })
    }

    /// The epochs of a phase that are done.
    fn rows(&self, phase: Phase) -> impl Iterator<Item = &EpochRow> {
        self.state.rows.iter().filter(move |r| r.phase == phase)
    }

    /// True when a phase has had its epochs, or patience is at its end.
    fn is_over(&self, phase: Phase) -> bool {
        let all = match phase {
            Phase::Float => self.options.epochs,
            Phase::Quantised => self.options.qat_epochs,
        };
        // What follows the float phase has ended it.
        let passed = phase == Phase::Float && self.rows(Phase::Quantised).next().is_some();
        let held_out: Vec<f64> = self
            .rows(phase)
            .filter_map(|r| r.held_out_percent)
            .collect();
        let patience = self.options.patience;
        passed
            || self.rows(phase).count() >= all
            || patience.is_some_and(|p| is_stale(&held_out, p))
    }

    fn epoch(&mut self, phase: Phase) -> Result<(), QuantError> {
        let o = self.options;
        let done = self.state.rows.len();
        let here = self.rows(phase).count();
        let (peak, all) = match phase {
            Phase::Float => (o.learning_rate, o.epochs),
            Phase::Quantised => (o.qat_learning_rate, o.qat_epochs),
        };
        if phase == Phase::Quantised {
            if here == 0 {
                self.net.fold();
                self.state.folded = true;
                self.descent = Descent::new(o.optimiser, &mut self.net);
            }
            // Ranges move while weights learn: look again before every epoch, then hold still, where they are not learned.
            if here == 0 || !o.learn_ranges {
                let formats = self.calibrated()?;
                let learned = o.learn_ranges.then(|| Ranges::new(&formats.fracs, o.word));
                (self.state.formats, self.state.ranges) = (Some(formats), learned);
            }
        }
        // Formats decide where the network rescales.
        self.network = None;
        let train = &self.data.train;
        // Each epoch of a phase has its own stream, so a resumed run repeats the uninterrupted one, and a quantised
        // phase that begins from a float file repeats the one that follows its float phase.
        let stream = here as u64 + 1;
        let mut rng = StdRng::seed_from_u64(o.seed.wrapping_mul(1_000_003).wrapping_add(stream));
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut rng);
        let steps = order.len().div_ceil(o.batch);
        let bar = bar(
            o.progress,
            steps,
            done + 1,
            o.epochs + if o.float_only { 0 } else { o.qat_epochs },
            phase,
        );
        let began = Instant::now();
        let (mut loss, mut correct, mut seen) = (0.0, 0, 0);
        for (s, indices) in order.chunks(o.batch).enumerate() {
            let far = o.shift as i32;
            let changes: Vec<Change> = indices
                .iter()
                .map(|_| Change {
                    mirrored: o.mirror && rng.random(),
                    moved: [0, 1].map(|_| {
                        if far > 0 {
                            rng.random_range(-far..=far) as isize
                        } else {
                            0
                        }
                    }),
                    cut: cut(o.cutout, [train.shape.h, train.shape.w], &mut rng),
                })
                .collect();
            let progress = (here * steps + s) as f64 / (all * steps) as f64;
            let (batch_loss, right) =
                self.step(phase, train, indices, &changes, rate(peak, progress) as f32)?;
            if !batch_loss.is_finite() {
                bar.finish_and_clear();
                return Err(QuantError::Diverged {
                    epoch: done + 1,
                    loss: batch_loss,
                });
            }
            loss += batch_loss * indices.len() as f64;
            correct += right;
            seen += indices.len();
            bar.set_message(format!(
                "loss {:.4} accuracy {:.2} %",
                loss / seen as f64,
                100.0 * correct as f64 / seen as f64
            ));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let seconds = began.elapsed().as_secs_f64();
        let right = |split: &Split| match &self.state.formats {
            Some(f) => evaluate_fake(&self.net, f, split),
            None => evaluate_float(&self.net, split),
        };
        let test = right(&self.data.test)?;
        let held_out = self.held_out.as_ref().map(right).transpose()?;
        let row = EpochRow {
            epoch: done + 1,
            phase,
            loss: loss / seen as f64,
            train_percent: 100.0 * correct as f64 / seen as f64,
            held_out_percent: held_out.map(|a| a.percent()),
            test_percent: test.percent(),
            seconds,
        };
        if o.progress {
            eprintln!(
                "epoch {:>2} {}: loss {:.4}, training {:.2} %, test {:.2} %, {:.0} s",
                row.epoch,
                name(phase),
                row.loss,
                row.train_percent,
                row.test_percent,
                row.seconds
            );
        }
        self.state.rows.push(row);
        if phase == Phase::Float && self.is_over(phase) {
            // The checkpoint that ends the phase knows its result, so the float file is written before it.
            if let Some(path) = &o.float_out {
                write_float(&self.net, &o.preprocess, path)?;
            }
            self.state.float = Some(test);
        }
        self.state.steps = self.descent.steps;
        checkpoint::write(&o.checkpoint(), &self.state, &self.net, &self.descent)
    }
}

/// True when the last `patience` of these are no better than the best before them.
fn is_stale(percents: &[f64], patience: usize) -> bool {
    let Some(first) = percents.len().checked_sub(patience).filter(|f| *f > 0) else {
        return false;
    };
    let best = |v: &[f64]| v.iter().copied().fold(f64::MIN, f64::max);
    best(&percents[first..]) <= best(&percents[..first])
}

/// A square somewhere in an image, its middle inside; nothing is drawn where there is none.
fn cut(side: usize, [h, w]: [usize; 2], rng: &mut StdRng) -> ([isize; 2], isize) {
    let half = side as isize / 2;
    let mut first = |size: usize| match side {
        0 => 0,
        _ => rng.random_range(0..size) as isize - half,
    };
    ([first(h), first(w)], side as isize)
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Float => "float",
        Phase::Quantised => "quantised",
    }
}

fn bar(shown: bool, steps: usize, epoch: usize, epochs: usize, phase: Phase) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let template = "{prefix} [{bar:30}] {pos}/{len} {msg} ({eta} left)";
    let style = ProgressStyle::with_template(template).expect("a constant template that is tested");
    let bar = ProgressBar::new(steps as u64).with_style(style.progress_chars("=> "));
    bar.with_prefix(format!("epoch {epoch}/{epochs} {}", name(phase)))
}

#[cfg(test)]
mod tests;
