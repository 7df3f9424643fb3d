//! The ports of `cnna_top`: the one list from which the top level, the Verilog wrapper and the block design are made.
//!
//! Widths in bits. AXI signals carry their AMBA names in lower case behind the interface's name. The masters have no IDs:
//! answers come in order. Directions are those of the accelerator.

use cnna_machine::config::Accelerator;

/// Address bits of every AXI master: the whole physical space of both chip families.
pub const ADDRESS_BITS: usize = 40;
/// Address bits of the register slave: one 4 KiB page.
pub const REGISTER_ADDRESS_BITS: usize = 12;
/// Data bits of the register slave.
pub const REGISTER_DATA_BITS: usize = 32;

/// Name of the second interface that reads activations.
pub const SECOND: &str = "m_axi_act1";

/// Direction of a port, seen from the accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Driven from outside.
    Input,
    /// Driven by the accelerator.
    Output,
}

/// What an AXI interface carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// AXI4-Lite slave: the registers.
    Registers,
    /// AXI4 master with the read channels only.
    Read,
    /// AXI4 master with read and write channels.
    ReadWrite,
}

/// One AXI interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Prefix of its ports, such as `m_axi_act`.
    pub name: String,
    /// Channels and direction.
    pub kind: InterfaceKind,
}

/// What a port belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one clock.
    Clock,
    /// Reset, synchronous, active low.
    Reset,
    /// Interrupt, active high level.
    Interrupt,
    /// A signal of an AXI interface.
    Axi {
        /// The interface's name.
        interface: String,
        /// AMBA name in lower case, such as `araddr`.
        signal: &'static str,
    },
}

/// One port of `cnna_top`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the RTL.
    pub name: String,
    /// Direction.
    pub direction: Direction,
    /// Bits; 1 is a scalar.
    pub width: usize,
    /// What it belongs to.
    pub role: Role,
}

impl Port {
    /// The range in a declaration, empty for a scalar.
    pub fn range(&self) -> String {
        match self.width {
            1 => String::new(),
            w => format!("[{}:0]", w - 1),
        }
    }
}

/// The AXI interfaces: registers, activations, commands, then one per weight port, then the second one for activations.
pub fn interfaces(accelerator: &Accelerator) -> Vec<Interface> {
    let named = |name: &str, kind| Interface {
        name: name.into(),
        kind,
    };
    let mut all = vec![
        named("s_axil", InterfaceKind::Registers),
        named("m_axi_act", InterfaceKind::ReadWrite),
        named("m_axi_cmd", InterfaceKind::Read),
    ];
    all.extend(
        (0..accelerator.weight_ports).map(|p| named(&format!("m_axi_w{p}"), InterfaceKind::Read)),
    );
    if accelerator.load_ports > 1 {
        all.push(named(SECOND, InterfaceKind::Read));
    }
    all
}

/// Every port of `cnna_top`, in the order of declaration.
pub fn ports(accelerator: &Accelerator) -> Vec<Port> {
    let single = |name: &str, direction, role| Port {
        name: name.into(),
        direction,
        width: 1,
        role,
    };
    let mut all = vec![
        single("aclk", Direction::Input, Role::Clock),
        single("aresetn", Direction::Input, Role::Reset),
        single("irq_o", Direction::Output, Role::Interrupt),
    ];
    for interface in interfaces(accelerator) {
        for (signal, width, driver) in signals(interface.kind, 8 * accelerator.beat_bytes()) {
            all.push(Port {
                name: format!("{}_{signal}", interface.name),
                // The accelerator is the slave of its registers and the master of everything else.
                direction: if (driver == Driver::Slave)
                    == (interface.kind == InterfaceKind::Registers)
                {
                    Direction::Output
                } else {
                    Direction::Input
                },
                width,
                role: Role::Axi {
                    interface: interface.name.clone(),
                    signal,
                },
            });
        }
    }
    all
}

