//! A path on a thread of its own, while the caller's thread tells Python how far it is and asks it for signals.

use crate::error::{Failure, raise};
use cnna_flow::{Progress, Session};
use pyo3::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long Ctrl-C may wait to be seen.
const LOOK: Duration = Duration::from_millis(50);
/// Bars move at most so often.
const PACE: Duration = Duration::from_millis(100);

/// What a path says of its progress.
enum Event {
    Begin(String, Option<u64>, String),
    At(u64),
    Note(String),
    End,
}

/// Sends what the path says to the caller's thread.
struct Teller(Mutex<(Sender<Event>, Option<Instant>)>);

impl Teller {
    fn tell(&self, event: Event, always: bool) {
        // A bar is worth no second panic, and nobody listens any more when the caller has failed.
        let Ok(mut inner) = self.0.lock() else { return };
        let now = Instant::now();
        if !always && inner.1.is_some_and(|last| now - last < PACE) {
            return;
        }
        inner.1 = Some(now);
        let _ = inner.0.send(event);
    }
}

impl Progress for Teller {
    fn begin(&self, what: &str, length: Option<u64>, unit: &str) {
        self.tell(Event::Begin(what.into(), length, unit.into()), true);
    }
    fn at(&self, steps: u64) {
        self.tell(Event::At(steps), false);
    }
    fn note(&self, text: &str) {
        self.tell(Event::Note(text.into()), false);
    }
    fn end(&self) {
        self.tell(Event::End, true);
    }
}

/// Runs `path` without the GIL. `progress` is an object with the methods `begin(what, length, unit)`, `at(steps)`,
/// `note(text)` and `end()`, or None. `timeout`: seconds without progress after which a device counts as hung.
///
/// Errors: the path's, as exceptions; a signal's or the progress object's exception, after the path has stopped.
pub fn work<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    timeout: f64,
    path: impl FnOnce(&Session<'_>) -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let stop = AtomicBool::new(false);
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
    let (result, broken) = py.detach(|| {
        std::thread::scope(|scope| {
            let (tell, told) = channel();
            let stop = &stop;
            let worker = scope.spawn(move || {
                let teller = Teller(Mutex::new((tell, None)));
                path(&Session {
                    stop,
                    progress: &teller,
                    timeout,
                })
            });
            let broken = listen(&told, progress.as_ref(), stop);
            (worker.join(), broken)
        })
    });
    let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    match (broken, result) {
        (Some(e), _) => Err(e),
        (None, Ok(value)) => Ok(value),
        (None, Err(e)) => Err(raise(py, &e)),
    }
}

/// Until the path has ended: its events to Python, Python's signals to it. Returns the first exception on the way.
fn listen(
    told: &Receiver<Event>,
    progress: Option<&Py<PyAny>>,
    stop: &AtomicBool,
) -> Option<PyErr> {
    let mut broken = None;
    loop {
        let event = match told.recv_timeout(LOOK) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return broken,
        };
        if broken.is_some() {
            continue;
        }
        let done = Python::attach(|py| match (event, progress) {
            (Some(event), Some(p)) => tell_python(py, p, event),
            _ => py.check_signals(),
        });
        if let Err(e) = done {
            stop.store(true, Ordering::SeqCst);
            broken = Some(e);
        }
    }
}

fn tell_python(py: Python<'_>, progress: &Py<PyAny>, event: Event) -> PyResult<()> {
    match event {
        Event::Begin(what, length, unit) => {
            progress.call_method1(py, "begin", (what, length, unit))?
        }
        Event::At(steps) => progress.call_method1(py, "at", (steps,))?,
        Event::Note(text) => progress.call_method1(py, "note", (text,))?,
        Event::End => progress.call_method0(py, "end")?,
    };
    py.check_signals()
}
