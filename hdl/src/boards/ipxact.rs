//! The accelerator as a packaged IP: IEEE 1685-2009 (IP-XACT) with Vivado's bus definitions, registers from machine's table. For
//! block designs of the user's own: Vivado passes the registers on into the .hwh, where PYNQ finds them.

use super::wrapper::axi_parameters;
use super::{WRAPPER, cell, one_line};
use crate::ports::{self, Direction, Interface, InterfaceKind, Role};
use cnna_machine::config::{Board, Family};
use cnna_machine::regs::{self, Access};

/// `ip/component.xml`; the files' paths are relative to the output directory, one above it.
pub(crate) fn component(board: &Board, rtl_files: &[String]) -> String {
    let all = ports::interfaces(&board.accelerator);
    let interfaces: String = all.iter().map(|i| bus(board, i)).collect();
    let names: Vec<_> = all.iter().map(|i| i.name.as_str()).collect();
    let masters = || all.iter().filter(|i| i.kind != InterfaceKind::Registers);
    let master = cell::bus(board);
    let spaces: String = masters()
        .map(|i| {
            // The planes of addresses that a master reaches: two to the number of its address bits.
            tag(
                "addressSpace",
                &[
                    text("name", &i.name),
                    text("range", &format!("{:#x}", 1u64 << master.address_bits)),
                    text("width", &master.data_bits.to_string()),
                ],
            )
        })
        .collect();
    let single = [
        signal(
            "aclk",
            "clock",
            "CLK",
            "slave",
            &[
                ("ASSOCIATED_BUSIF", &names.join(":")),
                ("ASSOCIATED_RESET", "aresetn"),
            ],
        ),
        signal(
            "aresetn",
            "reset",
            "RST",
            "slave",
            &[("POLARITY", "ACTIVE_LOW")],
        ),
        signal(
            "irq_o",
            "interrupt",
            "INTERRUPT",
            "master",
            &[("SENSITIVITY", "LEVEL_HIGH")],
        ),
    ];
    let family = match board.platform.family {
        Family::Zynq7000 => "zynq",
        Family::ZynqMp => "zynquplus",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <spirit:component xmlns:xilinx=\"http://www.xilinx.com\" \
         xmlns:spirit=\"http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009\">\n{}</spirit:component>\n",
        [
            text("vendor", "cnna"),
            text("library", "user"),
            text("name", "cnna"),
            text("version", "1.0"),
            tag("busInterfaces", &[interfaces, single.concat()]),
            tag("addressSpaces", &[spaces]),
            tag("memoryMaps", &[memory_map()]),
            model(board),
            file_sets(rtl_files),
            text("description", &format!("CNN accelerator for {}", one_line(&board.title))),
            tag("parameters", &[parameter("Component_Name", "cnna")]),
            format!(
                "<spirit:vendorExtensions>\n<xilinx:coreExtensions>\n<xilinx:supportedFamilies>\n\
                 <xilinx:family xilinx:lifeCycle=\"Beta\">{family}</xilinx:family>\n</xilinx:supportedFamilies>\n\
                 <xilinx:displayName>cnna</xilinx:displayName>\n</xilinx:coreExtensions>\n</spirit:vendorExtensions>\n"
            ),
        ]
        .concat()
    )
}

fn tag(name: &str, parts: &[String]) -> String {
    format!("<spirit:{name}>\n{}</spirit:{name}>\n", parts.concat())
}

