//! Program files mapped for reading; output files: where they may go, and how they are written.

use crate::error::HostError;
use crate::temporary::Temporary;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{BufWriter, ErrorKind, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Maps a program file for reading: the weights of a large network need not fit the board's memory twice.
///
/// Errors: missing, unreadable, empty, or a folder.
pub fn map_program(path: &Path) -> Result<memmap2::Mmap, HostError> {
    let io = HostError::io(path);
    let file = File::open(path).map_err(&io)?;
    let meta = file.metadata().map_err(&io)?;
    if meta.is_dir() {
        return Err(HostError::place(
            path,
            "a folder, not a program file: name the file that `cnna compile` wrote",
        ));
    }
    if !meta.is_file() {
        return Err(HostError::place(
            path,
            "not a regular file: a program is mapped, so copy it to a file first",
        ));
    }
    if meta.len() == 0 {
        // An empty range cannot be mapped.
        return Err(io(std::io::Error::new(
            ErrorKind::UnexpectedEof,
            "the file is empty: write it with `cnna compile`",
        )));
    }
    // SAFETY: the mapping is private and read-only. Programs are replaced by renaming, never written in place, so their
    // bytes do not change while they are mapped.
    unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }.map_err(&io)
}

/// True for the name of standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// The folder that a path names a file in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// An output being written. A regular file is whole or not at all: it is written beside its place and takes its name in
/// [`Output::finish`]; links are followed. A device node or a FIFO is opened and written to; `-` is standard output.
pub struct Output {
    path: PathBuf,
    to: To,
}

enum To {
    File {
        writer: BufWriter<File>,
        temporary: Temporary,
        target: PathBuf,
    },
    Node(BufWriter<File>),
    Stdout(BufWriter<std::io::Stdout>),
}

const BUFFER: usize = 1 << 20;

impl Output {
    /// Opens `path` for writing. Errors: its folder does not exist or cannot be written, or it is a folder or a socket.
    pub fn create(path: &Path) -> Result<Self, HostError> {
        let io = HostError::io(path);
        let to = if is_stdout(path) {
            To::Stdout(BufWriter::with_capacity(BUFFER, std::io::stdout()))
        } else {
            let target = follow(path).map_err(&io)?;
            match std::fs::metadata(&target) {
                Ok(m) if !m.is_file() => {
                    let file = File::options().write(true).open(path).map_err(&io)?;
                    To::Node(BufWriter::with_capacity(BUFFER, file))
                }
                found => {
                    let temporary = Temporary::new(folder_of(&target)).map_err(&io)?;
                    if let Ok(old) = found {
                        // Who may read the old file may read the new one; where that fails it has the usual permissions.
                        let _ = temporary.file().set_permissions(old.permissions());
                    }
                    let file = temporary.file().try_clone().map_err(&io)?;
                    To::File {
                        writer: BufWriter::with_capacity(BUFFER, file),
                        temporary,
                        target,
                    }
                }
            }
        };
        Ok(Output {
            path: path.into(),
            to,
        })
    }

    /// Everything has been written. Errors: it could not be, for example because the disk is full.
    pub fn finish(self) -> Result<(), HostError> {
        let Output { path, to } = self;
        let done = match to {
            To::File {
                mut writer,
                temporary,
                target,
            } => writer.flush().and_then(|()| temporary.persist(&target)),
            To::Node(mut w) => w.flush(),
            To::Stdout(mut w) => w.flush(),
        };
        done.map_err(|e| failed(&path, e))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.to {
            To::File { writer, .. } => writer.write(bytes),
            To::Node(w) => w.write(bytes),
            To::Stdout(w) => w.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.to {
            To::File { writer, .. } => writer.flush(),
            To::Node(w) => w.flush(),
            To::Stdout(w) => w.flush(),
        }
    }
}

/// An error of writing to `path`: a reader that has gone is one of its own.
pub fn failed(path: &Path, e: std::io::Error) -> HostError {
    match e.kind() {
        ErrorKind::BrokenPipe => HostError::NobodyReads,
        _ if is_stdout(path) => HostError::io(Path::new("standard output"))(e),
        _ => HostError::io(path)(e),
    }
}

/// Writes a whole output, see [`Output`]. Errors: it cannot be written; then nothing stays behind.
pub fn write_whole(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), HostError> {
    let mut output = Output::create(path)?;
    content(&mut output).map_err(|e| failed(path, e))?;
    output.finish()
}

/// What [`write_seekable`] gives its content to.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// As [`write_whole`], for content that goes back to mend its beginning: what cannot seek gets it from a temporary.
pub fn write_seekable(
    path: &Path,
    content: impl FnOnce(&mut dyn WriteSeek) -> std::io::Result<()>,
) -> Result<(), HostError> {
    let mut output = Output::create(path)?;
    let result = match &mut output.to {
        To::File { writer, .. } => content(writer),
        To::Node(_) | To::Stdout(_) => copied(&mut output, content),
    };
    result.map_err(|e| failed(path, e))?;
    output.finish()
}

fn copied(
    output: &mut Output,
    content: impl FnOnce(&mut dyn WriteSeek) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER, tempfile::tempfile()?);
    content(&mut writer)?;
    let mut file = writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.rewind()?;
    std::io::copy(&mut file, output).map(drop)
}

/// Writes a value as indented JSON, see [`write_whole`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), HostError> {
    write_whole(path, |w| {
        serde_json::to_writer_pretty(&mut *w, value)?;
        writeln!(w)
    })
}

