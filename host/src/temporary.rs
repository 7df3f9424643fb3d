//! Temporary files that never outlive their use: removed when dropped, when a signal ends the process, and, after a kill
//! that nobody can catch, by the next run in the same folder.
//!
//! A temporary is named `.cnna-PID-N.tmp` and locked (flock) as long as its process lives. So what is found under such a
//! name, not locked and of no living process, is left over.

use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

const PREFIX: &str = ".cnna-";
const SUFFIX: &str = ".tmp";

/// What this process has to remove when it is ended.
static OURS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set is whole between any two statements that change it.
    OURS.lock().unwrap_or_else(|e| e.into_inner())
}

/// A file of this process in some folder.
#[derive(Debug)]
pub struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// Makes an empty file in `folder`, readable and writable, after removing what ended processes left there.
    ///
    /// Errors: the folder does not exist or cannot be written.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        remove_stale(folder);
        // Absolute: the folder may be relative, and the process may change its own before a signal comes.
        let folder = std::path::absolute(folder)?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id());
            let path = folder.join(name);
            let mut all = ours();
            match File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(file) => {
                    // A file system without locks still has living processes to go by.
                    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
                    all.insert(path.clone());
                    return Ok(Temporary { file, path });
                }
                // Of an earlier process with this number.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the name `path` in the same file system, in place of what is there. Errors: the file system's.
    pub fn persist(self, path: &Path) -> std::io::Result<()> {
        let mut all = ours();
        std::fs::rename(&self.path, path)?;
        all.remove(&self.path);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already after `persist`.
        if ours().remove(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes `path` too when a signal ends the process; until [`forget`].
pub(crate) fn remember(path: &Path) {
    ours().insert(std::path::absolute(path).unwrap_or_else(|_| path.into()));
}

/// The file has been removed, or stays.
pub(crate) fn forget(path: &Path) {
    ours().remove(&std::path::absolute(path).unwrap_or_else(|_| path.into()));
}

/// Removes every temporary of this process; for the end by a signal.
///
/// No file of ours appears or takes its final name after this: the lock is held until the process has ended.
pub(crate) fn remove_all() -> impl Sized {
    let all = ours();
    for path in all.iter() {
        let _ = std::fs::remove_file(path);
    }
    all
}

/// What ended processes left in a folder. Nothing is said when it cannot be removed: it harms nobody.
fn remove_stale(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(process_of) else {
            continue;
        };
        if Path::new("/proc").join(pid.to_string()).exists() {
            continue;
        }
        // A process of another container has another numbering, but holds its lock.
        let unlocked = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if File::open(entry.path()).is_ok_and(|f| unlocked(&f)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The process that made a temporary of that name.
fn process_of(name: &str) -> Option<u32> {
    let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (pid, number) = middle.split_once('-')?;
    number.parse::<u64>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        // Larger than any process number of Linux.
        let dead = put(".cnna-4194999-3.tmp".into());
        let locked = put(".cnna-4194999-4.tmp".into());
        let alive = put(format!(".cnna-{}-999999.tmp", std::process::id()));
        let other = put(".cnna-x-3.tmp".into());
        let lock = File::open(&locked).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mine = Temporary::new(folder.path()).unwrap();
        assert!(!dead.exists());
        assert!(locked.exists() && alive.exists() && other.exists());
        let path = mine.path().to_owned();
        assert!(path.exists());
        drop(mine);
        assert!(!path.exists());
    }
}
