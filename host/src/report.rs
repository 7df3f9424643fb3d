//! What a run cost, layer by layer, from the device's own counters.

use crate::power::Power;
use cnna_machine::config::Board;
use cnna_machine::counters::Counters;
use cnna_machine::program::{LayerInfo, Mode};
use serde::Serialize;
use std::fmt::Write as _;
use std::ops::Deref;

/// One layer: what was counted between the mark before and its own. It reads like its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// The layer's name.
    pub name: String,
    /// How it ran.
    pub mode: Mode,
    /// Multiply-accumulates (a number).
    pub macs: u64,
    /// The device's counters.
    #[serde(flatten)]
    pub counters: Counters,
}

impl Deref for LayerReport {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.counters
    }
}

/// Counters of one or several runs of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// Images.
    pub images: u64,
    /// Cycles from start to done, all images.
    pub cycles: u64,
    /// Results that saturation changed.
    pub saturated: u64,
    /// In order of execution.
    pub layers: Vec<LayerReport>,
}

impl RunReport {
    /// From the counters at the end and each layer's record (as its mark wrote it), for one run of `images` images.
    pub fn new(
        layers: &[LayerInfo],
        images: u64,
        records: &[Counters],
        cycles: u64,
        saturated: u64,
    ) -> Self {
        let mut before = Counters::default();
        let mut segment = 0;
        let layers = layers
            .iter()
            .zip(records)
            .map(|(layer, now)| {
                // The counters begin anew when the machine goes on after a pause.
                if std::mem::replace(&mut segment, layer.segment) != layer.segment {
                    before = Counters::default();
                }
                let report = LayerReport {
                    name: layer.name.clone(),
                    mode: layer.mode,
                    macs: layer.macs * images,
                    counters: now.since(&before),
                };
                before = *now;
                report
            })
            .collect();
        RunReport {
            images,
            cycles,
            saturated,
            layers,
        }
    }

    /// Adds another run of the same program.
    pub fn add(&mut self, other: &RunReport) {
        if self.images == 0 {
            *self = other.clone();
            return;
        }
        self.images += other.images;
        self.cycles += other.cycles;
        self.saturated += other.saturated;
        for (a, b) in self.layers.iter_mut().zip(&other.layers) {
            a.macs += b.macs;
            a.counters += b.counters;
        }
    }
}

/// What `--json` writes: who ran what where, and the counters.
#[derive(Clone, Debug, Serialize)]
pub struct Summary<'a> {
    /// The program's name.
    pub program: &'a str,
    /// The board that it was compiled for.
    pub board: &'a str,
    /// The device as the user named it.
    pub device: &'a str,
    /// Planned clock.
    pub clock_mhz: f64,
    /// `cycles` at that clock.
    pub milliseconds: f64,
    /// `cycles` over `images`: less where images shared a run.
    pub cycles_per_image: f64,
    /// What the board's sensors measured meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub power: Vec<Power>,
    /// The counters.
    #[serde(flatten)]
    pub report: &'a RunReport,
}

impl<'a> Summary<'a> {
    /// For a report of a program compiled for `board`.
    pub fn new(program: &'a str, board: &'a Board, device: &'a str, report: &'a RunReport) -> Self {
        Summary {
            program,
            board: &board.name,
            device,
            clock_mhz: board.clock_mhz,
            milliseconds: report.cycles as f64 / (board.clock_mhz * 1e3),
            cycles_per_image: report.cycles as f64 / report.images.max(1) as f64,
            power: Vec::new(),
            report,
        }
    }

    /// With what sensors measured.
    pub fn with_power(mut self, power: Vec<Power>) -> Self {
        self.power = power;
        self
    }

    /// The table that `run` prints: cycles, multiply-accumulates per DSP and cycle, waiting, a line a layer.
    pub fn table(&self, dsps: usize) -> String {
        let mut s = String::new();
        let r = self.report;
        let width = r.layers.iter().map(|l| l.name.len()).max().unwrap_or(0);
        let width = width.max(5);
        let rate = |macs: u64, cycles: u64| macs as f64 / (dsps as f64 * cycles.max(1) as f64);
        let _ = writeln!(
            s,
            "{:<width$}  {:<8}  {:>12}  {:>12}  {:>5}  {:>10}  {:>10}  {:>10}  {:>9}",
            "layer",
            "mode",
            "cycles",
            "busy",
            "MAC/*",
            "wait load",
            "wait weigh",
            "wait store",
            "saturated"
        );
        for l in &r.layers {
            let _ = writeln!(
                s,
                "{:<width$}  {:<8}  {:>12}  {:>12}  {:>5.2}  {:>10}  {:>10}  {:>10}  {:>9}",
                l.name,
                l.mode,
                l.cycles,
                l.busy,
                rate(l.macs, l.cycles),
                l.wait_load,
                l.wait_weight,
                l.wait_store,
                l.saturated
            );
        }
        let macs = r.layers.iter().map(|l| l.macs).sum();
        let _ = writeln!(
            s,
            "{:<width$}  {:<8}  {:>12}  {:>12}  {:>5.2}",
            "all",
            "",
            r.cycles,
            "",
            rate(macs, r.cycles)
        );
        let _ = writeln!(
            s,
            "MAC/*: multiply-accumulates per DSP and cycle, {dsps} DSPs"
        );
        let _ = write!(
            s,
            "{} image(s), {} cycles = {:.3} ms at {} MHz (planned clock of {}), {:.0} cycles an image, {} results saturated",
            r.images,
            r.cycles,
            self.milliseconds,
            self.clock_mhz,
            self.board,
            self.cycles_per_image,
            r.saturated
        );
        for p in &self.power {
            let _ = write!(
                s,
                "\npower by {}: {:.2} W, {:.2} W before, {:.3} J an image ({} samples)",
                p.sensor, p.watts, p.idle_watts, p.joules_per_image, p.samples
            );
        }
        s
    }
}
