//! A simulated run's timeline as a trace file: the JSON form of trace events, which Perfetto (and Chrome) open.
//!
//! One thread a track. A timestamp is a cycle at the board's planned clock, in microseconds; every event also has its cycles.

use cnna_host::HostError;
use cnna_host::files::write_whole;
use cnna_machine::isa::{Queue, store_kind, weight_kind};
use cnna_machine::program::ProgramMeta;
use cnna_sim::timeline::{Span, Timeline, Track, What};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Every event belongs to the one process: the accelerator.
const PROCESS: u32 = 1;

#[derive(Serialize)]
struct Event<'a> {
    ph: &'static str,
    pid: u32,
    tid: usize,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    args: Arguments<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Arguments<'a> {
    /// Of a process or thread: its name, or its place from above.
    Name {
        name: &'a str,
    },
    Order {
        sort_index: usize,
    },
    Span {
        layer: &'a str,
        what: String,
        first_cycle: u64,
        cycles: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        steps: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
}

/// Writes the trace of a run of a program. Errors: the file cannot be written; no half file stays.
pub fn write(path: &Path, timeline: &Timeline, meta: &ProgramMeta) -> Result<(), HostError> {
    let mut tracks = BTreeMap::new();
    for s in &timeline.spans {
        tracks.insert(s.track, 0);
    }
    for (i, number) in tracks.values_mut().enumerate() {
        *number = i + 1;
    }
    write_whole(path, |w| {
        w.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let title = format!("cnna {} on {}", meta.name, meta.board.name);
        let title = Arguments::Name { name: &title };
        serde_json::to_writer(&mut *w, &named(0, "process_name", title))?;
        for (track, &tid) in &tracks {
            let name = track.name();
            put(
                w,
                &named(tid, "thread_name", Arguments::Name { name: &name }),
            )?;
            let order = Arguments::Order { sort_index: tid };
            put(w, &named(tid, "thread_sort_index", order))?;
        }
        for s in &timeline.spans {
            let layer = meta.layers.get(usize::from(s.layer));
            let layer = layer.map_or("", |l| l.name.as_str());
            let what = what(s.what);
            let name = match s.what {
                What::WaitsFor(_) => what.as_str(),
                _ => layer,
            };
            put(
                w,
                &Event {
                    ph: "X",
                    pid: PROCESS,
                    tid: tracks[&s.track],
                    name,
                    ts: Some(s.start as f64 / meta.board.clock_mhz),
                    dur: Some((s.end - s.start) as f64 / meta.board.clock_mhz),
                    args: arguments(s, layer, &what, meta),
                },
            )?;
        }
        w.write_all(b"\n]}\n")
    })
}

/// An event that names or orders a process or thread.
fn named<'a>(tid: usize, name: &'a str, args: Arguments<'a>) -> Event<'a> {
    Event {
        ph: "M",
        pid: PROCESS,
        tid,
        name,
        ts: None,
        dur: None,
        args,
    }
}

/// Writes an event that is not the first.
fn put(w: &mut dyn std::io::Write, event: &Event<'_>) -> std::io::Result<()> {
    w.write_all(b",\n")?;
    Ok(serde_json::to_writer(w, event)?)
}

fn arguments<'a>(s: &Span, layer: &'a str, what: &str, meta: &ProgramMeta) -> Arguments<'a> {
    let computes = s.track == Track::Queue(Queue::Compute as u8);
    let beat = meta.accelerator().beat_bytes() as u64;
    Arguments::Span {
        layer,
        what: what.into(),
        first_cycle: s.start,
        cycles: s.end - s.start,
        steps: computes.then_some(s.amount),
        bytes: (!computes && s.amount > 0).then_some(s.amount * beat),
    }
}

fn what(w: What) -> String {
    match w {
        What::Layer => "layer".into(),
        What::Command(Queue::Load, _) => "load activations".into(),
        What::Command(Queue::Compute, _) => "compute".into(),
        What::Command(Queue::Weight, kind) => match i32::from(kind) {
            weight_kind::BIAS => "load biases".into(),
            weight_kind::SET => "load an activation set".into(),
            weight_kind::KERNEL => "load kernels".into(),
            _ => "load weights".into(),
        },
        What::Command(Queue::Store, kind) => match i32::from(kind) {
            store_kind::STORE => "store results".into(),
            store_kind::MARK => "mark".into(),
            store_kind::FENCE => "fence".into(),
            _ => "end".into(),
        },
        What::WaitsFor(Queue::Load) => "waits for activations".into(),
        What::WaitsFor(Queue::Weight) => "waits for weights".into(),
        What::WaitsFor(_) => "waits for the store".into(),
    }
}
