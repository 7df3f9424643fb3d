//! Loads before the layer in front of them has ended: those that read what it has stored by then wait for a fence instead of its mark.

use crate::jobs::{ACTIVATIONS, Item, Job, Jobs};
use crate::stage::Stage;
use cnna_machine::config::BEAT_WORDS;
use cnna_machine::isa::{Body, Store, store_kind};
use cnna_machine::{Accelerator, timing};
use std::ops::Range;

/// Cycles, beyond those of the loads themselves, that the first loads of a layer should have before the one in front ends.
const MARGIN: u64 = 256;

/// The bytes from a transfer's first to its last.
fn hull(ddr: i32, beats: i32, segments: i32, stride: i32, a: &Accelerator) -> Range<u64> {
    let from = u64::from(ddr as u32);
    let last = (segments as u64 - 1) * u64::from(stride as u32);
    from..from + last + beats as u64 * a.beat_bytes() as u64
}

/// The bytes of memory that a store writes, row by row.
fn stored<'s>(s: &'s Store, a: &'s Accelerator) -> impl Iterator<Item = Range<u64>> + 's {
    let rows = if s.local == 0 { s.rows } else { 0 };
    (0..rows).map(move |row| {
        let ddr = (s.ddr as u32).wrapping_add((s.row_stride as u32).wrapping_mul(row as u32));
        hull(ddr as i32, s.seg_beats, s.seg_count, s.seg_stride, a)
    })
}

/// Cycles that a job keeps the array busy.
fn duration(job: &Job, a: &Accelerator) -> u64 {
    match &job.body {
        Body::Compute(c) => timing::schedule(c, a.lanes, 0, 0).last_step,
        _ => 0,
    }
}

/// A load: its list, and its index there.
type At = (usize, usize);

/// Puts a fence into each layer where the next one's first loads can run before its mark, and lets them wait for it.
pub fn early_loads(work: &mut Jobs, a: &Accelerator) {
    let is_mark = |j: &Job| matches!(j.body, Body::Store(_)) && j.kind == store_kind::MARK;
    let marks: Vec<usize> = (0..work.jobs.len())
        .filter(|&j| is_mark(&work.jobs[j]))
        .collect();
    // Jobs behind which a fence comes, ascending, and the loads that wait for each.
    let mut fences: Vec<(usize, Vec<At>)> = Vec::new();
    let mut next = [0; 2];
    for (n, &mark) in marks.iter().enumerate() {
        let first_job = n.checked_sub(1).map_or(0, |n| marks[n] + 1);
        // The first that wait for the mark: where steps take turns, others lie between them.
        let loads = [0, 1].map(|k| {
            let list = &work.loads[k];
            let waits = |l: &Item| l.after == Some(mark);
            let from = list[next[k]..].iter().position(waits);
            let from = from.map_or(next[k], |n| next[k] + n);
            let run = list[from..].iter().take_while(|l| waits(l)).count();
            from..from + run
        });
        next = [0, 1].map(|k| loads[k].end);
        let end = marks.get(n + 1).map_or(work.jobs.len(), |&next| next);
        let Some((first, cycles)) = needs(work, mark..end, &loads, a) else {
            continue;
        };
        let fence = fence(work, first_job..mark, first, cycles, &loads, a);
        fences.extend(fence);
    }
    insert(work, &fences);
}

/// What a layer's first job that loads anything needs, its residuals too, and the cycles before the layer in which loads should
/// begin, so that none of its jobs waits. `None` when it loads nothing.
fn needs(
    work: &Jobs,
    layer: Range<usize>,
    loads: &[Range<usize>; 2],
    a: &Accelerator,
) -> Option<([Range<usize>; 2], u64)> {
    let mut read = loads.each_ref().map(|l| l.start..l.start);
    let (mut due, mut array, mut most) = (0, 0, 0);
    let mut first = None;
    for job in &work.jobs[layer] {
        let before = due;
        for k in 0..2 {
            let end = job.loads[k].end.clamp(read[k].end, loads[k].end);
            due += work.loads[k][read[k].end..end]
                .iter()
                .map(beats)
                .sum::<u64>();
            read[k].end = end;
        }
        if due > before {
            first.get_or_insert_with(|| read.clone());
            // Results and weights take their share of the memory.
            most = most.max((due * 3 / 2).saturating_sub(array));
        }
        array += duration(job, a);
    }
    Some((first?, most))
}

