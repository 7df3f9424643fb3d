//! Which tilings of a convolution fit the buffers.

use crate::error::CompileError;
use crate::fill::{Fill, Fold};
use crate::linear::Linear;
use crate::stage::Stage;
use crate::weights::{Chunk, Form, Group, KERNEL_SIDE, parts, spans};
use cnna_machine::Accelerator;
use cnna_machine::config::depth::KEPT_PASSES;
use cnna_machine::program::Mode;
use std::ops::Range;

/// One way to tile a convolution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// F(2x2, 3x3), direct, or direct with two channels a step.
    pub form: Form,
    /// Output channels of a group.
    pub lanes: usize,
    /// Result columns of a block, and of one compute command.
    pub block: usize,
    pub width: usize,
    /// Tile rows of a stripe, and of the first one, which waits for its whole input.
    pub stripe: usize,
    pub first: usize,
    /// Sets of lane groups, each with channels of its own, that share a fill.
    pub together: usize,
    /// Channels and rows of taps (in WINOGRAD mode of kernels of 3x3) summed by one command, when not all.
    pub chunk: Option<[usize; 2]>,
    /// The last rows lie in parts below each other.
    pub fold: bool,
    /// All sets share a fill, but their weights do not stay: only for results that stay on chip, whose rows all come before.
    pub once: bool,
    /// With chunks: the ring holds a chunk of one tile only, not all channels of the block.
    pub refill: bool,
    /// Pairs: the groups behind the first reuse its sums of products of operands, and have an output channel more.
    pub reuse: bool,
}

impl Tiling {
    /// Its mode.
    pub fn mode(&self) -> Mode {
        match self.form {
            Form::Kernel | Form::Diagonal => Mode::Winograd,
            Form::Pairs => Mode::Paired,
            _ => Mode::Direct,
        }
    }
}

/// Result rows of one pass that are of use, and all that it writes.
pub(in crate::mode) fn pass_rows(s: &Stage, form: Form) -> (usize, usize) {
    let all = if form.is_winograd() { 2 } else { 4 };
    (if s.spread { 1 } else { all }, all)
}

pub(in crate::mode) fn pass_columns(s: &Stage, form: Form, a: &Accelerator) -> usize {
    match (s.spread, form.is_winograd()) {
        (true, _) => 1,
        (_, true) => 2 * a.tiles,
        _ => 4 * a.tiles,
    }
}

/// Lines of one output bank that a channel of `columns` results needs, and its lines a row.
pub(super) fn out_lines(s: &Stage, form: Form, columns: usize, a: &Accelerator) -> (usize, usize) {
    let pitch = s.stored(columns, a).next_multiple_of(a.column_align()) / a.line_words();
    let (_, all) = pass_rows(s, form);
    let rows = if s.pooled { all / 2 } else { all };
    (rows.div_ceil(2) * pitch, pitch)
}

/// Most slots that any run of `tile_rows` tile rows needs.
pub(super) fn slots_needed(s: &Stage, fill: &Fill, form: Form, tile_rows: usize) -> usize {
    let (rows, _) = pass_rows(s, form);
    (0..s.oh.div_ceil(rows))
        .map(|t| {
            let n = (tile_rows * rows).min(s.oh - t * rows);
            fill.slots_for(&s.input_rows(t * rows, n))
        })
        .max()
        .unwrap_or(1)
}

