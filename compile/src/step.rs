//! A step: a stage in its form and at its place in memory. Each stream lists its jobs from the same steps, so all streams
//! read the same blocks of weights.

use crate::error::CompileError;
use crate::fence;
use crate::jobs::Jobs;
use crate::linear::Linear;
use crate::memory::Images;
use crate::mode::rows::Targets;
use crate::mode::{conv, pool, rows, vector};
use crate::stage::Stage;
use crate::stream::{self, Entry};
use crate::turns;
use crate::weights::Weights;
use cnna_machine::Accelerator;
use cnna_machine::program::Mode;
use std::sync::Arc;

/// How a stage runs.
#[derive(Clone, Debug)]
pub enum Form<'a> {
    /// A tile after the other, WINOGRAD or DIRECT.
    Conv(Arc<Linear<'a>>, conv::Tiling, Weights),
    /// All images at once, as fast as the weights come.
    Vector(Arc<Linear<'a>>, Weights),
    /// Each row through a matrix.
    Rows(Arc<Linear<'a>>, Arc<Targets>, Weights),
    /// A maximum.
    Pool,
}

impl Form<'_> {
    /// The weights of a form that tiles.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Form::Conv(_, _, weights) => Some(weights),
            _ => None,
        }
    }

    /// Its mode.
    pub fn mode(&self) -> Mode {
        match self {
            Form::Conv(_, t, _) => t.mode(),
            Form::Vector(..) => Mode::Vector,
            Form::Rows(..) => Mode::Rows,
            Form::Pool => Mode::Pool,
        }
    }
}

/// All that the jobs of a stage follow from.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Where its first image's tensors lie, and what becomes of them.
    pub stage: Stage<'a>,
    /// How it runs.
    pub form: Form<'a>,
    /// Index of its layer among the program's.
    pub layer: usize,
    /// Where its mark leaves the counters.
    pub record: usize,
    /// It takes turns with the next step, and has no mark of its own.
    pub turns: bool,
    /// Its results stay in the activation buffer, for the next step alone.
    pub local: bool,
}

/// The stream that runs all steps, each for all images before the next.
///
/// Errors: a pooling of which not even one channel fits; a schedule that contradicts itself.
pub fn stream(steps: &[Step], images: Images, a: &Accelerator) -> Result<Vec<Entry>, CompileError> {
    let mut jobs = Jobs::new(a);
    let mut rest = steps;
    while !rest.is_empty() {
        let (these, others) = rest.split_at(1 + rest.iter().take_while(|s| s.turns).count());
        rest = others;
        let step = &these[these.len() - 1];
        // Layers beyond the field's range share its last value: the tag is for errors and traces only.
        jobs.tag = u16::try_from(step.layer).unwrap_or(u16::MAX);
        match these {
            [step] => step.schedule(images, a, &mut jobs)?,
            _ => turns::schedule(these, images, a, &mut jobs)?,
        }
        jobs.mark(step.record);
    }
    // The end belongs to the last layer, whose tag is still set.
    jobs.end();
    fence::early_loads(&mut jobs, a);
    stream::build(&jobs, a)
}

impl Step<'_> {
    fn schedule(
        &self,
        images: Images,
        a: &Accelerator,
        jobs: &mut Jobs,
    ) -> Result<(), CompileError> {
        let each = (0..images.count).map(|n| self.stage.moved(n * images.pitch));
        // Weights are copied because each stream finds the buffers empty.
        match &self.form {
            Form::Conv(l, t, weights) => {
                let mut weights = weights.clone();
                each.for_each(|s| conv::schedule(&s, l, t, &mut weights, a, jobs));
            }
            Form::Vector(l, weights) => {
                vector::schedule(&self.stage, l, &mut weights.clone(), images, a, jobs);
            }
            Form::Rows(l, targets, weights) => {
                let mut weights = weights.clone();
                each.for_each(|s| rows::schedule(&s, l, targets, &mut weights, a, jobs));
            }
            Form::Pool => {
                for s in each {
                    pool::schedule(&s, a, jobs)?;
                }
            }
        }
        Ok(())
    }
}
