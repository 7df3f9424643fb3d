//! From jobs to a stream: prefetching as early as the buffers permit, then the fewest tokens that keep every order.

use crate::error::CompileError;
use crate::jobs::{ACTIVATIONS, Item, Job, Jobs, LISTS, LOCAL, RESIDUALS, Space};
use cnna_machine::isa::{Body, Command, Queue, TOKEN_PATHS, store_kind};
use cnna_machine::{Accelerator, timing};
use std::ops::Range;
use std::slice::from_mut;

/// Jobs between a load and its first reader, at most, where results stay on chip meanwhile.
const LOADS_AHEAD: usize = 4;

/// A command and the commands of the other queues (by index) that must be complete before it starts.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The command; its token masks are empty until [`assign_tokens`].
    pub command: Command,
    /// Latest command awaited of each queue.
    pub after: [Option<usize>; 4],
    /// A weight transfer that reads what a layer before it made, not constants.
    pub made: bool,
}

/// Rows that an item or job was the last to touch.
struct Stretch {
    rows: Range<usize>,
    by: usize,
}

/// Which item or job last touched each row of a buffer: stretches that do not overlap, ascending.
#[derive(Default)]
struct Rows(Vec<Stretch>);

impl Rows {
    /// Stretches that share rows with `rows`, which are not empty.
    fn within(&self, rows: &Range<usize>) -> Range<usize> {
        let from = self.0.partition_point(|s| s.rows.end <= rows.start);
        let sharing = self.0[from..].iter();
        from..from + sharing.take_while(|s| s.rows.start < rows.end).count()
    }

    fn latest(&self, rows: &Range<usize>) -> impl Iterator<Item = usize> {
        let at = match rows.is_empty() {
            true => 0..0,
            false => self.within(rows),
        };
        self.0[at].iter().map(|s| s.by)
    }

    fn set(&mut self, rows: &Range<usize>, by: usize) {
        if rows.is_empty() {
            return;
        }
        let at = self.within(rows);
        let touched = &self.0[at.clone()];
        let rest = |s: &Stretch, rows: Range<usize>| {
            let by = s.by;
            (!rows.is_empty()).then_some(Stretch { rows, by })
        };
        let before = touched
            .first()
            .and_then(|s| rest(s, s.rows.start..rows.start));
        let behind = touched.last().and_then(|s| rest(s, rows.end..s.rows.end));
        let rows = rows.clone();
        let new = before
            .into_iter()
            .chain([Stretch { rows, by }])
            .chain(behind);
        self.0.splice(at, new);
    }
}

/// The first job that reads an item, and the last one that reads each of its rows, of which there may be two.
#[derive(Clone, Copy, Default)]
struct Readers {
    first: Option<usize>,
    last: [Option<usize>; 2],
}

impl Readers {
    /// Jobs are added in ascending order. `lower`: it reads the second row alone.
    fn add(&mut self, job: usize, lower: bool) {
        self.first = self.first.or(Some(job));
        self.last[usize::from(lower)..].fill(Some(job));
    }
}

/// For each item of some lists, the last job that reads what it overwrites, whichever list brought that.
fn freed_by<const N: usize>(
    lists: [&[Item]; N],
    readers: &[Vec<Readers>; N],
) -> [Vec<Option<usize>>; N] {
    let mut freed = lists.map(|list| vec![None; list.len()]);
    let each = lists.iter().enumerate();
    let each = each.flat_map(|(list, items)| items.iter().enumerate().map(move |i| (list, i)));
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|(_, (_, item))| item.order);
    let readers: Vec<Readers> = all.iter().map(|&(list, (i, _))| readers[list][i]).collect();
    let (mut act, mut residual): ([Rows; 4], [Rows; 2]) = Default::default();
    let (mut weights, mut bias, mut sets) = (Rows::default(), Rows::default(), Rows::default());
    for (n, (list, (i, item))) in all.into_iter().enumerate() {
        let (space, rows) = &item.rows;
        let banks = match *space {
            Space::Act(bank) => &mut act[bank..][..1],
            Space::TwoAct(bank) => &mut act[bank..][..2],
            Space::Weights => from_mut(&mut weights),
            Space::Bias => from_mut(&mut bias),
            Space::Residual(bank) => &mut residual[bank..][..1],
            Space::Sets => from_mut(&mut sets),
        };
        // Rows that come together go to an even bank and the next one.
        let row = |bank: usize| match *space {
            Space::Act(first) | Space::TwoAct(first) => (first + bank) % 2,
            _ => 0,
        };
        let each = banks.iter().enumerate();
        let each = each.flat_map(|(b, bank)| rows.iter().map(move |r| (row(b), bank, r)));
        let before = each.flat_map(|(row, bank, r)| bank.latest(r).map(move |n| (row, n)));
        freed[list][i] = before.filter_map(|(row, n)| readers[n].last[row]).max();
        for bank in banks {
            rows.iter().for_each(|r| bank.set(r, n));
        }
    }
    freed
}

