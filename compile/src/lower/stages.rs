//! Stages in their best forms: what operators are made of.

use super::{BufferId, Build, Planned};
use crate::act::Act;
use crate::best::AtBest;
use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::linear::Linear;
use crate::memory::Placer;
use crate::mode::rows::{self, Targets};
use crate::mode::{choice, conv, vector};
use crate::options::Use;
use crate::stage::{Kind, Residual, Source, Stage, Taps};
use crate::step::{Form, Step};
use crate::weights::{self, KERNEL_SIDE};
use crate::{check, cost, fence, stream};
use cnna_machine::Accelerator;
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::layout::{Shape, TensorLayout};
use cnna_machine::program::Mode;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// All that the cheapest of some tilings of a stage depends on. Weights' values only decide which tilings there are and how wide
/// they lie in memory, and addresses are all the same to a stage alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    tilings: Vec<conv::Tiling>,
    taps: Taps,
    sources: Vec<(TensorLayout, Range<usize>)>,
    output: TensorLayout,
    residual: Option<(TensorLayout, bool)>,
    side: bool,
    sides: [usize; 2],
    pooled: bool,
    spread: bool,
    /// Of products.
    linear: Option<Products>,
}

/// What of a stage's products decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Products {
    /// Outputs, groups, inputs of a group.
    counts: [usize; 3],
    narrow: bool,
    given: Option<weights::Given>,
    per_channel: bool,
    /// Command code, and words of the set.
    act: (i32, usize),
}

/// What was chosen, for stages alike: networks repeat them.
pub type Chosen = HashMap<Choice, Option<conv::Tiling>>;

impl Choice {
    /// Of a stage with these tilings, none for a maximum.
    pub fn new(s: &Stage, tilings: Vec<conv::Tiling>, a: &Accelerator) -> Self {
        let sources = s.sources.iter();
        let products = |l: &Linear| Products {
            counts: [l.outputs, l.groups, l.inputs],
            narrow: l.is_narrow(a.word),
            given: l.given,
            per_channel: l.is_per_channel(),
            act: (
                l.act.code(),
                l.act.set(a).map_or(0, |(_, words)| words.len()),
            ),
        };
        Choice {
            tilings,
            taps: s.taps,
            sources: sources
                .map(|s| (s.info.layout, s.channels.clone()))
                .collect(),
            output: s.output.layout,
            residual: s.residual.as_ref().map(|r| (r.info.layout, r.last)),
            side: s.side,
            sides: [s.oh, s.ow],
            pooled: s.pooled,
            spread: s.spread,
            linear: match &s.kind {
                Kind::Linear(l) => Some(products(l)),
                Kind::Pool => None,
            },
        }
    }
}

impl<'b, 'a> Build<'b, 'a> {
    fn push(&mut self, stage: Stage<'a>, form: Form<'a>, inputs: Vec<BufferId>, output: BufferId) {
        self.push_with(stage, form, inputs, None, output);
    }

    fn push_with(
        &mut self,
        stage: Stage<'a>,
        form: Form<'a>,
        inputs: Vec<BufferId>,
        residual: Option<BufferId>,
        output: BufferId,
    ) {
        let record = self.records.take(RECORD_BYTES);
        self.planned.push(Planned {
            step: Step {
                stage,
                form,
                layer: self.layers.len() - 1,
                record,
                turns: false,
                local: false,
            },
            inputs,
            residual,
            weights: None,
            output,
        });
    }

