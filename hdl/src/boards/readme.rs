//! The page that goes with the sources: how to build, how to load, what was verified.

use super::ps::Ps;
use super::{FIRMWARE, WINDOW_LABEL, one_line};
use cnna_machine::config::Board;

/// `README.md` of the output directory.
pub(crate) fn page(board: &Board, ps: &Ps) -> String {
    let p = &board.platform;
    let board_files = match p.board_part.as_str() {
        "" => "It needs no board files: the processing system keeps Vivado's defaults, which is enough to load the bitstream from a \
               running Linux. A boot image made from `out/cnna.xsa` would need the board's settings."
            .to_string(),
        part => format!(
            "It needs the files of board part `{part}` (any version); without them it stops and says so. \
             `--set platform.board_part=` generates a script that does without."
        ),
    };
    include_str!("readme_template.md")
        .replace("@NAME@", &one_line(&board.name))
        .replace("@TITLE@", &one_line(&board.title))
        .replace("@HASH@", &format!("{:016x}", board.accelerator.hash()))
        .replace("@MHZ@", &board.clock_mhz.to_string())
        .replace("@BOARD_FILES@", &board_files)
        .replace("@BASE@", &format!("{:#x}", p.dma_base))
        .replace("@MIB@", &(p.dma_bytes >> 20).to_string())
        .replace("@REGISTERS@", &format!("{:#x}", p.register_base))
        .replace("@MASTER@", ps.master)
        .replace("@FIRMWARE@", FIRMWARE)
        .replace("@LABEL@", WINDOW_LABEL)
}
