//! What every path asks of its caller: where to tell how far the work is, when to stop, how long to wait.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Is told how far the work is. Calls may come from any thread.
pub trait Progress: Sync {
    /// Work named `what` begins; the one before it is over. `length`: its steps, in `unit`s, where they are known.
    fn begin(&self, what: &str, length: Option<u64>, unit: &str);
    /// So many steps are done since `begin`.
    fn at(&self, steps: u64);
    /// Something about the current work that is no count of steps.
    fn note(&self, text: &str);
    /// The current work is over, well or not.
    fn end(&self);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>, _: &str) {}
    fn at(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn end(&self) {}
}

/// A caller of a path.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Becomes true when the user wants to stop.
    pub stop: &'a AtomicBool,
    /// Told how far the work is.
    pub progress: &'a dyn Progress,
    /// Longest time without progress of a device.
    pub timeout: Duration,
}

/// Longest time without progress of a device where a caller has no reason for another.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl<'a> Session<'a> {
    /// With the usual patience.
    pub fn new(stop: &'a AtomicBool, progress: &'a dyn Progress) -> Self {
        Session {
            stop,
            progress,
            timeout: PATIENCE,
        }
    }
}
