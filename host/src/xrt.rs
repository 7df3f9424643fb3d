//! Memory from XRT's kernel driver `zocl`, which PYNQ's images and AMD's have: contiguous, cached, made equal by explicit calls.
//!
//! Numbers and structures are those of the driver's public header, `zynq_ioctl.h`. A buffer goes with the last process that has
//! the driver's file open, while the accelerator may still write into it: so a second process keeps it open, see [`crate::keeper`].

use crate::error::HostError;
use crate::map::Mapping;
use crate::system::System;
use rustix::ioctl::{self, Opcode, Updater, opcode};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel describes graphics devices, of which zocl is one.
const CLASS: &str = "/sys/class/drm";
/// Mapped with the cache.
const CACHEABLE: u32 = 1 << 24;
/// No bank has this number: the driver then takes contiguous memory of the processing system.
const ANY_BANK: u32 = 0xffff;
/// Lines of the cache that a range shares with its neighbours are synchronised whole.
const LINE: usize = 64;

#[repr(C)]
struct CreateBo {
    size: u64,
    handle: u32,
    flags: u32,
}

#[repr(C)]
struct MapBo {
    handle: u32,
    pad: u32,
    offset: u64,
}

#[repr(C)]
struct SyncBo {
    handle: u32,
    direction: u32,
    offset: u64,
    size: u64,
}

#[repr(C)]
struct InfoBo {
    handle: u32,
    pad: u32,
    size: u64,
    paddr: u64,
}

/// Drivers' own calls begin here.
const COMMAND_BASE: u8 = 0x40;
const CREATE_BO: Opcode = opcode::read_write::<CreateBo>(b'd', COMMAND_BASE);
const MAP_BO: Opcode = opcode::read_write::<MapBo>(b'd', COMMAND_BASE + 3);
const SYNC_BO: Opcode = opcode::read_write::<SyncBo>(b'd', COMMAND_BASE + 4);
const INFO_BO: Opcode = opcode::read_write::<InfoBo>(b'd', COMMAND_BASE + 5);

/// Which side's news the other shall see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToDevice = 0,
    FromDevice = 1,
}

/// The driver's calls that a buffer takes.
pub(crate) trait Zocl {
    /// Makes a buffer; its handle.
    fn create(&self, bytes: u64, flags: u32) -> io::Result<u32>;
    /// Where in the driver's file the buffer can be mapped.
    fn map_offset(&self, handle: u32) -> io::Result<u64>;
    /// Bytes and physical address.
    fn info(&self, handle: u32) -> io::Result<(u64, u64)>;
    /// Makes a range equal.
    fn sync(&self, handle: u32, direction: Direction, offset: u64, bytes: u64) -> io::Result<()>;
}

/// The driver itself.
struct Kernel(File);

impl Kernel {
    fn call<const OPCODE: Opcode, T>(&self, value: &mut T) -> io::Result<()> {
        // SAFETY: each opcode is used with the structure that it was made from, which is the driver's in layout; the driver
        // reads and writes nothing but this structure.
        unsafe { ioctl::ioctl(&self.0, Updater::<OPCODE, T>::new(value)) }?;
        Ok(())
    }
}

impl Zocl for Kernel {
    fn create(&self, bytes: u64, flags: u32) -> io::Result<u32> {
        let mut bo = CreateBo {
            size: bytes,
            handle: 0,
            flags,
        };
        self.call::<CREATE_BO, _>(&mut bo)?;
        Ok(bo.handle)
    }

    fn map_offset(&self, handle: u32) -> io::Result<u64> {
        let mut bo = MapBo {
            handle,
            pad: 0,
            offset: 0,
        };
        self.call::<MAP_BO, _>(&mut bo)?;
        Ok(bo.offset)
    }

    fn info(&self, handle: u32) -> io::Result<(u64, u64)> {
        let mut bo = InfoBo {
            handle,
            pad: 0,
            size: 0,
            paddr: 0,
        };
        self.call::<INFO_BO, _>(&mut bo)?;
        Ok((bo.size, bo.paddr))
    }

