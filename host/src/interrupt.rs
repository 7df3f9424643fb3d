//! The interrupt of a UIO device: writing 1 lets the next one through, reading waits for it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

pub(crate) struct Interrupt {
    file: File,
}

impl Interrupt {
    /// The device's, if it has one: without one the kernel refuses the first write. Only a device is asked, since to a plain
    /// file, which stands for one in tests, the write would be data.
    pub(crate) fn of(device: &File) -> Option<Self> {
        let is_device = device
            .metadata()
            .is_ok_and(|m| m.file_type().is_char_device());
        let file = device.try_clone().ok().filter(|_| is_device)?;
        let interrupt = Interrupt { file };
        interrupt.arm().then_some(interrupt)
    }

    /// Lets the next interrupt through; whether the kernel takes it.
    pub(crate) fn arm(&self) -> bool {
        (&self.file).write_all(&1u32.to_ne_bytes()).is_ok()
    }

    /// Waits for an interrupt, at most so long. It may come without a cause: the caller looks at the registers.
    pub(crate) fn wait(&self, longest: Duration) {
        let mut on = [PollFd::new(&self.file, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: longest.as_secs() as i64,
            tv_nsec: longest.subsec_nanos().into(),
        };
        if poll(&mut on, Some(&timeout)).is_ok_and(|n| n > 0) {
            let mut count = [0; 4];
            // An interrupt whose count cannot be read has still come.
            let _ = (&self.file).read(&mut count);
            self.arm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn it_wakes_at_once_and_is_armed_again_or_waits_its_time() {
        let (mut kernel, ours) = UnixStream::pair().unwrap();
        let interrupt = Interrupt {
            file: File::from(OwnedFd::from(ours)),
        };
        let begin = Instant::now();
        interrupt.wait(Duration::from_millis(30));
        assert!(begin.elapsed() >= Duration::from_millis(30));
        kernel.write_all(&7u32.to_ne_bytes()).unwrap();
        let begin = Instant::now();
        interrupt.wait(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30));
        let mut armed = [0; 4];
        kernel.read_exact(&mut armed).unwrap();
        assert_eq!(u32::from_ne_bytes(armed), 1);
    }

    #[test]
    fn a_plain_file_has_none_and_is_not_written_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Interrupt::of(file.as_file()).is_none());
        assert_eq!(file.as_file().metadata().unwrap().len(), 0);
    }
}