/// The output channels of each group of at most `lanes`, and the input channels that it reads. `reuse`: groups behind the first have
/// one more, [`Tiling::reuse`].
pub(in crate::mode) fn lane_groups(
    l: &Linear,
    lanes: usize,
    form: Form,
    reuse: bool,
) -> Vec<Group> {
    let per_group = l.per_group();
    let mut all = Vec::new();
    let mut add = |outputs: Range<usize>| {
        let window =
            outputs.start / per_group * l.inputs..((outputs.end - 1) / per_group + 1) * l.inputs;
        let idle = match reuse && outputs.start > 0 {
            true => 0,
            false => form.idle_lanes(),
        };
        all.push(Group {
            outputs,
            window,
            idle,
        });
    };
    if l.groups == 1 && reuse {
        add(0..lanes);
        spans(l.outputs - lanes, lanes + 1).for_each(|o| add(lanes + o.start..lanes + o.end));
    } else if l.groups == 1 {
        // Not in equal parts: a full group costs what a smaller one does where draining is the limit.
        spans(l.outputs, lanes).for_each(add);
    } else if per_group >= lanes {
        for g in 0..l.groups {
            for part in parts(per_group, lanes) {
                add(g * per_group + part.start..g * per_group + part.end);
            }
        }
    } else {
        for groups in spans(l.groups, lanes / per_group) {
            add(groups.start * per_group..groups.end * per_group);
        }
    }
    all
}

/// Lane groups that read one fill, by index: all that read the same channels, and `together` of these with those behind them.
pub(in crate::mode) fn sets(groups: &[Group], together: usize) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for (i, g) in groups.iter().enumerate() {
        match all.last_mut() {
            Some(set) if groups[set.start].window == g.window => set.end = i + 1,
            _ => all.push(i..i + 1),
        }
    }
    all.chunks(together)
        .map(|sets| sets[0].start..sets[sets.len() - 1].end)
        .collect()
}

/// The channels that some lane groups read.
pub(super) fn window(groups: &[Group]) -> Range<usize> {
    let from = groups.iter().map(|g| g.window.start).min().unwrap_or(0);
    from..groups.iter().map(|g| g.window.end).max().unwrap_or(from)
}

/// Sets of lane groups with other channels that share a fill, of so many in all: the more, the fewer and longer transfers.
fn together(sets: usize) -> impl Iterator<Item = usize> {
    let fewer = [1, 4, 16].into_iter().filter(move |&n| n < sets);
    fewer.chain([sets])
}

/// Rows and columns of a kernel's taps; in WINOGRAD mode a tap is a kernel of 3x3, any other a rectangle of them.
pub(super) fn taps(l: &Linear, form: Form) -> [usize; 2] {
    l.taps.map(|n| match form.is_winograd() {
        true => n.div_ceil(KERNEL_SIDE),
        false => n,
    })
}

/// All steps of a window of channels as one chunk.
pub(in crate::mode) fn whole_chunk(l: &Linear, window: &Range<usize>, form: Form) -> Chunk {
    let [rows, columns] = taps(l, form);
    Chunk {
        ky: 0..rows,
        kx: 0..columns,
        c: window.clone(),
    }
}

/// True when a turn of a convolution tiled so makes all rows.
pub fn is_one_turn(s: &Stage, t: &Tiling) -> bool {
    t.first >= s.oh.div_ceil(pass_rows(s, t.form).0)
}

/// Passes of a row of tiles.
fn passes_of_row(s: &Stage, t: &Tiling, a: &Accelerator) -> usize {
    let parts = spans(t.block.min(s.ow), t.width);
    parts
        .map(|part| part.len().div_ceil(pass_columns(s, t.form, a)))
        .sum()
}

/// The tilings worth estimating; empty when this form of the convolution does not fit.
pub fn tilings(s: &Stage, l: &Linear, form: Form, a: &Accelerator) -> Vec<Tiling> {
    let all = whole_tilings(s, l, form, a).into_iter();
    all.map(|t| reusing(s, l, &t, a).unwrap_or(t)).collect()
}

