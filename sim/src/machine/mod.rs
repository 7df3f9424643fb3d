//! The cycle-level machine: every unit's registers, stepped a cycle at a time, against the shared memory model.
//!
//! Each unit is its RTL module without the data; its cycle is the RTL's cycle, so counts are equal, not near. Values come
//! from [`crate::exec`], once a command: at its start for compute, at its completion for the transfers. A unit is stepped only
//! in cycles that change it: when a beat moves on its port, a command starts, or it is awake, that is, would change by itself.
//! Cycles that change nothing are passed in one step.

mod burst;
mod compute;
mod fetch;
mod load;
mod queue;
mod store;
mod weight;

use crate::buffers::Buffers;
use crate::exec::{self, ExecError, Fault};
use crate::timeline::{Recorder, Recording};
use cnna_spec::config::{Board, port};
use cnna_spec::engine::{Engine, EngineError};
use cnna_spec::isa::{self, Body, Queue, store_kind};
use cnna_spec::memory::{MOST_PORTS, Memory, Request, Signals, Written, channel, on};
use cnna_spec::regs::{self, DeviceError, Reg};
use queue::Entry;
use std::collections::VecDeque;
use std::rc::Rc;

/// Counters of a run, in cycles or beats.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    cycles: u64,
    saturated: u64,
    busy: u64,
    wait_load: u64,
    wait_weight: u64,
    wait_store: u64,
    reads: u64,
    writes: u64,
    commands: u64,
}

/// The state that a soft reset clears.
#[derive(Debug)]
struct Units {
    fetch: fetch::Fetch,
    queues: [VecDeque<Entry>; 4],
    /// Tokens sent and not yet taken, [from][to].
    tokens: [[u32; 4]; 4],
    load: load::Load,
    weight: weight::Weight,
    compute: compute::Compute,
    store: store::Store,
    buffers: Buffers,
}

impl Units {
    fn new(board: &Board) -> Self {
        let a = &board.accelerator;
        Units {
            fetch: fetch::Fetch::new(a),
            queues: Default::default(),
            tokens: [[0; 4]; 4],
            load: load::Load::new(a),
            weight: weight::Weight::new(a),
            compute: compute::Compute::new(a),
            store: store::Store::new(a),
            buffers: Buffers::new(a),
        }
    }
    /// By sender: the tokens that queue `q`'s command still waits for.
    fn missing(&self, head: &Entry, q: Queue) -> [bool; 4] {
        Queue::ALL
            .map(|from| head.wait & from.bit() != 0 && self.tokens[from as usize][q as usize] == 0)
    }
    /// The command that fetch holds can go to its queue in this cycle.
    fn may_deal(&self, depth: usize) -> bool {
        self.fetch
            .deal()
            .is_some_and(|c| self.queues[c.queue() as usize].len() < depth)
    }
    fn error(&self) -> Option<DeviceError> {
        if self.load.burst.error() {
            Some(DeviceError::LoadAddress)
        } else if self.weight.error() {
            Some(DeviceError::WeightAddress)
        } else if self.store.burst.error() {
            Some(DeviceError::StoreAddress)
        } else if self.fetch.burst.error() {
            Some(DeviceError::FetchAddress)
        } else if self.fetch.bad.is_some() {
            Some(DeviceError::Command)
        } else {
            None
        }
    }
    fn in_flight(&self) -> bool {
        self.fetch.burst.in_flight()
            || self.load.burst.in_flight()
            || self.weight.in_flight()
            || self.store.burst.in_flight()
    }
}

/// What follows from the units' state, kept so that a cycle looks only at what changed.
#[derive(Debug, Default)]
struct Derived {
    /// Units whose next clock edge changes something by itself, as bits: one load instead of four just stored.
    awake: u8,
    /// Queues whose engine could take a command; compute's follows from the time.
    ready: [bool; 4],
    /// A head, a token, or an engine's readiness has changed.
    heads: bool,
    /// Whose token keeps a free array waiting: load's before weight's before store's.
    lack: Option<Queue>,
    /// Next cycle in which the array does something by itself: ends, or sends tokens.
    compute_at: u64,
    error: Option<DeviceError>,
}

