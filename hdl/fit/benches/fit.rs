//! The estimate of look-up tables and flip-flops (`machine::fit`) against Yosys, over machines of every shape.
//!
//! Prints a row a machine and fails when one is off by more than [`LIMIT`]. `make bench-fit`; a name after `--` runs only the
//! machines whose name contains it. About 25 minutes of CPU. Needs a Yosys with slang: `CNNA_YOSYS`.

use cnna_fit::synth::{Job, Report, Target, Yosys};
use cnna_hdl::sources;
use cnna_machine::Board;
use std::process::ExitCode;
use std::time::Duration;

/// Largest share by which an estimate may miss.
const LIMIT: f64 = 0.10;

/// Name, board, keys overridden.
type Machine = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// The configurations. The boards' own first: they are what the estimate must hold for.
const MACHINES: &[Machine] = &[
    ("ultra96", "ultra96", &[]),
    ("pynq-z2", "pynq-z2", &[]),
    // Without the second products, and pynq-z2 for networks of small layers.
    ("ultra96-1x", "ultra96", &[("paired", "false")]),
    (
        "pynq-T2M6",
        "pynq-z2",
        &[
            ("tiles", "2"),
            ("lanes", "6"),
            ("act_depth", "4096"),
            ("weight_depth", "2048"),
            ("out_depth", "1024"),
        ],
    ),
    (
        "T1M2",
        "ultra96",
        &[("tiles", "1"), ("lanes", "2"), ("weight_ports", "1")],
    ),
    (
        "T1M2W8",
        "ultra96",
        &[
            ("tiles", "1"),
            ("lanes", "2"),
            ("weight_ports", "1"),
            ("word", "8"),
        ],
    ),
    ("T2M4", "ultra96", &[("lanes", "4"), ("weight_ports", "2")]),
    (
        "T2M4W8",
        "ultra96",
        &[("lanes", "4"), ("weight_ports", "2"), ("word", "8")],
    ),
    (
        "T2M4direct",
        "ultra96",
        &[("lanes", "4"), ("weight_ports", "2"), ("winograd", "false")],
    ),
    (
        "T4M2",
        "ultra96",
        &[("tiles", "4"), ("lanes", "2"), ("weight_ports", "1")],
    ),
    (
        "T1M13W8P4",
        "ultra96",
        &[
            ("tiles", "1"),
            ("lanes", "13"),
            ("weight_ports", "4"),
            ("word", "8"),
        ],
    ),
    (
        "T4M5P4",
        "ultra96",
        &[("tiles", "4"), ("lanes", "5"), ("weight_ports", "4")],
    ),
];

fn synthesise(yosys: &Yosys, board: &Board) -> Result<Report, String> {
    let files: Vec<(String, String)> = sources::rtl(board)
        .map_err(|e| e.to_string())?
        .into_iter()
        .map(|f| (f.name, f.text))
        .collect();
    yosys
        .report(&Job {
            files: &files,
            top: "cnna_top",
            parameters: &[],
            target: Target::Xc7,
            timeout: Duration::from_secs(7200),
        })
        .map_err(|e| e.to_string())
}

/// One machine's row; whether the estimate holds.
fn row(yosys: &Yosys, name: &str, board: &str, set: &[(&str, &str)]) -> Result<bool, String> {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    let board = Board::load(board, &set).map_err(|e| e.to_string())?;
    let (a, r) = (&board.accelerator, synthesise(yosys, &board)?);
    let off = |estimate: usize, counted: usize| estimate as f64 / counted as f64 - 1.0;
    let (lut, ff) = (off(a.luts(), r.lut), off(a.ffs(), r.ff));
    println!(
        "{name:<11} {:>5} {:>5}  {:>6} {:>6} {:>+6.1} %  {:>6} {:>6} {:>+6.1} %  {:>6} {:>6}",
        r.dsp,
        r.bram36(),
        a.luts(),
        r.lut,
        100.0 * lut,
        a.ffs(),
        r.ff,
        100.0 * ff,
        r.depth.levels,
        r.depth.cells
    );
    // What is planned must be there. Yosys makes DSPs of a few products of small numbers, too.
    let dsp = (a.all_dsps()..=a.all_dsps() + a.weight_ports).contains(&r.dsp);
    Ok(lut.abs() <= LIMIT && ff.abs() <= LIMIT && dsp && r.bram36() == a.bram36())
}

fn main() -> ExitCode {
    // Cargo passes options of its own.
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let yosys = match Yosys::find() {
        Ok(yosys) => yosys,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{:<11} {:>5} {:>5}  {:>6} {:>6} {:>8}  {:>6} {:>6} {:>8}  {:>6} {:>6}",
        "machine", "DSP", "BRAM", "~LUT", "LUT", "off", "~FF", "FF", "off", "levels", "cells"
    );
    let mut wrong = vec![];
    let chosen = MACHINES
        .iter()
        .filter(|(name, ..)| only.is_empty() || only.iter().any(|o| name.contains(o.as_str())));
    for (name, board, set) in chosen {
        match row(&yosys, name, board, set) {
            Ok(true) => {}
            Ok(false) => wrong.push(name.to_string()),
            Err(e) => wrong.push(format!("{name} ({e})")),
        }
    }
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "off by more than {:.0} %, or DSP or BRAM not as planned: {}; fit machine/src/fit.rs anew",
        100.0 * LIMIT,
        wrong.join(", ")
    );
    ExitCode::FAILURE
}
