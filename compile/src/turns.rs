//! Steps of one layer in turns, a stripe of rows each: one reads what the one before it has stored, while that one goes on. So what
//! the one has to read and the other to write goes to memory and back at the same time.

use crate::error::CompileError;
use crate::fill::Fill;
use crate::jobs::Jobs;
use crate::linear::Linear;
use crate::memory::{Fills, Images};
use crate::mode::{conv, pool};
use crate::stage::Stage;
use crate::step::{Form, Step};
use crate::weights::{self, Weights};
use cnna_machine::Accelerator;
use cnna_machine::isa::SETS;
use cnna_machine::program::{Mode, TensorInfo};
use std::ops::Range;

/// A stage whose rows are made from the top, some a turn.
pub trait Turn {
    /// True after the last turn.
    fn is_done(&self) -> bool;
    /// The map's rows that the next turn reads, of which there must be one.
    fn reads(&self) -> Range<usize>;
    /// Rows of the output that are made after so many more turns, which there must be.
    fn made(&self, more: usize) -> usize;
    /// Where the rows that it reads lie.
    fn fill(&self) -> &Fill;
    /// The same.
    fn fill_mut(&mut self) -> &mut Fill;
    /// Appends the jobs of the next turn, whose results go `to` another stage's fill, or to memory.
    fn turn(&mut self, to: Option<&mut Fill>, jobs: &mut Jobs);
}

/// The end of the map's rows for which the buffer has room beside those of the next turn.
fn end_of_room(turns: &dyn Turn) -> usize {
    match turns.is_done() {
        true => usize::MAX,
        false => turns.fill().room(turns.reads().start),
    }
}

/// Where the rows come from that a step's turns read, and for how many its fill has room beside those of one turn.
#[derive(Debug)]
pub enum RowsFrom {
    /// From memory, with room for more tile rows.
    Memory {
        /// How many.
        spare: usize,
    },
    /// From local stores.
    Local(Local),
}

/// Rows from local stores.
#[derive(Debug)]
pub struct Local {
    /// Rows that a turn of the step before makes.
    step: usize,
    /// Such turns that there is more room for.
    spare: usize,
}

impl Local {
    /// Slots of a fill for turns that read these rows.
    pub fn slots(&self, fill: &Fill, turns: impl Iterator<Item = Range<usize>>) -> usize {
        let each = turns.map(|rows| {
            let end = rows.end.next_multiple_of(self.step) + self.spare * self.step;
            fill.slots_for(&(rows.start..end.min(fill.height())))
        });
        each.max().unwrap_or(1)
    }
}

/// A step's form; weights that are needed in several turns stay.
enum Member<'s> {
    Conv(&'s Linear<'s>, &'s conv::Tiling, Box<Weights>),
    Pool,
}

impl<'s> Member<'s> {
    fn new(form: &'s Form, stays: bool) -> Self {
        match form {
            Form::Conv(l, t, weights) => {
                let mut weights = Box::new(weights.clone());
                if stays {
                    weights.stay();
                }
                Member::Conv(l, t, weights)
            }
            Form::Pool => Member::Pool,
            _ => unreachable!("no other form takes turns"),
        }
    }

    fn turns<'t>(
        &'t mut self,
        s: &'t Stage<'t>,
        rows: &RowsFrom,
        a: &'t Accelerator,
        jobs: &mut Jobs,
    ) -> Box<dyn Turn + 't> {
        match self {
            Member::Conv(l, t, weights) => {
                Box::new(conv::Turns::new(s, l, t, weights, rows, a, jobs))
            }
            Member::Pool => Box::new(pool::Turns::new(s, rows, a, jobs)),
        }
    }
}

/// True where weights stay in the buffers from turn to turn: all of them, or where each step makes all of its rows in one turn, none.
fn stay(steps: &[Step]) -> bool {
    let several =
        |s: &Step| matches!(&s.form, Form::Conv(_, t, _) if !conv::is_one_turn(&s.stage, t));
    steps.iter().any(several)
}

