//! Runs a stream of a program on any engine through its registers, and compares what two engines did.

use cnna_machine::counters::{self, Counters};
use cnna_machine::engine::Engine;
use cnna_machine::program::{LayerInfo, ProgramMeta, Stream};
use cnna_machine::regs;
use cnna_net::run::Run;
use cnna_net::{Graph, Shape};

/// What an engine made of a stream and its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Each image's stored words of each layer, [image][layer], [channel][row][column].
    pub images: Vec<Vec<Vec<i16>>>,
    /// Each layer's mark.
    pub records: Vec<Counters>,
    /// The counters at the end.
    pub counters: Counters,
    /// `STATUS` at the end.
    pub status: u32,
}

/// One image of every input of a network, [channel][row][column].
pub type Inputs = Vec<Vec<i16>>;

/// A window with a program's image and inputs in it, and `filler` in every other byte.
pub fn window(meta: &ProgramMeta, image: &[u8], inputs: &[Inputs], filler: u8) -> Vec<u8> {
    let mut window = vec![filler; meta.window_bytes];
    window[..image.len()].copy_from_slice(image);
    for (n, inputs) in inputs.iter().enumerate() {
        for (port, input) in meta.inputs.iter().zip(inputs) {
            let at = meta.offset(&port.tensor, n);
            port.tensor.layout.pack(input, &mut window[at..]);
        }
    }
    window
}

/// The words of every layer of every image whose memory holds them to the end, [image][layer]. Where another tensor has taken the
/// memory, what lies between its columns may be older than the run: nobody reads it.
pub fn layers(meta: &ProgramMeta, window: &[u8], images: usize) -> Vec<Vec<Vec<i16>>> {
    let outputs = || meta.layers.iter().flat_map(LayerInfo::lasting).map(|l| l.1);
    let image = |n| {
        let tensor = |t| meta.offset(t, n);
        outputs()
            .map(|t| t.layout.unpack(&window[tensor(t)..]))
            .collect()
    };
    (0..images).map(image).collect()
}

/// Loads the window, starts the engine on the stream for as many images as `inputs`, and waits at most `limit` cycles.
pub fn run(
    engine: &mut dyn Engine,
    meta: &ProgramMeta,
    image: &[u8],
    inputs: &[Inputs],
    limit: u64,
) -> Result<Outcome, String> {
    let mut window = window(meta, image, inputs, 0x5a);
    run_in(engine, meta, &mut window, inputs.len(), limit)
}

/// The same in a window that is loaded, so that its contents can be looked at afterwards.
pub fn run_in(
    engine: &mut dyn Engine,
    meta: &ProgramMeta,
    window: &mut [u8],
    images: usize,
    limit: u64,
) -> Result<Outcome, String> {
    let sequence = start(engine, meta, images).ok_or("no such stream")?;
    if engine.advance(window, limit).map_err(|e| e.to_string())? {
        return Err(format!("still busy after {limit} cycles"));
    }
    if engine.read(regs::DONE) != sequence {
        return Err("idle, but not done".into());
    }
    Ok(outcome(engine, meta, window, images))
}

/// Gives the engine the stream for so many images and starts it; returns the run's sequence number.
pub fn start(engine: &mut dyn Engine, meta: &ProgramMeta, images: usize) -> Option<u32> {
    let stream: &Stream = meta.stream(images)?;
    for (reg, value) in [
        (regs::MEM_BASE_LO, 0x4000_0000),
        (regs::MEM_BASE_HI, 0x8),
        (regs::MEM_SIZE, meta.window_bytes as u32),
        (regs::PROG_OFFSET, stream.commands_offset as u32),
        (regs::PROG_COUNT, stream.commands as u32),
    ] {
        engine.write(reg, value);
    }
    let sequence = engine.read(regs::DONE).wrapping_add(1);
    engine.write(regs::START, sequence);
    Some(sequence)
}

/// What a finished run left.
pub fn outcome(
    engine: &mut dyn Engine,
    meta: &ProgramMeta,
    window: &[u8],
    images: usize,
) -> Outcome {
    let record = |at: usize| {
        let bytes = window[at..].first_chunk().expect("a record in the window");
        Counters::from_bytes(bytes)
    };
    Outcome {
        images: layers(meta, window, images),
        records: meta.layers.iter().map(|l| record(l.record)).collect(),
        counters: Counters::from_record(counters::REGISTERS.map(|r| engine.read(r))),
        status: engine.read(regs::STATUS),
    }
}

/// The first difference from the reference of a result that lasts, or of an output.
pub fn compare(
    graph: &Graph,
    meta: &ProgramMeta,
    window: &[u8],
    expected: &[Run],
) -> Result<(), String> {
    for (n, expected) in expected.iter().enumerate() {
        let lasting = meta.layers.iter().flat_map(LayerInfo::lasting);
        let lasting = lasting.map(|(node, info)| {
            let node = &graph.nodes[node];
            (&node.name, info, node.output)
        });
        let ports = meta.outputs.iter().zip(&graph.outputs);
        let outputs = ports.map(|(info, port)| (&info.name, &info.tensor, port.tensor));
        for (name, info, tensor) in lasting.chain(outputs) {
            let got = info.layout.unpack(&window[meta.offset(info, n)..]);
            let shape = graph.tensors[tensor].shape;
            if let Some(d) = first_difference(&got, &expected.tensors[tensor].values, shape) {
                return Err(format!("{name}, image {n}, {d}"));
            }
        }
    }
    Ok(())
}

fn first_difference(got: &[i16], want: &[i16], s: Shape) -> Option<String> {
    assert_eq!(got.len(), want.len());
    let i = (0..got.len()).find(|&i| got[i] != want[i])?;
    let wrong = (0..got.len()).filter(|&i| got[i] != want[i]).count();
    let (c, y, x) = (i / (s.h * s.w), i / s.w % s.h, i % s.w);
    Some(format!(
        "channel {c}, row {y}, column {x}: {} instead of {}; {wrong} of {} differ",
        got[i],
        want[i],
        got.len()
    ))
}
