//! The cycle-level machine: every unit's registers, stepped a cycle at a time, against the shared memory model.
//!
//! Each unit is its RTL module without the data; its cycle is the RTL's cycle, so counts are equal, not near. Values come
//! from [`crate::exec`], once a command: at its start for compute, at its completion for the transfers.

mod burst;
mod compute;
mod cycle;
mod derived;
mod fetch;
mod load;
mod queue;
mod record;
mod store;
mod units;
mod weight;

use crate::timeline::{Recorder, Recording};
use cnna_machine::config::Board;
use cnna_machine::counters::Counters;
use cnna_machine::engine::{Engine, EngineError};
use cnna_machine::memory::{Memory, Request, Signals, Written};
use cnna_machine::regs::{self, DeviceError, Reg};
use derived::Derived;
use units::Units;

/// How far a stop has come, after `CONTROL` = 1 or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// `CONTROL` has been written; the machine halts so many cycles later.
    Coming(u32),
    /// No new bursts; those under way end without effect.
    Halted,
    /// Reset, by the host's wish or after an error.
    Done,
}

/// Cycles from the one in which `CONTROL` is written to the halt.
const TO_HALT: u32 = 2;

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
    stop: Stop,
    counters: Counters,
    /// Commands dealt since the start.
    commands: u64,
    recorder: Option<Recorder>,
    /// Values are computed, not only times.
    values: bool,
}

impl Machine {
    /// An idle machine of a board's configuration and memory model.
    pub fn new(board: &Board) -> Self {
        let a = &board.accelerator;
        let mut m = Machine {
            board: board.clone(),
            registers: vec![0; regs::ALL.len()],
            units: Units::new(board),
            memory: Memory::new(&board.memory, a.port_numbers(), a.beat_bytes()),
            wants: 0,
            requests: vec![Request::default(); a.port_numbers()],
            written: Vec::new(),
            derived: Derived::default(),
            now: 0,
            run: false,
            start_pulse: false,
            stop: Stop::No,
            counters: Counters::default(),
            commands: 0,
            recorder: None,
            values: true,
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
        Machine {
            recorder: Some(Recorder::new(recording)),
            ..Machine::new(board)
        }
    }

    /// A machine that takes its time and computes nothing: some twice as fast. Cycles do not depend on values; results and
    /// saturation counts are meaningless.
    pub fn timing(board: &Board) -> Self {
        Machine {
            values: false,
            ..Machine::new(board)
        }
    }

    fn get(&self, r: Reg) -> u32 {
        self.registers[r.offset / 4]
    }
    fn set(&mut self, r: Reg, v: u32) {
        self.registers[r.offset / 4] = v;
    }

    /// The program ends.
    fn ends(&mut self, error: Option<DeviceError>, head: u32) {
        self.run = false;
        self.set(regs::ERROR_INFO, head);
        let code = error.map_or(0, |e| e as u32);
        let done = self.get(regs::START);
        self.set(regs::DONE, done);
        self.set(regs::STATUS, code << 8);
        if let Some(r) = &mut self.recorder {
            r.waits(None, 0, self.now);
        }
        if error.is_some() {
            self.stop = Stop::Halted;
        }
    }

    /// Nothing is in flight: clears all but the registers.
    fn reset(&mut self) {
        self.units = Units::new(&self.board);
        self.run = false;
        self.stop = Stop::Done;
        // An error stays to be read until the host resets.
        if self.get(regs::CONTROL) & 1 != 0 {
            self.set(regs::STATUS, 0);
            self.set(regs::ERROR_INFO, 0);
        }
        self.derive_all();
    }

    /// A program runs, or its transfers are not all answered.
    fn is_active(&self) -> bool {
        self.run || self.units.in_flight() || self.stop == Stop::Halted
    }

    /// Starts a program that waits for it, if the machine is free.
    fn begin(&mut self) {
        if self.get(regs::START) == self.get(regs::DONE)
            || self.run
            || matches!(self.stop, Stop::Coming(_) | Stop::Halted)
        {
            return;
        }
        self.memory.restart();
        (self.counters, self.commands) = (Counters::default(), 0);
        self.set(regs::STATUS, 0);
        self.set(regs::ERROR_INFO, 0);
        self.run = true;
        self.start_pulse = true;
        self.stop = Stop::No;
        if let Some(r) = &mut self.recorder {
            r.begin(self.now);
        }
    }

    fn size(&self) -> u64 {
        u64::from(self.get(regs::MEM_SIZE))
    }
}

impl Engine for Machine {
    fn read(&mut self, reg: Reg) -> u32 {
        if let Some(value) = self.counters.read(reg) {
            return value;
        }
        match reg {
            regs::COMMANDS => self.commands as u32,
            regs::STATUS => {
                let mut status = self.get(regs::STATUS);
                if self.run {
                    status |= regs::STATUS_BUSY;
                }
                if self.units.in_flight() {
                    status |= regs::STATUS_IN_FLIGHT;
                }
                if self.stop == Stop::Done {
                    status |= regs::STATUS_RESET_DONE;
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
            self.set(regs::STATUS, 0);
            self.set(regs::ERROR_INFO, 0);
            match self.stop {
                Stop::Halted | Stop::Coming(_) => {}
                _ if self.is_active() => self.stop = Stop::Coming(TO_HALT),
                _ => self.reset(),
            }
        }
        if self.get(regs::CONTROL) & 1 != 0 {
            let done = self.get(regs::DONE);
            self.set(regs::START, done);
        }
        self.begin();
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
            if self.is_active() && self.stop == Stop::No {
                self.coast(end - self.now);
            }
        }
        if !self.is_active() && matches!(self.stop, Stop::Coming(_)) {
            self.reset();
        }
        Ok(self.is_active())
    }
}
