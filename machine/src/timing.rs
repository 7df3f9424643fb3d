//! Fixed latencies of the pipeline, in cycles, and the schedule of a compute command that follows from them: the RTL must meet
//! it, the simulator charges it, the compiler plans with it.

use crate::isa::{Compute, mode};

/// From the issue of a pass's last step to its first result leaving the drain queue (lane 0).
pub const STEP_TO_DRAIN: u64 = 16;
/// From a result leaving the drain queue to its write into the output buffer.
pub const DRAIN_TO_WRITE: u64 = 18;
/// Shortest distance in cycles between the ends of two draining passes.
pub const MIN_PASS: u64 = 4;
/// Cycles a drained lane occupies the post-processing: one row of every tile each (one in Winograd mode).
pub const SLICES: u64 = 4;

/// From the issue of a command's last step to its tokens for the load and weight queues, in a machine of `lanes` lanes.
///
/// Not before its last result is written, whatever its mode: results read residuals, biases and activation sets on their way,
/// and tokens must not overtake those of an earlier command.
pub const fn release(lanes: usize) -> u64 {
    STEP_TO_DRAIN + SLICES * lanes as u64 + DRAIN_TO_WRITE
}

/// Cycles in which the load engine writes a beat whose columns go to `stride` planes, in a machine of `tiles` tiles: one that is
/// dealt to four planes, or fills two lines, takes several.
pub const fn load_phases(stride: i32, tiles: usize) -> u64 {
    match (stride, tiles) {
        (4, _) => 4,
        (_, 1) => 2,
        _ => 1,
    }
}

/// What becomes of a compute command once it is taken: nothing delays it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Steps of the array (a number).
    pub steps: u64,
    /// The cycle of the last step. The next command may be taken in the one after it.
    pub last_step: u64,
    /// First cycle in which a pass of a later command may end: until then the drain queue is taken.
    pub pace: u64,
    /// The last lane has read its last operands: the cycle of the tokens to load and weight.
    pub released: u64,
    /// The last result is in the output buffer: the cycle of the token to store. `None`: the results stay in the array.
    pub stored: Option<u64>,
}

/// The schedule of a command with at least one step that a machine of `lanes` lanes takes in cycle `taken`; no pass may end
/// before `pace`.
pub fn schedule(c: &Compute, lanes: usize, taken: u64, pace: u64) -> Schedule {
    let taps = c.kx_count as u64 * c.ky_count as u64;
    let (tiles, channels, group) = (c.tiles as u64, c.c_count as u64, c.lanes as u64);
    // Passes, steps of each, cycles in which each occupies the post-processing. The sequencer counts the last in 8 bits.
    let (passes, each, slices) = match c.mode {
        mode::POOL => (tiles * channels, taps, SLICES),
        mode::WINOGRAD => (tiles, taps * channels, group),
        _ => (tiles, taps * channels, group * SLICES),
    };
    let drain = (slices & 0xff).max(MIN_PASS);
    let steps = passes * each;
    let last_step = match c.last {
        // The first end waits for the pass before this command; each further one follows at the slower of both rates.
        1 => (taken + each).max(pace) + (passes - 1) * each.max(drain),
        _ => taken + steps,
    };
    Schedule {
        steps,
        last_step,
        pace: if c.last == 1 { last_step + drain } else { pace },
        released: last_step + release(lanes),
        stored: (c.last == 1).then_some(last_step + STEP_TO_DRAIN + slices - 1 + DRAIN_TO_WRITE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv() -> Compute {
        Compute {
            mode: mode::DIRECT,
            last: 1,
            tiles: 3,
            lanes: 5,
            c_count: 2,
            kx_count: 3,
            ky_count: 1,
            ..Compute::default()
        }
    }

    #[test]
    fn short_passes_follow_at_the_pace_of_the_drain_and_long_ones_at_their_own() {
        // 6 steps a pass, 20 slices: the first ends with its sixth step, each further one 20 cycles on.
        let s = schedule(&conv(), 8, 100, 0);
        assert_eq!((s.steps, s.last_step, s.pace), (18, 106 + 2 * 20, 146 + 20));
        assert_eq!(s.released, 146 + release(8));
        assert_eq!(s.stored, Some(146 + STEP_TO_DRAIN + 19 + DRAIN_TO_WRITE));
        // Winograd: one slice a lane, so the steps set the pace.
        let c = Compute {
            mode: mode::WINOGRAD,
            ..conv()
        };
        assert_eq!(schedule(&c, 8, 100, 0).last_step, 100 + 18);
        // The pass before holds the first end back.
        assert_eq!(schedule(&c, 8, 100, 200).last_step, 200 + 2 * 6);
    }

    #[test]
    fn what_stays_in_the_array_waits_for_nothing() {
        let c = Compute {
            last: 0,
            tiles: 1,
            ..conv()
        };
        let s = schedule(&c, 8, 100, 1000);
        assert_eq!((s.last_step, s.pace, s.stored), (106, 1000, None));
    }

    #[test]
    fn pooling_drains_each_channel_by_itself() {
        let c = Compute {
            mode: mode::POOL,
            ..conv()
        };
        // 3 tiles of 2 channels: 6 passes of 3 steps, which drain in 4.
        let s = schedule(&c, 8, 0, 0);
        assert_eq!((s.steps, s.last_step), (18, 3 + 5 * SLICES));
    }
}
