//! The one program: a thin clap door to every room.

mod commands;
mod failure;
mod progress;

use clap::Parser;
use std::process::ExitCode;

/// An open CNN accelerator for small Zynq chips: train, compile, generate, simulate, run.
#[derive(Parser)]
#[command(
    name = "cnna",
    version,
    after_help = "The main job, in order:
  cnna train --dataset fashion-mnist -o model.onnx
  cnna compile model.onnx --board ultra96 -o model.cnna
  cnna rtl --board ultra96 -o bitstream
  cnna check model.cnna
  cnna report model.cnna -o report.html
  cnna run model.cnna --device cycle --input x.npy -o y.npy

Errors end with status 2; `cnna check` ends with 1 when engines differ."
)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {}", failure::line(&e));
            ExitCode::from(2)
        }
    }
}
