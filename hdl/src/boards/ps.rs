//! The processing systems: names of cells, pins, ports and address segments in Vivado, and of device-tree labels in Linux.
//!
//! Sources: AMD UG585 and PG082 (Zynq-7000, `processing_system7`), UG1085 and PG201 (UltraScale+, `zynq_ultra_ps_e`),
//! `zynq-7000.dtsi` and `zynqmp.dtsi` of Linux.

use crate::ports::{self, Interface, InterfaceKind};
use cnna_machine::config::{Accelerator, Family};
use std::ops::Range;

/// A slave port of the processing system that reaches the DDR memory.
pub(crate) struct SlavePort {
    /// Interface pin.
    pub name: &'static str,
    /// Its clock pin.
    pub clock: &'static str,
    /// Address block; the DDR segment is `segment` in it.
    pub block: &'static str,
    /// DDR segment.
    pub segment: &'static str,
    /// Properties that enable it at its full width.
    pub config: &'static [(&'static str, &'static str)],
}

/// What Linux calls things.
pub(crate) struct LinuxNames {
    /// Cells of an address and of a size in the FPGA region.
    pub cells: usize,
    /// Label of the interrupt controller.
    pub interrupt_controller: &'static str,
    /// Shared peripheral interrupt of the first interrupt from the programmable logic.
    pub interrupt: u32,
    /// Clock provider's label and index of the first clock to the programmable logic.
    pub clock: (&'static str, u32),
    /// Setting of the port widths for the `xlnx,afi-fpga` driver, where the chip has run-time widths.
    pub afi: Option<&'static str>,
}

/// One family's processing system.
pub(crate) struct Ps {
    /// IP without version: Vivado takes the one it has.
    pub ip: &'static str,
    /// Rule of the block automation.
    pub rule: &'static str,
    /// Its options besides the board preset.
    pub automation: &'static str,
    /// Properties that decide what the others mean: set before them.
    pub first: &'static [(&'static str, &'static str)],
    /// Properties that do not depend on the board.
    pub config: &'static [(&'static str, &'static str)],
    /// Property that holds the clock in MHz.
    pub clock_property: &'static str,
    /// Clock output, reset output and interrupt input.
    pub clock: &'static str,
    /// Reset output, active low.
    pub reset: &'static str,
    /// Interrupt input.
    pub interrupt: &'static str,
    /// Master port for the registers.
    pub master: &'static str,
    /// Its clock pin.
    pub master_clock: &'static str,
    /// Addresses that `master` answers.
    pub registers: Range<u64>,
    /// Bits and protocol of a memory port at full width: an equal master is connected without anything in between.
    pub port: (usize, &'static str),
    /// Addresses of DDR that all masters and a kernel of either width reach.
    pub ddr: Range<u64>,
    /// Addresses of DDR above 4 GiB, of boards that have as much, and the property that opens them.
    pub high: Option<(Range<u64>, (&'static str, &'static str))>,
    /// Ports for data, best first.
    pub data: &'static [SlavePort],
    /// Port for the command stream.
    pub command: SlavePort,
    /// Names in the device tree.
    pub linux: LinuxNames,
}

/// The processing system of a family.
pub(crate) fn of(family: Family) -> &'static Ps {
    match family {
        Family::Zynq7000 => &ZYNQ7000,
        Family::ZynqMp => &ZYNQMP,
    }
}

impl Ps {
    /// The property that opens the memory above 4 GiB, where the window from `base` on lies there.
    pub(crate) fn opens_high(&self, base: u64) -> Option<(&'static str, &'static str)> {
        let (range, property) = self.high.as_ref()?;
        range.contains(&base).then_some(*property)
    }
}

/// Which processing-system port each AXI master gets; several may share one.
///
/// Data masters take `data` in order and then, if the family has fewer ports than masters, share from the start.
pub(crate) fn assign(
    ps: &'static Ps,
    accelerator: &Accelerator,
) -> Vec<(Interface, &'static SlavePort)> {
    let masters = ports::interfaces(accelerator)
        .into_iter()
        .filter(|i| i.kind != InterfaceKind::Registers);
    let mut next = ps.data.iter().cycle();
    masters
        .map(|interface| {
            let port = match interface.name.as_str() {
                "m_axi_cmd" => &ps.command,
                _ => next.next().unwrap_or(&ps.command),
            };
            (interface, port)
        })
        .collect()
}

macro_rules! mp_port {
    ($name:literal, $clock:literal, $block:literal, $segment:literal, $gp:literal) => {
        SlavePort {
            name: $name,
            clock: $clock,
            block: $block,
            segment: $segment,
            // Full width whatever the machine's is: the width is also a register that the boot image sets, 128 bits after reset.
            config: &[
                (concat!("PSU__USE__S_AXI_GP", $gp), "1"),
                (concat!("PSU__SAXIGP", $gp, "__DATA_WIDTH"), "128"),
            ],
        }
    };
}

macro_rules! z7_port {
    ($n:literal) => {
        SlavePort {
            name: concat!("S_AXI_HP", $n),
            clock: concat!("S_AXI_HP", $n, "_ACLK"),
            block: concat!("S_AXI_HP", $n),
            segment: concat!("HP", $n, "_DDR_LOWOCM"),
            config: &[
                (concat!("PCW_USE_S_AXI_HP", $n), "1"),
                (concat!("PCW_S_AXI_HP", $n, "_DATA_WIDTH"), "64"),
            ],
        }
    };
}

static ZYNQMP: Ps = Ps {
    ip: "xilinx.com:ip:zynq_ultra_ps_e",
    rule: "xilinx.com:bd_rule:zynq_ultra_ps_e",
    automation: "",
    // Presets of some boards (Ultra96's) fix the clocks' dividers by hand; the frequencies below would then mean nothing.
    first: &[("PSU__OVERRIDE__BASIC_CLOCK", "0")],
    config: &[
        ("PSU__FPGA_PL0_ENABLE", "1"),
        ("PSU__USE__FABRIC__RST", "1"),
        ("PSU__USE__M_AXI_GP0", "1"),
        ("PSU__MAXIGP0__DATA_WIDTH", "128"),
        // Presets enable these; an open master port without a clock stops validation.
        ("PSU__USE__M_AXI_GP1", "0"),
        ("PSU__USE__M_AXI_GP2", "0"),
        ("PSU__USE__IRQ0", "1"),
    ],
    clock_property: "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
    clock: "pl_clk0",
    reset: "pl_resetn0",
    interrupt: "pl_ps_irq0",
    master: "M_AXI_HPM0_FPD",
    master_clock: "maxihpm0_fpd_aclk",
    registers: 0xA000_0000..0xB000_0000,
    port: (128, "AXI4"),
    // The platform firmware of the boards keeps the last MiB of the low 2 GiB.
    ddr: 0x0020_0000..0x7FF0_0000,
    high: Some((
        0x8_0000_0000..0x10_0000_0000,
        ("PSU__HIGH_ADDRESS__ENABLE", "1"),
    )),
    // HP1 and HP2 share a port of the DDR controller, HP0 and HP3 have one each beside the display and the DMA engine.
    data: &[
        mp_port!(
            "S_AXI_HP0_FPD",
            "saxihp0_fpd_aclk",
            "SAXIGP2",
            "HP0_DDR_LOW",
            "2"
        ),
        mp_port!(
            "S_AXI_HP3_FPD",
            "saxihp3_fpd_aclk",
            "SAXIGP5",
            "HP3_DDR_LOW",
            "5"
        ),
        mp_port!(
            "S_AXI_HP1_FPD",
            "saxihp1_fpd_aclk",
            "SAXIGP3",
            "HP1_DDR_LOW",
            "3"
        ),
        mp_port!(
            "S_AXI_HP2_FPD",
            "saxihp2_fpd_aclk",
            "SAXIGP4",
            "HP2_DDR_LOW",
            "4"
        ),
        mp_port!(
            "S_AXI_HPC1_FPD",
            "saxihpc1_fpd_aclk",
            "SAXIGP1",
            "HPC1_DDR_LOW",
            "1"
        ),
    ],
    command: mp_port!(
        "S_AXI_HPC0_FPD",
        "saxihpc0_fpd_aclk",
        "SAXIGP0",
        "HPC0_DDR_LOW",
        "0"
    ),
    linux: LinuxNames {
        cells: 2,
        interrupt_controller: "gic",
        interrupt: 89,
        clock: ("zynqmp_clk", 71),
        // Register index and value: all slave ports at 128 bits (0), both master ports at 128 bits (0xa00).
        afi: Some(
            "<0 0>, <1 0>, <2 0>, <3 0>, <4 0>, <5 0>, <6 0>, <7 0>, <8 0>, <9 0>, <10 0>, <11 0>, <14 0xa00>",
        ),
    },
};

static ZYNQ7000: Ps = Ps {
    ip: "xilinx.com:ip:processing_system7",
    rule: "xilinx.com:bd_rule:processing_system7",
    automation: "make_external {FIXED_IO, DDR} Master Disable Slave Disable",
    first: &[],
    config: &[
        ("PCW_EN_CLK0_PORT", "1"),
        ("PCW_EN_RST0_PORT", "1"),
        ("PCW_USE_M_AXI_GP0", "1"),
        ("PCW_USE_FABRIC_INTERRUPT", "1"),
        ("PCW_IRQ_F2P_INTR", "1"),
    ],
    clock_property: "PCW_FPGA0_PERIPHERAL_FREQMHZ",
    clock: "FCLK_CLK0",
    reset: "FCLK_RESET0_N",
    interrupt: "IRQ_F2P",
    master: "M_AXI_GP0",
    master_clock: "M_AXI_GP0_ACLK",
    registers: 0x4000_0000..0x8000_0000,
    port: (64, "AXI3"),
    ddr: 0x0020_0000..0x4000_0000,
    high: None,
    // HP0 and HP1 share a port of the DDR controller, HP2 and HP3 the other: the two weight ports get one each.
    data: &[z7_port!("0"), z7_port!("2"), z7_port!("1")],
    command: z7_port!("3"),
    linux: LinuxNames {
        cells: 1,
        interrupt_controller: "intc",
        interrupt: 29,
        clock: ("clkc", 15),
        // 64 bits after reset.
        afi: None,
    },
};
