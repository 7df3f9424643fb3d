//! `store_engine.sv`: rows of results to memory, marks, and the end.

use super::burst::{Burst, Transfer};
use super::queue::Entry;
use cnna_machine::Accelerator;
use cnna_machine::config::depth;
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::isa::{self, store_kind};
use cnna_machine::memory::{Request, channel};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Data,
    MarkWait,
    MarkData,
    MarkAnswer,
}

/// What happened in a step.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The counters are read for this mark.
    pub mark: Option<Entry>,
    /// This store has left the output buffer, or this mark is answered.
    pub done: Option<Entry>,
}

/// State of the store engine.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) burst: Burst,
    tiles: usize,
    mark_beats: u32,
    state: State,
    current: Option<Entry>,
    /// The beats of the command go to local loads.
    local: bool,
    /// Mask sent in this cycle.
    pub(super) signal: Option<u32>,
    /// The program ends in this cycle.
    pub(super) end: bool,
    /// Rows whose bursts have not been asked for, and where the next one lies.
    rows: i32,
    row: Transfer,
    asking: bool,
    sub: bool,
    lines_left: u64,
    room: u32,
    /// Beats pushed one and two cycles from now: (completes a beat, last).
    pipe: [Option<bool>; 2],
    beats: VecDeque<bool>,
    lens: VecDeque<u32>,
    in_burst: u32,
    mark_sent: u32,
}

