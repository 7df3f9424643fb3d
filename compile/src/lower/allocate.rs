//! Memory by lifetime, and what the program says of itself.

use super::{BufferId, Build};
use crate::encode::{Map, Sizes};
use crate::error::CompileError;
use crate::memory::{Images, Placer, by_lifetime};
use crate::step::{self, Step};
use crate::stream::Entry;
use cnna_machine::program::{HostStep, InnerResult, LayerInfo, Mode, PortInfo, TensorInfo};
use cnna_net::TensorId;

/// All steps with addresses, and what the program says of them.
#[derive(Debug)]
pub struct Lowered<'b, 'a> {
    /// What runs, in order.
    pub steps: Vec<Step<'a>>,
    /// Weights and biases.
    pub placer: Placer<'b, 'a>,
    /// What the user gives and gets.
    pub inputs: Vec<PortInfo>,
    pub outputs: Vec<PortInfo>,
    /// In order of execution.
    pub layers: Vec<LayerInfo>,
    /// What the host computes in between.
    pub host: Vec<HostStep>,
    /// Steps before each of its pauses.
    breaks: Vec<usize>,
    /// Bytes of the records, and of one image's tensors.
    pub records: usize,
    pub tensors: usize,
}

impl<'b, 'a> Build<'b, 'a> {
    /// Gives every tensor its place: its own for the whole program when `keep`, else only while it is needed.
    pub fn allocate(&self, keep: bool) -> Lowered<'b, 'a> {
        // Inputs are written at time 0, the host computes before step i at time 2i + 1, step i runs at 2i + 2, outputs are
        // read at the end.
        let end = 2 * self.planned.len() + 2;
        let mut lives: Vec<Option<std::ops::Range<usize>>> = vec![None; self.buffers.len()];
        let mut touch = |b: BufferId, at: usize| {
            let life = lives[self.buffers[b].root.0].get_or_insert(at..at + 1);
            *life = life.start.min(at)..life.end.max(at + 1);
        };
        let mut begin = 0;
        for (i, p) in self.planned.iter().enumerate() {
            // Steps that take turns run from the first's begin to the last's end.
            let turns = self.planned[i..].iter().take_while(|p| p.step.turns);
            for at in [2 * begin + 2, 2 * (i + turns.count()) + 2] {
                let inputs = p.reads();
                inputs.for_each(|&b| touch(b, at));
                touch(p.output, at);
            }
            if !p.step.turns {
                begin = i + 1;
            }
        }
        for h in &self.host {
            let n = &self.graph.nodes[h.node];
            let tensors = n.inputs.iter().chain([&n.output]);
            tensors.for_each(|&t| touch(t, 2 * h.after + 1));
        }
        for p in &self.graph.inputs {
            [0, end].into_iter().for_each(|at| touch(p.tensor, at));
        }
        for p in &self.graph.outputs {
            touch(p.tensor, end);
        }
        let (used, blocks): (Vec<BufferId>, Vec<_>) = lives
            .iter()
            .enumerate()
            .filter_map(|(b, life)| {
                let life = if keep { 0..end + 1 } else { life.clone()? };
                let is_used = lives[b].is_some();
                is_used.then(|| (b, (self.buffers[b].layout.bytes(), life)))
            })
            .unzip();
        let (places, tensors) = by_lifetime(&blocks, self.accelerator);
        let mut offsets = vec![0; self.buffers.len()];
        for (&b, place) in used.iter().zip(places) {
            offsets[b] = place;
        }
        let offset = |b: BufferId| {
            let (root, distance) = self.buffers[b].root;
            offsets[root] + distance
        };
        let info = |b: BufferId| TensorInfo {
            offset: offset(b),
            ..self.info(b)
        };
        let steps: Vec<Step> = self.planned.iter().map(|p| p.at(offset)).collect();
        let lasts = |b: BufferId| {
            let life = &lives[self.buffers[b].root.0];
            life.as_ref().is_some_and(|l| l.end > end)
        };
        let port = |p: &cnna_net::Port| PortInfo {
            name: p.name.clone(),
            array: p.array.clone(),
            tensor: info(p.tensor),
        };
        // Pauses: where the host computes between two steps. What it does before the first or behind the last is none.
        let mut breaks: Vec<usize> = self.host.iter().map(|h| h.after).collect();
        breaks.retain(|&b| b > 0 && b < self.planned.len());
        breaks.dedup();
        let segment = |step: usize| breaks.partition_point(|&b| b <= step);
        let host = self.host.iter().map(|h| {
            let n = &self.graph.nodes[h.node];
            HostStep {
                node: h.node,
                name: n.name.clone(),
                operator: n.op.name().into(),
                reason: h.reason.clone(),
                after: match h.after {
                    0 => 0,
                    after => segment(after - 1) + 1,
                },
                inputs: n.inputs.iter().map(|&t| info(t)).collect(),
                output: info(n.output),
            }
        });
        let host = host.collect();
        let mut layers: Vec<LayerInfo> = self
            .layers
            .iter()
            .map(|l| {
                let first = &self.graph.nodes[l.nodes[0]];
                let shape = |t: &TensorId| self.graph.tensors[*t].shape;
                let output = l.output;
                let last = *l.nodes.last().expect("a layer has a node");
                let inner = l.inner.iter().map(|&(node, output)| InnerResult {
                    node,
                    output: info(output),
                    lasting: keep || lasts(output),
                });
                let last = &self.graph.nodes[last];
                LayerInfo {
                    name: match l.turns {
                        false => first.name.clone(),
                        true => format!("{}..{}", first.name, last.name),
                    },
                    inner: inner.collect(),
                    nodes: l.nodes.clone(),
                    mode: Mode::Pool,
                    macs: l
                        .nodes
                        .iter()
                        .map(|&n| self.graph.macs(&self.graph.nodes[n]))
                        .sum(),
                    input: first.inputs.first().map_or(shape(&first.output), shape),
                    output: info(l.output),
                    segment: 0,
                    lasting: keep || lasts(output),
                    record: 0,
                }
            })
            .collect();
        let mut begun = vec![false; layers.len()];
        for (i, s) in steps.iter().enumerate() {
            let layer = &mut layers[s.layer];
            layer.segment = segment(i);
            // The first step says how the layer runs, the last one's mark ends it.
            if !std::mem::replace(&mut begun[s.layer], true) {
                layer.mode = s.form.mode();
            }
            layer.record = s.record;
        }
        Lowered {
            steps,
            placer: Placer {
                accelerator: self.accelerator,
                arena: self.placer.arena.clone(),
                blocks: self.placer.blocks.clone(),
            },
            inputs: self.graph.inputs.iter().map(port).collect(),
            outputs: self.graph.outputs.iter().map(port).collect(),
            layers,
            host,
            breaks,
            records: self.records.bytes(),
            tensors,
        }
    }
}

impl Lowered<'_, '_> {
    /// The stream for `images` images, and how many of its commands come before each pause.
    pub fn stream(&self, images: usize) -> Result<(Vec<Entry>, Vec<usize>), CompileError> {
        let images = Images {
            count: images,
            pitch: self.tensors,
        };
        let (mut all, mut breaks) = (Vec::new(), Vec::new());
        let starts = std::iter::once(0).chain(self.breaks.iter().copied());
        let ends = self.breaks.iter().copied().chain([self.steps.len()]);
        for (from, to) in starts.zip(ends) {
            if from > 0 {
                breaks.push(all.len());
            }
            let base = all.len();
            let part = step::stream(&self.steps[from..to], images, self.placer.accelerator)?;
            all.extend(part.into_iter().map(|mut e| {
                e.after = e.after.map(|a| a.map(|i| i + base));
                e
            }));
        }
        Ok((all, breaks))
    }

    /// The window's map for streams of so many commands, with tensors for `images` images.
    pub fn map(&self, commands: &[usize], images: usize) -> Map {
        Map::new(&Sizes {
            commands,
            weights: self.placer.arena.bytes(),
            records: self.records,
            tensors: self.tensors * images,
        })
    }
}
