//! The compiler as a list of passes.
//!
//! 1. check: shapes, shifts and accumulators (`check.rs`)
//! 2. lower: layers to stages; pooling rides on the convolution before it (`stage.rs`)
//! 3. tile: the forms and tilings of a stage that fit, and the cheapest (`conv.rs`, `pool.rs`, `vector.rs`, `cost.rs`)
//! 4. schedule: transfers and commands of every stage, marks between them (`jobs.rs`, `fill.rs`, `weights.rs`)
//! 5. order: one stream with prefetching and tokens (`stream.rs`)
//! 6. place: commands, weights and tensors in one window (`memory.rs`)
//! 7. encode: the image (`encode.rs`)

use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::memory::Arena;
use crate::stage::{Kind, Stage, has_planes, rides};
use crate::weights::Block;
use crate::{check, conv, cost, encode, pool, stream, vector};
use cnna_spec::layer::{Conv, Layer, Network, Op, Shape};
use cnna_spec::layout::TensorLayout;
use cnna_spec::program::{LayerInfo, ProgramMeta, TensorInfo};
use cnna_spec::regs::RECORD_BYTES;
use cnna_spec::{Accelerator, Board};

/// What the user may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Use F(2x2, 3x3) where the machine has it and it is faster.
    pub winograd: bool,
    /// Let 2x2 pooling ride on the convolution before it.
    pub fuse: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            winograd: true,
            fuse: true,
        }
    }
}

/// A program without its file.
#[derive(Clone, Debug)]
pub struct CompiledProgram {
    /// Everything but the bytes.
    pub meta: ProgramMeta,
    /// The first bytes of the window: commands, weights, biases.
    pub image: Vec<u8>,
}

/// What the passes build up. Offsets in `arena` count from the weights' start, in `tensors` from the tensors' start.
#[derive(Debug)]
pub struct Build<'a> {
    /// The machine.
    pub accelerator: &'a Accelerator,
    /// Transfers and commands.
    pub jobs: Jobs,
    /// Weights and biases in memory.
    pub arena: Arena,
    /// Tensors and records in memory.
    pub tensors: Arena,
    /// What to write where in `arena`.
    pub blocks: Vec<Block<'a>>,
}

impl<'a> Build<'a> {
    fn new(accelerator: &'a Accelerator) -> Self {
        Build {
            accelerator,
            jobs: Jobs::new(accelerator),
            arena: Arena::new(accelerator),
            tensors: Arena::new(accelerator),
            blocks: Vec::new(),
        }
    }

    fn tensor(&mut self, shape: Shape, frac: i32) -> TensorInfo {
        let layout = TensorLayout::new(shape, self.accelerator);
        TensorInfo {
            offset: self.tensors.take(layout.bytes()),
            layout,
            frac,
        }
    }
}

/// Compiles a network for a board.
///
/// Errors: a network that contradicts itself, sums that could overflow, buffers too small for a layer, a window beyond 4 GiB.
pub fn compile(
    net: &Network,
    board: &Board,
    options: &Options,
) -> Result<CompiledProgram, CompileError> {
    check::network(net, &board.accelerator)?;
    let mut b = Build::new(&board.accelerator);
    let input = b.tensor(net.input, net.input_frac);
    let mut layers = Vec::new();
    let vectors = vector_layers(net);
    let mut at = 0;
    while at < net.layers.len() {
        let from = layers
            .last()
            .map_or(&input, |l: &LayerInfo| &l.output)
            .clone();
        b.jobs.tag = layers.len() as u16;
        let next = net.layers.get(at + 1);
        let info = layer(net, at, next, vectors[at], from, board, options, &mut b)?;
        at = info.network_layer + 1;
        layers.push(info);
    }
    // The end belongs to the last layer, whose tag is still set.
    b.jobs.end();
    let stream = stream::build(&b.jobs, &board.accelerator)?;
    let meta = ProgramMeta {
        name: net.name.clone(),
        estimated_cycles: cost::cycles(&stream, board),
        commands_offset: 0,
        commands: stream.len(),
        window_bytes: 0,
        input,
        layers,
        board: board.clone(),
    };
    encode::program(meta, stream, &b.blocks, b.arena.bytes(), b.tensors.bytes())
}

/// Fully connected layers that may run in vector mode: those whose results only such layers read.
fn vector_layers(net: &Network) -> Vec<bool> {
    let mut vectors = vec![false; net.layers.len()];
    for (i, l) in net.layers.iter().enumerate().rev() {
        vectors[i] = l.is_fc() && vectors.get(i + 1).copied().unwrap_or(true);
    }
    vectors
}

