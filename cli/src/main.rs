//! The one program: a thin clap door to every room.

mod boxes;
mod commands;
mod detector;
mod pictures;
mod progress;

use clap::Parser;
use cnna_flow::failure;
use cnna_host::{files, signals};
use std::process::ExitCode;

/// An open CNN accelerator for small Zynq chips: train, compile, generate, simulate, run.
#[derive(Parser)]
#[command(
    name = "cnna",
    version,
    after_help = "The main job, in order:
  cnna quantize float.onnx --calib photos -o model.onnx       # or: cnna train --dataset fashion-mnist -o model.onnx
  cnna compile model.onnx --board ultra96 -o model.cnna
  cnna rtl --board ultra96 -o bitstream
  cnna check model.cnna
  cnna report model.cnna -o report.html
  cnna run model.cnna --device cycle --input x.npy -o y.npy

An output named `-` is standard output; devices and FIFOs are written to, files replaced when they are whole.

Status: 0 all is well, 1 `cnna check` or `cnna demo` found a difference, 2 an error, 130 interrupted (Ctrl-C; SIGTERM: 143),
141 nobody reads the output any more (no message).

Environment:
  CNNA_CACHE  where verilated RTL is kept (otherwise cnna in XDG_CACHE_HOME or ~/.cache)
  CNNA_DATA   where data sets are looked for by name
  TMPDIR      where the memory of simulated devices is kept: a program's window must fit"
)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return signals::clap_status(e.print(), e.exit_code()),
    };
    signals::explain_bus_errors();
    // From here on every command obeys Ctrl-C, and leaves nothing behind.
    let done = signals::stop_flag()
        .map_err(anyhow::Error::from)
        .and_then(|_| cli.command.run());
    match done {
        Ok(code) => code,
        Err(e) if failure::is_nobody_reads(e.as_ref()) => ExitCode::from(signals::NOBODY_READS),
        Err(e) => {
            files::note(&format!("error: {}", failure::line(e.as_ref())));
            ExitCode::from(signals::status().unwrap_or(2))
        }
    }
}
