//! The compiler as a list of passes.
//!
//! 1. check: shapes, shifts and accumulators (`check.rs`)
//! 2. lower: layers to stages; pooling rides on the convolution before it (`lower.rs`, `stage.rs`)
//! 3. tile: the forms and tilings of a stage that fit, and the cheapest (`conv.rs`, `pool.rs`, `vector.rs`, `cost.rs`)
//! 4. schedule, for one image and for several: transfers and commands of every stage, marks between them (`step.rs`,
//!    `jobs.rs`, `fill.rs`, `weights.rs`)
//! 5. order: streams with prefetching and tokens (`stream.rs`)
//! 6. place: commands, weights and tensors in one window (`memory.rs`)
//! 7. encode: the image (`encode.rs`)

use crate::encode::Image;
use crate::error::CompileError;
use crate::lower::Build;
use crate::stream::Entry;
use crate::{check, cost, encode};
use cnna_machine::Board;
use cnna_machine::layer::Network;
use cnna_machine::program::{LayerInfo, ProgramMeta, Stream};

/// What the user may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Use F(2x2, 3x3) where the machine has it and it is faster.
    pub winograd: bool,
    /// Let 2x2 pooling ride on the convolution before it.
    pub fuse: bool,
    /// Most images that share the weights of fully connected layers; 1: no stream for several images.
    pub batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            winograd: true,
            fuse: true,
            batch: usize::MAX,
        }
    }
}

/// A program without its file.
#[derive(Clone, Debug)]
pub struct CompiledProgram<'a> {
    /// Everything but the bytes.
    pub meta: ProgramMeta,
    /// The first bytes of the window: commands, weights, biases.
    pub image: Image<'a>,
    /// Images that a run would take if the board reserved memory enough; `meta.batch()` is what it takes.
    pub batch_wanted: usize,
}

/// Compiles a network for a board.
///
/// Errors: a network that contradicts itself, sums that could overflow, buffers too small for a layer, a window beyond 4 GiB.
pub fn compile<'a>(
    net: &'a Network,
    board: &Board,
    options: &Options,
) -> Result<CompiledProgram<'a>, CompileError> {
    check::network(net, &board.accelerator)?;
    let mut b = Build::new(board, options, net.word);
    let input = b.tensor(net.input, net.input_frac);
    let mut layers = Vec::new();
    let vectors = vector_layers(net);
    let mut at = 0;
    while at < net.layers.len() {
        let from = layers
            .last()
            .map_or(&input, |l: &LayerInfo| &l.output)
            .clone();
        let info = b.layer(net, at, layers.len(), vectors[at], from)?;
        at = info.network_layer + 1;
        layers.push(info);
    }
    let batch_wanted = match vectors.contains(&true) {
        true => board.accelerator.vector_images().min(options.batch.max(1)),
        false => 1,
    };
    let streams = streams(&b, batch_wanted, board)?;
    let counts: Vec<usize> = streams.iter().map(|(_, s)| s.len()).collect();
    let images = streams.last().map_or(1, |(images, _)| *images);
    let map = b.map(&counts, images);
    let meta = ProgramMeta {
        name: net.name.clone(),
        window_bytes: map.bytes,
        image_pitch: b.tensors.bytes(),
        streams: streams
            .iter()
            .zip(&map.streams)
            .map(|((images, s), &commands_offset)| Stream {
                images: *images,
                commands_offset,
                commands: s.len(),
                estimated_cycles: cost::cycles(s, board),
            })
            .collect(),
        input,
        layers,
        board: board.clone(),
    };
    let streams: Vec<Vec<Entry>> = streams.into_iter().map(|(_, s)| s).collect();
    let (meta, image) = encode::program(meta, &streams, b.blocks, &map)?;
    Ok(CompiledProgram {
        meta,
        image,
        batch_wanted,
    })
}

/// The stream for one image, and one for the most images, at most `wanted`, that the window has room for.
fn streams(
    b: &Build,
    wanted: usize,
    board: &Board,
) -> Result<Vec<(usize, Vec<Entry>)>, CompileError> {
    let mut all = vec![(1, b.stream(1)?)];
    let room = board.platform.dma_bytes.min(u32::MAX.into());
    for images in (2..=wanted).rev() {
        let stream = b.stream(images)?;
        let map = b.map(&[all[0].1.len(), stream.len()], images);
        if map.bytes as u64 <= room {
            all.push((images, stream));
            break;
        }
    }
    Ok(all)
}

/// Fully connected layers that may run in vector mode: those whose results only such layers read.
fn vector_layers(net: &Network) -> Vec<bool> {
    let mut vectors = vec![false; net.layers.len()];
    for (i, l) in net.layers.iter().enumerate().rev() {
        vectors[i] = l.is_fc() && vectors.get(i + 1).copied().unwrap_or(true);
    }
    vectors
}
