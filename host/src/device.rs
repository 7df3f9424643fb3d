//! One small trait for every device, and finding a device by name or path.

use crate::error::{HostError, Registers};
use crate::pace::Pace;
use crate::shared::{Region, SharedFile};
use crate::system::System;
use crate::uio::{Needs, Uio};
use cnna_machine::regs::{self, Reg};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// Registers and a memory window. The driver above it does not know whether silicon or a simulator answers.
///
/// While a program runs (`START` differs from `DONE`) its part of the window, `MEM_SIZE` bytes from `MEM_BASE` on, belongs to the
/// device and must not be touched.
pub trait Device {
    /// Reads a register.
    fn read(&self, reg: Reg) -> u32;
    /// Writes a register; a later access to the device sees it applied. Errors: the server is gone.
    fn write(&mut self, reg: Reg, value: u32) -> Result<(), HostError>;
    /// Address of the window as the device sees it.
    fn window_base(&self) -> u64;
    /// Bytes of the window.
    fn window_bytes(&self) -> usize;
    /// How to get a larger window, for an error message.
    fn window_remedy(&self, need: usize) -> String;
    /// Copies into the window. Errors: outside it.
    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<(), HostError>;
    /// Copies out of the window. Errors: outside it.
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError>;
    /// Fails when the device is known to be gone.
    fn alive(&self) -> Result<(), HostError>;
    /// Nothing runs and nothing was asked for.
    fn at_rest(&self) -> bool {
        self.read(regs::START) == self.read(regs::DONE)
            && self.read(regs::STATUS) & (regs::STATUS_BUSY | regs::STATUS_IN_FLIGHT) == 0
    }
    /// Programmable logic of this machine, which a clock of this machine drives.
    fn is_logic(&self) -> bool {
        false
    }

    /// Waits a little for news of the device, at most so long.
    fn rest(&self, pace: &Pace, longest: Duration) {
        pace.rest(longest);
    }

    /// All registers.
    fn registers(&self) -> Registers {
        Registers(regs::ALL.iter().map(|r| (r.name, self.read(*r))).collect())
    }
}

/// Opens a device: `uio0`, `/dev/uio0`, the name a UIO device has in the device tree, the path of a shared file, or in an
/// emulated machine `/dev/mem@0xBASE+0xBYTES`, memory that is served from outside.
///
/// Errors: nothing of that name, no permission, in use, or no server behind a shared file.
pub fn open(name: &str, needs: &Needs) -> Result<Box<dyn Device>, HostError> {
    if let Some(region) = Region::parse(name)? {
        return Ok(Box::new(SharedFile::at(&region, &System::here())?));
    }
    let path = Path::new(name);
    match std::fs::metadata(path) {
        Ok(m) if m.file_type().is_char_device() => {
            Ok(Box::new(Uio::open(name, &System::here(), needs)?))
        }
        Ok(m) if m.is_file() => Ok(Box::new(SharedFile::open(path)?)),
        Ok(_) => Err(HostError::NoDevice {
            name: name.into(),
            message: "neither a character device nor a file".into(),
        }),
        Err(e) if name.contains('/') => Err(HostError::io(path)(e)),
        Err(_) => Ok(Box::new(Uio::open(name, &System::here(), needs)?)),
    }
}
