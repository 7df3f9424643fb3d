//! The program file: what `compile` writes and `host`, `sim` and the RTL bench run. One file that can be memory-mapped.
//!
//! ```text
//! 0     magic "CNNAPROG", format version u32, sections u32, config hash u64, file bytes u64
//! 32    per section: kind u32, CRC-32 u32, offset u64, bytes u64
//!       ... CRC-32 of everything before it
//! 4096k sections: META (TOML), IMAGE (first bytes of the memory window), NETWORK and CONSTANTS (for `net::file`)
//! ```
//! All little endian. The window is position-independent: every offset counts from its start. A program has a stream of
//! commands for one image and may have another for several, over the same weights; every tensor has room for that many images.

use crate::config::{Accelerator, Board};
use crate::error::MachineError;
use crate::isa::COMMAND_BYTES;
use crate::layout::{ArrayLayout, Shape, TensorLayout};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

pub(crate) const MAGIC: &[u8; 8] = b"CNNAPROG";
pub(crate) const FORMAT: u32 = 3;
const ALIGN: u64 = 4096;
const SECTIONS: usize = 4;
/// The cycle counter wraps; no run is estimated to wrap it more often.
const MOST_WRAPS: u64 = 16;
pub(crate) const HEADER: usize = 32 + SECTIONS * 24 + 4;

/// A tensor in the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Byte offset of the first image's in the window; see [`ProgramMeta::offset`] for the others.
    pub offset: usize,
    /// Shape and strides of one image's.
    pub layout: TensorLayout,
    /// Fraction bits.
    pub frac: i32,
}

/// An input or output: its tensor, and the array that the user gives or gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortInfo {
    /// The model's name of it.
    pub name: String,
    /// Shape of the user's array and the order of its elements in the tensor.
    pub array: ArrayLayout,
    /// Where it lies.
    pub tensor: TensorInfo,
}

/// How a layer runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// F(2x2, 3x3).
    Winograd,
    /// One tap a step.
    #[default]
    Direct,
    /// One tap of two channels a step.
    Paired,
    /// One input a step, 8 outputs a lane.
    Vector,
    /// A maximum, or a copy.
    Pool,
    /// Each row of each channel through a matrix, in vector mode.
    Rows,
}

impl Mode {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Winograd => "winograd",
            Mode::Direct => "direct",
            Mode::Paired => "paired",
            Mode::Vector => "vector",
            Mode::Pool => "pool",
            Mode::Rows => "rows",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A result within a layer whose nodes take turns: the machine makes it on the way to the layer's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InnerResult {
    /// The network's node, by index.
    pub node: usize,
    /// Its result in the window.
    pub output: TensorInfo,
    /// The result is still there when the program has ended.
    pub lasting: bool,
}

/// One layer as the host sees it: what the machine runs between two marks. It carries the name of its first node, and of its last
/// one where nodes take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// The network's name of the node.
    pub name: String,
    /// Nodes of the network that it computes, by index, the last one's result last.
    pub nodes: Vec<usize>,
    /// How its first pass runs.
    pub mode: Mode,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Shape of its first input.
    pub input: Shape,
    /// Results that it makes on the way, where its nodes take turns.
    #[serde(default)]
    pub inner: Vec<InnerResult>,
    /// Its result in the window.
    pub output: TensorInfo,
    /// The result is still there when the program has ended: no later layer took its memory.
    pub lasting: bool,
    /// Part of the streams that it belongs to: how many host steps' pauses come before it.
    #[serde(default)]
    pub segment: usize,
    /// Byte offset of its mark's record in the window, whichever stream runs.
    pub record: usize,
}

impl LayerInfo {
    /// All its results, its own last.
    pub fn results(&self) -> impl Iterator<Item = &TensorInfo> {
        self.inner.iter().map(|r| &r.output).chain([&self.output])
    }

    /// All its results that are still there when the program has ended, with the nodes whose results they are.
    pub fn lasting(&self) -> impl Iterator<Item = (usize, &TensorInfo)> {
        let inner = self.inner.iter().filter(|r| r.lasting);
        let own = self.nodes.last().filter(|_| self.lasting);
        inner
            .map(|r| (r.node, &r.output))
            .chain(own.map(|&node| (node, &self.output)))
    }
}

