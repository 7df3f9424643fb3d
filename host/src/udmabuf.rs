//! Memory from the u-dma-buf driver: contiguous, cached, and made equal for processor and device by explicit calls.
//!
//! The driver describes each buffer in a folder of its class. Writing 1 to `sync_for_device` writes the cache's lines of the
//! range in `sync_offset` and `sync_size` to memory; writing 1 to `sync_for_cpu` forgets them. Source: the driver's Readme.

use crate::error::HostError;
use crate::map::Mapping;
use crate::shared::lock;
use crate::system::System;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// The driver's class, by its newer and its older name.
const CLASSES: [&str; 2] = ["/sys/class/u-dma-buf", "/sys/class/udmabuf"];
/// The buffer that the project's overlay makes.
pub const NAME: &str = "udmabuf-cnna";
/// Lines of the cache that a range shares with its neighbours are synchronised whole.
const LINE: usize = 64;

/// A buffer as sysfs describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, also of its device file.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Physical address.
    pub base: u64,
    /// Bytes.
    pub bytes: usize,
    /// Hardware keeps the caches equal.
    pub coherent: bool,
}

/// All buffers of a system, the project's own first, then the largest.
pub fn buffers(system: &System) -> Vec<Description> {
    let mut all = Vec::new();
    for class in CLASSES {
        for name in system.list(class) {
            let number = |key: &str| {
                let text = system.read(&format!("{class}/{name}/{key}"))?;
                match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16).ok(),
                    None => text.parse().ok(),
                }
            };
            let (Some(base), Some(bytes)) = (number("phys_addr"), number("size")) else {
                continue;
            };
            all.push(Description {
                folder: system.path(&format!("{class}/{name}")),
                base,
                bytes: bytes as usize,
                coherent: number("dma_coherent") == Some(1),
                name,
            });
        }
    }
    all.sort_by_key(|d| (d.name != NAME, usize::MAX - d.bytes));
    all
}

/// An open buffer.
pub(crate) struct Udmabuf {
    map: Mapping,
    base: u64,
    sync: Option<Sync>,
    _file: File,
}

/// The driver's files of one buffer, kept open: they are written for every copy.
struct Sync {
    offset: Attribute,
    size: Attribute,
    for_cpu: Attribute,
    for_device: Attribute,
}

struct Attribute {
    file: File,
    path: PathBuf,
}

impl Attribute {
    fn open(folder: &Path, name: &str) -> Result<Self, HostError> {
        let path = folder.join(name);
        let file = File::options().write(true).open(&path);
        Ok(Attribute {
            file: file.map_err(HostError::io(&path))?,
            path,
        })
    }

    fn put(&self, value: usize) -> Result<(), HostError> {
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.write_all(value.to_string().as_bytes()))
            .map_err(HostError::io(&self.path))
    }
}

impl Udmabuf {
    /// Opens the first buffer that no other host has. Nothing when the system has none.
    ///
    /// Errors: all are in use, or this user may not open them.
    pub(crate) fn open(system: &System) -> Result<Option<Self>, HostError> {
        let mut refused = None;
        for d in buffers(system) {
            match Self::of(&d, system) {
                Ok(buffer) => return Ok(Some(buffer)),
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    fn of(d: &Description, system: &System) -> Result<Self, HostError> {
        let path = system.path(&format!("/dev/{}", d.name));
        let file = File::options().read(true).write(true).open(&path);
        // Without O_SYNC, so cached.
        let file = file.map_err(HostError::io(&path))?;
        lock(&file, &path)?;
        let sync = match d.coherent {
            true => None,
            false => {
                // Both directions: a line at a range's edge may hold a neighbour's news.
                Attribute::open(&d.folder, "sync_direction")?.put(0)?;
                Some(Sync {
                    offset: Attribute::open(&d.folder, "sync_offset")?,
                    size: Attribute::open(&d.folder, "sync_size")?,
                    for_cpu: Attribute::open(&d.folder, "sync_for_cpu")?,
                    for_device: Attribute::open(&d.folder, "sync_for_device")?,
                })
            }
        };
        Ok(Udmabuf {
            map: Mapping::new(&file, &path, 0, 0, d.bytes)?,
            base: d.base,
            sync,
            _file: file,
        })
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Names the range that the next synchronisation is about, in whole lines.
    fn range(&self, sync: &Sync, offset: usize, bytes: usize) -> Result<(), HostError> {
        let from = offset - offset % LINE;
        let to = (offset + bytes).next_multiple_of(LINE).min(self.map.len());
        sync.offset.put(from)?;
        sync.size.put(to - from)
    }

    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        self.map.copy_in(0, offset, bytes)?;
        match &self.sync {
            Some(sync) if !bytes.is_empty() => {
                self.range(sync, offset, bytes.len())?;
                sync.for_device.put(1)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        if let Some(sync) = &self.sync {
            // A range that is not in the buffer is the copy's to refuse.
            if !bytes.is_empty()
                && offset
                    .checked_add(bytes.len())
                    .is_some_and(|e| e <= self.bytes())
            {
                self.range(sync, offset, bytes.len())?;
                sync.for_cpu.put(1)?;
            }
        }
        self.map.copy_out(0, offset, bytes)
    }
}
