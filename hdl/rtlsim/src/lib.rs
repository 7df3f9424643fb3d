//! The RTL itself as an engine: verilated once per configuration, driven cycle by cycle against the shared memory model.
//!
//! Registers are reached over the real AXI4-Lite port. While a program runs, reads return the values of the last idle
//! moment (with the busy bit set): an access would take cycles that the memory model does not see. A stop is written in the
//! next cycle that passes. Runs of minutes leave checkpoints, from which the same run goes on after an interruption.

mod build;
mod checkpoint;
mod error;
mod ffi;
mod protocol;

use checkpoint::{Checkpoint, State};
use cnna_machine::config::Board;
use cnna_machine::engine::{Engine, EngineError};
use cnna_machine::memory::{Memory, Request, Written, channel, on};
use cnna_machine::regs::{self, Reg};
use protocol::Watch;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use build::{Model, build, build_files};
pub use error::RtlsimError;

/// A verilated accelerator with its memory's timing.
pub struct Rtl {
    model: ffi::Model,
    board: Board,
    memory: Memory,
    input: ffi::In,
    output: ffi::Out,
    watch: Watch,
    /// A broken rule of the bus.
    broken: Option<String>,
    bad_answer: Option<BadAnswer>,
    requests: Vec<Request>,
    written: Vec<Written>,
    base: u64,
    /// Values written to the registers.
    given: Vec<u32>,
    running: bool,
    /// A value of `CONTROL` to be written in the next cycle.
    control: Option<u32>,
    idle_values: Vec<u32>,
    library: PathBuf,
    /// Time between checkpoints.
    every: Duration,
    /// Cycles since the start, and what has been written of the window since.
    cycles: u64,
    touched: Range<usize>,
    /// The run's checkpoint, once its first cycle is due, and when it was last written.
    checkpoint: Option<(Checkpoint, Instant)>,
}

/// An answer of the memory that is to be an error.
#[derive(Clone, Copy, Debug)]
pub struct BadAnswer {
    /// The port, as [`cnna_machine::config::port`] counts them.
    pub port: usize,
    /// A write's response, or a read's data.
    pub write: bool,
    /// So many answers come before it.
    pub left: u64,
}

/// The response of a memory that failed.
const SLVERR: u8 = 2;
/// Cycles from a write of `CONTROL` to the reset of a machine with nothing in flight.
const SETTLE: usize = 8;
/// Runs that take no longer leave no checkpoint.
const EVERY: Duration = Duration::from_secs(30);

impl Rtl {
    /// Builds (or finds in `cache`) and resets the RTL of a board.
    pub fn new(board: &Board, cache: &Path) -> Result<Self, RtlsimError> {
        Self::of_library(board, build::build(board, cache, None)?)
    }

    /// Resets the RTL in a library that [`build`] or [`build_files`] has made for the board.
    pub fn of_library(board: &Board, library: PathBuf) -> Result<Self, RtlsimError> {
        let a = &board.accelerator;
        let mut rtl = Rtl {
            model: ffi::Model::load(&library)?,
            board: board.clone(),
            memory: Memory::new(&board.memory, a.port_numbers(), a.beat_bytes()),
            input: ffi::In::default(),
            output: ffi::Out::default(),
            watch: Watch::new(a.port_numbers(), a.beat_bytes()),
            broken: None,
            bad_answer: None,
            requests: vec![Request::default(); a.port_numbers()],
            written: Vec::new(),
            base: 0,
            given: vec![0; regs::ALL.len()],
            running: false,
            control: None,
            idle_values: vec![0; regs::ALL.len()],
            library,
            every: EVERY,
            cycles: 0,
            touched: 0..0,
            checkpoint: None,
        };
        rtl.input.aresetn = 0;
        for _ in 0..8 {
            rtl.clock();
        }
        rtl.input.aresetn = 1;
        for _ in 0..4 {
            rtl.clock();
        }
        Ok(rtl)
    }

    /// The same, with a checkpoint each `every` of run time instead of twice a minute.
    pub fn with_checkpoints(
        board: &Board,
        cache: &Path,
        every: Duration,
    ) -> Result<Self, RtlsimError> {
        Ok(Rtl {
            every,
            ..Rtl::new(board, cache)?
        })
    }

    /// One of the memory's answers from now on is a bus error.
    pub fn fail(&mut self, answer: BadAnswer) {
        self.bad_answer = Some(answer);
    }

