//! The accelerator's configuration and the boards: one TOML file each in `boards/`, every key written, unknown keys refused.
//!
//! `Accelerator` is the machine's shape (what the RTL's parameters say); `Board` adds the chip, its limits, its clock, its
//! memory model and its Vivado facts. Numbers that follow from others are methods, not keys.

use crate::error::MachineError;
use crate::memory::MemoryModel;
use crate::num::Word;
use crate::{counters, isa, regs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// Words in one AXI beat, for every word width: a 16-bit machine has 128-bit data ports, an 8-bit machine 64-bit ones.
pub const BEAT_WORDS: usize = 8;
/// Rows and columns of one tile, of a window's rows for each of its tiles, and so row banks of the activation buffer.
pub const TILE_SIDE: usize = 4;
/// Positions of one tile.
pub const POSITIONS: usize = TILE_SIDE * TILE_SIDE;
/// Beats of the longest burst; a burst never crosses a block of this many beats, so never 4 KiB.
pub const BURST_BEATS: usize = 16;
/// Words of a weight-buffer row in one lane: one 3x3 kernel, or 8 plain weights.
pub const KERNEL_WORDS: usize = 9;
/// Plain weights in a weight-buffer row of one lane.
pub const PLAIN_WORDS: usize = 8;
/// Biases in one row of the bias buffer.
pub const BIAS_ROW: usize = 4;

/// Numbers of the AXI ports, in the order in which the memory arbitrates them.
pub mod port {
    /// Activations: read by the load engine, written by the store engine.
    pub const ACT: usize = 0;
    /// Commands.
    pub const COMMAND: usize = 1;
    /// The first weight port.
    pub const WEIGHT: usize = 2;
    /// The second port that reads activations, behind as many weight ports as there can be.
    pub const SECOND: usize = 6;
}

/// Places in the queues, and bursts in flight, that are the same for every configuration.
pub mod depth {
    /// Commands that the load engine, and each weight port, has accepted and not completed.
    pub const RECEIVE: usize = 4;
    /// Beats of the second activation port that wait for those of the first.
    pub const SECOND: usize = 4;
    /// Commands that the weight engine has accepted and not completed.
    pub const WEIGHT: usize = 8;
    /// Beats that the store engine reads ahead of the bus.
    pub const STORE_BEATS: usize = 8;
    /// Bursts that the store engine has in flight.
    pub const STORE_BURSTS: usize = 16;
    /// Bursts of the command stream in flight: enough to hide the memory, since commands are few.
    pub const FETCH_BURSTS: usize = 4;
    /// Passes whose results may wait for the post-processing: the sequencer's pace keeps it to one or two.
    pub const PASSES: usize = 16;
    /// Lanes whose results may wait there.
    pub const DRAIN: usize = 32;
    /// Passes whose sums of products of operands are kept (paired), a power of two.
    pub const KEPT_PASSES: usize = 16;
    /// All of them, by name.
    pub const ALL: [(&str, usize); 9] = [
        ("RECEIVE", RECEIVE),
        ("SECOND", SECOND),
        ("WEIGHT", WEIGHT),
        ("STORE_BEATS", STORE_BEATS),
        ("STORE_BURSTS", STORE_BURSTS),
        ("FETCH_BURSTS", FETCH_BURSTS),
        ("PASSES", PASSES),
        ("DRAIN", DRAIN),
        ("KEPT_PASSES", KEPT_PASSES),
    ];
}

/// The machine's shape. All counts are hardware sizes, fixed at generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    /// Tiles of 4x4 positions side by side (T): 1, 2 or 4.
    pub tiles: usize,
    /// Output channels computed at once (M): 1..=32.
    pub lanes: usize,
    /// Word width in bits: 8 or 16.
    pub word: Word,
    /// Activation buffer: lines of `4 * tiles` words in each of its four row banks.
    pub act_depth: usize,
    /// Weight buffer: rows of 9 words a lane.
    pub weight_depth: usize,
    /// Bias buffer: rows of 4 biases.
    pub bias_depth: usize,
    /// Output buffer: lines of `4 * tiles` words in each of its two row banks.
    pub out_depth: usize,
    /// AXI read ports for weights: 1..=4; port p feeds lanes p, p + ports, ...
    pub weight_ports: usize,
    /// AXI ports that read activations: 1, or 2, where the second reads the row below the first's at the same time.
    #[serde(default = "one")]
    pub load_ports: usize,
    /// Bursts in flight on one AXI read port.
    pub outstanding: usize,
    /// Commands each queue holds.
    pub queue_depth: usize,
    /// Generate the Winograd transforms.
    pub winograd: bool,
    /// Generate the paired mode: two channels a step in DIRECT mode, all lanes but one.
    pub paired: bool,
}