/// The simulated accelerator with its memory's timing.
#[derive(Debug)]
pub struct Machine {
    board: Board,
    registers: Vec<u32>,
    units: Units,
    memory: Memory,
    /// The masters' signals in this cycle, and the addresses that go with them.
    wants: Signals,
    requests: Vec<Request>,
    written: Vec<Written>,
    derived: Derived,
    now: u64,
    run: bool,
    start_pulse: bool,
    counters: Counters,
    recorder: Option<Recorder>,
}

/// Bits of [`Derived::awake`].
mod awake {
    pub const LOAD: u8 = 1;
    pub const WEIGHT: u8 = 2;
    pub const STORE: u8 = 4;
    pub const FETCH: u8 = 8;
}

/// Channels of the load and store engines, which share a port.
const READ: u64 = channel::AR | channel::R;
const WRITE: u64 = channel::AW | channel::W | channel::B;

impl Derived {
    fn wake(&mut self, unit: u8, awake: bool) {
        self.awake = match awake {
            true => self.awake | unit,
            false => self.awake & !unit,
        };
    }
}

impl Machine {
    /// An idle machine of a board's configuration and memory model.
    pub fn new(board: &Board) -> Self {
        let a = &board.accelerator;
        let mut m = Machine {
            board: board.clone(),
            registers: vec![0; regs::ALL.len()],
            units: Units::new(board),
            memory: Memory::new(&board.memory, a.ports(), a.beat_bytes()),
            wants: 0,
            requests: vec![Request::default(); a.ports()],
            written: Vec::new(),
            derived: Derived::default(),
            now: 0,
            run: false,
            start_pulse: false,
            counters: Counters::default(),
            recorder: None,
        };
        let hash = a.hash();
        m.set(regs::ID, regs::ID_VALUE);
        m.set(regs::VERSION, regs::VERSION_VALUE);
        m.set(regs::HASH_LO, hash as u32);
        m.set(regs::HASH_HI, (hash >> 32) as u32);
        m.derive_all();
        m
    }

    /// A machine that writes what it does into `recording`; some three times slower.
    pub fn recorded(board: &Board, recording: Recording) -> Self {
        let ports = board.accelerator.ports();
        Machine {
            recorder: Some(Recorder::new(recording, ports)),
            ..Machine::new(board)
        }
    }

    fn get(&self, r: Reg) -> u32 {
        self.registers[r.offset / 4]
    }
    fn set(&mut self, r: Reg, v: u32) {
        self.registers[r.offset / 4] = v;
    }

    fn stop(&mut self, error: Option<DeviceError>, head: u32) {
        self.run = false;
        self.set(regs::ERROR_INFO, head);
        let code = error.map_or(0, |e| e as u32);
        let done = self.get(regs::START);
        self.set(regs::DONE, done);
        self.set(regs::STATUS, code << 8);
        if let Some(r) = &mut self.recorder {
            r.waits(None, 0, self.now);
        }
    }

