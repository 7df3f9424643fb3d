//! A machine without a board: what the cycle simulator and the verilated RTL both are, and what a server can serve.

use crate::regs::Reg;

/// An engine failed in a way that no register can tell.
#[derive(Debug, thiserror::Error)]
#[error("{engine}: {message}")]
pub struct EngineError {
    /// Which engine.
    pub engine: &'static str,
    /// What happened and what to do.
    pub message: String,
}

/// A simulated device: registers, and time that passes only when asked. The memory window belongs to the caller.
pub trait Engine {
    /// Reads a register; no side effect.
    fn read(&mut self, reg: Reg) -> u32;
    /// Writes a register.
    fn write(&mut self, reg: Reg, value: u32);
    /// Lets at most `cycles` cycles pass while a program runs; returns true while it still does.
    ///
    /// `window` is the memory window, from its first byte (what `MEM_BASE` points to on a board).
    fn advance(&mut self, window: &mut [u8], cycles: u64) -> Result<bool, EngineError>;
}
