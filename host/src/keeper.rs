//! A second process that keeps a buffer alive until the accelerator no longer uses it.
//!
//! XRT's buffers go with their last user. When the host is killed while a program runs, the accelerator would go on writing into
//! memory that belongs to somebody else by then. The keeper inherits the driver's file and the device's, and waits for the host's
//! end: standard input is the host's side of a pipe, standard output the driver's file, standard error the device's.

use crate::driver::is_reset;
use crate::error::HostError;
use crate::map::{Mapping, barrier};
use cnna_machine::regs;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The hidden subcommand of `cnna-host`.
pub const COMMAND: &str = "keep-buffer";
/// What the host says when it ends with the device at rest.
const AT_REST: u8 = b'.';
/// Pause between two looks at a device that comes to rest.
const LOOK: Duration = Duration::from_micros(200);

/// The host's side.
pub(crate) struct Keeper {
    child: Child,
    /// The device was seen to rest, and nothing will start it.
    pub(crate) at_rest: bool,
}

impl Keeper {
    /// Starts `program` (a `cnna-host`) as the keeper of `buffer` and `device`, whose registers begin at `offset` of map 0.
    pub(crate) fn start(
        program: &Path,
        buffer: &File,
        device: &File,
        offset: usize,
    ) -> Result<Self, HostError> {
        let io = HostError::io(program);
        let inherited = |file: &File| file.try_clone().map(Stdio::from).map_err(&io);
        let child = Command::new(program)
            .arg(COMMAND)
            .arg(offset.to_string())
            .stdin(Stdio::piped())
            .stdout(inherited(buffer)?)
            .stderr(inherited(device)?)
            // Ctrl-C is for the host.
            .process_group(0)
            .spawn()
            .map_err(&io)?;
        Ok(Keeper {
            child,
            at_rest: false,
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let pipe = self.child.stdin.take();
        if !self.at_rest {
            // It stops the device, however long that takes.
            return;
        }
        if let Some(mut pipe) = pipe {
            // A keeper that is gone keeps nothing.
            let _ = pipe.write_all(&[AT_REST]);
        }
        let _ = self.child.wait();
    }
}

/// The keeper's whole life: waits for the host's end; unless the host has said that the device rests, stops the device, and
/// returns when it no longer uses the memory.
///
/// Errors: the device's registers cannot be mapped.
pub fn keep(offset: usize) -> Result<(), HostError> {
    let mut said = Vec::new();
    // A pipe that breaks has ended.
    let _ = std::io::stdin().read_to_end(&mut said);
    if said.contains(&AT_REST) {
        return Ok(());
    }
    let name = Path::new("the device");
    let device = std::io::stderr().as_fd().try_clone_to_owned();
    let device = File::from(device.map_err(HostError::io(name))?);
    let map = Mapping::new(&device, name, 0, offset, regs::BLOCK_BYTES)?;
    map.write(regs::CONTROL.offset, 1);
    barrier();
    // For ever, if need be: a device that never rests must never meet another's memory.
    while !is_reset(map.read(regs::STATUS.offset)) {
        std::thread::sleep(LOOK);
    }
    Ok(())
}
