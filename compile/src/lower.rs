//! From nodes to steps: every stage gets its cheapest form, weights and records their places; tensors get theirs when all
//! steps are known, by how long each is needed.

use crate::act::Act;
use crate::encode::{Map, Sizes};
use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::linear::Linear;
use crate::memory::{Arena, Images, Placer, by_lifetime};
use crate::mode::rows::{self, Targets};
use crate::mode::{conv, vector};
use crate::options::{Options, Use};
use crate::place::{self, Part};
use crate::stage::{Kind, Residual, Source, Stage, Taps};
use crate::step::{self, Form, Step};
use crate::stream::{self, Entry};
use crate::weights::{self, KERNEL_SIDE};
use crate::{check, cost, op};
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::layout::{Shape, TensorLayout};
use cnna_machine::num::Word;
use cnna_machine::program::{HostStep, LayerInfo, Mode, PortInfo, TensorInfo};
use cnna_machine::{Accelerator, Board};
use cnna_net::{Graph, TensorId};
use std::sync::Arc;

/// Index of a tensor in memory: those of the graph first, then those that only the compiler knows.
pub type BufferId = usize;

/// A tensor in memory.
#[derive(Clone, Debug)]
struct Buffer {
    layout: TensorLayout,
    frac: i32,
    /// The buffer whose memory holds it, and its distance in bytes from that one's beginning.
    root: (BufferId, usize),
}

/// A step whose tensors have no addresses yet.
#[derive(Clone, Debug)]
struct Planned<'a> {
    step: Step<'a>,
    inputs: Vec<BufferId>,
    /// What is added to its results.
    residual: Option<BufferId>,
    output: BufferId,
}

/// A node that the host computes while the machine pauses.
#[derive(Debug)]
struct OnHost {
    /// Steps before it.
    after: usize,
    node: usize,
    reason: String,
}

/// A layer of the program.
#[derive(Debug)]
struct Layer {
    nodes: Vec<usize>,
    output: BufferId,
}

/// What lowering builds up.
#[derive(Debug)]
pub struct Build<'b, 'a> {
    /// The machine.
    pub accelerator: &'b Accelerator,
    /// The machine's board, for the cost of a form.
    board: &'b Board,
    /// What the user chose.
    pub options: Options,
    /// The network.
    pub graph: &'a Graph,
    /// Nodes that read each of its tensors.
    pub readers: Vec<Vec<usize>>,
    /// The node that writes each, but inputs.
    writers: Vec<Option<usize>>,
    /// Weights and biases in memory.
    pub placer: Placer<'b, 'a>,
    buffers: Vec<Buffer>,
    /// The network's tensors that lie in one row: see [`op::conv::vectors`].
    flat: Vec<bool>,
    parts: Vec<Option<Part>>,
    planned: Vec<Planned<'a>>,
    host: Vec<OnHost>,
    layers: Vec<Layer>,
    /// Nodes that are part of a layer before their turn.
    covered: Vec<bool>,
    /// Marks' records.
    records: Arena,
}

/// All steps with addresses, and what the program says of them.
#[derive(Debug)]
pub struct Lowered<'b, 'a> {
    /// What runs, in order.
    pub steps: Vec<Step<'a>>,
    /// Weights and biases.
    pub placer: Placer<'b, 'a>,
    /// What the user gives and gets.
    pub inputs: Vec<PortInfo>,
    pub outputs: Vec<PortInfo>,
    /// In order of execution.
    pub layers: Vec<LayerInfo>,
    /// What the host computes in between.
    pub host: Vec<HostStep>,
    /// Steps before each of its pauses.
    breaks: Vec<usize>,
    /// Bytes of the records, and of one image's tensors.
    pub records: usize,
    pub tensors: usize,
}

