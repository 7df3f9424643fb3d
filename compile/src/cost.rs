//! The analytic cost of a stream: one pass over its commands, each with its earliest start and end.
//!
//! Counted: the order in which commands are dealt and the queues' depth, tokens, the array's passes and their draining,
//! latency, and each transfer's share of the memory's bytes. Not counted: arbitration, burst borders, jitter. A plan, not a
//! simulation: the cycle simulator has the last word.

use crate::jobs::Jobs;
use crate::stream::Entry;
use cnna_machine::config::BURST_BEATS;
use cnna_machine::isa::{
    Body, COMMAND_BYTES, Command, Compute, Queue, Weight, store_kind, weight_kind,
};
use cnna_machine::timing;
use cnna_machine::{Accelerator, Board};

/// When a command's effects are there, in cycles.
#[derive(Clone, Copy, Default)]
struct Done {
    /// Compute: operands are free. Others: complete.
    operands: u64,
    /// Compute: results are in the output buffer. Others: complete.
    results: u64,
}

impl Done {
    fn both(end: u64) -> Self {
        Done {
            operands: end,
            results: end,
        }
    }
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

/// Cycles from a local store's start to its first beat.
const TO_LOCAL: u64 = 4;

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
    // The latest local store: its place, and when its next beat is there.
    let mut local = (0, 0);
    for (i, e) in stream.iter().enumerate() {
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
        match &e.command.body {
            Body::Store(_) if e.command.body.is_local() => {
                let start = start.max(clock.ends[Queue::Store as usize]);
                clock.starts[Queue::Store as usize].push(start);
                local = (i, start + TO_LOCAL);
                done.push(Done::default());
            }
            Body::Load(l) if e.command.body.is_local() => {
                let start = start.max(clock.ends[Queue::Load as usize]).max(local.1);
                clock.starts[Queue::Load as usize].push(start);
                let phases = timing::load_phases(l.stride, board.accelerator.tiles);
                let end = start + l.seg_beats as u64 * l.seg_count as u64 * phases;
                clock.ends[Queue::Load as usize] = end;
                clock.ends[Queue::Store as usize] = end;
                local.1 = end;
                done.push(Done::both(end));
                done[local.0] = Done::both(end);
            }
            _ => done.push(clock.run(e, start)),
        }
    }
    done.iter().map(|d| d.results).max().unwrap_or(0)
}

/// Cycles below which no order of these jobs' commands comes: the array without a wait, each queue's transfers without one,
/// all bytes at the memory's speed.
pub fn at_least(work: &Jobs, board: &Board) -> u64 {
    let (mut queues, mut bytes) = ([0; 4], 0);
    let mut moves = |queue: Queue, kind: i32, body: &Body| {
        let t = transfer(kind, body, board);
        queues[queue as usize] += t.bytes.div_ceil(t.rate);
        bytes += if body.is_local() { 0 } else { t.bytes };
    };
    let loads = work.loads.iter().map(|l| (Queue::Load, l));
    for (queue, items) in loads.chain([(Queue::Weight, &work.weights)]) {
        items.iter().for_each(|i| moves(queue, i.kind, &i.body));
    }
    for job in &work.jobs {
        for store in &job.stores {
            moves(Queue::Store, store_kind::STORE, &Body::Store(*store));
        }
    }
    let stretch = u64::from(board.memory.bytes_per_cycle) * STRETCH;
    let memory = bytes / stretch * STRETCH;
    let array = array(work, &board.accelerator);
    queues.into_iter().fold(array.max(memory), u64::max)
}

