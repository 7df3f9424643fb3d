//! Loads before the layer in front of them has ended: those that read what it has stored by then wait for a fence instead of its mark.

use crate::jobs::{Job, Jobs};
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

fn stored<'s>(s: &'s Store, a: &'s Accelerator) -> impl Iterator<Item = Range<u64>> + 's {
    (0..s.rows).map(move |row| {
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

/// Puts a fence into each layer where the next one's first loads can run before its mark, and lets them wait for it.
pub fn early_loads(work: &mut Jobs, a: &Accelerator) {
    let is_mark = |j: &Job| matches!(j.body, Body::Store(_)) && j.kind == store_kind::MARK;
    let marks: Vec<usize> = (0..work.jobs.len())
        .filter(|&j| is_mark(&work.jobs[j]))
        .collect();
    // Jobs behind which a fence comes, ascending, and the loads that wait for each.
    let mut fences: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut next_load = 0;
    for (n, &mark) in marks.iter().enumerate() {
        let first_job = n.checked_sub(1).map_or(0, |n| marks[n] + 1);
        let from = next_load + work.loads[next_load..].partition_point(|l| l.after < Some(mark));
        let to = from + work.loads[from..].partition_point(|l| l.after == Some(mark));
        next_load = to;
        // What the next layer's first job that loads anything needs, its residuals too.
        let last = |j: &Job| j.loads.iter().map(|l| l.end).max().unwrap_or(0);
        let Some(end) = work.jobs[mark..].iter().map(last).find(|&end| end > from) else {
            continue;
        };
        if let Some(fence) = fence(work, first_job..mark, from..end.min(to), from..to, a) {
            fences.push(fence);
        }
    }
    insert(work, &fences);
}

/// The job behind which the fence comes, and the loads among `loads` that may wait for it; `None` when it would gain nothing.
fn fence(
    work: &Jobs,
    jobs: Range<usize>,
    needed: Range<usize>,
    loads: Range<usize>,
    a: &Accelerator,
) -> Option<(usize, Vec<usize>)> {
    let mut writes: Vec<(Range<u64>, usize)> = jobs
        .clone()
        .flat_map(|j| work.jobs[j].stores.iter().map(move |s| (s, j)))
        .flat_map(|(s, j)| stored(s, a).map(move |bytes| (bytes, j)))
        .collect();
    writes.sort_unstable_by_key(|(bytes, _)| bytes.start);
    let longest = writes.iter().map(|(b, _)| b.end - b.start).max()?;
    // The last job that stores a byte of what a load reads.
    let written = |load: usize| -> Option<usize> {
        let Body::Load(l) = &work.loads[load].body else {
            return None;
        };
        let bytes = hull(l.ddr, l.seg_beats, l.seg_count, l.seg_stride, a);
        let first = writes.partition_point(|(w, _)| w.start + longest <= bytes.start);
        let near = writes[first..]
            .iter()
            .take_while(|(w, _)| w.start < bytes.end);
        near.filter(|(w, _)| w.end > bytes.start)
            .map(|(_, j)| *j)
            .max()
    };
    let cycles: u64 = needed
        .clone()
        .map(|l| match &work.loads[l].body {
            Body::Load(l) => l.seg_beats as u64 * l.seg_count as u64,
            _ => 0,
        })
        .sum();
    // As late as the loads' own time permits: more rows are there by then.
    let mut left = 0;
    let late = jobs.clone().rev().find(|&j| {
        let enough = left >= cycles + MARGIN;
        left += duration(&work.jobs[j], a);
        enough
    });
    let behind = needed.filter_map(&written).max().max(late)?;
    let last = jobs.rev().find(|&j| !work.jobs[j].stores.is_empty())?;
    (behind < last).then(|| {
        let early = loads.filter(|&l| written(l) <= Some(behind)).collect();
        (behind, early)
    })
}

/// Inserts the fences; jobs behind them move on.
fn insert(work: &mut Jobs, fences: &[(usize, Vec<usize>)]) {
    let moved = |j: usize| j + fences.partition_point(|(behind, _)| *behind < j);
    for item in &mut work.loads {
        item.after = item.after.map(moved);
    }
    for job in &mut work.jobs {
        job.after = job.after.map(moved);
    }
    for (n, (behind, loads)) in fences.iter().enumerate() {
        for &l in loads {
            work.loads[l].after = Some(behind + n + 1);
        }
        let tag = work.jobs[behind + n].tag;
        let fence = Job::alone(store_kind::FENCE, tag, Store::default());
        work.jobs.insert(behind + n + 1, fence);
    }
}