impl Store {
    pub(super) fn new(a: &Accelerator) -> Self {
        Store {
            burst: Burst::new(a.beat_bytes(), depth::STORE_BURSTS),
            tiles: a.tiles,
            mark_beats: (RECORD_BYTES / a.beat_bytes()) as u32,
            state: State::Idle,
            current: None,
            local: false,
            signal: None,
            end: false,
            rows: 0,
            row: Transfer::default(),
            asking: false,
            sub: false,
            lines_left: 0,
            room: depth::STORE_BEATS as u32,
            pipe: [None; 2],
            beats: VecDeque::new(),
            lens: VecDeque::new(),
            in_burst: 0,
            mark_sent: 0,
        }
    }
    pub(super) fn ready(&self) -> bool {
        self.state == State::Idle && self.burst.ready()
    }
    /// The next clock edge changes something by itself.
    pub(super) fn awake(&self, size: u64) -> bool {
        self.signal.is_some()
            || self.end
            || self.pipe != [None; 2]
            || self.asks()
            || self.state == State::MarkData
            || self.answered()
            || self.row_goes()
            || self.burst.awake(size)
    }
    fn asks(&self) -> bool {
        self.asking && self.room != 0
    }
    /// A mark or fence goes on in this cycle: everything before it has been answered.
    fn answered(&self) -> bool {
        self.state == State::MarkWait && !self.burst.in_flight() && self.burst.ready()
    }
    fn is_fence(&self) -> bool {
        let kind = self.current.as_ref().map(|e| e.kind);
        kind == Some(store_kind::FENCE)
    }
    /// A mark reads the counters in this cycle.
    pub(super) fn mark_goes(&self) -> bool {
        self.answered() && !self.is_fence()
    }
    /// The next row's bursts are asked for in this cycle.
    fn row_goes(&self) -> bool {
        self.state == State::Data && self.rows > 0 && self.burst.ready()
    }
    /// Drives the write channels; their signals.
    pub(super) fn drive(&self, size: u64, request: &mut Request) -> u64 {
        let mut signals = channel::B;
        if let Some((addr, beats)) = self.burst.offer(size) {
            (request.awaddr, request.awbeats) = (addr, beats);
            signals |= channel::AW;
        }
        if !self.local && !self.beats.is_empty() && !self.lens.is_empty() {
            signals |= channel::W;
        }
        signals
    }
    /// A beat for a local load is on offer.
    pub(super) fn offers_local(&self) -> bool {
        self.local && !self.beats.is_empty()
    }
    /// Halted: beats of bursts under way have not gone out.
    pub(super) fn owes_beats(&self) -> bool {
        !self.lens.is_empty()
    }
    /// The clock edge of a cycle of a halted machine.
    pub(super) fn step_halted(&mut self, moved: u64, request: &Request) {
        if moved & channel::W != 0 {
            self.beat_of_burst();
        }
        let issued = moved & channel::AW != 0;
        if issued {
            self.lens.push_back(request.awbeats);
        }
        self.burst.step_halted(issued, moved & channel::B != 0);
    }
    fn beat_of_burst(&mut self) {
        self.in_burst += 1;
        if Some(&self.in_burst) == self.lens.front() {
            self.in_burst = 0;
            self.lens.pop_front();
        }
    }
    /// The clock edge: `moved` are the handshakes on the port, `request` what was offered; `local`: a local load takes a beat.
    pub(super) fn step(
        &mut self,
        size: u64,
        start: Option<Entry>,
        moved: u64,
        request: &Request,
        local: bool,
        cmd: impl Fn(&Entry) -> isa::Store,
    ) -> Events {
        let mut events = Events::default();
        self.signal = None;
        self.end = false;
        let issued = moved & channel::AW != 0;
        let bus_out = moved & channel::W != 0;
        let answered = moved & channel::B != 0;
        let (answered_all, row_go) = (self.answered(), self.row_goes());
        let ask = self.asks();
        let in_data = self.state == State::Data;

        // Beats leave.
        let mut sent = false;
        if bus_out {
            self.beat_of_burst();
        }
        if bus_out || local {
            sent = self.beats.pop_front() == Some(true);
            if in_data {
                self.room += 1;
            }
        }
        if issued {
            self.lens.push_back(request.awbeats);
        }
        // Beats arrive two cycles after their (last) line was asked for.
        if let Some(last) = self.pipe[1].take() {
            self.beats.push_back(last);
        }
        if self.state == State::MarkData {
            self.beats.push_back(false);
        }
        self.pipe[1] = self.pipe[0].take();
        if ask {
            let whole = self.tiles != 1 || self.sub;
            self.sub = self.tiles == 1 && !self.sub;
            if whole {
                self.room -= 1;
                self.lines_left -= 1;
                let last = self.lines_left == 0;
                self.pipe[0] = Some(last);
                if last {
                    self.asking = false;
                }
            }
        }
        let mut transfer = None;
        match self.state {
            State::Idle => {
                if let Some(e) = start {
                    let c = cmd(&e);
                    self.local = e.kind == store_kind::STORE && c.local != 0;
                    match e.kind {
                        store_kind::STORE => {
                            self.row = Transfer {
                                addr: u64::from(c.ddr as u32),
                                beats: c.seg_beats as u64,
                                segs: c.seg_count as u64,
                                stride: u64::from(c.seg_stride as u32),
                            };
                            self.rows = if self.local { 0 } else { c.rows };
                            self.lines_left = self.row.beats * self.row.segs * c.rows as u64;
                            self.asking = true;
                            self.sub = false;
                            self.state = State::Data;
                        }
                        store_kind::END => {
                            self.end = true;
                            self.signal = Some(e.signal);
                        }
                        _ => self.state = State::MarkWait,
                    }
                    self.current = Some(e);
                }
            }
            State::Data => {
                if row_go {
                    let e = self.current.as_ref().expect("a store is being executed");
                    let stride = u64::from(cmd(e).row_stride as u32);
                    transfer = Some(self.row);
                    self.rows -= 1;
                    self.row.addr = (self.row.addr + stride) & 0xffff_ffff;
                }
                if sent {
                    self.state = State::Idle;
                    events.done = self.current.take();
                }
            }
            State::MarkWait => {
                if answered_all && self.is_fence() {
                    self.state = State::Idle;
                    events.done = self.current.take();
                } else if answered_all {
                    let e = self.current.as_ref().expect("a mark is being executed");
                    transfer = Some(Transfer {
                        addr: u64::from(cmd(e).ddr as u32),
                        beats: u64::from(self.mark_beats),
                        segs: 1,
                        stride: 0,
                    });
                    events.mark = self.current.clone();
                    self.state = State::MarkData;
                    self.mark_sent = 0;
                }
            }
            State::MarkData => {
                self.mark_sent += 1;
                if self.mark_sent == self.mark_beats {
                    self.state = State::MarkAnswer;
                }
            }
            State::MarkAnswer => {
                if answered {
                    self.state = State::Idle;
                    events.done = self.current.take();
                }
            }
        }
        if let Some(e) = &events.done {
            self.signal = Some(e.signal);
        }
        self.burst.step(size, transfer, issued, answered);
        events
    }
}
