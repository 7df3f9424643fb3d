//! The only unsafe code of the runtime: registers and window as mapped memory, touched by volatile accesses alone.
//!
//! Two rules, as for any memory that another party writes: never a reference to it, and only volatile reads and writes.
//! The single exception is [`Mapping::window_mut`], for the server's side. Accesses are aligned to their size, because a
//! board's memory may be mapped as device memory, where an unaligned access faults.

use crate::error::HostError;
use cnna_machine::regs::BLOCK_BYTES;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// A mapped region, shared with a device or another process.
pub(crate) struct Mapping {
    raw: MmapRaw,
    start: usize,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes of `file` (named `path` in errors) from `offset` on; the region begins `start` bytes into that.
    pub(crate) fn new(
        file: &File,
        path: &Path,
        offset: u64,
        start: usize,
        len: usize,
    ) -> Result<Self, HostError> {
        let raw = MmapOptions::new()
            .offset(offset)
            .len(start + len)
            .map_raw(file)
            .map_err(HostError::io(path))?;
        Ok(Mapping { raw, start, len })
    }

    /// Bytes of the region.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset % size_of::<T>() == 0
                && self.start % size_of::<T>() == 0
                && offset + size_of::<T>() <= self.len,
            "access of {} bytes at {offset} in a region of {}",
            size_of::<T>(),
            self.len
        );
        self.raw
            .as_mut_ptr()
            .wrapping_add(self.start + offset)
            .cast()
    }

    /// Reads the aligned 32-bit word at `offset`.
    pub(crate) fn read(&self, offset: usize) -> u32 {
        let p = self.at::<u32>(offset);
        // SAFETY: `at` checked bounds and alignment; the mapping lives as long as `self`; any bit pattern is a u32.
        unsafe { p.read_volatile() }
    }

    /// Writes the aligned 32-bit word at `offset`.
    pub(crate) fn write(&self, offset: usize, value: u32) {
        let p = self.at::<u32>(offset);
        // SAFETY: `at` checked bounds and alignment; the mapping is writable and no reference into it exists.
        unsafe { p.write_volatile(value) }
    }

    /// Fails unless `offset .. offset + bytes` lies in the window that begins at `base`.
    fn check(&self, base: usize, offset: usize, bytes: usize) -> Result<(), HostError> {
        let window = self.len - base;
        match offset.checked_add(bytes) {
            Some(end) if end <= window => Ok(()),
            _ => Err(HostError::OutsideWindow {
                offset,
                bytes,
                window,
            }),
        }
    }

    /// Copies `bytes` to `offset` in the window that begins at `base`.
    pub(crate) fn copy_in(
        &self,
        base: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), HostError> {
        self.check(base, offset, bytes.len())?;
        let at = base + offset;
        let (head, words) = aligned_parts(at, bytes.len());
        let put_bytes = |at: usize, bytes: &[u8]| {
            for (i, &b) in bytes.iter().enumerate() {
                let p = self.at::<u8>(at + i);
                // SAFETY: `at` checked bounds; a byte is always aligned; no reference into the mapping exists.
                unsafe { p.write_volatile(b) };
            }
        };
        put_bytes(at, &bytes[..head]);
        for (i, w) in bytes[head..head + words * 8].chunks_exact(8).enumerate() {
            let word = u64::from_ne_bytes(w.try_into().expect("chunks of eight"));
            let p = self.at::<u64>(at + head + i * 8);
            // SAFETY: `at` checked bounds and alignment; no reference into the mapping exists.
            unsafe { p.write_volatile(word) };
        }
        put_bytes(at + head + words * 8, &bytes[head + words * 8..]);
        Ok(())
    }

    /// Copies from `offset` in the window that begins at `base` into `bytes`.
    pub(crate) fn copy_out(
        &self,
        base: usize,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), HostError> {
        self.check(base, offset, bytes.len())?;
        let at = base + offset;
        let (head, words) = aligned_parts(at, bytes.len());
        let get_bytes = |at: usize, bytes: &mut [u8]| {
            for (i, b) in bytes.iter_mut().enumerate() {
                let p = self.at::<u8>(at + i);
                // SAFETY: `at` checked bounds; a byte is always aligned; any bit pattern is a byte.
                *b = unsafe { p.read_volatile() };
            }
        };
        get_bytes(at, &mut bytes[..head]);
        for (i, w) in bytes[head..head + words * 8]
            .chunks_exact_mut(8)
            .enumerate()
        {
            let p = self.at::<u64>(at + head + i * 8);
            // SAFETY: `at` checked bounds and alignment; any bit pattern is a u64.
            let word = unsafe { p.read_volatile() };
            w.copy_from_slice(&word.to_ne_bytes());
        }
        get_bytes(at + head + words * 8, &mut bytes[head + words * 8..]);
        Ok(())
    }

    /// A part of the window behind the register block, as plain memory: for the server while a program runs. What of `part`
    /// lies outside of the window is left out.
    ///
    /// # Safety
    /// Until the slice is dropped, no other access to the part happens through this mapping, and by the handover
    /// protocol of [`crate::shared`] the host's process leaves it alone.
    pub(crate) unsafe fn window_mut(&mut self, part: Range<u64>) -> &mut [u8] {
        let window = self.len - BLOCK_BYTES;
        let inside = |at: u64| usize::try_from(at).map_or(window, |at| at.min(window));
        let (from, to) = (inside(part.start), inside(part.end));
        let p = self
            .raw
            .as_mut_ptr()
            .wrapping_add(self.start + BLOCK_BYTES + from);
        // SAFETY: the region is mapped, `window` bytes follow the registers, of which this is a part; bytes have no invalid
        // pattern; exclusiveness is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(p, to.saturating_sub(from)) }
    }
}

/// Bytes before the first multiple of 8 from address `at` on, and whole words of 8 bytes after them.
fn aligned_parts(at: usize, len: usize) -> (usize, usize) {
    let head = (at.next_multiple_of(8) - at).min(len);
    (head, (len - head) / 8)
}

/// Orders every access before it against every access after it, as the device sees them.
pub(crate) fn barrier() {
    #[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
    // SAFETY: a data synchronisation barrier touches neither registers nor memory. A language fence only covers the
    // inner shareable domain, to which the accelerator does not belong.
    unsafe {
        std::arch::asm!("dsb sy", options(nostack, preserves_flags));
    }
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_exact_at_every_offset_and_length() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file_mut().set_len(4096 + 64).unwrap();
        let path = file.path().to_owned();
        let map = Mapping::new(file.as_file(), &path, 0, 0, 4096 + 64).unwrap();
        let source: Vec<u8> = (1..=64).collect();
        for offset in 0..24 {
            for len in 0..32 {
                map.copy_in(4096, 0, &[0; 64]).unwrap();
                map.copy_in(4096, offset, &source[..len]).unwrap();
                let mut all = [0xff; 64];
                map.copy_out(4096, 0, &mut all).unwrap();
                let mut want = [0; 64];
                want[offset..offset + len].copy_from_slice(&source[..len]);
                assert_eq!(all, want, "offset {offset}, {len} bytes");
                let mut part = vec![0xff; len];
                map.copy_out(4096, offset, &mut part).unwrap();
                assert_eq!(part, source[..len], "offset {offset}, {len} bytes");
            }
        }
        assert!(map.copy_in(4096, 60, &[0; 5]).is_err());
        assert!(map.copy_out(4096, usize::MAX, &mut [0; 2]).is_err());
    }
}
