//! A program loaded into a device for many runs: weights are copied once.

use crate::arrays::{Given, Results};
use crate::error::exception;
use crate::program::{Program, Shared, cost_json};
use crate::work::work;
use cnna_flow::arrays::Arrays;
use cnna_flow::{FlowError, Session, Silent, devices};
use cnna_host::tensor::{Batch, Images as _, InMemory};
use cnna_host::{HostError, RunReport};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How soon a run that is to stop does.
const LOOK: Duration = Duration::from_millis(10);

/// A batch, and where its results go.
struct Job {
    batch: Batch,
    reply: Sender<Result<Done, HostError>>,
}

/// All images' words, one behind the other, and the counters.
type Done = (Vec<i16>, RunReport);

/// The thread that holds the device.
struct Thread {
    jobs: Sender<Job>,
    handle: JoinHandle<Result<(), FlowError>>,
}

/// A device with a program in its memory; see `cnna.Device`.
#[pyclass(frozen, module = "cnna._native")]
pub struct Device {
    program: Arc<Shared>,
    name: String,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<Thread>>,
}

/// Until nobody sends jobs any more.
fn serve(
    program: &Shared,
    name: &str,
    session: &Session<'_>,
    ready: &Sender<()>,
    jobs: &Receiver<Job>,
) -> Result<(), FlowError> {
    devices::with_loaded(name, program.program(), session, |loaded| {
        // Who opened it may have given up.
        let _ = ready.send(());
        for job in jobs {
            let mut words = Vec::new();
            let mut images = InMemory::new(&job.batch);
            let mut sink = |w: &[i16]| {
                words.extend_from_slice(w);
                Ok(())
            };
            let report = devices::batch(loaded, name, &mut images, &mut sink, session);
            let _ = job.reply.send(report.map(|r| (words, r)));
        }
        Ok(())
    })
}

#[pymethods]
impl Device {
    /// Opens the device of that name and loads the program.
    #[new]
    fn new(
        py: Python<'_>,
        program: &Program,
        name: String,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let program = program.0.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = work(py, progress, timeout, |session| {
            if let Some(engine) = cnna_flow::Simulated::named(&name) {
                engine.prepare(&program.program().meta.board, session)?;
            }
            let (jobs, todo) = channel();
            let (ready, is_ready) = channel();
            let (program, name, stop) = (program.clone(), name.clone(), stop.clone());
            let timeout = session.timeout;
            let handle = std::thread::spawn(move || {
                let session = Session {
                    stop: &stop,
                    progress: &Silent,
                    timeout,
                };
                serve(&program, &name, &session, &ready, &todo)
            });
            match is_ready.recv() {
                Ok(()) => Ok(Thread { jobs, handle }),
                // It ended before it was ready: its error says why.
                Err(_) => match handle.join() {
                    Ok(Err(e)) => Err(e.into()),
                    Ok(Ok(())) => Err(HostError::Interrupted.into()),
                    Err(panic) => std::panic::resume_unwind(panic),
                },
            }
        })?;
        Ok(Device {
            program,
            name,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// As `Program.run`.
    fn run(
        &self,
        py: Python<'_>,
        arrays: Vec<Bound<'_, PyUntypedArray>>,
        raw: bool,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Py<PyAny>>, String)> {
        let given = Given::all(&arrays)?;
        let arrays = Given::arrays(&given)?;
        let jobs = {
            let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner());
            thread.as_ref().map(|t| t.jobs.clone())
        };
        let Some(jobs) = jobs else {
            let message = format!("{}: the device is closed: open it again", self.name);
            return Err(exception(py, "DeviceError", message));
        };
        let done = work(py, progress, timeout, |session| {
            let program = self.program.program();
            let meta = &program.meta;
            let mut images = Arrays::new(arrays, meta, raw)?;
            let count = images.count();
            let begin = Instant::now();
            let batch = Batch {
                image_len: meta.image_len(),
                words: images.next(count)?,
            };
            let (reply, answer) = channel();
            let gone = || HostError::Interrupted;
            jobs.send(Job { batch, reply }).map_err(|_| gone())?;
            let (words, report) = loop {
                match answer.recv_timeout(LOOK) {
                    Ok(done) => break done?,
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                        return Err(gone().into());
                    }
                    // The run stops in order; a new one may follow.
                    Err(_) => self
                        .stop
                        .store(session.stop.load(Ordering::SeqCst), Ordering::SeqCst),
                }
            };
            let seconds = begin.elapsed().as_secs_f64();
            let mut results = Results::new(meta, count, raw);
            for image in words.chunks_exact(meta.result_len().max(1)) {
                results.push(image);
            }
            let cost = cost_json(program, &self.name, &report, images.clipped(), seconds);
            Ok((results, cost))
        });
        self.stop.store(false, Ordering::SeqCst);
        let (results, cost) = done?;
        Ok((results.arrays(py)?, cost))
    }

    /// Gives the device back. More than once does no harm.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let thread = {
            let mut thread = self.thread.lock().unwrap_or_else(|e| e.into_inner());
            thread.take()
        };
        let Some(Thread { jobs, handle }) = thread else {
            return Ok(());
        };
        drop(jobs);
        work(py, None, 60.0, |_| match handle.join() {
            Ok(done) => Ok(done?),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The thread ends when nobody can send jobs; nobody waits for it here.
        self.stop.store(true, Ordering::SeqCst);
    }
}
