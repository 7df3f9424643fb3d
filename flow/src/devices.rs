//! Images on a device that counts cycles, by the name that the user gives it.

use crate::engines::Simulated;
use crate::error::FlowError;
use crate::progress::Session;
use crate::reference;
use cnna_host::report::RunReport;
use cnna_host::steps::{Steps, needed};
use cnna_host::tensor::Images;
use cnna_host::{Device, Driver, HostError, HostSteps, Loaded, Needs, Options, device, serve};
use cnna_machine::program::Program;
use cnna_net::Graph;
use cnna_sim::Machine;
use cnna_sim::timeline::{Recording, Timeline};

/// Takes each image's results, in order.
pub type Sink<'a> = dyn FnMut(&[i16]) -> Result<(), HostError> + 'a;

/// The device that is no machine: the network's own operators in integers.
pub const REFERENCE: &str = "reference";

/// Runs `images` on the reference model or, by any other name, on a device: see [`reference::run`] and [`run_on`].
pub fn run(
    name: &str,
    program: &Program<'_>,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, FlowError> {
    match name {
        REFERENCE => reference::run(program, images, results, session),
        name => run_on(name, program, images, results, session),
    }
}

/// Runs `images` on `cycle`, `rtl`, a UIO device or a served file; returns the counters' sums.
///
/// Errors: no such device, another configuration, a device that hangs or fails, `images`' and `results`' own.
pub fn run_on(
    name: &str,
    program: &Program<'_>,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, FlowError> {
    with_loaded(name, program, session, |loaded| {
        batch(loaded, name, images, results, session)
    })
}

/// Loads the program into the memory of `cycle`, `rtl`, a UIO device or a served file, for as many runs as `user` wants.
///
/// Errors: no such device, another configuration, `user`'s own.
pub fn with_loaded<T>(
    name: &str,
    program: &Program<'_>,
    session: &Session<'_>,
    user: impl FnOnce(&mut Loaded<'_, '_>) -> Result<T, HostError>,
) -> Result<T, FlowError> {
    let meta = &program.meta;
    let graph = needed(program)?;
    let load =
        |device: &mut dyn Device| loaded(device, name, program, graph.as_ref(), session, user);
    match Simulated::named(name) {
        Some(engine) => engine.with_device(&meta.board, meta.window_bytes, session, |device| {
            load(device)
        }),
        None => Ok(load(&mut *device::open(name, &Needs::default())?)?),
    }
}

/// Runs `images` on the cycle simulator and keeps what every queue and port did when.
pub fn run_recorded(
    program: &Program<'_>,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<(RunReport, Timeline), FlowError> {
    let meta = &program.meta;
    let graph = needed(program)?;
    let recording = Recording::default();
    let report = serve::with_served(
        meta.window_bytes,
        || Ok(Box::new(Machine::recorded(&meta.board, recording.clone()))),
        |device| {
            loaded(device, "cycle", program, graph.as_ref(), session, |l| {
                batch(l, "cycle", images, results, session)
            })
        },
    )?;
    let mut recorded = recording.lock().map_err(|_| FlowError::Recording)?;
    Ok((report, std::mem::take(&mut *recorded)))
}

fn loaded<T>(
    device: &mut dyn Device,
    name: &str,
    program: &Program<'_>,
    graph: Option<&Graph>,
    session: &Session<'_>,
    user: impl FnOnce(&mut Loaded<'_, '_>) -> Result<T, HostError>,
) -> Result<T, HostError> {
    let watch = |cycles| session.progress.note(&format!("{name} cycle {cycles}"));
    let host = graph.map(|graph| Steps {
        graph,
        meta: &program.meta,
    });
    let options = Options {
        timeout: session.timeout,
        stop: Some(session.stop),
        watch: Some(&watch),
        host: host.as_ref().map(|h| h as &dyn HostSteps),
    };
    let mut loaded = Driver::new(device, options)?.load(program)?;
    user(&mut loaded)
}

/// All `images` on a device that has the program.
pub fn batch(
    loaded: &mut Loaded<'_, '_>,
    name: &str,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, HostError> {
    let progress = session.progress;
    progress.begin(name, Some(images.count() as u64), "images");
    let report = loaded.run_batch(images, results, |done| progress.at(done as u64));
    progress.end();
    report
}
