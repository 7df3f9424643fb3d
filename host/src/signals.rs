//! Ctrl-C and the system's request to end, obeyed within two seconds by every command, whatever it does.
//!
//! The first signal raises a flag, by which loops stop in order: devices are reset, no file is left half-written. Work that
//! does not look at the flag in time is cut off: the temporaries are removed and the process ends. Either way its status is
//! 128 + the signal, as a shell has it: 130 for SIGINT, 143 for SIGTERM.

use crate::error::HostError;
use crate::{files, temporary};
use signal_hook::consts::{SIGBUS, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long work may take to stop in order.
const GRACE: Duration = Duration::from_millis(1500);

/// The signal that came, 0 before.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
static STOP: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Becomes true at the first SIGINT or SIGTERM; a second one ends the process at once. The same flag at every call.
///
/// Errors: the system refuses to install the handlers.
pub fn stop_flag() -> Result<Arc<AtomicBool>, HostError> {
    let mut shared = STOP.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(stop) = &*shared {
        return Ok(stop.clone());
    }
    let io = HostError::io(Path::new("signal handlers"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(&io)?;
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let Some(signal) = signals.forever().next() else {
                return;
            };
            RECEIVED.store(signal, Ordering::SeqCst);
            raised.store(true, Ordering::SeqCst);
            let begin = Instant::now();
            while begin.elapsed() < GRACE && signals.pending().next().is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _kept = temporary::remove_all();
            files::note("error: interrupted");
            signal_hook::low_level::exit(128 + signal);
        })
        .map_err(&io)?;
    *shared = Some(stop.clone());
    Ok(stop)
}

/// The status to end with after a signal came, `None` when none did.
pub fn status() -> Option<u8> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        signal => u8::try_from(128 + signal).ok(),
    }
}

/// The status of a program whose output nobody reads any more, as if SIGPIPE had ended it.
pub const NOBODY_READS: u8 = 128 + 13;

/// The status after the parser of arguments has said its help or error: that too may find nobody who reads, or a full disk.
pub fn clap_status(printed: std::io::Result<()>, status: i32) -> ExitCode {
    match printed.map_err(|e| files::failed(Path::new("-"), e)) {
        Ok(()) => ExitCode::from(u8::try_from(status).unwrap_or(2)),
        Err(HostError::NobodyReads) => ExitCode::from(NOBODY_READS),
        Err(e) => {
            files::note(&format!("error: {e}"));
            ExitCode::from(2)
        }
    }
}

/// Makes the process end with status 2 and a sentence, not a silent SIGBUS, when a mapped file is cut short by another
/// process just while it is read, or when a board's registers are read and the logic or its clock has gone. (What can be seen in time is an ordinary error, [`HostError::CutShort`].)
pub fn explain_bus_errors() {
    const TEXT: &[u8] =
        b"error: a mapped file was cut short while it was in use: make it again, and leave it alone; on a board, the \
bitstream or its clock has gone: see `cnna-host doctor`\n";
    let explain = || {
        // Nothing is left to do when nobody listens.
        let _ = rustix::io::write(rustix::stdio::stderr(), TEXT);
        signal_hook::low_level::exit(2);
    };
    // SAFETY: the action makes two system calls, write and _exit, which may be made in a signal handler, and does not
    // return to the access that failed.
    let registered = unsafe { signal_hook::low_level::register(SIGBUS, explain) };
    // Without it the system's own way to end remains.
    drop(registered);
}
