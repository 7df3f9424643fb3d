//! Weights and biases: cut into groups of output channels and chunks of steps, placed in memory in the order in which the
//! ports read them, and brought into the buffers.

use crate::jobs::{Jobs, Space, address, field};
use crate::memory::Arena;
use cnna_machine::Accelerator;
use cnna_machine::config::{BEAT_WORDS, BIAS_ROW, BURST_BEATS, KERNEL_WORDS, PLAIN_WORDS};
use cnna_machine::isa::{Weight, weight_kind};
use cnna_machine::layer::{Conv, Shape};
use cnna_machine::layout::put_word;
use std::ops::Range;

/// How a weight-buffer row is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One 3x3 kernel a lane, one input channel a row.
    Kernel,
    /// 8 steps a lane and row.
    Plain,
    /// 8 outputs a lane, one step a row.
    Vector,
}

impl Form {
    fn words(self) -> usize {
        match self {
            Form::Kernel => KERNEL_WORDS,
            _ => PLAIN_WORDS,
        }
    }
    /// Outputs of one lane.
    pub fn outputs(self) -> usize {
        match self {
            Form::Vector => PLAIN_WORDS,
            _ => 1,
        }
    }
}

/// A box of steps: taps and channels of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Vertical taps.
    pub ky: Range<usize>,
    /// Horizontal taps.
    pub kx: Range<usize>,
    /// Channels.
    pub c: Range<usize>,
}

impl Chunk {
    /// Rows of the weight buffer.
    pub fn rows(&self, form: Form) -> usize {
        let taps = self.ky.len() * self.kx.len();
        match form {
            Form::Kernel => self.c.len(),
            Form::Plain => (taps * self.c.len()).div_ceil(PLAIN_WORDS),
            Form::Vector => taps * self.c.len(),
        }
    }
}

/// A block of the image that is still to be written.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    offset: usize,
    conv: &'a Conv,
    /// Input channels, kernel rows and columns.
    dims: Shape,
    contents: Contents,
}

#[derive(Clone, Debug)]
enum Contents {
    /// Weights of a group's outputs, a stream a port.
    Weights {
        form: Form,
        outputs: Range<usize>,
        chunk: Chunk,
        ports: usize,
        port_stride: usize,
        word_bytes: usize,
    },
    /// All biases, each group from a row of its own.
    Biases { per_group: usize, rows: usize },
}

/// A layer's weights as the schedule sees them.
#[derive(Clone, Debug)]
pub struct Weights {
    form: Form,
    /// Output channels of each group.
    pub groups: Vec<Range<usize>>,
    /// Chunks of steps, the same for every group.
    pub chunks: Vec<Chunk>,
    /// Everything stays in the buffer.
    resident: bool,
    commands: Vec<Weight>,
    /// (group and chunk, item, first row), of those in the buffer.
    present: Vec<(usize, usize, usize)>,
    bias: Biases,
}

#[derive(Clone, Debug)]
struct Biases {
    offset: usize,
    /// Bias rows of one group, groups that load together.
    rows: usize,
    bundle: usize,
    groups: usize,
    row_beats: usize,
    /// (bundle, item, first row).
    present: Option<(usize, usize, usize)>,
}

/// Groups of at most `size` of `n` outputs.
pub fn groups(n: usize, size: usize) -> Vec<Range<usize>> {
    (0..n).step_by(size).map(|o| o..(o + size).min(n)).collect()
}

