//! Program files mapped for reading; output files, whole or not at all.

use crate::error::HostError;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Maps a program file for reading: the weights of a large network need not fit the board's memory twice.
///
/// Errors: missing, unreadable or empty.
pub fn map_program(path: &Path) -> Result<memmap2::Mmap, HostError> {
    let io = HostError::io(path);
    let file = std::fs::File::open(path).map_err(&io)?;
    if file.metadata().map_err(&io)?.len() == 0 {
        // An empty range cannot be mapped.
        return Err(io(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the file is empty: write it with `cnna compile`",
        )));
    }
    // SAFETY: the mapping is private and read-only. Programs are replaced by renaming, never written in place, so their
    // bytes do not change while they are mapped.
    unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }.map_err(&io)
}

/// Writes `path` through a temporary in the same folder and a rename, so that no reader and no interruption ever sees half.
///
/// Errors: the folder does not exist or cannot be written; then nothing stays behind.
pub fn write_whole(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), HostError> {
    let io = HostError::io(path);
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".cnna-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(&io)?;
    let mut w = BufWriter::with_capacity(1 << 20, temporary);
    content(&mut w).map_err(&io)?;
    let temporary = w.into_inner().map_err(|e| io(e.into_error()))?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

/// Writes a value as indented JSON, see [`write_whole`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), HostError> {
    write_whole(path, |w| {
        serde_json::to_writer_pretty(&mut *w, value)?;
        writeln!(w)
    })
}
