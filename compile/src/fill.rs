//! A fill: some channels and columns of one or more maps on their way through the activation buffer's ring of rows.

use crate::jobs::{ACTIVATIONS, Jobs, LOCAL, Lines, Loads, address, field};
use crate::memory::Images;
use crate::stage::{Source, Stage};
use cnna_machine::Accelerator;
use cnna_machine::config::BEAT_WORDS;
use cnna_machine::isa::{Compute, Load, target};
use cnna_machine::layout::Shape;
use std::ops::Range;

/// The last rows of a map cut into parts that lie below each other, so that they fill the array's four rows: part k of row r
/// takes the place of row r + k * rows.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// First row.
    pub from: usize,
    /// Rows.
    pub rows: usize,
    /// Parts of a row.
    pub parts: usize,
    /// Columns of a part.
    pub columns: usize,
}

/// Geometry of a fill, and which of its rows have been listed for loading.
#[derive(Clone, Debug)]
pub struct Fill {
    /// What it holds, each with its first channel in the fill, or its plane where sources lie side by side.
    pieces: Vec<(usize, Source)>,
    side: bool,
    /// Rows and columns of each map.
    map: Shape,
    /// Planes of rows and columns.
    planes: [usize; 2],
    /// Channels held, of all the stage's.
    pub channels: Range<usize>,
    /// Map columns held: from a beat and line border, to one or the map's end.
    columns: Range<usize>,
    beats: usize,
    /// Lines from one channel to the next, from one column plane to the next, from one row plane to the next.
    pub c_pitch: usize,
    pub plane_pitch: usize,
    plane_y_pitch: usize,
    /// Lines of one slot.
    pub row_pitch: usize,
    /// Channels lie in two sets of so many lines in turn, two in the same lines.
    set_lines: Option<usize>,
    /// Slots of the ring; set by [`Fill::open`].
    pub slots: usize,
    /// First line of the ring in each row bank, and the slot of row 0; set by [`Fill::place`].
    base: usize,
    first_slot: usize,
    /// Rows that come several times, each time from another part on. Whole maps without planes only.
    pub fold: Option<Fold>,
    /// Vector mode: each row of the map has a slot of its own, which these images share as virtual rows.
    pub images: Option<Images>,
    /// Which of all fills it is; set by [`Fill::place`].
    number: usize,
    /// (row, its load items), ascending.
    listed: Vec<(usize, Range<usize>)>,
    /// A row and the one below it come at the same time, by two ports.
    two: bool,
    /// Of two rows the lower one may come before it is asked for: memory holds all of the map.
    pub whole: bool,
    /// The first row that is still needed; set by [`Fill::keep`].
    kept: usize,
    /// Its rows come from local stores.
    pub local: bool,
    /// What has: (row, channels of the fill, load item).
    taken: Vec<(usize, Range<usize>, usize)>,
}

/// The parts of a stage's sources that hold some of its channels.
fn pieces(s: &Stage, channels: &Range<usize>) -> Vec<(usize, Source)> {
    if s.side {
        let part = |source: &Source| Source {
            info: source.info.clone(),
            channels: source.channels.start + channels.start..source.channels.start + channels.end,
        };
        return s.sources.iter().map(part).enumerate().collect();
    }
    let mut all = Vec::new();
    let mut first = 0;
    for source in &s.sources {
        let here = first..first + source.channels.len();
        let from = channels.start.max(here.start);
        let to = channels.end.min(here.end);
        if from < to {
            let skip = source.channels.start;
            let channels_of = skip + from - here.start..skip + to - here.start;
            let part = Source {
                info: source.info.clone(),
                channels: channels_of,
            };
            all.push((from - channels.start, part));
        }
        first = here.end;
    }
    all
}

/// True where every tap of a stage lies in one plane of the rows and in the first of the columns, as a 1x1 kernel's with a stride:
/// then the buffer holds that plane alone. Local stores do not skip rows, and so do not meet such a fill.
fn one_of_the_planes(s: &Stage, planes: [usize; 2]) -> bool {
    let first = s.origin(1, 0).rem_euclid(planes[1] as i64) == 0;
    !s.side && s.taps.kernel == [1, 1] && planes[0] > 1 && planes[1] > 1 && first
}

