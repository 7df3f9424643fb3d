//! The server's side of a shared file: an engine (cycle simulator, verilated RTL) behaves like a mapped device.

use crate::error::HostError;
use crate::files;
use crate::map::{Mapping, barrier};
use crate::pace::Pace;
use crate::shared::{ANSWER, CALL, ENDED, SERVING, STATE, SharedFile, lock_path, require_whole};
use crate::temporary::{self, Temporary};
use cnna_machine::engine::{Engine, EngineError};
use cnna_machine::regs::{self, Access, Reg};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Windows are whole pages of this size.
const PAGE: usize = 4096;
/// Longest pause of an idle server: bounds the latency of a start.
const IDLE: Duration = Duration::from_micros(500);
/// A slice of simulated time should take about this long, so that a reset is obeyed soon.
const SLICE: Duration = Duration::from_millis(5);

/// Serves `engine` at `path` until `stop`; see [`Server`].
pub fn serve(
    path: &Path,
    window_bytes: usize,
    engine: &mut dyn Engine,
    stop: &AtomicBool,
) -> Result<(), HostError> {
    Server::new(path, window_bytes, engine)?.run(stop)
}

/// Runs `host` against an engine that a thread of its own makes and serves, in a nameless file in the temporary folder.
///
/// Errors: the engine's, if it failed, else the host's.
pub fn with_served<T>(
    window_bytes: usize,
    make: impl FnOnce() -> Result<Box<dyn Engine>, EngineError> + Send,
    host: impl FnOnce(&mut SharedFile) -> Result<T, HostError>,
) -> Result<T, HostError> {
    // A file without a name: whatever ends this process, nothing stays.
    let folder = std::env::temp_dir();
    let io = HostError::io(&folder);
    let file = tempfile::tempfile_in(&folder).map_err(&io)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (served, server_stop, place) = (file.try_clone().map_err(&io)?, &stop, &folder);
        let server = scope.spawn(move || {
            let mut engine = make()?;
            let server = Server::nameless(served, place, window_bytes, &mut *engine)?;
            // The host is gone already when nobody listens; then `stop` is set too.
            let _ = ready.send(());
            server.run(server_stop)
        });
        // The host's panic must not leave the server, and with it the scope, running for ever.
        let stop_at_the_end = StopOnDrop(&stop);
        let result = match is_ready.recv() {
            Ok(()) => SharedFile::of(file, &folder).and_then(|mut device| host(&mut device)),
            Err(_) => Err(HostError::NotServed {
                path: folder.clone(),
            }),
        };
        drop(stop_at_the_end);
        match server.join() {
            Ok(Ok(())) => result,
            Ok(Err(e)) => Err(e),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An engine behind a shared file. The file appears complete and disappears with the server.
pub struct Server<'e> {
    engine: &'e mut dyn Engine,
    map: Mapping,
    file: File,
    path: PathBuf,
    /// Where the registers begin in it.
    offset: u64,
    /// Where others find the file.
    name: Option<Name>,
    /// Last values given to the engine, one a host-writable register.
    given: Vec<(Reg, u32)>,
    /// Cycles of the next slice.
    slice: u64,
    /// The engine's `CYCLES` at the last start, and the cycles it was given since.
    at_start: u32,
    passed: u64,
}

/// A path that is ours as long as we hold the lock beside it.
struct Name {
    lock: PathBuf,
    _locked: File,
    /// Of the file, if the server made it and takes it away.
    inode: Option<u64>,
}

impl<'e> Server<'e> {
    /// Makes the file `path` with a window of `window_bytes` (rounded up to pages) and the engine's registers.
    ///
    /// Errors: the file cannot be made, something that is not a device file is there already, or another server is.
    pub fn new(
        path: &Path,
        window_bytes: usize,
        engine: &'e mut dyn Engine,
    ) -> Result<Self, HostError> {
        refuse_foreign_file(path)?;
        let io = HostError::io(path);
        let lock = lock_path(path);
        let locked = lock_name(path, &lock)?;
        // From here on a signal, or an error, leaves neither file behind.
        temporary::remember(&lock);
        let made = (|| {
            let folder = match path.parent() {
                Some(p) if !p.as_os_str().is_empty() => p,
                _ => Path::new("."),
            };
            let file = Temporary::new(folder).map_err(&io)?;
            let handle = file.file().try_clone().map_err(&io)?;
            let mut server = Server::nameless(handle, path, window_bytes, engine)?;
            // Hosts exclude one another by a lock on the file itself.
            flock(file.file(), FlockOperation::Unlock).map_err(|e| io(e.into()))?;
            let inode = file.file().metadata().map_err(&io)?.ino();
            file.persist(path).map_err(&io)?;
            temporary::remember(path);
            server.name = Some(Name {
                lock: lock.clone(),
                _locked: locked,
                inode: Some(inode),
            });
            Ok(server)
        })();
        if made.is_err() {
            temporary::forget(&lock);
            let _ = std::fs::remove_file(&lock);
        }
        made
    }

    /// Serves a part of a file that is there already and stays, such as the memory of an emulated machine: registers at
    /// `offset`, the window behind them. What the part holds is written over.
    ///
    /// Errors: no such file, one that ends before the window, an offset inside a page, or another server at this file.
    pub fn within(
        path: &Path,
        offset: u64,
        window_bytes: usize,
        engine: &'e mut dyn Engine,
    ) -> Result<Self, HostError> {
        let place = |message: String| HostError::Place {
            path: path.into(),
            message,
        };
        if offset % PAGE as u64 != 0 {
            return Err(place(format!("offset {offset:#x} is not a whole page")));
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(HostError::io(path))?;
        let bytes = region_bytes(window_bytes);
        let have = file.metadata().map_err(HostError::io(path))?.len();
        if offset
            .checked_add(bytes as u64)
            .is_none_or(|end| end > have)
        {
            return Err(place(format!(
                "it has {have} bytes, registers and window at {offset:#x} take {bytes}: make it larger first"
            )));
        }
        let map = Mapping::new(&file, path, offset, 0, bytes)?;
        let lock = lock_path(path);
        let locked = lock_name(path, &lock)?;
        // From here on nothing fails, so that the lock goes with the server.
        temporary::remember(&lock);
        let name = Name {
            lock,
            _locked: locked,
            inode: None,
        };
        Ok(Server::over(map, file, path, offset, Some(name), engine))
    }

    /// Serves a file that only this process knows; `path` names it in errors.
    fn nameless(
        file: File,
        path: &Path,
        window_bytes: usize,
        engine: &'e mut dyn Engine,
    ) -> Result<Self, HostError> {
        let bytes = region_bytes(window_bytes);
        files::reserve(&file, path, bytes as u64)?;
        let map = Mapping::new(&file, path, 0, 0, bytes)?;
        Ok(Server::over(map, file, path, 0, None, engine))
    }

    /// Puts the engine's registers into the mapping, then the mark that says so.
    fn over(
        map: Mapping,
        file: File,
        path: &Path,
        offset: u64,
        name: Option<Name>,
        engine: &'e mut dyn Engine,
    ) -> Self {
        let given = regs::ALL
            .iter()
            .filter(|r| r.access == Access::Rw)
            .map(|&r| (r, engine.read(r)))
            .collect::<Vec<_>>();
        for (r, value) in &given {
            map.write(r.offset, *value);
        }
        let mut server = Server {
            engine,
            map,
            file,
            path: path.into(),
            offset,
            name,
            given,
            slice: 1024,
            at_start: 0,
            passed: 0,
        };
        // An earlier host's call is none of ours.
        server.map.write(ANSWER, server.map.read(CALL));
        server.publish();
        barrier();
        server.map.write(STATE, SERVING);
        server
    }

    /// Fails when somebody has cut the file.
    fn require_whole(&self) -> Result<(), HostError> {
        let end = self.offset + self.map.len() as u64;
        require_whole(&self.file, &self.path, end)
    }

    /// Answers until `stop` becomes true. Errors: the engine failed; the host then finds the server gone.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), HostError> {
        let mut pace = Pace::new();
        while !stop.load(Ordering::SeqCst) {
            self.require_whole()?;
            let call = self.map.read(CALL);
            barrier();
            let mut news = self.obey();
            if self.has_work() {
                // The last slice too is news.
                news = true;
                self.advance()?;
            }
            news |= self.map.read(ANSWER) != call;
            if news {
                self.publish();
                barrier();
                self.map.write(ANSWER, call);
                pace.reset();
            } else {
                pace.rest(IDLE);
            }
        }
        Ok(())
    }

    /// Gives the engine what the host has written; true when there was anything.
    fn obey(&mut self) -> bool {
        // The host writes START before it ends a reset, and everything else before START: read in the opposite order.
        let control = self.map.read(regs::CONTROL.offset);
        barrier();
        let start = self.map.read(regs::START.offset);
        barrier();
        let mut writes: Vec<(Reg, u32)> = Vec::new();
        for (reg, last) in &mut self.given {
            let value = match *reg {
                regs::CONTROL => control,
                regs::START => start,
                r => self.map.read(r.offset),
            };
            if value != *last {
                *last = value;
                writes.push((*reg, value));
            }
        }
        // A reset comes before, its end after everything else; START after what it starts.
        writes.sort_by_key(|(reg, value)| match *reg {
            regs::CONTROL if *value & 1 == 1 => 0,
            regs::START => 2,
            regs::CONTROL => 3,
            _ => 1,
        });
        for (reg, value) in &writes {
            if *reg == regs::START {
                (self.at_start, self.passed) = (self.engine.read(regs::CYCLES), 0);
            }
            self.engine.write(*reg, *value);
        }
        !writes.is_empty()
    }

    fn has_work(&mut self) -> bool {
        let e = &mut self.engine;
        e.read(regs::START) != e.read(regs::DONE)
            || e.read(regs::STATUS) & (regs::STATUS_BUSY | regs::STATUS_IN_FLIGHT) != 0
    }

    /// The part of the window that the running program has.
    fn part(&mut self) -> Range<u64> {
        let e = &mut self.engine;
        let base =
            u64::from(e.read(regs::MEM_BASE_HI)) << 32 | u64::from(e.read(regs::MEM_BASE_LO));
        // A base beyond the window is no place in it but the physical address of its beginning: a board's host, in tests.
        let base = if base < self.map.len() as u64 {
            base
        } else {
            0
        };
        base..base.saturating_add(e.read(regs::MEM_SIZE).into())
    }

    /// Lets one slice of time pass.
    fn advance(&mut self) -> Result<(), HostError> {
        let begin = Instant::now();
        let part = self.part();
        // SAFETY: the slice ends with this statement, nothing else touches the mapping meanwhile, and a host leaves the
        // program's part of the window alone while START differs from DONE or the device is busy.
        let window = unsafe { self.map.window_mut(part) };
        let running = self.engine.advance(window, self.slice)?;
        self.passed += self.slice;
        let took = begin.elapsed();
        if running && took < SLICE / 2 {
            self.slice = (self.slice * 2).min(1 << 24);
        } else if took > SLICE * 2 {
            self.slice = (self.slice / 2).max(256);
        }
        Ok(())
    }

    /// Copies the engine's registers to the file, `DONE` last.
    fn publish(&mut self) {
        let done = self.engine.read(regs::DONE);
        let busy = self.engine.read(regs::STATUS) & regs::STATUS_BUSY != 0;
        for reg in regs::ALL {
            if reg.access == Access::Ro && *reg != regs::DONE {
                let mut value = self.engine.read(*reg);
                // An engine may hold its counters back while it runs; the host must see that time passes.
                if *reg == regs::CYCLES && busy && value == self.at_start {
                    value = self.passed as u32;
                }
                self.map.write(reg.offset, value);
            }
        }
        barrier();
        self.map.write(regs::DONE.offset, done);
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if self.require_whole().is_ok() {
            self.map.write(STATE, ENDED);
        }
        let Some(name) = &self.name else { return };
        if let Some(inode) = name.inode {
            // Somebody may have put another file there; it stays.
            if std::fs::metadata(&self.path).is_ok_and(|m| m.ino() == inode) {
                let _ = std::fs::remove_file(&self.path);
            }
            temporary::forget(&self.path);
        }
        // The lock goes last, while it is held: whoever waits for it finds it gone and makes another.
        let _ = std::fs::remove_file(&name.lock);
        temporary::forget(&name.lock);
    }
}

/// Registers and a window of whole pages.
fn region_bytes(window_bytes: usize) -> usize {
    regs::BLOCK_BYTES + window_bytes.max(1).next_multiple_of(PAGE)
}

/// Takes the lock of a server at `path`. Errors: another server holds it, or the folder cannot be written.
fn lock_name(path: &Path, lock: &Path) -> Result<File, HostError> {
    let io = HostError::io(path);
    loop {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock)
            .map_err(&io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(HostError::Served { path: path.into() }),
            Err(e) => return Err(io(e.into())),
        }
        // A server that ended meanwhile has removed what we locked.
        let ours = file.metadata().map_err(&io)?.ino();
        if std::fs::metadata(lock).is_ok_and(|m| m.ino() == ours) {
            return Ok(file);
        }
    }
}

/// A server replaces a device file that an earlier one left, never anything else.
fn refuse_foreign_file(path: &Path) -> Result<(), HostError> {
    let foreign = || HostError::NoDevice {
        name: path.display().to_string(),
        message: "a file of that name exists and is not a device file: name another path".into(),
    };
    let meta = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(HostError::io(path)(e)),
        Ok(m) => m,
    };
    if !meta.is_file() || meta.len() <= regs::BLOCK_BYTES as u64 {
        // What somebody cut short while a server had it is told by the lock that the server left.
        if meta.is_file() && lock_path(path).exists() {
            return Ok(());
        }
        return Err(foreign());
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(HostError::io(path))?;
    let map = Mapping::new(&file, path, 0, 0, regs::BLOCK_BYTES)?;
    if ![SERVING, ENDED].contains(&map.read(STATE)) {
        return Err(foreign());
    }
    Ok(())
}
