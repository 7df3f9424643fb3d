//! `cnna run --trace`: a file that Perfetto opens, and that agrees with the counters.

use crate::workplace::Workplace;
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of a track, and its events: name, first cycle, cycles, bytes.
type Tracks = BTreeMap<String, Vec<(String, u64, u64, u64)>>;

fn tracks(trace: &Value) -> Tracks {
    let events = trace["traceEvents"].as_array().unwrap();
    let mut names = BTreeMap::new();
    for e in events.iter().filter(|e| e["name"] == "thread_name") {
        names.insert(
            e["tid"].as_u64().unwrap(),
            e["args"]["name"].as_str().unwrap(),
        );
    }
    let mut tracks = Tracks::new();
    for e in events.iter().filter(|e| e["ph"] == "X") {
        assert_eq!(e["pid"], 1);
        let (start, cycles) = (&e["args"]["first_cycle"], &e["args"]["cycles"]);
        let (start, cycles) = (start.as_u64().unwrap(), cycles.as_u64().unwrap());
        // 250 MHz: 4 ns a cycle.
        assert!((e["ts"].as_f64().unwrap() - start as f64 * 0.004).abs() < 1e-6);
        assert!((e["dur"].as_f64().unwrap() - cycles as f64 * 0.004).abs() < 1e-6);
        let track = names[&e["tid"].as_u64().unwrap()].to_string();
        let bytes = e["args"]["bytes"].as_u64().unwrap_or(0);
        let name = e["name"].as_str().unwrap().to_string();
        tracks
            .entry(track)
            .or_default()
            .push((name, start, cycles, bytes));
    }
    tracks
}

#[test]
fn the_timeline_agrees_with_the_counters_and_its_spans_do_not_overlap() {
    let w = Workplace::with_program(1);
    let run = "run tiny.cnna --device cycle --input x.npy -o";
    w.succeeds(&format!("{run} plain.npy --raw --json plain.json"));
    w.succeeds(&format!(
        "{run} traced.npy --raw --json traced.json --trace t.json"
    ));
    assert_eq!(w.load::<i16>("plain.npy"), w.load::<i16>("traced.npy"));
    let json = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(w.path(name)).unwrap()).unwrap()
    };
    let (plain, counted) = (json("plain.json"), json("traced.json"));
    assert_eq!(
        plain["layers"], counted["layers"],
        "recording changes no count"
    );
    let tracks = tracks(&json("t.json"));
    for (track, spans) in &tracks {
        for pair in spans.windows(2) {
            assert!(pair[0].1 + pair[0].2 <= pair[1].1, "{track}: {pair:?}");
        }
        let last = spans.last().unwrap();
        assert!(
            last.1 + last.2 <= counted["cycles"].as_u64().unwrap() + 1,
            "{track}: {last:?}"
        );
    }
    let layers = counted["layers"].as_array().unwrap();
    let sum = |key: &str| layers.iter().map(|l| l[key].as_u64().unwrap()).sum::<u64>();
    let cycles = |track: &str, name: &str| -> u64 {
        let spans = tracks.get(track).into_iter().flatten();
        spans.filter(|s| s.0 == name).map(|s| s.2).sum()
    };
    for (name, key) in [
        ("waits for activations", "wait_load"),
        ("waits for weights", "wait_weight"),
        ("waits for the store", "wait_store"),
    ] {
        // After the last mark nothing is charged to a layer.
        assert!(cycles("array waits", name) >= sum(key), "{name}");
    }
    for (layer, span) in layers.iter().zip(&tracks["layers"]) {
        assert_eq!(layer["name"].as_str().unwrap(), span.0);
        assert_eq!(layer["cycles"].as_u64().unwrap(), span.2, "{span:?}");
    }
    let bytes = |track: &str| tracks[track].iter().map(|s| s.3).sum::<u64>();
    let read = bytes("port activations, read") + bytes("port activations 1, read");
    assert_eq!(read, 16 * sum("read_beats"));
    for track in [
        "queue load",
        "queue weight",
        "queue compute",
        "queue store",
        "port commands, read",
    ] {
        assert!(tracks.contains_key(track), "{track} of {:?}", tracks.keys());
    }
    for p in 0..3 {
        assert!(bytes(&format!("port weights {p}, read")) > 0);
    }
    w.fails(
        "run tiny.cnna --device rtl --input x.npy -o y.npy --trace u.json",
        &["--trace", "--device cycle"],
    );
}
