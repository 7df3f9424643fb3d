//! The runtime's own small program, for the ARM cores of a board: run a program file on a device, or ask who it is.

use clap::{Parser, Subcommand};
use cnna_host::doctor::Verdict;
use cnna_host::power::Meter;
use cnna_host::report::Summary;
#[cfg(feature = "steps")]
use cnna_host::steps;
use cnna_host::tensor::{self, AllResults, Images, Inputs};
use cnna_host::{
    Driver, HostError, Needs, Options, System, device, doctor, files, keeper, signals,
};
use cnna_machine::num::dequantise;
use cnna_machine::program::Program;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Runs compiled networks on an accelerator through mapped memory.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  cnna-host info --device uio0
  cnna-host run vgg.cnna --device uio0 --input images.npy -o scores.npy --json run.json

An output named `-` is standard output; devices and FIFOs are written to, files replaced when they are whole.
Errors end with status 2, an interruption with 130 (SIGTERM: 143), a reader that goes away with 141 and no word."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a program on one image or a batch.
    Run(Run),
    /// Loads a bitstream through the FPGA manager, or applies an overlay that does.
    Load {
        /// out/cnna.bit.bin of the Vivado build.
        bitstream: PathBuf,
        /// A compiled overlay, which also makes the devices: overlay.dtbo or overlay-udmabuf.dtbo.
        #[arg(long)]
        overlay: Option<PathBuf>,
        /// Set the clock to the logic, through the driver fclkcfg.
        #[arg(long)]
        mhz: Option<f64>,
    },
    /// Checks the board line by line, each finding with its cure; status 1 when one is bad.
    Doctor {
        /// A program that is to run here.
        #[arg(long)]
        program: Option<PathBuf>,
        /// The folder below which /sys, /proc and /dev are.
        #[arg(long, default_value = "/", hide = true)]
        root: PathBuf,
    },
    /// Prints the device's identity and all registers.
    Info {
        /// uio0, /dev/uio0, a UIO device's name, or the path of a file served by `cnna serve`.
        #[arg(long)]
        device: String,
    },
    /// Keeps a buffer for another process.
    #[command(name = keeper::COMMAND, hide = true)]
    Keep { offset: usize },
}

#[derive(clap::Args)]
struct Run {
    /// Program file written by `cnna compile`.
    program: PathBuf,
    /// uio0, /dev/uio0, a UIO device's name, or the path of a file served by `cnna serve`.
    #[arg(long)]
    device: String,
    /// Images: npy of the model's shape, alone or as a batch, numbers of any type; with several inputs NAME=FILE for each.
    #[arg(long, required = true)]
    input: Vec<String>,
    /// Results: npy, (N, the model's shape), float32; with several outputs NAME=FILE for each.
    #[arg(short, long, required = true)]
    output: Vec<String>,
    /// Take int16 and int8 inputs as the format's words, and write words (int16) instead of float32.
    #[arg(long)]
    raw: bool,
    /// Print each image's best classes: the largest values of the first output.
    #[arg(long)]
    top: Option<usize>,
    /// Names of the classes, a line each.
    #[arg(long, requires = "top")]
    labels: Option<PathBuf>,
    /// Write the counters to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Seconds without progress after which the device counts as hung.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(a) => a,
        Err(e) => return signals::clap_status(e.print(), e.exit_code()),
    };
    signals::explain_bus_errors();
    let result = match arguments.command {
        Command::Run(r) => run(&r),
        Command::Info { device } => info(&device),
        Command::Keep { offset } => keeper::keep(offset),
        Command::Load {
            bitstream,
            overlay,
            mhz,
        } => load(&bitstream, overlay.as_deref(), mhz),
        Command::Doctor { program, root } => match doctor(program.as_deref(), &root) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(1),
            Err(e) => Err(e),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(HostError::NobodyReads) => ExitCode::from(signals::NOBODY_READS),
        Err(e) => {
            files::note(&format!("error: {e}"));
            ExitCode::from(signals::status().unwrap_or(2))
        }
    }
}

fn load(bitstream: &Path, overlay: Option<&Path>, mhz: Option<f64>) -> Result<(), HostError> {
    let system = System::here();
    system.load(bitstream, overlay)?;
    mhz.map_or(Ok(()), |mhz| system.set_clock(mhz))
}

/// Prints all findings; whether none is bad.
fn doctor(program: Option<&Path>, root: &Path) -> Result<bool, HostError> {
    let bytes = program.map(files::map_program).transpose()?;
    let program = match (program, &bytes) {
        (Some(path), Some(bytes)) => Some(Program::parse(path, bytes)?),
        _ => None,
    };
    let findings = doctor::examine(&System::under(root), program.as_ref().map(|p| &p.meta));
    for f in &findings {
        println!("{f}");
    }
    Ok(findings.iter().all(|f| f.verdict != Verdict::Bad))
}

