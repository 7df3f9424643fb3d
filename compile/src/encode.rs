//! The window's map and the image: commands, then weights and biases, then (beyond the image) tensors and records.

use crate::error::CompileError;
use crate::passes::CompiledProgram;
use crate::stream::Entry;
use crate::weights::Block;
use cnna_spec::isa::{Body, COMMAND_BYTES};
use cnna_spec::program::ProgramMeta;
use rayon::prelude::*;

/// Sections of the window begin on pages.
const PAGE: usize = 4096;

/// Moves every offset to its place in the window and writes the image.
pub fn program(
    mut meta: ProgramMeta,
    mut stream: Vec<Entry>,
    blocks: &[Block],
    weight_bytes: usize,
    tensor_bytes: usize,
) -> Result<CompiledProgram, CompileError> {
    let weights = (stream.len() * COMMAND_BYTES).next_multiple_of(PAGE);
    let tensors = (weights + weight_bytes).next_multiple_of(PAGE);
    let bytes = (tensors + tensor_bytes).next_multiple_of(PAGE);
    if bytes > u32::MAX as usize {
        return Err(CompileError::Window { bytes });
    }
    meta.window_bytes = bytes;
    meta.input.offset += tensors;
    for l in &mut meta.layers {
        l.output.offset += tensors;
        l.record += tensors;
    }
    for e in &mut stream {
        let moved = |ddr: i32, by: usize| (ddr as u32).wrapping_add(by as u32) as i32;
        match &mut e.command.body {
            Body::Weight(w) => w.ddr = moved(w.ddr, weights),
            Body::Load(l) => l.ddr = moved(l.ddr, tensors),
            Body::Store(s) => s.ddr = moved(s.ddr, tensors),
            Body::Compute(_) => {}
        }
    }
    let mut image = vec![0; weights + weight_bytes];
    for (e, bytes) in stream.iter().zip(image.chunks_exact_mut(COMMAND_BYTES)) {
        let words = e.command.encode().map_err(|error| {
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
    write_blocks(blocks, &mut image[weights..]);
    Ok(CompiledProgram { meta, image })
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