/// Board files from before there was a second port have one.
fn one() -> usize {
    1
}

/// What the chip offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// DSP48 slices.
    pub dsp: usize,
    /// 36 Kbit block RAMs.
    pub bram36: usize,
    /// Six-input look-up tables.
    pub lut: usize,
    /// Flip-flops.
    pub ff: usize,
}

/// Chip family: decides the processing system's cell and its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Zynq-7000: DSP48E1, 64-bit AXI3 high-performance ports.
    Zynq7000,
    /// Zynq UltraScale+ MPSoC: DSP48E2, 128-bit AXI4 high-performance ports.
    ZynqMp,
}

/// What Vivado and Linux need to know of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Xilinx part name.
    pub part: String,
    /// Vivado board part, or empty; several, separated by blanks, where a board's files go by several names.
    pub board_part: String,
    /// Chip family.
    pub family: Family,
    /// Physical address of the register block.
    pub register_base: u64,
    /// Physical address of the reserved DMA memory.
    pub dma_base: u64,
    /// Bytes of the reserved DMA memory.
    pub dma_bytes: u64,
}

/// One board file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The board's name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Clock of the accelerator in MHz: a plan until Vivado has closed timing.
    pub clock_mhz: f64,
    /// The machine's shape.
    pub accelerator: Accelerator,
    /// Planning model of the DDR memory.
    pub memory: MemoryModel,
    /// Chip limits.
    pub limits: Limits,
    /// Vivado and Linux facts.
    pub platform: Platform,
}

const BUILT_IN: [(&str, &str); 6] = [
    ("ultra96", include_str!("../../boards/ultra96.toml")),
    ("ultra96v2", include_str!("../../boards/ultra96v2.toml")),
    ("pynq-z2", include_str!("../../boards/pynq-z2.toml")),
    ("zedboard", include_str!("../../boards/zedboard.toml")),
    ("zcu104", include_str!("../../boards/zcu104.toml")),
    ("kv260", include_str!("../../boards/kv260.toml")),
];

