//! Runs a program on any engine through its registers, and compares what two engines did.

use cnna_spec::engine::Engine;
use cnna_spec::program::ProgramMeta;
use cnna_spec::regs::{self, RECORD_BYTES};

/// What an engine made of a program and an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Each layer's stored words, [channel][row][column].
    pub layers: Vec<Vec<i16>>,
    /// Each layer's mark, as `regs::COUNTERS`.
    pub records: Vec<[u32; 8]>,
    /// The counters at the end.
    pub counters: Vec<u32>,
    /// `STATUS` at the end.
    pub status: u32,
}

/// Loads the window, starts the engine and waits at most `limit` cycles.
pub fn run(
    engine: &mut dyn Engine,
    meta: &ProgramMeta,
    image: &[u8],
    input: &[i16],
    limit: u64,
) -> Result<Outcome, String> {
    let mut window = window(meta, image, input);
    let sequence = start(engine, meta);
    if engine
        .advance(&mut window, limit)
        .map_err(|e| e.to_string())?
    {
        return Err(format!("still busy after {limit} cycles"));
    }
    if engine.read(regs::DONE) != sequence {
        return Err("idle, but not done".into());
    }
    Ok(outcome(engine, meta, &window))
}

/// The memory window before a run.
pub fn window(meta: &ProgramMeta, image: &[u8], input: &[i16]) -> Vec<u8> {
    // What nobody writes must not matter.
    let mut window = vec![0x5a; meta.window_bytes];
    window[..image.len()].copy_from_slice(image);
    meta.input
        .layout
        .pack(input, &mut window[meta.input.offset..]);
    window
}

/// Gives the engine the program's place and starts it; returns the run's sequence number.
pub fn start(engine: &mut dyn Engine, meta: &ProgramMeta) -> u32 {
    for (reg, value) in [
        (regs::MEM_BASE_LO, 0x4000_0000),
        (regs::MEM_BASE_HI, 0x8),
        (regs::MEM_SIZE, meta.window_bytes as u32),
        (regs::PROG_OFFSET, meta.commands_offset as u32),
        (regs::PROG_COUNT, meta.commands as u32),
    ] {
        engine.write(reg, value);
    }
    let sequence = engine.read(regs::DONE).wrapping_add(1);
    engine.write(regs::START, sequence);
    sequence
}

/// What a finished run left.
pub fn outcome(engine: &mut dyn Engine, meta: &ProgramMeta, window: &[u8]) -> Outcome {
    let record = |at: usize| {
        let mut r = [0; 8];
        for (v, b) in r.iter_mut().zip(window[at..at + RECORD_BYTES].chunks(4)) {
            *v = u32::from_le_bytes(b.try_into().expect("four bytes"));
        }
        r
    };
    Outcome {
        layers: meta
            .layers
            .iter()
            .map(|l| l.output.layout.unpack(&window[l.output.offset..]))
            .collect(),
        records: meta.layers.iter().map(|l| record(l.record)).collect(),
        counters: regs::COUNTERS.iter().map(|r| engine.read(*r)).collect(),
        status: engine.read(regs::STATUS),
    }
}
