//! How fast a chain of neighbouring steps is in turns, at best: with how many rows each, and which results stay on chip.

use super::stages::Choice;
use super::{BufferId, Build};
use crate::cost::{self, MARGIN, Share};
use crate::error::CompileError;
use crate::jobs::Jobs;
use crate::memory::{Images, Placer};
use crate::mode::{choice, conv, pool};
use crate::options::{Options, Use};
use crate::stage::{Kind, Stage};
use crate::step::{self, Form, Step};
use crate::turns;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Rows of a turn to try, each twice those before it: all that there are last.
const ROWS: [usize; 5] = [2, 4, 8, 16, ALL_ROWS];
const ALL_ROWS: usize = usize::MAX;

/// The cheapest tiling of a stage of which so many rows can be made in turn, and what it shares with others; a maximum has no
/// tiling.
type InTurn = Option<(Option<conv::Tiling>, Share)>;

/// Rows that the steps of a chain make in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Index into [`ROWS`].
    rows: usize,
    /// Steps that make half of them, a bit each.
    halves: usize,
}

impl Size {
    /// Those to try with so many steps.
    fn all(steps: usize, options: &Options) -> Vec<Size> {
        let uneven = |rows: usize| options.uneven && rows > 0 && ROWS[rows] != ALL_ROWS;
        (0..ROWS.len())
            .flat_map(|rows| {
                let halves = if uneven(rows) { (1 << steps) - 1 } else { 1 };
                (0..halves).map(move |halves| Size { rows, halves })
            })
            .collect()
    }

    /// The index into [`ROWS`] of the chain's step `i`.
    fn of(self, i: usize) -> usize {
        self.rows - (self.halves >> i & 1)
    }
}

/// How a chain runs best.
#[derive(Clone, Copy, Debug)]
pub struct Turned {
    /// Cycles less than its steps take apart, more than none; where chains are wished for, their steps but one.
    pub gain: u64,
    size: Size,
    /// Steps whose results stay on chip, a bit each.
    local: usize,
}

/// All that the cycles of a step depend on, alone and in turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StepKind {
    choice: Choice,
    chosen: Option<conv::Tiling>,
}

/// All that the cycles of a chain depend on. Networks repeat their blocks, at other addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    kind: usize,
    /// Its tensors' memory, by the order in which the chain meets them, and their distances within.
    tensors: Vec<(usize, usize)>,
    /// The first step of the chain with the same activation set.
    set: usize,
    /// Its results may stay on chip.
    alone: bool,
}

/// One way to run a chain.
struct Candidate {
    /// No stream of it takes less.
    least: u64,
    /// Index into those to try.
    size: usize,
    local: usize,
}

/// What was found so far.
pub struct Search {
    /// Of which of all steps the results may stay on chip.
    alone: Vec<bool>,
    kinds: HashMap<StepKind, usize>,
    /// Of each step that was looked at.
    kind_of: BTreeMap<usize, usize>,
    /// By kind.
    in_turn: HashMap<usize, [InTurn; ROWS.len()]>,
    chains: HashMap<Vec<Link>, Option<Turned>>,
}

impl Search {
    /// For the steps of which the results may stay on chip, or not.
    pub fn new(alone: Vec<bool>) -> Self {
        Search {
            alone,
            kinds: HashMap::new(),
            kind_of: BTreeMap::new(),
            in_turn: HashMap::new(),
            chains: HashMap::new(),
        }
    }

    /// These steps in turns; `None` where they gain nothing, or the buffers are too small.
    pub fn chain(
        &mut self,
        b: &Build,
        range: Range<usize>,
    ) -> Result<Option<Turned>, CompileError> {
        for i in range.clone() {
            self.look(b, i)?;
        }
        let links = self.links(b, range.clone());
        if let Some(known) = self.chains.get(&links) {
            return Ok(*known);
        }
        let best = self.best(b, range)?;
        self.chains.insert(links, best);
        Ok(best)
    }

