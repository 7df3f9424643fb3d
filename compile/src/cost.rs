//! The analytic cost of a stream: one pass over its commands, each with its earliest start and end.
//!
//! Counted: the order in which commands are dealt and the queues' depth, tokens, the array's passes and their draining,
//! latency, and each transfer's share of the memory's bytes. Not counted: arbitration, burst borders, jitter. A plan, not a
//! simulation: the cycle simulator has the last word.

use crate::jobs::{ACTIVATIONS, Item, Job, Jobs, LISTS, RESIDUALS, Space};
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

/// A gain below one part in so many of the cycles is within the estimate's error.
pub const MARGIN: u64 = 32;

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

/// Cycles below which no order of these jobs' commands comes: the array waits for nothing but each job's loads and weights, each
/// queue's transfers for nothing, all bytes move at the memory's speed.
pub fn at_least(work: &Jobs, board: &Board) -> u64 {
    // Commands come after the memory's latency, the first bytes after another.
    let first = 2 * u64::from(board.memory.latency);
    let mut bytes = 0;
    let mut moves = |kind: i32, body: &Body| {
        let t = transfer(kind, body, board);
        bytes += if body.is_local() { 0 } else { t.bytes };
        t.bytes.div_ceil(t.rate)
    };
    // By when the first so many items of a list are there.
    let mut ends = |items: &[Item]| -> Vec<u64> {
        let mut end = 0;
        let each = items.iter().map(|i| {
            end += moves(i.kind, &i.body);
            end
        });
        [0].into_iter().chain(each).collect()
    };
    let loads = work.loads.each_ref().map(|list| ends(list));
    let weights = ends(&work.weights);
    let stores = work.jobs.iter().flat_map(|job| &job.stores);
    let stores: u64 = stores
        .map(|s| moves(store_kind::STORE, &Body::Store(*s)))
        .sum();
    let (mut loaded, mut weighed) = ([0; LISTS], 0);
    let array = array(work, &board.accelerator, |job| {
        for (loaded, l) in loaded.iter_mut().zip(job.loads.iter()) {
            *loaded = l.end.max(*loaded);
        }
        let used = job.weights.iter().flatten();
        weighed = used.fold(weighed, |w, &item| w.max(item + 1));
        // What local stores bring passes them by.
        let there = [ACTIVATIONS, RESIDUALS].map(|k| loads[k][loaded[k]]);
        first + there.iter().sum::<u64>().max(weights[weighed])
    });
    let last = |ends: &[u64]| ends[ends.len() - 1];
    [
        loads.iter().map(|l| last(l)).sum(),
        last(&weights),
        stores,
        memory_cycles(bytes, board),
    ]
    .into_iter()
    .fold(array, u64::max)
}

/// Cycles of the array for these jobs' commands when each waits for nothing but the cycle in which what it reads is there.
pub fn array(work: &Jobs, a: &Accelerator, mut there: impl FnMut(&Job) -> u64) -> u64 {
    let (mut array, mut pace, mut results) = (0, 0, 0);
    for job in &work.jobs {
        if let Body::Compute(c) = &job.body {
            let s = timing::schedule(c, a.lanes, there(job).max(array), pace);
            (array, pace) = (s.last_step + 1, s.pace);
            results = results.max(s.stored.unwrap_or(s.released));
        }
    }
    results
}

/// What one kind of a stage's transfers takes.
#[derive(Clone, Copy, Debug, Default)]
struct Moves {
    /// Of its queue, without a wait.
    cycles: u64,
    bytes: u64,
    commands: u64,
}

/// What a stage's commands take in a stream with others between them: sums of several stages' are a bound for all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// Of the array, without a wait.
    array: u64,
    /// Of the results' way out of it.
    drains: u64,
    computes: u64,
    activations: Moves,
    residuals: Moves,
    /// Without biases and activation sets: how many of these come together depends on the others.
    weights: Moves,
    stores: Moves,
}

impl Share {
    /// Of the jobs of a convolution, which are the same in turns.
    pub fn of_conv(work: &Jobs, board: &Board) -> Self {
        let add = |to: &mut Moves, kind: i32, body: &Body| {
            let t = transfer(kind, body, board);
            to.cycles += t.bytes.div_ceil(t.rate);
            to.bytes += t.bytes;
            to.commands += 1;
        };
        let mut s = Share::default();
        let [activations, residuals, _] = &work.loads;
        let each = |items: &[Item], to: &mut Moves| {
            items.iter().for_each(|i| add(to, i.kind, &i.body));
        };
        each(activations, &mut s.activations);
        each(residuals, &mut s.residuals);
        let weights = work.weights.iter();
        weights
            .filter(|i| i.rows.0 == Space::Weights)
            .for_each(|i| add(&mut s.weights, i.kind, &i.body));
        for job in &work.jobs {
            for store in &job.stores {
                add(&mut s.stores, store_kind::STORE, &Body::Store(*store));
            }
            if let Body::Compute(c) = &job.body {
                let lanes = board.accelerator.lanes;
                s.computes += 1;
                s.array += timing::schedule(c, lanes, 0, 0).last_step + 1;
                // Late enough that only the drain counts.
                let late = timing::schedule(c, lanes, 0, u64::from(u32::MAX));
                s.drains += late.pace - u64::from(u32::MAX);
            }
        }
        s
    }