impl Weights {
    #[allow(clippy::too_many_arguments)]
    /// Places the blocks of a convolution whose groups have `lanes` lanes; `dims` are its channels and kernel sides.
    pub fn place<'a>(
        conv: &'a Conv,
        dims: Shape,
        form: Form,
        lanes: usize,
        chunks: Vec<Chunk>,
        a: &Accelerator,
        arena: &mut Arena,
        blocks: &mut Vec<Block<'a>>,
    ) -> Self {
        let groups = groups(conv.oc, lanes * form.outputs());
        let mut commands = Vec::with_capacity(groups.len() * chunks.len());
        for outputs in &groups {
            for chunk in &chunks {
                let lanes = outputs.len().div_ceil(form.outputs());
                let mut cmd = command(lanes, chunk.rows(form), form, a);
                let offset = arena.take(cmd.port_stride as usize * a.weight_ports);
                cmd.ddr = address(offset);
                commands.push(cmd);
                blocks.push(Block {
                    offset,
                    conv,
                    dims,
                    contents: Contents::Weights {
                        form,
                        outputs: outputs.clone(),
                        chunk: chunk.clone(),
                        ports: a.weight_ports,
                        port_stride: cmd.port_stride as usize,
                        word_bytes: a.word.bytes(),
                    },
                });
            }
        }
        let per_group = lanes * form.outputs();
        let rows = per_group.div_ceil(BIAS_ROW);
        let offset = arena.take(groups.len() * rows * BIAS_ROW * 8);
        blocks.push(Block {
            offset,
            conv,
            dims,
            contents: Contents::Biases { per_group, rows },
        });
        let total: usize = chunks.iter().map(|c| c.rows(form)).sum::<usize>() * groups.len();
        Weights {
            form,
            resident: total <= a.weight_depth,
            commands,
            present: Vec::new(),
            bias: Biases {
                offset,
                rows,
                bundle: (a.bias_depth / 2 / rows).clamp(1, groups.len()),
                groups: groups.len(),
                row_beats: BIAS_ROW * 8 / a.beat_bytes(),
                present: None,
            },
            groups,
            chunks,
        }
    }

    /// The item that brings a group's chunk, and its first row.
    pub fn need(&mut self, group: usize, chunk: usize, jobs: &mut Jobs) -> (usize, usize) {
        let id = group * self.chunks.len() + chunk;
        if let Some(&(_, item, row)) = self.present.iter().find(|p| p.0 == id) {
            return (item, row);
        }
        if !self.resident {
            self.present.clear();
        } else if self.present.is_empty() {
            // One contiguous place for all, so that none of them overwrites another.
            let total: usize = self.chunks.iter().map(|c| c.rows(self.form)).sum();
            jobs.weight_ring.reserve(total * self.groups.len());
        }
        let rows = jobs.weight_ring.take(self.chunks[chunk].rows(self.form));
        let first = rows.start;
        let mut cmd = self.commands[id];
        cmd.dest = field(first);
        let kind = match self.form {
            Form::Kernel => weight_kind::KERNEL,
            _ => weight_kind::PLAIN,
        };
        let item = jobs.weight(kind, cmd, Space::Weights, rows);
        self.present.push((id, item, first));
        (item, first)
    }

    /// The item that brings a group's biases, and their first row.
    pub fn bias(&mut self, group: usize, jobs: &mut Jobs) -> (usize, usize) {
        let b = &mut self.bias;
        let (bundle, within) = (group / b.bundle, group % b.bundle);
        let (_, item, row) = match b.present {
            Some(p) if p.0 == bundle => p,
            _ => {
                let groups = b.bundle.min(b.groups - bundle * b.bundle);
                let rows = jobs.bias_ring.take(groups * b.rows);
                let cmd = Weight {
                    ddr: address(b.offset + bundle * b.bundle * b.rows * BIAS_ROW * 8),
                    dest: field(rows.start),
                    beats_high: field(groups * b.rows * b.row_beats),
                    split: 1,
                    ..Weight::default()
                };
                let first = rows.start;
                let item = jobs.weight(weight_kind::BIAS, cmd, Space::Bias, rows);
                *b.present.insert((bundle, item, first))
            }
        };
        (item, row + within * b.rows)
    }
}

/// The transfer of `rows` rows for `lanes` lanes, without addresses.
fn command(lanes: usize, rows: usize, form: Form, a: &Accelerator) -> Weight {
    let ports = a.weight_ports;
    let (split, low) = (lanes % ports, lanes / ports);
    let beats = |lanes: usize| (rows * lanes * form.words()).div_ceil(BEAT_WORDS);
    let most = beats(lanes.div_ceil(ports));
    Weight {
        port_stride: field(most.next_multiple_of(BURST_BEATS) * a.beat_bytes()),
        lanes_high: field(low + 1),
        lanes_low: field(low),
        split: field(split),
        beats_high: field(if split > 0 { beats(low + 1) } else { 0 }),
        beats_low: field(beats(low)),
        ..Weight::default()
    }
}

impl Block<'_> {
    /// Byte offset of the block in the image.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Writes the block's contents into its part of the image.
    pub fn write(&self, image: &mut [u8]) {
        match &self.contents {
            Contents::Biases { per_group, rows } => {
                for (g, group) in self.conv.bias.chunks(*per_group).enumerate() {
                    for (i, b) in group.iter().enumerate() {
                        image[(g * rows * BIAS_ROW + i) * 8..][..8]
                            .copy_from_slice(&b.to_le_bytes());
                    }
                }
            }
            Contents::Weights {
                form,
                outputs,
                chunk,
                ports,
                port_stride,
                word_bytes,
            } => {
                let lanes = outputs.len().div_ceil(form.outputs());
                for lane in 0..lanes {
                    let (port, slot) = (lane % ports, lane / ports);
                    let stride = (lanes - port).div_ceil(*ports) * form.words();
                    let stream = &mut image[port * port_stride..];
                    self.for_each_word(*form, outputs, chunk, lane, |row, word, v| {
                        let at = row * stride + slot * form.words() + word;
                        put_word(stream, at * word_bytes, *word_bytes, v);
                    });
                }
            }
        }
    }

    /// Calls `put(row, word, value)` for every weight of a lane.
    fn for_each_word(
        &self,
        form: Form,
        outputs: &Range<usize>,
        chunk: &Chunk,
        lane: usize,
        mut put: impl FnMut(usize, usize, i16),
    ) {
        let d = self.dims;
        let taps = d.h * d.w;
        for k in 0..form.outputs() {
            let o = outputs.start + lane * form.outputs() + k;
            if o >= outputs.end {
                return;
            }
            let w = &self.conv.weights[o * d.c * taps..][..d.c * taps];
            if form == Form::Kernel {
                for (row, kernel) in w.chunks_exact(taps).enumerate() {
                    (0..KERNEL_WORDS).for_each(|i| put(row, i, kernel[i]));
                }
                continue;
            }
            let mut step = 0;
            for ky in chunk.ky.clone() {
                for kx in chunk.kx.clone() {
                    for c in chunk.c.clone() {
                        let kernel = &w[c * taps..][..taps];
                        let (row, word) = match form {
                            Form::Vector => (step, k),
                            _ => (step / PLAIN_WORDS, step % PLAIN_WORDS),
                        };
                        put(row, word, kernel[ky * d.w + kx]);
                        step += 1;
                    }
                }
            }
        }
    }
}