impl Board {
    /// Names of the boards built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(n, _)| *n)
    }

    /// A built-in board by name, or a board file by path (anything that ends in `.toml`).
    ///
    /// `set` overrides keys of the accelerator or, with a dot, of another table (`tiles=1`, `memory.latency=20`).
    pub fn load(name: &str, set: &[(String, String)]) -> Result<Board, MachineError> {
        if name.ends_with(".toml") {
            let path = Path::new(name);
            let text = std::fs::read_to_string(path).map_err(|source| MachineError::Io {
                path: path.into(),
                source,
            })?;
            return Self::parse(&text, path, set);
        }
        match BUILT_IN.iter().find(|(n, _)| *n == name) {
            Some((n, text)) => Self::parse(text, Path::new(&format!("boards/{n}.toml")), set),
            None => Err(MachineError::UnknownBoard {
                name: name.into(),
                known: Self::names().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn parse(text: &str, path: &Path, set: &[(String, String)]) -> Result<Board, MachineError> {
        let bad = |message: String| MachineError::Toml {
            path: path.into(),
            message,
        };
        let mut table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| bad(e.to_string()))?;
        for (key, value) in set {
            override_key(&mut table, key, value)?;
        }
        let board: Board = table
            .try_into()
            .map_err(|e: toml::de::Error| bad(e.to_string()))?;
        board.validate()?;
        Ok(board)
    }

    /// Checks every range; derived sizes may then be trusted.
    pub fn validate(&self) -> Result<(), MachineError> {
        self.accelerator.validate()?;
        self.memory.validate()?;
        if !(1.0..=1000.0).contains(&self.clock_mhz) {
            return Err(MachineError::config(
                "clock_mhz",
                format!("{} is outside 1..=1000", self.clock_mhz),
            ));
        }
        Ok(())
    }

    /// Refuses a configuration that the chip cannot hold.
    pub fn check_fit(&self) -> Result<(), MachineError> {
        let a = &self.accelerator;
        if a.all_dsps() > self.limits.dsp {
            return Err(MachineError::config(
                "lanes",
                format!(
                    "{} tiles x {} lanes need {} DSPs, {} has {}: lower lanes or tiles",
                    a.tiles,
                    a.lanes,
                    a.all_dsps(),
                    self.name,
                    self.limits.dsp
                ),
            ));
        }
        if a.bram36() > self.limits.bram36 {
            return Err(MachineError::config(
                "act_depth",
                format!(
                    "the buffers need {} BRAM36, {} has {}: lower act_depth, weight_depth or out_depth",
                    a.bram36(),
                    self.name,
                    self.limits.bram36
                ),
            ));
        }
        for (name, needed, limit) in [
            ("LUT", a.luts(), self.limits.lut),
            ("FF", a.ffs(), self.limits.ff),
        ] {
            if needed > limit {
                return Err(MachineError::config(
                    "lanes",
                    format!(
                        "{} tiles x {} lanes need about {needed} {name} (an estimate), {} has {limit}: lower lanes, tiles or \
                         weight_ports, or take word = 8",
                        a.tiles, a.lanes, self.name
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn override_key(table: &mut toml::Table, key: &str, value: &str) -> Result<(), MachineError> {
    let (section, name) = match key.split_once('.') {
        Some((s, n)) => (Some(s), n),
        None if table.contains_key(key) => (None, key),
        None => (Some("accelerator"), key),
    };
    let target = match section {
        None => Some(&mut *table),
        Some(s) => table.get_mut(s).and_then(|v| v.as_table_mut()),
    };
    let Some(old) = target.and_then(|t| t.get_mut(name)) else {
        return Err(MachineError::config(
            key,
            "no such key: `cnna boards ultra96` prints all keys",
        ));
    };
    let parsed = value
        .parse::<i64>()
        .map(toml::Value::Integer)
        .or_else(|_| value.parse::<f64>().map(toml::Value::Float))
        .or_else(|_| value.parse::<bool>().map(toml::Value::Boolean))
        .unwrap_or_else(|_| toml::Value::String(value.into()));
    *old = match (&*old, parsed) {
        (toml::Value::Float(_), toml::Value::Integer(i)) => toml::Value::Float(i as f64),
        (_, p) => p,
    };
    Ok(())
}

impl Accelerator {
    /// Checks every range once; derived sizes may then be trusted.
    pub fn validate(&self) -> Result<(), MachineError> {
        let range = |field: &str, v: usize, lo: usize, hi: usize| {
            if (lo..=hi).contains(&v) {
                Ok(())
            } else {
                Err(MachineError::config(
                    field,
                    format!("{v} is outside {lo}..={hi}"),
                ))
            }
        };
        if ![1, 2, 4].contains(&self.tiles) {
            return Err(MachineError::config(
                "tiles",
                format!("{} is not 1, 2 or 4", self.tiles),
            ));
        }
        range("lanes", self.lanes, 1, 32)?;
        range("act_depth", self.act_depth, 16, 32768)?;
        if self.paired && self.lanes < 2 {
            return Err(MachineError::config(
                "paired",
                "one of the lanes corrects the others, so it takes at least 2 of them: set paired = false",
            ));
        }
        if self.paired && !self.act_depth.is_power_of_two() {
            return Err(MachineError::config(
                "act_depth",
                format!(
                    "{} is no power of two, which the two sets of `paired` need: set another, or paired = false",
                    self.act_depth
                ),
            ));
        }
        range("weight_depth", self.weight_depth, 4, 32768)?;
        range(
            "bias_depth",
            self.bias_depth,
            2 * self.group_bias_rows(),
            256,
        )?;
        range("out_depth", self.out_depth, 16, 32768)?;
        range("weight_ports", self.weight_ports, 1, 4.min(self.lanes))?;
        range("load_ports", self.load_ports, 1, 2)?;
        range("outstanding", self.outstanding, 1, 32)?;
        range("queue_depth", self.queue_depth, 4, 64)
    }

    /// Rows of the bias buffer that one group's biases take at most (vector mode: 8 a lane).
    pub fn group_bias_rows(&self) -> usize {
        self.lanes * PLAIN_WORDS / BIAS_ROW
    }
    /// Multipliers of the array, one DSP48 each.
    pub fn dsps(&self) -> usize {
        POSITIONS * self.tiles * self.lanes
    }
    /// All multipliers: the array's, and one a result lane for its activation.
    pub fn all_dsps(&self) -> usize {
        self.dsps() + self.line_words()
    }
    /// Lines of each bank of the residual buffer, a power of two.
    pub fn residual_depth(&self) -> usize {
        self.out_depth.next_power_of_two() / 2
    }
    /// Words of one buffer line: the columns of a window.
    pub fn line_words(&self) -> usize {
        TILE_SIDE * self.tiles
    }
    /// Bytes of one AXI beat.
    pub fn beat_bytes(&self) -> usize {
        BEAT_WORDS * self.word.bytes()
    }
    /// Columns of a tensor in memory are padded to a multiple of this.
    pub fn column_align(&self) -> usize {
        BEAT_WORDS.max(self.line_words())
    }
    /// Images that one vector pass (fully connected layer) computes.
    pub fn vector_images(&self) -> usize {
        2 * self.tiles.min(2)
    }
    /// AXI read ports: activations, weights, commands. The first activation port also writes.
    pub fn ports(&self) -> usize {
        self.load_ports + self.weight_ports + 1
    }
    /// The highest number of one in [`port`], and one more.
    pub fn port_numbers(&self) -> usize {
        match self.load_ports {
            1 => port::WEIGHT + self.weight_ports,
            _ => port::SECOND + 1,
        }
    }
    /// Block RAMs of the buffers, by the shapes that synthesis infers: in units of 36 Kbit, a half for each of 18, rounded up.
    pub fn bram36(&self) -> usize {
        let halves = |depth: usize, width: usize| -> usize {
            // A BRAM18 is 36 x 512, 18 x 1K, 9 x 2K, 4 x 4K, 2 x 8K: the best split.
            [(36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192)]
                .iter()
                .map(|&(w, d)| width.div_ceil(w) * depth.div_ceil(d))
                .min()
                .unwrap_or(0)
        };
        let w = self.word.bits() as usize;
        let sets = if self.paired { 2 } else { 1 };
        // The output buffer is written in quarter lines, each a memory of its own.
        let all = POSITIONS * self.tiles * sets * halves(self.act_depth / sets, w)
            + self.lanes * halves(self.weight_depth, KERNEL_WORDS * w)
            + 2 * 4 * halves(self.out_depth, self.tiles * w)
            + 2 * 4 * halves(self.residual_depth(), self.tiles * w)
            + self.line_words() * halves(isa::SETS * self.word.table_entries(), 32);
        all.div_ceil(2)
    }

    /// Identity of the machine: a program runs only where this is equal. Covers shape, registers and encoding, by names,
    /// positions, widths and values; what is written about them may change.
    pub fn hash(&self) -> u64 {
        self.hash_with(&isa::TABLES, regs::ALL)
    }

    fn hash_with(&self, commands: &[(&str, &[isa::Field])], registers: &[regs::Reg]) -> u64 {
        let mut text = toml::to_string(self).expect("plain fields always serialise");
        for (command, fields) in commands {
            for f in *fields {
                let place = (f.word, f.low, f.width, f.signed);
                let _ = writeln!(text, "{command}.{} {place:?}", f.name);
            }
        }
        for (field, values) in isa::VALUES {
            let _ = writeln!(text, "{field} {values:?}");
        }
        let _ = writeln!(text, "tokens {:?}", isa::TOKEN_PATHS);
        for r in registers {
            let _ = writeln!(text, "{} {} {:?}", r.name, r.offset, r.access);
        }
        let version = (regs::ID_VALUE, regs::VERSION_VALUE);
        let record = counters::REGISTERS.map(|r| r.offset);
        let errors = regs::DeviceError::ALL.map(|e| (e, e as u8));
        let _ = writeln!(text, "{version:?} {record:?} {errors:?}");
        let digest = Sha256::digest(text);
        u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_loads_fits_and_has_its_own_name() {
        for name in Board::names() {
            let b = Board::load(name, &[]).unwrap();
            assert_eq!(b.name, name);
            b.check_fit().unwrap();
        }
    }

    #[test]
    fn a_machine_larger_than_its_chip_is_refused_with_the_resource_and_a_way_out() {
        let refused = |limit: fn(&mut Limits)| {
            let mut b = Board::load("ultra96", &[]).unwrap();
            limit(&mut b.limits);
            b.check_fit().unwrap_err().to_string()
        };
        for (message, resource) in [
            (refused(|l| l.dsp = 359), "360 DSPs"),
            (refused(|l| l.bram36 = 203), "204 BRAM36"),
            (refused(|l| l.lut = 30_000), "LUT"),
            (refused(|l| l.ff = 10_000), "FF"),
        ] {
            assert!(
                message.contains(resource) && message.contains(": lower "),
                "{message}"
            );
        }
    }

    #[test]
    fn block_rams_are_those_that_yosys_counts() {
        // Counted with `synth_xilinx -family xc7`, BRAM18 as halves.
        for (tiles, lanes, act_depth, out_depth, counted) in [
            ("2", "11", "8192", "2048", 204),
            ("4", "5", "8192", "2048", 340),
            ("2", "2", "1024", "512", 40),
            ("1", "2", "1024", "512", 28),
        ] {
            let set = [
                ("tiles", tiles),
                ("lanes", lanes),
                ("act_depth", act_depth),
                ("out_depth", out_depth),
                ("weight_ports", "2"),
                ("paired", "false"),
            ]
            .map(|(k, v)| (k.to_string(), v.to_string()));
            let b = Board::load("ultra96", &set).unwrap();
            assert_eq!(b.accelerator.bram36(), counted, "{set:?}");
        }
        // Two sets of half the lines take no more, but where they are small.
        let paired = Board::load("ultra96", &[]).unwrap().accelerator;
        assert!(paired.paired);
        assert_eq!(paired.bram36(), 204);
    }

    #[test]
    fn pairs_need_a_lane_to_spare_and_two_equal_sets() {
        for (key, value) in [("lanes", "1"), ("act_depth", "6000")] {
            let set = |k: &str, v: &str| (k.to_string(), v.to_string());
            let ports = set("weight_ports", "1");
            let refused = Board::load("ultra96", &[set(key, value), ports.clone()]);
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("paired = false"), "{message}");
            let single = [set(key, value), ports, set("paired", "false")];
            Board::load("ultra96", &single).unwrap();
        }
    }

    #[test]
    fn overrides_reach_their_key_and_unknown_keys_are_refused() {
        let set = |k: &str, v: &str| vec![(k.to_string(), v.to_string())];
        let b = Board::load("ultra96", &set("lanes", "5")).unwrap();
        assert_eq!(b.accelerator.dsps(), 160);
        let b = Board::load("ultra96", &set("memory.latency", "20")).unwrap();
        assert_eq!(b.memory.latency, 20);
        assert!(Board::load("ultra96", &set("lames", "5")).is_err());
        assert!(Board::load("ultra96", &set("tiles", "3")).is_err());
        assert!(Board::load("ultra96", &set("word", "12")).is_err());
    }

    #[test]
    fn the_hash_follows_the_shape_but_not_the_memory_model() {
        let set = |k: &str, v: &str| vec![(k.to_string(), v.to_string())];
        let h = |s: &[(String, String)]| Board::load("ultra96", s).unwrap().accelerator.hash();
        assert_ne!(h(&[]), h(&set("lanes", "10")));
        assert_eq!(h(&[]), h(&set("memory.latency", "1")));
    }

    #[test]
    fn the_hash_covers_places_and_values_and_no_sentence() {
        let a = Board::load("ultra96", &[]).unwrap().accelerator;
        type Change = (fn(&mut isa::Field), fn(&mut regs::Reg));
        let changed = |(field, register): Change| {
            let mut fields = isa::Compute::FIELDS.to_vec();
            field(&mut fields[3]);
            let mut registers = regs::ALL.to_vec();
            register(&mut registers[3]);
            let mut commands = isa::TABLES;
            commands[3].1 = &fields;
            a.hash_with(&commands, &registers)
        };
        let same: [Change; 2] = [
            (|_| {}, |_| {}),
            (|f| f.doc = "a better sentence", |r| r.doc = "one more"),
        ];
        for change in same {
            assert_eq!(changed(change), a.hash());
        }
        let others: [Change; 7] = [
            (|f| f.word += 1, |_| {}),
            (|f| f.low += 1, |_| {}),
            (|f| f.width += 1, |_| {}),
            (|f| f.signed = !f.signed, |_| {}),
            (|f| f.name = "another", |_| {}),
            (|_| {}, |r| r.offset += 4),
            (|_| {}, |r| r.access = regs::Access::Rw),
        ];
        for (n, change) in others.into_iter().enumerate() {
            assert_ne!(changed(change), a.hash(), "change {n}");
        }
    }
}