    /// One clock cycle.
    fn cycle(&mut self, window: &mut [u8]) -> Result<(), ExecError> {
        let size = self.size();
        let (now, offered) = (self.now, self.memory.out());
        let moved = self.wants & offered;
        let stop = self.run && (self.units.store.end || self.derived.error.is_some());
        let error = self.derived.error;
        let bad_head = self.units.fetch.bad.unwrap_or(0);
        let awake = self.derived.awake;
        // A mark reads the counters as they stand before its cycle.
        let marks = awake & awake::STORE != 0 && self.units.store.mark_goes();
        let before = marks.then_some(self.counters);

        let dealt = self.units.may_deal(self.board.accelerator.queue_depth);
        let compute_event = now == self.derived.compute_at;
        let start = match self.derived.heads || compute_event {
            true => self.start_heads(),
            false => Default::default(),
        };
        if self.run {
            self.count(moved, 1);
            self.counters.commands += u64::from(dealt);
        }
        self.record_beats(moved);
        if awake != 0 || compute_event {
            self.send_tokens(compute_event);
        }
        if dealt {
            let c = *self.units.fetch.deal().expect("it may be dealt");
            if let Some(r) = &mut self.recorder {
                r.read_done(port::COMMAND, &c);
            }
            self.units.queues[c.queue() as usize].push_back(Rc::new(c));
            self.derived.heads = true;
        }

        // Before the units put their next requests in place of these.
        self.written.clear();
        self.memory.step(moved, &self.requests, &mut self.written);

        let [s_load, s_weight, s_compute, s_store] = start;
        if let Some(e) = &s_compute {
            self.compute(e)?;
        }
        if s_compute.is_some() || compute_event {
            self.derived.compute_at = self.units.compute.next_event(now).unwrap_or(u64::MAX);
        }
        let on_act = |word: Signals| word >> (8 * port::ACT) & 0xff;
        if awake & awake::LOAD != 0
            || s_load.is_some()
            || on_act(offered & on(port::ACT, channel::R) | moved) & READ != 0
        {
            self.load(size, s_load, on_act(offered), on_act(moved), window)?;
        }
        if awake & awake::WEIGHT != 0 || s_weight.is_some() || moved >> (8 * port::WEIGHT) != 0 {
            self.weight(size, s_weight, offered, moved, window)?;
        }
        if awake & awake::STORE != 0 || s_store.is_some() || on_act(moved) & WRITE != 0 {
            self.store(size, s_store, on_act(moved), before, window)?;
        }
        let on_command = |word: Signals| word >> (8 * port::COMMAND) & 0xff;
        if awake & awake::FETCH != 0 || self.start_pulse || dealt || on_command(moved) != 0 {
            self.fetch(size, dealt, on_command(offered), on_command(moved), window);
        }
        if stop {
            self.stop(error, bad_head);
        }
        self.now += 1;
        Ok(())
    }

    /// A program runs, or its transfers are not all answered.
    fn is_active(&self) -> bool {
        self.run || self.units.in_flight()
    }

    fn size(&self) -> u64 {
        u64::from(self.get(regs::MEM_SIZE))
    }

    /// Takes the heads whose tokens are there and whose engine is free out of their queues, and their tokens.
    fn start_heads(&mut self) -> [Option<Entry>; 4] {
        let u = &mut self.units;
        let d = &mut self.derived;
        d.ready[Queue::Compute as usize] = u.compute.ready(self.now);
        d.heads = false;
        d.lack = None;
        let mut start: [Option<Entry>; 4] = Default::default();
        for q in Queue::ALL {
            let Some(head) = u.queues[q as usize].front() else {
                continue;
            };
            let missing = u.missing(head, q);
            if q == Queue::Compute && d.ready[q as usize] {
                d.lack = Queue::ALL.into_iter().find(|q| missing[*q as usize]);
            }
            if self.run && d.ready[q as usize] && missing == [false; 4] {
                let wait = head.wait;
                start[q as usize] = u.queues[q as usize].pop_front();
                for from in Queue::ALL {
                    u.tokens[from as usize][q as usize] -= u32::from(wait & from.bit() != 0);
                }
                d.heads = true;
            }
        }
        self.record_starts(&start);
        start
    }

    fn record_starts(&mut self, start: &[Option<Entry>; 4]) {
        let Some(r) = &mut self.recorder else { return };
        for e in start.iter().flatten() {
            r.started(e, self.now);
        }
        let lacking = self.derived.lack;
        let head = self.units.queues[Queue::Compute as usize].front();
        r.waits(lacking, head.map_or(0, |e| e.tag), self.now);
    }

    fn record_beats(&mut self, moved: Signals) {
        let Some(r) = &mut self.recorder else { return };
        for p in 0..self.requests.len() {
            if moved & on(p, channel::R) != 0 {
                r.read_beat(p, self.now);
            }
            if moved & on(p, channel::W) != 0 {
                r.write_beat(p, self.now);
            }
        }
    }

    /// Sends the tokens of commands that were complete before this cycle; they count from the next.
    fn send_tokens(&mut self, compute_event: bool) {
        let u = &mut self.units;
        let compute = match compute_event {
            true => u.compute.tokens(self.now),
            false => 0,
        };
        let sent = [
            u.load.signal.as_ref().map_or(0, |e| e.signal),
            u.weight.signal.as_ref().map_or(0, |e| e.signal),
            compute,
            u.store.signal.unwrap_or(0),
        ];
        if sent == [0; 4] {
            return;
        }
        for from in Queue::ALL {
            for to in Queue::ALL {
                if sent[from as usize] & to.bit() != 0 {
                    u.tokens[from as usize][to as usize] += 1;
                }
            }
        }
        self.derived.heads = true;
    }

