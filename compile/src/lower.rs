//! From layers to steps: pooling rides on the convolution before it, every stage gets its cheapest form, and weights,
//! records and tensors their places.

use crate::encode::{Map, Sizes};
use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::memory::Arena;
use crate::passes::Options;
use crate::stage::{Kind, Stage, has_planes, rides};
use crate::step::{self, Form, Step};
use crate::stream::{self, Entry};
use crate::vector::Images;
use crate::weights::Block;
use crate::{check, conv, cost, vector};
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::layer::{Conv, Layer, Network, Op, Shape};
use cnna_machine::layout::TensorLayout;
use cnna_machine::num::Word;
use cnna_machine::program::{LayerInfo, TensorInfo};
use cnna_machine::{Accelerator, Board};

/// What lowering builds up. Offsets in each arena count from where its section of the window will begin.
#[derive(Debug)]
pub struct Build<'b, 'a> {
    /// The machine.
    pub accelerator: &'b Accelerator,
    /// The machine's board, for the cost of a form.
    board: &'b Board,
    options: Options,
    word: Word,
    /// What runs, in order.
    pub steps: Vec<Step<'a>>,
    /// Weights and biases in memory.
    pub arena: Arena,
    /// What to write where in `arena`.
    pub blocks: Vec<Block<'a>>,
    /// Marks' records.
    pub records: Arena,
    /// Tensors of one image.
    pub tensors: Arena,
}

impl<'b, 'a> Build<'b, 'a> {
    /// Nothing yet, for a network of such words.
    pub fn new(board: &'b Board, options: &Options, word: Word) -> Self {
        let accelerator = &board.accelerator;
        Build {
            accelerator,
            board,
            options: *options,
            word,
            steps: Vec::new(),
            arena: Arena::new(accelerator),
            blocks: Vec::new(),
            records: Arena::new(accelerator),
            tensors: Arena::new(accelerator),
        }
    }

    /// A tensor of every image.
    pub fn tensor(&mut self, shape: Shape, frac: i32) -> TensorInfo {
        let layout = TensorLayout::new(shape, self.accelerator);
        TensorInfo {
            offset: self.tensors.take(layout.bytes()),
            layout,
            frac,
        }
    }

    fn step(&mut self, stage: Stage<'a>, form: Form<'a>, layer: usize, record: usize) {
        self.steps.push(Step {
            stage,
            form,
            layer,
            record,
        });
    }

    /// The stream for `images` images.
    pub fn stream(&self, images: usize) -> Result<Vec<Entry>, CompileError> {
        let images = Images {
            count: images,
            pitch: self.tensors.bytes(),
        };
        step::stream(&self.steps, images, self.accelerator)
    }

    /// The window's map for streams of so many commands, with tensors for `images` images.
    pub fn map(&self, commands: &[usize], images: usize) -> Map {
        Map::new(&Sizes {
            commands,
            weights: self.arena.bytes(),
            records: self.records.bytes(),
            tensors: self.tensors.bytes() * images,
        })
    }

    /// Lowers, tiles and places layer `at` of a network, with the pooling after it where that rides along; `index` is
    /// its place in the program. Errors: no form of it fits.
    pub fn layer(
        &mut self,
        net: &'a Network,
        at: usize,
        index: usize,
        vector: bool,
        input: TensorInfo,
    ) -> Result<LayerInfo, CompileError> {
        let l = &net.layers[at];
        let mut info = LayerInfo {
            name: l.name.clone(),
            network_layer: at,
            mode: String::new(),
            macs: l.macs(),
            input: l.input,
            output: input.clone(),
            record: self.records.take(RECORD_BYTES),
        };
        let next = net.layers.get(at + 1).filter(|_| !vector);
        if let Some((stage, form)) = self.fused(l, next, &input)? {
            info.output = stage.output.clone();
            info.network_layer = at + 1;
            info.mode = form.name().into();
            self.step(stage, form, index, info.record);
            return Ok(info);
        }
        let shape = if vector {
            vector::flat(l.output.c)
        } else {
            l.output
        };
        info.output = self.tensor(shape, l.output_frac);
        let stage = Stage::of(l, input, info.output.clone());
        if !vector && !has_planes(&stage.window) {
            info.mode = self.spread(&stage, index, info.record)?.into();
            return Ok(info);
        }
        let form = match stage.kind {
            Kind::Conv(c) if vector => Form::Vector(c, vector::place(&stage, c, self)),
            _ => self.form(&stage)?,
        };
        info.mode = form.name().into();
        self.step(stage, form, index, info.record);
        Ok(info)
    }

