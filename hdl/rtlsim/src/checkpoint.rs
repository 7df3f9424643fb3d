//! Checkpoints of long runs: after an interruption, the same run with the same window goes on where its last checkpoint was.
//!
//! ```text
//! SHA-256 of all that follows, then: lengths of three parts (u64), memory model's state (JSON), verilated model, window region
//! ```
//! A checkpoint belongs to its key: library, memory model, registers and every byte of the window at the start.

use crate::error::RtlsimError;
use crate::protocol::Watch;
use cnna_machine::memory::Memory;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a checkpoint holds besides the verilated model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The memory's timing.
    pub memory: Memory,
    /// What the bus is owed.
    pub watch: Watch,
    /// Cycles since the start.
    pub cycles: u64,
    /// Bytes of the window that have been written since.
    pub written: Range<usize>,
}

/// The checkpoint file of one run.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// Of the run that begins with these registers and this window; `library` is the verilated model's path.
    pub(super) fn of(library: &Path, model: &str, registers: &[u32], window: &[u8]) -> Self {
        let mut h = Sha256::new();
        h.update(library.as_os_str().as_encoded_bytes());
        h.update(model);
        for r in registers {
            h.update(r.to_le_bytes());
        }
        h.update(window);
        let key: String = h.finalize()[..8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Checkpoint {
            path: library.with_file_name(format!("checkpoint-{key}")),
        }
    }

    /// Writes it: `save` puts the verilated model's state into a file. Whole or not at all.
    pub(super) fn write(
        &self,
        state: &State,
        window: &[u8],
        save: impl FnOnce(&Path) -> Result<(), RtlsimError>,
    ) -> Result<(), RtlsimError> {
        let io = |source| RtlsimError::Io {
            path: self.path.clone(),
            source,
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let model = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        save(model.path())?;
        let model = std::fs::read(model.path()).map_err(io)?;
        let head = serde_json::to_vec(state).map_err(|e| io(e.into()))?;
        let parts = [&head[..], &model, &window[state.written.clone()]];
        let lengths = parts.map(|p| (p.len() as u64).to_le_bytes());
        let all = || lengths.iter().map(|l| &l[..]).chain(parts);
        let mut h = Sha256::new();
        all().for_each(|p| h.update(p));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        file.write_all(&h.finalize()).map_err(io)?;
        all().try_for_each(|p| file.write_all(p)).map_err(io)?;
        file.persist(&self.path).map_err(|e| io(e.error))?;
        Ok(())
    }

    /// Reads it, if there is one and it is whole: `load` takes the verilated model's state from a file.
    pub(super) fn read(
        &self,
        window: &mut [u8],
        load: impl FnOnce(&Path) -> Result<(), RtlsimError>,
    ) -> Result<Option<State>, RtlsimError> {
        let fits = |s: &State| s.written.end <= window.len();
        let Some((state, model, region)) = self.parts().filter(|(s, _, _)| fits(s)) else {
            return Ok(None);
        };
        let io = |source| RtlsimError::Io {
            path: self.path.clone(),
            source,
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        file.write_all(&model).map_err(io)?;
        load(file.path())?;
        window[state.written.clone()].copy_from_slice(&region);
        Ok(Some(state))
    }

    /// A damaged file is as good as none: the run then begins at its beginning.
    fn parts(&self) -> Option<(State, Vec<u8>, Vec<u8>)> {
        let bytes = std::fs::read(&self.path).ok()?;
        let (sum, rest) = bytes.split_at_checked(32)?;
        if Sha256::digest(rest)[..] != *sum {
            return None;
        }
        let (lengths, mut rest) = rest.split_at_checked(24)?;
        let mut parts = Vec::new();
        for l in lengths.chunks_exact(8) {
            let length = u64::from_le_bytes(l.try_into().ok()?);
            let (part, after) = rest.split_at_checked(length as usize)?;
            parts.push(part.to_vec());
            rest = after;
        }
        let region = parts.pop()?;
        let model = parts.pop()?;
        let state: State = serde_json::from_slice(&parts.pop()?).ok()?;
        (state.written.len() == region.len()).then_some((state, model, region))
    }

    /// The run is complete: the file has served.
    pub(super) fn remove(&self) {
        // There is none when the run was short.
        let _ = std::fs::remove_file(&self.path);
    }
}
