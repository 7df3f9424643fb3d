//! The register map: one table, from which the RTL's constants, `docs/registers.md` and every access are made.
//!
//! Level-based: the host writes a sequence number to start, reads the last one done, and writes that back to acknowledge its
//! interrupt. No read has a side effect and no bit clears by being written, so a region of shared memory behaves like the
//! device.

use std::fmt::Write as _;

/// Who may write a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Written by the device, read by the host.
    Ro,
    /// Written and read by the host.
    Rw,
}

/// One 32-bit register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg {
    /// Name, also in the RTL.
    pub name: &'static str,
    /// Byte offset.
    pub offset: usize,
    /// Who writes it.
    pub access: Access,
    /// Meaning and unit.
    pub doc: &'static str,
}

macro_rules! registers {
    ($($name:ident = $offset:literal $access:ident $doc:literal)*) => {
        $(#[doc = $doc] pub const $name: Reg = Reg { name: stringify!($name), offset: $offset, access: Access::$access, doc: $doc };)*
        /// All registers, by offset.
        pub const ALL: &[Reg] = &[$($name),*];
    };
}

registers! {
    ID = 0x00 Ro "the letters CNNA: 0x434e4e41"
    VERSION = 0x04 Ro "version of the register map and command set"
    HASH_LO = 0x08 Ro "identity of the configuration, low word"
    HASH_HI = 0x0c Ro "identity of the configuration, high word"
    CONTROL = 0x10 Rw "bit 0: stop and reset. Transfers under way are ended as the bus demands, then all but the registers is reset until 0"
    START = 0x14 Rw "sequence number: a value other than DONE starts the program"
    DONE = 0x18 Ro "last sequence number completed (with or without error)"
    STATUS = 0x1c Ro "bit 0 busy, bit 1 AXI transfers in flight, bit 2 reset done since the last stop or error, bits 15:8 error code"
    ERROR_INFO = 0x20 Ro "head word of the command that failed, or 0"
    MEM_BASE_LO = 0x24 Rw "physical address of the window, low word, aligned to 4096"
    MEM_BASE_HI = 0x28 Rw "physical address of the window, high word"
    MEM_SIZE = 0x2c Rw "bytes of the window; no access leaves it"
    PROG_OFFSET = 0x30 Rw "byte offset of the command stream in the window, aligned to 64"
    PROG_COUNT = 0x34 Rw "commands in the stream"
    CYCLES = 0x38 Ro "cycles since the last start, frozen when done"
    SATURATED = 0x3c Ro "results changed by saturation since the last start"
    BUSY = 0x40 Ro "cycles in which the array took a step"
    WAIT_LOAD = 0x44 Ro "cycles in which compute waited for activations"
    WAIT_WEIGHT = 0x48 Ro "cycles in which compute waited for weights and not for activations"
    WAIT_STORE = 0x4c Ro "cycles in which compute waited for the store only"
    READ_BEATS = 0x50 Ro "beats read on the activation port"
    WRITE_BEATS = 0x54 Ro "beats written"
    COMMANDS = 0x58 Ro "commands dealt to the queues since the last start"
    IRQ_ENABLE = 0x5c Rw "bit 0: the interrupt line is high while DONE is not IRQ_ACK"
    IRQ_ACK = 0x60 Rw "sequence number whose interrupt the host has taken; the next program's cannot be lost by it"
}

/// Value of `ID`.
pub const ID_VALUE: u32 = 0x434e_4e41;
/// Value of `VERSION`.
pub const VERSION_VALUE: u32 = 3;
/// Bytes of the register block.
pub const BLOCK_BYTES: usize = 4096;
/// `STATUS` bit: a program runs.
pub const STATUS_BUSY: u32 = 1;
/// `STATUS` bit: AXI transfers are in flight.
pub const STATUS_IN_FLIGHT: u32 = 2;

/// `STATUS` bit: after `CONTROL` = 1 or an error, no transfer is left and the machine has been reset; until the next start.
pub const STATUS_RESET_DONE: u32 = 4;

/// Why the device stopped: the error code of `STATUS`. Of several at once, the first in this list is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeviceError {
    /// A load's address leaves the window.
    LoadAddress = 1,
    /// A weight command's address leaves the window.
    WeightAddress = 2,
    /// A store's address leaves the window.
    StoreAddress = 3,
    /// The command stream leaves the window.
    FetchAddress = 4,
    /// The memory answered with an error.
    Bus = 5,
    /// A command's field would hang the machine (a zero count).
    Command = 6,
}

impl DeviceError {
    /// All codes.
    pub const ALL: [DeviceError; 6] = [
        DeviceError::LoadAddress,
        DeviceError::WeightAddress,
        DeviceError::StoreAddress,
        DeviceError::FetchAddress,
        DeviceError::Bus,
        DeviceError::Command,
    ];

    /// From the code in `STATUS`; `None` for 0 and unknown codes.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|e| *e as u8 == code)
    }
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeviceError::LoadAddress => "a load leaves the memory window",
            DeviceError::WeightAddress => "a weight read leaves the memory window",
            DeviceError::StoreAddress => "a store leaves the memory window",
            DeviceError::FetchAddress => "the command stream leaves the memory window",
            DeviceError::Bus => "the memory answered with an error",
            DeviceError::Command => "a command is malformed",
        })
    }
}

/// The register map as Markdown: `docs/registers.md` must equal it.
pub fn describe() -> String {
    let mut s = String::from(
        "# Registers\n\nGenerated from `machine/src/regs.rs`; a test compares them. 32 bits each, AXI4-Lite.\n\n| offset | name | access | meaning |\n|---|---|---|---|\n",
    );
    for r in ALL {
        let access = match r.access {
            Access::Ro => "ro",
            Access::Rw => "rw",
        };
        let _ = writeln!(
            s,
            "| 0x{:02x} | {} | {access} | {} |",
            r.offset, r.name, r.doc
        );
    }
    s.push_str("\n## Error codes\n\n| code | meaning |\n|---|---|\n");
    for e in DeviceError::ALL {
        let _ = writeln!(s, "| {} | {e} |", e as u8);
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_dense_and_in_order() {
        for (i, r) in ALL.iter().enumerate() {
            assert_eq!(r.offset, i * 4, "{}", r.name);
        }
    }
}
