//! Which neighbouring steps take turns: those that then end sooner. And where all weights lie, once every form is known.

use super::Build;
use crate::error::CompileError;
use crate::memory::{Images, Placer};
use crate::mode::{conv, pool, rows, vector};
use crate::options::Use;
use crate::stage::{Kind, Stage};
use crate::step::{self, Form, Step};
use crate::{cost, turns};
use cnna_machine::config::BEAT_WORDS;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

/// Most steps of a chain.
const LONGEST: usize = 4;
/// A gain below one part in so many of the cycles is within the estimate's error.
const MARGIN: u64 = 32;
/// Beats of a tensor between two steps from which on its way to memory and back is worth a look.
const LARGE: usize = 4096;

/// Rows of a turn: all that there are.
const ALL_ROWS: usize = usize::MAX;

/// The cheapest form of each step of which so many rows can be made in turn: (step, rows).
type Forms<'a> = BTreeMap<(usize, usize), Option<Form<'a>>>;

impl<'b, 'a> Build<'b, 'a> {
    /// Lets neighbours take turns where that is faster by the cost of the steps alone, or wherever they can. Each chain becomes one
    /// layer.
    pub fn take_turns(&mut self) -> Result<(), CompileError> {
        let count = self.planned.len();
        // The cycles gained by the best chains of the steps from each on, and the first of these chains.
        let mut gains = vec![0; count + 1];
        let mut chains: Vec<Option<Vec<Step<'a>>>> = vec![None; count];
        let mut forms = Forms::new();
        let may = self.options.local != Use::Never && !self.options.keep;
        let alone: Vec<bool> = (1..count)
            .map(|i| may && self.is_for_next_alone(i - 1))
            .collect();
        for i in (0..count).rev() {
            gains[i] = gains[i + 1];
            for n in 2..=LONGEST {
                if i + n > count || !self.follows(i + n - 2) {
                    break;
                }
                let steps = self.steps(i..i + n);
                let apart = self.cycles(&steps)?;
                let Some((cycles, turns)) = self.in_turns(i, &steps, &alone, &mut forms)? else {
                    continue;
                };
                let gain = match self.options.turns {
                    Use::Always => n as u64 - 1,
                    _ if apart < cycles + apart / MARGIN => 0,
                    _ => apart - cycles,
                };
                if gain > 0 && gain + gains[i + n] > gains[i] {
                    gains[i] = gain + gains[i + n];
                    chains[i] = Some(turns);
                }
            }
        }
        let mut i = 0;
        while i < count {
            match chains[i].take() {
                Some(steps) => {
                    let next = i + steps.len();
                    self.join(i, steps);
                    i = next;
                }
                None => i += 1,
            }
        }
        Ok(())
    }

    /// True when rows of step `i + 1` need no other rows than those that step `i` has made, with no pause between, and both are
    /// layers of their own.
    fn follows(&self, i: usize) -> bool {
        let (p, next) = (&self.planned[i], &self.planned[i + 1]);
        let of_layer = |layer| {
            let of = self.planned.iter().filter(|p| p.step.layer == layer);
            of.count()
        };
        let [from] = next.inputs[..] else {
            return false;
        };
        let (made, read) = (&self.buffers[p.output], &self.buffers[from]);
        let (m, r) = (&made.layout, &read.layout);
        // The same rows of the same memory: all of what is made, a part of it, or that and what was made before.
        let row = |b: &super::Buffer| b.root.1 / b.layout.row_bytes;
        let rows = (made.root.0, m.shape.h, m.row_bytes, row(made))
            == (read.root.0, r.shape.h, r.row_bytes, row(read));
        // A residual that a step before made is then made as far.
        let residual = next.residual.is_none_or(|b| self.shape(b).h == m.shape.h);
        let beats = m.bytes() / (BEAT_WORDS * m.word_bytes);
        let forms = [p, next].map(|p| &p.step.form);
        let have_turns = forms
            .iter()
            .all(|f| matches!(f, Form::Conv(..) | Form::Pool));
        rows && residual
            && have_turns
            && next.step.stage.sources.len() == 1
            && (beats >= LARGE || self.options.turns == Use::Always)
            && self.host.iter().all(|h| h.after != i + 1)
            && [p, next].iter().all(|p| of_layer(p.step.layer) == 1)
    }

    /// True when nobody but step `i + 1` reads what step `i` makes, which is a whole tensor.
    fn is_for_next_alone(&self, i: usize) -> bool {
        let (p, next) = (&self.planned[i], &self.planned[i + 1]);
        let root = |b: super::BufferId| self.buffers[b].root.0;
        let of = root(p.output);
        let reads = |p: &super::Planned| p.reads().any(|&b| root(b) == of);
        let all = self.planned.iter().enumerate();
        let mut others =
            all.filter(|(j, p)| root(p.output) == of && *j != i || reads(p) && *j != i + 1);
        let node = |n: usize| {
            let n = &self.graph.nodes[n];
            n.inputs.iter().chain([&n.output]).any(|&t| root(t) == of)
        };
        let mut ports = self.graph.inputs.iter().chain(&self.graph.outputs);
        let whole = &next.step.stage.sources[0].channels;
        self.is_same(p.output, next.inputs[0])
            && *whole == (0..self.shape(p.output).c)
            && next.residual.is_none_or(|b| root(b) != of)
            && others.next().is_none()
            && !self.host.iter().any(|h| node(h.node))
            && !ports.any(|p| root(p.tensor) == of)
    }

