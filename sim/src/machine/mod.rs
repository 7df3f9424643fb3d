//! The cycle-level machine: every unit's registers, stepped a cycle at a time, against the shared memory model.
//!
//! Each unit is its RTL module without the data; its cycle is the RTL's cycle, so counts are equal, not near. Values come
//! from [`crate::exec`], once a command: at its start for compute, at its completion for the transfers. Stretches in which
//! only the array works are skipped in one step.

mod burst;
mod compute;
mod fetch;
mod load;
mod queue;
mod store;
mod weight;

use crate::buffers::Buffers;
use crate::exec::{self, ExecError, Fault};
use cnna_spec::config::{Accelerator, Board, port};
use cnna_spec::engine::{Engine, EngineError};
use cnna_spec::isa::{self, Body, Queue};
use cnna_spec::memory::{Memory, PortIn, Written};
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
    fn may_deal(&self, a: &Accelerator) -> bool {
        self.fetch.bad.is_none()
            && self.fetch.full.as_ref().is_some_and(|c| {
                !fetch::malformed(c, a.lanes as i32)
                    && self.queues[c.queue() as usize].len() < a.queue_depth
            })
    }
    fn in_flight(&self) -> bool {
        self.fetch.burst.in_flight()
            || self.load.burst.in_flight()
            || self.weight.in_flight()
            || self.store.burst.in_flight()
    }
}

