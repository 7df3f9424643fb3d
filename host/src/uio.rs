//! A device on a board: Linux' userspace I/O shows the registers as map 0; the memory is a u-dma-buf buffer or one of XRT, which
//! are cached, or else map 1, a reserved window that is not.
//!
//! Linux describes the maps in `/sys/class/uio/uioN/maps/mapK/{addr,size,offset}`; map K of `/dev/uioN` is mapped at file
//! offset K pages. Source: the kernel's documentation, driver-api/uio-howto.

use crate::device::Device;
use crate::error::HostError;
use crate::interrupt::Interrupt;
use crate::keeper::Keeper;
use crate::map::{Mapping, barrier};
use crate::pace::Pace;
use crate::shared::lock;
use crate::system::System;
use crate::udmabuf::{self, Udmabuf};
use crate::xrt;
use cnna_machine::regs::{self, Reg};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Linux describes UIO devices.
pub(crate) const CLASS: &str = "/sys/class/uio";

/// Registers behind a UIO device, and memory.
pub struct Uio {
    registers: Mapping,
    memory: Memory,
    interrupt: Option<Interrupt>,
    /// Keeps the lock that excludes a second host.
    _file: File,
}

/// Where the window is.
enum Memory {
    Udmabuf(Udmabuf),
    Xrt { buffer: xrt::Buffer, keeper: Keeper },
    Reserved { map: Mapping, base: u64 },
}

/// What memory must be, where it is made for the run.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Bytes.
    pub window: usize,
    /// A `cnna-host`, which keeps a buffer of XRT until the device no longer uses it ([`crate::keeper`]); without it none is made.
    pub keeper: Option<PathBuf>,
}

impl Needs {
    /// A window of so many bytes, kept by the program that runs.
    pub fn of_this_program(window: usize) -> Self {
        Needs {
            window,
            keeper: std::env::current_exe().ok(),
        }
    }
}

/// How long a device may still be in the hands of the keeper of a host that was killed.
const HANDOVER: Duration = Duration::from_secs(1);

/// One map as sysfs describes it.
pub(crate) struct MapInfo {
    pub addr: u64,
    pub size: usize,
    pub offset: usize,
}