/// Beats that come before a layer's first job that reads activations.
pub fn first_beats(work: &Jobs) -> u64 {
    let first = work.jobs.iter().find(|j| !j.loads[ACTIVATIONS].is_empty());
    let end = first.map_or(0, |j| j.loads[ACTIVATIONS].end);
    work.loads[ACTIVATIONS][..end].iter().map(beats).sum()
}

/// No tiling of a stage has more [`first_beats`]: of four rows of results, whose map may be folded in four.
pub fn most_first_beats(s: &Stage) -> u64 {
    let rows = s.input_rows(0, s.oh.min(4)).len();
    let beats = s.sources.iter().map(|from| {
        let layout = &from.info.layout;
        from.channels.len() * layout.padded_w / BEAT_WORDS
    });
    (4 * rows * beats.sum::<usize>()) as u64
}

/// Beats of a load, on each port.
fn beats(item: &Item) -> u64 {
    match &item.body {
        Body::Load(l) => l.seg_beats as u64 * l.seg_count as u64,
        _ => 0,
    }
}

/// The job behind which the fence comes, and the loads among `loads` that may wait for it; `None` when it would gain nothing.
fn fence(
    work: &Jobs,
    jobs: Range<usize>,
    first: [Range<usize>; 2],
    cycles: u64,
    loads: &[Range<usize>; 2],
    a: &Accelerator,
) -> Option<(usize, Vec<At>)> {
    let mut writes: Vec<(Range<u64>, usize)> = jobs
        .clone()
        .flat_map(|j| work.jobs[j].stores.iter().map(move |s| (s, j)))
        .flat_map(|(s, j)| stored(s, a).map(move |bytes| (bytes, j)))
        .collect();
    writes.sort_unstable_by_key(|(bytes, _)| bytes.start);
    let longest = writes.iter().map(|(b, _)| b.end - b.start).max()?;
    let load = |(list, l): At| match &work.loads[list][l].body {
        Body::Load(l) => Some(l),
        _ => None,
    };
    // The last job that stores a byte of what a load reads.
    let written = |at: &At| -> Option<usize> {
        let l = load(*at)?;
        let second = (l.both == 1).then(|| l.ddr.wrapping_add(l.second));
        let rows = [l.ddr].into_iter().chain(second).map(|ddr| {
            let bytes = hull(ddr, l.seg_beats, l.seg_count, l.seg_stride, a);
            let first = writes.partition_point(|(w, _)| w.start + longest <= bytes.start);
            let near = writes[first..]
                .iter()
                .take_while(|(w, _)| w.start < bytes.end);
            near.filter(|(w, _)| w.end > bytes.start)
                .map(|(_, j)| *j)
                .max()
        });
        rows.max().flatten()
    };
    let each = |lists: &[Range<usize>; 2]| {
        let lists = lists.clone().into_iter().enumerate();
        lists.flat_map(|(list, loads)| loads.map(move |l| (list, l)))
    };
    // As late as the loads' own time permits: more rows are there by then.
    let mut left = 0;
    let late = jobs.clone().rev().find(|&j| {
        let enough = left >= cycles + MARGIN;
        left += duration(&work.jobs[j], a);
        enough
    });
    let needed = each(&first).filter_map(|at| written(&at)).max();
    let behind = needed.max(late)?;
    let last = jobs.rev().find(|&j| !work.jobs[j].stores.is_empty())?;
    (behind < last).then(|| {
        let early = each(loads)
            .filter(|at| written(at) <= Some(behind))
            .collect();
        (behind, early)
    })
}

/// Inserts the fences; jobs behind them move on.
fn insert(work: &mut Jobs, fences: &[(usize, Vec<At>)]) {
    let moved = |j: usize| j + fences.partition_point(|(behind, _)| *behind < j);
    for item in work.loads.iter_mut().flatten().chain(&mut work.weights) {
        item.after = item.after.map(moved);
    }
    for job in &mut work.jobs {
        job.after = job.after.map(moved);
    }
    let mut fences = fences.iter().enumerate().peekable();
    let all = std::mem::take(&mut work.jobs);
    for (j, job) in all.into_iter().enumerate() {
        let tag = job.tag;
        work.jobs.push(job);
        while let Some((n, (_, loads))) = fences.next_if(|(_, (behind, _))| *behind == j) {
            for &(list, l) in loads {
                work.loads[list][l].after = Some(j + n + 1);
            }
            let fence = Job::alone(store_kind::FENCE, tag, Store::default());
            work.jobs.push(fence);
        }
    }
}
