//! The RTL's constants package, generated from machine's tables: command fields, registers, error codes, modes, latencies.

use cnna_machine::{isa, regs, timing};
use std::fmt::Write as _;

/// Bits of the description of a pass that travels from the sequencer to the post-processing (`top`, `post.sv`).
pub(crate) const PASS_BITS: usize = 123;

/// The text of `cnna_pkg.sv`.
pub fn text() -> String {
    let mut s = String::from(
        "// Generated from the tables of cnna-machine; do not edit. Every constant is emitted, a design uses its part.\n\
         `default_nettype none\n/* verilator lint_off UNUSEDPARAM */\npackage cnna_pkg;\n",
    );
    s.push_str("  // Command fields: lowest bit in the 512-bit command, and width.\n");
    for (table, fields) in isa::TABLES {
        for f in fields {
            let name = format!("{}_{}", table.to_uppercase(), f.name.to_uppercase());
            let _ = writeln!(
                s,
                "  localparam int unsigned {name} = {}, {name}_W = {};",
                f.word * 32 + f.low as usize,
                f.width
            );
        }
    }
    s.push_str("  // Array modes.\n");
    for (name, value) in [
        ("WINOGRAD", isa::mode::WINOGRAD),
        ("DIRECT", isa::mode::DIRECT),
        ("VECTOR", isa::mode::VECTOR),
        ("POOL", isa::mode::POOL),
    ] {
        let _ = writeln!(s, "  localparam logic [1:0] MODE_{name} = 2'd{value};");
    }
    s.push_str("  // Registers: byte offsets.\n");
    for r in regs::ALL {
        let _ = writeln!(
            s,
            "  localparam logic [11:0] REG_{} = 12'h{:03x};",
            r.name, r.offset
        );
    }
    let _ = writeln!(
        s,
        "  localparam logic [31:0] ID_VALUE = 32'h{:08x};\n  localparam logic [31:0] VERSION_VALUE = 32'd{};",
        regs::ID_VALUE,
        regs::VERSION_VALUE
    );
    s.push_str("  // Error codes.\n");
    for e in regs::DeviceError::ALL {
        let _ = writeln!(
            s,
            "  localparam logic [7:0] ERROR_{} = 8'd{};",
            screaming(&format!("{e:?}")),
            e as u8
        );
    }
    s.push_str("  // Latencies that the simulator charges.\n");
    let _ = writeln!(
        s,
        "  localparam logic [7:0] TIMING_MIN_PASS = 8'd{};\n  localparam int unsigned TIMING_RELEASE = {};",
        timing::MIN_PASS,
        timing::RELEASE
    );
    let _ = writeln!(
        s,
        "  // Bits of a pass description.\n  localparam int unsigned PASS_W = {PASS_BITS};"
    );
    s.push_str("endpackage\n/* verilator lint_on UNUSEDPARAM */\n`default_nettype wire\n");
    s
}

/// `LoadAddress` to `LOAD_ADDRESS`.
fn screaming(name: &str) -> String {
    let mut s = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_uppercase() {
            s.push('_');
        }
        s.extend(c.to_uppercase());
    }
    s
}
