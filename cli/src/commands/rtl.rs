//! `cnna rtl`: everything Vivado and Linux need to build and use a board's bitstream.

use super::{BoardArguments, JsonArguments};
use anyhow::{Result, bail};
use cnna_host::files::map_program;
use cnna_machine::program::Program;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cnna rtl`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna rtl --board ultra96 -o bitstream
  cnna rtl --board pynq-z2 --set lanes=11 -o bitstream
  cnna rtl --board pynq-z2 --program demo.cnna -o bitstream

Then, where Vivado is installed: vivado -mode batch -source bitstream/build.tcl")]
pub struct Rtl {
    #[command(flatten)]
    board: BoardArguments,
    /// The folder, made if missing; files of the same name are replaced.
    #[arg(short, long)]
    output: PathBuf,
    /// Reserve only the memory that this compiled program needs, instead of the board file's whole window.
    #[arg(long, conflicts_with = "window")]
    program: Option<PathBuf>,
    /// Reserve so many bytes.
    #[arg(long)]
    window: Option<u64>,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    board: &'a str,
    config: String,
    dsp: usize,
    bram36: usize,
    lut: usize,
    ff: usize,
    files: Vec<PathBuf>,
}

impl Rtl {
    /// Bytes of memory to reserve, where the user asks for a number.
    fn window_bytes(&self) -> Result<Option<u64>> {
        let Some(path) = &self.program else {
            return Ok(self.window);
        };
        let bytes = map_program(path)?;
        let program = Program::parse(path, &bytes)?;
        Ok(Some(program.meta.window_bytes as u64))
    }

    /// Writes the sources.
    pub fn run(self) -> Result<ExitCode> {
        self.json
            .check_places(&[Path::new(&self.board.board)], &[])?;
        let mut board = self.board.load()?;
        if let Some(bytes) = self.window_bytes()? {
            board = cnna_flow::sources::with_window(&board, bytes)?;
        }
        if self.output.exists() && !self.output.is_dir() {
            bail!("{} is a file: name a folder", self.output.display());
        }
        let files = cnna_flow::sources::write(&board, &self.output)?;
        let a = &board.accelerator;
        let report = Report {
            board: &board.name,
            config: format!("{:016x}", a.hash()),
            dsp: a.all_dsps(),
            bram36: a.bram36(),
            lut: a.luts(),
            ff: a.ffs(),
            files,
        };
        let text = format!(
            "{}: {} files for {}, configuration {}; expected: {} of {} DSP, {} of {} BRAM36, \
             about {} of {} LUT, {} of {} FF",
            self.output.display(),
            report.files.len(),
            report.board,
            report.config,
            report.dsp,
            board.limits.dsp,
            report.bram36,
            board.limits.bram36,
            report.lut,
            board.limits.lut,
            report.ff,
            board.limits.ff
        );
        self.json.report(&text, &report, &[])?;
        Ok(ExitCode::SUCCESS)
    }
}
