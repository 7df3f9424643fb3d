//! A step: a stage in its form and at its place in memory. Each stream lists its jobs from the same steps, so all streams
//! read the same blocks of weights.

use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::stage::Stage;
use crate::stream::{self, Entry};
use crate::vector::Images;
use crate::weights::Weights;
use crate::{conv, pool, vector};
use cnna_machine::Accelerator;
use cnna_machine::layer::Conv;

/// How a stage runs.
#[derive(Clone, Debug)]
pub enum Form<'a> {
    /// A tile after the other, WINOGRAD or DIRECT.
    Conv(&'a Conv, conv::Tiling, Weights),
    /// All images at once, as fast as the weights come.
    Vector(&'a Conv, Weights),
    /// A maximum.
    Pool,
}

impl Form<'_> {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Form::Conv(_, t, _) if t.winograd => "winograd",
            Form::Conv(..) => "direct",
            Form::Vector(..) => "vector",
            Form::Pool => "pool",
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
}

/// The stream that runs all steps, each for all images before the next.
///
/// Errors: a pooling of which not even one channel fits; a schedule that contradicts itself.
pub fn stream(steps: &[Step], images: Images, a: &Accelerator) -> Result<Vec<Entry>, CompileError> {
    let mut jobs = Jobs::new(a);
    for step in steps {
        jobs.tag = step.layer as u16;
        step.schedule(images, a, &mut jobs)?;
        jobs.mark(step.record);
    }
    // The end belongs to the last layer, whose tag is still set.
    jobs.end();
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
            Form::Conv(c, t, weights) => {
                let mut weights = weights.clone();
                each.for_each(|s| conv::schedule(&s, c, t, &mut weights, a, jobs));
            }
            Form::Vector(c, weights) => {
                vector::schedule(&self.stage, c, &mut weights.clone(), images, a, jobs);
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