/// The simulated accelerator with its memory's timing.
#[derive(Debug)]
pub struct Machine {
    board: Board,
    registers: Vec<u32>,
    units: Units,
    memory: Memory,
    ins: Vec<PortIn>,
    written: Vec<Written>,
    now: u64,
    run: bool,
    start_pulse: bool,
    counters: Counters,
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
            ins: vec![PortIn::default(); a.ports()],
            written: Vec::new(),
            now: 0,
            run: false,
            start_pulse: false,
            counters: Counters::default(),
        };
        let hash = a.hash();
        m.set(regs::ID, regs::ID_VALUE);
        m.set(regs::VERSION, regs::VERSION_VALUE);
        m.set(regs::HASH_LO, hash as u32);
        m.set(regs::HASH_HI, (hash >> 32) as u32);
        m
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
    }

    /// One clock cycle.
    fn cycle(&mut self, window: &mut [u8]) -> Result<(), ExecError> {
        let size = u64::from(self.get(regs::MEM_SIZE));
        let now = self.now;
        let error = self.error();
        let bad_head = self.units.fetch.bad.unwrap_or(0);
        let stop = self.run && (self.units.store.end || error.is_some());
        let ports = self.ins.len();
        self.ins.fill(PortIn::default());
        let u = &mut self.units;
        u.load.drive(size, &mut self.ins[port::ACT]);
        u.store.drive(size, &mut self.ins[port::ACT]);
        u.fetch.drive(size, &mut self.ins[port::COMMAND]);
        for p in port::WEIGHT..ports {
            u.weight.drive(size, p - port::WEIGHT, &mut self.ins[p]);
        }

        // Heads that may start: their tokens are there and their engine is free.
        let ready = [
            u.load.ready(),
            u.weight.ready(),
            u.compute.ready(now),
            u.store.ready(),
        ];
        let mut start: [Option<Entry>; 4] = Default::default();
        let mut lack = [false; 4];
        for q in Queue::ALL {
            let Some(head) = u.queues[q as usize].front() else {
                continue;
            };
            let missing = u.missing(head, q);
            if q == Queue::Compute && ready[2] {
                lack = missing;
            }
            if self.run && ready[q as usize] && missing == [false; 4] {
                start[q as usize] = Some(head.clone());
            }
        }

        // Tokens sent in this cycle, counted from the next.
        let mut sent = [0u32; 4];
        sent[Queue::Load as usize] = u.load.signal.as_ref().map_or(0, |e| e.signal);
        sent[Queue::Weight as usize] = u.weight.signal.as_ref().map_or(0, |e| e.signal);
        sent[Queue::Compute as usize] = u.compute.tokens(now);
        sent[Queue::Store as usize] = u.store.signal.unwrap_or(0);

        // Counters: a mark reads them as they stand before this cycle.
        let counters_now = self.counters;
        if self.run {
            let c = &mut self.counters;
            let (out, port) = (self.memory.out(port::ACT), self.ins[port::ACT]);
            c.cycles += 1;
            c.reads += u64::from(out.rvalid && port.rready);
            c.writes += u64::from(out.wready && port.wvalid);
            c.wait(lack, 1);
        }

        // Fetch deals a command when its queue has room.
        let dealt = u.may_deal(&self.board.accelerator);
        let dealt_command = dealt.then(|| u.fetch.full.expect("a dealt command was waiting"));
        self.counters.commands += u64::from(dealt && self.run);

        // The clock edge.
        for q in Queue::ALL {
            if let Some(e) = &start[q as usize] {
                u.queues[q as usize].pop_front();
                for from in Queue::ALL {
                    if e.wait & from.bit() != 0 {
                        u.tokens[from as usize][q as usize] -= 1;
                    }
                }
            }
            for to in Queue::ALL {
                if sent[q as usize] & to.bit() != 0 {
                    u.tokens[q as usize][to as usize] += 1;
                }
            }
        }
        if let Some(c) = dealt_command {
            u.queues[c.queue() as usize].push_back(Rc::new(c));
        }
        let [s_load, s_weight, s_compute, s_store] = start;
        if let Some(e) = &s_compute {
            if let Body::Compute(c) = &e.body {
                let times = u.compute.start(now, e, c);
                self.counters.busy += times.steps;
                self.counters.saturated += exec::compute(c, &mut u.buffers)
                    .map_err(|f| fault(e, self.counters.commands, f))?;
            }
        }
        let act_out = self.memory.out(port::ACT);
        u.load
            .step(size, s_load, &act_out, &self.ins[port::ACT], |e| {
                match &e.body {
                    Body::Load(l) => *l,
                    _ => isa::Load::default(),
                }
            });
        let memory = &self.memory;
        u.weight.step(
            size,
            s_weight,
            |p| memory.out(port::WEIGHT + p),
            &self.ins[port::WEIGHT..],
            |e| match &e.body {
                Body::Weight(w) => *w,
                _ => isa::Weight::default(),
            },
        );
        let events = u.store.step(
            size,
            s_store,
            &act_out,
            &self.ins[port::ACT],
            |e| match &e.body {
                Body::Store(s) => *s,
                _ => isa::Store::default(),
            },
        );
        let program = self.start_pulse.then(|| {
            (
                u64::from(self.registers[regs::PROG_OFFSET.offset / 4]),
                u64::from(self.registers[regs::PROG_COUNT.offset / 4]),
            )
        });
        u.fetch.step(
            size,
            program,
            &self.memory.out(port::COMMAND),
            &self.ins[port::COMMAND],
            dealt,
            window,
        );
        self.written.clear();
        self.memory.step(&self.ins, &mut self.written);

        // Values of completed transfers.
        if let Some(e) = &u.load.signal {
            if let Body::Load(l) = &e.body {
                exec::load(l, &mut u.buffers, window)
                    .map_err(|f| fault(e, self.counters.commands, f))?;
            }
        }
        if let Some(e) = &u.weight.signal {
            if let Body::Weight(w) = &e.body {
                exec::weight(e.kind, w, &mut u.buffers, window)
                    .map_err(|f| fault(e, self.counters.commands, f))?;
            }
        }
        if let Some(e) = &events.stored {
            if let Body::Store(s) = &e.body {
                exec::store(s, &u.buffers, window)
                    .map_err(|f| fault(e, self.counters.commands, f))?;
            }
        }
        if let Some(e) = &events.mark {
            if let Body::Store(s) = &e.body {
                // The record holds the counters as they stood in the cycle of the mark.
                let at = s.ddr as u32 as usize;
                for (i, v) in counters_now.record().iter().enumerate() {
                    window[at + i * 4..][..4].copy_from_slice(&v.to_le_bytes());
                }
            }
        }

        self.start_pulse = false;
        if stop {
            self.stop(error, bad_head);
        }
        self.now += 1;
        Ok(())
    }

    /// Cycles until the next thing happens by itself, when until then only the array works.
    fn quiet(&self) -> Option<u64> {
        let u = &self.units;
        let still = self.board.memory.stall_per_256 == 0
            && u.load.is_idle()
            && u.weight.is_idle()
            && u.store.is_idle()
            && !self.start_pulse
            && u.fetch.bad.is_none()
            && u.fetch.burst.is_idle()
            && self.memory.is_idle();
        if !still || self.error().is_some() {
            return None;
        }
        let a = &self.board.accelerator;
        let malformed = |c| fetch::malformed(c, a.lanes as i32);
        if u.may_deal(a) || u.fetch.full.as_ref().is_some_and(malformed) {
            return None;
        }
        let next = u.compute.next_event(self.now)?;
        let blocked = Queue::ALL
            .into_iter()
            .all(|q| match u.queues[q as usize].front() {
                None => true,
                Some(_) if q == Queue::Compute && !u.compute.ready(self.now) => true,
                Some(head) => u.missing(head, q) != [false; 4],
            });
        blocked.then(|| next - self.now).filter(|&n| n > 1)
    }

    fn skip(&mut self, cycles: u64) {
        let u = &self.units;
        if let (true, Some(head)) = (
            u.compute.ready(self.now),
            u.queues[Queue::Compute as usize].front(),
        ) {
            let lack = u.missing(head, Queue::Compute);
            self.counters.wait(lack, cycles);
        }
        self.counters.cycles += cycles;
        self.memory.skip(cycles);
        self.now += cycles;
    }

    fn error(&self) -> Option<DeviceError> {
        let u = &self.units;
        if u.load.burst.error() {
            Some(DeviceError::LoadAddress)
        } else if u.weight.error() {
            Some(DeviceError::WeightAddress)
        } else if u.store.burst.error() {
            Some(DeviceError::StoreAddress)
        } else if u.fetch.burst.error() {
            Some(DeviceError::FetchAddress)
        } else if u.fetch.bad.is_some() {
            Some(DeviceError::Command)
        } else {
            None
        }
    }
}

impl Counters {
    /// Charges waiting to the first queue that lacks a token: load, weight, then store.
    fn wait(&mut self, lack: [bool; 4], cycles: u64) {
        if lack[Queue::Load as usize] {
            self.wait_load += cycles;
        } else if lack[Queue::Weight as usize] {
            self.wait_weight += cycles;
        } else if lack[Queue::Store as usize] {
            self.wait_store += cycles;
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

fn fault(entry: &Entry, index: u64, fault: Fault) -> ExecError {
    ExecError {
        index: index as usize,
        queue: entry.queue(),
        tag: entry.tag,
        fault,
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
        }
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
        while self.now < end && (self.run || self.units.in_flight()) {
            self.cycle(window).map_err(|e| EngineError {
                engine: "cycle simulator",
                message: e.to_string(),
            })?;
            if let Some(n) = self.quiet() {
                self.skip(n.min(end.saturating_sub(self.now)));
            }
        }
        Ok(self.run || self.units.in_flight())
    }
}
