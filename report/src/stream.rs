//! A command stream of a program, counted: commands of each queue and layer, bytes that weights cost.

use crate::ReportError;
use cnna_machine::isa::{
    Body, COMMAND_BYTES, Command, Queue, Weight, store_kind, target, weight_kind,
};
use cnna_machine::program::{Program, Stream};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the commands of one layer ask of the memory, by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerTraffic {
    /// Commands.
    pub commands: usize,
    /// Bytes of weights and biases read, as often as they are read.
    pub weight_bytes: u64,
    /// Bytes of activations read, residuals among them.
    pub read_bytes: u64,
    /// Of these, bytes of residuals.
    pub residual_bytes: u64,
    /// Bytes of results written; marks' records are none.
    pub write_bytes: u64,
    /// Bytes of results that stay on chip.
    pub local_bytes: u64,
    /// Where the weights lie in the window.
    pub weights: Option<Range<usize>>,
    /// Where the biases lie in the window.
    pub biases: Option<Range<usize>>,
}

/// All commands of a stream, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands by the queue's name.
    pub by_queue: BTreeMap<&'static str, usize>,
    /// In order of execution.
    pub layers: Vec<LayerTraffic>,
}

/// Bytes of the window that hold a stream's commands. Errors: not in the image.
pub fn commands(program: &Program<'_>, stream: &Stream) -> Result<Range<usize>, ReportError> {
    let bytes = stream.commands.checked_mul(COMMAND_BYTES);
    let end = bytes.and_then(|b| b.checked_add(stream.commands_offset));
    match end {
        Some(end) if end <= program.image.len() => Ok(stream.commands_offset..end),
        _ => Err(ReportError::Stream),
    }
}

/// Counts a stream's commands. Errors: it leaves the image.
pub fn traffic(program: &Program<'_>, stream: &Stream) -> Result<Traffic, ReportError> {
    let meta = &program.meta;
    let mut t = Traffic {
        by_queue: Queue::ALL.map(|q| (q.name(), 0)).into(),
        layers: vec![LayerTraffic::default(); meta.layers.len()],
    };
    let a = meta.accelerator();
    for bytes in program.image[commands(program, stream)?].chunks_exact(COMMAND_BYTES) {
        let command = Command::from_bytes(bytes);
        *t.by_queue.entry(command.queue().name()).or_default() += 1;
        let Some(layer) = t.layers.get_mut(usize::from(command.tag)) else {
            continue;
        };
        layer.commands += 1;
        let bytes = |beats: i32, count: i32| {
            (beats as u32 as u64) * (count as u32 as u64) * a.beat_bytes() as u64
        };
        match command.body {
            Body::Weight(w) => {
                let constant = (w.ddr as u32 as usize) < program.image.len();
                layer.weight(command.kind, &w, constant, a.weight_ports, a.beat_bytes());
            }
            Body::Load(l) if l.local == 0 => {
                let read = bytes(l.seg_beats, l.seg_count) << l.both;
                layer.read_bytes += read;
                if l.target == target::RESIDUAL {
                    layer.residual_bytes += read;
                }
            }
            Body::Store(s) if command.kind == store_kind::STORE => {
                let left = bytes(s.seg_beats, s.seg_count) * s.rows as u64;
                match s.local {
                    0 => layer.write_bytes += left,
                    _ => layer.local_bytes += left << s.both,
                }
            }
            _ => {}
        }
    }
    Ok(t)
}

impl LayerTraffic {
    /// All bytes, commands included.
    pub fn ddr_bytes(&self) -> u64 {
        let commands = (self.commands * COMMAND_BYTES) as u64;
        self.read_bytes + self.write_bytes + self.weight_bytes + commands
    }

    /// Weights that a layer before makes, not constants, have no part in the map.
    fn weight(&mut self, kind: i32, w: &Weight, constant: bool, ports: usize, beat: usize) {
        let stride = w.port_stride as u32 as usize;
        let part = match kind {
            weight_kind::BIAS => &mut self.biases,
            _ => &mut self.weights,
        };
        for p in 0..ports {
            let high = p < w.split as usize;
            let beats = if high { w.beats_high } else { w.beats_low } as u32 as usize;
            if beats > 0 {
                let from = w.ddr as u32 as usize + p * stride;
                let bytes = beats * beat;
                self.weight_bytes += bytes as u64;
                if !constant {
                    continue;
                }
                let old = part.clone().unwrap_or(from..from);
                *part = Some(old.start.min(from)..old.end.max(from + bytes));
            }
        }
    }
}
