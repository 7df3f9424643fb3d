//! The map of the memory window: who lies where. All sizes in bytes, all offsets from the window's start.

use crate::ReportError;
use crate::stream::{Traffic, commands};
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::program::{LayerInfo, Program};
use serde::Serialize;
use std::ops::Range;

/// What a stretch of memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A command stream.
    Commands,
    /// One layer's weights, gaps between its streams included.
    Weights,
    /// One layer's biases.
    Biases,
    /// The input tensor.
    Input,
    /// One layer's output tensor; tensors that are not needed at the same time may share memory.
    Output,
    /// The tensors of a batch's further images.
    Images,
    /// One layer's record of counters.
    Counters,
}

impl Kind {
    /// All kinds, in the order of a legend.
    pub const ALL: [Kind; 7] = [
        Kind::Commands,
        Kind::Weights,
        Kind::Biases,
        Kind::Input,
        Kind::Output,
        Kind::Images,
        Kind::Counters,
    ];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Commands => "commands",
            Kind::Weights => "weights",
            Kind::Biases => "biases",
            Kind::Input => "input",
            Kind::Output => "output",
            Kind::Images => "more images",
            Kind::Counters => "counters",
        }
    }
}

/// A stretch of the memory window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// First byte.
    pub offset: usize,
    /// Length.
    pub bytes: usize,
    /// What it is for.
    pub kind: Kind,
    /// The same for people, with the layer's name.
    pub what: String,
}

/// All regions by offset; `traffic` is any stream's, for they share weights and biases. Errors: a stream leaves the image.
pub fn map(program: &Program<'_>, traffic: &Traffic) -> Result<Vec<Region>, ReportError> {
    let meta = &program.meta;
    let tensor = |t: &cnna_machine::program::TensorInfo| t.offset..t.offset + t.layout.bytes();
    let inputs = meta.inputs.iter();
    let mut regions: Vec<Region> = inputs
        .map(|p| match meta.inputs.len() {
            1 => region(Kind::Input, tensor(&p.tensor), None),
            _ => region(Kind::Input, tensor(&p.tensor), Some(&p.name)),
        })
        .collect();
    for s in &meta.streams {
        regions.push(Region {
            what: format!("commands for {} image(s)", s.images),
            ..region(Kind::Commands, commands(program, s)?, None)
        });
    }
    if meta.batch() > 1 {
        let inputs = meta.inputs.iter().map(|p| &p.tensor);
        let tensors = inputs.chain(meta.layers.iter().flat_map(LayerInfo::results));
        let first = tensors.map(|t| t.offset).min().unwrap_or(0) + meta.image_pitch;
        let others = meta.batch() - 1;
        regions.push(Region {
            what: format!("the same tensors of {others} more image(s)"),
            ..region(Kind::Images, first..first + others * meta.image_pitch, None)
        });
    }
    for (l, t) in meta.layers.iter().zip(&traffic.layers) {
        let name = Some(l.name.as_str());
        let stored = [(Kind::Weights, &t.weights), (Kind::Biases, &t.biases)];
        let stored = stored
            .into_iter()
            .filter_map(|(k, r)| Some((k, r.clone()?)));
        regions.extend(stored.map(|(kind, range)| region(kind, range, name)));
        let inner = l.inner.iter().map(|r| (&r.output, r.lasting));
        for (info, lasting) in inner.chain([(&l.output, l.lasting)]) {
            let mut output = region(Kind::Output, tensor(info), name);
            if !lasting {
                output.what += ", until later layers take its place";
            }
            regions.push(output);
        }
        regions.push(region(
            Kind::Counters,
            l.record..l.record + RECORD_BYTES,
            name,
        ));
    }
    regions.sort_by_key(|r| r.offset);
    Ok(regions)
}

fn region(kind: Kind, range: Range<usize>, layer: Option<&str>) -> Region {
    Region {
        offset: range.start,
        bytes: range.len(),
        kind,
        what: match layer {
            Some(layer) => format!("{} of {layer}", kind.name()),
            None => kind.name().into(),
        },
    }
}
