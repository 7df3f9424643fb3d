//! Tells a slow device from a hung one.
//!
//! On a board cycles always pass; in a simulator they pass slowly, and some simulators show no counter but `CYCLES` while
//! they run. So a device hangs when for the whole timeout no counter of work moved and either `CYCLES` stood still, or it
//! went far beyond what the compiler expected of the whole program.

use crate::device::Device;
use cnna_machine::regs::{self, Reg};
use std::time::{Duration, Instant};

/// Registers that move while work is being done.
const WORK: [Reg; 4] = [
    regs::COMMANDS,
    regs::BUSY,
    regs::READ_BEATS,
    regs::WRITE_BEATS,
];

pub(crate) struct HangDetector {
    timeout: Duration,
    /// Cycles without work that no sound program has.
    patience: u64,
    work: [u32; 4],
    /// Time and cycles since `work` moved.
    work_idle: Duration,
    work_cycles: u64,
    /// `CYCLES` at the last look.
    pub(crate) cycles: u32,
    /// Time since `cycles` moved.
    cycles_idle: Duration,
    /// The device has obeyed the start, so far as seen: `CYCLES` went back to 0.
    restarted: bool,
    looked: Instant,
}

impl HangDetector {
    /// `estimate`: the compiler's for the whole program, in cycles; 0 when it gave none.
    pub(crate) fn new(device: &dyn Device, timeout: Duration, estimate: u64) -> Self {
        let patience = match estimate {
            0 => 100_000_000,
            e => e.saturating_mul(20).max(1_000_000),
        };
        let cycles = device.read(regs::CYCLES);
        HangDetector {
            timeout,
            patience,
            work: WORK.map(|r| device.read(r)),
            work_idle: Duration::ZERO,
            work_cycles: 0,
            cycles,
            cycles_idle: Duration::ZERO,
            restarted: false,
            looked: Instant::now(),
        }
    }

    /// Looks at the counters; how long nothing has moved, if that is too long.
    pub(crate) fn look(&mut self, device: &dyn Device) -> Option<Duration> {
        // A host that was itself suspended has not waited: no single gap counts for much.
        let now = Instant::now();
        let gap = (now - self.looked).min(self.timeout / 8);
        self.looked = now;
        self.work_idle += gap;
        self.cycles_idle += gap;
        let (work, cycles) = (WORK.map(|r| device.read(r)), device.read(regs::CYCLES));
        // CYCLES is modulo 2^32, but the first step back is the start that the device has only now obeyed.
        let restart = !self.restarted && cycles < self.cycles;
        self.restarted |= restart;
        if restart || work != self.work {
            (self.work, self.work_idle, self.work_cycles) = (work, Duration::ZERO, 0);
        } else {
            self.work_cycles += u64::from(cycles.wrapping_sub(self.cycles));
        }
        if cycles != self.cycles {
            (self.cycles, self.cycles_idle) = (cycles, Duration::ZERO);
        }
        let hangs = self.cycles_idle > self.timeout || self.work_cycles > self.patience;
        (self.work_idle > self.timeout && hangs).then_some(self.work_idle)
    }
}
