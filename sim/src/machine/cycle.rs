//! One clock cycle, and stretches of cycles in which only time and the beats within bursts go on.
//!
//! A unit is stepped only in cycles that change it: when a beat moves on its port, a command starts, or it is awake, that is,
//! would change by itself.

use super::derived::{READ, WEIGHTS, WRITE, awake};
use super::queue::Entry;
use super::{Machine, Stop};
use crate::exec::{self, ExecError, Fault};
use crate::timeline::Track;
use cnna_machine::Counters;
use cnna_machine::config::port;
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::isa::{self, Body, Queue, store_kind};
use cnna_machine::memory::{MOST_PORTS, Signals, channel, on};
use cnna_machine::regs;
use std::rc::Rc;

impl Machine {
    /// One clock cycle.
    pub(super) fn cycle(&mut self, window: &mut [u8]) -> Result<(), ExecError> {
        if self.stop == Stop::Halted {
            self.halted();
            return Ok(());
        }
        let size = self.size();
        let (now, offered) = (self.now, self.memory.out());
        let moved = self.wants & offered;
        let open = self.wants;
        let stop = self.run && (self.units.store.end || self.derived.error.is_some());
        let error = self.derived.error;
        let bad_head = self.units.fetch.bad.unwrap_or(0);
        let awake = self.derived.awake;
        // A mark reads the counters as they stand before its cycle.
        let marks = awake & awake::STORE != 0 && self.units.store.mark_goes();
        let before = marks.then_some(self.counters);

        let dealt = self.units.may_deal(self.board.accelerator.queue_depth);
        let compute_event = now == self.derived.compute_at;
        // Both engines see a local beat in the same cycle.
        let local = self.derived.local;
        let local_moves = local && self.units.load.takes_local();
        let start = match self.derived.heads || compute_event {
            true => self.start_heads(),
            false => Default::default(),
        };
        if self.run {
            self.count(moved, 1);
            self.commands += u64::from(dealt);
        }
        self.record_beats(moved);
        if awake != 0 || compute_event {
            self.send_tokens(compute_event);
        }
        if dealt {
            let c = *self.units.fetch.deal().expect("it may be dealt");
            if let Some(r) = &mut self.recorder {
                r.moved(Track::Read(port::COMMAND), &c);
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
        let on_second = |word: Signals| word >> (8 * port::SECOND) & 0xff;
        if awake & awake::LOAD != 0
            || local
            || s_load.is_some()
            || on_act(offered & on(port::ACT, channel::R) | moved) & READ != 0
            || on_second(moved) != 0
        {
            let signals = [offered, moved].map(|word| [on_act(word), on_second(word)]);
            self.load(size, s_load, signals, local, window)?;
        }
        let on_weight = moved | offered & self.units.weight.watches() << (8 * port::WEIGHT);
        if awake & awake::WEIGHT != 0 || s_weight.is_some() || on_weight & WEIGHTS != 0 {
            self.weight(size, s_weight, offered, moved, window)?;
        }
        if awake & awake::STORE != 0
            || local_moves
            || s_store.is_some()
            || on_act(moved) & WRITE != 0
        {
            let moved = (on_act(moved), local_moves);
            self.store(size, s_store, moved, before, window)?;
        }
        let on_command = |word: Signals| word >> (8 * port::COMMAND) & 0xff;
        if awake & awake::FETCH != 0 || self.start_pulse || dealt || on_command(moved) != 0 {
            self.fetch(size, dealt, on_command(offered), on_command(moved), window);
        }
        if stop {
            self.ends(error, bad_head);
        }
        if let Stop::Coming(cycles) = &mut self.stop {
            *cycles -= 1;
            if *cycles == 0 {
                self.run = false;
                self.set(regs::STATUS, 0);
                self.set(regs::ERROR_INFO, 0);
                let done = self.get(regs::DONE);
                self.set(regs::START, done);
                self.stop = Stop::Halted;
            }
        }
        if self.stop == Stop::Halted {
            self.halts(open & !moved);
        }
        self.now += 1;
        Ok(())
    }

    /// The machine halts with the next cycle; `open`: the addresses that stay on offer.
    fn halts(&mut self, open: Signals) {
        let u = &mut self.units;
        let on_port = |p: usize, channels| open & on(p, channels) != 0;
        u.load.burst.halt(on_port(port::ACT, channel::AR));
        u.load.second.halt(on_port(port::SECOND, channel::AR));
        u.store.burst.halt(on_port(port::ACT, channel::AW));
        u.fetch.burst.halt(on_port(port::COMMAND, channel::AR));
        for (i, burst) in u.weight.bursts().enumerate() {
            burst.halt(on_port(port::WEIGHT + i, channel::AR));
        }
        self.wants_halted();
    }

    /// A cycle of a halted machine: what is under way goes on, its data nowhere.
    fn halted(&mut self) {
        let active = self.units.in_flight();
        let offered = self.memory.out();
        let moved = self.wants & offered;
        self.written.clear();
        self.memory.step(moved, &self.requests, &mut self.written);
        let u = &mut self.units;
        let on_port = |p: usize, channels| moved & on(p, channels) != 0;
        let last = |p: usize| on_port(p, channel::R) && offered & on(p, channel::R_LAST) != 0;
        let read = |p: usize| (on_port(p, channel::AR), last(p));
        let (issued, retired) = read(port::ACT);
        u.load.burst.step_halted(issued, retired);
        let (issued, retired) = read(port::SECOND);
        u.load.second.step_halted(issued, retired);
        let (issued, retired) = read(port::COMMAND);
        u.fetch.burst.step_halted(issued, retired);
        for (i, burst) in u.weight.bursts().enumerate() {
            let (issued, retired) = read(port::WEIGHT + i);
            burst.step_halted(issued, retired);
        }
        u.store
            .step_halted((moved >> (8 * port::ACT)) & 0xff, &self.requests[port::ACT]);
        self.now += 1;
        if active {
            self.wants_halted();
        } else {
            self.reset();
            self.begin();
            self.derive_all();
        }
    }

    /// The masters' signals of a halted machine.
    fn wants_halted(&mut self) {
        let u = &mut self.units;
        let address = |open, channel| if open { channel } else { 0 };
        let read = |open| channel::R | address(open, channel::AR);
        let mut wants = on(port::ACT, read(u.load.burst.is_offered()) | channel::B)
            | on(
                port::ACT,
                address(u.store.burst.is_offered(), channel::AW)
                    | address(u.store.owes_beats(), channel::W),
            )
            | on(port::COMMAND, read(u.fetch.burst.is_offered()))
            | on(port::SECOND, read(u.load.second.is_offered()));
        for (i, burst) in u.weight.bursts().enumerate() {
            wants |= on(port::WEIGHT + i, read(burst.is_offered()));
        }
        self.wants = wants;
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
        let steps = u.compute.start(self.now, e, c);
        self.counters.busy += steps;
        if let Some(r) = &mut self.recorder {
            r.computes(e, self.now, u.compute.free_at(), steps);
        }
        if !self.values {
            return Ok(());
        }
        let saturated = exec::compute(c, &mut u.buffers);
        self.counters.saturated += saturated.map_err(|f| self.fault(e, f))?;
        Ok(())
    }

    fn load(
        &mut self,
        size: u64,
        start: Option<Entry>,
        [offered, moved]: [[u64; 2]; 2],
        local: bool,
        window: &[u8],
    ) -> Result<(), ExecError> {
        let u = &mut self.units;
        u.load
            .step(size, start, offered, moved, local, |e| match &e.body {
                Body::Load(l) => *l,
                _ => isa::Load::default(),
            });
        if let Some(e) = u.load.signal.clone() {
            if let Some(r) = &mut self.recorder {
                if let (Body::Load(l), false) = (&e.body, e.body.is_local()) {
                    r.moved(Track::Read(port::ACT), &e);
                    if l.both != 0 {
                        r.moved(Track::Read(port::SECOND), &e);
                    }
                }
                r.done(&e, self.now);
            }
            if let (Body::Load(l), true) = (&e.body, self.values) {
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
            let changed = moved | offered & u.weight.watches();
            u.weight.step_moved(size, offered, moved);
            self.record_weights();
            self.derive_weight(size, changed);
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
            if let (Body::Weight(w), true) = (&e.body, self.values) {
                exec::weight(e.kind, w, &mut u.buffers, window).map_err(|f| self.fault(&e, f))?;
            }
        }
        self.derive_weight(size, Signals::MAX);
        Ok(())
    }

    fn store(
        &mut self,
        size: u64,
        start: Option<Entry>,
        (moved, local): (u64, bool),
        before: Option<Counters>,
        window: &mut [u8],
    ) -> Result<(), ExecError> {
        let starts = start.clone();
        let request = &self.requests[port::ACT];
        let events = self
            .units
            .store
            .step(size, start, moved, request, local, |e| match &e.body {
                Body::Store(s) => *s,
                _ => isa::Store::default(),
            });
        // Local loads take their words before their store is complete.
        let early = starts.as_ref().filter(|e| e.body.is_local());
        let late = events.done.as_ref().filter(|e| !e.body.is_local());
        for e in early.into_iter().chain(late) {
            if let (Body::Store(s), store_kind::STORE, true) = (&e.body, e.kind, self.values) {
                let stored = exec::store(s, &mut self.units.buffers, window);
                stored.map_err(|f| self.fault(e, f))?;
            }
        }
        if let (Some(e), Some(r)) = (&events.done, &mut self.recorder) {
            if !e.body.is_local() {
                r.moved(Track::Write(port::ACT), e);
            }
            r.done(e, self.now);
        }
        if let (Some(e), Some(before)) = (&events.mark, before) {
            if let Some(r) = &mut self.recorder {
                r.mark(e.tag, self.now);
            }
            if let Body::Store(s) = &e.body {
                let at = s.ddr as u32 as usize;
                // A record that leaves the window is an error that the burst finds.
                if let Some(record) = window.get_mut(at..at + RECORD_BYTES) {
                    record.copy_from_slice(&before.to_bytes());
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

    /// Lets at most `limit` cycles pass in which only time and the beats within bursts go on.
    pub(super) fn coast(&mut self, limit: u64) {
        let d = &self.derived;
        let busy = d.awake != 0 || d.heads || d.local || self.start_pulse;
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
        let stop = on(port::ACT, self.units.load.watches())
            | on(port::SECOND, channel::R)
            | self.units.weight.watches() << (8 * port::WEIGHT);
        let cycles = self.memory.coast(self.wants, stop, limit, &mut room);
        let beats: [u64; MOST_PORTS] = std::array::from_fn(|p| before[p] - room[p]);
        self.units.load.take(beats[port::ACT]);
        self.units.weight.take(&beats[port::WEIGHT..port::SECOND]);
        self.units.fetch.take(beats[port::COMMAND]);
        self.now += cycles;
        if self.run {
            self.counters.read_beats += beats[port::ACT];
            self.count(0, cycles);
        }
    }

    fn count(&mut self, moved: Signals, cycles: u64) {
        let c = &mut self.counters;
        c.cycles += cycles;
        for p in [port::ACT, port::SECOND] {
            c.read_beats += u64::from(moved & on(p, channel::R) != 0);
        }
        c.write_beats += u64::from(moved & on(port::ACT, channel::W) != 0);
        // Waiting is charged to the queue whose token is lacking.
        match self.derived.lack {
            Some(Queue::Load) => c.wait_load += cycles,
            Some(Queue::Weight) => c.wait_weight += cycles,
            Some(Queue::Store) => c.wait_store += cycles,
            Some(Queue::Compute) | None => {}
        }
    }

    fn fault(&self, entry: &Entry, fault: Fault) -> ExecError {
        ExecError {
            index: self.commands as usize,
            queue: entry.queue(),
            tag: entry.tag,
            fault,
        }
    }
}