/// One in-order list of items on its way into the stream.
struct Feed<'a> {
    items: &'a [Item],
    readers: Vec<Readers>,
    freed_by: Vec<Option<usize>>,
    /// Stream index of each item issued.
    issued: Vec<usize>,
}

impl<'a> Feed<'a> {
    fn new<const N: usize>(lists: [&'a [Item]; N], readers: [Vec<Readers>; N]) -> [Self; N] {
        let mut freed = freed_by(lists, &readers).into_iter();
        let mut readers = readers.into_iter();
        lists.map(|items| Feed {
            freed_by: freed.next().expect("one a list"),
            readers: readers.next().expect("one a list"),
            items,
            issued: Vec::new(),
        })
    }

    /// The next item, of which there must be one.
    fn next(&self) -> &'a Item {
        &self.items[self.issued.len()]
    }

    /// The job that needs the next item first.
    fn first_reader(&self) -> Option<usize> {
        self.readers.get(self.issued.len())?.first
    }

    /// Errors: the next item, which `job` needs, may not be issued.
    fn check(&self, job: &Job, done: Option<usize>) -> Result<(), CompileError> {
        let message = "a transfer would overwrite what a later job reads";
        self.may_issue(done)
            .then_some(())
            .ok_or_else(|| broken(job, message))
    }

    /// True when the next item may be issued once job `done` (and all before it) has been.
    fn may_issue(&self, done: Option<usize>) -> bool {
        let next = self.issued.len();
        next < self.items.len() && self.freed_by[next] <= done && self.items[next].after <= done
    }

    fn issue(&mut self, stream: &mut Vec<Entry>, job_at: &[usize]) {
        let next = self.issued.len();
        let item = &self.items[next];
        let mut after = [None; 4];
        after[Queue::Compute as usize] = self.freed_by[next].map(|j| job_at[j]);
        after[Queue::Store as usize] = item.after.map(|j| job_at[j]);
        self.issued.push(stream.len());
        stream.push(Entry {
            made: matches!(item.body, Body::Weight(_)) && item.after.is_some(),
            ..entry(item.kind, item.tag, item.body, after)
        });
    }
}

/// When the array and the loads are where, as far as loads and the array alone decide. Loads that wait for the memory in a full
/// queue keep the commands behind them from theirs, so only as many go ahead as the queue holds.
struct Pace {
    lanes: usize,
    tiles: usize,
    /// Cycle in which the array has done all jobs so far, and in which a pass may end.
    array: u64,
    drain: u64,
    /// Cycle in which each load issued has its data, of each list.
    loaded: [Vec<u64>; LISTS],
    /// The same of all in the order of issue.
    ends: Vec<u64>,
    /// Loads that have theirs before `array`.
    finished: usize,
}

impl Pace {
    /// Cycles of a load.
    fn of_load(&self, item: &Item) -> u64 {
        let Body::Load(l) = &item.body else { return 0 };
        let phases = timing::load_phases(l.stride, self.tiles);
        let beats = l.seg_beats as u64 * l.seg_count as u64;
        // Results and weights take their share of the memory, whose ports are wider than half of it.
        beats * phases.max(2)
    }

    /// Cycle in which a load issued now begins.
    fn next_load(&self) -> u64 {
        self.ends.last().map_or(0, |&end| end.max(self.array))
    }

