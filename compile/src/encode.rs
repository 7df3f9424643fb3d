//! The window's map and the image: commands of each stream, weights and biases, then (beyond the image) records and each
//! image's tensors.

use crate::error::CompileError;
use crate::stream::Entry;
use crate::weights::Block;
use cnna_spec::isa::{Body, COMMAND_BYTES, Command, store_kind};
use cnna_spec::program::ProgramMeta;
use rayon::prelude::*;

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
    weights_end: usize,
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
            weights_end: weights + s.weights,
            records,
            tensors,
            bytes: next.next_multiple_of(PAGE),
        }
    }

    /// The command with the address that it has in the window.
    fn place(&self, mut command: Command) -> Command {
        let moved = |ddr: i32, by: usize| (ddr as u32).wrapping_add(by as u32) as i32;
        match &mut command.body {
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

/// Moves every offset to its place in the window and writes the image.
pub fn program(
    mut meta: ProgramMeta,
    streams: &[Vec<Entry>],
    blocks: &[Block],
    map: &Map,
) -> Result<(ProgramMeta, Vec<u8>), CompileError> {
    if map.bytes > u32::MAX as usize {
        return Err(CompileError::Window { bytes: map.bytes });
    }
    meta.input.offset += map.tensors;
    for l in &mut meta.layers {
        l.output.offset += map.tensors;
        l.record += map.records;
    }
    let mut image = vec![0; map.weights_end];
    for (stream, &at) in streams.iter().zip(&map.streams) {
        for (e, bytes) in stream
            .iter()
            .zip(image[at..].chunks_exact_mut(COMMAND_BYTES))
        {
            let words = map.place(e.command).encode().map_err(|error| {
                let layer = &meta.layers[e.command.tag as usize];
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
    write_blocks(blocks, &mut image[map.weights..]);
    Ok((meta, image))
}

/// Blocks lie one after another, so each gets its own part of the image.
fn write_blocks(blocks: &[Block], mut image: &mut [u8]) {
    let mut parts = Vec::with_capacity(blocks.len());
    let mut at = 0;
    for (i, b) in blocks.iter().enumerate() {
        let end = blocks.get(i + 1).map_or(at + image.len(), Block::offset);
        let (part, rest) = image.split_at_mut(end - at);
        parts.push((b, &mut part[b.offset() - at..]));
        (at, image) = (end, rest);
    }
    parts.into_par_iter().for_each(|(b, part)| b.write(part));
}