    /// The stage of a convolution with the pooling after it, where that rides along and fits.
    fn fused(
        &mut self,
        l: &'a Layer,
        next: Option<&Layer>,
        input: &TensorInfo,
    ) -> Result<Option<(Stage<'a>, Form<'a>)>, CompileError> {
        let Op::Conv(c) = &l.op else { return Ok(None) };
        let riding = |n: &&Layer| {
            self.options.fuse
                && has_planes(&c.window)
                && matches!(&n.op, Op::MaxPool(w) if rides(w, l))
        };
        let Some(n) = next.filter(riding) else {
            return Ok(None);
        };
        let stage = |output: TensorInfo| Stage {
            pooled: true,
            ..Stage::of(l, input.clone(), output)
        };
        let draft = stage(TensorInfo {
            offset: 0,
            layout: TensorLayout::new(n.output, self.accelerator),
            frac: n.output_frac,
        });
        let Some(t) = self.best_tiling(&draft, c)? else {
            return Ok(None);
        };
        let stage = stage(self.tensor(n.output, n.output_frac));
        let weights = conv::place(&stage, c, &t, self);
        Ok(Some((stage, Form::Conv(c, t, weights))))
    }

    /// A stage in its best form.
    fn form(&mut self, s: &Stage<'a>) -> Result<Form<'a>, CompileError> {
        match s.kind {
            Kind::Pool => Ok(Form::Pool),
            Kind::Conv(c) => {
                let t = self
                    .best_tiling(s, c)?
                    .ok_or_else(|| conv::capacity_error(s, c, self.accelerator))?;
                let weights = conv::place(s, c, &t, self);
                Ok(Form::Conv(c, t, weights))
            }
        }
    }

    /// A stage whose steps no planes express: results lie `4T` columns apart at first, then are brought together.
    ///
    /// Cost: one pass a result pixel and group, and the results' way to memory and back once or twice. Returns the mode.
    fn spread(
        &mut self,
        s: &Stage<'a>,
        layer: usize,
        record: usize,
    ) -> Result<&'static str, CompileError> {
        let line = self.accelerator.line_words();
        let shape = s.output.layout.shape;
        let frac = s.output.frac;
        let at = |w: usize| Shape { w, ..shape };
        let mut wide = self.tensor(at(shape.w * line), frac);
        let stage = Stage {
            spread: true,
            output: wide.clone(),
            ..s.clone()
        };
        let form = self.form(&stage)?;
        let mode = form.name();
        let mark = self.records.take(RECORD_BYTES);
        self.step(stage, form, layer, mark);
        let mut left = line;
        while left > 1 {
            let every = left.min(4);
            left /= every;
            let (output, mark) = match left {
                1 => (s.output.clone(), record),
                _ => (
                    self.tensor(at(shape.w * left), frac),
                    self.records.take(RECORD_BYTES),
                ),
            };
            let thin = Stage::thin(s.name, every, wide, output.clone());
            self.step(thin, Form::Pool, layer, mark);
            wide = output;
        }
        Ok(mode)
    }

    /// The cheapest of all forms and tilings by the cost of the stage alone; `None` when none fits.
    fn best_tiling(&self, s: &Stage, c: &Conv) -> Result<Option<conv::Tiling>, CompileError> {
        let a = self.accelerator;
        let w = &s.window;
        let winograd = self.options.winograd
            && a.winograd
            && !s.spread
            && (w.kernel, w.stride, w.dilation) == ([3, 3], [1, 1], [1, 1])
            && check::winograd_is_exact(c, self.word);
        let mut all = conv::tilings(s, c, false, a);
        if winograd {
            all.extend(conv::tilings(s, c, true, a));
        }
        if all.len() < 2 {
            return Ok(all.pop());
        }
        let mut best = None;
        for t in all {
            let mut alone = Build::new(self.board, &self.options, self.word);
            let mut weights = conv::place(s, c, &t, &mut alone);
            let mut jobs = Jobs::new(a);
            conv::schedule(s, c, &t, &mut weights, a, &mut jobs);
            let cycles = cost::cycles(&stream::build(&jobs, a)?, self.board);
            if best.as_ref().is_none_or(|(c, _)| cycles < *c) {
                best = Some((cycles, t));
            }
        }
        Ok(best.map(|(_, t)| t))
    }
}