    fn compute(&mut self, e: &Entry) -> Result<(), ExecError> {
        let Body::Compute(c) = &e.body else {
            return Ok(());
        };
        let u = &mut self.units;
        let steps = u.compute.start(self.now, e, c).steps;
        self.counters.busy += steps;
        if let Some(r) = &mut self.recorder {
            r.computes(e, self.now, u.compute.free_at(), steps);
        }
        let saturated = exec::compute(c, &mut u.buffers);
        self.counters.saturated += saturated.map_err(|f| self.fault(e, f))?;
        Ok(())
    }

    fn load(
        &mut self,
        size: u64,
        start: Option<Entry>,
        offered: u64,
        moved: u64,
        window: &[u8],
    ) -> Result<(), ExecError> {
        let u = &mut self.units;
        u.load.step(size, start, offered, moved, |e| match &e.body {
            Body::Load(l) => *l,
            _ => isa::Load::default(),
        });
        if let Some(e) = u.load.signal.clone() {
            if let Some(r) = &mut self.recorder {
                r.read_done(port::ACT, &e);
                r.done(&e, self.now);
            }
            if let Body::Load(l) = &e.body {
                exec::load(l, &mut u.buffers, window).map_err(|f| self.fault(&e, f))?;
            }
        }
        self.derive_load(size);
        Ok(())
    }

    fn weight(
        &mut self,
        size: u64,
        start: Option<Entry>,
        offered: Signals,
        moved: Signals,
        window: &[u8],
    ) -> Result<(), ExecError> {
        let u = &mut self.units;
        let shift = 8 * port::WEIGHT;
        let (offered, moved) = (offered >> shift, moved >> shift);
        if start.is_none() && self.derived.awake & awake::WEIGHT == 0 {
            u.weight.step_moved(size, offered, moved);
            self.record_weights();
            self.derive_weight(size, moved);
            return Ok(());
        }
        u.weight
            .step(size, start, offered, moved, |e| match &e.body {
                Body::Weight(w) => *w,
                _ => isa::Weight::default(),
            });
        self.record_weights();
        let u = &mut self.units;
        if let Some(e) = u.weight.signal.clone() {
            if let Some(r) = &mut self.recorder {
                r.done(&e, self.now);
            }
            if let Body::Weight(w) = &e.body {
                exec::weight(e.kind, w, &mut u.buffers, window).map_err(|f| self.fault(&e, f))?;
            }
        }
        self.derive_weight(size, Signals::MAX);
        Ok(())
    }

    fn record_weights(&mut self) {
        let Some(r) = &mut self.recorder else { return };
        for p in port::WEIGHT..self.requests.len() {
            if let Some(e) = self.units.weight.done(p - port::WEIGHT) {
                r.read_done(p, e);
            }
        }
    }

    fn store(
        &mut self,
        size: u64,
        start: Option<Entry>,
        moved: u64,
        before: Option<Counters>,
        window: &mut [u8],
    ) -> Result<(), ExecError> {
        let u = &mut self.units;
        let request = &self.requests[port::ACT];
        let events = u
            .store
            .step(size, start, moved, request, |e| match &e.body {
                Body::Store(s) => *s,
                _ => isa::Store::default(),
            });
        if let Some(e) = &events.done {
            if let Some(r) = &mut self.recorder {
                r.write_done(port::ACT, e);
                r.done(e, self.now);
            }
            if let (Body::Store(s), store_kind::STORE) = (&e.body, e.kind) {
                exec::store(s, &u.buffers, window).map_err(|f| self.fault(e, f))?;
            }
        }
        if let (Some(e), Some(before)) = (&events.mark, before) {
            if let Some(r) = &mut self.recorder {
                r.mark(e.tag, self.now);
            }
            if let Body::Store(s) = &e.body {
                let at = s.ddr as u32 as usize;
                for (i, v) in before.record().iter().enumerate() {
                    window[at + i * 4..][..4].copy_from_slice(&v.to_le_bytes());
                }
            }
        }
        self.derive_store(size);
        Ok(())
    }

