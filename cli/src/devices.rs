//! A batch on a device that counts cycles, by the name that the user gives it.

use crate::engines::Simulated;
use crate::progress;
use anyhow::Result;
use cnna_host::report::RunReport;
use cnna_host::tensor::Batch;
use cnna_host::{Device, Driver, HostError, Options, device, signals};
use cnna_spec::program::Program;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Runs `batch` on `cycle`, `rtl`, a UIO device or a served file; returns the results and the counters' sums.
///
/// `timeout`: longest time without progress. Errors: no such device, another configuration, a device that hangs or fails.
pub fn run_on(
    name: &str,
    timeout: Duration,
    program: &Program<'_>,
    batch: &Batch,
) -> Result<(Vec<i16>, RunReport)> {
    let stop = signals::stop_flag()?;
    let meta = &program.meta;
    let run = |device: &mut dyn Device| drive(device, name, timeout, program, batch, &stop);
    let simulated = match name {
        "cycle" => Simulated::Cycle,
        "rtl" => Simulated::Rtl,
        _ => return Ok(run(&mut *device::open(name)?)?),
    };
    simulated.with_device(&meta.board, meta.window_bytes, |device| run(device))
}

fn drive(
    device: &mut dyn Device,
    name: &str,
    timeout: Duration,
    program: &Program<'_>,
    batch: &Batch,
    stop: &AtomicBool,
) -> Result<(Vec<i16>, RunReport), HostError> {
    let bar = progress::bar(batch.len() as u64, name, "images");
    let expected = program.meta.estimated_cycles;
    let watch = |cycles| bar.set_message(format!("{name} cycle {cycles} of about {expected}"));
    let options = Options {
        timeout,
        stop: Some(stop),
        watch: Some(&watch),
    };
    let mut loaded = Driver::new(device, options)?.load(program)?;
    let result = loaded.run_batch(batch, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(result)
}