impl Uio {
    /// Opens `uio0`, a path that ends in it, or the device whose sysfs `name` is `name`, after the system has been seen to be
    /// safe: a bitstream runs, and the window is not the kernel's.
    ///
    /// Errors: no such device, no permission, maps missing or too small, in use by another process, not safe.
    pub fn open(name: &str, system: &System, needs: &Needs) -> Result<Self, HostError> {
        let (file_path, uio) = find(name, system)?;
        let io = HostError::io(&file_path);
        let maps = system.path(CLASS).join(&uio).join("maps");
        let no_device = |message: String| HostError::NoDevice {
            name: name.into(),
            message,
        };
        let registers = read_map(&maps.join("map0"))?;
        if registers.size < regs::BLOCK_BYTES {
            return Err(no_device(format!(
                "map 0 has {} bytes, the registers take {}",
                registers.size,
                regs::BLOCK_BYTES
            )));
        }
        system.ready()?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(&file_path)
            .map_err(&io)?;
        let begin = Instant::now();
        while let Err(e) = lock(&file, &file_path) {
            if !matches!(e, HostError::InUse { .. }) || begin.elapsed() > HANDOVER {
                return Err(e);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let made = match (Udmabuf::open(system)?, &needs.keeper) {
            (Some(buffer), _) => Some(Memory::Udmabuf(buffer)),
            (None, Some(keeper)) => match xrt::Buffer::make(system, needs.window)? {
                Some(buffer) => Some(Memory::Xrt {
                    keeper: Keeper::start(keeper, &buffer.file, &file, registers.offset)?,
                    buffer,
                }),
                None => None,
            },
            (None, None) => None,
        };
        let memory = match made {
            Some(memory) => memory,
            None => {
                let window = read_map(&maps.join("map1")).map_err(|e| {
                    no_device(format!(
                        "{e}: it has no memory; load the driver u-dma-buf with a buffer (overlay-udmabuf.dts), or XRT's zocl (PYNQ has \
                         it), or give the device tree node the reserved memory as its second `reg` entry (overlay.dts)"
                    ))
                })?;
                let base = window.addr + window.offset as u64;
                system.check_window(base, window.size)?;
                let page = rustix::param::page_size() as u64;
                Memory::Reserved {
                    map: Mapping::new(&file, &file_path, page, window.offset, window.size)?,
                    base,
                }
            }
        };
        Ok(Uio {
            registers: Mapping::new(&file, &file_path, 0, registers.offset, regs::BLOCK_BYTES)?,
            memory,
            interrupt: Interrupt::of(&file),
            _file: file,
        })
    }
}

/// The device's file and its name in sysfs.
pub(crate) fn find(name: &str, system: &System) -> Result<(PathBuf, String), HostError> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        let uio = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        return Ok((path, uio));
    }
    let mut known = Vec::new();
    for uio in system.list(CLASS) {
        let label = system
            .read(&format!("{CLASS}/{uio}/name"))
            .unwrap_or_default();
        if uio == name || label == name {
            return Ok((system.path(&format!("/dev/{uio}")), uio));
        }
        known.push(format!("{uio} ({label})"));
    }
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

pub(crate) fn read_map(folder: &Path) -> Result<MapInfo, HostError> {
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

impl Drop for Uio {
    fn drop(&mut self) {
        let at_rest = matches!(self.memory, Memory::Xrt { .. }) && self.at_rest();
        if let Memory::Xrt { keeper, .. } = &mut self.memory {
            keeper.at_rest = at_rest;
        }
    }
}

impl Device for Uio {
    fn read(&self, reg: Reg) -> u32 {
        let value = self.registers.read(reg.offset);
        barrier();
        value
    }

    fn write(&mut self, reg: Reg, value: u32) -> Result<(), HostError> {
        barrier();
        if let (regs::START, Some(interrupt)) = (reg, &self.interrupt) {
            // The last program's interrupt is taken, this one's is wanted.
            let done = self.registers.read(regs::DONE.offset);
            self.registers.write(regs::IRQ_ACK.offset, done);
            self.registers.write(regs::IRQ_ENABLE.offset, 1);
            interrupt.arm();
            barrier();
        }
        self.registers.write(reg.offset, value);
        Ok(())
    }

    fn window_base(&self) -> u64 {
        match &self.memory {
            Memory::Udmabuf(buffer) => buffer.base(),
            Memory::Xrt { buffer, .. } => buffer.base(),
            Memory::Reserved { base, .. } => *base,
        }
    }

    fn window_bytes(&self) -> usize {
        match &self.memory {
            Memory::Udmabuf(buffer) => buffer.bytes(),
            Memory::Xrt { buffer, .. } => buffer.bytes(),
            Memory::Reserved { map, .. } => map.len(),
        }
    }

    fn window_remedy(&self, need: usize) -> String {
        let bytes = need.next_multiple_of(1 << 20);
        match &self.memory {
            Memory::Udmabuf(_) => format!(
                "make a larger buffer: echo 'create {} {bytes:#x}' > /dev/u-dma-buf-mgr, or `cnna rtl --program` for an overlay \
                 of its size; the kernel must have as much contiguous memory (cma=)",
                udmabuf::NAME
            ),
            Memory::Xrt { .. } => format!("open the device for {bytes:#x} bytes"),
            Memory::Reserved { .. } => format!(
                "reserve at least {bytes:#x} bytes in the device tree (reserved-memory node and the second `reg` entry of the accelerator's node; `cnna rtl --program`)"
            ),
        }
    }

    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        match &self.memory {
            Memory::Udmabuf(buffer) => buffer.copy_in(offset, bytes),
            Memory::Xrt { buffer, .. } => buffer.copy_in(offset, bytes),
            Memory::Reserved { map, .. } => map.copy_in(0, offset, bytes),
        }
    }

    fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        match &self.memory {
            Memory::Udmabuf(buffer) => buffer.copy_out(offset, bytes),
            Memory::Xrt { buffer, .. } => buffer.copy_out(offset, bytes),
            Memory::Reserved { map, .. } => map.copy_out(0, offset, bytes),
        }
    }

    fn alive(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn is_logic(&self) -> bool {
        true
    }

    fn rest(&self, pace: &Pace, longest: Duration) {
        match &self.interrupt {
            Some(interrupt) => interrupt.wait(longest),
            None => pace.rest(longest),
        }
    }
}
