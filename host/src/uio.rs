//! A device on a board: Linux' userspace I/O, with the registers as map 0 and the reserved DMA memory as map 1.
//!
//! Linux describes the maps in `/sys/class/uio/uioN/maps/mapK/{addr,size,offset}`; map K of `/dev/uioN` is mapped at file
//! offset K pages. Source: the kernel's documentation, driver-api/uio-howto.

use crate::device::Device;
use crate::error::HostError;
use crate::map::{Mapping, barrier};
use crate::shared::lock;
use cnna_machine::regs::{self, Reg};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A UIO device with two maps.
pub struct Uio {
    registers: Mapping,
    window: Mapping,
    window_base: u64,
    /// Keeps the lock that excludes a second host.
    _file: File,
}

/// One map as sysfs describes it.
struct MapInfo {
    addr: u64,
    size: usize,
    offset: usize,
}

impl Uio {
    /// Opens `uio0`, a path that ends in it, or the device whose sysfs `name` is `name`; `sysfs` is [`crate::device::SYSFS_UIO`].
    ///
    /// Errors: no such device, no permission, maps missing or too small, in use by another process.
    pub fn open(name: &str, sysfs: &Path) -> Result<Self, HostError> {
        let (file_path, uio) = find(name, sysfs)?;
        let io = HostError::io(&file_path);
        let maps = sysfs.join(&uio).join("maps");
        let no_device = |message: String| HostError::NoDevice {
            name: name.into(),
            message,
        };
        let registers = read_map(&maps.join("map0"))?;
        let window = read_map(&maps.join("map1")).map_err(|e| {
            no_device(format!(
                "{e}: the device tree node needs the reserved memory as its second `reg` entry"
            ))
        })?;
        if registers.size < regs::BLOCK_BYTES {
            return Err(no_device(format!(
                "map 0 has {} bytes, the registers take {}",
                registers.size,
                regs::BLOCK_BYTES
            )));
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open(&file_path)
            .map_err(&io)?;
        lock(&file, &file_path)?;
        let page = rustix::param::page_size() as u64;
        Ok(Uio {
            registers: Mapping::new(&file, &file_path, 0, registers.offset, regs::BLOCK_BYTES)?,
            window: Mapping::new(&file, &file_path, page, window.offset, window.size)?,
            window_base: window.addr + window.offset as u64,
            _file: file,
        })
    }
}

/// The device's file and its name in sysfs.
fn find(name: &str, sysfs: &Path) -> Result<(PathBuf, String), HostError> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        let uio = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        return Ok((path, uio));
    }
    let mut known = Vec::new();
    for entry in std::fs::read_dir(sysfs).into_iter().flatten().flatten() {
        let uio = entry.file_name().to_string_lossy().into_owned();
        let label = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        let label = label.trim();
        if uio == name || label == name {
            return Ok((Path::new("/dev").join(&uio), uio));
        }
        known.push(format!("{uio} ({label})"));
    }
    known.sort();
    let found = match known.as_slice() {
        [] => "there is no UIO device on this machine".into(),
        k => format!("there are {}", k.join(", ")),
    };
    Err(HostError::NoDevice {
        name: name.into(),
        message: format!(
            "{found}: load the board's device-tree overlay and the driver uio_pdrv_genirq, or give the path of a file that `cnna serve` serves"
        ),
    })
}

fn read_map(folder: &Path) -> Result<MapInfo, HostError> {
    let number = |key: &str| -> Result<u64, HostError> {
        let path = folder.join(key);
        let text = std::fs::read_to_string(&path).map_err(HostError::io(&path))?;
        let text = text.trim();
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map_err(|e| HostError::NoDevice {
            name: path.display().to_string(),
            message: format!("`{text}` is not a number: {e}"),
        })
    };
    // Kernels before 2.6.32 have no `offset`.
    let offset = match number("offset") {
        Err(HostError::Io { .. }) => 0,
        other => other? as usize,
    };
    Ok(MapInfo {
        addr: number("addr")?,
        size: number("size")? as usize,
        offset,
    })
}

impl Device for Uio {
    fn read(&self, reg: Reg) -> u32 {
        let value = self.registers.read(reg.offset);
        barrier();
        value
    }

    fn write(&mut self, reg: Reg, value: u32) -> Result<(), HostError> {
        barrier();
        self.registers.write(reg.offset, value);
        Ok(())
    }

    fn window_base(&self) -> u64 {
        self.window_base
    }

    fn window_bytes(&self) -> usize {
        self.window.len()
    }

    fn window_remedy(&self, need: usize) -> String {
        format!(
            "reserve at least 0x{:x} bytes in the device tree (reserved-memory node and the second `reg` entry of the accelerator's node; `dma_bytes` in the board file)",
            need.next_multiple_of(1 << 20)
        )
    }

    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        self.window.copy_in(0, offset, bytes)
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        self.window.copy_out(0, offset, bytes)
    }

    fn alive(&self) -> Result<(), HostError> {
        Ok(())
    }
}
