//! `cnna serve`: a simulated device behind a shared file, for `cnna run` or `cnna-host` in another process.

use super::BoardArguments;
use crate::progress::Bar;
use anyhow::{Result, bail};
use cnna_flow::{Session, Simulated};
use cnna_host::serve::Server;
use cnna_host::{files, signals};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `cnna serve`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna serve --engine cycle --board ultra96 --path /dev/shm/cnna0 &
  cnna run model.cnna --device /dev/shm/cnna0 --input x.npy -o y.npy
  cnna-host info --device /dev/shm/cnna0
  cnna serve --engine cycle --board ultra96 --path guest-memory --offset 0x10000000 --window 16M   # then in the guest:
  cnna-host info --device /dev/mem@0x50000000+0x1001000

Ctrl-C ends the server and removes the file; its status is then 130 (SIGTERM: 143).")]
pub struct Serve {
    /// What answers: cycle or rtl.
    #[arg(long, value_parser = engine)]
    engine: Simulated,
    #[command(flatten)]
    board: BoardArguments,
    /// The file to make; with --offset one that is there and stays.
    #[arg(long)]
    path: PathBuf,
    /// Serve a part of a file from this byte on (0x for hexadecimal): the memory of an emulated machine.
    #[arg(long, value_parser = offset)]
    offset: Option<u64>,
    /// Bytes of the memory window, with K, M or G if you like [default: the board's reserved memory].
    #[arg(long, value_parser = bytes)]
    window: Option<usize>,
}

impl Serve {
    /// Serves until Ctrl-C.
    pub fn run(self) -> Result<ExitCode> {
        let board = self.board.load()?;
        let window = match self.window {
            Some(0) => bail!("--window 0: a device needs memory"),
            Some(w) => w,
            None => board.platform.dma_bytes as usize,
        };
        let stop = signals::stop_flag()?;
        let session = Session {
            stop: &stop,
            progress: &Bar::new(),
            timeout: Duration::MAX,
        };
        self.engine.prepare(&board, &session)?;
        let mut engine = self.engine.engine(&board)?;
        let server = match self.offset {
            Some(offset) => Server::within(&self.path, offset, window, &mut *engine)?,
            None => Server::new(&self.path, window, &mut *engine)?,
        };
        files::print(&format!(
            "serving {} of {} (configuration {:016x}), window of {window} bytes, at {}",
            self.engine.name(),
            board.name,
            board.accelerator.hash(),
            self.path.display()
        ))?;
        server.run(&stop)?;
        // Nothing but a signal ends it well.
        Ok(signals::status().map_or(ExitCode::SUCCESS, ExitCode::from))
    }
}

fn engine(text: &str) -> Result<Simulated, String> {
    let known = Simulated::ALL.map(Simulated::name).join(" or ");
    Simulated::named(text).ok_or_else(|| format!("`{text}` is not {known}"))
}

fn offset(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.map_err(|e| format!("`{text}` is not a number: {e}"))
}

fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((i, 'K' | 'k')) => (&text[..i], 1 << 10),
        Some((i, 'M' | 'm')) => (&text[..i], 1 << 20),
        Some((i, 'G' | 'g')) => (&text[..i], 1 << 30),
        _ => (text, 1),
    };
    let wanted = digits.parse::<usize>().ok();
    wanted
        .and_then(|n| n.checked_mul(unit))
        .filter(|&n| n as u64 <= u64::from(u32::MAX))
        .ok_or_else(|| format!("`{text}` is not a size up to 4G, as in 64M"))
}
