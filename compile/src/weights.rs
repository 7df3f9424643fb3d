//! Weights and biases: cut into groups of output channels and chunks of steps, placed in memory in the order in which the
//! ports read them, and brought into the buffers.

use crate::act::Words;
use crate::jobs::{Jobs, Space, address, field};
use crate::linear::Linear;
use crate::memory::Placer;
use cnna_machine::Accelerator;
use cnna_machine::config::{BIAS_ROW, BURST_BEATS, KERNEL_WORDS, PLAIN_WORDS};
use cnna_machine::isa::{SET_PITCH, Weight, weight_kind};
use cnna_machine::layout::put_word;
use cnna_machine::num::ACC_BITS;
use std::ops::Range;
use std::sync::Arc;

/// Weights that a stage before makes, one a channel: blocks with these on their diagonal, each in the ports' order, rows of blocks in
/// rows of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Given {
    /// Channels, and lanes, of a block.
    pub lanes: usize,
    /// Channels of a row, and words of its blocks.
    pub channels: usize,
    /// See `channels`.
    pub words: usize,
    ports: usize,
    /// Lanes of a port.
    slots: usize,
    /// Bytes of a row in memory.
    row_bytes: usize,
}

impl Given {
    /// The blocks of a machine: of as many lanes as a lane's row has words, or fewer.
    pub fn new(a: &Accelerator) -> Self {
        let most = a.lanes.min(PLAIN_WORDS);
        let lanes: usize = 1 << most.ilog2();
        let (channels, ports) = (a.column_align(), a.weight_ports);
        let slots = lanes.div_ceil(ports);
        let words = channels / lanes * ports * slots * PLAIN_WORDS;
        Given {
            lanes,
            channels,
            words,
            ports,
            slots,
            row_bytes: words.next_multiple_of(a.column_align()) * a.word.bytes(),
        }
    }

    /// The word of a row in which the weight of its channel `k` lies: the step in which its lane sees the channel.
    pub fn word(&self, k: usize) -> usize {
        let (block, lane) = (k / self.lanes, k % self.lanes);
        let (port, slot) = (lane % self.ports, lane / self.ports);
        ((block * self.ports + port) * self.slots + slot) * PLAIN_WORDS + lane
    }

    /// A block's transfer, from its first channel on; its place counts from that of the first row.
    fn command(&self, outputs: &Range<usize>, a: &Accelerator) -> Weight {
        let (row, block) = (
            outputs.start / self.channels,
            outputs.start % self.channels / self.lanes,
        );
        let port_stride = self.slots * a.beat_bytes();
        Weight {
            ddr: address(row * self.row_bytes + block * self.ports * port_stride),
            port_stride: field(port_stride),
            ..command(outputs.len(), 1, Form::Plain, a.word.bytes(), a)
        }
    }
}

/// How a weight-buffer row is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One 3x3 kernel a lane, one input channel and tap a row.
    Kernel,
    /// The same where each lane sees a channel of its own: one tap a row.
    Diagonal,
    /// 8 steps a lane and row.
    Plain,
    /// 4 steps of two channels each a lane and row; lane 0 has no weights.
    Pairs,
    /// 8 outputs a lane, one step a row.
    Vector,
}

impl Form {
    fn words(self) -> usize {
        match self {
            Form::Kernel | Form::Diagonal => KERNEL_WORDS,
            _ => PLAIN_WORDS,
        }
    }
    /// Its steps are WINOGRAD mode's.
    pub fn is_winograd(self) -> bool {
        matches!(self, Form::Kernel | Form::Diagonal)
    }
    /// Outputs of one lane.
    pub fn outputs(self) -> usize {
        match self {
            Form::Vector => PLAIN_WORDS,
            _ => 1,
        }
    }
    /// Lanes before the first that has an output, where nothing is reused.
    pub fn idle_lanes(self) -> usize {
        usize::from(self == Form::Pairs)
    }
    /// Steps that go through so many channels.
    pub fn steps(self, channels: usize) -> usize {
        match self {
            Form::Pairs => channels.div_ceil(2),
            _ => channels,
        }
    }
}

