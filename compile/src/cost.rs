//! The analytic cost of a stream: queues run in order, commands wait for each other, transfers take bytes over bandwidth.
//!
//! A plan, not a simulation: memory ports are shared by proportion, and a burst's latency counts once a wait.

use crate::stream::Entry;
use cnna_spec::Board;
use cnna_spec::config::{BEAT_WORDS, POSITIONS};
use cnna_spec::isa::{Body, Compute, Queue, Store, Weight, mode, store_kind};
use cnna_spec::timing::{DRAIN_TO_WRITE, MIN_PASS, SLICES, STEP_TO_DRAIN};

/// Cycles between two commands of one queue.
const COMMAND_GAP: u64 = 4;

/// Estimated cycles of a whole stream.
pub fn cycles(stream: &[Entry], board: &Board) -> u64 {
    let beat = board.accelerator.beat_bytes() as u64;
    let port = u64::from(board.memory.port_bytes_per_cycle).min(beat);
    let latency = u64::from(board.memory.latency);
    let mut free = [0u64; 4];
    let mut finished = vec![0u64; stream.len()];
    let mut bytes = 0;
    for (i, e) in stream.iter().enumerate() {
        let queue = e.command.queue();
        let ready = e
            .after
            .iter()
            .flatten()
            .map(|&d| finished[d])
            .max()
            .unwrap_or(0);
        let start = ready.max(free[queue as usize]);
        let waited = ready > free[queue as usize];
        let (beats, ports, tail) = match &e.command.body {
            Body::Compute(c) => {
                let end = start + compute(c, board) + COMMAND_GAP;
                free[Queue::Compute as usize] = end;
                finished[i] = end + STEP_TO_DRAIN + DRAIN_TO_WRITE + c.lanes as u64;
                continue;
            }
            Body::Load(l) => ((l.seg_beats as u64) * (l.seg_count as u64), 1, latency),
            Body::Weight(w) => (weight_beats(w, board), weight_ports(w, board), latency),
            Body::Store(s) => store(s, e.command.kind, latency),
        };
        // The ports' share of the whole memory's bandwidth bounds a transfer that has it to itself.
        let rate = (port * ports)
            .min(u64::from(board.memory.bytes_per_cycle))
            .max(1);
        let end = start + (beats * beat).div_ceil(rate) + COMMAND_GAP;
        bytes += beats * beat;
        free[queue as usize] = end;
        finished[i] = end + if waited { tail } else { tail / 2 };
    }
    let last = finished.iter().copied().max().unwrap_or(0);
    last.max(bytes / u64::from(board.memory.bytes_per_cycle).max(1))
}

/// Cycles of a compute command's passes.
fn compute(c: &Compute, board: &Board) -> u64 {
    let steps = c.kx_count as u64 * c.ky_count as u64 * c.c_count as u64;
    let lanes = c.lanes as u64;
    let tiles = c.tiles as u64;
    match c.mode {
        mode::POOL => tiles * lanes * (steps / c.c_count.max(1) as u64).max(MIN_PASS),
        mode::WINOGRAD => tiles * steps.max(lanes).max(MIN_PASS),
        mode::VECTOR => steps.max(lanes * (POSITIONS / BEAT_WORDS) as u64),
        _ if c.last == 0 => steps,
        _ => tiles * steps.max(lanes * SLICES).max(MIN_PASS),
    }
    .max(u64::from(board.accelerator.tiles > 0))
}

fn weight_beats(w: &Weight, board: &Board) -> u64 {
    let ports = board.accelerator.weight_ports as u64;
    let high = (w.split as u64).min(ports);
    w.beats_high as u64 * high + w.beats_low as u64 * (ports - high)
}

fn weight_ports(w: &Weight, board: &Board) -> u64 {
    let ports = board.accelerator.weight_ports as u64;
    let high = (w.split as u64).min(ports);
    let low = if w.beats_low > 0 { ports - high } else { 0 };
    (high + low).max(1)
}

fn store(s: &Store, kind: i32, latency: u64) -> (u64, u64, u64) {
    match kind {
        store_kind::STORE => (s.seg_beats as u64 * s.seg_count as u64, 1, 0),
        store_kind::MARK => (2, 1, 2 * latency),
        _ => (0, 1, 0),
    }
}