    /// The steps of a chain that was found.
    pub fn steps<'a>(
        &self,
        b: &Build<'_, 'a>,
        range: Range<usize>,
        turned: Turned,
    ) -> Vec<Step<'a>> {
        let apart = b.steps(range.clone());
        let mut steps = self.turned(b, range, &apart, turned.size);
        keep(&mut steps, turned.local);
        steps
    }

    /// Learns how a step can take turns.
    fn look(&mut self, b: &Build, i: usize) -> Result<(), CompileError> {
        if self.kind_of.contains_key(&i) {
            return Ok(());
        }
        let step = &b.planned[i].step;
        let tilings = match &step.stage.kind {
            Kind::Linear(l) => b.tilings(&step.stage, l),
            Kind::Pool => Vec::new(),
        };
        let kind = StepKind {
            choice: Choice::new(&step.stage, tilings.clone(), b.accelerator),
            chosen: match &step.form {
                Form::Conv(_, t, _) => Some(t.clone()),
                _ => None,
            },
        };
        let next = self.kinds.len();
        let kind = *self.kinds.entry(kind).or_insert(next);
        self.kind_of.insert(i, kind);
        if let std::collections::hash_map::Entry::Vacant(e) = self.in_turn.entry(kind) {
            e.insert(b.in_turn(&step.stage, tilings)?);
        }
        Ok(())
    }

    fn links(&self, b: &Build, range: Range<usize>) -> Vec<Link> {
        let mut met: Vec<BufferId> = Vec::new();
        let mut sets = Vec::new();
        range
            .map(|i| {
                let p = &b.planned[i];
                let all = p.reads().chain([&p.output]);
                let tensors = all.map(|&t| {
                    let (root, distance) = b.buffers[t].root;
                    let at = met.iter().position(|&m| m == root);
                    let at = at.unwrap_or_else(|| {
                        met.push(root);
                        met.len() - 1
                    });
                    (at, distance)
                });
                let tensors = tensors.collect();
                let words = p.step.form.weights().and_then(|w| w.set_words());
                sets.push(words);
                let same = |w: &Option<&_>| *w == words;
                Link {
                    kind: self.kind_of[&i],
                    tensors,
                    set: sets.iter().position(same).unwrap_or(0),
                    alone: self.alone.get(i).copied().unwrap_or(false),
                }
            })
            .collect()
    }

    fn best(&self, b: &Build, range: Range<usize>) -> Result<Option<Turned>, CompileError> {
        let steps = b.steps(range.clone());
        let sizes = Size::all(steps.len(), &b.options);
        let mut turned: Vec<_> = sizes
            .iter()
            .map(|&size| self.turned(b, range.clone(), &steps, size))
            .collect();
        let mut all = Vec::new();
        for (at, turned) in turned.iter_mut().enumerate() {
            if turned.len() == steps.len() {
                let ways = self.candidates(b, range.start, sizes[at], turned);
                all.extend(ways.into_iter().map(|(least, local)| Candidate {
                    least,
                    size: at,
                    local,
                }));
            }
        }
        if all.is_empty() {
            return Ok(None);
        }
        let Options { turns, local, .. } = b.options;
        let apart = match turns {
            Use::Always => u64::MAX,
            _ => b.cycles(&steps)?,
        };
        // More is no gain.
        let limit = apart - apart / MARGIN;
        let mut order: Vec<usize> = (0..all.len()).collect();
        if local != Use::Always {
            order.sort_by_key(|&at| all[at].least);
        }
        // Cycles, and which candidate: of equal ones the first.
        let mut best: Option<(u64, usize)> = None;
        let mut done = vec![false; sizes.len()];
        for at in order {
            let c = &all[at];
            let beaten = best.is_some_and(|best| (c.least, at) > best);
            // Where results are to stay on chip, as many as can.
            let enough = local == Use::Always && done[c.size];
            if beaten || enough || c.least > limit {
                continue;
            }
            let these = &mut turned[c.size];
            keep(these, c.local);
            let cycles = match b.cycles(these) {
                Ok(cycles) => cycles,
                // Turns that would wait for each other.
                Err(_) if c.local > 0 => continue,
                Err(e) => return Err(e),
            };
            done[c.size] = true;
            if best.is_none_or(|best| (cycles, at) < best) {
                best = Some((cycles, at));
            }
        }
        let Some((cycles, at)) = best.filter(|(cycles, _)| *cycles <= limit) else {
            return Ok(None);
        };
        let gain = match turns {
            Use::Always => range.len() as u64 - 1,
            _ => apart - cycles,
        };
        let Candidate { size, local, .. } = all[at];
        let size = sizes[size];
        Ok((gain > 0).then_some(Turned { gain, size, local }))
    }

    /// The ways that the buffers have room for, of steps that make so many rows in turn, those with most local results first: what
    /// each takes at least, and the steps whose results stay on chip.
    fn candidates(
        &self,
        b: &Build,
        first: usize,
        size: Size,
        steps: &mut [Step],
    ) -> Vec<(u64, usize)> {
        let mut all = Vec::new();
        let a = b.accelerator;
        let hops: Vec<usize> = (0..steps.len() - 1)
            .filter(|&i| self.alone[first + i] && turns::can_stay([&steps[i], &steps[i + 1]], a))
            .collect();
        for choice in (0..1usize << hops.len()).rev() {
            let bits = hops.iter().enumerate();
            let local = bits.fold(0, |l, (bit, i)| l | (choice >> bit & 1) << i);
            keep(steps, local);
            if !turns::fits(steps, a) {
                continue;
            }
            let shares = steps.iter().enumerate().map(|(i, s)| {
                let (_, share) = self
                    .in_turn(first + i, size.of(i))
                    .as_ref()
                    .expect("it has a form");
                let share = match s.local {
                    true => share.with_local_results(),
                    false => *share,
                };
                match i > 0 && steps[i - 1].local {
                    true => share.with_local_rows(),
                    false => share,
                }
            });
            all.push((Share::at_least(shares, b.board), local));
        }
        all
    }

    fn in_turn(&self, i: usize, rows: usize) -> &InTurn {
        &self.in_turn[&self.kind_of[&i]][rows]
    }

    /// The steps that can make so many rows in turn, up to the first that cannot.
    fn turned<'a>(
        &self,
        b: &Build<'_, 'a>,
        range: Range<usize>,
        apart: &[Step<'a>],
        size: Size,
    ) -> Vec<Step<'a>> {
        let (first, last) = (range.start, range.end - 1);
        range
            .zip(apart)
            .map_while(|(i, s)| {
                let (tiling, _) = self.in_turn(i, size.of(i - first)).as_ref()?;
                Some(Step {
                    form: b.form_of(&s.stage, tiling.as_ref()),
                    turns: i < last,
                    ..s.clone()
                })
            })
            .collect()
    }
}

