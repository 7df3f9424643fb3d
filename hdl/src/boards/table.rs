//! The boards as a Markdown table, for `docs/boards.md`.

use super::ps;
use crate::error::HdlError;
use cnna_machine::config::{Board, Family};
use std::fmt::Write as _;

/// One row a built-in board: part, clock, shape of the machine, its share of the chip, addresses and memory ports.
pub fn markdown_table() -> Result<String, HdlError> {
    let mut s = String::from(
        "| board | part | Vivado board part | MHz | tiles x lanes | word | DSP | BRAM36 (buffers) | registers | memory window | masters on ports |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for name in Board::names() {
        let b = Board::load(name, &[])?;
        let (a, p) = (&b.accelerator, &b.platform);
        let ports: Vec<_> = ps::assign(ps::of(p.family), a)
            .into_iter()
            .map(|(interface, port)| {
                let short = port
                    .name
                    .trim_start_matches("S_AXI_")
                    .trim_end_matches("_FPD");
                format!("{} {short}", interface.name.trim_start_matches("m_axi_"))
            })
            .collect();
        let family = match p.family {
            Family::Zynq7000 => "Zynq-7000",
            Family::ZynqMp => "UltraScale+",
        };
        let _ = writeln!(
            s,
            "| {} | `{}` ({family}) | `{}` | {} | {} x {} | {} | {} of {} | {} of {} | `{:#x}` | `{:#x}`, {} MiB | {} |",
            b.name,
            p.part,
            p.board_part,
            b.clock_mhz,
            a.tiles,
            a.lanes,
            a.word.bits(),
            a.all_dsps(),
            b.limits.dsp,
            a.bram36(),
            b.limits.bram36,
            p.register_base,
            p.dma_base,
            p.dma_bytes >> 20,
            ports.join(", "),
        );
    }
    Ok(s)
}