    fn loads(&mut self, list: usize, item: &Item) {
        if list == LOCAL {
            // What the array has made is there soon, and no load in the queue has to wait for memory.
            self.loaded[list].push(self.array);
            return;
        }
        let end = self.next_load() + self.of_load(item);
        self.loaded[list].push(end);
        self.ends.push(end);
    }

    /// True when a load issued now ends before the array has done these jobs.
    fn fits(&self, item: &Item, jobs: &[Job]) -> bool {
        let mut left = self.next_load() + self.of_load(item) - self.array;
        jobs.iter().any(|job| {
            if let Body::Compute(c) = &job.body {
                left = left.saturating_sub(timing::schedule(c, self.lanes, 0, 0).last_step);
            }
            left == 0
        })
    }

    fn runs(&mut self, job: &Job) {
        let used = job.loads.iter().zip(&self.loaded);
        let used = used.filter(|(l, _)| !l.is_empty());
        if let Some(last) = used.map(|(l, loaded)| loaded[l.end - 1]).max() {
            self.array = self.array.max(last);
        }
        if let Body::Compute(c) = &job.body {
            let s = timing::schedule(c, self.lanes, self.array, self.drain);
            (self.array, self.drain) = (s.last_step + 1, s.pace);
        }
        while self
            .ends
            .get(self.finished)
            .is_some_and(|&end| end <= self.array)
        {
            self.finished += 1;
        }
    }

    fn waiting(&self) -> usize {
        self.ends.len() - self.finished
    }
}

fn entry(kind: i32, tag: u16, body: Body, after: [Option<usize>; 4]) -> Entry {
    Entry {
        command: Command {
            kind,
            wait: 0,
            signal: 0,
            tag,
            body,
        },
        after,
        made: false,
    }
}

/// The stream of all jobs, tokens included.
pub fn build(work: &Jobs, a: &Accelerator) -> Result<Vec<Entry>, CompileError> {
    let mut load_readers = work
        .loads
        .each_ref()
        .map(|l| vec![Readers::default(); l.len()]);
    let mut weight_readers = vec![Readers::default(); work.weights.len()];
    for (j, job) in work.jobs.iter().enumerate() {
        for ((readers, items), loads) in load_readers.iter_mut().zip(&work.loads).zip(&*job.loads) {
            let of_fill = |i: &usize| items[*i].fill == items[loads.start].fill;
            let two = |i: usize| matches!(items[i].rows.0, Space::TwoAct(_));
            let lower = |i: usize| two(i) && items[i].row < job.loads.first_row;
            let read = loads.clone().filter(of_fill);
            read.for_each(|i| readers[i].add(j, lower(i)));
        }
        for &w in job.weights.iter().flatten() {
            weight_readers[w].add(j, false);
        }
    }
    let lists = work.loads.each_ref().map(|list| list.as_slice());
    let mut loads = Feed::new(lists, load_readers);
    let [mut weights] = Feed::new([&work.weights], [weight_readers]);
    let stores: usize = work.jobs.iter().map(|job| job.stores.len()).sum();
    let transfers = work.weights.len() + work.loads.iter().map(Vec::len).sum::<usize>();
    // Commands are large: a stream that grew would be copied several times.
    let mut stream = Vec::with_capacity(transfers + work.jobs.len() + stores);
    let mut job_at = Vec::with_capacity(work.jobs.len());
    // Last store that reads each output line.
    let mut stored = Rows::default();
    let mut weights_used = 0;
    let mut pace = Pace {
        lanes: a.lanes,
        tiles: a.tiles,
        array: 0,
        drain: 0,
        loaded: Default::default(),
        ends: Vec::new(),
        finished: 0,
    };
    for (j, job) in work.jobs.iter().enumerate() {
        let done = j.checked_sub(1);
        weights_used = weights_used.max(job.weights.iter().flatten().max().map_or(0, |w| w + 1));
        for list in [ACTIVATIONS, RESIDUALS] {
            while loads[list].issued.len() < job.loads[list].end {
                loads[list].check(job, done)?;
                pace.loads(list, loads[list].next());
                loads[list].issue(&mut stream, &job_at);
            }
        }
        while weights.issued.len() < weights_used {
            weights.check(job, done)?;
            weights.issue(&mut stream, &job_at);
        }
        if loads[LOCAL].issued.len() < job.loads[LOCAL].end {
            return Err(broken(job, "it reads what no job before it brings"));
        }
        issue_job(job, &loads, &weights, &mut stream, &mut job_at, &stored);
        pace.runs(job);
        for s in &job.stores {
            let mut after = [None; 4];
            after[Queue::Compute as usize] = Some(job_at[j]);
            stored.set(&job.region, stream.len());
            stream.push(entry(store_kind::STORE, job.tag, Body::Store(*s), after));
            // A local store ends when its loads have taken all: nothing may come between that waits for what is behind it.
            for _ in 0..s.local * s.rows {
                loads[LOCAL].check(job, Some(j))?;
                pace.loads(LOCAL, loads[LOCAL].next());
                loads[LOCAL].issue(&mut stream, &job_at);
            }
        }
        // A load from memory that is on its way keeps local ones behind it waiting, and these the store queue: so they go ahead while
        // results go to memory, or when the time has come.
        let near = |r: usize| r <= j + LOADS_AHEAD;
        let due = !job.stays() || loads[ACTIVATIONS].first_reader().is_some_and(near);
        while due && pace.waiting() < a.queue_depth {
            let Some(list) = ahead(&loads, j, work, &pace) else {
                break;
            };
            pace.loads(list, loads[list].next());
            loads[list].issue(&mut stream, &job_at);
        }
        // A full queue would keep the commands of the others from theirs.
        let most = weights_used + a.queue_depth * 3 / 4;
        while weights.issued.len() < most && weights.may_issue(Some(j)) {
            weights.issue(&mut stream, &job_at);
        }
    }
    assign_tokens(&mut stream);
    Ok(stream)
}