/// Rows and columns of the kernel of a WINOGRAD step.
pub const KERNEL_SIDE: usize = 3;

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
        let steps = self.ky.len() * self.kx.len() * form.steps(self.c.len());
        match form {
            Form::Plain => steps.div_ceil(PLAIN_WORDS),
            Form::Pairs => (2 * steps).div_ceil(PLAIN_WORDS),
            Form::Kernel | Form::Vector => steps,
            Form::Diagonal => self.ky.len() * self.kx.len(),
        }
    }
}

/// A block of the image that is still to be written.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    offset: usize,
    linear: Arc<Linear<'a>>,
    contents: Contents,
}

#[derive(Clone, Debug)]
enum Contents {
    /// Weights of a group's outputs, a stream a port.
    Weights {
        form: Form,
        group: Group,
        chunk: Chunk,
        ports: usize,
        port_stride: usize,
        word_bytes: usize,
        /// Bytes of a weight in memory: the upper ones of its word.
        weight_bytes: usize,
    },
    /// All biases, each group from a row of its own, `rows` apart.
    Biases {
        form: Form,
        groups: Vec<Group>,
        rows: usize,
    },
    /// Words of an activation set, one a beat.
    Set { words: Vec<[u16; 3]>, beat: usize },
}

/// Outputs that are computed together, and the input channels that they read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Outputs.
    pub outputs: Range<usize>,
    /// Input channels.
    pub window: Range<usize>,
    /// Lanes before the first that has an output.
    pub idle: usize,
}

impl Group {
    /// Lanes that compute it.
    pub fn lanes(&self, form: Form) -> usize {
        self.idle + self.outputs.len().div_ceil(form.outputs())
    }
}

/// A layer's weights as the schedule sees them.
#[derive(Clone, Debug)]
pub struct Weights {
    /// How its rows are used.
    pub form: Form,
    /// Weights come as their upper 8 bits.
    narrow: bool,
    /// In the order in which they are computed.
    pub groups: Vec<Group>,
    /// Chunks of steps of each group.
    pub chunks: Vec<Vec<Chunk>>,
    /// The group and chunk whose block serves for one, where that is not each its own.
    alike: Option<Vec<Vec<[usize; 2]>>>,
    /// Everything stays in the buffer: so many rows.
    resident: Option<usize>,
    /// By group and chunk.
    commands: Vec<Vec<Weight>>,
    /// ((group, chunk), item, first row), of those in the buffer.
    present: Vec<([usize; 2], usize, usize)>,
    bias: Biases,
    set: Option<Set>,
    /// Where the blocks of [`Given`] weights lie.
    given: Option<usize>,
}

#[derive(Clone, Debug)]
struct Set {
    words: Arc<Words>,
    /// The transfer into set 0.
    command: Weight,
    /// (item, set).
    present: Option<(usize, usize)>,
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

/// Runs of at most `size` of `n`.
pub fn spans(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..n).step_by(size).map(move |x| x..(x + size).min(n))
}

/// Equal runs of at most `most` of `n`.
pub fn parts(n: usize, most: usize) -> Vec<Range<usize>> {
    spans(n, n.div_ceil(n.div_ceil(most))).collect()
}

