//! A batch on a device that counts cycles, by the name that the user gives it.

use crate::engines::Simulated;
use crate::progress;
use anyhow::{Result, anyhow};
use cnna_host::report::RunReport;
use cnna_host::tensor::Batch;
use cnna_host::{Device, Driver, HostError, Options, device, serve, signals};
use cnna_machine::program::Program;
use cnna_sim::Machine;
use cnna_sim::timeline::{Recording, Timeline};
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
    simulated.with_device(&meta.board, meta.window_bytes, &stop, |device| run(device))
}

/// Runs `batch` on the cycle simulator and keeps what every queue and port did when.
pub fn run_recorded(
    timeout: Duration,
    program: &Program<'_>,
    batch: &Batch,
) -> Result<(Vec<i16>, RunReport, Timeline)> {
    let stop = signals::stop_flag()?;
    let meta = &program.meta;
    let recording = Recording::default();
    let (words, report) = serve::with_served(
        meta.window_bytes,
        || Ok(Box::new(Machine::recorded(&meta.board, recording.clone()))),
        |device| drive(device, "cycle", timeout, program, batch, &stop),
    )?;
    let mut recorded = recording
        .lock()
        .map_err(|_| anyhow!("the simulator failed while it recorded the timeline"))?;
    Ok((words, report, std::mem::take(&mut *recorded)))
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
    let watch = |cycles| bar.set_message(format!("{name} cycle {cycles}"));
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
