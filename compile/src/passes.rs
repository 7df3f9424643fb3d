//! The compiler as a list of passes.

use crate::encode::{self, Image};
use crate::error::CompileError;
use crate::lower::{Build, Lowered};
use crate::options::Options;
use crate::stream::Entry;
use crate::{check, cost};
use cnna_machine::Board;
use cnna_machine::program::{ProgramMeta, Stream};
use cnna_net::Graph;

/// What happens, in order, and where.
pub const PASSES: [(&str, &str); 7] = [
    ("check", "shapes, formats and sizes (check.rs)"),
    ("place", "which tensors share memory (place.rs)"),
    (
        "lower",
        "nodes to stages; sums, activations and pooling ride on the convolution before them (op/, lower/, stage.rs)",
    ),
    (
        "tile",
        "the forms and tilings of a stage that fit, and the cheapest; neighbours that take turns (mode/, cost.rs, lower/turns.rs)",
    ),
    (
        "allocate",
        "tensors in memory, each as long as it is needed (lower/allocate.rs, memory.rs)",
    ),
    (
        "schedule",
        "transfers and commands of every stage, for one image and for several, with prefetching and tokens (step.rs, jobs.rs, fill.rs, weights.rs, stream.rs)",
    ),
    (
        "encode",
        "commands, weights and biases in one image (encode.rs)",
    ),
];

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
/// Errors: a network that contradicts itself or is not quantised, operators that the machine cannot run, sums that could
/// overflow, buffers too small for a layer, a window beyond 4 GiB.
pub fn compile<'a>(
    graph: &'a Graph,
    board: &Board,
    options: &Options,
) -> Result<CompiledProgram<'a>, CompileError> {
    check::network(graph, &board.accelerator)?;
    let mut plan = board.clone();
    if let Some(bytes) = options.plan_bytes {
        plan.memory.bytes_per_cycle = bytes;
    }
    let build = Build::run(graph, &plan, options)?;
    let lowered = build.allocate(options.keep);
    if lowered.steps.is_empty() {
        return Err(CompileError::Network {
            layer: graph.name.clone(),
            message: "there is nothing between its inputs and outputs for the machine to run"
                .into(),
        });
    }
    let shared = lowered
        .layers
        .iter()
        .any(|l| l.mode == cnna_machine::program::Mode::Vector);
    let batch_wanted = match shared {
        true => board.accelerator.vector_images().min(options.batch.max(1)),
        false => 1,
    };
    let streams = streams(&lowered, batch_wanted, board)?;
    let counts: Vec<usize> = streams.iter().map(|s| s.entries.len()).collect();
    let images = streams.last().map_or(1, |s| s.images);
    let map = lowered.map(&counts, images);
    let meta = ProgramMeta {
        name: graph.name.clone(),
        window_bytes: map.bytes,
        image_pitch: lowered.tensors,
        streams: streams
            .iter()
            .zip(&map.streams)
            .map(|(s, &commands_offset)| Stream {
                images: s.images,
                commands_offset,
                commands: s.entries.len(),
                breaks: s.breaks.clone(),
                estimated_cycles: cost::cycles(&s.entries, board),
            })
            .collect(),
        inputs: lowered.inputs,
        outputs: lowered.outputs,
        layers: lowered.layers,
        host: lowered.host,
        metadata: Default::default(),
        board: board.clone(),
    };
    let streams: Vec<Vec<Entry>> = streams.into_iter().map(|s| s.entries).collect();
    let (meta, image) = encode::program(meta, &streams, lowered.placer.blocks, &map)?;
    Ok(CompiledProgram {
        meta,
        image,
        batch_wanted,
    })
}

/// A stream in the making.
struct Draft {
    images: usize,
    entries: Vec<Entry>,
    /// Commands before each pause.
    breaks: Vec<usize>,
}

/// The stream for one image, and one for the most images, at most `wanted`, that the window has room for.
fn streams(lowered: &Lowered, wanted: usize, board: &Board) -> Result<Vec<Draft>, CompileError> {
    let draft = |images: usize| -> Result<Draft, CompileError> {
        let (entries, breaks) = lowered.stream(images)?;
        Ok(Draft {
            images,
            entries,
            breaks,
        })
    };
    let mut all = vec![draft(1)?];
    let room = board.platform.dma_bytes.min(u32::MAX.into());
    for images in (2..=wanted).rev() {
        let stream = draft(images)?;
        let map = lowered.map(&[all[0].entries.len(), stream.entries.len()], images);
        if map.bytes as u64 <= room {
            all.push(stream);
            break;
        }
    }
    Ok(all)
}
