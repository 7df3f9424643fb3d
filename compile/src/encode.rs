//! The window's map and the image: commands of each stream, weights and biases, then (beyond the image) records and each
//! image's tensors.

use crate::error::CompileError;
use crate::stream::Entry;
use crate::weights::Block;
use cnna_machine::isa::{Body, COMMAND_BYTES, Command, store_kind};
use cnna_machine::program::ProgramMeta;
use rayon::prelude::*;
use std::borrow::Cow;

/// Sections of the window begin on pages.
const PAGE: usize = 4096;

/// Bytes and counts of what the window holds.
pub struct Sizes<'a> {
    /// Commands of each stream.
    pub commands: &'a [usize],
    /// Bytes of weights and biases.
    pub weights: usize,
    /// Bytes of records.
    pub records: usize,
    /// Bytes of all images' tensors.
    pub tensors: usize,
}

/// Where each section of the window begins.
pub struct Map {
    /// Streams.
    pub streams: Vec<usize>,
    weights: usize,
    weight_bytes: usize,
    records: usize,
    tensors: usize,
    /// Bytes of the window.
    pub bytes: usize,
}

impl Map {
    /// Lays the sections out one behind the other.
    pub fn new(s: &Sizes) -> Self {
        let mut next = 0usize;
        let mut section = |bytes: usize| {
            let at = next.next_multiple_of(PAGE);
            next = at + bytes;
            at
        };
        let streams = s
            .commands
            .iter()
            .map(|n| section(n * COMMAND_BYTES))
            .collect();
        let weights = section(s.weights);
        let records = section(s.records);
        let tensors = section(s.tensors);
        Map {
            streams,
            weights,
            weight_bytes: s.weights,
            records,
            tensors,
            bytes: next.next_multiple_of(PAGE),
        }
    }

    /// The command with the address that it has in the window.
    fn place(&self, entry: &Entry) -> Command {
        let mut command = entry.command;
        let moved = |ddr: i32, by: usize| (ddr as u32).wrapping_add(by as u32) as i32;
        match &mut command.body {
            Body::Weight(w) if entry.made => w.ddr = moved(w.ddr, self.tensors),
            Body::Weight(w) => w.ddr = moved(w.ddr, self.weights),
            Body::Load(l) => l.ddr = moved(l.ddr, self.tensors),
            Body::Store(s) if command.kind == store_kind::STORE => {
                s.ddr = moved(s.ddr, self.tensors);
            }
            Body::Store(s) if command.kind == store_kind::MARK => {
                s.ddr = moved(s.ddr, self.records);
            }
            Body::Store(_) | Body::Compute(_) => {}
        }
        command
    }
}

/// Blocks that are written at the same time, by all threads; some 10 MB.
const TOGETHER: usize = 64;

/// The first bytes of the window. The weights are brought into their order only when asked for: they are large.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    commands: Vec<u8>,
    blocks: Vec<Block<'a>>,
    weights: usize,
}

impl Image<'_> {
    /// Bytes of all parts.
    #[allow(clippy::len_without_is_empty)] // A program has at least one command.
    pub fn len(&self) -> usize {
        self.commands.len() + self.weights
    }

    /// The image in parts, one behind the other.
    pub fn parts(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let first = std::iter::once(Cow::from(&self.commands));
        let weights = (0..self.blocks.len()).step_by(TOGETHER).map(|i| {
            let begin = |i: usize| self.blocks.get(i).map_or(self.weights, Block::offset);
            let next = i + TOGETHER;
            let base = if i == 0 { 0 } else { begin(i) };
            let blocks = &self.blocks[i..next.min(self.blocks.len())];
            let mut part = vec![0; begin(next) - base];
            write_blocks(blocks, base, &mut part);
            Cow::from(part)
        });
        first.chain(weights)
    }

    /// The whole image.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.parts().for_each(|p| bytes.extend_from_slice(&p));
        bytes
    }
}

/// Moves every offset to its place in the window and encodes the commands.
pub fn program<'a>(
    mut meta: ProgramMeta,
    streams: &[Vec<Entry>],
    blocks: Vec<Block<'a>>,
    map: &Map,
) -> Result<(ProgramMeta, Image<'a>), CompileError> {
    if map.bytes > u32::MAX as usize {
        return Err(CompileError::Window { bytes: map.bytes });
    }
    for p in meta.inputs.iter_mut().chain(&mut meta.outputs) {
        p.tensor.offset += map.tensors;
    }
    for h in &mut meta.host {
        for t in h.inputs.iter_mut().chain([&mut h.output]) {
            t.offset += map.tensors;
        }
    }
    for l in &mut meta.layers {
        l.output.offset += map.tensors;
        for r in &mut l.inner {
            r.output.offset += map.tensors;
        }
        l.record += map.records;
    }
    let mut commands = vec![0; map.weights];
    for (stream, &at) in streams.iter().zip(&map.streams) {
        let places = commands[at..].chunks_exact_mut(COMMAND_BYTES);
        for (e, bytes) in stream.iter().zip(places) {
            let words = map.place(e).encode().map_err(|error| {
                let layer = &meta.layers[usize::from(e.command.tag).min(meta.layers.len() - 1)];
                CompileError::Unsupported {
                    layer: layer.name.clone(),
                    message: format!("{error}: the layer is larger than commands can say"),
                }
            })?;
            for (b, w) in bytes.chunks_exact_mut(4).zip(words) {
                b.copy_from_slice(&w.to_le_bytes());
            }
        }
    }
    let image = Image {
        commands,
        blocks,
        weights: map.weight_bytes,
    };
    Ok((meta, image))
}

/// Blocks lie one after another, so each gets its own part of the bytes from offset `base` on.
fn write_blocks(blocks: &[Block], base: usize, mut bytes: &mut [u8]) {
    let mut parts = Vec::with_capacity(blocks.len());
    let mut at = base;
    for (i, b) in blocks.iter().enumerate() {
        let end = blocks.get(i + 1).map_or(at + bytes.len(), Block::offset);
        let (part, rest) = bytes.split_at_mut(end - at);
        parts.push((b, &mut part[b.offset() - at..]));
        (at, bytes) = (end, rest);
    }
    parts.into_par_iter().for_each(|(b, part)| b.write(part));
}
