//! The boards' machines fit their chips, by Yosys' count of the RTL that `cnna rtl` writes.
//!
//! Minutes of CPU and 2 GB of memory a board. DSP, LUT and FF are counted for 7-series slices, which Yosys packs whole. Also
//! guarded: the depth of logic, and the estimate that `cnna boards` prints.
//! Needs a Yosys with slang: `pip install pyosys` and `CNNA_YOSYS` naming that Python.

use cnna_fit::synth::{self, Job, Report, Target};
use cnna_hdl::sources;
use cnna_machine::config::Board;
use std::time::Duration;

/// Levels of logic ([`cnna_fit::levels`]) of the deepest path: decision 7. ultra96 has 9, pynq-z2 8; one more is allowed, for it
/// comes and goes between versions.
const MAX_LEVELS: usize = 10;
/// Look-up tables of `ultra96`, which leave room for the processing system's interconnect and for copies of registers.
const ULTRA96_LUT: usize = 58_000;
/// Look-up tables of `pynq-z2` with the adapters to its memory ports: the registers' interconnect, which only Vivado has, and the
/// freedom that placement needs must fit beside them.
const PYNQ_LUT: usize = 46_000;
/// Largest share by which the estimate of LUT and FF may miss a board's machine.
const ESTIMATE: f64 = 0.10;

fn synthesise(board: &Board) -> Report {
    let files: Vec<(String, String)> = sources::rtl(board)
        .expect("control and datapath fit")
        .into_iter()
        .map(|f| (f.name, f.text))
        .collect();
    let job = Job {
        files: &files,
        top: "cnna_top",
        parameters: &[],
        target: Target::Xc7,
        timeout: Duration::from_secs(3600),
    };
    let report = synth::report(&job).unwrap();
    println!(
        "{}: {} DSP, {} LUT ({} as memory), {} FF, {} BRAM36, {} levels of logic ({} cells) from {} to {}",
        board.name,
        report.dsp,
        report.lut,
        report.lutram,
        report.ff,
        report.bram36(),
        report.depth.levels,
        report.depth.cells,
        report.depth.from,
        report.depth.to
    );
    report
}

fn fits(name: &str) -> Report {
    let board = Board::load(name, &[]).unwrap();
    let report = synthesise(&board);
    assert_eq!(
        report.exceeded(&board.limits),
        [""; 0],
        "{name}: {:?}",
        report.cells
    );
    // Fewer would mean that a part of the machine has no effect and was removed.
    assert!(
        report.dsp >= board.accelerator.all_dsps(),
        "{name}: {} DSPs",
        report.dsp
    );
    assert_eq!(
        report.bram36(),
        board.accelerator.bram36(),
        "{name}: block RAMs as the board file's plan has them"
    );
    assert!(
        report.depth.levels <= MAX_LEVELS,
        "{name}: {:?}",
        report.depth
    );
    let a = &board.accelerator;
    for (resource, estimate, counted) in [("LUT", a.luts(), report.lut), ("FF", a.ffs(), report.ff)]
    {
        let off = estimate as f64 / counted as f64 - 1.0;
        println!(
            "{name}: {estimate} {resource} estimated, {:+.1} %",
            100.0 * off
        );
        assert!(
            off.abs() <= ESTIMATE,
            "{name}: {estimate} {resource} estimated, {counted} counted: `make bench-fit`, then machine/src/fit.rs"
        );
    }
    report
}

#[test]
fn ultra96_fits() {
    let report = fits("ultra96");
    assert!(report.lut <= ULTRA96_LUT, "{} LUT", report.lut);
}

/// Look-up tables of an adapter module of the block-design cell.
fn adapter(board: &Board, module: &str) -> usize {
    let files: Vec<(String, String)> = sources::rtl(board)
        .expect("control and datapath fit")
        .into_iter()
        .filter(|f| f.name == "fifo.sv")
        .chain(sources::cell(board))
        .map(|f| (f.name, f.text))
        .collect();
    let outstanding = board.accelerator.outstanding.to_string();
    let job = Job {
        files: &files,
        top: module,
        parameters: &[("Outstanding".into(), outstanding)],
        target: Target::Xc7,
        timeout: Duration::from_secs(600),
    };
    let report = synth::report(&job).unwrap();
    println!("{module}: {} LUT, {} FF", report.lut, report.ff);
    assert_eq!((report.dsp, report.bram36()), (0, 0));
    report.lut
}

#[test]
fn pynq_z2_fits_with_what_stands_between_it_and_the_memory() {
    let report = fits("pynq-z2");
    let board = Board::load("pynq-z2", &[]).unwrap();
    // Each master reads, one writes.
    let between =
        board.accelerator.ports() * adapter(&board, "axi3_read") + adapter(&board, "axi3_write");
    let all = report.lut + between;
    println!("pynq-z2: {all} LUT with the adapters to its memory ports");
    assert!(between > 0 && all <= PYNQ_LUT, "{all} LUT");
}
