//! When each command ran and when each AXI port moved its data: what `cnna run --trace` writes.

use cnna_machine::config::port;
use cnna_machine::isa::{Body, Command, Queue};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A row of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// From mark to mark.
    Layers,
    /// What the array or a transfer engine works on. A transfer that was asked for early begins where the one before it ends.
    Queue(u8),
    /// What keeps the array waiting.
    Wait,
    /// From a command's first to its last beat of read data on a port.
    Read(usize),
    /// The same for written data.
    Write(usize),
}

impl Track {
    /// For people.
    pub fn name(self) -> String {
        match self {
            Track::Layers => "layers".into(),
            Track::Queue(q) => format!("queue {}", Queue::from_bits(q.into()).name()),
            Track::Wait => "array waits".into(),
            Track::Read(port::ACT) => "port activations, read".into(),
            Track::Read(port::COMMAND) => "port commands, read".into(),
            Track::Read(port::SECOND) => "port activations 1, read".into(),
            Track::Read(p) => format!("port weights {}, read", p - port::WEIGHT),
            Track::Write(_) => "port activations, write".into(),
        }
    }
}

/// One stretch of one track. Spans of a track do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it belongs.
    pub track: Track,
    /// What it was.
    pub what: What,
    /// Layer index.
    pub layer: u16,
    /// First cycle, counted from the first run's start.
    pub start: u64,
    /// Cycle after its last.
    pub end: u64,
    /// Beats moved, or steps of the array.
    pub amount: u64,
}

/// What a span shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A whole layer.
    Layer,
    /// A command: its queue and kind.
    Command(Queue, u8),
    /// The compute queue's head waits for tokens of this queue.
    WaitsFor(Queue),
}

/// Everything recorded, in order of the spans' ends within a track.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// See [`Span`].
    pub spans: Vec<Span>,
}

/// A timeline shared between the machine, which fills it, and whoever asked for it.
pub type Recording = Arc<Mutex<Timeline>>;

/// Beats of one transfer on one port.
#[derive(Clone, Copy, Debug)]
struct Moving {
    first: u64,
    last: u64,
    beats: u64,
}

/// Turns the machine's events into spans.
#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    /// Cycle of the latest end, by queue.
    ends: [u64; 4],
    /// The transfer that moves, by port.
    moving: BTreeMap<Track, Moving>,
    /// Starts of the commands in flight, by queue.
    starts: [VecDeque<u64>; 4],
    waits: Option<(Queue, u16, u64)>,
    mark: u64,
}

impl Recorder {
    pub(crate) fn new(recording: Recording) -> Self {
        Recorder {
            recording,
            ends: [0; 4],
            moving: BTreeMap::new(),
            starts: Default::default(),
            waits: None,
            mark: 0,
        }
    }

    /// A run begins in this cycle.
    pub(crate) fn begin(&mut self, now: u64) {
        self.mark = now;
        self.starts = Default::default();
    }

    /// A beat moved on a port's track.
    pub(crate) fn beat(&mut self, track: Track, now: u64) {
        let m = self.moving.entry(track).or_insert(Moving {
            first: now,
            last: now,
            beats: 0,
        });
        m.last = now;
        m.beats += 1;
    }
    /// The command whose data moved on a port's track has moved them all.
    pub(crate) fn moved(&mut self, track: Track, c: &Command) {
        if let Some(m) = self.moving.remove(&track) {
            self.push(track, what(c), c.tag, m.first..m.last + 1, m.beats);
        }
    }

    /// A queue's head was taken.
    pub(crate) fn started(&mut self, c: &Command, now: u64) {
        self.starts[c.queue() as usize].push_back(now);
    }
    /// A command of a transfer queue is complete.
    pub(crate) fn done(&mut self, c: &Command, now: u64) {
        let q = c.queue() as usize;
        let start = self.starts[q].pop_front().unwrap_or(now);
        let start = start.max(self.ends[q]);
        self.ends[q] = now + 1;
        self.push(
            Track::Queue(q as u8),
            what(c),
            c.tag,
            start..now + 1,
            beats(c),
        );
    }
    /// The array works on a command until `end`.
    pub(crate) fn computes(&mut self, c: &Command, now: u64, end: u64, steps: u64) {
        let track = Track::Queue(Queue::Compute as u8);
        self.push(track, what(c), c.tag, now + 1..end, steps);
    }
    /// What the array waits for in this cycle.
    pub(crate) fn waits(&mut self, queue: Option<Queue>, layer: u16, now: u64) {
        let same = self.waits.map(|(q, l, _)| (q, l)) == queue.map(|q| (q, layer));
        if same {
            return;
        }
        if let Some((q, layer, start)) = self.waits.take() {
            self.push(Track::Wait, What::WaitsFor(q), layer, start..now, 0);
        }
        self.waits = queue.map(|q| (q, layer, now));
    }
    /// A layer's mark is reached.
    pub(crate) fn mark(&mut self, layer: u16, now: u64) {
        let start = std::mem::replace(&mut self.mark, now);
        self.push(Track::Layers, What::Layer, layer, start..now, 0);
    }

    fn push(&mut self, track: Track, what: What, layer: u16, cycles: Range<u64>, amount: u64) {
        if !cycles.is_empty() {
            // A poisoned lock means that the reader panicked; then nobody reads this.
            if let Ok(mut t) = self.recording.lock() {
                t.spans.push(Span {
                    track,
                    what,
                    layer,
                    start: cycles.start,
                    end: cycles.end,
                    amount,
                });
            }
        }
    }
}

fn what(c: &Command) -> What {
    What::Command(c.queue(), c.kind as u8)
}

/// Beats of a transfer, all ports together.
fn beats(c: &Command) -> u64 {
    match &c.body {
        Body::Load(l) => l.seg_beats as u64 * l.seg_count as u64,
        Body::Store(s) => s.seg_beats as u64 * s.seg_count as u64,
        _ => 0,
    }
}