/// True when what a step makes can stay in the buffer for the next one, row by row as it is.
pub fn can_stay([from, to]: [&Step; 2], a: &Accelerator) -> bool {
    let made = match &from.form {
        Form::Conv(_, t, _) => conv::row_words(&from.stage, t, a),
        Form::Pool => Some(pool::row_words(&from.stage, a)),
        _ => None,
    };
    let s = &to.stage;
    let paired = matches!(&to.form, Form::Conv(_, t, _) if t.form == weights::Form::Pairs);
    let fill = Fill::for_columns(s, 0..s.ow, 0..s.input().c, paired, a);
    made.is_some() && made == fill.whole_row(s)
}

/// Lines of the activation buffer for the fills of all steps together: where one has two sets, those of one set.
fn room(steps: &[Step], a: &Accelerator) -> usize {
    let paired = steps.iter().any(|s| s.form.mode() == Mode::Paired);
    a.act_depth / (1 + usize::from(paired))
}

/// Lines, in as many sets as it has, of a step's fill, its stage for some image.
fn lines_of(step: &Step, s: &Stage, rows: &RowsFrom, a: &Accelerator) -> usize {
    match &step.form {
        Form::Conv(l, t, _) => conv::turn_lines(s, l, t, rows, a),
        _ => pool::turn_lines(s, rows, a),
    }
}

/// Where step `i`'s rows come from, with so much spare room for them.
fn rows_from(steps: &[Step], i: usize, spare: usize) -> RowsFrom {
    let before = i.checked_sub(1).map(|i| &steps[i]);
    match before.filter(|s| s.local) {
        None => RowsFrom::Memory { spare },
        Some(from) => RowsFrom::Local(Local {
            step: match &from.form {
                Form::Conv(_, t, _) => conv::rows_a_turn(&from.stage, t),
                _ => pool::ROWS,
            },
            spare,
        }),
    }
}

/// True when the buffers have room for what these steps need at once.
pub fn fits(steps: &[Step], a: &Accelerator) -> bool {
    let lines = steps.iter().enumerate();
    let lines = lines.map(|(i, s)| lines_of(s, &s.stage, &rows_from(steps, i, 0), a));
    let lines: usize = lines.sum();
    let [weights, biases] = staying(steps);
    let mut sets: Vec<_> = steps
        .iter()
        .filter_map(|s| s.form.weights()?.set_words())
        .collect();
    sets.sort_unstable();
    sets.dedup();
    let fit = weights <= a.weight_depth && biases <= a.bias_depth && sets.len() <= SETS;
    (fit || !stay(steps)) && lines <= room(steps, a)
}

/// Rows of weights and of biases that stay in the buffers for these steps.
fn staying(steps: &[Step]) -> [usize; 2] {
    let each = steps.iter().filter_map(|s| s.form.weights()?.staying());
    each.fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
}

/// Appends the jobs of steps of which each reads no rows but those that the one before it has made.
///
/// All of them [`conv::takes_turns`] or [`pool::takes_turns`], and the buffers hold what they need: [`fits`]. Errors: a buffer is too
/// small for what a step's turn makes while the next step still needs other rows.
pub fn schedule(
    steps: &[Step],
    images: Images,
    a: &Accelerator,
    jobs: &mut Jobs,
) -> Result<(), CompileError> {
    let stay = stay(steps);
    let anew = || steps.iter().map(|s| Member::new(&s.form, stay));
    let mut members: Vec<_> = anew().collect();
    if stay {
        // What stays must not lie round the buffer's end, where another's would overwrite it.
        let [weights, biases] = staying(steps);
        jobs.weight_ring.reserve(weights);
        jobs.bias_ring.reserve(biases);
    }
    for n in 0..images.count {
        if n > 0 && !stay {
            members = anew().collect();
        }
        let stages: Vec<_> = steps
            .iter()
            .map(|s| s.stage.moved(n * images.pitch))
            .collect();
        // All fills are in use at once, so they lie beside each other. Rows of the turn after the next where there is room.
        jobs.fills = Fills::new(a.act_depth);
        let lines =
            |i: usize, spare| lines_of(&steps[i], &stages[i], &rows_from(steps, i, spare), a);
        let mut spare = vec![0; steps.len()];
        let mut room = room(steps, a) - (0..steps.len()).map(|i| lines(i, 0)).sum::<usize>();
        for i in (0..steps.len()).rev() {
            let more = lines(i, 1) - lines(i, 0);
            if more <= room {
                (spare[i], room) = (1, room - more);
            }
        }
        let turns = stages.iter().zip(&mut members).enumerate();
        let mut turns: Vec<_> = turns
            .map(|(i, (s, member))| member.turns(s, &rows_from(steps, i, spare[i]), a, jobs))
            .collect();
        // What the steps before them make is not there before it is made.
        for t in &mut turns[1..] {
            t.fill_mut().whole = false;
        }
        interleave(turns, steps, &stages, jobs)?;
    }
    Ok(())
}

