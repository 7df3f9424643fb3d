//! The runtime's own small program, for the ARM cores of a board: run a program file on a device, or ask who it is.

use clap::{Parser, Subcommand};
use cnna_host::report::Summary;
use cnna_host::{Driver, HostError, Options, device, files, signals, tensor};
use cnna_machine::program::Program;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs compiled networks on an accelerator through mapped memory.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  cnna-host info --device uio0
  cnna-host run vgg.cnna --device uio0 --input images.npy -o scores.npy --json run.json"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a program on one image or a batch.
    Run(Run),
    /// Prints the device's identity and all registers.
    Info {
        /// uio0, /dev/uio0, a UIO device's name, or the path of a file served by `cnna serve`.
        #[arg(long)]
        device: String,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Program file written by `cnna compile`.
    program: PathBuf,
    /// uio0, /dev/uio0, a UIO device's name, or the path of a file served by `cnna serve`.
    #[arg(long)]
    device: String,
    /// Images: npy, (C, H, W) or (N, C, H, W), float32, int16 or int8.
    #[arg(long)]
    input: PathBuf,
    /// Results: npy, (N, C, H, W) or (N, n), float32.
    #[arg(short, long)]
    output: PathBuf,
    /// Write the integers (int16) instead of float32.
    #[arg(long)]
    raw: bool,
    /// Write the counters to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Seconds without progress after which the device counts as hung.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(r) => run(&r),
        Command::Info { device } => info(&device),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn info(name: &str) -> Result<(), HostError> {
    let mut device = device::open(name)?;
    let driver = Driver::new(&mut *device, Options::default())?;
    println!(
        "device {name}: configuration {:016x}, window of {} bytes at 0x{:x}",
        driver.config_hash(),
        driver.device().window_bytes(),
        driver.device().window_base()
    );
    for (register, value) in driver.device().registers().0 {
        println!("  {register:<12} 0x{value:08x}  {value}");
    }
    Ok(())
}

fn run(r: &Run) -> Result<(), HostError> {
    let bytes = files::map_program(&r.program)?;
    let program = Program::parse(&r.program, &bytes)?;
    let batch = tensor::read_input(&r.input, &program.meta)?;
    let mut device = device::open(&r.device)?;
    let stop = signals::stop_flag()?;
    let options = Options {
        timeout: Duration::from_secs(r.timeout),
        stop: Some(&stop),
        watch: None,
    };
    let mut loaded = Driver::new(&mut *device, options)?.load(&program)?;
    let (words, report) = loaded.run_batch(&batch, |_| ())?;
    tensor::write_output(&r.output, program.meta.output(), &words, r.raw)?;
    let board = &program.meta.board;
    let summary = Summary::new(&program.meta.name, board, &r.device, &report);
    if let Some(json) = &r.json {
        files::write_json(json, &summary)?;
    }
    println!("{}", summary.table(board.accelerator.dsps()));
    Ok(())
}