/// The same tiling with groups that reuse the first one's sums of products of operands, where these are kept as long.
fn reusing(s: &Stage, l: &Linear, t: &Tiling, a: &Accelerator) -> Option<Tiling> {
    let unit = s.unit(a);
    let (per_unit, _) = out_lines(s, t.form, unit, a);
    let depth = out_depth(s, a);
    let lanes = t.lanes + 1;
    let several = t.form == Form::Pairs && l.groups == 1 && l.outputs > t.lanes;
    // A fill that comes anew for each group lies elsewhere each time.
    if !several || t.refill || lanes > a.lanes || lanes * per_unit > depth {
        return None;
    }
    let most = (depth / 2 / (lanes * per_unit)).max(1);
    let units = t.block.div_ceil(unit);
    let t = Tiling {
        width: t.width.min(units.div_ceil(units.div_ceil(most)) * unit),
        reuse: true,
        ..t.clone()
    };
    (t.stripe.max(t.first) * passes_of_row(s, &t, a) <= KEPT_PASSES).then_some(t)
}

/// Lines of the results of one part. Two regions, so that one is stored while the other is written; two of them in the residual
/// buffer, which is half as deep.
fn out_depth(s: &Stage, a: &Accelerator) -> usize {
    match s.residual {
        Some(_) => a.residual_depth().min(a.out_depth),
        None => a.out_depth,
    }
}

/// The tilings, nothing reused.
fn whole_tilings(s: &Stage, l: &Linear, form: Form, a: &Accelerator) -> Vec<Tiling> {
    let form = match form {
        Form::Kernel if l.groups > 1 && l.inputs == 1 && l.per_group() == 1 => Form::Diagonal,
        form => form,
    };
    let paired = form == Form::Pairs;
    let unit = s.unit(a);
    let units = s.ow.div_ceil(unit);
    let (per_unit, _) = out_lines(s, form, unit, a);
    let depth = out_depth(s, a);
    let given = l.given.map_or(a.lanes, |g| g.lanes);
    let lanes = (a.lanes - form.idle_lanes())
        .min(given)
        .min(l.outputs)
        .min(depth / per_unit);
    // What is given is given for so many lanes.
    let parted = l.given.is_some() && lanes < given.min(l.outputs);
    if lanes == 0 || parted {
        return Vec::new();
    }
    let most = (depth / 2 / (lanes * per_unit)).clamp(1, units);
    let groups = lane_groups(l, lanes, form, false);
    let widest = groups.iter().max_by_key(|g| g.window.len());
    let window = &widest.expect("a stage has an output").window;
    let rows = whole_chunk(l, window, form).rows(form);
    // The widest block of columns whose rows fit with all channels.
    let block = (1..=units)
        .map(|n| units.div_ceil(n))
        .find(|&units| fits(s, form, units * unit, window, 1, a));
    let base = |block: usize| Tiling {
        form,
        lanes,
        block: block * unit,
        width: block.div_ceil(block.div_ceil(most)) * unit,
        stripe: 1,
        together: 1,
        first: 1,
        fold: false,
        chunk: None,
        once: false,
        refill: false,
        reuse: false,
    };
    if let Some(block) = block.filter(|_| rows <= a.weight_depth) {
        let mut all = Vec::new();
        let all_sets = sets(&groups, 1);
        // Pairs of channels begin with the first of a fill.
        let even = |set: &Range<usize>| self::window(&groups[set.clone()]).start % 2 == 0;
        let most = match !paired || all_sets.iter().all(even) {
            true => all_sets.len(),
            false => 1,
        };
        for together in together(most) {
            let sets = sets(&groups, together);
            let windows = sets.iter().map(|set| self::window(&groups[set.clone()]));
            let widest = windows
                .max_by_key(Range::len)
                .expect("a stage has an output");
            let set = sets.iter().map(Range::len).max().unwrap_or(1);
            // Those behind the first share only where a row of tiles fits with all their channels, and their weights stay or are
            // needed once.
            let resident = rows * set <= a.weight_depth;
            let base = Tiling {
                together,
                once: together > 1 && !resident,
                ..base(block)
            };
            if together == 1 || fits(s, form, base.block, &widest, 1, a) {
                let all_of = stripes(s, base, &widest, resident, a);
                all.extend(all_of.into_iter().filter(|t| !t.once || is_one_turn(s, t)));
            }
        }
        return all;
    }
    if s.pooled || s.side || l.given.is_some() {
        return Vec::new();
    }
    if form.is_winograd() {
        return tall(s, l, base(1), a).into_iter().collect();
    }
    // Single tiles in chunks of channels: bounded by half the weight buffer, and by the ring.
    let taps = l.taps[0] * l.taps[1];
    let by_weights = match a.weight_depth / 2 * 8 / taps {
        0 => a.weight_depth * 8 / taps,
        n => n,
    };
    let refill = block.is_none();
    let columns = pass_columns(s, form, a);
    let holds = |c: usize| fits(s, form, columns, &(window.start..window.start + c), 1, a);
    // Where not even one channel's kernel fits, its rows come in chunks.
    let (most, ky) = match by_weights {
        0 => (1, a.weight_depth * 8 / l.taps[1]),
        n => (n.min(window.len()), l.taps[0]),
    };
    let chunk = match refill {
        true => (1..=most).rev().find(|&c| holds(c)).unwrap_or(0),
        false => most,
    };
    // Chunks do not part the channels of a step.
    let step = 1 + usize::from(paired);
    let chunk = chunk / step * step;
    if chunk == 0 || ky == 0 {
        return Vec::new();
    }
    let equal = window.len().div_ceil(window.len().div_ceil(chunk));
    let equal = equal.next_multiple_of(step);
    vec![Tiling {
        chunk: Some([equal, ky]),
        refill,
        ..base(block.unwrap_or(1))
    }]
}

