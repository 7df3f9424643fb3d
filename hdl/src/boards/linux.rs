//! Device-tree sources for Linux: the memory reservation, which must be there when the kernel starts, and the overlay that
//! loads the bitstream and makes the accelerator a UIO device with two maps, registers and memory.
//!
//! Two files because an overlay applied to a running kernel cannot take memory away from it. The overlay refers to the
//! reservation's label, so that it does not load, and the accelerator never writes, where the reservation is missing.

use super::ps::Ps;
use super::{FIRMWARE, UDMABUF, WINDOW_LABEL, one_line};
use cnna_machine::config::Board;
use cnna_machine::regs;

/// Applied by the boot loader.
pub(crate) fn reservation(board: &Board, ps: &Ps) -> String {
    let p = &board.platform;
    let n = ps.linux.cells;
    format!(
        "// Memory of the accelerator on {name}, out of the kernel's hands: {base:#x}, {mib} MiB.\n\
         // Apply when booting (U-Boot: fdt apply), or copy the node into the board's own device tree.\n\
         /dts-v1/;\n/plugin/;\n\n\
         &{{/}} {{\n\
         \t// As in every tree of the family; here so that the compiler reads the ranges below right.\n\
         \t#address-cells = <{n}>;\n\t#size-cells = <{n}>;\n\n\
         \treserved-memory {{\n\
         \t\t#address-cells = <{n}>;\n\t\t#size-cells = <{n}>;\n\t\tranges;\n\n\
         \t\t{WINDOW_LABEL}: cnna@{base:x} {{\n\
         \t\t\treg = {reg};\n\
         \t\t\tno-map;\n\
         \t\t}};\n\t}};\n}};\n",
        name = one_line(&board.name),
        base = p.dma_base,
        mib = p.dma_bytes >> 20,
        reg = range(p.dma_base, p.dma_bytes, n),
    )
}

/// Where the accelerator's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The reservation of [`reservation`].
    Reserved,
    /// The kernel's contiguous memory, through the u-dma-buf driver: cached, and no change to the boot.
    Udmabuf,
}

/// Applied to the running kernel.
pub(crate) fn overlay(board: &Board, ps: &Ps, memory: Memory) -> String {
    let p = &board.platform;
    let n = ps.linux.cells;
    let (provider, index) = ps.linux.clock;
    let rate = (board.clock_mhz * 1e6).round() as u64;
    let afi = ps.linux.afi.map_or(String::new(), |pairs| {
        format!(
            "\t// Port widths: a boot image made for another design may have changed them.\n\
             \tcnna_afi: cnna-afi {{\n\t\tcompatible = \"xlnx,afi-fpga\";\n\t\tconfig-afi = {pairs};\n\t}};\n\n"
        )
    });
    let registers = range(p.register_base, regs::BLOCK_BYTES as u64, n);
    let (needs, maps, node) = match memory {
        Memory::Reserved => (
            "reserved-memory.dts applied at boot",
            format!(
                "\t\t// Map 0 the registers, map 1 the memory.\n\
                 \t\treg = {registers},\n\t\t      {};\n\
                 \t\treg-names = \"registers\", \"memory\";\n\
                 \t\tmemory-region = <&{WINDOW_LABEL}>;\n",
                range(p.dma_base, p.dma_bytes, n)
            ),
            String::new(),
        ),
        Memory::Udmabuf => (
            "the u-dma-buf driver and as much contiguous memory (cma=)",
            format!("\t\treg = {registers};\n\t\treg-names = \"registers\";\n"),
            format!(
                "\n&{{/}} {{\n\
                 \tcnna_memory: cnna-memory {{\n\
                 \t\tcompatible = \"ikwzm,u-dma-buf\";\n\
                 \t\tdevice-name = \"{UDMABUF}\";\n\
                 \t\tsize = <{:#x}>;\n\
                 \t}};\n}};\n",
                p.dma_bytes
            ),
        ),
    };
    format!(
        "// Loads the accelerator on {name} and makes it a UIO device. Needs {needs}.\n\
         /dts-v1/;\n/plugin/;\n\n\
         &fpga_full {{\n\
         \t#address-cells = <{n}>;\n\t#size-cells = <{n}>;\n\
         \t// Looked up in /lib/firmware.\n\
         \tfirmware-name = \"{FIRMWARE}\";\n\n\
         \t// Keeps the clock running; a kernel without this driver needs clk_ignore_unused on its command line.\n\
         \tcnna_clock: cnna-clock {{\n\
         \t\tcompatible = \"xlnx,fclk\";\n\
         \t\t#clock-cells = <0>;\n\
         \t\tclocks = <&{provider} {index}>;\n\
         \t\tassigned-clocks = <&{provider} {index}>;\n\
         \t\tassigned-clock-rates = <{rate}>;\n\
         \t\tclock-output-names = \"fabric_clk\";\n\
         \t}};\n\n\
         {afi}\
         \tcnna: cnna@{base:x} {{\n\
         \t\tcompatible = \"generic-uio\";\n\
         \t\tlinux,uio-name = \"cnna\";\n\
         {maps}\
         \t\t// The host polls. To wait by interrupt, where no other device owns it (PYNQ's `fabric` does), a shared peripheral\n\
         \t\t// interrupt of high level: interrupt-parent = <&{controller}>; interrupts = <0 {interrupt} 4>;\n\
         \t\tclocks = <&{provider} {index}>;\n\
         \t\tassigned-clocks = <&{provider} {index}>;\n\
         \t\tassigned-clock-rates = <{rate}>;\n\
         \t}};\n}};\n{node}",
        name = one_line(&board.name),
        base = p.register_base,
        controller = ps.linux.interrupt_controller,
        interrupt = ps.linux.interrupt,
    )
}

/// Address and size in `cells` 32-bit cells each. One cell suffices where the family's addresses have 32 bits.
fn range(base: u64, bytes: u64, cells: usize) -> String {
    match cells {
        1 => format!("<{base:#x} {bytes:#x}>"),
        _ => format!(
            "<{:#x} {:#x} {:#x} {:#x}>",
            base >> 32,
            base & 0xffff_ffff,
            bytes >> 32,
            bytes & 0xffff_ffff
        ),
    }
}