impl<'b, 'a> Build<'b, 'a> {
    /// Lowers, tiles and places every node. Errors: what the machine cannot do, or no form of it fits.
    pub fn run(
        graph: &'a Graph,
        board: &'b Board,
        options: &Options,
    ) -> Result<Self, CompileError> {
        let accelerator = &board.accelerator;
        let parts = place::parts(graph);
        let mut b = Build {
            accelerator,
            board,
            options: *options,
            graph,
            readers: graph.readers(),
            writers: graph.writers(),
            placer: Placer::new(accelerator),
            buffers: Vec::new(),
            flat: op::conv::vectors(graph),
            planned: Vec::new(),
            host: Vec::new(),
            layers: Vec::new(),
            covered: vec![false; graph.nodes.len()],
            records: Arena::new(accelerator),
            parts,
        };
        for t in 0..graph.tensors.len() {
            let buffer = b.graph_buffer(t);
            b.buffers.push(buffer);
        }
        for (i, n) in graph.nodes.iter().enumerate() {
            if b.covered[i] || place::is_address(graph, n, &b.parts) {
                continue;
            }
            b.layers.push(Layer {
                nodes: vec![i],
                output: n.output,
            });
            let before = b.planned.len();
            match op::lower(&mut b, i) {
                Ok(()) if b.planned.len() > before => {}
                // Addresses alone.
                Ok(()) => _ = b.layers.pop(),
                Err(CompileError::Unsupported { message, .. }) if options.host => {
                    // The whole node, whatever passes of it were planned already.
                    b.planned.truncate(before);
                    b.layers.pop();
                    b.host.push(OnHost {
                        after: before,
                        node: i,
                        reason: message,
                    });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(b)
    }

    /// The network's word.
    pub fn word(&self) -> Word {
        self.graph.word
    }

    fn graph_buffer(&self, t: TensorId) -> Buffer {
        let tensor = &self.graph.tensors[t];
        let frac = tensor.frac.expect("checked before");
        let (root, way) = place::root(&self.parts, t);
        let shape = match self.flat[t] {
            true => vector::flat(tensor.shape.c),
            false => self.graph.tensors[root].shape,
        };
        let mut layout = TensorLayout::new(shape, self.accelerator);
        let mut distance = 0;
        for (t, part) in way.iter().rev() {
            let (l, at) = part.layout(&layout, self.graph.tensors[*t].shape);
            (layout, distance) = (l, distance + at);
        }
        Buffer {
            layout,
            frac,
            root: (root, distance),
        }
    }

    /// A tensor of the compiler's own.
    pub fn temporary(&mut self, shape: Shape, frac: i32) -> BufferId {
        let id = self.buffers.len();
        self.buffers.push(Buffer {
            layout: TensorLayout::new(shape, self.accelerator),
            frac,
            root: (id, 0),
        });
        id
    }

    /// One like `buffer`.
    pub fn temporary_like(&mut self, buffer: BufferId) -> BufferId {
        let (shape, frac) = (self.shape(buffer), self.buffers[buffer].frac);
        self.temporary(shape, frac)
    }

    /// A part of a tensor, to read or write.
    pub fn part(&mut self, part: Part, shape: Shape) -> BufferId {
        let of = &self.buffers[part.of];
        let (layout, at) = part.layout(&of.layout, shape);
        self.buffers.push(Buffer {
            layout,
            frac: of.frac,
            root: (of.root.0, of.root.1 + at),
        });
        self.buffers.len() - 1
    }

    /// The first columns of a tensor, to write.
    pub fn narrow(&mut self, of: BufferId, columns: usize) -> BufferId {
        let mut part = self.buffers[of].clone();
        part.layout.shape.w = columns;
        self.buffers.push(part);
        self.buffers.len() - 1
    }

    /// Shape as it lies in memory: a fully connected layer's output may be one row.
    pub fn shape(&self, b: BufferId) -> Shape {
        self.buffers[b].layout.shape
    }

    /// True for a tensor of the network that a fully connected layer writes in one row.
    pub fn is_flat(&self, t: TensorId) -> bool {
        self.flat[t]
    }

    /// Fraction bits.
    pub fn frac(&self, b: BufferId) -> i32 {
        self.buffers[b].frac
    }

    /// True when two tensors are the same memory.
    pub fn is_same(&self, a: BufferId, b: BufferId) -> bool {
        let (a, b) = (&self.buffers[a], &self.buffers[b]);
        a.root == b.root && a.layout == b.layout
    }

    fn info(&self, b: BufferId) -> TensorInfo {
        let Buffer { layout, frac, .. } = self.buffers[b];
        TensorInfo {
            offset: 0,
            layout,
            frac,
        }
    }

    /// All channels of a tensor.
    pub fn source(&self, b: BufferId) -> Source {
        self.channels(b, 0..self.shape(b).c)
    }

    /// Some channels of a tensor.
    pub fn channels(&self, b: BufferId, channels: std::ops::Range<usize>) -> Source {
        Source {
            info: self.info(b),
            channels,
        }
    }

    /// The node in turn.
    fn name(&self) -> &'a str {
        let layer = self.layers.last().expect("a layer was begun");
        &self.graph.nodes[layer.nodes[0]].name
    }

    /// True when a tensor's values are there in the turn of node `i`.
    pub fn is_there(&self, t: TensorId, i: usize) -> bool {
        self.writers[t].is_none_or(|w| w < i || self.covered[w])
    }

    /// Adds a later node to the layer: it ends with that node's output.
    pub fn cover(&mut self, node: usize) {
        self.covered[node] = true;
        let layer = self.layers.last_mut().expect("a layer was begun");
        layer.nodes.push(node);
        layer.output = self.graph.nodes[node].output;
    }

    /// Something that the machine cannot do.
    pub fn unsupported(&self, message: impl Into<String>) -> CompileError {
        CompileError::Unsupported {
            layer: self.name().into(),
            message: message.into(),
        }
    }

    /// What a node's activation is for words of its output's format. Errors: one that needs a table.
    pub fn act(&self, f: &cnna_net::Activation, output: BufferId) -> Result<Act, CompileError> {
        Act::new(f, self.frac(output), self.word())
            .ok_or_else(|| self.unsupported("its activation is a table between two formats"))
    }

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
            },
            inputs,
            residual,
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

    /// The cheapest of all forms and tilings by the cost of the stage alone; `None` when none fits.
    fn best_tiling(
        &self,
        s: &Stage<'a>,
        l: &Arc<Linear<'a>>,
    ) -> Result<Option<conv::Tiling>, CompileError> {
        let a = self.accelerator;
        let t = &s.taps;
        let winograd = self.options.winograd
            && a.winograd
            && !s.spread
            && !s.side
            && (t.stride, t.dilation) == ([1, 1], [1, 1])
            && t.kernel.iter().any(|&k| k >= KERNEL_SIDE)
            && l.winograd_is_exact(self.word());
        let paired = match a.paired {
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
        if all.len() < 2 {
            return Ok(all.pop());
        }
        let mut best = None;
        for t in all {
            let mut alone = Placer::new(a);
            let mut weights = conv::place(l, &t, &mut alone);
            let mut jobs = Jobs::new(a);
            conv::schedule(s, l, &t, &mut weights, a, &mut jobs);
            let cycles = cost::cycles(&stream::build(&jobs, a)?, self.board);
            if best.as_ref().is_none_or(|(c, _)| cycles < *c) {
                best = Some((cycles, t));
            }
        }
        Ok(best.map(|(_, t)| t))
    }

    /// Gives every tensor its place: its own for the whole program when `keep`, else only while it is needed.
    pub fn allocate(&self, keep: bool) -> Lowered<'b, 'a> {
        // Inputs are written at time 0, the host computes before step i at time 2i + 1, step i runs at 2i + 2, outputs are
        // read at the end.
        let end = 2 * self.planned.len() + 2;
        let mut lives: Vec<Option<std::ops::Range<usize>>> = vec![None; self.buffers.len()];
        let mut touch = |b: BufferId, at: usize| {
            let life = lives[self.buffers[b].root.0].get_or_insert(at..at + 1);
            *life = life.start.min(at)..life.end.max(at + 1);
        };
        for (i, p) in self.planned.iter().enumerate() {
            let inputs = p.inputs.iter().chain(&p.residual);
            inputs.for_each(|&b| touch(b, 2 * i + 2));
            touch(p.output, 2 * i + 2);
        }
        for h in &self.host {
            let n = &self.graph.nodes[h.node];
            let tensors = n.inputs.iter().chain([&n.output]);
            tensors.for_each(|&t| touch(t, 2 * h.after + 1));
        }
        for p in &self.graph.inputs {
            [0, end].into_iter().for_each(|at| touch(p.tensor, at));
        }
        for p in &self.graph.outputs {
            touch(p.tensor, end);
        }
        let (used, blocks): (Vec<BufferId>, Vec<_>) = lives
            .iter()
            .enumerate()
            .filter_map(|(b, life)| {
                let life = if keep { 0..end + 1 } else { life.clone()? };
                let is_used = lives[b].is_some();
                is_used.then(|| (b, (self.buffers[b].layout.bytes(), life)))
            })
            .unzip();
        let (places, tensors) = by_lifetime(&blocks, self.accelerator);
        let mut offsets = vec![0; self.buffers.len()];
        for (&b, place) in used.iter().zip(places) {
            offsets[b] = place;
        }
        let offset = |b: BufferId| {
            let (root, distance) = self.buffers[b].root;
            offsets[root] + distance
        };
        let info = |b: BufferId| TensorInfo {
            offset: offset(b),
            ..self.info(b)
        };
        let steps: Vec<Step> = self
            .planned
            .iter()
            .map(|p| {
                let mut step = p.step.clone();
                for (s, &b) in step.stage.sources.iter_mut().zip(&p.inputs) {
                    s.info.offset = offset(b);
                }
                if let (Some(r), Some(b)) = (&mut step.stage.residual, p.residual) {
                    r.info.offset = offset(b);
                }
                step.stage.output.offset = offset(p.output);
                step
            })
            .collect();
        let lasts = |b: BufferId| {
            let life = &lives[self.buffers[b].root.0];
            life.as_ref().is_some_and(|l| l.end > end)
        };
        let port = |p: &cnna_net::Port| PortInfo {
            name: p.name.clone(),
            array: p.array.clone(),
            tensor: info(p.tensor),
        };
        // Pauses: where the host computes between two steps. What it does before the first or behind the last is none.
        let mut breaks: Vec<usize> = self.host.iter().map(|h| h.after).collect();
        breaks.retain(|&b| b > 0 && b < self.planned.len());
        breaks.dedup();
        let segment = |step: usize| breaks.partition_point(|&b| b <= step);
        let host = self.host.iter().map(|h| {
            let n = &self.graph.nodes[h.node];
            HostStep {
                node: h.node,
                name: n.name.clone(),
                operator: n.op.name().into(),
                reason: h.reason.clone(),
                after: match h.after {
                    0 => 0,
                    after => segment(after - 1) + 1,
                },
                inputs: n.inputs.iter().map(|&t| info(t)).collect(),
                output: info(n.output),
            }
        });
        let host = host.collect();
        let mut layers: Vec<LayerInfo> = self
            .layers
            .iter()
            .map(|l| {
                let first = &self.graph.nodes[l.nodes[0]];
                let shape = |t: &TensorId| self.graph.tensors[*t].shape;
                let output = self.graph.nodes[*l.nodes.last().expect("a layer has a node")].output;
                LayerInfo {
                    name: first.name.clone(),
                    nodes: l.nodes.clone(),
                    mode: Mode::Pool,
                    macs: l
                        .nodes
                        .iter()
                        .map(|&n| self.graph.macs(&self.graph.nodes[n]))
                        .sum(),
                    input: first.inputs.first().map_or(shape(&first.output), shape),
                    output: info(l.output),
                    segment: 0,
                    lasting: keep || lasts(output),
                    record: 0,
                }
            })
            .collect();
        let mut begun = vec![false; layers.len()];
        for (i, s) in steps.iter().enumerate() {
            let layer = &mut layers[s.layer];
            layer.segment = segment(i);
            // The first step says how the layer runs, the last one's mark ends it.
            if !std::mem::replace(&mut begun[s.layer], true) {
                layer.mode = s.form.mode();
            }
            layer.record = s.record;
        }
        Lowered {
            steps,
            placer: Placer {
                accelerator: self.accelerator,
                arena: self.placer.arena.clone(),
                blocks: self.placer.blocks.clone(),
            },
            inputs: self.graph.inputs.iter().map(port).collect(),
            outputs: self.graph.outputs.iter().map(port).collect(),
            layers,
            host,
            breaks,
            records: self.records.bytes(),
            tensors,
        }
    }
}

impl Lowered<'_, '_> {
    /// The stream for `images` images, and how many of its commands come before each pause.
    pub fn stream(&self, images: usize) -> Result<(Vec<Entry>, Vec<usize>), CompileError> {
        let images = Images {
            count: images,
            pitch: self.tensors,
        };
        let (mut all, mut breaks) = (Vec::new(), Vec::new());
        let starts = std::iter::once(0).chain(self.breaks.iter().copied());
        let ends = self.breaks.iter().copied().chain([self.steps.len()]);
        for (from, to) in starts.zip(ends) {
            if from > 0 {
                breaks.push(all.len());
            }
            let base = all.len();
            let part = step::stream(&self.steps[from..to], images, self.placer.accelerator)?;
            all.extend(part.into_iter().map(|mut e| {
                e.after = e.after.map(|a| a.map(|i| i + base));
                e
            }));
        }
        Ok((all, breaks))
    }

    /// The window's map for streams of so many commands, with tensors for `images` images.
    pub fn map(&self, commands: &[usize], images: usize) -> Map {
        Map::new(&Sizes {
            commands,
            weights: self.placer.arena.bytes(),
            records: self.records,
            tensors: self.tensors * images,
        })
    }
}
