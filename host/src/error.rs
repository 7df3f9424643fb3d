//! What can go wrong between a program and a device; each error says what to do.

use cnna_machine::engine::EngineError;
use cnna_machine::error::MachineError;
use cnna_machine::regs::{self, DeviceError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All registers as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(pub Vec<(&'static str, u32)>);

impl std::fmt::Display for Registers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{name}=0x{value:x}")?;
        }
        Ok(())
    }
}

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A program whose host steps this runtime cannot compute.
    #[error("the program leaves {} to the host, which this runtime was built without (feature `steps`): run it with `cnna run`, or change the network so that the machine runs all of it", .steps.join(", "))]
    HostSteps {
        /// Each step's node and operator.
        steps: Vec<String>,
    },
    /// A host step that failed.
    #[error("host step {step}: {message}")]
    HostStep {
        /// The node's name.
        step: String,
        /// What is wrong.
        message: String,
    },
    /// The network in a program file contradicts itself.
    #[cfg(feature = "steps")]
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
    /// Files that do not belong to the program's inputs or outputs.
    #[error("{message}")]
    Ports {
        /// What is wrong and what to write.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A path that cannot be what it is wanted as.
    #[error("{}: {message}", path.display())]
    Place {
        /// The path.
        path: PathBuf,
        /// What it is and what to do.
        message: String,
    },
    /// A file whose bytes must all exist has no room.
    #[error(
        "no space: {need} are needed in {}, {free} are free: free some, or name another folder (TMPDIR for temporary files)",
        folder.display()
    )]
    NoSpace {
        /// The folder.
        folder: PathBuf,
        /// Wanted.
        need: String,
        /// There.
        free: String,
    },
    /// Standard output was closed by its reader; nothing is left to say.
    #[error("nobody reads the output any more")]
    NobodyReads,
    /// Somebody made a mapped file shorter.
    #[error("{}: it was cut short while it was in use: serve it again, and leave it alone", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
    },
    /// A program file that cannot be used.
    #[error(transparent)]
    Program(#[from] MachineError),
    /// The simulator behind a shared file failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A name or path that is no device.
    #[error("{name}: not a device: {message}")]
    NoDevice {
        /// As given.
        name: String,
        /// What was found there and what to do.
        message: String,
    },
    /// A shared file without a server.
    #[error("no server answers at {}: start one there, for example `cnna serve --engine cycle --board ultra96 --path ...`", path.display())]
    NotServed {
        /// The shared file.
        path: PathBuf,
    },
    /// Another server answers at the path.
    #[error("{}: another server serves it: end that one, or name another path", path.display())]
    Served {
        /// The path.
        path: PathBuf,
    },
    /// The board is not in the state that a run needs.
    #[error("{what}: {cure}")]
    Board {
        /// What was found.
        what: String,
        /// What to do.
        cure: String,
    },
    /// Another process drives the device.
    #[error("{}: in use by another process: wait for it or end it", path.display())]
    InUse {
        /// The device's file.
        path: PathBuf,
    },
    /// The registers are not those of an accelerator.
    #[error(
        "the ID register reads 0x{found:08x} instead of 0x{:08x}: the bitstream is not loaded, or the device tree names another address",
        regs::ID_VALUE
    )]
    WrongId {
        /// Value read.
        found: u32,
    },
    /// Another generation of registers and commands.
    #[error(
        "the device has register version {found}, this program speaks {}: build the bitstream and this program from one release",
        regs::VERSION_VALUE
    )]
    WrongVersion {
        /// Value read.
        found: u32,
    },
    /// The program was compiled for another configuration.
    #[error(
        "the device's configuration is {device:016x}, the program was compiled for {program:016x} ({board}): compile the model for the device's board and settings, or load the bitstream (or serve the board) that the program wants"
    )]
    WrongHash {
        /// Hash read from the device.
        device: u64,
        /// Hash of the program.
        program: u64,
        /// Board the program was compiled for.
        board: String,
    },
    /// A run of more or fewer images than any stream takes.
    #[error(
        "a run of {images} images: this program runs 1 or {batch} at once, run them in such parts"
    )]
    NoStream {
        /// Images asked for.
        images: usize,
        /// Images of the program's largest stream.
        batch: usize,
    },
    /// The device's memory is too small for the program.
    #[error("the program needs a memory window of {need} bytes, the device has {have}: {remedy}")]
    WindowTooSmall {
        /// Bytes the program needs.
        need: usize,
        /// Bytes of the window.
        have: usize,
        /// How to reserve more.
        remedy: String,
    },
    /// The window's physical address is unusable.
    #[error(
        "the memory window's address 0x{base:x} is not a multiple of 4096: reserve page-aligned memory in the device tree"
    )]
    WindowAddress {
        /// Physical address.
        base: u64,
    },
    /// A copy outside the window.
    #[error(
        "{bytes} bytes at offset {offset} leave the memory window of {window} bytes: the program file does not match the device"
    )]
    OutsideWindow {
        /// First byte.
        offset: usize,
        /// Length.
        bytes: usize,
        /// Bytes of the window.
        window: usize,
    },
    /// No counter of work moved for too long.
    #[error("no progress for {:.1} s while {waiting_for}; registers: {registers}; hint: reload the bitstream if a reset does not help, or allow more time with --timeout", waited.as_secs_f64())]
    Timeout {
        /// Time without progress.
        waited: Duration,
        /// What the driver waited for.
        waiting_for: &'static str,
        /// The registers' state.
        registers: Registers,
    },
    /// The device stopped with an error code.
    #[error("the device stopped: {} in {place}; registers: {registers}", describe(*error, *code))]
    Device {
        /// The code's meaning, `None` when this release does not know it.
        error: Option<DeviceError>,
        /// The code.
        code: u8,
        /// Queue and layer of the command that failed, as far as the device tells.
        place: String,
        /// The registers' state.
        registers: Registers,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// An input tensor or file that does not fit.
    #[error("{}: {message}", path.display())]
    Tensor {
        /// The npy file.
        path: PathBuf,
        /// What was expected, what was found, what to do.
        message: String,
    },
}

fn describe(error: Option<DeviceError>, code: u8) -> String {
    match error {
        Some(e) => format!("{e} (code {code})"),
        None => format!("error code {code}, unknown to this release"),
    }
}

impl HostError {
    /// A path that cannot be what it is wanted as.
    pub fn place(path: &Path, message: impl Into<String>) -> Self {
        HostError::Place {
            path: path.into(),
            message: message.into(),
        }
    }

    /// For `map_err` on system calls about `path`.
    pub fn io(path: &Path) -> impl Fn(std::io::Error) -> HostError + '_ {
        move |source| HostError::Io {
            path: path.into(),
            source,
        }
    }
}