    fn clock(&mut self) {
        self.model.cycle(&self.input, &mut self.output);
        if let Err(rule) = self.watch.look(&self.input, &self.output) {
            self.broken.get_or_insert(rule);
        }
    }

    /// Puts the error that is due into the answer that is on offer; whether it does.
    fn spoil(&mut self) -> bool {
        let Some(bad) = &self.bad_answer else {
            return false;
        };
        let port = &mut self.input.port[bad.port];
        let (valid, response) = match bad.write {
            true => (port.bvalid, &mut port.bresp),
            false => (port.rvalid, &mut port.rresp),
        };
        *response = if bad.left == 0 { SLVERR } else { 0 };
        valid != 0
    }

    /// The answer on offer was taken, or not.
    fn spoilt(&mut self) {
        let Some(bad) = &mut self.bad_answer else {
            return;
        };
        let output = &self.output.port[bad.port];
        let taken = match bad.write {
            true => output.bready,
            false => output.rready,
        };
        if taken != 0 && bad.left == 0 {
            let port = &mut self.input.port[bad.port];
            (port.rresp, port.bresp) = (0, 0);
            self.bad_answer = None;
        } else if taken != 0 {
            bad.left -= 1;
        }
    }

    fn access(&mut self, reg: Reg, value: Option<u32>) -> u32 {
        // The memory stands still meanwhile: no address is accepted, nothing is offered.
        for p in &mut self.input.port {
            *p = ffi::PortIn::default();
        }
        self.input.awaddr = reg.offset as u32;
        self.input.araddr = reg.offset as u32;
        self.input.wdata = value.unwrap_or(0);
        self.input.awvalid = u8::from(value.is_some());
        self.input.arvalid = u8::from(value.is_none());
        let mut waited = 0;
        loop {
            self.clock();
            if self.output.awready | self.output.arready != 0 {
                self.input.awvalid = 0;
                self.input.arvalid = 0;
            }
            if self.output.bvalid | self.output.rvalid != 0 {
                return self.output.rdata;
            }
            waited += 1;
            assert!(
                waited < 100,
                "the register port answers within a few cycles"
            );
        }
    }