    fn fetch(&mut self, size: u64, dealt: bool, offered: u64, moved: u64, window: &[u8]) {
        let offset = u64::from(self.get(regs::PROG_OFFSET));
        let count = u64::from(self.get(regs::PROG_COUNT));
        let program = self.start_pulse.then_some((offset, count));
        self.start_pulse = false;
        let fetch = &mut self.units.fetch;
        fetch.step(size, program, offered, moved, dealt, window);
        self.derive_fetch(size);
    }

    /// Brings everything derived up to date, after a register has been written.
    fn derive_all(&mut self) {
        let size = self.size();
        self.derived.error = None;
        self.derive_load(size);
        self.derive_weight(size, Signals::MAX);
        self.derive_store(size);
        self.derive_fetch(size);
        self.derived.heads = true;
        self.derived.compute_at = match self.now {
            0 => u64::MAX,
            now => self.units.compute.next_event(now - 1).unwrap_or(u64::MAX),
        };
    }

    fn derive_load(&mut self, size: u64) {
        let load = &self.units.load;
        let signals = load.drive(size, &mut self.requests[port::ACT]);
        self.wants = self.wants & !on(port::ACT, READ) | on(port::ACT, signals);
        let stirs = load.awake(size);
        self.derived.wake(awake::LOAD, stirs);
        let (ready, failed) = (load.ready(), load.burst.error());
        self.derive_unit(Queue::Load, ready, failed);
    }

    /// `changed`: signals of the weight ports, of which any that is set tells that its port has changed.
    fn derive_weight(&mut self, size: u64, changed: Signals) {
        let weight = &self.units.weight;
        for (i, request) in self.requests[port::WEIGHT..].iter_mut().enumerate() {
            if changed >> (8 * i) & 0xff == 0 {
                continue;
            }
            let signals = weight.drive(size, i, request);
            let p = port::WEIGHT + i;
            self.wants = self.wants & !on(p, 0xff) | on(p, signals);
        }
        let stirs = weight.awake(size);
        self.derived.wake(awake::WEIGHT, stirs);
        let (ready, failed) = (weight.ready(), weight.error());
        self.derive_unit(Queue::Weight, ready, failed);
    }

    fn derive_store(&mut self, size: u64) {
        let store = &self.units.store;
        let signals = store.drive(size, &mut self.requests[port::ACT]);
        self.wants = self.wants & !on(port::ACT, WRITE) | on(port::ACT, signals);
        let stirs = store.awake(size);
        self.derived.wake(awake::STORE, stirs);
        let (ready, failed) = (store.ready(), store.burst.error());
        self.derive_unit(Queue::Store, ready, failed);
    }

    fn derive_fetch(&mut self, size: u64) {
        let fetch = &self.units.fetch;
        let signals = fetch.drive(size, &mut self.requests[port::COMMAND]);
        self.wants = self.wants & !on(port::COMMAND, 0xff) | on(port::COMMAND, signals);
        let stirs = fetch.awake(size);
        self.derived.wake(awake::FETCH, stirs);
        let failed = fetch.bad.is_some() || fetch.burst.error();
        self.derive_error(failed);
    }

    fn derive_unit(&mut self, q: Queue, ready: bool, failed: bool) {
        let before = &mut self.derived.ready[q as usize];
        self.derived.heads |= *before != ready;
        *before = ready;
        self.derive_error(failed);
    }

    fn derive_error(&mut self, failed: bool) {
        if failed {
            self.derived.error = self.units.error();
        }
    }

    /// Lets at most `limit` cycles pass in which only time and the beats within bursts go on.
    fn coast(&mut self, limit: u64) {
        let d = &self.derived;
        let busy = d.awake != 0 || d.heads || self.start_pulse;
        if busy
            || self.units.may_deal(self.board.accelerator.queue_depth)
            || self.run && d.error.is_some()
        {
            return;
        }
        let limit = limit.min(d.compute_at - self.now);
        // A command's last beat must be seen; the timeline must see every beat.
        let mut room = match self.recorder {
            Some(_) => [0; MOST_PORTS],
            None => [u64::MAX; MOST_PORTS],
        };
        room[port::COMMAND] = room[port::COMMAND].min(self.units.fetch.room());
        let before = room;
        let stop = on(port::ACT, self.units.load.watches());
        let cycles = self.memory.coast(self.wants, stop, limit, &mut room);
        let beats: [u64; MOST_PORTS] = std::array::from_fn(|p| before[p] - room[p]);
        self.units.load.take(beats[port::ACT]);
        self.units.weight.take(&beats[port::WEIGHT..]);
        self.units.fetch.take(beats[port::COMMAND]);
        self.now += cycles;
        if self.run {
            self.counters.reads += beats[port::ACT];
            self.count(0, cycles);
        }
    }

