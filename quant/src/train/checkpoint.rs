//! A training run's state after an epoch, in one file: magic, header length, JSON header, floats, CRC-32. Little
//! endian.

use super::optimise::Descent;
use super::ranges::Ranges;
use super::session::EpochRow;
use crate::{Accuracy, FloatNet, Formats, QuantError};
use serde::{Deserialize, Serialize};
use std::path::Path;

const MAGIC: &[u8; 8] = b"cnnackp3";

/// What is not floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The options that decide the result, as text: a checkpoint continues only the same run.
    pub run: String,
    /// The epochs done.
    pub rows: Vec<EpochRow>,
    /// Accuracy of the float network, once its phase is over.
    pub float: Option<Accuracy>,
    /// Formats of the last quantised epoch.
    pub formats: Option<Formats>,
    /// Ranges of the formats, where they are learned.
    pub ranges: Option<Ranges>,
    /// Steps of the phase's optimiser.
    pub steps: u32,
    /// Whether the normalisations are part of their convolutions by now.
    pub folded: bool,
}

/// Every float of a run's state, in one order.
fn for_each(net: &mut FloatNet, optimiser: &mut Descent, mut f: impl FnMut(&mut f32)) {
    net.parameters_mut()
        .for_each(|(_, all)| all.into_iter().flatten().for_each(&mut f));
    for n in net.norms_mut().iter_mut().flatten() {
        n.mean.iter_mut().chain(&mut n.variance).for_each(&mut f);
    }
    optimiser.values_mut().for_each(f);
}

/// Writes through a temporary file, so that an interruption leaves the old checkpoint or the new one.
pub(crate) fn write(
    path: &Path,
    state: &State,
    net: &FloatNet,
    optimiser: &Descent,
) -> Result<(), QuantError> {
    let header = serde_json::to_vec(state).expect("plain data with text keys");
    let mut bytes = MAGIC.to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    for_each(&mut net.clone(), &mut optimiser.clone(), |v| {
        bytes.extend(v.to_le_bytes())
    });
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let temporary = path.with_extension("checkpoint.tmp");
    let done = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    done.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        QuantError::Io {
            path: path.into(),
            source,
        }
    })
}

/// Reads into a network of the same architecture; `None` when there is no file.
///
/// Errors: unreadable, truncated, damaged, or of another run.
pub(crate) fn read(
    path: &Path,
    run: &str,
    net: &mut FloatNet,
    optimiser: &mut Descent,
) -> Result<Option<State>, QuantError> {
    let bytes = match std::fs::read(path) {
        Ok(b) => b,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(QuantError::Io {
                path: path.into(),
                source,
            });
        }
    };
    let bad = |reason: &str| QuantError::Checkpoint {
        path: path.into(),
        reason: reason.into(),
    };
    let (body, crc) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| bad("it is truncated"))?;
    if crc32fast::hash(body).to_le_bytes() != *crc || !body.starts_with(MAGIC) {
        return Err(bad("it is truncated, damaged or of another type"));
    }
    let rest = &body[MAGIC.len()..];
    let (length, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| bad("it is truncated"))?;
    let (header, floats) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| bad("it is truncated"))?;
    let state: State =
        serde_json::from_slice(header).map_err(|e| bad(&format!("its header: {e}")))?;
    if state.run != run {
        return Err(bad(&format!(
            "it is of another run ({}), this one is {run}",
            state.run
        )));
    }
    if state.folded {
        net.fold();
        *optimiser = Descent::new(optimiser.method, net);
    }
    let mut count = 0;
    for_each(net, optimiser, |_| count += 1);
    if floats.len() != 4 * count {
        return Err(bad("it is of another architecture"));
    }
    let mut floats = floats
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("chunks of 4")));
    for_each(net, optimiser, |v| {
        *v = floats.next().expect("counted above")
    });
    optimiser.steps = state.steps;
    Ok(Some(state))
}