    fn sync(&self, handle: u32, direction: Direction, offset: u64, bytes: u64) -> io::Result<()> {
        let mut bo = SyncBo {
            handle,
            direction: direction as u32,
            offset,
            size: bytes,
        };
        self.call::<SYNC_BO, _>(&mut bo)
    }
}

/// The driver's file, where the system has the driver.
pub fn find(system: &System) -> Option<PathBuf> {
    let is_zocl = |name: &String| {
        let about = system.read(&format!("{CLASS}/{name}/device/uevent"));
        let about = about.unwrap_or_default();
        name.starts_with("renderD") && about.lines().any(|l| l.starts_with("DRIVER=zocl"))
    };
    let name = system.list(CLASS).into_iter().find(is_zocl)?;
    Some(system.path(&format!("/dev/dri/{name}")))
}

/// A buffer of one run.
pub(crate) struct Buffer {
    zocl: Box<dyn Zocl>,
    path: PathBuf,
    handle: u32,
    map: Mapping,
    base: u64,
    /// The driver's file: as long as a process has it, the buffer is there.
    pub(crate) file: File,
}

impl Buffer {
    /// Makes a buffer of `bytes`. Nothing when the system has no zocl. Errors: no permission, too little contiguous memory.
    pub(crate) fn make(system: &System, bytes: usize) -> Result<Option<Self>, HostError> {
        let Some(path) = find(system) else {
            return Ok(None);
        };
        let io = HostError::io(&path);
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(&io)?;
        let kernel = Kernel(file.try_clone().map_err(&io)?);
        Self::with(Box::new(kernel), file, &path, bytes).map(Some)
    }

    fn with(zocl: Box<dyn Zocl>, file: File, path: &Path, bytes: usize) -> Result<Self, HostError> {
        let io = HostError::io(path);
        let bytes = bytes.max(1).next_multiple_of(rustix::param::page_size());
        let refused = |e: io::Error| {
            HostError::Board {
            what: format!("zocl makes no buffer of {bytes} bytes ({e})"),
            cure: "free contiguous memory: fewer buffers of other programs, or cma= on the kernel's command line".into(),
        }
        };
        let handle = zocl.create(bytes as u64, CACHEABLE | ANY_BANK);
        let handle = handle.map_err(refused)?;
        let (have, base) = zocl.info(handle).map_err(&io)?;
        if have < bytes as u64 || base == 0 {
            return Err(refused(io::Error::other(format!(
                "it gave {have} bytes at {base:#x}"
            ))));
        }
        let offset = zocl.map_offset(handle).map_err(&io)?;
        Ok(Buffer {
            map: Mapping::new(&file, path, offset, 0, bytes)?,
            zocl,
            path: path.into(),
            handle,
            base,
            file,
        })
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Makes a range equal, in whole lines; a range that is not in the buffer is the copy's to refuse.
    fn sync(&self, direction: Direction, offset: usize, bytes: usize) -> Result<(), HostError> {
        let inside = offset.checked_add(bytes).is_some_and(|e| e <= self.bytes());
        if bytes == 0 || !inside {
            return Ok(());
        }
        let from = offset - offset % LINE;
        let to = (offset + bytes).next_multiple_of(LINE).min(self.bytes());
        self.zocl
            .sync(self.handle, direction, from as u64, (to - from) as u64)
            .map_err(HostError::io(&self.path))
    }

    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        self.map.copy_in(0, offset, bytes)?;
        self.sync(Direction::ToDevice, offset, bytes.len())
    }

