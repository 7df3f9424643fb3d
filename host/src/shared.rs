//! A device behind a shared file: the host's side. The server's side is [`crate::serve`].
//!
//! # The file
//! ```text
//! 0      register block, regs::BLOCK_BYTES; its last words are the file's own (below), no register
//! 4096   memory window
//! ```
//! # Handover
//! Registers are level-based, so plain memory can stand for them. The host writes `MEM_*` and `PROG_*`, then a barrier,
//! then `START`; the server reads `START`, then the rest. From then on the window belongs to the server, until it has
//! published every counter, then a barrier, then `DONE` = `START`; the host reads `DONE`, then the rest.
//! `CONTROL` has an effect that the next step relies on, as a bus write has: the host increments [`CALL`] after writing it
//! and waits until the server, having applied it and published the registers, copies it to [`ANSWER`].

use crate::device::Device;
use crate::error::HostError;
use crate::map::{Mapping, barrier};
use crate::pace::Pace;
use cnna_machine::regs::{self, Reg};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Incremented by the host after a write of `CONTROL`.
pub const CALL: usize = regs::BLOCK_BYTES - 16;
/// The last `CALL` that the server has obeyed.
pub const ANSWER: usize = regs::BLOCK_BYTES - 12;
/// What the server does: 0 is no device file, else [`SERVING`] or [`ENDED`].
pub const STATE: usize = regs::BLOCK_BYTES - 8;
/// `STATE`: a server listens.
pub const SERVING: u32 = 1;
/// `STATE`: the server has gone.
pub const ENDED: u32 = 2;

const _: () = assert!(
    regs::ALL[regs::ALL.len() - 1].offset < CALL,
    "the file's own words lie behind the registers"
);

/// How long a living server may take to obey `CONTROL`: far more than a slice of the slowest engine.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The host's side of a shared file.
pub struct SharedFile {
    map: Mapping,
    path: PathBuf,
    /// Keeps the lock that excludes a second host.
    _file: File,
}

impl SharedFile {
    /// Opens and locks a file that a server serves.
    ///
    /// Errors: unreadable, not a device file, no server, or in use by another host.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let io = HostError::io(path);
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(&io)?;
        lock(&file, path)?;
        let len = file.metadata().map_err(&io)?.len() as usize;
        let no_device = |message: &str| HostError::NoDevice {
            name: path.display().to_string(),
            message: message.into(),
        };
        let not_one = "`cnna serve` makes device files, this is something else";
        if len <= regs::BLOCK_BYTES {
            return Err(no_device(not_one));
        }
        let map = Mapping::new(&file, path, 0, 0, len)?;
        if ![SERVING, ENDED].contains(&map.read(STATE)) {
            return Err(no_device(not_one));
        }
        let device = SharedFile {
            map,
            path: path.into(),
            _file: file,
        };
        device.alive()?;
        Ok(device)
    }

    fn not_served(&self) -> HostError {
        HostError::NotServed {
            path: self.path.clone(),
        }
    }
}

/// Excludes other hosts for as long as `file` is open.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), HostError> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(e) if e == rustix::io::Errno::WOULDBLOCK => Err(HostError::InUse { path: path.into() }),
        Err(e) => Err(HostError::io(path)(e.into())),
    }
}

impl Device for SharedFile {
    fn read(&self, reg: Reg) -> u32 {
        let value = self.map.read(reg.offset);
        barrier();
        value
    }

    fn write(&mut self, reg: Reg, value: u32) -> Result<(), HostError> {
        barrier();
        self.map.write(reg.offset, value);
        if reg != regs::CONTROL {
            return Ok(());
        }
        barrier();
        let call = self.map.read(CALL).wrapping_add(1);
        self.map.write(CALL, call);
        let (pace, begin) = (Pace::new(), Instant::now());
        while self.map.read(ANSWER) != call {
            self.alive()?;
            if begin.elapsed() > ANSWER_TIME {
                return Err(self.not_served());
            }
            pace.rest(Duration::from_millis(1));
        }
        barrier();
        Ok(())
    }

    fn window_base(&self) -> u64 {
        0
    }

    fn window_bytes(&self) -> usize {
        self.map.len() - regs::BLOCK_BYTES
    }

    fn window_remedy(&self, need: usize) -> String {
        format!("serve it with a larger one: `cnna serve ... --window {need}`")
    }

    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        self.map.copy_in(regs::BLOCK_BYTES, offset, bytes)
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        self.map.copy_out(regs::BLOCK_BYTES, offset, bytes)
    }

    fn alive(&self) -> Result<(), HostError> {
        match self.map.read(STATE) {
            SERVING => Ok(()),
            _ => Err(self.not_served()),
        }
    }
}
