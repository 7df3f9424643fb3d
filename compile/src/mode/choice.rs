//! What is known of a convolution's tilings before their jobs are listed: which are alike, and what each takes at least.

use super::conv::{Tiling, fold, lane_groups, pass_columns, pass_rows, sets, whole_chunk};
use crate::jobs::field;
use crate::linear::Linear;
use crate::stage::Stage;
use crate::weights::{Group, spans};
use cnna_machine::Accelerator;
use cnna_machine::isa::{Compute, mode};
use cnna_machine::timing;
use std::collections::HashSet;

/// A tiling's like that gives the same commands for all rows: where a fill serves one group of output channels alone, its stripes
/// follow one another whatever their heights.
pub fn alike(t: &Tiling, l: &Linear) -> Tiling {
    let alone = sets(&lane_groups(l, t.lanes, t.form, t.reuse), t.together)
        .iter()
        .all(|set| set.len() == 1);
    let [stripe, first] = match alone {
        true => [1, 1],
        false => [t.stripe, t.first],
    };
    Tiling {
        stripe,
        first,
        ..t.clone()
    }
}

/// The tilings without those that are like one before them.
pub fn different(all: Vec<Tiling>, l: &Linear) -> Vec<Tiling> {
    let mut seen = HashSet::new();
    all.into_iter()
        .filter(|t| seen.insert(alike(t, l)))
        .collect()
}

/// Cycles of the array that a tiling's commands take without a wait; nothing is known of those in chunks.
pub fn array_cycles(s: &Stage, l: &Linear, t: &Tiling, a: &Accelerator) -> u64 {
    if t.chunk.is_some() || s.spread {
        return 0;
    }
    let columns = pass_columns(s, t.form, a);
    let blocks = spans(s.ow, t.block);
    let parts = blocks.flat_map(|block| spans(block.len(), t.width));
    let tiles: Vec<usize> = parts.map(|part| part.len().div_ceil(columns)).collect();
    let fold = fold(s, t, a).filter(|_| t.fold);
    let whole_rows = s.oh.div_ceil(pass_rows(s, t.form).0) - usize::from(fold.is_some());
    let of_group = |group: &Group| -> u64 {
        let channels = group.window.len();
        let taps = whole_chunk(l, &(0..channels), t.form);
        let cycles = |tiles: usize| {
            let command = Compute {
                mode: match t.form.is_winograd() {
                    true => mode::WINOGRAD,
                    false => mode::DIRECT,
                },
                last: 1,
                tiles: field(tiles),
                lanes: field(group.lanes(t.form)),
                c_count: field(t.form.steps(channels)),
                kx_count: field(taps.kx.len()),
                ky_count: field(taps.ky.len()),
                ..Compute::default()
            };
            timing::schedule(&command, a.lanes, 0, 0).last_step + 1
        };
        let row: u64 = tiles.iter().map(|&n| cycles(n)).sum();
        row * whole_rows as u64 + fold.map_or(0, |f| cycles(f.columns.div_ceil(columns)))
    };
    let groups = lane_groups(l, t.lanes, t.form, t.reuse);
    groups.iter().map(of_group).sum()
}