/// A depthwise convolution whose results are one tile wide and whose kernel is too large for the weight buffer, such as a mean of a
/// large map: in chunks of its rows. So many lanes as the ring has room for; each channel takes its own steps anyway.
fn tall(s: &Stage, l: &Linear, base: Tiling, a: &Accelerator) -> Option<Tiling> {
    if base.form != Form::Diagonal || s.ow > pass_columns(s, base.form, a) {
        return None;
    }
    let room = |&lanes: &usize| fits(s, base.form, s.ow, &(0..lanes), 1, a);
    let lanes = (1..=base.lanes).rev().find(room)?;
    let [_, columns] = taps(l, base.form);
    let rows = match a.weight_depth / 2 / columns {
        0 => a.weight_depth / columns,
        n => n,
    };
    (rows > 0).then_some(Tiling {
        lanes,
        chunk: Some([lanes, rows]),
        ..base
    })
}

/// True when the ring holds so many tile rows of each block of columns with all channels of the window.
fn fits(
    s: &Stage,
    form: Form,
    block: usize,
    window: &Range<usize>,
    stripe: usize,
    a: &Accelerator,
) -> bool {
    spans(s.ow, block).all(|x| {
        let fill = Fill::for_columns(s, x, window.clone(), form == Form::Pairs, a);
        fill.holds(slots_needed(s, &fill, form, stripe), a)
    })
}

/// Stripe heights to try: the more rows, the more time for each group's weights to come, and the fewer times they do; the
/// fewer rows, the more room to load ahead. Weights that stay come only once, at their first use.
fn stripes(
    s: &Stage,
    base: Tiling,
    window: &Range<usize>,
    resident: bool,
    a: &Accelerator,
) -> Vec<Tiling> {
    let tile_rows = s.oh.div_ceil(pass_rows(s, base.form).0);
    let most = (1..=tile_rows)
        .take_while(|&n| fits(s, base.form, base.block, window, n, a))
        .last()
        .unwrap_or(1);
    let low = if resident {
        [1, 2, 4]
    } else {
        [most - 1, most / 2, most / 4]
    };
    // As many as the sums of products of operands are kept of.
    let kept = match base.form {
        Form::Pairs => KEPT_PASSES / passes_of_row(s, &base, a),
        _ => 0,
    };
    let mut heights: Vec<usize> = [most, kept]
        .into_iter()
        .chain(low)
        .filter(|&n| (1..=most).contains(&n))
        // Equal stripes: the last is not a leftover.
        .map(|n| tile_rows.div_ceil(tile_rows.div_ceil(n)))
        .collect();
    heights.sort_unstable();
    heights.dedup();
    let equal = heights.iter().map(|&stripe| (stripe, stripe));
    // One tile row first, the others in equal stripes: all groups are under way when its rows are there.
    let short = heights
        .iter()
        .filter(|&&n| n > 1 && !resident)
        .map(|&n| ((tile_rows - 1).div_ceil((tile_rows - 1).div_ceil(n)), 1));
    let straight = equal.chain(short).map(|(stripe, first)| Tiling {
        stripe,
        first,
        ..base.clone()
    });
    let folds: &[bool] = match fold(s, &base, a) {
        Some(_) => &[false, true],
        None => &[false],
    };
    straight
        .flat_map(|t| folds.iter().map(move |&fold| Tiling { fold, ..t.clone() }))
        .collect()
}

