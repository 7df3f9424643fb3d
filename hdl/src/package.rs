//! The RTL's constants package, generated from machine's tables: command fields, registers, error codes, modes, latencies.

use cnna_machine::{config, counters, isa, num, regs, timing};
use std::fmt::Write as _;

/// The description of a pass that travels from the sequencer to the post-processing: fields and bits, from the highest.
pub(crate) const PASS: [(&str, usize); 25] = [
    ("last", 1),
    ("signal", 1),
    ("mode", 2),
    ("relu", 1),
    ("pool", 1),
    ("paired", 1),
    ("reuses", 1),
    ("begins", 1),
    ("residual", 1),
    ("residual_last", 1),
    ("act", 2),
    ("act_set", 1),
    ("per_channel", 1),
    ("rows", 3),
    ("lacking", 4),
    ("short_row", 2),
    ("shift", 8),
    ("bias_row", 8),
    ("last_lane", 16),
    ("line", 16),
    ("quarter", 2),
    ("row_pitch", 16),
    ("c_pitch", 16),
    ("width", 16),
    ("xcol", 16),
];

/// Bits of it.
pub(crate) fn pass_bits() -> usize {
    PASS.iter().map(|(_, bits)| bits).sum()
}

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
    s.push_str("  // Array modes, kinds of commands.\n");
    for (field, values) in isa::VALUES {
        // Each as wide as the largest needs.
        let most = values.iter().map(|(_, v)| *v).max().unwrap_or(0);
        let bits = if most > 3 { 3 } else { 2 };
        for (name, value) in values {
            let (field, high) = (field.to_uppercase(), bits - 1);
            let _ = writeln!(
                s,
                "  localparam logic [{high}:0] {field}_{name} = {bits}'d{value};"
            );
        }
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
        "  localparam logic [7:0] TIMING_MIN_PASS = 8'd{};",
        timing::MIN_PASS
    );
    s.push_str("  // Activation sets.\n");
    let _ = writeln!(
        s,
        "  localparam int unsigned SETS = {}, SET_PITCH = {};",
        isa::SETS,
        isa::SET_PITCH
    );
    s.push_str("  // Accumulators and shifts: docs/numerics.md.\n");
    let _ = writeln!(
        s,
        "  localparam int unsigned ACC_W = {}, WINOGRAD_BITS = {}, SHIFT_MAX = {};",
        num::ACC_BITS,
        num::WINOGRAD_BITS,
        num::SHIFT_RANGE.end()
    );
    s.push_str("  // Queues and bursts in flight.\n");
    for (name, depth) in config::depth::ALL {
        let _ = writeln!(s, "  localparam int unsigned DEPTH_{name} = {depth};");
    }
    let _ = writeln!(
        s,
        "  // Bytes of a mark's record.\n  localparam int unsigned RECORD_BYTES = {};",
        counters::RECORD_BYTES
    );
    s.push_str("  // A pass, for the post-processing.\n  typedef struct packed {\n");
    for (name, bits) in PASS {
        let _ = writeln!(s, "    logic [{}:0] {name};", bits - 1);
    }
    let _ = writeln!(
        s,
        "  }} pass_t;\n  localparam int unsigned PASS_W = {};",
        pass_bits()
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
