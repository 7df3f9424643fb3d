//! The numbers of a report: what `--json` writes and what the page shows, from the device's counters and the program.

use crate::memory::{self, Region};
use crate::stream::{LayerTraffic, traffic};
use crate::{Quantisation, ReportError};
use cnna_host::report::{LayerReport, RunReport};
use cnna_machine::Board;
use cnna_machine::isa::COMMAND_BYTES;
use cnna_machine::layout::Shape;
use cnna_machine::program::{LayerInfo, Mode, Program};
use serde::Serialize;

/// A program's run on one image. Cycles and bytes are of that image.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The network's name.
    pub network: String,
    /// The board's name.
    pub board: String,
    /// The board in one line.
    pub title: String,
    /// Identity of the machine, 16 hexadecimal digits.
    pub config: String,
    /// Tiles and lanes of the array, bits of a word.
    pub machine: Machine,
    /// The device that ran it, as the user named it.
    pub device: String,
    /// The image that it ran on.
    pub image: String,
    /// Planned clock.
    pub clock_mhz: f64,
    /// From start to done.
    pub cycles: u64,
    /// The compiler's estimate of `cycles`, 0 when it gave none.
    pub estimated_cycles: u64,
    /// `cycles` at the planned clock: a prediction.
    pub milliseconds: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// `macs` for each multiplier of the array and cycle.
    pub mac_per_dsp_per_cycle: f64,
    /// Bytes over the memory's ports: activations, results, weights, biases, commands.
    pub ddr_bytes: u64,
    /// Results that saturation changed.
    pub saturated: u64,
    /// What bounds every layer.
    pub roofs: Roofs,
    /// In order of execution.
    pub layers: Vec<Layer>,
    /// What each convolution could do at best in each mode, in order of execution.
    pub modes: Vec<InModes>,
    /// Bytes of the memory window.
    pub window_bytes: usize,
    /// The window's map, by offset.
    pub memory: Vec<Region>,
    /// How near the integers are to the float network, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
}

/// The array's shape.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Tiles of 4 x 4 positions side by side.
    pub tiles: usize,
    /// Output channels at once.
    pub lanes: usize,
    /// Bits of a word.
    pub word_bits: u32,
    /// Multipliers.
    pub dsps: usize,
}

/// The limits of the roofline plot.
#[derive(Clone, Debug, Serialize)]
pub struct Roofs {
    /// Multiply-accumulates a cycle, one for each multiplier.
    pub direct: f64,
    /// The same in Winograd F(2x2, 3x3), 4 multiplications for 9; none when the machine has no transforms.
    pub winograd: Option<f64>,
    /// The same in paired mode: two for each multiplier of all lanes but one; none when the machine has it not.
    pub paired: Option<f64>,
    /// Bytes a cycle that the memory moves at most, by the board file.
    pub bytes_per_cycle: f64,
}

/// Outputs of F(2x2, 3x3) cost this much less: 36 multiply-accumulates by 16 multiplications.
const WINOGRAD_GAIN: f64 = 9.0 / 4.0;

impl Roofs {
    fn new(board: &Board) -> Self {
        let a = &board.accelerator;
        let direct = a.dsps() as f64;
        Roofs {
            direct,
            winograd: a.winograd.then_some(direct * WINOGRAD_GAIN),
            paired: a
                .paired
                .then(|| 2.0 * direct * (a.lanes - 1) as f64 / a.lanes as f64),
            bytes_per_cycle: board.memory.bytes_per_cycle.into(),
        }
    }

    /// The highest roof of the array.
    pub fn peak(&self) -> f64 {
        self.flats().map(|(_, roof)| roof).fold(0.0, f64::max)
    }

    /// The roofs of the array, by name.
    pub fn flats(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let some = [("Winograd", self.winograd), ("paired", self.paired)];
        let some = some
            .into_iter()
            .filter_map(|(name, roof)| Some((name, roof?)));
        some.chain([("direct", self.direct)])
    }
}

/// One layer of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Shape of its input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
    /// The device's counters.
    #[serde(flatten)]
    pub counters: LayerReport,
    /// Cycles that no counter explains: latency, marks, draining.
    pub rest: u64,
    /// Multiply-accumulates for each multiplier and cycle.
    pub mac_per_dsp_per_cycle: f64,
    /// Bytes of activations read, residuals among them.
    pub read_bytes: u64,
    /// Of these, bytes of residuals.
    pub residual_bytes: u64,
    /// Bytes of results written.
    pub write_bytes: u64,
    /// Bytes of results that stay on chip.
    pub local_bytes: u64,
    /// Bytes of weights and biases read.
    pub weight_bytes: u64,
    /// Bytes of commands fetched.
    pub command_bytes: u64,
    /// All bytes.
    pub ddr_bytes: u64,
    /// Multiply-accumulates for each of `ddr_bytes`.
    pub mac_per_byte: f64,
    /// Multiply-accumulates a cycle.
    pub mac_per_cycle: f64,
}

/// A convolution in the modes of the array that it fits.
#[derive(Clone, Debug, Serialize)]
pub struct InModes {
    /// Its name.
    pub name: String,
    /// The mode that it runs in.
    pub taken: Mode,
    /// Cycles of the array alone for one image, at best.
    pub cycles: Vec<(Mode, u64)>,
}

