//! A device behind a shared file: the host's side. The server's side is [`crate::serve`].
//!
//! # The file
//! ```text
//! 0      register block, regs::BLOCK_BYTES; its last words are the file's own (below), no register
//! 4096   memory window
//! ```
//! # Handover
//! Registers are level-based, so plain memory can stand for them. The host writes `MEM_*` and `PROG_*`, then a barrier,
//! then `START`; the server reads `START`, then the rest. From then on the window from `MEM_BASE` (which counts from the
//! window's first byte) on, `MEM_SIZE` bytes, belongs to the server, until it has published every counter, then a barrier,
//! then `DONE` = `START`; the host reads `DONE`, then the rest.
//! `CONTROL` has an effect that the next step relies on, as a bus write has: the host increments [`CALL`] after writing it
//! and waits until the server, having applied it and published the registers, copies it to [`ANSWER`].

use crate::device::Device;
use crate::error::HostError;
use crate::map::{Mapping, barrier};
use crate::pace::Pace;
use crate::system::System;
use cnna_machine::regs::{self, Reg};
use rustix::fs::{FlockOperation, flock};
use std::cell::Cell;
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

/// Regions of physical memory are whole pages of this size, whatever the kernel's.
const PAGE: u64 = 4096;

/// How long a living server may take to obey `CONTROL`: far more than a slice of the slowest engine.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The host's side of a shared file.
pub struct SharedFile {
    map: Mapping,
    path: PathBuf,
    /// Keeps the lock that excludes a second host.
    file: File,
    /// The server's lock, where it is another process.
    server: Option<ServerLock>,
    /// Physical memory has no length to look at, and does not become shorter.
    physical: bool,
}

/// A served region of physical memory by name: `/dev/mem@0x50000000+0x1001000`, registers first, the window behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub path: PathBuf,
    pub base: u64,
    pub bytes: usize,
}

impl Region {
    /// The region that `name` means; nothing when it is another kind of name. Errors: numbers that are none, or not whole pages.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>, HostError> {
        let Some((path, range)) = name.split_once('@').filter(|(p, _)| *p == "/dev/mem") else {
            return Ok(None);
        };
        let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let region = range.split_once('+').and_then(|(base, bytes)| {
            let (base, bytes) = (number(base)?, number(bytes)?);
            let whole = base % PAGE == 0 && bytes % PAGE == 0 && bytes > regs::BLOCK_BYTES as u64;
            // The end must be an address too, and a mapping's length one of this processor's.
            base.checked_add(bytes).filter(|_| whole)?;
            Some(Region {
                path: path.into(),
                base,
                bytes: usize::try_from(bytes).ok()?,
            })
        });
        region.map(Some).ok_or_else(|| HostError::NoDevice {
            name: name.into(),
            message: "physical memory is named /dev/mem@0xBASE+0xBYTES, both whole pages, more than one page in all".into(),
        })
    }
}

/// The server keeps a lock beside its file, which only a living process can hold: a state in the file outlives a kill.
struct ServerLock {
    file: File,
    looked: Cell<Instant>,
}

impl ServerLock {
    /// Time between two looks.
    const LOOK: Duration = Duration::from_millis(100);

    /// `None` without a lock file: then there is no server, or there was none.
    fn open(path: &Path) -> Option<Self> {
        let lock = ServerLock {
            file: File::open(lock_path(path)).ok()?,
            looked: Cell::new(Instant::now()),
        };
        Some(lock)
    }

    /// The server still lives.
    fn is_held(&self) -> bool {
        // A look takes the lock for a moment: shared, so that several may look at once.
        let free = flock(&self.file, FlockOperation::NonBlockingLockShared).is_ok();
        if free {
            // Closing the file would do it too.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        !free
    }

    /// The same, seldom enough to ask always.
    fn seems_held(&self) -> bool {
        if self.looked.get().elapsed() < Self::LOOK {
            return true;
        }
        self.looked.set(Instant::now());
        self.is_held()
    }
}

/// Where the server of `path` keeps its lock.
pub(crate) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".cnna-lock");
    name.into()
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
            file,
            server: ServerLock::open(path),
            physical: false,
        };
        device.alive()?;
        match &device.server {
            Some(lock) if lock.is_held() => Ok(device),
            _ => Err(device.not_served()),
        }
    }

    /// The host's side of a file that a server in this process serves; `path` names it in errors.
    pub(crate) fn of(file: File, path: &Path) -> Result<Self, HostError> {
        let len = file.metadata().map_err(HostError::io(path))?.len() as usize;
        Ok(SharedFile {
            map: Mapping::new(&file, path, 0, 0, len)?,
            path: path.into(),
            file,
            server: None,
            physical: false,
        })
    }

    /// Opens and locks a region of physical memory that a server outside of this (emulated) machine serves.
    ///
    /// Safe for the system it runs in: the region is seen to lie outside of the kernel's memory before it is mapped, and holds
    /// a device file's mark before anything is written. Memory that the tree reserves with `no-map` is mapped uncached, where
    /// every access must be aligned; [`Mapping`]'s are.
    ///
    /// Errors: the kernel's own memory, no permission, no mark of a server, or in use by another host.
    pub(crate) fn at(region: &Region, system: &System) -> Result<Self, HostError> {
        let path = &region.path;
        system.check_window(region.base, region.bytes)?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(system.path(&path.to_string_lossy()))
            .map_err(HostError::io(path))?;
        lock(&file, path)?;
        let map = Mapping::new(&file, path, region.base, 0, region.bytes)?;
        if ![SERVING, ENDED].contains(&map.read(STATE)) {
            return Err(HostError::NoDevice {
                name: format!("{}@{:#x}", path.display(), region.base),
                message: "nothing is served there: start `cnna serve --offset` on the memory's file first".into(),
            });
        }
        let device = SharedFile {
            map,
            path: path.clone(),
            file,
            server: None,
            physical: true,
        };
        device.alive()?;
        Ok(device)
    }

    fn whole(&self) -> Result<(), HostError> {
        match self.physical {
            true => Ok(()),
            false => require_whole(&self.file, &self.path, self.map.len() as u64),
        }
    }

    fn not_served(&self) -> HostError {
        HostError::NotServed {
            path: self.path.clone(),
        }
    }
}