/// What the host computes while the machine pauses: a node that the machine cannot run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStep {
    /// The network's node, by index.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Why the machine cannot run it.
    pub reason: String,
    /// Segments that are done before it; it comes before the next one.
    pub after: usize,
    /// What it reads.
    pub inputs: Vec<TensorInfo>,
    /// What it writes.
    pub output: TensorInfo,
}

/// Commands that run the whole network on some images, layer after layer, each layer for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Images of a run.
    pub images: usize,
    /// Byte offset of its commands in the window.
    pub commands_offset: usize,
    /// Commands of all segments.
    pub commands: usize,
    /// Commands before each segment but the first: where the host computes. Every segment ends with END.
    #[serde(default)]
    pub breaks: Vec<usize>,
    /// Cost estimate of the compiler in cycles for the whole run, 0 when it gave none.
    pub estimated_cycles: u64,
}

impl Stream {
    /// Byte offset in the window and number of commands of each segment.
    pub fn segments(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = std::iter::once(0).chain(self.breaks.iter().copied());
        let ends = self.breaks.iter().copied().chain([self.commands]);
        starts.zip(ends).map(|(from, to)| {
            let offset = self.commands_offset + from * COMMAND_BYTES;
            (offset, to.saturating_sub(from))
        })
    }
}

/// Everything about a program except its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramMeta {
    /// The network's name.
    pub name: String,
    /// Bytes of the whole window.
    pub window_bytes: usize,
    /// Bytes from a tensor of one image to the same tensor of the next.
    pub image_pitch: usize,
    /// One for a single image, then, where the program has it, one for several.
    pub streams: Vec<Stream>,
    /// What the user gives, in the network's order.
    pub inputs: Vec<PortInfo>,
    /// What the user gets, in the network's order.
    pub outputs: Vec<PortInfo>,
    /// In order of execution.
    pub layers: Vec<LayerInfo>,
    /// What the host computes in between, in order of execution.
    #[serde(default)]
    pub host: Vec<HostStep>,
    /// What the model's file says beside its graph, and a user of the program must know: how pictures become its input.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The board it was compiled for, with every override applied.
    pub board: Board,
}

impl ProgramMeta {
    /// The machine that it runs on.
    pub fn accelerator(&self) -> &Accelerator {
        &self.board.accelerator
    }
    /// Words of one image: all inputs', one behind the other.
    pub fn image_len(&self) -> usize {
        self.inputs
            .iter()
            .map(|p| p.tensor.layout.shape.len())
            .sum()
    }
    /// Words of one image's result: all outputs', one behind the other.
    pub fn result_len(&self) -> usize {
        self.outputs
            .iter()
            .map(|p| p.tensor.layout.shape.len())
            .sum()
    }
    /// Most images of one run.
    pub fn batch(&self) -> usize {
        self.streams.last().expect("a program has a stream").images
    }
    /// The stream that runs `images` images.
    pub fn stream(&self, images: usize) -> Option<&Stream> {
        self.streams.iter().find(|s| s.images == images)
    }
    /// How `images` images are run: as many at once as a stream takes, the rest one by one.
    pub fn runs(&self, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let batch = self.batch();
        let whole = images / batch * batch;
        let size = move |from: usize| if from < whole { batch } else { 1 };
        (0..whole)
            .step_by(batch)
            .chain(whole..images)
            .map(move |from| from..from + size(from))
    }
    /// Byte offset of a tensor of image `image` of a run.
    pub fn offset(&self, tensor: &TensorInfo, image: usize) -> usize {
        tensor.offset + image * self.image_pitch
    }