    /// One cycle with the memory. Returns false when the accelerator is idle.
    fn run_cycle(&mut self, window: &mut [u8]) -> Result<bool, EngineError> {
        let beat = self.board.accelerator.beat_bytes();
        let outside = |what: &str, addr: u64| EngineError {
            engine: "rtl",
            message: format!("{what} at window offset {addr:#x} outside the window"),
        };
        let ports = self.requests.len();
        for (p, port) in self.input.port[..ports].iter_mut().enumerate() {
            let signal = |c: u64| u8::from(self.memory.out() & on(p, c) != 0);
            port.arready = signal(channel::AR);
            port.rvalid = signal(channel::R);
            port.rlast = signal(channel::R_LAST);
            port.awready = signal(channel::AW);
            port.wready = signal(channel::W);
            port.bvalid = signal(channel::B);
            if port.rvalid != 0 {
                let from = self.memory.read_address(p);
                let at = from as usize;
                let data = window
                    .get(at..at + beat)
                    .ok_or_else(|| outside("read", from))?;
                for (word, bytes) in port.rdata.iter_mut().zip(data.chunks_exact(4)) {
                    *word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
                }
            }
        }
        let answers = self.spoil();
        let control = self.control.take();
        self.input.awvalid = u8::from(control.is_some());
        if let Some(value) = control {
            self.input.awaddr = regs::CONTROL.offset as u32;
            self.input.wdata = value;
        }
        self.clock();
        self.input.awvalid = 0;
        if answers {
            self.spoilt();
        }
        if self.output.busy == 0 {
            return Ok(false);
        }
        let mut wants = 0;
        for (p, request) in self.requests.iter_mut().enumerate() {
            let o = &self.output.port[p];
            *request = Request {
                araddr: o.araddr.wrapping_sub(self.base),
                arbeats: u32::from(o.arlen) + 1,
                awaddr: o.awaddr.wrapping_sub(self.base),
                awbeats: u32::from(o.awlen) + 1,
            };
            for (signal, c) in [
                (o.arvalid, channel::AR),
                (o.rready, channel::R),
                (o.awvalid, channel::AW),
                (o.wvalid, channel::W),
                (o.bready, channel::B),
            ] {
                wants |= on(p, if signal != 0 { c } else { 0 });
            }
        }
        self.written.clear();
        self.memory.step(wants, &self.requests, &mut self.written);
        for w in &self.written {
            // Beats of a stopped program have no strobes: the memory keeps what it has.
            if self.output.port[w.port].wstrb == 0 {
                continue;
            }
            let at = w.addr as usize;
            self.touched = match self.touched.is_empty() {
                true => at..at + beat,
                false => self.touched.start.min(at)..self.touched.end.max(at + beat),
            };
            let to = window
                .get_mut(at..at + beat)
                .ok_or_else(|| outside("write", w.addr))?;
            for (word, bytes) in self.output.port[w.port]
                .wdata
                .iter()
                .zip(to.chunks_exact_mut(4))
            {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        Ok(true)
    }

    /// At a run's first cycle goes on from the run's checkpoint, if an interrupted one left it; later writes it when due.
    fn keep(&mut self, window: &mut [u8]) -> Result<(), RtlsimError> {
        let Some((c, last)) = &self.checkpoint else {
            let memory = format!("{:?}", self.board.memory);
            let c = Checkpoint::of(&self.library, &memory, &self.given, window);
            if let Some(state) = c.read(window, |path| self.model.restore(path))? {
                (self.memory, self.watch) = (state.memory, state.watch);
                (self.cycles, self.touched) = (state.cycles, state.written);
            }
            self.checkpoint = Some((c, Instant::now()));
            return Ok(());
        };
        if last.elapsed() >= self.every {
            let c = c.clone();
            let state = State {
                memory: self.memory.clone(),
                watch: self.watch.clone(),
                cycles: self.cycles,
                written: self.touched.clone(),
            };
            c.write(&state, window, |path| self.model.save(path))?;
            self.checkpoint = Some((c, Instant::now()));
        }
        Ok(())
    }

    /// Lets an idle machine come to rest after a write of `CONTROL`.
    fn settle(&mut self) {
        for _ in 0..SETTLE {
            self.clock();
        }
    }

    fn refresh(&mut self) {
        for (i, r) in regs::ALL.iter().enumerate() {
            self.idle_values[i] = self.access(*r, None);
        }
    }
}

impl Engine for Rtl {
    fn read(&mut self, reg: Reg) -> u32 {
        if !self.running {
            return self.access(reg, None);
        }
        let value = self.idle_values[reg.offset / 4];
        match reg {
            regs::STATUS => value & !regs::STATUS_RESET_DONE | regs::STATUS_BUSY,
            regs::CYCLES => self.cycles as u32,
            _ => value,
        }
    }

    fn write(&mut self, reg: Reg, value: u32) {
        match reg {
            regs::MEM_BASE_LO => self.base = self.base & !0xffff_ffff | u64::from(value),
            regs::MEM_BASE_HI => self.base = self.base & 0xffff_ffff | u64::from(value) << 32,
            regs::START if !self.running => self.refresh(),
            _ => {}
        }
        self.given[reg.offset / 4] = value;
        if reg == regs::CONTROL && self.running {
            self.control = Some(value);
            return;
        }
        self.access(reg, Some(value));
        if reg == regs::CONTROL {
            self.settle();
        }
        let starts = value != self.idle_values[regs::DONE.offset / 4];
        if reg == regs::START && !self.running && starts {
            self.memory.restart();
            self.running = true;
            (self.cycles, self.touched, self.checkpoint) = (0, 0..0, None);
        }
        if reg == regs::MEM_BASE_HI {
            self.base &= (1 << cnna_hdl::ports::ADDRESS_BITS) - 1;
        }
    }

    fn advance(&mut self, window: &mut [u8], cycles: u64) -> Result<bool, EngineError> {
        if self.running {
            self.keep(window).map_err(|e| EngineError {
                engine: "rtl",
                message: format!("its checkpoint: {e}"),
            })?;
        }
        for _ in 0..cycles {
            if !self.running {
                break;
            }
            self.cycles += 1;
            if !self.run_cycle(window)? {
                self.running = false;
                if let Some(control) = self.control.take() {
                    self.access(regs::CONTROL, Some(control));
                }
                self.settle();
                if let Some((c, _)) = self.checkpoint.take() {
                    c.remove();
                }
            }
            if let Some(rule) = self.broken.take() {
                return Err(EngineError {
                    engine: "rtl",
                    message: format!("{rule}: the RTL breaks the bus"),
                });
            }
            if self.model.failed() {
                return Err(EngineError {
                    engine: "rtl",
                    message: "an assertion of the RTL failed: see the messages above".into(),
                });
            }
        }
        Ok(self.running)
    }
}
