//! Ctrl-C as a flag, so that a device can be reset and no file is left half-written.

use crate::error::HostError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Becomes true at the first SIGINT or SIGTERM; a second one ends the process at once, with status 130.
///
/// Errors: the system refuses to install the handlers.
pub fn stop_flag() -> Result<Arc<AtomicBool>, HostError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order the first signal only sets the flag.
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(HostError::io(Path::new("signal handlers")))?;
    }
    Ok(stop)
}