    pub(crate) fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        self.sync(Direction::FromDevice, offset, bytes.len())?;
        self.map.copy_out(0, offset, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// As C's macros of the public header give them, on both architectures.
    #[test]
    fn the_calls_have_the_headers_numbers_and_layouts() {
        let numbers = [CREATE_BO, MAP_BO, SYNC_BO, INFO_BO];
        assert_eq!(
            numbers,
            [0xc010_6440, 0xc010_6443, 0xc018_6444, 0xc018_6445]
        );
        assert_eq!(std::mem::offset_of!(CreateBo, flags), 12);
        assert_eq!(std::mem::offset_of!(MapBo, offset), 8);
        assert_eq!(std::mem::offset_of!(SyncBo, size), 16);
        assert_eq!(std::mem::offset_of!(InfoBo, paddr), 16);
    }

    type Log = Rc<RefCell<Vec<String>>>;

    /// The driver's rules on a plain file: one buffer, mapped at a page of its own, which gives less than asked on demand.
    struct Fake {
        log: Log,
        most: u64,
    }

    impl Zocl for Fake {
        fn create(&self, bytes: u64, flags: u32) -> io::Result<u32> {
            assert_eq!(bytes % 4096, 0);
            self.log
                .borrow_mut()
                .push(format!("create {bytes} {flags:#x}"));
            match bytes <= self.most {
                true => Ok(7),
                false => Err(rustix::io::Errno::NOMEM.into()),
            }
        }
        fn map_offset(&self, handle: u32) -> io::Result<u64> {
            assert_eq!(handle, 7);
            Ok(4096)
        }
        fn info(&self, handle: u32) -> io::Result<(u64, u64)> {
            assert_eq!(handle, 7);
            Ok((self.most, 0x1680_0000))
        }
        fn sync(&self, handle: u32, direction: Direction, at: u64, bytes: u64) -> io::Result<()> {
            assert_eq!(handle, 7);
            self.log
                .borrow_mut()
                .push(format!("{direction:?} {at}+{bytes}"));
            Ok(())
        }
    }

    fn buffer(
        bytes: usize,
        most: u64,
    ) -> (Result<Buffer, HostError>, Log, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 16).unwrap();
        let log = Log::default();
        let fake = Fake {
            log: log.clone(),
            most,
        };
        let made = Buffer::with(Box::new(fake), file.reopen().unwrap(), file.path(), bytes);
        (made, log, file)
    }

    #[test]
    fn a_buffer_is_made_mapped_and_synchronised_in_whole_lines() {
        let (buffer, log, file) = buffer(9000, 1 << 15);
        let buffer = buffer.unwrap();
        assert_eq!((buffer.base(), buffer.bytes()), (0x1680_0000, 12288));
        buffer.copy_in(100, &[9; 70]).unwrap();
        let mut back = [0; 3];
        buffer.copy_out(130, &mut back).unwrap();
        assert_eq!(back, [9; 3]);
        buffer.copy_in(0, &[]).unwrap();
        assert!(buffer.copy_out(12287, &mut back).is_err());
        assert!(buffer.copy_in(usize::MAX, &[1]).is_err());
        assert_eq!(
            *log.borrow(),
            [
                "create 12288 0x100ffff",
                "ToDevice 64+128",
                "FromDevice 128+64"
            ]
        );
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes[4096 + 100..4096 + 170], [9; 70]);
    }

    #[test]
    fn too_little_contiguous_memory_says_what_to_do() {
        let text = buffer(1 << 15, 4096).0.err().expect("refused").to_string();
        assert!(
            text.contains("32768 bytes") && text.contains("cma="),
            "{text}"
        );
    }

    #[test]
    fn the_driver_is_found_by_its_name_and_a_file_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let system = System::under(folder.path());
        assert_eq!(find(&system), None);
        assert!(Buffer::make(&system, 4096).unwrap().is_none());
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("sys/class/drm/renderD128/device/uevent", "DRIVER=lima\n");
        put("sys/class/drm/card1/device/uevent", "DRIVER=zocl-drm\n");
        assert_eq!(find(&system), None);
        put(
            "sys/class/drm/renderD129/device/uevent",
            "OF_NAME=zyxclmm_drm\nDRIVER=zocl-drm\n",
        );
        put("dev/dri/renderD129", "");
        assert_eq!(
            find(&system),
            Some(folder.path().join("dev/dri/renderD129"))
        );
        // A plain file knows no such call.
        let error = Buffer::make(&system, 4096).err().expect("refused");
        assert!(matches!(error, HostError::Board { .. }), "{error}");
    }
}
