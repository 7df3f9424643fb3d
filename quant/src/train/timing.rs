//! How long a step takes.

use super::evaluate::Change;
use super::optimise::Descent;
use super::session::{Phase, Trainer};
use crate::{Dataset, FloatNet, QuantError, TrainOptions, calibrate};
use std::time::{Duration, Instant};

/// The times of `steps` training steps of a phase, each a whole batch forward, backward and the update, in order.
///
/// Errors: images that do not fit, or as in training.
pub fn step_times(
    mut net: FloatNet,
    data: &Dataset,
    options: &TrainOptions,
    phase: Phase,
    steps: usize,
) -> Result<Vec<Duration>, QuantError> {
    let descent = Descent::new(options.optimiser, &mut net);
    let mut trainer = Trainer::new(options, data, net, descent);
    if phase == Phase::Quantised {
        let formats = calibrate(trainer.net(), &data.train, options.word, options.auto_scale)?;
        trainer.use_formats(formats);
    }
    let indices: Vec<usize> = (0..options.batch).map(|i| i % data.train.len()).collect();
    let changes = vec![Change::default(); options.batch];
    let mut times = Vec::with_capacity(steps);
    for _ in 0..steps {
        let began = Instant::now();
        trainer.step(phase, &data.train, &indices, &changes, 1e-3)?;
        times.push(began.elapsed());
    }
    Ok(times)
}