/// Fails when a mapped file has become shorter than its mapping: touching what is gone would end the process.
pub(crate) fn require_whole(file: &File, path: &Path, len: u64) -> Result<(), HostError> {
    let now = file.metadata().map_err(HostError::io(path))?.len();
    if now < len {
        return Err(HostError::CutShort { path: path.into() });
    }
    Ok(())
}

/// Excludes other hosts for as long as `file` is open.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), HostError> {
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
        self.map.copy_out(regs::BLOCK_BYTES, offset, bytes)?;
        // Of a file cut short within a page the rest of the page reads as zeros, for the server too: only of a file that is
        // whole afterwards the bytes are what the machine wrote.
        self.whole()
    }

    fn alive(&self) -> Result<(), HostError> {
        self.whole()?;
        let lives = || self.server.as_ref().is_none_or(ServerLock::seems_held);
        match self.map.read(STATE) {
            SERVING if lives() => Ok(()),
            _ => Err(self.not_served()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_of_a_file_that_was_cut_short_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(regs::BLOCK_BYTES as u64 + PAGE).unwrap();
        let device = SharedFile::of(file.try_clone().unwrap(), &path).unwrap();
        let mut bytes = [0; 8];
        device.copy_out(0, &mut bytes).unwrap();
        // The page of the bytes is still there.
        file.set_len(regs::BLOCK_BYTES as u64 + 100).unwrap();
        let error = device.copy_out(200, &mut bytes).unwrap_err();
        assert!(matches!(error, HostError::CutShort { .. }), "{error}");
    }

    #[test]
    fn regions_of_physical_memory_are_whole_pages_with_an_end() {
        let region = Region::parse("/dev/mem@0x50000000+0x1001000")
            .unwrap()
            .unwrap();
        assert_eq!((region.base, region.bytes), (0x5000_0000, 0x100_1000));
        for name in ["/dev/mem", "uio0", "/dev/shm/a@0x0+0x2000"] {
            assert_eq!(Region::parse(name).unwrap(), None, "{name}");
        }
        for range in [
            "",
            "0x1000",
            "4096+8192",
            "0x1001+0x2000",
            "0x1000+0x1000",
            "0x1000+0x2001",
            "0xfffffffffffff000+0x2000",
        ] {
            let error = Region::parse(&format!("/dev/mem@{range}"));
            assert!(matches!(error, Err(HostError::NoDevice { .. })), "{range}");
        }
    }

    /// A file at `dev/mem` of a made-up system stands for the memory.
    #[test]
    fn physical_memory_is_touched_only_where_the_kernel_is_not_and_a_server_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("proc/iomem", b"00000000-00003fff : System RAM\n");
        put("dev/mem", &[0; 0x8000]);
        let system = System::under(folder.path());
        let open = |range: &str| {
            let region = Region::parse(&format!("/dev/mem@{range}")).unwrap();
            SharedFile::at(&region.unwrap(), &system)
        };
        assert!(matches!(
            open("0x3000+0x2000").err(),
            Some(HostError::Board { .. })
        ));
        assert!(matches!(
            open("0x4000+0x2000").err(),
            Some(HostError::NoDevice { .. })
        ));
        let mark = |state: u32| {
            let mut memory = vec![0; 0x8000];
            memory[0x4000 + STATE..][..4].copy_from_slice(&state.to_ne_bytes());
            put("dev/mem", &memory);
        };
        mark(ENDED);
        assert!(matches!(
            open("0x4000+0x2000").err(),
            Some(HostError::NotServed { .. })
        ));
        mark(SERVING);
        let mut device = open("0x4000+0x2000").unwrap();
        assert_eq!(device.window_bytes(), 0x1000);
        device.copy_in(8, &[7]).unwrap();
        let memory = std::fs::read(folder.path().join("dev/mem")).unwrap();
        assert_eq!(memory[0x5008], 7);
        assert!(matches!(
            open("0x4000+0x2000").err(),
            Some(HostError::InUse { .. })
        ));
    }
}
