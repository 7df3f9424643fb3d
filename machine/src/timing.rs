//! Fixed latencies of the pipeline, in cycles: the RTL must meet them, the simulator charges them.

/// From the issue of a pass's last step to its first result leaving the drain queue (lane 0).
pub const STEP_TO_DRAIN: u64 = 15;
/// From a result leaving the drain queue to its write into the output buffer.
pub const DRAIN_TO_WRITE: u64 = 9;
/// Shortest distance in cycles between the ends of two draining passes.
pub const MIN_PASS: u64 = 4;
/// From the issue of a command's last step to its tokens for the load and weight queues, beyond one cycle a lane.
pub const RELEASE: u64 = 9;
/// Cycles a drained lane occupies the post-processing: one row of every tile each (one in Winograd mode).
pub const SLICES: u64 = 4;
