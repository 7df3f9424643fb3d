//! The RTL of a board as text, in compile order: the package generated from machine's tables, the parametric SystemVerilog of
//! `hdl/rtl` (datapath), and the control blocks and top level emitted from rust-hdl.

use crate::boards;
use crate::error::HdlError;
use cnna_machine::config::Board;

/// One source file, path relative to the output directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtlFile {
    /// File name: the module in it, and `.sv`.
    pub name: String,
    /// Contents.
    pub text: String,
}

macro_rules! rtl {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../rtl/", $name)))),*] };
}

/// Modules that use only those before them: the drawing of the machine, leaves first.
const FILES: &[(&str, &str)] = &rtl![
    "ram.sv",
    "fifo.sv",
    "delay.sv",
    "hold.sv",
    "shift_in.sv",
    "probes.sv",
    "axi_burst.sv",
    "load_engine.sv",
    "weight_port.sv",
    "weight_engine.sv",
    "store_engine.sv",
    "act_buffer.sv",
    "v_transform.sv",
    "u_transform.sv",
    "mac.sv",
    "lane.sv",
    "array.sv",
    "pool_unit.sv",
    "bias_buffer.sv",
    "residual_buffer.sv",
    "add_word.sv",
    "requantise.sv",
    "activation.sv",
    "post.sv",
    "out_buffer.sv",
];

/// What the block-design cell of a board with AXI3 memory ports has between them and `cnna_top`; see [`crate::boards`].
const NARROW: &[(&str, &str)] = &rtl!["axi3_address.sv", "axi3_read.sv", "axi3_write.sv"];

/// Modules of the block-design cell besides those of [`rtl`]; none where the memory ports are as the accelerator's.
pub fn cell(board: &Board) -> Vec<RtlFile> {
    let files = if boards::is_narrowed(board) {
        NARROW
    } else {
        &[]
    };
    files.iter().map(file).collect()
}

fn file((name, text): &(&str, &str)) -> RtlFile {
    RtlFile {
        name: (*name).into(),
        text: (*text).into(),
    }
}

/// All RTL files of a board: the package first, `cnna_top.sv` last.
///
/// # Errors
/// [`HdlError::Wiring`] if control and datapath do not fit together.
pub fn rtl(board: &Board) -> Result<Vec<RtlFile>, HdlError> {
    let mut files = vec![RtlFile {
        name: "cnna_pkg.sv".into(),
        text: crate::package::text(),
    }];
    files.extend(FILES.iter().map(file));
    files.extend(crate::top::modules(board)?.into_iter().map(|m| RtlFile {
        name: format!("{}.sv", m.name),
        text: m.text,
    }));
    Ok(files)
}