    /// Of the jobs of a maximum, whose commands may be others in turns: the array's steps alone.
    pub fn of_pool(work: &Jobs, board: &Board) -> Self {
        let steps = work.jobs.iter().map(|job| match &job.body {
            Body::Compute(c) => timing::schedule(c, board.accelerator.lanes, 0, 0).steps,
            _ => 0,
        });
        Share {
            array: steps.sum(),
            ..Share::default()
        }
    }

    /// Where its results do not go to memory.
    pub fn with_local_results(mut self) -> Self {
        (self.stores.cycles, self.stores.bytes) = (0, 0);
        self
    }

    /// Where what it reads does not come from memory.
    pub fn with_local_rows(mut self) -> Self {
        self.activations = Moves::default();
        self
    }

    /// Cycles below which no stream comes that holds the commands of all these.
    pub fn at_least(all: impl Iterator<Item = Self>, board: &Board) -> u64 {
        let mut sum = Share::default();
        for s in all {
            sum.array += s.array;
            sum.drains += s.drains;
            sum.computes += s.computes;
            let [a, r, w, o] = [s.activations, s.residuals, s.weights, s.stores];
            for (to, m) in [
                (&mut sum.activations, a),
                (&mut sum.residuals, r),
                (&mut sum.weights, w),
                (&mut sum.stores, o),
            ] {
                to.cycles += m.cycles;
                to.bytes += m.bytes;
                to.commands += m.commands;
            }
        }
        let moves = [sum.activations, sum.residuals, sum.weights, sum.stores];
        let bytes: u64 = moves.iter().map(|m| m.bytes).sum();
        let commands = sum.computes + moves.iter().map(|m| m.commands).sum::<u64>();
        let queues = [
            sum.activations.cycles + sum.residuals.cycles,
            sum.weights.cycles,
            sum.stores.cycles,
        ];
        queues
            .into_iter()
            .chain([sum.array, sum.drains])
            .chain([memory_cycles(bytes, board), commands * fetch(board)])
            .fold(0, u64::max)
    }
}

/// Cycles in which the memory moves so many bytes, rounded down.
fn memory_cycles(bytes: u64, board: &Board) -> u64 {
    bytes / (u64::from(board.memory.bytes_per_cycle) * STRETCH) * STRETCH
}

/// Cycles of a command on its way into the stream.
fn fetch(board: &Board) -> u64 {
    (COMMAND_BYTES / board.accelerator.beat_bytes()) as u64
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
        self.dealt = (self.dealt + fetch(self.board)).max(room);
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
    // Where two ports could take all of the memory, the weights' ports have their turns too.
    let most_of_memory = match body {
        Body::Load(l) if l.both != 0 => (3, 4),
        _ => (1, 1),
    };
    let (beats, ports, tail) = match body {
        Body::Compute(_) => (0, 1, 0),
        Body::Load(l) => {
            beat_cycles = timing::load_phases(l.stride, board.accelerator.tiles);
            burst = burst.min(l.seg_beats as u64);
            let rows = 1 + l.both as u64;
            (rows * l.seg_beats as u64 * l.seg_count as u64, rows, 0)
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
        .min(u64::from(m.bytes_per_cycle) * most_of_memory.0 / most_of_memory.1)
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
    use crate::mode::{choice, conv};
    use crate::stage::{Kind, Source, Stage, Taps};
    use crate::stream;
    use crate::weights::Form;
    use cnna_machine::layout::{Shape, TensorLayout};
    use cnna_machine::program::TensorInfo;
    use std::sync::Arc;

    /// Every tiling of 3x3 convolutions on two boards: where memory is the limit, and where the array is.
    #[test]
    fn no_stream_takes_less_than_the_bounds_and_some_hardly_more_and_like_tilings_the_same() {
        let mut nearest = f64::INFINITY;
        let (mut seen, mut twins) = (0, 0);
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
                let mut known: Vec<(conv::Tiling, u64)> = Vec::new();
                for t in conv::tilings(&s, &l, form, a) {
                    let mut weights = conv::place(&l, &t, &mut Placer::new(a));
                    let mut jobs = Jobs::new(a);
                    conv::schedule(&s, &l, &t, &mut weights, a, &mut jobs);
                    let least = at_least(&jobs, &board);
                    let all = cycles(&stream::build(&jobs, a).unwrap(), &board);
                    assert!(least <= all, "{t:?}: {least} > {all}");
                    let array = choice::array_cycles(&s, &l, &t, a);
                    assert!(array <= least, "{t:?}: {array} > {least}");
                    let share =
                        Share::at_least([Share::of_conv(&jobs, &board)].into_iter(), &board);
                    assert!(share <= all, "{t:?}: {share} > {all}");
                    let like = choice::alike(&t, &l);
                    if let Some((_, cycles)) = known.iter().find(|k| k.0 == like) {
                        assert_eq!(*cycles, all, "{t:?}");
                        twins += 1;
                    }
                    known.push((like, all));
                    nearest = nearest.min(all as f64 / least as f64);
                    seen += 1;
                }
            }
        }
        assert!(seen > 20, "{seen}");
        assert!(twins > 0);
        assert!(nearest < 1.1, "{nearest}");
    }
}