/// Cycles of the array for these jobs' commands when it waits for nothing.
pub fn array(work: &Jobs, a: &Accelerator) -> u64 {
    let (mut array, mut pace, mut results) = (0, 0, 0);
    for job in &work.jobs {
        if let Body::Compute(c) = &job.body {
            let s = timing::schedule(c, a.lanes, array, pace);
            (array, pace) = (s.last_step + 1, s.pace);
            results = results.max(s.stored.unwrap_or(s.released));
        }
    }
    results
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
        let Command { kind, body, .. } = &e.command;
        match body {
            Body::Compute(c) => self.compute(c, ready),
            _ => self.move_bytes(e.command.queue(), &transfer(*kind, body, self.board), ready),
        }
    }

    fn move_bytes(&mut self, queue: Queue, t: &Transfer, ready: u64) -> Done {
        let queue = queue as usize;
        let latency = u64::from(self.board.memory.latency);
        // Requests run ahead of the data by the latency.
        let before = self.ends[queue];
        let start = ready.max(before.saturating_sub(latency));
        let end = self.transfer((start + latency).max(before), t.bytes, t.rate) + t.tail;
        self.starts[queue].push(start);
        self.ends[queue] = end;
        Done::both(end)
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

/// What a load, weight or store command moves.
struct Transfer {
    bytes: u64,
    /// Bytes a cycle at most.
    rate: u64,
    /// Cycles from its last byte to its end.
    tail: u64,
}

fn transfer(kind: i32, body: &Body, board: &Board) -> Transfer {
    let latency = u64::from(board.memory.latency);
    let mut beat_cycles = 1;
    // Beats of a burst, of which only so many are under way.
    let mut burst = BURST_BEATS as u64;
    let (beats, ports, tail) = match body {
        Body::Compute(_) => (0, 1, 0),
        Body::Load(l) => {
            beat_cycles = timing::load_phases(l.stride, board.accelerator.tiles);
            burst = burst.min(l.seg_beats as u64);
            (l.seg_beats as u64 * l.seg_count as u64, 1, 0)
        }
        Body::Weight(w) => {
            let (beats, ports) = weight_beats(w, board);
            // A lane row a cycle.
            if kind == weight_kind::NARROW {
                beat_cycles = board.accelerator.word.bytes() as u64;
            }
            (beats, ports, 0)
        }
        Body::Store(s) => match kind {
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
    let beat = board.accelerator.beat_bytes() as u64;
    let m = &board.memory;
    let port = u64::from(m.port_bytes_per_cycle).min(beat);
    let under_way = board.accelerator.outstanding.min(m.outstanding) as u64;
    let in_bursts = under_way * burst * beat / (latency + burst);
    let rate = (port * ports)
        .min(beat * ports / beat_cycles)
        .min(in_bursts * ports)
        .max(1);
    Transfer {
        bytes: beats * beat,
        rate,
        tail,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Linear;
    use crate::memory::Placer;
    use crate::mode::conv;
    use crate::stage::{Kind, Source, Stage, Taps};
    use crate::stream;
    use crate::weights::Form;
    use cnna_machine::layout::{Shape, TensorLayout};
    use cnna_machine::program::TensorInfo;
    use std::sync::Arc;

    /// Every tiling of 3x3 convolutions on two boards: where memory is the limit, and where the array is.
    #[test]
    fn no_stream_takes_less_than_the_bound_and_some_hardly_more() {
        let mut nearest = f64::INFINITY;
        let mut seen = 0;
        for (board, side, channels) in [
            ("ultra96", 28, 32),
            ("pynq-z2", 14, 96),
            ("ultra96", 7, 256),
        ] {
            let board = Board::load(board, &[]).unwrap();
            let a = &board.accelerator;
            let shape = Shape {
                c: channels,
                h: side,
                w: side,
            };
            let layout = TensorLayout::new(shape, a);
            let info = TensorInfo {
                offset: 0,
                layout,
                frac: 8,
            };
            let l = Arc::new(Linear {
                outputs: channels,
                groups: 1,
                inputs: channels,
                taps: [3, 3],
                weights: vec![1; channels * channels * 9].into(),
                bias: vec![0; channels].into(),
                ..Linear::default()
            });
            let taps = Taps {
                kernel: [3, 3],
                first: [-1, -1],
                ..Taps::single()
            };
            let source = Source {
                info: info.clone(),
                channels: 0..channels,
            };
            let s = Stage::new("conv", Kind::Linear(l.clone()), taps, vec![source], info);
            for form in [Form::Plain, Form::Kernel] {
                for t in conv::tilings(&s, &l, form, a) {
                    let mut weights = conv::place(&l, &t, &mut Placer::new(a));
                    let mut jobs = Jobs::new(a);
                    conv::schedule(&s, &l, &t, &mut weights, a, &mut jobs);
                    let least = at_least(&jobs, &board);
                    let all = cycles(&stream::build(&jobs, a).unwrap(), &board);
                    assert!(least <= all, "{t:?}: {least} > {all}");
                    nearest = nearest.min(all as f64 / least as f64);
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "{seen}");
        assert!(nearest < 1.2, "{nearest}");
    }
}