/// Lines of a file of names. Errors: it cannot be read.
fn labels(path: Option<&Path>) -> Result<Vec<String>, HostError> {
    let Some(path) = path else {
        return Ok(vec![]);
    };
    let text = std::fs::read_to_string(path).map_err(HostError::io(path))?;
    Ok(text.lines().map(String::from).collect())
}

/// A line with an image's `top` largest values, and what they stand for.
fn classes(image: usize, words: &[i16], frac: i32, top: usize, labels: &[String]) -> String {
    let mut order: Vec<usize> = (0..words.len()).collect();
    // Of equal values the first, as everywhere.
    order.sort_by_key(|&c| (std::cmp::Reverse(words[c]), c));
    let each = order.iter().take(top).map(|&c| {
        let name = labels
            .get(c)
            .cloned()
            .unwrap_or_else(|| format!("class {c}"));
        format!("{name} ({:.3})", dequantise(words[c], frac))
    });
    format!("image {image}: {}\n", each.collect::<Vec<_>>().join(", "))
}

fn info(name: &str) -> Result<(), HostError> {
    let mut device = device::open(name, &Needs::of_this_program(0))?;
    let driver = Driver::new(&mut *device, Options::default())?;
    let mut text = format!(
        "device {name}: configuration {:016x}, window of {} bytes at 0x{:x}",
        driver.config_hash(),
        driver.device().window_bytes(),
        driver.device().window_base()
    );
    for (register, value) in driver.device().registers().0 {
        text += &format!("\n  {register:<12} 0x{value:08x}  {value}");
    }
    files::print(&text)
}

fn run(r: &Run) -> Result<(), HostError> {
    let stop = signals::stop_flag()?;
    let bytes = files::map_program(&r.program)?;
    let program = Program::parse(&r.program, &bytes)?;
    let inputs = tensor::port_files(&r.input, &program.meta.inputs, "input")?;
    let results = tensor::port_files(&r.output, &program.meta.outputs, "output")?;
    let outputs: Vec<&Path> = results
        .iter()
        .chain(&r.json)
        .map(PathBuf::as_path)
        .collect();
    let mut read: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    read.extend([&r.program, Path::new(&r.device)]);
    files::check_places(&read, &outputs)?;
    let labels = labels(r.labels.as_deref())?;
    let mut best = String::new();
    let mut images = Inputs::open(&inputs, &program.meta, r.raw)?;
    let needs = Needs::of_this_program(program.meta.window_bytes);
    let mut device = device::open(&r.device, &needs)?;
    let system = System::here();
    if device.is_logic() {
        system.check_clock(program.meta.board.clock_mhz)?;
    }
    let meter = Meter::new(&system);
    let watch = |_| meter.look();
    #[cfg(feature = "steps")]
    let graph = steps::needed(&program)?;
    #[cfg(feature = "steps")]
    let steps = graph.as_ref().map(|graph| steps::Steps {
        graph,
        meta: &program.meta,
    });
    #[cfg(feature = "steps")]
    let host = steps.as_ref().map(|s| s as &dyn cnna_host::HostSteps);
    #[cfg(not(feature = "steps"))]
    let host = None;
    let options = Options {
        timeout: Duration::from_secs(r.timeout),
        stop: Some(&stop),
        watch: Some(&watch),
        host,
    };
    let mut loaded = Driver::new(&mut *device, options)?.load(&program)?;
    let mut results = AllResults::create(&results, &program.meta, images.count(), r.raw)?;
    let mut number = 0..;
    let mut push = |words: &[i16]| {
        if let Some(top) = r.top {
            let first = &program.meta.outputs[0].tensor;
            let words = &words[..first.layout.shape.len()];
            best += &classes(number.next().unwrap_or(0), words, first.frac, top, &labels);
        }
        results.push(words)
    };
    let report = loaded.run_batch(&mut images, &mut push, |_| meter.look())?;
    results.finish()?;
    let power = meter.end(report.images);
    let board = &program.meta.board;
    let summary = Summary::new(&program.meta.name, board, &r.device, &report).with_power(power);
    if let Some(json) = &r.json {
        files::write_json(json, &summary)?;
    }
    let text = best + &summary.table(board.accelerator.dsps());
    if outputs.iter().any(|o| files::is_stdout(o)) {
        files::note(&text);
        return Ok(());
    }
    files::print(&text)
}