/// The list whose next load goes ahead of job `j`'s successors: the one that is needed first, or else one of activations that
/// is there before the next residual is needed.
fn ahead(loads: &[Feed; LISTS], j: usize, work: &Jobs, pace: &Pace) -> Option<usize> {
    let [activations, residuals, _] = loads.each_ref().map(|feed| feed.first_reader());
    let residual_first = match (activations, residuals) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(r)) => r < a,
    };
    let may = |list: usize| loads[list].may_issue(Some(j)).then_some(list);
    if !residual_first {
        return may(ACTIVATIONS).or_else(|| may(RESIDUALS));
    }
    may(RESIDUALS).or_else(|| {
        // The residuals of these jobs are under way.
        let covered = &work.jobs[j + 1..residuals?];
        may(ACTIVATIONS).filter(|&list| pace.fits(loads[list].next(), covered))
    })
}

fn broken(job: &Job, message: &str) -> CompileError {
    CompileError::Internal {
        layer: format!("#{}", job.tag),
        message: message.into(),
    }
}

fn issue_job(
    job: &Job,
    loads: &[Feed; LISTS],
    weights: &Feed,
    stream: &mut Vec<Entry>,
    job_at: &mut Vec<usize>,
    stored: &Rows,
) {
    let mut after = [None; 4];
    let used = job.loads.iter().zip(loads).filter(|(l, _)| !l.is_empty());
    after[Queue::Load as usize] = used.map(|(l, feed)| feed.issued[l.end - 1]).max();
    let used = job.weights.iter().flatten();
    after[Queue::Weight as usize] = used.map(|&w| weights.issued[w]).max();
    let mark = job.after.map(|j| job_at[j]);
    after[Queue::Store as usize] = stored.latest(&job.region).max().max(mark);
    job_at.push(stream.len());
    stream.push(entry(job.kind, job.tag, job.body, after));
}

/// Sets the token masks: queues are in order, so a command waits only for what no earlier one of its queue awaited.
fn assign_tokens(stream: &mut [Entry]) {
    for (from, to) in TOKEN_PATHS {
        let mut awaited = None;
        for i in 0..stream.len() {
            let after = stream[i].after[from as usize];
            if stream[i].command.queue() == to && after > awaited {
                awaited = after;
                stream[i].command.wait |= from.bit();
                let producer = after.expect("greater than some option");
                stream[producer].command.signal |= to.bit();
            }
        }
    }
}
