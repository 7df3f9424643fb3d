//! The block-design cell: `cnna_top`, and where the processing system's memory ports are AXI3 of half its width, an adapter in
//! front of each. Its ports are what block design and packaged IP see.

use super::ps;
use crate::ports::{self, Direction, Interface, InterfaceKind, Port, Role};
use cnna_machine::config::Board;

/// Identity bits of a memory port of the Zynq-7000 (UG585); the accelerator has one identity, 0.
pub(crate) const ID_BITS: usize = 6;
/// Address bits of these ports.
pub(crate) const ADDRESS_BITS: usize = 32;
/// Data bits that an adapter makes of twice as many.
pub(crate) const DATA_BITS: usize = 64;

/// The board's cell has adapters from AXI4 of 128 bits to AXI3 of 64.
pub fn is_narrowed(board: &Board) -> bool {
    let memory = ps::of(board.platform.family).port;
    memory == (DATA_BITS, "AXI3") && 8 * board.accelerator.beat_bytes() == 2 * DATA_BITS
}

/// Data bits and protocol of the cell's masters.
pub(crate) fn master(board: &Board) -> (usize, &'static str) {
    match is_narrowed(board) {
        true => (DATA_BITS, "AXI3"),
        false => (8 * board.accelerator.beat_bytes(), "AXI4"),
    }
}

/// The masters, which each have an adapter in a narrowed cell.
pub(crate) fn masters(board: &Board) -> impl Iterator<Item = Interface> {
    let all = ports::interfaces(&board.accelerator).into_iter();
    all.filter(|i| i.kind != InterfaceKind::Registers)
}

/// Every port of the block-design cell, in the order of declaration.
pub fn ports(board: &Board) -> Vec<Port> {
    let top = ports::ports(&board.accelerator);
    if !is_narrowed(board) {
        return top;
    }
    let is_master = |p: &Port| matches!(&p.role, Role::Axi { interface, .. } if masters(board).any(|m| m.name == *interface));
    let mut all = Vec::new();
    for port in top {
        if !is_master(&port) {
            all.push(port);
            continue;
        }
        let Role::Axi { interface, signal } = &port.role else {
            continue;
        };
        // An identity leads its channel.
        let identity = match *signal {
            "araddr" => Some("arid"),
            "awaddr" => Some("awid"),
            "wdata" => Some("wid"),
            "rdata" => Some("rid"),
            "bresp" => Some("bid"),
            _ => None,
        };
        all.extend(identity.map(|signal| Port {
            name: format!("{interface}_{signal}"),
            direction: match signal {
                "rid" | "bid" => Direction::Input,
                _ => Direction::Output,
            },
            width: ID_BITS,
            role: Role::Axi {
                interface: interface.clone(),
                signal,
            },
        }));
        let width = match *signal {
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

/// The adapters of a narrowed cell and the nets between them and `cnna_top`, as Verilog; and each net by the top's port.
pub(crate) fn adapters(board: &Board) -> (String, Vec<(String, String)>) {
    let mut text = String::new();
    let mut nets = Vec::new();
    let all = ports::ports(&board.accelerator);
    for m in masters(board) {
        let of_it =
            |p: &&Port| matches!(&p.role, Role::Axi { interface, .. } if *interface == m.name);
        for p in all.iter().filter(of_it) {
            let net = format!("wide_{}", p.name);
            text += &format!("    wire {:8}{net};\n", p.range());
            nets.push((p.name.clone(), net));
        }
        text += &adapter(board, &m, 'r');
        if m.kind == InterfaceKind::ReadWrite {
            text += &adapter(board, &m, 'w');
        }
    }
    (text, nets)
}

/// One direction of a master.
fn adapter(board: &Board, master: &Interface, direction: char) -> String {
    let name = &master.name;
    let (module, channels): (_, &[(&str, bool)]) = match direction {
        'r' => (
            "axi3_read",
            &[
                ("arvalid", true),
                ("arready", false),
                ("araddr", true),
                ("arlen", true),
                ("arcache", true),
                ("arprot", true),
                ("rvalid", false),
                ("rready", true),
                ("rdata", false),
                ("rresp", false),
                ("rlast", false),
            ],
        ),
        _ => (
            "axi3_write",
            &[
                ("awvalid", true),
                ("awready", false),
                ("awaddr", true),
                ("awlen", true),
                ("awcache", true),
                ("awprot", true),
                ("wvalid", true),
                ("wready", false),
                ("wdata", true),
                ("wstrb", true),
                ("wlast", true),
                ("bvalid", false),
                ("bready", true),
                ("bresp", false),
            ],
        ),
    };
    let mut lines = vec![".clk_i(aclk), .rst_i(~aresetn)".to_string()];
    for (signal, from_master) in channels {
        let (wide, narrow) = if *from_master { ("i", "o") } else { ("o", "i") };
        let part = match *signal {
            "araddr" | "awaddr" => format!("[{}:0]", ADDRESS_BITS - 1),
            "arlen" | "awlen" => "[3:0]".into(),
            _ => String::new(),
        };
        lines.push(format!(
            ".s_{signal}_{wide}(wide_{name}_{signal}{part}), .m_{signal}_{narrow}({name}_{signal})"
        ));
    }
    let channel = format!("a{direction}");
    let identities = match direction {
        'r' => format!("    assign {name}_arid = {ID_BITS}'d0;\n"),
        _ => format!(
            "    assign {name}_awid = {ID_BITS}'d0;\n    assign {name}_wid = {ID_BITS}'d0;\n"
        ),
    };
    format!(
        "{identities}    assign {name}_{channel}size = 3'd3;\n    assign {name}_{channel}burst = 2'd1;\n    \
         {module} #(.AddrW({ADDRESS_BITS}), .Outstanding({})) {module}_{name} (\n        {}\n    );\n",
        board.accelerator.outstanding,
        lines.join(",\n        ")
    )
}