    /// A stage of whole tensors or parts of them, by the names of the tensors.
    pub fn stage(
        &self,
        kind: Kind<'a>,
        taps: Taps,
        sources: Vec<Source>,
        output: BufferId,
    ) -> Stage<'a> {
        Stage::new(self.name(), kind, taps, sources, self.info(output))
    }

    /// Lowers sums of products in the cheapest of the tiled modes. Errors: overflow, or no form fits.
    pub fn linear(
        &mut self,
        l: Linear<'a>,
        taps: Taps,
        input: BufferId,
        output: BufferId,
    ) -> Result<(), CompileError> {
        check::linear(self.name(), &l, self.word())?;
        let kind = Kind::Linear(Arc::new(l));
        let stage = self.stage(kind, taps, vec![self.source(input)], output);
        self.tiled(stage, vec![input], output)
    }

    /// Each result a weighted sum of the values at its place in up to four tensors. Weights are [channel][source], or
    /// [source] for all channels alike; one beyond the word counts several times, in as many steps.
    ///
    /// Errors: see [`Build::linear`].
    pub fn each(
        &mut self,
        inputs: &[BufferId],
        weights: &[i64],
        bias: i64,
        shift: i32,
        act: Act,
        output: BufferId,
    ) -> Result<(), CompileError> {
        let c = self.shape(output).c;
        let most = self.word().max();
        let times = weights
            .iter()
            .map(|w| (w.abs() + most - 1) / most)
            .max()
            .unwrap_or(1)
            .max(1);
        // Sources are planes, of which there are 1, 2 or 4; steps go round them.
        let planes = inputs.len().next_power_of_two();
        let columns = match times {
            1 => inputs.len(),
            _ => planes * times as usize,
        };
        let sources = weights.chunks_exact(inputs.len()).cycle().take(c);
        let spread = |w: &[i64]| -> Vec<i16> {
            (0..columns)
                .map(|at| {
                    let (turn, w) = (
                        (at / planes) as i64,
                        w.get(at % planes).copied().unwrap_or(0),
                    );
                    let share = w.abs() / times + i64::from(turn < w.abs() % times);
                    (share * w.signum()) as i16
                })
                .collect()
        };
        let l = Linear {
            outputs: c,
            groups: c,
            inputs: 1,
            taps: [1, columns],
            weights: sources.flat_map(spread).collect(),
            bias: vec![bias; c].into(),
            shift,
            act,
            ..Linear::default()
        };
        check::linear(self.name(), &l, self.word())?;
        let taps = Taps {
            kernel: [1, columns],
            // A round of all sources comes back to the same pixel.
            dilation: [1, usize::from(columns == 1)],
            ..Taps::single()
        };
        let sources = inputs.iter().map(|&i| self.source(i)).collect();
        let mut stage = self.stage(Kind::Linear(Arc::new(l)), taps, sources, output);
        stage.side = columns > 1;
        self.tiled(stage, inputs.to_vec(), output)
    }

    /// A maximum or a copy. Errors: not even one channel fits.
    pub fn pool(
        &mut self,
        taps: Taps,
        sources: Vec<Source>,
        inputs: Vec<BufferId>,
        output: BufferId,
    ) -> Result<(), CompileError> {
        let stage = self.stage(Kind::Pool, taps, sources, output);
        self.tiled(stage, inputs, output)
    }

    /// A copy of a whole tensor.
    pub fn copy(&mut self, input: BufferId, output: BufferId) -> Result<(), CompileError> {
        self.pool(
            Taps::single(),
            vec![self.source(input)],
            vec![input],
            output,
        )
    }

    /// A fully connected layer as fast as its weights come.
    pub fn vector(
        &mut self,
        l: Linear<'a>,
        input: BufferId,
        output: BufferId,
    ) -> Result<(), CompileError> {
        check::linear(self.name(), &l, self.word())?;
        let l = Arc::new(l);
        let i = self.shape(input);
        let taps = Taps {
            kernel: [i.h, i.w],
            ..Taps::single()
        };
        let kind = Kind::Linear(l.clone());
        let stage = self.stage(kind, taps, vec![self.source(input)], output);
        let weights = vector::place(&stage, &l, &mut self.placer);
        self.push(stage, Form::Vector(l, weights), vec![input], output);
        Ok(())
    }

    /// Each row of each channel through a matrix; `targets` are the output rows of each result row. Several sources lie
    /// side by side. Errors: buffers too small.
    pub fn rows(
        &mut self,
        l: Linear<'a>,
        taps: Taps,
        inputs: Vec<(BufferId, std::ops::Range<usize>)>,
        targets: Targets,
        output: BufferId,
    ) -> Result<(), CompileError> {
        check::linear(self.name(), &l, self.word())?;
        let l = Arc::new(l);
        let sources = inputs
            .iter()
            .map(|(i, c)| self.channels(*i, c.clone()))
            .collect();
        let mut stage = self.stage(Kind::Linear(l.clone()), taps, sources, output);
        stage.side = true;
        stage.oh = targets.len();
        let weights = rows::place(&stage, &l, &mut self.placer)?;
        let inputs = inputs.into_iter().map(|(i, _)| i).collect();
        self.push(
            stage,
            Form::Rows(l, Arc::new(targets), weights),
            inputs,
            output,
        );
        Ok(())
    }

    /// Each row of each channel through a matrix of zeros and ones, [column of the result][source][column of it]; else as
    /// [`Build::rows`], whose errors it has.
    pub fn rearranged(
        &mut self,
        matrix: Vec<i16>,
        inputs: Vec<(BufferId, std::ops::Range<usize>)>,
        targets: Targets,
        output: BufferId,
    ) -> Result<(), CompileError> {
        let (sources, w) = (inputs.len(), self.shape(inputs[0].0).w);
        let outputs = matrix.len() / (sources * w);
        let l = Linear {
            outputs,
            groups: 1,
            inputs: sources,
            taps: [1, w],
            weights: matrix.into(),
            bias: vec![0; outputs].into(),
            ..Linear::default()
        };
        let taps = Taps {
            kernel: [1, w],
            ..Taps::single()
        };
        self.rows(l, taps, inputs, targets, output)
    }

    /// A stage in its best form; one whose steps no planes express with its results apart first.
    fn tiled(
        &mut self,
        stage: Stage<'a>,
        inputs: Vec<BufferId>,
        output: BufferId,
    ) -> Result<(), CompileError> {
        if !stage.side && !stage.taps.has_planes() {
            return self.spread(stage, inputs, output);
        }
        let form = self.form(&stage)?;
        self.push(stage, form, inputs, output);
        Ok(())
    }

    /// A stage in its best form.
    fn form(&mut self, s: &Stage<'a>) -> Result<Form<'a>, CompileError> {
        match &s.kind {
            Kind::Pool => Ok(Form::Pool),
            Kind::Linear(l) => {
                let t = self
                    .best_tiling(s, l)?
                    .ok_or_else(|| conv::capacity_error(s, l, self.accelerator))?;
                let weights = conv::place(l, &t, &mut self.placer);
                Ok(Form::Conv(l.clone(), t, weights))
            }
        }
    }

    /// A convolution with what rides on it, where that fits: a residual (and whether it comes behind the activation), or the 2x2
    /// maximum that makes `output` of its results. Returns whether it did.
    pub fn ridden(
        &mut self,
        l: &Arc<Linear<'a>>,
        taps: Taps,
        input: BufferId,
        residual: Option<(BufferId, bool)>,
        pooled: bool,
        output: BufferId,
    ) -> Result<bool, CompileError> {
        let kind = Kind::Linear(l.clone());
        let mut stage = self.stage(kind, taps, vec![self.source(input)], output);
        if pooled {
            stage.pooled = true;
            stage.oh *= 2;
            stage.ow *= 2;
        }
        stage.residual = residual.map(|(of, last)| Residual {
            info: self.info(of),
            last,
        });
        if !taps.has_planes() {
            return Ok(false);
        }
        let Some(t) = self.best_tiling(&stage, l)? else {
            return Ok(false);
        };
        let weights = conv::place(l, &t, &mut self.placer);
        let form = Form::Conv(l.clone(), t, weights);
        self.push_with(stage, form, vec![input], residual.map(|r| r.0), output);
        Ok(true)
    }

    /// Each channel times a weight that `made` holds: see [`weights::Given`]. Errors: not even one block of these fits.
    pub fn gated(
        &mut self,
        l: Linear<'a>,
        input: BufferId,
        made: BufferId,
        output: BufferId,
    ) -> Result<(), CompileError> {
        check::linear(self.name(), &l, self.word())?;
        let kind = Kind::Linear(Arc::new(l));
        let mut stage = self.stage(kind, Taps::single(), vec![self.source(input)], output);
        stage.weights = Some(self.info(made));
        let form = self.form(&stage)?;
        self.push(stage, form, vec![input], output);
        self.planned.last_mut().expect("it was pushed").weights = Some(made);
        Ok(())
    }

    /// A stage whose steps no planes express: results lie `4T` columns apart at first, then are brought together.
    ///
    /// Cost: one pass a result pixel and group, and the results' way to memory and back once or twice.
    fn spread(
        &mut self,
        s: Stage<'a>,
        inputs: Vec<BufferId>,
        output: BufferId,
    ) -> Result<(), CompileError> {
        let line = self.accelerator.line_words();
        let shape = self.shape(output);
        let frac = self.frac(output);
        let mut wide = self.temporary(
            Shape {
                w: shape.w * line,
                ..shape
            },
            frac,
        );
        let stage = Stage {
            spread: true,
            output: self.info(wide),
            ..s
        };
        let form = self.form(&stage)?;
        self.push(stage, form, inputs, wide);
        let mut left = line;
        while left > 1 {
            let every = left.min(4);
            left /= every;
            let to = match left {
                1 => output,
                _ => self.temporary(
                    Shape {
                        w: shape.w * left,
                        ..shape
                    },
                    frac,
                ),
            };
            let taps = Taps {
                stride: [1, every],
                ..Taps::single()
            };
            self.pool(taps, vec![self.source(wide)], vec![wide], to)?;
            wide = to;
        }
        Ok(())
    }

    /// All forms and tilings of a stage that fit.
    pub fn tilings(&self, s: &Stage<'a>, l: &Arc<Linear<'a>>) -> Vec<conv::Tiling> {
        let a = self.accelerator;
        let t = &s.taps;
        let winograd = self.options.winograd
            && a.winograd
            && !s.spread
            && !s.side
            && (t.stride, t.dilation) == ([1, 1], [1, 1])
            && t.kernel.iter().any(|&k| k >= KERNEL_SIDE)
            && l.winograd_is_exact(self.word());
        let paired = match a.paired && l.given.is_none() {
            true => self.options.paired,
            false => Use::Never,
        };
        let mut all = match paired {
            Use::Never => Vec::new(),
            Use::Cheaper | Use::Always => conv::tilings(s, l, weights::Form::Pairs, a),
        };
        if paired != Use::Always || all.is_empty() {
            all.extend(conv::tilings(s, l, weights::Form::Plain, a));
            if winograd {
                all.extend(conv::tilings(s, l, weights::Form::Kernel, a));
            }
        }
        all
    }

    /// What each convolution could do at best.
    pub fn at_best(&self) -> Vec<AtBest> {
        let tiled = self.planned.iter().filter_map(|p| match &p.step.form {
            Form::Conv(l, t, _) => Some((&p.step.stage, l, t)),
            _ => None,
        });
        tiled
            .map(|(s, l, taken)| {
                let mut cycles: Vec<(Mode, u64)> = Vec::new();
                for t in self.tilings(s, l).iter().chain([taken]) {
                    let array = cost::array(&self.alone(s, l, t), self.accelerator, |_| 0);
                    match cycles.iter_mut().find(|c| c.0 == t.mode()) {
                        Some(best) => best.1 = best.1.min(array),
                        None => cycles.push((t.mode(), array)),
                    }
                }
                AtBest {
                    name: s.name.into(),
                    taken: taken.mode(),
                    cycles,
                }
            })
            .collect()
    }

    /// The jobs of a stage tiled so, and of nothing else.
    pub fn alone(&self, s: &Stage<'a>, l: &Arc<Linear<'a>>, t: &conv::Tiling) -> Jobs {
        let mut weights = conv::place(l, t, &mut Placer::new(self.accelerator));
        let mut jobs = Jobs::new(self.accelerator);
        conv::schedule(s, l, t, &mut weights, self.accelerator, &mut jobs);
        jobs
    }

    /// The cheapest of all forms and tilings, but for the first loads, which come while the stage before still runs; `None` when none
    /// fits.
    fn best_tiling(
        &mut self,
        s: &Stage<'a>,
        l: &Arc<Linear<'a>>,
    ) -> Result<Option<conv::Tiling>, CompileError> {
        let mut all = self.tilings(s, l);
        all.retain(|t| !t.once);
        let all = choice::different(all, l);
        let choice = Choice::new(s, all.clone(), self.accelerator);
        if let Some(chosen) = self.chosen.get(&choice) {
            return Ok(chosen.clone());
        }
        let best = self.cheapest(s, l, all, fence::first_beats, fence::most_first_beats(s))?;
        self.chosen.insert(choice, best.clone());
        Ok(best)
    }

    /// The cheapest of these tilings by the cost of the stage alone without its `free` cycles, at most `most_free`; `None` of none.
    pub fn cheapest(
        &self,
        s: &Stage<'a>,
        l: &Arc<Linear<'a>>,
        mut all: Vec<conv::Tiling>,
        free: impl Fn(&Jobs) -> u64,
        most_free: u64,
    ) -> Result<Option<conv::Tiling>, CompileError> {
        let a = self.accelerator;
        if all.len() < 2 {
            return Ok(all.pop());
        }
        let array = |t: &conv::Tiling| choice::array_cycles(s, l, t, a).saturating_sub(most_free);
        let mut order: Vec<(u64, usize)> = all.iter().map(array).zip(0..).collect();
        order.sort_unstable();
        // Cycles, and which: of equal ones the first.
        let mut best: Option<(u64, usize)> = None;
        for (array, at) in order {
            // What the array alone makes too slow needs no list of jobs, and what it and the transfers make too slow no stream.
            let beaten = |least: u64| best.is_some_and(|best| (least, at) > best);
            if beaten(array) {
                continue;
            }
            let jobs = self.alone(s, l, &all[at]);
            let free = free(&jobs);
            if beaten(cost::at_least(&jobs, self.board).saturating_sub(free)) {
                continue;
            }
            let cycles = cost::cycles(&stream::build(&jobs, a)?, self.board);
            let this = (cycles.saturating_sub(free), at);
            best = Some(best.map_or(this, |best| best.min(this)));
        }
        Ok(best.map(|(_, at)| all.swap_remove(at)))
    }
}