    /// Steps for an estimate: with addresses of its own for each tensor, as far as 32 bits have room for them.
    fn steps(&self, range: Range<usize>) -> Vec<Step<'a>> {
        let place = |b: usize| {
            let (root, distance) = self.buffers[b].root;
            ((root % 200) << 24) + distance
        };
        self.planned[range].iter().map(|p| p.at(place)).collect()
    }

    fn cycles(&self, steps: &[Step<'a>]) -> Result<u64, CompileError> {
        let one = Images { count: 1, pitch: 0 };
        Ok(cost::cycles(
            &step::stream(steps, one, self.accelerator)?,
            self.board,
        ))
    }

    /// The same steps, from step `first` on, in turns, and their cycles; `None` where the buffers are too small. `alone`: of which of
    /// all steps the results may stay on chip.
    fn in_turns(
        &self,
        first: usize,
        steps: &[Step<'a>],
        alone: &[bool],
        forms: &mut Forms<'a>,
    ) -> Result<Option<(u64, Vec<Step<'a>>)>, CompileError> {
        let a = self.accelerator;
        let mut best: Option<(u64, Vec<Step<'a>>)> = None;
        let sizes = [2, 4, 8, 16, ALL_ROWS].into_iter().flat_map(|rows| {
            // Bit i: step i makes half of these rows a turn.
            let halves = match self.options.uneven && rows != ALL_ROWS {
                true => 0..(1usize << steps.len()) - 1,
                false => 0..1,
            };
            halves.map(move |h| (rows, h))
        });
        for (rows, halves) in sizes {
            let mut all = Vec::new();
            for (i, s) in steps.iter().enumerate() {
                let rows = if halves >> i & 1 == 1 { rows / 2 } else { rows };
                let form = match forms.entry((first + i, rows)) {
                    Entry::Occupied(e) => e.into_mut(),
                    Entry::Vacant(e) => e.insert(self.rows_in_turn(&s.stage, rows)?),
                };
                let Some(form) = form.clone() else {
                    break;
                };
                all.push(Step {
                    form,
                    turns: i + 1 < steps.len(),
                    ..s.clone()
                });
            }
            if all.len() < steps.len() {
                continue;
            }
            let hops: Vec<usize> = (0..steps.len() - 1)
                .filter(|&i| alone[first + i] && turns::can_stay([&all[i], &all[i + 1]], a))
                .collect();
            // Each choice of hops that stay, all of them first.
            for choice in (0..1 << hops.len()).rev() {
                let mut these = all.clone();
                for (bit, &i) in hops.iter().enumerate() {
                    these[i].local = choice >> bit & 1 == 1;
                }
                if !turns::fits(&these, a) {
                    continue;
                }
                let cycles = match self.cycles(&these) {
                    Ok(cycles) => cycles,
                    // Turns that would wait for each other.
                    Err(_) if choice > 0 => continue,
                    Err(e) => return Err(e),
                };
                if best.as_ref().is_none_or(|b| cycles < b.0) {
                    best = Some((cycles, these));
                }
                if self.options.local == Use::Always {
                    break;
                }
            }
        }
        Ok(best)
    }

    /// The cheapest form of a stage of which so many rows can be made in turn.
    fn rows_in_turn(&self, s: &Stage<'a>, rows: usize) -> Result<Option<Form<'a>>, CompileError> {
        let a = self.accelerator;
        let l = match &s.kind {
            Kind::Linear(l) => l,
            Kind::Pool => return Ok(pool::takes_turns(s, a).then_some(Form::Pool)),
        };
        let place = |t: &conv::Tiling| conv::place(l, t, &mut Placer::new(a));
        let mut all = self.tilings(s, l);
        let in_one = rows == ALL_ROWS;
        all.retain(|t| match in_one {
            true => conv::is_one_turn(s, t),
            false => conv::rows_of_turn(s, t) == rows,
        });
        all.retain(|t| {
            let weights = place(t);
            (in_one || weights.staying().is_some()) && conv::takes_turns(s, t, &weights)
        });
        let best = self.cheapest(s, l, all, |_| 0)?;
        Ok(best.map(|t| {
            let weights = place(&t);
            Form::Conv(l.clone(), t, weights)
        }))
    }

    /// Makes these forms those of the steps from `i` on, and one layer of theirs.
    fn join(&mut self, i: usize, steps: Vec<Step<'a>>) {
        let n = steps.len();
        let layer = self.planned[i].step.layer;
        for (p, s) in self.planned[i..].iter_mut().zip(steps) {
            p.step.form = s.form;
            p.step.turns = s.turns;
            p.step.local = s.local;
            p.step.layer = layer;
        }
        for p in &mut self.planned[i + n..] {
            p.step.layer -= n - 1;
        }
        let others: Vec<_> = self.layers.drain(layer + 1..layer + n).collect();
        let joined = &mut self.layers[layer];
        joined.turns = true;
        for (other, p) in others.into_iter().zip(&self.planned[i..]) {
            let last = *joined.nodes.last().expect("a layer has a node");
            if !p.step.local {
                joined.inner.push((last, joined.output));
            }
            joined.nodes.extend(other.nodes);
            joined.output = other.output;
        }
    }

    /// Gives the weights of all steps their places.
    pub fn place_weights(&mut self) -> Result<(), CompileError> {
        let mut placer = Placer::new(self.accelerator);
        for p in &mut self.planned {
            let stage = &p.step.stage;
            match &mut p.step.form {
                Form::Conv(l, t, weights) => *weights = conv::place(l, t, &mut placer),
                Form::Vector(l, weights) => *weights = vector::place(stage, l, &mut placer),
                Form::Rows(l, _, weights) => *weights = rows::place(stage, l, &mut placer)?,
                Form::Pool => {}
            }
        }
        self.placer = placer;
        Ok(())
    }
}
