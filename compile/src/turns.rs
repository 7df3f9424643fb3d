//! Steps of one layer in turns, a stripe of rows each: one reads what the one before it has stored, while that one goes on. So what
//! the one has to read and the other to write goes to memory and back at the same time.

use crate::jobs::Jobs;
use crate::linear::Linear;
use crate::memory::{Fills, Images};
use crate::mode::{conv, pool};
use crate::stage::Stage;
use crate::step::{Form, Step};
use crate::weights::{self, Weights};
use cnna_machine::Accelerator;
use cnna_machine::isa::SETS;

/// A stage whose rows are made from the top, some a turn.
pub trait Turn {
    /// True after the last turn.
    fn is_done(&self) -> bool;
    /// The end of the map's rows that the next turn reads, of which there must be one.
    fn reads(&self) -> usize;
    /// Lists the loads of rows up to `end` as far as the buffer has room for them beside those of the next turn.
    fn load(&mut self, end: usize, jobs: &mut Jobs);
    /// Rows of the output that are made.
    fn made(&self) -> usize;
    /// Appends the jobs of the next turn.
    fn turn(&mut self, jobs: &mut Jobs);
}

/// A step's form, with weights that stay.
enum Member<'s> {
    Conv(&'s Linear<'s>, &'s conv::Tiling, Box<Weights>),
    Pool,
}

impl<'s> Member<'s> {
    fn new(form: &'s Form) -> Self {
        match form {
            Form::Conv(l, t, weights) => {
                let mut weights = Box::new(weights.clone());
                weights.stay();
                Member::Conv(l, t, weights)
            }
            Form::Pool => Member::Pool,
            _ => unreachable!("no other form takes turns"),
        }
    }

    fn lines(&self, s: &Stage, spare: usize, a: &Accelerator) -> usize {
        match self {
            Member::Conv(l, t, _) => conv::turn_lines(s, l, t, spare, a),
            Member::Pool => pool::turn_lines(s, spare, a),
        }
    }

    fn is_paired(&self) -> bool {
        matches!(self, Member::Conv(_, t, _) if t.form == weights::Form::Pairs)
    }

    fn turns<'t>(
        &'t mut self,
        s: &'t Stage<'t>,
        spare: usize,
        a: &'t Accelerator,
        jobs: &mut Jobs,
    ) -> Box<dyn Turn + 't> {
        match self {
            Member::Conv(l, t, weights) => {
                Box::new(conv::Turns::new(s, l, t, weights, spare, a, jobs))
            }
            Member::Pool => Box::new(pool::Turns::new(s, spare, a, jobs)),
        }
    }
}

/// Lines of the activation buffer for the fills of all members together: where one has two sets, those of one set.
fn room(members: &[Member], a: &Accelerator) -> usize {
    a.act_depth / (1 + usize::from(members.iter().any(Member::is_paired)))
}

/// True when the buffers have room for what these steps need at once.
pub fn fits(steps: &[Step], a: &Accelerator) -> bool {
    let members: Vec<_> = steps.iter().map(|s| Member::new(&s.form)).collect();
    let lines = members.iter().zip(steps);
    let lines: usize = lines.map(|(m, s)| m.lines(&s.stage, 0, a)).sum();
    let [weights, biases] = staying(steps);
    let mut sets: Vec<_> = steps
        .iter()
        .filter_map(|s| s.form.weights()?.set_words())
        .collect();
    sets.sort_unstable();
    sets.dedup();
    let stays = weights <= a.weight_depth && biases <= a.bias_depth && sets.len() <= SETS;
    stays && lines <= room(&members, a)
}

/// Rows of weights and of biases that stay in the buffers for these steps.
fn staying(steps: &[Step]) -> [usize; 2] {
    let each = steps.iter().filter_map(|s| s.form.weights()?.staying());
    each.fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
}

/// Appends the jobs of steps of which each reads no rows but those that the one before it has made.
///
/// All of them [`conv::takes_turns`] or [`pool::takes_turns`], and the buffers hold what they need: [`fits`].
pub fn schedule(steps: &[Step], images: Images, a: &Accelerator, jobs: &mut Jobs) {
    let mut members: Vec<_> = steps.iter().map(|s| Member::new(&s.form)).collect();
    // What stays must not lie round the buffer's end, where another's would overwrite it.
    let [weights, biases] = staying(steps);
    jobs.weight_ring.reserve(weights);
    jobs.bias_ring.reserve(biases);
    for n in 0..images.count {
        let stages: Vec<_> = steps
            .iter()
            .map(|s| s.stage.moved(n * images.pitch))
            .collect();
        // All fills are in use at once, so they lie beside each other. Rows of the turn after the next where there is room.
        jobs.fills = Fills::new(a.act_depth);
        let lines = |i: usize, spare| members[i].lines(&stages[i], spare, a);
        let mut spare = vec![0; steps.len()];
        let mut room = room(&members, a) - (0..steps.len()).map(|i| lines(i, 0)).sum::<usize>();
        for i in (0..steps.len()).rev() {
            let more = lines(i, 1) - lines(i, 0);
            if more <= room {
                (spare[i], room) = (1, room - more);
            }
        }
        let mut turns: Vec<_> = stages
            .iter()
            .zip(&mut members)
            .zip(spare)
            .map(|((s, member), spare)| member.turns(s, spare, a, jobs))
            .collect();
        // Of each step: rows made, and the fence behind their stores.
        let mut made: Vec<Vec<(usize, usize)>> = vec![Vec::new(); steps.len()];
        loop {
            // The fence that step `i` waits for in its next turn: one turn of the step before lies between, while which the rows come.
            let fence = |i: usize| {
                let before: &[_] = &made[i.checked_sub(1)?];
                let there = match turns[i - 1].is_done() {
                    true => before,
                    false => &before[..before.len().saturating_sub(1)],
                };
                let reads = turns[i].reads();
                there.iter().find(|(rows, _)| *rows >= reads).map(|f| f.1)
            };
            let left = |i: &usize| !turns[*i].is_done();
            let next = (0..steps.len())
                .rev()
                .filter(left)
                .map(|i| (i, fence(i)))
                .find(|(i, fence)| *i == 0 || fence.is_some());
            let Some((i, fence)) = next else { break };
            jobs.behind(fence, |jobs| turns[i].turn(jobs));
            if i + 1 < steps.len() {
                // Loads come a turn after what they read, behind those of this step's turn.
                if let Some(&(rows, fence)) = made[i].last() {
                    jobs.behind(Some(fence), |jobs| turns[i + 1].load(rows, jobs));
                }
                made[i].push((turns[i].made(), jobs.fence()));
            }
        }
    }
}