    fn count(&mut self, moved: Signals, cycles: u64) {
        let c = &mut self.counters;
        c.cycles += cycles;
        c.reads += u64::from(moved & on(port::ACT, channel::R) != 0);
        c.writes += u64::from(moved & on(port::ACT, channel::W) != 0);
        c.wait(self.derived.lack, cycles);
    }

    fn fault(&self, entry: &Entry, fault: Fault) -> ExecError {
        ExecError {
            index: self.counters.commands as usize,
            queue: entry.queue(),
            tag: entry.tag,
            fault,
        }
    }
}

impl Counters {
    /// Charges waiting to the queue whose token is lacking.
    fn wait(&mut self, lack: Option<Queue>, cycles: u64) {
        match lack {
            Some(Queue::Load) => self.wait_load += cycles,
            Some(Queue::Weight) => self.wait_weight += cycles,
            Some(Queue::Store) => self.wait_store += cycles,
            Some(Queue::Compute) | None => {}
        }
    }
    /// In the order of `regs::COUNTERS`, modulo 2^32.
    fn record(&self) -> [u32; 8] {
        [
            self.cycles,
            self.saturated,
            self.busy,
            self.wait_load,
            self.wait_weight,
            self.wait_store,
            self.reads,
            self.writes,
        ]
        .map(|v| v as u32)
    }
}

impl Engine for Machine {
    fn read(&mut self, reg: Reg) -> u32 {
        if let Some(i) = regs::COUNTERS.iter().position(|r| *r == reg) {
            return self.counters.record()[i];
        }
        match reg {
            regs::COMMANDS => self.counters.commands as u32,
            regs::STATUS => {
                let mut status = self.get(regs::STATUS);
                if self.run {
                    status |= regs::STATUS_BUSY;
                }
                if self.units.in_flight() {
                    status |= regs::STATUS_IN_FLIGHT;
                }
                status
            }
            _ => self.get(reg),
        }
    }

    fn write(&mut self, reg: Reg, value: u32) {
        if reg.access != regs::Access::Rw {
            return;
        }
        self.set(reg, value);
        if reg == regs::CONTROL && value & 1 != 0 {
            self.units = Units::new(&self.board);
            self.run = false;
            self.set(regs::STATUS, 0);
            self.set(regs::ERROR_INFO, 0);
        }
        if self.get(regs::CONTROL) & 1 != 0 {
            let done = self.get(regs::DONE);
            self.set(regs::START, done);
        } else if reg == regs::START && value != self.get(regs::DONE) && !self.run {
            let a = &self.board.accelerator;
            self.memory = Memory::new(&self.board.memory, a.ports(), a.beat_bytes());
            self.counters = Counters::default();
            self.set(regs::STATUS, 0);
            self.set(regs::ERROR_INFO, 0);
            self.run = true;
            self.start_pulse = true;
            if let Some(r) = &mut self.recorder {
                r.begin(self.now);
            }
        }
        self.derive_all();
    }

    fn advance(&mut self, window: &mut [u8], cycles: u64) -> Result<bool, EngineError> {
        let size = self.get(regs::MEM_SIZE) as usize;
        if size > window.len() {
            return Err(EngineError {
                engine: "cycle simulator",
                message: format!(
                    "MEM_SIZE is {size} bytes but the window has {}: map a larger window",
                    window.len()
                ),
            });
        }
        let end = self.now + cycles;
        while self.now < end && self.is_active() {
            self.cycle(window).map_err(|e| EngineError {
                engine: "cycle simulator",
                message: e.to_string(),
            })?;
            if self.is_active() {
                self.coast(end - self.now);
            }
        }
        Ok(self.is_active())
    }
}