/// Lets the results of these steps stay on chip, a bit each.
fn keep(steps: &mut [Step], local: usize) {
    for (i, s) in steps.iter_mut().enumerate() {
        s.local = local >> i & 1 == 1;
    }
}

impl<'b, 'a> Build<'b, 'a> {
    /// Steps for an estimate: with addresses of its own for each tensor, as far as 32 bits have room for them.
    fn steps(&self, range: Range<usize>) -> Vec<Step<'a>> {
        let mut met: Vec<BufferId> = Vec::new();
        let mut place = |b: usize| {
            let (root, distance) = self.buffers[b].root;
            let at = met.iter().position(|&m| m == root).unwrap_or_else(|| {
                met.push(root);
                met.len() - 1
            });
            (at << 27) + distance
        };
        let steps = self.planned[range].iter();
        steps.map(|p| p.at(&mut place)).collect()
    }

    fn cycles(&self, steps: &[Step<'a>]) -> Result<u64, CompileError> {
        let one = Images { count: 1, pitch: 0 };
        Ok(cost::cycles(
            &step::stream(steps, one, self.accelerator)?,
            self.board,
        ))
    }

    /// A stage in a tiling, a maximum without; its weights lie somewhere.
    fn form_of(&self, s: &Stage<'a>, tiling: Option<&conv::Tiling>) -> Form<'a> {
        match (&s.kind, tiling) {
            (Kind::Linear(l), Some(t)) => {
                let weights = conv::place(l, t, &mut Placer::new(self.accelerator));
                Form::Conv(l.clone(), t.clone(), weights)
            }
            _ => Form::Pool,
        }
    }

    /// For each of [`ROWS`] the cheapest of these tilings of a stage of which so many rows can be made in turn.
    fn in_turn(
        &self,
        s: &Stage<'a>,
        tilings: Vec<conv::Tiling>,
    ) -> Result<[InTurn; ROWS.len()], CompileError> {
        let a = self.accelerator;
        let mut found: [InTurn; ROWS.len()] = Default::default();
        let l = match &s.kind {
            Kind::Linear(l) => l,
            Kind::Pool => {
                if pool::takes_turns(s, a) {
                    let mut jobs = Jobs::new(a);
                    pool::schedule(s, a, &mut jobs)?;
                    found.fill(Some((None, Share::of_pool(&jobs, self.board))));
                }
                return Ok(found);
            }
        };
        let able = tilings.into_iter().filter_map(|t| {
            let weights = conv::place(l, &t, &mut Placer::new(a));
            let stays = weights.staying().is_some();
            conv::takes_turns(s, &t, &weights).then_some((t, stays))
        });
        let able: Vec<_> = able.collect();
        // What tilings cost that are like these.
        let mut known: Vec<(Vec<conv::Tiling>, usize, Share)> = Vec::new();
        for (found, rows) in found.iter_mut().zip(ROWS) {
            let of_rows = able.iter().filter(|(t, stays)| match rows {
                ALL_ROWS => conv::is_one_turn(s, t),
                _ => *stays && conv::rows_of_turn(s, t) == rows,
            });
            let all: Vec<_> = of_rows.map(|(t, _)| t.clone()).collect();
            let like: Vec<_> = all.iter().map(|t| choice::alike(t, l)).collect();
            if let Some((_, at, share)) = known.iter().find(|k| k.0 == like) {
                *found = Some((Some(all[*at].clone()), *share));
                continue;
            }
            let Some(t) = self.cheapest(s, l, all.clone(), |_| 0, 0)? else {
                continue;
            };
            let share = Share::of_conv(&self.alone(s, l, &t), self.board);
            let at = all.iter().position(|other| *other == t);
            known.push((like, at.expect("it is one of them"), share));
            *found = Some((Some(t), share));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnna_machine::Board;

    /// Every chain of two real networks on a machine with room and on one without, with every choice of rows and of local results.
    #[test]
    fn no_chain_takes_less_than_its_bound_and_like_chains_take_the_same() {
        let (mut seen, mut near, mut known) = (0, 0, 0);
        for (network, board) in [("zoo:mobilenet-v2", "ultra96"), ("zoo:resnet18", "pynq-z2")] {
            let board = Board::load(board, &[]).expect("it is built in");
            let graph = cnna_net::zoo::network(network, 1, board.accelerator.word);
            let graph = graph.expect("it is in the zoo");
            let options = Options {
                turns: Use::Never,
                uneven: true,
                ..Options::default()
            };
            let b = Build::run(&graph, &board, &options).expect("it can be built");
            let count = b.planned.len();
            let alone = || (1..count).map(|i| b.is_for_next_alone(i - 1)).collect();
            let mut all = Search::new(alone());
            for i in 0..count - 2 {
                if !(b.follows(i) && b.follows(i + 1)) {
                    continue;
                }
                let before = all.chains.len();
                all.chain(&b, i..i + 3).expect("it has a schedule");
                let steps = b.steps(i..i + 3);
                for size in Size::all(3, &options) {
                    let mut turned = all.turned(&b, i..i + 3, &steps, size);
                    let candidates = match turned.len() {
                        3 => all.candidates(&b, i, size, &mut turned),
                        _ => Vec::new(),
                    };
                    for (least, local) in candidates {
                        keep(&mut turned, local);
                        let Ok(cycles) = b.cycles(&turned) else {
                            continue;
                        };
                        assert!(least <= cycles, "{network} {i}: {least} > {cycles}");
                        near += usize::from(10 * cycles < 13 * least);
                        seen += 1;
                    }
                }
                if all.chains.len() == before {
                    known += 1;
                    let mut anew = Search::new(alone());
                    let found = |t: Option<Turned>| t.map(|t| (t.gain, t.size, t.local));
                    let again = anew.chain(&b, i..i + 3).expect("it has a schedule");
                    assert_eq!(found(again), found(all.chain(&b, i..i + 3).expect("known")));
                }
            }
        }
        assert!(
            seen > 50 && 2 * near > seen && known > 0,
            "{seen} {near} {known}"
        );
    }
}