impl Fill {
    /// A fill that holds `columns` of the map (widened to whole beats and lines) of some channels.
    pub fn new(
        s: &Stage,
        planes: [usize; 2],
        channels: Range<usize>,
        columns: Range<usize>,
        a: &Accelerator,
    ) -> Self {
        Self::of_sets(s, planes, channels, columns, false, a)
    }

    /// A fill, `paired`: in two sets.
    fn of_sets(
        s: &Stage,
        planes: [usize; 2],
        channels: Range<usize>,
        columns: Range<usize>,
        paired: bool,
        a: &Accelerator,
    ) -> Self {
        let align = a.column_align();
        let from = columns.start / align * align;
        let to = columns.end.max(from + 1).next_multiple_of(align);
        let words = to - from;
        let dealt = if s.side { 1 } else { planes[1] };
        let c_pitch = (words / dealt).div_ceil(a.line_words());
        let set_lines = paired.then_some(a.act_depth / 2);
        let plane_lines = match paired {
            true => channels.len().div_ceil(2) * c_pitch,
            false => channels.len() * c_pitch,
        };
        let (plane_pitch, plane_y_pitch, row_pitch) = match one_of_the_planes(s, planes) {
            // Words of the other column planes go where the next channels' words come after them, or behind the last channel's.
            true => (c_pitch, 0, plane_lines + (planes[1] - 1) * c_pitch),
            false => {
                let whole = planes[1] * plane_lines;
                (plane_lines, whole, planes[0] * whole)
            }
        };
        let map = s.sources[0].info.layout.shape;
        Fill {
            pieces: pieces(s, &channels),
            side: s.side,
            map,
            planes,
            channels,
            columns: from..to.min(map.w),
            beats: words / BEAT_WORDS,
            c_pitch,
            plane_pitch,
            plane_y_pitch,
            row_pitch,
            set_lines,
            slots: 1,
            base: 0,
            first_slot: 0,
            fold: None,
            images: None,
            number: 0,
            listed: Vec::new(),
            // Dealt columns take a row bank's write port twice.
            two: a.load_ports > 1 && planes[0] == 1 && dealt == 1,
            whole: false,
            kept: 0,
            local: false,
            taken: Vec::new(),
        }
    }

    /// The fill for a stage's result columns, `paired`: in two sets.
    pub fn for_columns(
        s: &Stage,
        results: Range<usize>,
        channels: Range<usize>,
        paired: bool,
        a: &Accelerator,
    ) -> Self {
        let w = s.sources[0].info.layout.shape.w as i64;
        let from = s.origin(1, results.start).clamp(0, w - 1);
        let to = s.origin(1, results.end - 1) + s.span(1) as i64;
        // Results that see padding only still need a fill: one column of it.
        let columns = from as usize..to.clamp(from + 1, w) as usize;
        Self::of_sets(s, s.planes(), channels, columns, paired, a)
    }

    /// Rows of the map.
    pub fn height(&self) -> usize {
        self.map.h
    }

    /// Words of a channel's row, where the fill can take whole rows of a map from local stores.
    pub fn whole_row(&self, s: &Stage) -> Option<usize> {
        let all = self.columns.start == 0 && !self.side && self.pieces.len() == 1;
        let rows = (0..self.planes[0]).all(|y| self.row_is_used(y, s));
        (all && rows).then_some(self.beats * BEAT_WORDS)
    }

    /// True where the buffer holds so many slots.
    pub fn holds(&self, slots: usize, a: &Accelerator) -> bool {
        slots * self.row_pitch <= self.set_lines.unwrap_or(a.act_depth)
    }

    /// Slots that rows `rows` of the map need at once.
    pub fn slots_for(&self, rows: &Range<usize>) -> usize {
        if rows.is_empty() {
            return 1;
        }
        let p = self.planes[0];
        ((rows.end - 1) / p - rows.start / p + 1).div_ceil(4)
    }

    /// The end of the rows for which the ring has room while row `from` and those behind it are in use: each bank is a ring of rows.
    pub fn room(&self, from: usize) -> usize {
        let p = self.planes[0];
        (from / p + self.slots * 4) * p
    }