    /// True when every tensor of every image, every record and every command lies in the window.
    fn is_inside(&self, image_bytes: usize) -> bool {
        let ends = |offset: usize, bytes: Option<usize>, limit: usize| {
            bytes
                .and_then(|b| offset.checked_add(b))
                .is_some_and(|end| end <= limit)
        };
        let others = self.image_pitch.checked_mul(self.batch() - 1);
        let tensor = |t: &TensorInfo| {
            let bytes = others.and_then(|o| o.checked_add(t.layout.bytes()));
            ends(t.offset, bytes, self.window_bytes)
        };
        let record = |at| ends(at, Some(crate::counters::RECORD_BYTES), self.window_bytes);
        let commands = |s: &Stream| {
            let bytes = s.commands.checked_mul(COMMAND_BYTES);
            ends(s.commands_offset, bytes, image_bytes)
        };
        image_bytes <= self.window_bytes
            && self
                .inputs
                .iter()
                .chain(&self.outputs)
                .all(|p| tensor(&p.tensor))
            && self
                .layers
                .iter()
                .all(|l| l.results().all(&tensor) && record(l.record))
            && self
                .host
                .iter()
                .flat_map(|h| h.inputs.iter().chain([&h.output]))
                .all(tensor)
            && self.streams.iter().all(commands)
    }

    /// What is missing or contradicts itself.
    fn flaw(&self, image_bytes: usize) -> Option<&'static str> {
        let most = self.accelerator().vector_images();
        let sizes: Vec<usize> = self.streams.iter().map(|s| s.images).collect();
        let sized = match *sizes {
            [1] => true,
            [1, n] => (2..=most).contains(&n),
            _ => false,
        };
        let segments = self.streams.first().map_or(0, |s| s.breaks.len());
        let broken = self.streams.iter().any(|s| {
            let rising = s.breaks.windows(2).all(|w| w[0] < w[1]);
            let inside = s.breaks.iter().all(|&b| b > 0 && b < s.commands);
            !rising || !inside || s.breaks.len() != segments
        });
        let ordered = self.host.windows(2).all(|w| w[0].after <= w[1].after)
            && self.host.iter().all(|h| h.after <= segments + 1)
            && self.layers.iter().all(|l| l.segment <= segments);
        if broken || !ordered {
            return Some("its host steps and its streams' segments contradict each other");
        }
        let ports = || self.inputs.iter().chain(&self.outputs);
        let tensors = || {
            ports()
                .map(|p| &p.tensor)
                .chain(self.layers.iter().flat_map(LayerInfo::results))
        };
        if self.layers.is_empty() || self.inputs.is_empty() || self.outputs.is_empty() {
            Some("it has no layer, no input or no output")
        } else if self.board.validate().is_err() {
            Some("its board is out of range")
        } else if tensors().any(|t| !t.layout.is_sound(self.accelerator())) {
            Some("a tensor's layout is not that of its shape")
        } else if self.layers.iter().any(|l| {
            // Bytes of the window bound every tensor; these are for people, and must be countable.
            [l.input.h, l.input.w]
                .into_iter()
                .try_fold(l.input.c, usize::checked_mul)
                .is_none()
        }) {
            Some("a layer's input is too large")
        } else if self
            .streams
            .iter()
            .any(|s| s.estimated_cycles > u64::from(u32::MAX) * MOST_WRAPS)
        {
            Some("a stream's estimate is beyond any run")
        } else if ports().any(|p| p.array.check(p.tensor.layout.shape).is_err()) {
            Some("an input's or output's array does not lie in its tensor")
        } else if !sized {
            Some(
                "its streams are not one for a single image and at most one for as many as the machine takes",
            )
        } else if !self.is_inside(image_bytes) {
            Some("its memory map leaves its window")
        } else {
            None
        }
    }
}

/// A program file in memory, checked.
#[derive(Debug)]
pub struct Program<'a> {
    /// Everything but the bytes.
    pub meta: ProgramMeta,
    /// The first bytes of the window: commands, weights, biases.
    pub image: &'a [u8],
    /// The network that was compiled, for `net::file::decode`: structure and constants.
    pub network: [&'a [u8]; 2],
}

/// Bytes in parts, one behind the other, so that they are never whole in memory.
pub type Parts<'p, 'b> = &'p mut dyn Iterator<Item = Cow<'b, [u8]>>;

