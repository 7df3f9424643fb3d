//! The block-design cell: `cnna_top`, and where the processing system's memory ports are AXI3 of half its width, an adapter in
//! front of each. Its ports are what block design and packaged IP see.

use super::ps;
use crate::ports::{self, Direction, Interface, InterfaceKind, Port, Role};
use cnna_machine::config::Board;

/// Identity bits of a memory port of the Zynq-7000 (UG585); the accelerator has one identity, 0.
const ID_BITS: usize = 6;
/// Address bits of these ports.
const ADDRESS_BITS: usize = 32;
/// Data bits that an adapter makes of twice as many.
const DATA_BITS: usize = 64;

/// The board's cell has adapters from AXI4 of 128 bits to AXI3 of 64.
pub fn is_narrowed(board: &Board) -> bool {
    let memory = ps::of(board.platform.family).port;
    memory == (DATA_BITS, "AXI3") && 8 * board.accelerator.beat_bytes() == 2 * DATA_BITS
}

/// What the cell's masters are.
pub(crate) struct Bus {
    pub data_bits: usize,
    pub address_bits: usize,
    pub id_bits: usize,
    pub protocol: &'static str,
}

/// The cell's masters.
pub(crate) fn bus(board: &Board) -> Bus {
    match is_narrowed(board) {
        true => Bus {
            data_bits: DATA_BITS,
            address_bits: ADDRESS_BITS,
            id_bits: ID_BITS,
            protocol: "AXI3",
        },
        false => Bus {
            data_bits: 8 * board.accelerator.beat_bytes(),
            address_bits: ports::ADDRESS_BITS,
            id_bits: 0,
            protocol: "AXI4",
        },
    }
}

/// The masters, which each have an adapter in a narrowed cell.
fn masters(board: &Board) -> Vec<Interface> {
    let mut all = ports::interfaces(&board.accelerator);
    all.retain(|i| i.kind != InterfaceKind::Registers);
    all
}

/// Interface and signal of a master's port.
fn of_master<'p>(port: &'p Port, masters: &[Interface]) -> Option<(&'p str, &'static str)> {
    match &port.role {
        Role::Axi { interface, signal } if masters.iter().any(|m| m.name == *interface) => {
            Some((interface, signal))
        }
        _ => None,
    }
}

/// The identity that leads a channel, by the channel's first signal behind it.
fn identity(signal: &str) -> Option<&'static str> {
    match signal {
        "araddr" => Some("arid"),
        "awaddr" => Some("awid"),
        "wdata" => Some("wid"),
        "rdata" => Some("rid"),
        "bresp" => Some("bid"),
        _ => None,
    }
}

/// Every port of the block-design cell, in the order of declaration.
pub fn ports(board: &Board) -> Vec<Port> {
    let top = ports::ports(&board.accelerator);
    if !is_narrowed(board) {
        return top;
    }
    let masters = masters(board);
    let mut all = Vec::new();
    for port in top {
        let Some((interface, signal)) = of_master(&port, &masters) else {
            all.push(port);
            continue;
        };
        all.extend(identity(signal).map(|signal| Port {
            name: format!("{interface}_{signal}"),
            direction: port.direction,
            width: ID_BITS,
            role: Role::Axi {
                interface: interface.into(),
                signal,
            },
        }));
        let width = match signal {
            "araddr" | "awaddr" => ADDRESS_BITS,
            "arlen" | "awlen" => 4,
            "rdata" | "wdata" => DATA_BITS,
            "wstrb" => DATA_BITS / 8,
            _ => port.width,
        };
        all.push(Port { width, ..port });
    }
    all
}

/// The net between an adapter and a master's port of `cnna_top`.
fn wide(port: &Port) -> String {
    format!("wide_{}", port.name)
}

/// What a port of `cnna_top` is connected to: the cell's port of that name, or an adapter's net.
pub(crate) fn net(board: &Board, port: &Port) -> String {
    match of_master(port, &masters(board)) {
        Some(_) if is_narrowed(board) => wide(port),
        _ => port.name.clone(),
    }
}

/// The adapters of a narrowed cell and the nets between them and `cnna_top`, as Verilog.
pub(crate) fn adapters(board: &Board) -> String {
    let mut text = String::new();
    if !is_narrowed(board) {
        return text;
    }
    let top = ports::ports(&board.accelerator);
    for m in masters(board) {
        let only = std::slice::from_ref(&m);
        let signals = top
            .iter()
            .filter_map(|p| of_master(p, only).map(|(_, signal)| (signal, p)));
        let is_read = |signal: &str| signal.starts_with("ar") || signal.starts_with('r');
        let (read, write): (Vec<_>, Vec<_>) = signals.partition(|(signal, _)| is_read(signal));
        for (_, port) in write.iter().chain(&read) {
            text += &format!("    wire {:8}{};\n", port.range(), wide(port));
        }
        text += &adapter(board, &m.name, "axi3_read", &read);
        if !write.is_empty() {
            text += &adapter(board, &m.name, "axi3_write", &write);
        }
    }
    text
}

/// One direction of a master.
fn adapter(board: &Board, master: &str, module: &str, signals: &[(&str, &Port)]) -> String {
    let mut constants = String::new();
    let mut pins = vec![".clk_i(aclk), .rst_i(~aresetn)".to_string()];
    for &(signal, port) in signals {
        let from_master = port.direction == Direction::Output;
        let mut constant = |signal: &str, value: &str| {
            constants += &format!("    assign {master}_{signal} = {value};\n");
        };
        if let Some(id) = identity(signal).filter(|_| from_master) {
            constant(id, &format!("{ID_BITS}'d0"));
        }
        let part = match signal {
            // Whole beats, addresses that rise: the adapter takes no other.
            "arsize" | "awsize" => {
                constant(signal, "3'd3");
                continue;
            }
            "arburst" | "awburst" => {
                constant(signal, "2'd1");
                continue;
            }
            "araddr" | "awaddr" => format!("[{}:0]", ADDRESS_BITS - 1),
            "arlen" | "awlen" => "[3:0]".into(),
            _ => String::new(),
        };
        let (s, m) = if from_master { ("i", "o") } else { ("o", "i") };
        pins.push(format!(
            ".s_{signal}_{s}({}{part}), .m_{signal}_{m}({})",
            wide(port),
            port.name
        ));
    }
    format!(
        "{constants}    {module} #(.AddrW({ADDRESS_BITS}), .Outstanding({})) {module}_{master} (\n        {}\n    );\n",
        board.accelerator.outstanding,
        pins.join(",\n        ")
    )
}
