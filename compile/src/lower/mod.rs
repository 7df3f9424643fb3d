//! From nodes to steps: every stage gets its cheapest form, weights and records their places; tensors get theirs when all
//! steps are known, by how long each is needed.
//!
//! ```text
//! mod.rs       nodes in turn, and the tensors that they read and write
//! stages.rs    stages of an operator, each in its cheapest form
//! turns.rs     neighbours that take turns, and then the places of all weights
//! chains.rs    how fast some neighbours are in turns
//! allocate.rs  addresses, and what the program says of itself
//! ```

mod allocate;
mod chains;
mod stages;
mod turns;

pub use allocate::Lowered;

use crate::act::Act;
use crate::error::CompileError;
use crate::memory::{Arena, Placer};
use crate::mode::vector;
use crate::op;
use crate::options::{Options, Use};
use crate::place::{self, Part};
use crate::stage::Source;
use crate::step::Step;
use cnna_machine::layout::{Shape, TensorLayout};
use cnna_machine::num::Word;
use cnna_machine::program::TensorInfo;
use cnna_machine::{Accelerator, Board};
use cnna_net::{Graph, TensorId};

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
    /// What holds its weights.
    weights: Option<BufferId>,
    output: BufferId,
}

impl<'a> Planned<'a> {
    /// All tensors that it reads.
    fn reads(&self) -> impl Iterator<Item = &BufferId> {
        let others = self.residual.iter().chain(&self.weights);
        self.inputs.iter().chain(others)
    }

    /// The step with its tensors at these offsets.
    fn at(&self, mut offset: impl FnMut(BufferId) -> usize) -> Step<'a> {
        let mut step = self.step.clone();
        for (s, &b) in step.stage.sources.iter_mut().zip(&self.inputs) {
            s.info.offset = offset(b);
        }
        if let (Some(r), Some(b)) = (&mut step.stage.residual, self.residual) {
            r.info.offset = offset(b);
        }
        if let (Some(w), Some(b)) = (&mut step.stage.weights, self.weights) {
            w.offset = offset(b);
        }
        step.stage.output.offset = offset(self.output);
        step
    }
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
    /// Results on the way, of which nodes: where nodes take turns.
    inner: Vec<(usize, BufferId)>,
    output: BufferId,
    /// Its nodes take turns.
    turns: bool,
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
    /// Tilings chosen so far.
    chosen: stages::Chosen,
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
            chosen: Default::default(),
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
                inner: vec![],
                output: n.output,
                turns: false,
            });
            let before = b.planned.len();
            match op::lower(&mut b, i) {
                Ok(()) if b.planned.len() > before => {}
                // Addresses alone.
                Ok(()) => _ = b.layers.pop(),
                Err(CompileError::Unsupported { message, .. }) if options.host => {
                    // The whole node, whatever passes of it were planned already, and no other.
                    b.planned.truncate(before);
                    let layer = b.layers.pop().expect("it was begun above");
                    layer.nodes[1..].iter().for_each(|&n| b.covered[n] = false);
                    b.host.push(OnHost {
                        after: before,
                        node: i,
                        reason: message,
                    });
                }
                Err(e) => return Err(e),
            }
        }
        if options.turns != Use::Never {
            b.take_turns()?;
        }
        b.place_weights()?;
        Ok(b)
    }

    /// True where some step's results stay on chip.
    pub fn stays(&self) -> bool {
        self.planned.iter().any(|p| p.step.local)
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

    /// A tensor of one channel in another shape of the same rows one behind the other, whose columns fill beats and lines.
    pub fn view(&mut self, of: BufferId, shape: Shape) -> BufferId {
        let mut view = self.buffers[of].clone();
        view.layout = TensorLayout::new(shape, self.accelerator);
        self.buffers.push(view);
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
}