/// Writes a program file from the writer's position 0 on. `network` and `constants` are what `net::file` makes of the network.
pub fn write_to(
    mut f: impl Write + Seek,
    meta: &ProgramMeta,
    image: Parts,
    network: &[u8],
    constants: Parts,
) -> std::io::Result<()> {
    let not_toml = |e| std::io::Error::other(format!("meta: {e}"));
    let meta_text = toml::to_string(meta).map_err(not_toml)?;
    f.write_all(&[0; HEADER])?;
    let mut table = Vec::new();
    let mut at = HEADER as u64;
    let mut section =
        |kind: u32, parts: &mut dyn Iterator<Item = Cow<'_, [u8]>>| -> std::io::Result<()> {
            let start = at.next_multiple_of(ALIGN);
            f.write_all(&vec![0; (start - at) as usize])?;
            let mut crc = crc32fast::Hasher::new();
            let mut len = 0;
            for p in parts {
                crc.update(&p);
                f.write_all(&p)?;
                len += p.len() as u64;
            }
            at = start + len;
            table.push((kind, crc.finalize(), start, len));
            Ok(())
        };
    section(0, &mut std::iter::once(meta_text.as_bytes().into()))?;
    section(1, image)?;
    section(2, &mut std::iter::once(network.into()))?;
    section(3, constants)?;
    let mut head = Vec::with_capacity(HEADER);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT.to_le_bytes());
    head.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
    head.extend_from_slice(&meta.accelerator().hash().to_le_bytes());
    head.extend_from_slice(&at.to_le_bytes());
    for (kind, crc, offset, len) in table {
        head.extend_from_slice(&kind.to_le_bytes());
        head.extend_from_slice(&crc.to_le_bytes());
        head.extend_from_slice(&offset.to_le_bytes());
        head.extend_from_slice(&len.to_le_bytes());
    }
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    f.seek(SeekFrom::Start(0))?;
    f.write_all(&head)?;
    f.flush()
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

impl<'a> Program<'a> {
    /// Checks and opens the bytes of a program file. Errors: not one, damaged, truncated, or of another format version.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, MachineError> {
        let bad = |message: String| MachineError::Program {
            path: path.into(),
            message,
        };
        if bytes.len() < HEADER || &bytes[..8] != MAGIC {
            return Err(bad(
                "it does not begin as one: make it with `cnna compile`".into()
            ));
        }
        if u32_at(bytes, 8) != FORMAT {
            return Err(bad(format!(
                "format version {}, this build reads {FORMAT}: compile the model again",
                u32_at(bytes, 8)
            )));
        }
        if crc32fast::hash(&bytes[..HEADER - 4]) != u32_at(bytes, HEADER - 4) {
            return Err(bad("its header is damaged: compile the model again".into()));
        }
        if u64_at(bytes, 24) != bytes.len() as u64 {
            return Err(bad(format!(
                "it has {} bytes, its header says {}: it was cut short, copy or compile it again",
                bytes.len(),
                u64_at(bytes, 24)
            )));
        }
        let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
        for (i, s) in sections.iter_mut().enumerate() {
            let row = &bytes[32 + i * 24..];
            let (crc, offset, len) = (
                u32_at(row, 4),
                u64_at(row, 8) as usize,
                u64_at(row, 16) as usize,
            );
            *s = offset
                .checked_add(len)
                .and_then(|end| bytes.get(offset..end))
                .ok_or_else(|| bad(format!("section {i} lies outside the file")))?;
            if crc32fast::hash(s) != crc {
                return Err(bad(format!(
                    "section {i} is damaged (checksum): compile the model again"
                )));
            }
        }
        let meta: ProgramMeta = toml_section(sections[0]).map_err(&bad)?;
        if meta.accelerator().hash() != u64_at(bytes, 16) {
            return Err(bad(
                "its configuration hash is not that of this build's registers and commands: compile the model again"
                    .into(),
            ));
        }
        if let Some(flaw) = meta.flaw(sections[1].len()) {
            return Err(bad(format!("{flaw}: compile the model again")));
        }
        Ok(Program {
            meta,
            image: sections[1],
            network: [sections[2], sections[3]],
        })
    }
}

fn toml_section<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    toml::from_str(text).map_err(|e| e.to_string())
}