/// Lowers, tiles and schedules the layer at `at`, with the pooling after it where that rides along.
#[allow(clippy::too_many_arguments)]
fn layer<'a>(
    net: &'a Network,
    at: usize,
    next: Option<&Layer>,
    vector: bool,
    input: TensorInfo,
    board: &Board,
    options: &Options,
    b: &mut Build<'a>,
) -> Result<LayerInfo, CompileError> {
    let l = &net.layers[at];
    let mut info = LayerInfo {
        name: l.name.clone(),
        network_layer: at,
        mode: String::new(),
        macs: l.macs(),
        input: l.input,
        output: input.clone(),
        record: b.tensors.take(RECORD_BYTES),
    };
    let shape = if vector {
        vector::flat(l.output.c)
    } else {
        l.output
    };
    let fused = next.filter(|n| {
        options.fuse && !vector && matches!((&l.op, &n.op), (Op::Conv(c), Op::MaxPool(w)) if has_planes(&c.window) && rides(w, l))
    });
    if let (Some(n), Op::Conv(c)) = (fused, &l.op) {
        let stage = |output: TensorInfo| Stage {
            pooled: true,
            ..Stage::of(l, input.clone(), output)
        };
        let draft = stage(TensorInfo {
            offset: 0,
            layout: TensorLayout::new(n.output, b.accelerator),
            frac: n.output_frac,
        });
        if let Some(t) = best_tiling(&draft, c, net, board, options)? {
            info.output = b.tensor(n.output, n.output_frac);
            info.network_layer = at + 1;
            info.mode = mode_name(&t);
            conv::schedule(&stage(info.output.clone()), c, &t, b);
            b.jobs.mark(info.record);
            return Ok(info);
        }
    }
    info.output = b.tensor(shape, l.output_frac);
    let stage = Stage::of(l, input, info.output.clone());
    match stage.kind {
        Kind::Conv(c) if vector => {
            vector::schedule(&stage, c, b);
            info.mode = "vector".into();
        }
        _ if !has_planes(&stage.window) => info.mode = spread(&stage, net, board, options, b)?,
        _ => info.mode = one(&stage, net, board, options, b)?,
    }
    b.jobs.mark(info.record);
    Ok(info)
}

/// Schedules one stage in its best tiling; returns the mode's name.
fn one<'a>(
    s: &Stage<'a>,
    net: &Network,
    board: &Board,
    options: &Options,
    b: &mut Build<'a>,
) -> Result<String, CompileError> {
    match s.kind {
        Kind::Pool => {
            pool::schedule(s, b)?;
            Ok("pool".into())
        }
        Kind::Conv(c) => {
            let t = best_tiling(s, c, net, board, options)?
                .ok_or_else(|| conv::capacity_error(s, c, b.accelerator))?;
            conv::schedule(s, c, &t, b);
            Ok(mode_name(&t))
        }
    }
}

/// A stage whose steps no planes express: results lie `4T` columns apart at first, then are brought together.
///
/// Cost: one pass a result pixel and group, and the results' way to memory and back once or twice.
fn spread<'a>(
    s: &Stage<'a>,
    net: &Network,
    board: &Board,
    options: &Options,
    b: &mut Build<'a>,
) -> Result<String, CompileError> {
    let line = b.accelerator.line_words();
    let shape = s.output.layout.shape;
    let frac = s.output.frac;
    let at = |w: usize| Shape { w, ..shape };
    let mut wide = b.tensor(at(shape.w * line), frac);
    let stage = Stage {
        spread: true,
        output: wide.clone(),
        ..s.clone()
    };
    let mode = one(&stage, net, board, options, b)?;
    let mut left = line;
    while left > 1 {
        let every = left.min(4);
        left /= every;
        let output = match left {
            1 => s.output.clone(),
            _ => b.tensor(at(shape.w * left), frac),
        };
        let record = b.tensors.take(RECORD_BYTES);
        b.jobs.mark(record);
        pool::schedule(&Stage::thin(s.name, every, wide, output.clone()), b)?;
        wide = output;
    }
    Ok(mode)
}

/// The cheapest of all forms and tilings by the cost of the stage alone; `None` when none fits.
fn best_tiling(
    s: &Stage,
    c: &Conv,
    net: &Network,
    board: &Board,
    options: &Options,
) -> Result<Option<conv::Tiling>, CompileError> {
    let a = &board.accelerator;
    let w = &s.window;
    let winograd = options.winograd
        && a.winograd
        && !s.spread
        && (w.kernel, w.stride, w.dilation) == ([3, 3], [1, 1], [1, 1])
        && check::winograd_is_exact(c, net.word);
    let mut all = conv::tilings(s, c, false, a);
    if winograd {
        all.extend(conv::tilings(s, c, true, a));
    }
    if all.len() < 2 {
        return Ok(all.pop());
    }
    let mut best = None;
    for t in all {
        let mut alone = Build::new(a);
        conv::schedule(s, c, &t, &mut alone);
        let cycles = cost::cycles(&stream::build(&alone.jobs, a)?, board);
        if best.as_ref().is_none_or(|(c, _)| cycles < *c) {
            best = Some((cycles, t));
        }
    }
    Ok(best.map(|(_, t)| t))
}

fn mode_name(t: &conv::Tiling) -> String {
    if t.winograd { "winograd" } else { "direct" }.into()
}