    /// As many slots as the buffer has room for, at most `most`.
    pub fn open(&mut self, most: usize, a: &Accelerator) {
        let lines = self.set_lines.unwrap_or(a.act_depth);
        self.slots = (lines / self.row_pitch).clamp(1, most.max(1));
    }

    /// Lays the ring behind the fill before it, whose rows may still be in use when this one's first rows come.
    pub fn place(&mut self, jobs: &mut Jobs) {
        let sets = 1 + usize::from(self.set_lines.is_some());
        (self.base, self.first_slot) = jobs.fills.take(self.slots, self.row_pitch, sets);
        self.number = jobs.fill;
        jobs.fill += 1;
    }

    /// Lists loads up to the rows' end and returns the items that hold the rows: those of this fill from the first to the last.
    /// Rows must come in ascending order. What local stores bring is there; of that, the items that hold some channels.
    pub fn rows(
        &mut self,
        rows: Range<usize>,
        channels: &Range<usize>,
        s: &Stage,
        jobs: &mut Jobs,
    ) -> Loads {
        let mut loads = Loads::default();
        loads.first_row = rows.start;
        match self.local {
            true => loads[LOCAL] = self.held(&rows, channels),
            false => loads[ACTIVATIONS] = self.list_rows(rows, s, jobs),
        }
        loads
    }

    /// Rows before this one are no longer needed.
    pub fn keep(&mut self, first: usize) {
        self.kept = first;
    }