/// The last rows of a map, whose tiles are mostly empty, where they can lie in parts below each other: a 1x1 kernel sees no
/// neighbours. 14 x 14 results take 7 passes of 4 x 8 instead of 8.
pub(in crate::mode) fn fold(s: &Stage, t: &Tiling, a: &Accelerator) -> Option<Fold> {
    let (map, layout) = (s.input(), &s.sources[0].info.layout);
    let whole = (s.oh, s.ow) == (map.h, map.w) && s.ow <= t.width;
    let plain = !(t.form.is_winograd() || s.spread || s.side || s.pooled) && t.chunk.is_none();
    let taps = &s.taps;
    let single = (taps.kernel, taps.stride, taps.first) == ([1, 1], [1, 1], [0, 0]);
    if !(whole && plain && single) {
        return None;
    }
    let rows = s.oh % 4;
    let units = layout.padded_w / a.column_align();
    let parts = (2..=4)
        .rev()
        .find(|p| (1..=4).contains(&(p * rows)) && units % p == 0)?;
    Some(Fold {
        from: s.oh - rows,
        rows,
        parts,
        columns: layout.padded_w / parts,
    })
}

/// Why no tiling fits.
pub fn capacity_error(s: &Stage, l: &Linear, a: &Accelerator) -> CompileError {
    if a.weight_depth * 8 < l.taps[1] {
        return CompileError::Capacity {
            layer: s.name.into(),
            what: "rows of the weight buffer for one row of a channel's kernel",
            need: l.taps[1].div_ceil(8),
            have: a.weight_depth,
            key: "weight_depth",
        };
    }
    let (per_unit, _) = out_lines(s, Form::Plain, s.unit(a), a);
    if per_unit > a.out_depth {
        return CompileError::Capacity {
            layer: s.name.into(),
            what: "lines of the output buffer for one channel's results",
            need: per_unit,
            have: a.out_depth,
            key: "out_depth",
        };
    }
    let columns = pass_columns(s, Form::Plain, a).min(s.ow);
    let fill = Fill::for_columns(s, 0..columns, 0..1, false, a);
    let lines = slots_needed(s, &fill, Form::Plain, 1) * fill.row_pitch;
    // Where a tile fits, it was a group's weights that did not.
    let lanes = a.lanes.min(l.outputs).min(a.out_depth / per_unit);
    let groups = lane_groups(l, lanes, Form::Plain, false);
    let rows = groups
        .iter()
        .map(|g| whole_chunk(l, &g.window, Form::Plain).rows(Form::Plain));
    let rows = rows.max().unwrap_or(0);
    let (what, need, have, key) = match lines > a.act_depth || rows <= a.weight_depth {
        true => (
            "lines of the activation buffer for one tile's window",
            lines.max(a.act_depth + 1),
            a.act_depth,
            "act_depth",
        ),
        false => (
            "rows of the weight buffer for one group of output channels",
            rows,
            a.weight_depth,
            "weight_depth",
        ),
    };
    CompileError::Capacity {
        layer: s.name.into(),
        what,
        need,
        have,
        key,
    }
}
