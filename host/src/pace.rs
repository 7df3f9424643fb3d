//! How to wait for the other side: quick at first, then cheap.

use std::time::{Duration, Instant};

/// Gives up the processor between two looks: yields for 200 us, then sleeps, longer the longer nothing happens.
pub struct Pace {
    since: Instant,
}

impl Pace {
    const YIELD: Duration = Duration::from_micros(200);
    const SHORTEST: Duration = Duration::from_micros(50);

    pub(crate) fn new() -> Self {
        Pace {
            since: Instant::now(),
        }
    }

    /// Something happened: quick again.
    pub(crate) fn reset(&mut self) {
        self.since = Instant::now();
    }

    /// Waits a little, at most `longest`.
    pub fn rest(&self, longest: Duration) {
        let idle = self.since.elapsed();
        if idle < Self::YIELD {
            std::thread::yield_now();
        } else {
            std::thread::sleep((idle / 16).clamp(Self::SHORTEST, longest));
        }
    }
}
