//! `cnna boards`: the boards built in, or one board's configuration.

use super::JsonArguments;
use anyhow::Result;
use cnna_machine::Board;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `cnna boards`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna boards
  cnna boards ultra96 > mine.toml     # edit it, then use --board mine.toml
  cnna boards --json -")]
pub struct Boards {
    /// Print this board's configuration as TOML: every key, ready to edit.
    name: Option<String>,
    #[command(flatten)]
    json: JsonArguments,
}

impl Boards {
    /// Prints the list or the board.
    pub fn run(self) -> Result<ExitCode> {
        let file = self.name.as_deref().map(Path::new);
        self.json.check_places(file.as_slice(), &[])?;
        if let Some(name) = &self.name {
            let board = Board::load(name, &[])?;
            self.json
                .report(toml::to_string(&board)?.trim_end(), &board, &[])?;
            return Ok(ExitCode::SUCCESS);
        }
        let boards = Board::names()
            .map(|n| Board::load(n, &[]))
            .collect::<Result<Vec<_>, _>>()?;
        let mut text = format!(
            "{:<9}  {:<32}  {:>5}  {:>5}  {:>4}  {:>9}  {:>9}  {:>14}  {:>14}  {:>5}  {:>6}",
            "board",
            "title",
            "tiles",
            "lanes",
            "word",
            "DSP",
            "BRAM36",
            "~LUT",
            "~FF",
            "MHz",
            "B/cycle"
        );
        for b in &boards {
            let a = &b.accelerator;
            let dsp = format!("{}/{}", a.all_dsps(), b.limits.dsp);
            let bram = format!("{}/{}", a.bram36(), b.limits.bram36);
            let lut = format!("{}/{}", a.luts(), b.limits.lut);
            let ff = format!("{}/{}", a.ffs(), b.limits.ff);
            let _ = write!(
                text,
                "\n{:<9}  {:<32}  {:>5}  {:>5}  {:>4}  {dsp:>9}  {bram:>9}  {lut:>14}  {ff:>14}  {:>5}  {:>6}",
                b.name,
                b.title,
                a.tiles,
                a.lanes,
                a.word.bits(),
                b.clock_mhz,
                b.memory.bytes_per_cycle
            );
        }
        self.json.report(&text, &boards, &[])?;
        Ok(ExitCode::SUCCESS)
    }
}
