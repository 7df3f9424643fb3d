//! `cnna_top`: the core under the bus names of `ports`, one flat port a signal.

use crate::ports;
use cnna_spec::config::{Accelerator, Board};
use std::fmt::Write as _;

/// The text of `cnna_top.sv` for a board.
pub fn text(board: &Board) -> String {
    let a = &board.accelerator;
    let mut s = format!(
        "// Generated for {} (configuration {:016x}); do not edit.\n// Bus names and constants of the AXI interfaces around the core. No logic.\n`default_nettype none\n",
        board.name,
        a.hash()
    );
    s.push_str(&ports::module_head("cnna_top", &ports::ports(a)));
    body(a, &mut s);
    s.push_str("endmodule\n`default_nettype wire\n");
    s
}

fn body(a: &Accelerator, s: &mut String) {
    let _ = write!(
        s,
        "  logic rst;\n  always_ff @(posedge aclk) rst <= ~aresetn;\n\
         \x20 logic busy /* verilator public_flat_rd */;\n"
    );
    let per_weight: &[(&str, usize)] = &[
        ("arvalid", 1),
        ("arready", 1),
        ("araddr", ports::ADDRESS_BITS),
        ("arlen", 8),
        ("rvalid", 1),
        ("rready", 1),
        ("rdata", 8 * a.beat_bytes()),
        ("rresp", 2),
        ("rlast", 1),
    ];
    for (name, width) in per_weight {
        let _ = writeln!(s, "  logic [{}:0] w_{name};", width * a.weight_ports - 1);
        for p in 0..a.weight_ports {
            let slice = format!("w_{name}[{} +: {width}]", p * width);
            let _ = match *name {
                "arready" | "rvalid" | "rdata" | "rresp" | "rlast" => {
                    writeln!(s, "  assign {slice} = m_axi_w{p}_{name};")
                }
                _ => writeln!(s, "  assign m_axi_w{p}_{name} = {slice};"),
            };
        }
    }
    let fixed = |s: &mut String, interface: &str, channel: &str| {
        let size = a.beat_bytes().trailing_zeros();
        let _ = write!(
            s,
            "  assign {interface}_{channel}size = 3'd{size};\n  assign {interface}_{channel}burst = 2'b01;\n\
             \x20 assign {interface}_{channel}cache = 4'b0011;\n  assign {interface}_{channel}prot = 3'b000;\n"
        );
    };
    for i in ports::interfaces(a) {
        if i.kind != ports::InterfaceKind::Registers {
            fixed(s, &i.name, "ar");
        }
        if i.kind == ports::InterfaceKind::ReadWrite {
            fixed(s, &i.name, "aw");
            let _ = writeln!(s, "  assign {}_wstrb = '1;", i.name);
        }
    }
    let _ = write!(
        s,
        "  core #(\n    .T({}), .Lanes({}), .W({}), .ActDepth({}), .WeightDepth({}), .BiasDepth({}), .OutDepth({}),\n\
         \x20   .Ports({}), .Outstanding({}), .QueueDepth({}), .Winograd(1'b{}), .Hash(64'h{:016x})\n  ) i_core (\n\
         \x20   .clk_i(aclk), .rst_i(rst), .irq_o(irq_o), .busy_o(busy)",
        a.tiles,
        a.lanes,
        a.word.bits(),
        a.act_depth,
        a.weight_depth,
        a.bias_depth,
        a.out_depth,
        a.weight_ports,
        a.outstanding,
        a.queue_depth,
        u8::from(a.winograd),
        a.hash()
    );
    for p in ports::ports(a) {
        let ports::Role::Axi { interface, signal } = &p.role else {
            continue;
        };
        let prefix = match interface.as_str() {
            "s_axil" => "s",
            "m_axi_act" => "act",
            "m_axi_cmd" => "cmd",
            _ => continue,
        };
        if ["size", "burst", "cache", "prot"]
            .iter()
            .any(|end| signal.ends_with(end))
            || (prefix == "act" && *signal == "wstrb")
        {
            continue;
        }
        let end = match p.direction {
            ports::Direction::Input => "i",
            ports::Direction::Output => "o",
        };
        let _ = write!(s, ",\n    .{prefix}_{signal}_{end}({})", p.name);
    }
    for (name, _) in per_weight {
        let end = match *name {
            "arready" | "rvalid" | "rdata" | "rresp" | "rlast" => "i",
            _ => "o",
        };
        let _ = write!(s, ",\n    .w_{name}_{end}(w_{name})");
    }
    s.push_str("\n  );\n");
}
