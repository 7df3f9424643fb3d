//! A board's RTL and bitstream sources as files.

use crate::error::FlowError;
use cnna_hdl::{boards, sources};
use cnna_host::HostError;
use cnna_host::files::write_whole;
use cnna_machine::Board;
use std::path::{Path, PathBuf};

/// The board with only so many bytes of memory reserved. Errors: more than the board has.
pub fn with_window(board: &Board, bytes: u64) -> Result<Board, FlowError> {
    boards::with_window(board, bytes).map_err(|e| FlowError::Sources {
        what: format!("the memory window of {}", board.name),
        source: Box::new(e),
    })
}

/// Writes the RTL and the bitstream sources of a board below `output`; returns the files' paths.
///
/// Errors: the generator's; a file cannot be written.
pub fn write(board: &Board, output: &Path) -> Result<Vec<PathBuf>, FlowError> {
    let mut files: Vec<(String, String)> = sources::rtl(board)
        .map_err(|e| FlowError::Sources {
            what: format!("the RTL of {}", board.name),
            source: Box::new(e),
        })?
        .into_iter()
        .chain(sources::cell(board))
        .map(|f| (format!("rtl/{}", f.name), f.text))
        .collect();
    let rtl: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    // All text exists before the first file does: an error leaves nothing behind.
    let platform = boards::sources(board, &rtl).map_err(|e| FlowError::Sources {
        what: format!("the bitstream sources of {}", board.name),
        source: Box::new(e),
    })?;
    files.extend(platform.into_iter().map(|f| (f.path, f.text)));
    for (name, text) in &files {
        let path = output.join(name);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(HostError::io(folder))?;
        write_whole(&path, |w| w.write_all(text.as_bytes()))?;
    }
    Ok(files.iter().map(|(name, _)| output.join(name)).collect())
}