    /// From the first to the last item that holds some of these rows and channels.
    fn held(&self, rows: &Range<usize>, channels: &Range<usize>) -> Range<usize> {
        let meet = |a: &Range<usize>| a.start < channels.end && channels.start < a.end;
        let items = self
            .taken
            .iter()
            .filter(|(y, c, _)| rows.contains(y) && meet(c));
        let all = items.map(|t| t.2..t.2 + 1);
        all.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// Lists loads of rows of some channels that the latest job's stores bring, in the order in which these bring them: two at once
    /// where these lie in neighbouring row banks as they are.
    pub fn takes(&mut self, rows: impl Iterator<Item = (Range<usize>, usize)>, jobs: &mut Jobs) {
        let mut rows = rows.peekable();
        let from_even = rows.peek().is_some_and(|(_, y)| y % 2 == 0);
        for at_once in jobs.stay(from_even && self.planes == [1, 1]) {
            let Some((channels, y)) = rows.next() else {
                break;
            };
            let row_line = self.row_line(y / self.planes[0], y % self.planes[0]);
            let beats = channels.len() * self.beats;
            let (load, lines) = self.load(row_line, channels.start, channels.len(), self.planes[1]);
            let load = Load {
                seg_beats: field(beats),
                seg_count: 1,
                row_bank: field(y / self.planes[0] % 4),
                local: 1,
                both: i32::from(at_once == 2),
                ..load
            };
            let item = jobs.loads[LOCAL].len();
            let others = rows.by_ref().take(at_once - 1);
            let all = std::iter::once((channels, y)).chain(others);
            let taken = all.map(|(channels, y)| (y, channels, item));
            self.taken.extend(taken);
            jobs.load(self.number, y, load, lines);
        }
    }

    /// Lists loads up to the rows' end; the items of the rows.
    fn list_rows(&mut self, rows: Range<usize>, s: &Stage, jobs: &mut Jobs) -> Range<usize> {
        let first = self.listed.last().map_or(rows.start, |(y, _)| y + 1);
        let mut y = first.max(rows.start);
        while y < rows.end {
            let at_once = match self.comes_with_next(y, &rows) {
                true => 2,
                false => 1,
            };
            if self.row_is_used(y, s) {
                let from = jobs.loads[ACTIVATIONS].len();
                let images = self.images.map_or(1, |i| i.count);
                (0..images).for_each(|n| self.list(y, at_once, n, 0, jobs));
                if let Some(fold) = self.fold.filter(|f| y >= f.from) {
                    (1..fold.parts).for_each(|part| self.list(y, at_once, 0, part, jobs));
                }
                let items = from..jobs.loads[ACTIVATIONS].len();
                self.listed
                    .extend((y..y + at_once).map(|y| (y, items.clone())));
            }
            y += at_once;
        }
        let at = |y: usize| self.listed.partition_point(|(r, _)| *r < y);
        match &self.listed[at(rows.start)..at(rows.end)] {
            [] => 0..0,
            [only] => only.1.clone(),
            [first, .., last] => first.1.start..last.1.end,
        }
    }

    /// True where row `y`, one of `rows`, and the one below it come in one load.
    fn comes_with_next(&self, y: usize, rows: &Range<usize>) -> bool {
        let end = match self.whole {
            true => self.map.h.min(self.room(self.kept)).max(rows.end),
            false => rows.end,
        };
        let alike = self.fold.is_none_or(|f| match y < f.from {
            true => y + 1 < f.from,
            false => f.rows % 2 == 0,
        });
        self.two && self.images.is_none() && y % 2 == 0 && y + 1 < end && alike
    }

    /// Strides larger than the kernel skip whole row planes.
    fn row_is_used(&self, y: usize, s: &Stage) -> bool {
        let p = self.planes[0];
        (0..s.taps.kernel[0].min(p)).any(|ky| {
            let tap = s.origin(0, 0) + ky as i64;
            tap.rem_euclid(p as i64) as usize == y % p
        })
    }

    /// A row of an image, or it and the one below; of a fold's rows from part `part` on.
    fn list(&self, y: usize, at_once: usize, image: usize, part: usize, jobs: &mut Jobs) {
        let (skip, bank) = match self.fold {
            Some(f) => (part * f.columns, part * f.rows),
            None => (0, 0),
        };
        let (row, py) = (y / self.planes[0], y % self.planes[0]);
        let (row, pitch) = match self.images {
            Some(images) => (4 * row + image, images.pitch),
            None => (row, 0),
        };
        let row_line = self.row_line(row, py);
        for (at, piece) in &self.pieces {
            let layout = &piece.info.layout;
            let count = piece.channels.len();
            let whole = self.beats * BEAT_WORDS == layout.padded_w;
            let (seg_count, seg_beats) = match whole {
                true => (1, count * self.beats - skip / BEAT_WORDS),
                false => (count, self.beats),
            };
            let ddr = piece.info.offset
                + image * pitch
                + y * layout.row_bytes
                + piece.channels.start * layout.channel_bytes()
                + (self.columns.start + skip) * layout.word_bytes;
            let (first, stride) = match self.side {
                true => (0, 1),
                false => (*at, self.planes[1]),
            };
            let base = match self.side {
                true => row_line + at * self.plane_pitch,
                false => row_line,
            };
            let (load, lines) = self.load(base, first, count, stride);
            let load = Load {
                ddr: address(ddr),
                seg_beats: field(seg_beats),
                seg_count: field(seg_count),
                seg_stride: address(layout.channel_bytes()),
                row_bank: field(row % 4 + bank),
                both: i32::from(at_once == 2),
                second: match at_once {
                    2 => address(layout.row_bytes),
                    _ => 0,
                },
                ..load
            };
            jobs.load(self.number, y, load, lines);
        }
    }

    /// The first line of a row of a plane of rows.
    fn row_line(&self, row: usize, plane: usize) -> usize {
        let slot = (row / 4 + self.first_slot) % self.slots;
        self.base + slot * self.row_pitch + plane * self.plane_y_pitch
    }

    /// Where `count` channels of a row at line `base` go, from the fill's channel `first` on, and the lines that they overwrite.
    fn load(&self, base: usize, first: usize, count: usize, stride: usize) -> (Load, Lines) {
        let line = match self.set_lines {
            Some(set) => base + first / 2 * self.c_pitch + first % 2 * set,
            None => base + first * self.c_pitch,
        };
        let load = Load {
            line: field(line),
            stride: field(stride),
            target: target::ACTIVATIONS,
            channel_beats: field(self.beats),
            plane_pitch: field(self.plane_pitch),
            parity: i32::from(self.set_lines.is_some()),
            ..Load::default()
        };
        if let Some(set) = self.set_lines {
            // Of each plane, the even channels' lines in the lower set, the odd ones' in the upper one. Behind an odd number of
            // channels that of the one that is missing too: what lies there stays the same, for sums of it are reused.
            let last = first + count;
            let end = last + usize::from(last == self.channels.len()) * (last % 2);
            let channels = [0, 1].map(|odd| {
                let pairs = |c: usize| (c + 1 - odd) / 2 * self.c_pitch;
                odd * set + pairs(first)..odd * set + pairs(end)
            });
            let lines = (0..stride)
                .map(|p| base + p * self.plane_pitch)
                .flat_map(|at| channels.clone().map(|c| at + c.start..at + c.end))
                .filter(|lines| !lines.is_empty())
                .collect();
            return (load, lines);
        }
        let lines = count * self.c_pitch;
        // A slot of one plane of rows is that plane.
        let row_plane = match self.plane_y_pitch {
            0 => self.row_pitch,
            pitch => pitch,
        };
        // Where it brings not all channels each plane's lines are told apart, for others lie between them.
        let (each, planes) = match stride {
            1 => (lines, 1),
            _ if count == self.channels.len() => (row_plane, 1),
            _ => (lines, stride),
        };
        let lines = (0..planes)
            .map(|p| line + p * self.plane_pitch)
            .map(|l| l..l + each)
            .collect();
        (load, lines)
    }

    /// A compute command's view of the fill: channels from `c0` on, first tap at map position (y, x), taps so many rows and
    /// columns apart.
    ///
    /// Taps, tiles and results are the caller's to set.
    pub fn view(&self, dilation: [usize; 2], c0: usize, y: i64, x: i64) -> Compute {
        let [sy, sx] = self.planes.map(|p| p as i64);
        let x = x - self.columns.start as i64;
        let (plane_y, py) = (y.div_euclid(sy), y.rem_euclid(sy) as usize);
        let (plane_x, px) = match self.side {
            true => (x, 0),
            false => (x.div_euclid(sx), x.rem_euclid(sx) as usize),
        };
        let plane_y = if self.images.is_some() {
            4 * plane_y
        } else {
            plane_y
        };
        // Between planes a position moves by one; `dilation` counts only where the phase always carries.
        let [mut dy, dx] = dilation;
        if self.images.is_some() {
            dy = 4;
        }
        let channel = c0 - self.channels.start;
        let channel_line = match self.set_lines {
            Some(_) => channel / 2 * self.c_pitch,
            None => channel * self.c_pitch,
        };
        let slot_line = |slot: i64| slot.rem_euclid(self.slots as i64) as usize * self.row_pitch;
        let (h, w) = (self.map.h, self.columns.len());
        let [sy, sx] = self.planes;
        let h_full = if self.images.is_some() { 4 * h } else { h / sy };
        let (w_full, w_rem) = match self.side {
            true => (w, 0),
            false => (w / sx, w % sx),
        };
        Compute {
            ring_lines: field(self.slots * self.row_pitch),
            // The ring is seen from the first channel used, so all of it moves up by that channel's lines.
            ring_end: field(self.base + self.slots * self.row_pitch + channel_line),
            row_line: field(
                self.base
                    + slot_line(plane_y.div_euclid(4) + self.first_slot as i64)
                    + channel_line,
            ),
            row_pitch: field(self.row_pitch),
            c_pitch: field(self.c_pitch),
            row_step: field(slot_line(dy as i64 / 4)),
            row_step_carry: field(slot_line(dy as i64 / 4 + 1)),
            x_start: plane_x as i32,
            y_start: plane_y as i32,
            w_full: field(w_full),
            h_full: field(h_full),
            plane_pitch: field(self.plane_pitch),
            plane_y_pitch: field(self.plane_y_pitch),
            plane_x0: field(px * self.plane_pitch),
            plane_y0: field(py * self.plane_y_pitch),
            stride: field(sx.max(sy)),
            px0: field(px),
            py0: field(py),
            w_rem: field(w_rem),
            h_rem: field(h % sy),
            dilation_x: field(dx),
            dilation_y: field(dy),
            paired: i32::from(self.set_lines.is_some()),
            ..Compute::default()
        }
    }
}