/// Prints a line. Errors: nobody reads it any more, or the disk behind standard output is full.
pub fn print(text: &str) -> Result<(), HostError> {
    write_whole(Path::new("-"), |w| writeln!(w, "{text}"))
}

/// Says something to the user where results are not meant to go; lost when nobody listens there.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The file that a path means when all links are followed; it need not exist.
fn follow(path: &Path) -> std::io::Result<PathBuf> {
    let mut at = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match std::fs::symlink_metadata(&at) {
            Ok(m) if m.is_symlink() => {
                // What is no regular file is opened by its own name: links in /proc lead nowhere else.
                if std::fs::metadata(&at).is_ok_and(|m| !m.is_file()) {
                    return Ok(at);
                }
                at = folder_of(&at).join(std::fs::read_link(&at)?);
            }
            Ok(_) => return Ok(at),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(at),
            Err(e) => return Err(e),
        }
    }
    Err(std::io::Error::other(
        "too many links: name the file itself",
    ))
}

/// What makes two paths the same place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Stdout,
    Inode(u64, u64),
    Missing(PathBuf),
}

impl Place {
    /// `None` for what may be written by several at once: device nodes and FIFOs.
    fn of(path: &Path) -> Option<Place> {
        if is_stdout(path) {
            return Some(Place::Stdout);
        }
        match std::fs::metadata(path) {
            Ok(m) if m.is_file() => Some(Place::Inode(m.dev(), m.ino())),
            Ok(_) => None,
            Err(_) => {
                let target = follow(path).ok()?;
                let folder = std::fs::canonicalize(folder_of(&target)).ok()?;
                Some(Place::Missing(folder.join(target.file_name()?)))
            }
        }
    }
}

/// Fails when a result could not be written, or would destroy an input or another result, before work that takes minutes.
///
/// Errors: an output's folder does not exist or cannot be written, an output is a folder, is an input, or is told twice.
pub fn check_places(inputs: &[&Path], outputs: &[&Path]) -> Result<(), HostError> {
    let mut taken: BTreeMap<Place, &Path> = BTreeMap::new();
    for input in inputs {
        // `-` is no input: it names a file of that name there.
        let place = std::fs::metadata(input).ok().filter(Metadata::is_file);
        if let Some(m) = place {
            taken.insert(Place::Inode(m.dev(), m.ino()), input);
        }
    }
    let from_inputs = taken.len();
    for output in outputs {
        writable(output)?;
        let Some(place) = Place::of(output) else {
            continue;
        };
        if let Some(other) = taken.get(&place) {
            let is_input = inputs.contains(other) && from_inputs > 0;
            let message = match is_input {
                true => format!(
                    "an output, but it is the input {}: name another file",
                    other.display()
                ),
                false => format!(
                    "an output, but so is {}, the same file: name another",
                    other.display()
                ),
            };
            return Err(HostError::place(output, message));
        }
        taken.insert(place, output);
    }
    Ok(())
}

/// Fails when `output` cannot be made.
fn writable(output: &Path) -> Result<(), HostError> {
    use rustix::fs::{Access, access};
    if is_stdout(output) {
        return Ok(());
    }
    if output.as_os_str().is_empty() {
        return Err(HostError::place(output, "an empty name: name a file"));
    }
    let target = follow(output).map_err(HostError::io(output))?;
    let folder = match std::fs::metadata(&target) {
        Ok(m) if m.is_dir() => {
            return Err(HostError::place(output, "a folder: name a file"));
        }
        Ok(m) if !m.is_file() => {
            return access(&target, Access::WRITE_OK).map_err(|e| HostError::io(output)(e.into()));
        }
        _ => folder_of(&target),
    };
    if !folder.is_dir() {
        return Err(HostError::place(
            output,
            format!(
                "its folder {} does not exist: make it first",
                folder.display()
            ),
        ));
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        HostError::place(
            output,
            format!(
                "its folder {} cannot be written ({}): name another, or change its permissions",
                folder.display(),
                std::io::Error::from(e)
            ),
        )
    })
}

/// Fails when the disk of an output is full already. Errors: no space there, or it cannot be written.
pub fn check_space(outputs: &[&Path]) -> Result<(), HostError> {
    for output in outputs {
        let target = follow(output).map_err(HostError::io(output))?;
        if std::fs::metadata(&target).is_ok_and(|m| !m.is_file()) {
            continue;
        }
        let probe = Temporary::new(folder_of(&target)).map_err(HostError::io(output))?;
        reserve(probe.file(), &target, LEAST)?;
    }
    Ok(())
}

/// Less than this is no space for any result.
const LEAST: u64 = 1 << 20;

/// Bytes for people, in the unit that fits.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Makes `file`, which is or will be `path`, `bytes` long and takes the space now: a mapped file that runs out of space
/// later ends the process without a word.
///
/// Errors: no space, with how much is needed and where.
pub(crate) fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), HostError> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            let folder = folder_of(path);
            let free = rustix::fs::statvfs(folder)
                .map(|s| s.f_bavail.saturating_mul(s.f_frsize))
                .unwrap_or(0);
            Err(HostError::NoSpace {
                folder: folder.into(),
                need: size(bytes),
                free: size(free),
            })
        }
        // Some network file systems cannot reserve.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            file.set_len(bytes).map_err(HostError::io(path))
        }
        Err(e) => Err(HostError::io(path)(e.into())),
    }
}
