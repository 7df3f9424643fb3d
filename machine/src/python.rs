//! The machine's facts for the board's Python driver, which has no native half: `python/cnna/pynq/machine.py`.

use crate::regs::{Access, DeviceError};
use crate::{counters, isa, program, regs};
use std::fmt::Write as _;

/// The module's text: the file must equal it.
pub fn describe() -> String {
    let mut s = String::from(
        "\"\"\"Registers, errors, counters and the program file. Generated from `machine/src/regs.rs`, `counters.rs` and\n`program.rs`; a test compares them.\"\"\"\n\nfrom typing import Dict, NamedTuple, Tuple\n\n\nclass Register(NamedTuple):\n    \"\"\"One 32-bit register.\"\"\"\n\n    offset: int\n    access: str\n    doc: str\n\n\nREGISTERS: Dict[str, Register] = {\n",
    );
    // Writing to a String cannot fail.
    for r in regs::ALL {
        let access = match r.access {
            Access::Ro => "ro",
            Access::Rw => "rw",
        };
        let _ = writeln!(
            s,
            "    \"{}\": Register(0x{:02x}, \"{access}\", {:?}),",
            r.name, r.offset, r.doc
        );
    }
    s.push_str("}\n\nERRORS: Dict[int, str] = {\n");
    for e in DeviceError::ALL {
        let _ = writeln!(s, "    {}: \"{e}\",", e as u8);
    }
    let record = counters::REGISTERS.map(|r| format!("\"{}\"", r.name.to_lowercase()));
    let _ = writeln!(s, "}}\n\nRECORD: Tuple[str, ...] = ({})", record.join(", "));
    let numbers: [(&str, usize); 8] = [
        ("ID_VALUE", regs::ID_VALUE as usize),
        ("VERSION_VALUE", regs::VERSION_VALUE as usize),
        ("BLOCK_BYTES", regs::BLOCK_BYTES),
        ("STATUS_BUSY", regs::STATUS_BUSY as usize),
        ("STATUS_IN_FLIGHT", regs::STATUS_IN_FLIGHT as usize),
        ("STATUS_RESET_DONE", regs::STATUS_RESET_DONE as usize),
        ("COMMAND_BYTES", isa::COMMAND_BYTES),
        ("PROGRAM_FORMAT", program::FORMAT as usize),
    ];
    for (name, value) in numbers {
        let _ = writeln!(s, "{name} = {value:#x}");
    }
    let magic: String = program::MAGIC.iter().map(|&b| char::from(b)).collect();
    let _ = writeln!(
        s,
        "PROGRAM_MAGIC = b\"{magic}\"\nPROGRAM_HEADER_BYTES = {}",
        program::HEADER
    );
    s
}
