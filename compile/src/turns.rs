//! Convolutions of one layer in turns, a stripe of rows each: one reads what the one before it has stored, while that one goes on.
//! So what the one has to read and the other to write goes to memory and back at the same time.

use crate::jobs::Jobs;
use crate::memory::{Fills, Images};
use crate::mode::conv;
use crate::step::{self, Step};
use crate::weights::Form;
use cnna_machine::Accelerator;

/// Appends the jobs of steps of which each reads the output of the one before it, and no other has it as its only input.
///
/// All are convolutions that [`conv::takes_turns`].
pub fn schedule(steps: &[Step], images: Images, a: &Accelerator, jobs: &mut Jobs) {
    let mut forms: Vec<_> = steps
        .iter()
        .map(|s| match &s.form {
            step::Form::Conv(l, t, weights) => {
                let mut weights = weights.clone();
                weights.stay();
                (l, t, weights)
            }
            _ => unreachable!("only convolutions take turns"),
        })
        .collect();
    // What stays must not lie round the buffer's end, where another's would overwrite it.
    let [weights, biases] = forms
        .iter()
        .filter_map(|f| f.2.staying())
        .fold([0, 0], |a, b| [a[0] + b[0], a[1] + b[1]]);
    jobs.weight_ring.reserve(weights);
    jobs.bias_ring.reserve(biases);
    for n in 0..images.count {
        let stages: Vec<_> = steps
            .iter()
            .map(|s| s.stage.moved(n * images.pitch))
            .collect();
        // All fills are in use at once, so they lie beside each other. Rows of the turn after the next where there is room.
        jobs.fills = Fills::new(a.act_depth);
        let lines = |i: usize, spare| {
            let (l, t, _) = &forms[i];
            conv::turn_lines(&stages[i], l, t, spare, a)
        };
        let paired = forms.iter().any(|f| f.1.form == Form::Pairs);
        let mut room = a.act_depth / (1 + usize::from(paired));
        let mut spare = vec![0; steps.len()];
        room = room.saturating_sub((0..steps.len()).map(|i| lines(i, 0)).sum());
        for i in (0..steps.len()).rev() {
            let more = lines(i, 1) - lines(i, 0);
            if more <= room {
                (spare[i], room) = (1, room - more);
            }
        }
        let mut turns: Vec<_> = stages
            .iter()
            .zip(&mut forms)
            .zip(spare)
            .map(|((s, (l, t, weights)), spare)| conv::Turns::new(s, l, t, weights, spare, a, jobs))
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
            match fence {
                Some(_) => {
                    let before = jobs.wait_for(fence);
                    turns[i].turn(jobs);
                    jobs.wait_for(before);
                }
                None => turns[i].turn(jobs),
            }
            if i + 1 < steps.len() {
                // Loads come a turn after what they read, behind those of this step's turn.
                if let Some(&(rows, fence)) = made[i].last() {
                    let before = jobs.wait_for(Some(fence));
                    turns[i + 1].load(rows, jobs);
                    jobs.wait_for(before);
                }
                made[i].push((turns[i].made(), jobs.fence()));
            }
        }
    }
}
