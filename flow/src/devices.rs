//! Images on a device that counts cycles, by the name that the user gives it.

use crate::engines::Simulated;
use crate::error::FlowError;
use crate::progress::Session;
use crate::reference::graph;
use crate::steps::Steps;
use cnna_host::report::RunReport;
use cnna_host::tensor::Images;
use cnna_host::{Device, Driver, HostError, HostSteps, Needs, Options, device, serve};
use cnna_machine::program::Program;
use cnna_net::Graph;
use cnna_sim::Machine;
use cnna_sim::timeline::{Recording, Timeline};

/// Takes each image's results, in order.
pub type Sink<'a> = dyn FnMut(&[i16]) -> Result<(), HostError> + 'a;

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
    let meta = &program.meta;
    let graph = host_graph(program)?;
    let mut run = |device: &mut dyn Device| {
        drive(
            device,
            name,
            program,
            graph.as_ref(),
            images,
            results,
            session,
        )
    };
    match Simulated::named(name) {
        Some(engine) => engine.with_device(&meta.board, meta.window_bytes, session, |device| {
            run(device)
        }),
        None => Ok(run(&mut *device::open(name, &Needs::default())?)?),
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
    let graph = host_graph(program)?;
    let recording = Recording::default();
    let report = serve::with_served(
        meta.window_bytes,
        || Ok(Box::new(Machine::recorded(&meta.board, recording.clone()))),
        |device| {
            drive(
                device,
                "cycle",
                program,
                graph.as_ref(),
                images,
                results,
                session,
            )
        },
    )?;
    let mut recorded = recording.lock().map_err(|_| FlowError::Recording)?;
    Ok((report, std::mem::take(&mut *recorded)))
}

/// The network, for programs that leave something to the host.
fn host_graph(program: &Program<'_>) -> Result<Option<Graph>, FlowError> {
    match program.meta.host.is_empty() {
        true => Ok(None),
        false => graph(program).map(Some),
    }
}

fn drive(
    device: &mut dyn Device,
    name: &str,
    program: &Program<'_>,
    graph: Option<&Graph>,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, HostError> {
    let progress = session.progress;
    progress.begin(name, Some(images.count() as u64), "images");
    let watch = |cycles| progress.note(&format!("{name} cycle {cycles}"));
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
    let report = Driver::new(device, options)
        .and_then(|driver| driver.load(program))
        .and_then(|mut loaded| loaded.run_batch(images, results, |done| progress.at(done as u64)));
    progress.end();
    report
}