/// The step before step `i` that makes what step `i` adds to its results.
fn added_from(stages: &[Stage], i: usize) -> Option<usize> {
    let residual = &stages[i].residual.as_ref()?.info;
    let place = |t: &TensorInfo| t.offset..t.offset + t.layout.bytes();
    let read = place(residual);
    let meets = |made: Range<usize>| made.start < read.end && read.start < made.end;
    (0..i).rev().find(|&j| meets(place(&stages[j].output)))
}

/// Appends the jobs of all turns: always those of the last step that has what it needs.
fn interleave(
    mut turns: Vec<Box<dyn Turn + '_>>,
    steps: &[Step],
    stages: &[Stage],
    jobs: &mut Jobs,
) -> Result<(), CompileError> {
    let local = |i: usize| steps[i].local;
    let added: Vec<Option<usize>> = (0..steps.len()).map(|i| added_from(stages, i)).collect();
    // Of each step: rows made, and the fence behind their stores.
    let mut made: Vec<Vec<(usize, Option<usize>)>> = vec![Vec::new(); steps.len()];
    while turns.iter().any(|t| !t.is_done()) {
        // What step `i` waits for in its next turn; `None` when it is not there. With one turn of the step before in between, while
        // which the rows come.
        let needs = |i: usize, between: usize| -> Option<Option<usize>> {
            let Some(before) = i.checked_sub(1) else {
                return Some(None);
            };
            let there = match turns[before].is_done() {
                true => made[before].len(),
                false => made[before].len().saturating_sub(between),
            };
            let reads = turns[i].reads().end;
            let rows = made[before][..there].iter().find(|m| m.0 >= reads)?;
            // What is added has come to memory too: rows from local stores have no fence that would tell.
            let added = match added[i] {
                Some(from) => {
                    let rows = turns[i].made(1) * (1 + usize::from(stages[i].pooled));
                    made[from].iter().find(|m| m.0 >= rows.min(stages[i].oh))?.1
                }
                None => None,
            };
            Some(rows.1.max(added))
        };
        let has_room = |i: usize| !local(i) || turns[i].made(1) <= end_of_room(&*turns[i + 1]);
        let ready = |between: usize| {
            let left = (0..steps.len()).rev().filter(|&i| !turns[i].is_done());
            left.filter(|&i| has_room(i))
                .find_map(|i| Some((i, needs(i, between)?)))
        };
        let next = ready(1).or_else(|| ready(0));
        let (i, fence) = next.ok_or_else(|| CompileError::Internal {
            layer: steps[0].stage.name.into(),
            message: "its turns and those of the layers behind it wait for each other".into(),
        })?;
        let (these, behind) = turns.split_at_mut(i + 1);
        let to = behind.first_mut();
        let to = to.filter(|_| local(i)).map(|t| t.fill_mut());
        jobs.behind(fence, |jobs| these[i].turn(to, jobs));
        if i + 1 == steps.len() {
            continue;
        }
        // Loads come a turn after what they read, behind those of this step's turn.
        let next = &mut turns[i + 1];
        if let Some(&(rows, fence)) = made[i].last()
            && !local(i)
            && !next.is_done()
        {
            let rows = next.reads().start..rows.min(end_of_room(&**next));
            if !rows.is_empty() {
                let s = &stages[i + 1];
                let channels = 0..s.input().c;
                jobs.behind(fence, |jobs| {
                    next.fill_mut().rows(rows, &channels, s, jobs);
                });
            }
        }
        let fence = (!local(i)).then(|| jobs.fence());
        made[i].push((turns[i].made(0), fence));
    }
    Ok(())
}
