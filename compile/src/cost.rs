//! The analytic cost of a stream: one pass over its commands, each with its earliest start and end.
//!
//! Counted: the order in which commands are dealt and the queues' depth, tokens, the array's passes and their draining,
//! latency, and each transfer's share of the memory's bytes. Not counted: arbitration, burst borders, jitter. A plan, not a
//! simulation: the cycle simulator has the last word.

use crate::stream::Entry;
use cnna_machine::Board;
use cnna_machine::config::BURST_BEATS;
use cnna_machine::isa::{Body, COMMAND_BYTES, Compute, Queue, Weight, store_kind, weight_kind};
use cnna_machine::timing;

/// When a command's effects are there, in cycles.
#[derive(Clone, Copy, Default)]
struct Done {
    /// Compute: operands are free. Others: complete.
    operands: u64,
    /// Compute: results are in the output buffer. Others: complete.
    results: u64,
}

struct Clock<'a> {
    board: &'a Board,
    /// Cycle in which the latest command was dealt.
    dealt: u64,
    /// Start of each queue's commands.
    starts: [Vec<u64>; 4],
    /// End of each queue's latest transfer, or of the array's latest step.
    ends: [u64; 4],
    /// First cycle in which a pass may end.
    pace: u64,
    /// Bytes that the memory can still move in each stretch of [`STRETCH`] cycles.
    memory: Vec<u32>,
}

/// Cycles in which transfers share the memory's bandwidth in any proportion.
const STRETCH: u64 = 64;

/// Estimated cycles of a whole stream.
pub fn cycles(stream: &[Entry], board: &Board) -> u64 {
    let mut clock = Clock {
        board,
        dealt: u64::from(board.memory.latency),
        starts: Default::default(),
        ends: [0; 4],
        pace: 0,
        memory: Vec::new(),
    };
    let mut done: Vec<Done> = Vec::with_capacity(stream.len());
    for e in stream {
        let queue = e.command.queue();
        let tokens = Queue::ALL.iter().filter_map(|&from| {
            let d = done[e.after[from as usize]?];
            Some(if queue == Queue::Store {
                d.results
            } else {
                d.operands
            })
        });
        let ready = tokens.max().unwrap_or(0);
        let start = clock.deal(queue).max(ready);
        done.push(clock.run(e, start));
    }
    done.iter().map(|d| d.results).max().unwrap_or(0)
}

impl Clock<'_> {
    /// The cycle in which the next command reaches its queue: there is room, and the stream has come so far.
    fn deal(&mut self, queue: Queue) -> u64 {
        let a = &self.board.accelerator;
        let starts = &self.starts[queue as usize];
        let room = starts
            .len()
            .checked_sub(a.queue_depth)
            .map_or(0, |i| starts[i]);
        let fetch = (COMMAND_BYTES / a.beat_bytes()) as u64;
        self.dealt = (self.dealt + fetch).max(room);
        self.dealt
    }

    fn run(&mut self, e: &Entry, ready: u64) -> Done {
        let queue = e.command.queue() as usize;
        let latency = u64::from(self.board.memory.latency);
        let mut beat_cycles = 1;
        // Beats of a burst, of which only so many are under way.
        let mut burst = BURST_BEATS as u64;
        let (beats, ports, tail) = match &e.command.body {
            Body::Compute(c) => return self.compute(c, ready),
            Body::Load(l) => {
                beat_cycles = timing::load_phases(l.stride, self.board.accelerator.tiles);
                burst = burst.min(l.seg_beats as u64);
                (l.seg_beats as u64 * l.seg_count as u64, 1, 0)
            }
            Body::Weight(w) => {
                let (beats, ports) = weight_beats(w, self.board);
                // A lane row a cycle.
                if e.command.kind == weight_kind::NARROW {
                    beat_cycles = self.board.accelerator.word.bytes() as u64;
                }
                (beats, ports, 0)
            }
            Body::Store(s) => match e.command.kind {
                store_kind::STORE => {
                    let beats = s.seg_beats as u64 * s.seg_count as u64;
                    burst = burst.min(s.seg_beats as u64);
                    (beats * s.rows as u64, 1, 0)
                }
                store_kind::MARK => (2, 1, 2 * latency),
                store_kind::FENCE => (0, 1, latency),
                _ => (0, 1, 0),
            },
        };
        let beat = self.board.accelerator.beat_bytes() as u64;
        let m = &self.board.memory;
        let port = u64::from(m.port_bytes_per_cycle).min(beat);
        let under_way = self.board.accelerator.outstanding.min(m.outstanding) as u64;
        let in_bursts = under_way * burst * beat / (latency + burst);
        let rate = (port * ports)
            .min(beat * ports / beat_cycles)
            .min(in_bursts * ports)
            .max(1);
        // Requests run ahead of the data by the latency.
        let before = self.ends[queue];
        let start = ready.max(before.saturating_sub(latency));
        let end = self.transfer((start + latency).max(before), beats * beat, rate) + tail;
        self.starts[queue].push(start);
        self.ends[queue] = end;
        Done {
            operands: end,
            results: end,
        }
    }

    /// The end of a transfer whose data may come from `from` on, at most `rate` bytes a cycle.
    fn transfer(&mut self, from: u64, bytes: u64, rate: u64) -> u64 {
        let (mut now, mut left) = (from, bytes);
        while left > 0 {
            let stretch = (now / STRETCH) as usize;
            let end = (stretch as u64 + 1) * STRETCH;
            if self.memory.len() <= stretch {
                let full = self.board.memory.bytes_per_cycle * STRETCH as u32;
                self.memory.resize(stretch + 1, full);
            }
            let part = left
                .min((end - now) * rate)
                .min(u64::from(self.memory[stretch]));
            self.memory[stretch] -= part as u32;
            left -= part;
            now = if left > 0 {
                end
            } else {
                now + part.div_ceil(rate)
            };
        }
        now
    }

    fn compute(&mut self, c: &Compute, ready: u64) -> Done {
        let queue = Queue::Compute as usize;
        let start = ready.max(self.ends[queue]);
        let s = timing::schedule(c, self.board.accelerator.lanes, start, self.pace);
        self.starts[queue].push(start);
        (self.ends[queue], self.pace) = (s.last_step + 1, s.pace);
        Done {
            operands: s.released,
            results: s.stored.unwrap_or(s.released),
        }
    }
}

/// Beats on all ports, and how many ports carry them.
fn weight_beats(w: &Weight, board: &Board) -> (u64, u64) {
    let ports = board.accelerator.weight_ports as u64;
    let high = (w.split as u64).min(ports);
    let low = ports - high;
    let (in_high, in_low) = (w.beats_high as u64 * high, w.beats_low as u64 * low);
    let used = high * u64::from(in_high > 0) + low * u64::from(in_low > 0);
    (in_high + in_low, used.max(1))
}
