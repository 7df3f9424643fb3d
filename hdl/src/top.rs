//! `cnna_top`: ports, control blocks, engines, buffers, array and post-processing, wired for one configuration.
//!
//! Structure only: rust-hdl blocks of [`crate::control`] and SystemVerilog modules of `hdl/rtl`, put together by
//! [`cnna_emit::builder`], which checks every name, width and driver before anything is emitted. Ports are those of [`crate::ports`].

mod control;
mod datapath;
mod masters;
mod sequencer;

use crate::ports::{self, Direction};
use cnna_emit::builder::{Net, Top, TopBuilder, WiringError};
use cnna_emit::{Emitter, Module};
use cnna_machine::config::{Accelerator, Board};
use cnna_machine::isa::{self, COMMAND_BYTES, Field};

/// Bits of a command.
const COMMAND_BITS: usize = 8 * COMMAND_BYTES;
/// The queues, in the order of `isa::Queue`, as wires are called after them.
const QUEUES: [&str; 4] = ["load", "weight", "compute", "store"];

/// The checked structure.
///
/// # Errors
/// [`WiringError`] if modules and structure do not fit: a mistake in this crate, whatever the configuration.
pub fn structure(accelerator: &Accelerator) -> Result<Top, WiringError> {
    let mut top = TopBuilder::new("cnna_top");
    for p in ports::ports(accelerator) {
        top = match p.direction {
            Direction::Input => top.input(&p.name, p.width),
            Direction::Output => top.output(&p.name, p.width),
        };
    }
    top = masters::wire(top, accelerator);
    top = control::wire(top, accelerator);
    top = sequencer::wire(top, accelerator);
    top = datapath::wire(top, accelerator);
    top.build()
}

/// The text of the rust-hdl blocks and of the top, which comes last.
///
/// # Errors
/// As [`structure`].
pub fn modules(board: &Board) -> Result<Vec<Module>, WiringError> {
    let hash = format!("{:016x}", board.accelerator.hash());
    let mut emitter = Emitter::new(&board.name, &hash)
        .prefix("cnna_")
        .name("cnna_top.i_tokens.load_compute", "cnna_token_count")
        .name("cnna_top.i_sequencer.tile_loop", "cnna_loop_count");
    for (module, text) in PURPOSES {
        emitter = emitter.purpose(module, text);
    }
    structure(&board.accelerator)?.emit(&emitter)
}

/// What the emitted modules say of themselves.
const PURPOSES: &[(&str, &str)] = &[
    ("cnna_resets", "Resets from the pin and from the host."),
    (
        "cnna_registers",
        "Registers: AXI4-Lite slave, start and end of programs, errors, interrupt.\nRead data two cycles after the address.",
    ),
    ("cnna_counters", "Counters of a program."),
    (
        "cnna_status",
        "Busy, and beats on the activation port. Combinational.",
    ),
    (
        "cnna_bus_error",
        "Remembers an error response of the memory.",
    ),
    (
        "cnna_fetch",
        "Deals the program's commands to the queues and refuses malformed ones.\nOne command every (beats a command + 1) cycles.",
    ),
    ("cnna_token_count", "Tokens on one path between queues."),
    (
        "cnna_tokens",
        "Which queues may start their next command. Combinational from the counters; a token counts from the next cycle.",
    ),
    (
        "cnna_loop_count",
        "One loop of compute's loop nest: whether it stands at its first and its last turn.",
    ),
    (
        "cnna_sequencer",
        "Compute's loops: one step a cycle; the last step of a pass waits for the drain queue.\nWhat moves with a step leaves one cycle after it, its flags one more.",
    ),
    (
        "cnna_window",
        "Addresses, position and size of a step's window, two cycles after the step.",
    ),
    (
        "cnna_weight_address",
        "Row of the weight buffer, two cycles after the step.",
    ),
    ("cnna_result_address", "Where a pass's results go."),
    (
        "cnna_top",
        "Structure only: control, queues, engines, buffers, array, post-processing.",
    ),
];

/// A field of a command that is on `wire`, by the tables of machine.
fn field(wire: &str, fields: &[Field], name: &str) -> Net {
    let f = fields
        .iter()
        .find(|f| f.name == name)
        .unwrap_or_else(|| panic!("machine has no command field `{name}`"));
    Net::part(wire, 32 * f.word + f.low as usize, f.width as usize)
}

/// A field of word 0.
fn head(wire: &str, name: &str) -> Net {
    field(wire, isa::Head::FIELDS, name)
}

/// A field of a compute command.
fn compute(wire: &str, name: &str) -> Net {
    field(wire, isa::Compute::FIELDS, name)
}

/// Bits that address `depth` entries.
fn address_bits(depth: usize) -> usize {
    depth.next_power_of_two().trailing_zeros() as usize
}

/// Drives `wire` (declared here) from nets and their widths, lowest first.
fn join(mut top: TopBuilder, wire: &str, parts: &[(Net, usize)]) -> TopBuilder {
    top = top.wire(wire, parts.iter().map(|p| p.1).sum());
    let mut at = 0;
    for (net, width) in parts {
        top = top.assign(Net::part(wire, at, *width), net.clone());
        at += width;
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_has_the_listed_ports_in_order_for_every_shape() {
        let shapes = [
            ("1", "2", "8", "1"),
            ("2", "11", "16", "3"),
            ("4", "22", "16", "4"),
        ];
        for (tiles, lanes, word, weight_ports) in shapes {
            let set = [
                ("tiles", tiles),
                ("lanes", lanes),
                ("word", word),
                ("weight_ports", weight_ports),
                ("bias_depth", "128"),
            ]
            .map(|(k, v)| (k.to_string(), v.to_string()));
            let board = Board::load("ultra96", &set).expect("in range");
            let top = structure(&board.accelerator).expect("the parts fit");
            let listed = ports::ports(&board.accelerator);
            let listed: Vec<_> = listed
                .iter()
                .map(|p| (p.name.as_str(), p.width, p.direction == Direction::Output))
                .collect();
            assert_eq!(top.ports(), listed);
            let modules = modules(&board).expect("every block is in the back end's subset");
            assert_eq!(modules.last().map(|m| m.name.as_str()), Some("cnna_top"));
            for (name, _) in PURPOSES {
                assert!(modules.iter().any(|m| m.name == *name), "{name}");
            }
        }
    }
}
