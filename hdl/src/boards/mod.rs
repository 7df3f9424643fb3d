//! Everything besides the RTL that a bitstream needs, made from the board file: Vivado script, constraints, Verilog wrapper,
//! device-tree sources, and a page that says how to use them.
//!
//! Nothing here was run in Vivado or on a board; `docs/boards.md` says what stands in for them.

mod cell;
mod ipxact;
mod linux;
mod packages;
mod ps;
mod readme;
mod table;
mod vivado;
mod wrapper;

use crate::error::HdlError;
use cnna_machine::config::{Board, Family};
use cnna_machine::{MachineError, regs};
use linux::Memory;
use ps::Ps;

pub use cell::{is_narrowed, ports as cell_ports};
pub use table::markdown_table;

/// Name of the module that the block design instantiates.
pub const WRAPPER: &str = "cnna_wrapper";
/// File name under which Linux finds the bitstream.
pub const FIRMWARE: &str = "cnna.bit.bin";
/// Name of the u-dma-buf device of the overlay that uses one.
pub const UDMABUF: &str = "udmabuf-cnna";
/// Label of the reserved memory in the device tree.
pub const WINDOW_LABEL: &str = "cnna_window";

/// The DMA window is aligned to this: the largest page-table block that either kernel width maps memory with.
const WINDOW_ALIGN: u64 = 2 << 20;

/// One file to write, its path relative to the output directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative path with `/`.
    pub path: String,
    /// Contents.
    pub text: String,
}

/// The board's bitstream sources.
///
/// `rtl_files`: paths of the SystemVerilog files relative to the output directory, those of `sources::rtl` and
/// `sources::cell`.
/// Errors: a platform value outside what the chip family reaches, or a path that a Tcl script cannot hold.
pub fn sources(board: &Board, rtl_files: &[String]) -> Result<Vec<SourceFile>, HdlError> {
    let ps = ps::of(board.platform.family);
    check(board, ps)?;
    rtl_files.iter().try_for_each(|f| check_path(f))?;
    let file = |path: &str, text: String| SourceFile {
        path: path.into(),
        text,
    };
    let mut files = vec![
        file("cnna_wrapper.v", wrapper::verilog(board)),
        file("build.tcl", vivado::script(board, ps, rtl_files)),
        file("constraints.xdc", vivado::constraints(board)),
        file("reserved-memory.dts", linux::reservation(board, ps)),
        file("overlay.dts", linux::overlay(board, ps, Memory::Reserved)),
        file(
            "overlay-udmabuf.dts",
            linux::overlay(board, ps, Memory::Udmabuf),
        ),
        file("ip/component.xml", ipxact::component(board, rtl_files)),
        file("README.md", readme::page(board, ps)),
    ];
    files.extend(packages::files(board, ps));
    Ok(files)
}

/// The board with a DMA window that holds `bytes`: rounded up to what page tables map in one entry, ending where it did, since
/// the boot loader lives above it.
///
/// Errors: no bytes, or more than the board's window has.
pub fn with_window(board: &Board, bytes: u64) -> Result<Board, HdlError> {
    let p = &board.platform;
    let rounded = bytes
        .checked_next_multiple_of(WINDOW_ALIGN)
        .filter(|b| *b != 0 && *b <= p.dma_bytes);
    let Some(rounded) = rounded else {
        return Err(MachineError::config(
            "platform.dma_bytes",
            format!(
                "{bytes} bytes are not within 1..={}, the board's window: ask for less, or raise dma_bytes in a board file of your own",
                p.dma_bytes
            ),
        )
        .into());
    };
    let mut board = board.clone();
    board.platform.dma_base += p.dma_bytes - rounded;
    board.platform.dma_bytes = rounded;
    Ok(board)
}

/// Ranges that only the chip family knows.
fn check(board: &Board, ps: &Ps) -> Result<(), HdlError> {
    let p = &board.platform;
    let bad = |field: &str, message: String| {
        Err(MachineError::config(&format!("platform.{field}"), message).into())
    };
    let prefix = match p.family {
        Family::Zynq7000 => "xc7z",
        Family::ZynqMp => "xc",
    };
    if !p.part.starts_with(prefix) || (p.family == Family::ZynqMp && p.part.starts_with("xc7")) {
        return bad(
            "part",
            format!(
                "`{}` is not a part of the family that `platform.family` names",
                p.part
            ),
        );
    }
    let block = regs::BLOCK_BYTES as u64;
    if p.register_base % block != 0 || !ps.registers.contains(&p.register_base) {
        return bad(
            "register_base",
            format!(
                "{:#x} is not a multiple of {block} in {:#x}..{:#x}, the addresses of {}",
                p.register_base, ps.registers.start, ps.registers.end, ps.master
            ),
        );
    }
    for (field, value) in [("dma_base", p.dma_base), ("dma_bytes", p.dma_bytes)] {
        if value == 0 || value % WINDOW_ALIGN != 0 {
            return bad(
                field,
                format!("{value:#x} is not a multiple of {WINDOW_ALIGN:#x} above 0"),
            );
        }
    }
    let within = |r: &std::ops::Range<u64>, end| p.dma_base >= r.start && end <= r.end;
    let high = ps.high.as_ref().map(|(range, _)| range);
    match p.dma_base.checked_add(p.dma_bytes) {
        Some(end) if within(&ps.ddr, end) || high.is_some_and(|r| within(r, end)) => Ok(()),
        _ => bad(
            "dma_bytes",
            format!(
                "the window {:#x} + {:#x} is not within {:#x}..{:#x}{}, the memory that every port reaches",
                p.dma_base,
                p.dma_bytes,
                ps.ddr.start,
                ps.ddr.end,
                high.map_or(String::new(), |r| format!(
                    " or (boards with more than 2 GiB) {:#x}..{:#x}",
                    r.start, r.end
                ))
            ),
        ),
    }
}

/// A path that is relative, stays inside the directory and needs no quoting anywhere.
fn check_path(path: &str) -> Result<(), HdlError> {
    let bad = |message: &str| {
        Err(HdlError::SourcePath {
            path: path.into(),
            message: message.into(),
        })
    };
    if !path.ends_with(".sv") && !path.ends_with(".svh") && !path.ends_with(".v") {
        return bad("not a .sv, .svh or .v file: pass RTL only");
    }
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return bad("give a path relative to the output directory, without `..`");
    }
    if !path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
    {
        return bad("only letters, digits and . _ - / are safe in a build script: rename it");
    }
    Ok(())
}

/// A text in one comment line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
