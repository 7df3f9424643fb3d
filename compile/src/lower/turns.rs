//! Which neighbouring steps take turns: those that then end sooner. And where all weights lie, once every form is known.

use super::Build;
use super::chains::{Search, Turned};
use crate::error::CompileError;
use crate::memory::Placer;
use crate::mode::{conv, rows, vector};
use crate::options::Use;
use crate::step::{Form, Step};
use cnna_machine::config::BEAT_WORDS;

/// Most steps of a chain.
const LONGEST: usize = 4;
/// Beats of a tensor between two steps from which on its way to memory and back is worth a look.
const LARGE: usize = 4096;

impl<'b, 'a> Build<'b, 'a> {
    /// Lets neighbours take turns where that is faster by the cost of the steps alone, or wherever they can. Each chain becomes one
    /// layer.
    pub fn take_turns(&mut self) -> Result<(), CompileError> {
        let count = self.planned.len();
        // The cycles gained by the best chains of the steps from each on, and the first of these chains.
        let mut gains = vec![0; count + 1];
        let mut chains: Vec<Option<(usize, Turned)>> = vec![None; count];
        let may = self.options.local != Use::Never && !self.options.keep;
        let alone: Vec<bool> = (1..count)
            .map(|i| may && self.is_for_next_alone(i - 1))
            .collect();
        let mut search = Search::new(alone);
        for i in (0..count).rev() {
            gains[i] = gains[i + 1];
            for n in 2..=LONGEST {
                if i + n > count || !self.follows(i + n - 2) {
                    break;
                }
                let Some(turned) = search.chain(self, i..i + n)? else {
                    continue;
                };
                if turned.gain + gains[i + n] > gains[i] {
                    gains[i] = turned.gain + gains[i + n];
                    chains[i] = Some((n, turned));
                }
            }
        }
        let mut i = 0;
        while i < count {
            match chains[i].take() {
                Some((n, turned)) => {
                    let steps = search.steps(self, i..i + n, turned);
                    self.join(i, steps);
                    i += n;
                }
                None => i += 1,
            }
        }
        Ok(())
    }

    /// True when rows of step `i + 1` need no other rows than those that step `i` has made, with no pause between, and both are
    /// layers of their own.
    pub(super) fn follows(&self, i: usize) -> bool {
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
    pub(super) fn is_for_next_alone(&self, i: usize) -> bool {
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