impl InModes {
    /// Cycles in a mode, where it fits.
    pub fn in_mode(&self, mode: Mode) -> Option<u64> {
        let found = self.cycles.iter().find(|c| c.0 == mode);
        found.map(|c| c.1)
    }
}

/// A part of a layer's cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The array took a step.
    Busy,
    /// Compute waited for activations.
    Load,
    /// Compute waited for weights.
    Weight,
    /// Compute waited for the store.
    Store,
    /// Latency, marks, draining.
    Rest,
}

impl Part {
    /// All parts, in the order of a bar.
    pub const ALL: [Part; 5] = [
        Part::Busy,
        Part::Load,
        Part::Weight,
        Part::Store,
        Part::Rest,
    ];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Busy => "computing",
            Part::Load => "waiting for activations",
            Part::Weight => "waiting for weights",
            Part::Store => "waiting for the store",
            Part::Rest => "the rest: latency, marks, draining",
        }
    }
}

impl Layer {
    fn new(info: &LayerInfo, c: &LayerReport, t: &LayerTraffic, board: &Board) -> Self {
        let beat = board.accelerator.beat_bytes() as u64;
        let (read_bytes, write_bytes) = (c.read_beats * beat, c.write_beats * beat);
        let command_bytes = (t.commands * COMMAND_BYTES) as u64;
        let ddr_bytes = read_bytes + write_bytes + t.weight_bytes + command_bytes;
        let explained = c.busy + c.wait_load + c.wait_weight + c.wait_store;
        let mac_per_cycle = ratio(c.macs, c.cycles);
        Layer {
            input: info.input,
            output: info.output.layout.shape,
            rest: c.cycles.saturating_sub(explained),
            mac_per_dsp_per_cycle: mac_per_cycle / board.accelerator.dsps() as f64,
            read_bytes,
            residual_bytes: t.residual_bytes,
            write_bytes,
            local_bytes: t.local_bytes,
            weight_bytes: t.weight_bytes,
            command_bytes,
            ddr_bytes,
            mac_per_byte: ratio(c.macs, ddr_bytes),
            mac_per_cycle,
            counters: c.clone(),
        }
    }

    /// Cycles of a part.
    pub fn part(&self, part: Part) -> u64 {
        match part {
            Part::Busy => self.counters.busy,
            Part::Load => self.counters.wait_load,
            Part::Weight => self.counters.wait_weight,
            Part::Store => self.counters.wait_store,
            Part::Rest => self.rest,
        }
    }

    /// A part of the layer's cycles, 0 to 1.
    pub fn share(&self, part: Part) -> f64 {
        ratio(self.part(part), self.counters.cycles)
    }
}

impl Report {
    /// From a program and the counters of its run on one image.
    ///
    /// Errors: the command stream leaves the image, or the counters are not this program's.
    pub fn new(
        program: &Program<'_>,
        run: &RunReport,
        device: &str,
        image: &str,
    ) -> Result<Self, ReportError> {
        let (meta, board) = (&program.meta, &program.meta.board);
        if run.layers.len() != meta.layers.len() {
            return Err(ReportError::Layers {
                expected: meta.layers.len(),
                found: run.layers.len(),
            });
        }
        // The page is about one image; a program's first stream is for one.
        let stream = &meta.streams[0];
        let traffic = traffic(program, stream)?;
        let rows = meta.layers.iter().zip(&run.layers).zip(&traffic.layers);
        let layers: Vec<Layer> = rows
            .map(|((info, counters), t)| Layer::new(info, counters, t, board))
            .collect();
        let a = &board.accelerator;
        let macs = layers.iter().map(|l| l.counters.macs).sum();
        Ok(Report {
            network: meta.name.clone(),
            board: board.name.clone(),
            title: board.title.clone(),
            config: format!("{:016x}", a.hash()),
            machine: Machine {
                tiles: a.tiles,
                lanes: a.lanes,
                word_bits: a.word.bits(),
                dsps: a.dsps(),
            },
            device: device.into(),
            image: image.into(),
            clock_mhz: board.clock_mhz,
            cycles: run.cycles,
            estimated_cycles: stream.estimated_cycles,
            milliseconds: run.cycles as f64 / (board.clock_mhz * 1e3),
            macs,
            mac_per_dsp_per_cycle: ratio(macs, run.cycles) / a.dsps() as f64,
            ddr_bytes: layers.iter().map(|l| l.ddr_bytes).sum(),
            saturated: run.saturated,
            roofs: Roofs::new(board),
            layers,
            modes: Vec::new(),
            window_bytes: meta.window_bytes,
            memory: memory::map(program, &traffic)?,
            quantisation: None,
        })
    }

    /// Cycles of a part over all layers.
    pub fn part(&self, part: Part) -> u64 {
        self.layers.iter().map(|l| l.part(part)).sum()
    }

    /// The line that a user came for.
    pub fn headline(&self) -> String {
        format!(
            "{} on {}: {} cycles an image = {:.3} ms at {} MHz (predicted), {:.2} MAC/DSP/cycle",
            self.network,
            self.board,
            self.cycles,
            self.milliseconds,
            self.clock_mhz,
            self.mac_per_dsp_per_cycle
        )
    }
}

/// 0 when there is nothing to divide by.
pub(crate) fn ratio(a: u64, b: u64) -> f64 {
    match b {
        0 => 0.0,
        b => a as f64 / b as f64,
    }
}