/// The head of a SystemVerilog module with these ports, up to and with `);`.
pub fn module_head(module: &str, ports: &[Port]) -> String {
    let lines: Vec<String> = ports
        .iter()
        .map(|p| {
            let direction = match p.direction {
                Direction::Input => "input  wire ",
                Direction::Output => "output ",
            };
            format!("    {direction}logic {:8}{}", p.range(), p.name)
        })
        .collect();
    format!("module {module} (\n{}\n);\n", lines.join(",\n"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Master,
    Slave,
}

/// Signals of an interface with their width and which side drives them, write channels first as AMBA lists them.
fn signals(kind: InterfaceKind, data: usize) -> Vec<(&'static str, usize, Driver)> {
    use Driver::{Master, Slave};
    if kind == InterfaceKind::Registers {
        let (address, data) = (REGISTER_ADDRESS_BITS, REGISTER_DATA_BITS);
        return vec![
            ("awaddr", address, Master),
            ("awvalid", 1, Master),
            ("awready", 1, Slave),
            ("wdata", data, Master),
            ("wstrb", data / 8, Master),
            ("wvalid", 1, Master),
            ("wready", 1, Slave),
            ("bresp", 2, Slave),
            ("bvalid", 1, Slave),
            ("bready", 1, Master),
            ("araddr", address, Master),
            ("arvalid", 1, Master),
            ("arready", 1, Slave),
            ("rdata", data, Slave),
            ("rresp", 2, Slave),
            ("rvalid", 1, Slave),
            ("rready", 1, Master),
        ];
    }
    let read = [
        ("araddr", ADDRESS_BITS, Master),
        ("arlen", 8, Master),
        ("arsize", 3, Master),
        ("arburst", 2, Master),
        ("arcache", 4, Master),
        ("arprot", 3, Master),
        ("arvalid", 1, Master),
        ("arready", 1, Slave),
        ("rdata", data, Slave),
        ("rresp", 2, Slave),
        ("rlast", 1, Slave),
        ("rvalid", 1, Slave),
        ("rready", 1, Master),
    ];
    let write = [
        ("awaddr", ADDRESS_BITS, Master),
        ("awlen", 8, Master),
        ("awsize", 3, Master),
        ("awburst", 2, Master),
        ("awcache", 4, Master),
        ("awprot", 3, Master),
        ("awvalid", 1, Master),
        ("awready", 1, Slave),
        ("wdata", data, Master),
        ("wstrb", data / 8, Master),
        ("wlast", 1, Master),
        ("wvalid", 1, Master),
        ("wready", 1, Slave),
        ("bresp", 2, Slave),
        ("bvalid", 1, Slave),
        ("bready", 1, Master),
    ];
    match kind {
        InterfaceKind::ReadWrite => write.into_iter().chain(read).collect(),
        _ => read.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::config::Board;

    fn of(overrides: &[(&str, &str)]) -> Vec<Port> {
        let set: Vec<_> = overrides
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        ports(&Board::load("ultra96", &set).unwrap().accelerator)
    }

    #[test]
    fn directions_and_widths_follow_amba() {
        let ports = of(&[]);
        let find = |name: &str| {
            ports
                .iter()
                .find(|p| p.name == name)
                .map(|p| (p.direction, p.width))
        };
        use Direction::{Input, Output};
        for (name, direction, width) in [
            ("aclk", Input, 1),
            ("irq_o", Output, 1),
            ("s_axil_awaddr", Input, 12),
            ("s_axil_rdata", Output, 32),
            ("s_axil_arready", Output, 1),
            ("m_axi_act_araddr", Output, 40),
            ("m_axi_act_wstrb", Output, 16),
            ("m_axi_act_bvalid", Input, 1),
            ("m_axi_w2_rdata", Input, 128),
            ("m_axi_w2_rready", Output, 1),
        ] {
            assert_eq!(find(name), Some((direction, width)), "{name}");
        }
        assert_eq!(
            find("m_axi_cmd_awaddr"),
            None,
            "the command port only reads"
        );
        assert_eq!(
            find("m_axi_w3_araddr"),
            None,
            "ultra96 has three weight ports"
        );
    }

    #[test]
    fn names_are_unique_and_follow_the_configuration() {
        let ports = of(&[("weight_ports", "4"), ("word", "8")]);
        let mut names: Vec<_> = ports.iter().map(|p| p.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ports.len());
        assert_eq!(
            ports
                .iter()
                .find(|p| p.name == "m_axi_w3_rdata")
                .unwrap()
                .width,
            64
        );
    }
}