impl Weights {
    /// Places the blocks of each group's chunks, and the biases.
    pub fn place<'a>(
        linear: &Arc<Linear<'a>>,
        form: Form,
        groups: Vec<Group>,
        chunks: Vec<Vec<Chunk>>,
        placer: &mut Placer<'_, 'a>,
    ) -> Self {
        let a = placer.accelerator;
        let rows = |chunk: &Chunk, narrow: bool| stored_rows(chunk.rows(form), narrow);
        let fits = |c: &Chunk| rows(c, true) <= a.weight_depth;
        let narrow =
            !form.is_winograd() && linear.is_narrow(a.word) && chunks.iter().flatten().all(fits);
        let weight_bytes = if narrow { 1 } else { a.word.bytes() };
        let mut commands = Vec::with_capacity(groups.len());
        if let Some(given) = &linear.given {
            commands.extend(groups.iter().map(|g| vec![given.command(&g.outputs, a)]));
        }
        let alike = alike(linear, form, &chunks);
        let block_of = |id: [usize; 2]| alike.as_ref().map_or(id, |a| a[id[0]][id[1]]);
        let stored = groups.iter().zip(&chunks).enumerate();
        for (g, (group, chunks)) in stored.filter(|_| linear.given.is_none()) {
            let lanes = group.lanes(form);
            let mut each: Vec<Weight> = Vec::with_capacity(chunks.len());
            for (k, chunk) in chunks.iter().enumerate() {
                if block_of([g, k]) != [g, k] {
                    each.push(Weight::default());
                    continue;
                }
                let mut cmd = command(lanes, rows(chunk, narrow), form, weight_bytes, a);
                let offset = placer.arena.take(cmd.port_stride as usize * a.weight_ports);
                cmd.ddr = address(offset);
                each.push(cmd);
                placer.blocks.push(Block {
                    offset,
                    linear: linear.clone(),
                    contents: Contents::Weights {
                        form,
                        group: group.clone(),
                        chunk: chunk.clone(),
                        ports: a.weight_ports,
                        port_stride: cmd.port_stride as usize,
                        word_bytes: a.word.bytes(),
                        weight_bytes,
                    },
                });
            }
            commands.push(each);
        }
        let lanes = groups.iter().map(|g| g.lanes(form)).max().unwrap_or(1);
        let bias_rows = (lanes * form.outputs()).div_ceil(BIAS_ROW);
        let offset = placer.arena.take(groups.len() * bias_rows * BIAS_ROW * 8);
        placer.blocks.push(Block {
            offset,
            linear: linear.clone(),
            contents: Contents::Biases {
                form,
                groups: groups.clone(),
                rows: bias_rows,
            },
        });
        let set = linear.act.set(a).map(|(first, words)| {
            let offset = placer.arena.take(words.len() * a.beat_bytes());
            let command = Weight {
                ddr: address(offset),
                dest: field(first),
                beats_high: field(words.len()),
                split: 1,
                ..Weight::default()
            };
            placer.blocks.push(Block {
                offset,
                linear: linear.clone(),
                contents: Contents::Set {
                    words: words.clone(),
                    beat: a.beat_bytes(),
                },
            });
            Set {
                words: Arc::new(words),
                command,
                present: None,
            }
        });
        let total: usize = chunks
            .iter()
            .enumerate()
            .flat_map(|(g, chunks)| chunks.iter().enumerate().map(move |(k, c)| ([g, k], c)))
            .filter(|(id, _)| block_of(*id) == *id)
            .map(|(_, c)| rows(c, narrow))
            .sum();
        Weights {
            form,
            narrow,
            alike,
            resident: (total <= a.weight_depth).then_some(total),
            commands,
            present: Vec::new(),
            bias: Biases {
                offset,
                rows: bias_rows,
                bundle: (a.bias_depth / 2 / bias_rows).clamp(1, groups.len()),
                groups: groups.len(),
                row_beats: BIAS_ROW * 8 / a.beat_bytes(),
                present: None,
            },
            set,
            given: None,
            groups,
            chunks,
        }
    }

    /// What a stage made `at` this place takes that of the weights there are.
    pub fn given(&mut self, at: usize) {
        self.given = Some(at);
        self.present.clear();
    }

    /// Rows of weights and of biases when all come once and stay, see [`Weights::stay`]; `None` when the weights are too many.
    pub fn staying(&self) -> Option<[usize; 2]> {
        // One more a group, where a beat of 8-bit weights brings two.
        let rows = self.resident? + self.groups.len() * usize::from(self.narrow);
        Some([rows, self.bias.groups * self.bias.rows])
    }

    /// Brings the biases of all groups at once.
    pub fn stay(&mut self) {
        self.bias.bundle = self.bias.groups;
    }

    /// The item that brings the layer's activation set, and which it is; `None` for those that need none.
    pub fn set(&mut self, jobs: &mut Jobs) -> Option<(usize, usize)> {
        let set = self.set.as_mut()?;
        let bring = || {
            if let Some(there) = jobs.set(&set.words) {
                return there;
            }
            let at = jobs.next_set();
            let mut command = set.command;
            command.dest += field(at * SET_PITCH);
            let item = jobs.weight(weight_kind::SET, command, Space::Sets, at..at + 1);
            jobs.sets[at] = Some((set.words.clone(), item));
            (item, at)
        };
        Some(*set.present.get_or_insert_with(bring))
    }

    /// What the layer's activation set holds.
    pub fn set_words(&self) -> Option<&Words> {
        self.set.as_ref().map(|s| &*s.words)
    }

    /// The item that brings a group's chunk, and its first row.
    pub fn need(&mut self, group: usize, chunk: usize, jobs: &mut Jobs) -> (usize, usize) {
        let id = match &self.alike {
            Some(alike) => alike[group][chunk],
            None => [group, chunk],
        };
        let [group, chunk] = id;
        if let Some(&(_, item, row)) = self.present.iter().find(|p| p.0 == id) {
            return (item, row);
        }
        match self.resident {
            None => self.present.clear(),
            // One contiguous place for all, so that none of them overwrites another.
            Some(total) if self.present.is_empty() => jobs.weight_ring.reserve(total),
            Some(_) => {}
        }
        let rows = self.chunks[group][chunk].rows(self.form);
        let rows = jobs.weight_ring.take(stored_rows(rows, self.narrow));
        let first = rows.start;
        let mut cmd = self.commands[group][chunk];
        cmd.dest = field(first);
        let kind = match (self.form, self.narrow) {
            (Form::Kernel | Form::Diagonal, _) => weight_kind::KERNEL,
            (_, true) => weight_kind::NARROW,
            _ => weight_kind::PLAIN,
        };
        if let Some(at) = self.given {
            cmd.ddr = address(at + cmd.ddr as usize);
        }
        let item = jobs.weight(kind, cmd, Space::Weights, rows);
        if self.given.is_some() {
            jobs.made_before(item);
        }
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

/// The group and chunk whose block serves for each, where lanes that see a channel of their own have one weight for all, as those of a
/// mean: the first of as many kernels, the last of them cut off at the bottom as much.
fn alike(l: &Linear, form: Form, chunks: &[Vec<Chunk>]) -> Option<Vec<Vec<[usize; 2]>>> {
    let first = l.weights.first()?;
    if form != Form::Diagonal || l.weights.iter().any(|w| w != first) {
        return None;
    }
    let [height, _] = l.taps;
    let rows = |c: &Chunk| height.min(c.ky.end * KERNEL_SIDE) - c.ky.start * KERNEL_SIDE;
    let serves = |c: &Chunk| {
        let of_first = chunks[0].iter();
        let same = |o: &&Chunk| (o.kx.clone(), rows(o)) == (c.kx.clone(), rows(c));
        of_first
            .enumerate()
            .find(|(_, o)| same(o))
            .map(|(k, _)| [0, k])
    };
    let each = chunks.iter().map(|of| of.iter().map(serves).collect());
    each.collect()
}

/// Rows that a chunk takes in the buffer: a beat of 8-bit weights is two lane rows, and brings both.
fn stored_rows(rows: usize, narrow: bool) -> usize {
    rows.next_multiple_of(if narrow { 2 } else { 1 })
}

/// The transfer of `rows` rows for `lanes` lanes, of so many bytes a weight, without addresses.
fn command(lanes: usize, rows: usize, form: Form, weight_bytes: usize, a: &Accelerator) -> Weight {
    let ports = a.weight_ports;
    let (split, low) = (lanes % ports, lanes / ports);
    let beats =
        |lanes: usize| (rows * lanes * form.words() * weight_bytes).div_ceil(a.beat_bytes());
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
            Contents::Biases { form, groups, rows } => {
                for (g, group) in groups.iter().enumerate() {
                    let first = g * rows * BIAS_ROW + group.idle;
                    for (i, o) in group.outputs.clone().enumerate() {
                        let too_much = match form {
                            Form::Pairs => self.linear.pair_products(o, group.window.start),
                            _ => 0,
                        };
                        // Beside the sum's bits stand the channel's own.
                        let own = self.linear.own(o);
                        let bias = self.linear.bias[o].wrapping_sub(too_much);
                        let entry = bias & ((1 << ACC_BITS) - 1) | i64::from(own) << ACC_BITS;
                        image[(first + i) * 8..][..8].copy_from_slice(&entry.to_le_bytes());
                    }
                }
            }
            Contents::Set { words, beat } => {
                for (image, words) in image.chunks_exact_mut(*beat).zip(words) {
                    for (to, w) in image.chunks_exact_mut(2).zip(words) {
                        to.copy_from_slice(&w.to_le_bytes());
                    }
                }
            }
            Contents::Weights {
                form,
                group,
                chunk,
                ports,
                port_stride,
                word_bytes,
                weight_bytes,
            } => {
                let cut = 8 * (word_bytes - weight_bytes);
                let lanes = group.lanes(*form);
                for lane in group.idle..lanes {
                    let (port, slot) = (lane % ports, lane / ports);
                    let stride = (lanes - port).div_ceil(*ports) * form.words();
                    let stream = &mut image[port * port_stride..];
                    self.for_each_word(*form, group, chunk, lane, |row, word, v| {
                        let at = row * stride + slot * form.words() + word;
                        put_word(stream, at * weight_bytes, *weight_bytes, v >> cut);
                    });
                }
            }
        }
    }

    /// Calls `put(row, word, value)` for every weight of a lane.
    fn for_each_word(
        &self,
        form: Form,
        group: &Group,
        chunk: &Chunk,
        lane: usize,
        mut put: impl FnMut(usize, usize, i16),
    ) {
        for k in 0..form.outputs() {
            let o = group.outputs.start + (lane - group.idle) * form.outputs() + k;
            if o >= group.outputs.end {
                return;
            }
            let (kernels, channels) = self.linear.kernels(o);
            // Inputs of other groups have no weight: the image is zero there.
            let kernel = |c: usize| {
                let at = c.checked_sub(channels.start).filter(|_| c < channels.end)?;
                let taps = self.linear.taps[0] * self.linear.taps[1];
                Some(&kernels[at * taps..][..taps])
            };
            let own = match form {
                Form::Diagonal => channels.clone(),
                _ => chunk.c.clone(),
            };
            let mut step = 0;
            for ky in chunk.ky.clone() {
                for kx in chunk.kx.clone() {
                    for c in own.clone() {
                        let second = (c - chunk.c.start) % 2;
                        let [height, width] = self.linear.taps;
                        match (form, kernel(c)) {
                            (_, None) => {}
                            (Form::Vector, Some(kernel)) => put(step, k, kernel[ky * width + kx]),
                            (Form::Plain, Some(kernel)) => put(
                                step / PLAIN_WORDS,
                                step % PLAIN_WORDS,
                                kernel[ky * width + kx],
                            ),
                            (Form::Pairs, Some(kernel)) => {
                                put(step / 4, step % 4 * 2 + second, kernel[ky * width + kx])
                            }
                            (Form::Kernel | Form::Diagonal, Some(kernel)) => {
                                // What lies beyond the kernel is zero.
                                let rows = ky * KERNEL_SIDE..height.min((ky + 1) * KERNEL_SIDE);
                                for (y, row) in rows.enumerate() {
                                    let row = &kernel[row * width..][..width];
                                    let taps = row[kx * KERNEL_SIDE..].iter().take(KERNEL_SIDE);
                                    for (x, &w) in taps.enumerate() {
                                        put(step, y * KERNEL_SIDE + x, w);
                                    }
                                }
                            }
                        }
                        // A pair's first channel does not end the step, but where it is alone.
                        let whole = second == 1 || c + 1 == chunk.c.end;
                        step += usize::from(form != Form::Pairs || whole);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_one_block_for_all_channels_and_one_for_each_cut() {
        let mean = |height: usize, other: i16| {
            let mut weights = vec![7; 3 * height * 4];
            weights[0] = other;
            let l = Linear {
                outputs: 3,
                groups: 3,
                inputs: 1,
                taps: [height, 4],
                weights: weights.into(),
                ..Linear::default()
            };
            // Groups of two channels and of one, in chunks of two rows of kernels.
            let chunks = |c: Range<usize>| {
                let rows = spans(height.div_ceil(KERNEL_SIDE), 2);
                rows.map(move |ky| Chunk {
                    ky,
                    kx: 0..2,
                    c: c.clone(),
                })
                .collect()
            };
            let chunks: Vec<Vec<Chunk>> = vec![chunks(0..2), chunks(2..3)];
            alike(&l, Form::Diagonal, &chunks)
        };
        assert_eq!(mean(12, 7), Some(vec![vec![[0, 0]; 2]; 2]));
        // Of the last kernels two rows are cut off.
        assert_eq!(mean(10, 7), Some(vec![vec![[0, 0], [0, 1]]; 2]));
        assert_eq!(mean(12, 6), None);
    }
}