fn text(name: &str, value: &str) -> String {
    format!("<spirit:{name}>{}</spirit:{name}>\n", escape(value))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn parameter(name: &str, value: &str) -> String {
    tag("parameter", &[text("name", name), text("value", value)])
}

fn library(kind: &str, library: &str, name: &str) -> String {
    format!(
        "<spirit:{kind} spirit:vendor=\"xilinx.com\" spirit:library=\"{library}\" spirit:name=\"{name}\" spirit:version=\"1.0\"/>\n"
    )
}

fn port_map(logical: &str, physical: &str) -> String {
    tag(
        "portMap",
        &[
            tag("logicalPort", &[text("name", logical)]),
            tag("physicalPort", &[text("name", physical)]),
        ],
    )
}

/// An AXI interface.
fn bus(board: &Board, interface: &Interface) -> String {
    let name = interface.name.as_str();
    let mode = match interface.kind {
        InterfaceKind::Registers => {
            "<spirit:slave>\n<spirit:memoryMapRef spirit:memoryMapRef=\"registers\"/>\n</spirit:slave>\n".to_string()
        }
        _ => format!(
            "<spirit:master>\n<spirit:addressSpaceRef spirit:addressSpaceRef=\"{name}\"/>\n</spirit:master>\n"
        ),
    };
    let maps: String = cell::ports(board)
        .iter()
        .filter_map(|p| match &p.role {
            Role::Axi { interface, signal } if interface == name => {
                Some(port_map(&signal.to_uppercase(), &p.name))
            }
            _ => None,
        })
        .collect();
    let parameters: String = axi_parameters(name, board)
        .split(", ")
        .filter_map(|pair| pair.split_once(' '))
        .map(|(key, value)| parameter(key, value))
        .collect();
    tag(
        "busInterface",
        &[
            text("name", name),
            library("busType", "interface", "aximm"),
            library("abstractionType", "interface", "aximm_rtl"),
            mode,
            tag("portMaps", &[maps]),
            tag("parameters", &[parameters]),
        ],
    )
}

/// Clock, reset, interrupt.
fn signal(
    port: &str,
    kind: &str,
    logical: &str,
    mode: &str,
    parameters: &[(&str, &str)],
) -> String {
    let parameters: String = parameters.iter().map(|(k, v)| parameter(k, v)).collect();
    tag(
        "busInterface",
        &[
            text("name", port),
            library("busType", "signal", kind),
            library("abstractionType", "signal", &format!("{kind}_rtl")),
            format!("<spirit:{mode}/>\n"),
            tag("portMaps", &[port_map(logical, port)]),
            tag("parameters", &[parameters]),
        ],
    )
}

/// The registers of machine's table.
fn memory_map() -> String {
    let registers: String = regs::ALL
        .iter()
        .map(|r| {
            let access = match r.access {
                Access::Ro => "read-only",
                Access::Rw => "read-write",
            };
            tag(
                "register",
                &[
                    text("name", r.name),
                    text("description", r.doc),
                    text("addressOffset", &format!("{:#x}", r.offset)),
                    text("size", &ports::REGISTER_DATA_BITS.to_string()),
                    // The device writes what the host only reads.
                    text("volatile", &(r.access == Access::Ro).to_string()),
                    text("access", access),
                ],
            )
        })
        .collect();
    tag(
        "memoryMap",
        &[
            text("name", "registers"),
            tag(
                "addressBlock",
                &[
                    text("name", "reg0"),
                    text("baseAddress", "0"),
                    text("range", &regs::BLOCK_BYTES.to_string()),
                    text("width", &ports::REGISTER_DATA_BITS.to_string()),
                    text("usage", "register"),
                    registers,
                ],
            ),
        ],
    )
}

/// One view for synthesis and one for simulation of the same files, and the ports.
fn model(board: &Board) -> String {
    let view = |name: &str, purpose: &str| {
        tag(
            "view",
            &[
                text("name", name),
                text(
                    "envIdentifier",
                    &format!("verilogSource:vivado.xilinx.com:{purpose}"),
                ),
                text("language", "verilog"),
                text("modelName", WRAPPER),
                tag("fileSetRef", &[text("localName", "sources")]),
            ],
        )
    };
    let ports: String = cell::ports(board)
        .iter()
        .map(|p| {
            let direction = match p.direction {
                Direction::Input => "in",
                Direction::Output => "out",
            };
            let vector = match p.width {
                1 => String::new(),
                w => tag(
                    "vector",
                    &[text("left", &(w - 1).to_string()), text("right", "0")],
                ),
            };
            tag(
                "port",
                &[
                    text("name", &p.name),
                    tag("wire", &[text("direction", direction), vector]),
                ],
            )
        })
        .collect();
    tag(
        "model",
        &[
            tag(
                "views",
                &[
                    view("xilinx_anylanguagesynthesis", "synthesis"),
                    view("xilinx_anylanguagebehavioralsimulation", "simulation"),
                ],
            ),
            tag("ports", &[ports]),
        ],
    )
}

fn file_sets(rtl_files: &[String]) -> String {
    let wrapper = format!("{WRAPPER}.v");
    let files: String = rtl_files
        .iter()
        .map(String::as_str)
        .chain([wrapper.as_str()])
        .map(|f| {
            let kind = match f.ends_with(".v") {
                true => "verilogSource",
                false => "systemVerilogSource",
            };
            tag(
                "file",
                &[text("name", &format!("../{f}")), text("fileType", kind)],
            )
        })
        .collect();
    tag(
        "fileSets",
        &[tag("fileSet", &[text("name", "sources"), files])],
    )
}
