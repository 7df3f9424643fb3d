//! The Verilog module around `cnna_top`: Vivado takes no SystemVerilog module as a block-design cell (UG994, limitations of
//! the module reference), and its attributes spell out the interfaces instead of leaving them to inference.

use super::{WRAPPER, cell, one_line};
use crate::ports::{self, Direction, InterfaceKind, Port, Role};
use cnna_machine::config::{BURST_BEATS, Board};
use std::collections::HashSet;

/// The wrapper's text. Ports are those of the [`cell`].
pub(crate) fn verilog(board: &Board) -> String {
    let ports = cell::ports(board);
    let mut opened = HashSet::new();
    let declarations: Vec<String> = ports
        .iter()
        .map(|p| {
            let direction = match p.direction {
                Direction::Input => "input",
                Direction::Output => "output",
            };
            format!(
                "{}    {direction:6} wire {:8}{}",
                attributes(p, board, &mut opened),
                p.range(),
                p.name
            )
        })
        .collect();
    let adapters = cell::adapters(board);
    let connections: Vec<String> = ports::ports(&board.accelerator)
        .iter()
        .map(|p| format!("        .{}({})", p.name, cell::net(board, p)))
        .collect();
    let (what, unused) = match cell::is_narrowed(board) {
        // Identities that come back, sizes and high address bits.
        true => (
            "adapters from 128-bit AXI4 to 64-bit AXI3",
            "/* verilator lint_off UNUSEDSIGNAL */\n",
        ),
        false => ("no logic", ""),
    };
    format!(
        "// Block-design cell around cnna_top; {what}. Generated for board {} from its port list.\n\
         `default_nettype none\n{unused}\
         module {WRAPPER} (\n{}\n);\n{adapters}    cnna_top top (\n{}\n    );\nendmodule\n`default_nettype wire\n",
        one_line(&board.name),
        declarations.join(",\n"),
        connections.join(",\n"),
    )
}

/// Attribute lines of one port; an interface's parameters stand at its first port.
fn attributes(port: &Port, board: &Board, opened: &mut HashSet<String>) -> String {
    let (info, parameters) = match &port.role {
        Role::Clock => {
            let all: Vec<_> = ports::interfaces(&board.accelerator)
                .into_iter()
                .map(|i| i.name)
                .collect();
            let parameters = format!(
                "ASSOCIATED_BUSIF {}, ASSOCIATED_RESET aresetn",
                all.join(":")
            );
            (
                "xilinx.com:signal:clock:1.0 aclk CLK".into(),
                Some((port.name.clone(), parameters)),
            )
        }
        Role::Reset => (
            "xilinx.com:signal:reset:1.0 aresetn RST".into(),
            Some((port.name.clone(), "POLARITY ACTIVE_LOW".into())),
        ),
        Role::Interrupt => (
            format!("xilinx.com:signal:interrupt:1.0 {} INTERRUPT", port.name),
            Some((port.name.clone(), "SENSITIVITY LEVEL_HIGH".into())),
        ),
        Role::Axi { interface, signal } => (
            format!(
                "xilinx.com:interface:aximm:1.0 {interface} {}",
                signal.to_uppercase()
            ),
            opened
                .insert(interface.clone())
                .then(|| (interface.clone(), axi_parameters(interface, board))),
        ),
    };
    let mut lines = format!("    (* X_INTERFACE_INFO = \"{info}\" *)\n");
    if let Some((name, parameters)) = parameters {
        lines += &format!(
            "    (* X_INTERFACE_PARAMETER = \"XIL_INTERFACENAME {name}, {parameters}\" *)\n"
        );
    }
    lines
}

/// What the interconnect may rely on. No frequency: the block design propagates it from the clock.
pub(crate) fn axi_parameters(interface: &str, board: &Board) -> String {
    let a = &board.accelerator;
    let kind = ports::interfaces(a)
        .into_iter()
        .find(|i| i.name == interface)
        .map(|i| i.kind);
    let (mode, writes) = match kind {
        Some(InterfaceKind::ReadWrite) => ("READ_WRITE", "1"),
        Some(InterfaceKind::Read) => ("READ_ONLY", "0"),
        _ => {
            return format!(
                "PROTOCOL AXI4LITE, DATA_WIDTH {}, ADDR_WIDTH {}, ID_WIDTH 0, HAS_PROT 0, HAS_WSTRB 1, READ_WRITE_MODE READ_WRITE",
                ports::REGISTER_DATA_BITS,
                ports::REGISTER_ADDRESS_BITS
            );
        }
    };
    let bus = cell::bus(board);
    format!(
        "PROTOCOL {}, DATA_WIDTH {}, ADDR_WIDTH {}, ID_WIDTH {}, READ_WRITE_MODE {mode}, HAS_BURST 1, HAS_LOCK 0, HAS_QOS 0, \
         HAS_REGION 0, HAS_CACHE 1, HAS_PROT 1, HAS_WSTRB {writes}, HAS_BRESP {writes}, HAS_RRESP 1, SUPPORTS_NARROW_BURST 0, \
         MAX_BURST_LENGTH {BURST_BEATS}, NUM_READ_OUTSTANDING {}, NUM_WRITE_OUTSTANDING {}",
        bus.protocol,
        bus.data_bits,
        bus.address_bits,
        bus.id_bits,
        a.outstanding,
        if writes == "1" { a.outstanding } else { 0 },
    )
}
