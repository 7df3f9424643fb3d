//! The step sequence, against the loop nest and the closed forms of `isa::Compute`'s docstring.

use super::{edge, ready, seeds, settle};
use crate::control::{ResultAddress, Sequencer, WeightAddress, Window};
use cnna_emit::dff::ClockReset;
use cnna_machine::isa::{Compute, mode};
use cnna_machine::timing;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rust_hdl_core::prelude::*;

/// Where the ring of rows lies: `slots` slots of four rows, the window's first in `slot`.
struct Ring {
    slots: i32,
    slot: i32,
}

/// A step as the datapath sees it, with the cycle of its decision after the command was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    cycle: u64,
    row_a: u16,
    row_b: u16,
    off: u16,
    x: i16,
    y: i16,
    w: u16,
    h: u16,
    clear: bool,
    drain: bool,
    pool_first: bool,
    pool_last: bool,
    weight: (u16, u8),
    result: Option<(u16, u8, u16, bool)>,
    release: bool,
}

/// A command with consistent geometry, small enough to walk through.
fn command(r: &mut StdRng) -> (Compute, Ring) {
    let stride = [1, 1, 2, 4][r.random_range(0..4)];
    let (dilation_x, dilation_y) = (r.random_range(1..7), r.random_range(1..7));
    let row_pitch = r.random_range(1..9);
    let slots = r.random_range(4..9);
    let slot = r.random_range(0..slots);
    let start = r.random_range(0..20);
    let mode = r.random_range(0..4);
    let lanes = r.random_range(1..8);
    let c = Compute {
        mode,
        first: r.random_range(0..2),
        last: i32::from(mode == mode::POOL || r.random_ratio(3, 4)),
        pool: r.random_range(0..2),
        paired: i32::from(mode == mode::DIRECT && r.random()),
        tiles: r.random_range(1..4),
        lanes,
        c_count: if mode == mode::POOL {
            lanes
        } else {
            r.random_range(1..6)
        },
        kx_count: r.random_range(1..5),
        ky_count: r.random_range(1..5),
        weight_row: r.random_range(0..60),
        ring_lines: slots * row_pitch,
        ring_end: start + slots * row_pitch,
        row_line: start + slot * row_pitch,
        row_pitch,
        c_pitch: r.random_range(0..40),
        row_step: dilation_y / 4 * row_pitch,
        row_step_carry: (dilation_y / 4 + 1) * row_pitch,
        x_step: r.random_range(-9..9),
        x_start: r.random_range(-8..8),
        y_start: r.random_range(-8..8),
        w_full: r.random_range(0..30),
        h_full: r.random_range(0..30),
        out_line: r.random_range(0..50),
        plane_pitch: r.random_range(0..70),
        plane_y_pitch: r.random_range(0..70),
        plane_x0: r.random_range(0..70),
        plane_y0: r.random_range(0..70),
        stride,
        px0: r.random_range(0..stride),
        py0: r.random_range(0..stride),
        w_rem: r.random_range(0..4),
        h_rem: r.random_range(0..4),
        dilation_x,
        dilation_y,
        ..Compute::default()
    };
    (c, Ring { slots, slot })
}

/// Phase, carries and lines to the plane of a tap: planes follow each other until the phase carries into plane 0.
fn tap(k: i32, first: i32, stride: i32, to_first: i32, pitch: i32) -> (i32, i32, i32) {
    let (phase, carries) = ((first + k) % stride, (first + k) / stride);
    let lines = if carries == 0 {
        to_first + k * pitch
    } else {
        phase * pitch
    };
    (phase, carries, lines)
}

/// All steps of a command; `free` is the cycle from which a draining pass may end.
fn model(c: &Compute, ring: &Ring, tiles_wide: i32, mut free: u64) -> (Vec<Step>, u64) {
    let pool = c.mode == mode::POOL;
    let results = match c.mode {
        mode::POOL => 1,
        _ => c.lanes,
    };
    let slices = if c.mode == mode::WINOGRAD {
        1
    } else {
        timing::SLICES
    };
    let drain_time = timing::MIN_PASS.max(results as u64 * slices);
    let mut order = vec![];
    for tile in 0..c.tiles {
        if pool {
            for ch in 0..c.c_count {
                for ky in 0..c.ky_count {
                    order.extend((0..c.kx_count).map(|kx| (tile, ky, kx, ch)));
                }
            }
        } else {
            for ky in 0..c.ky_count {
                for kx in 0..c.kx_count {
                    order.extend((0..c.c_count).map(|ch| (tile, ky, kx, ch)));
                }
            }
        }
    }
    let per_pass = (c.c_count * c.kx_count * c.ky_count) as usize;
    let (mut steps, mut cycle) = (vec![], 0);
    for (n, (tile, ky, kx, ch)) in order.iter().copied().enumerate() {
        let (px, x_carries, x_lines) = tap(kx, c.px0, c.stride, c.plane_x0, c.plane_pitch);
        let (py, y_carries, y_lines) = tap(ky, c.py0, c.stride, c.plane_y0, c.plane_y_pitch);
        let y = c.y_start + y_carries * c.dilation_y;
        let slot = ring.slot + y.div_euclid(4) - c.y_start.div_euclid(4);
        let line = |slot: i32| {
            (c.ring_end - c.ring_lines + slot.rem_euclid(ring.slots) * c.row_pitch) as u16
        };
        let in_pass = n % per_pass;
        let taps_first = (kx, ky) == (0, 0);
        let taps_last = (kx, ky) == (c.kx_count - 1, c.ky_count - 1);
        let pass_last = in_pass + 1 == per_pass;
        let drains = c.last == 1 && if pool { taps_last } else { pass_last };
        cycle += 1;
        if drains {
            cycle = cycle.max(free);
            free = cycle + drain_time;
        }
        let weight = match c.mode {
            mode::DIRECT if c.paired == 1 => (in_pass / 4, in_pass % 4 * 2),
            mode::DIRECT => (in_pass / 8, in_pass % 8),
            _ => (in_pass, 0),
        };
        // Words of the results' line before this tile: pooling halves them.
        let columns = tile * tiles_wide * if c.mode == mode::WINOGRAD { 2 } else { 4 };
        let words = columns / (1 + c.pool);
        let describes = if pool { drains && ch == 0 } else { drains };
        steps.push(Step {
            cycle,
            row_a: line(slot),
            row_b: line(slot + 1),
            off: (ch * c.c_pitch + x_lines + y_lines) as u16,
            x: (c.x_start + tile * c.x_step + x_carries * c.dilation_x) as i16,
            y: y as i16,
            w: (c.w_full + i32::from(px < c.w_rem)) as u16,
            h: (c.h_full + i32::from(py < c.h_rem)) as u16,
            clear: c.first == 1 && in_pass == 0,
            drain: drains && !pool,
            pool_first: taps_first,
            pool_last: drains && pool,
            weight: ((c.weight_row as usize + weight.0) as u16, weight.1 as u8),
            result: describes.then_some((
                (c.out_line + words / (4 * tiles_wide)) as u16,
                (words % (4 * tiles_wide) / tiles_wide) as u8,
                columns as u16,
                tile + 1 == c.tiles,
            )),
            release: n + 1 == order.len(),
        });
    }
    (steps, free)
}

/// The four blocks as the top level wires them.
struct Dut {
    seq: Sequencer,
    window: Window,
    weight: WeightAddress,
    result: ResultAddress,
}

impl Dut {
    fn new(tiles: usize) -> Self {
        Dut {
            seq: ready!(Sequencer::default()),
            window: ready!(Window::default()),
            weight: ready!(WeightAddress::default()),
            result: ready!(ResultAddress::new(tiles)),
        }
    }

    /// Fields of the command held and, for those loaded at once, of the one at the queue's head.
    fn fields(&mut self, held: &Compute, head: &Compute, signal: u64) {
        macro_rules! drive {
            ($block:ident: $($port:ident = $value:expr),+ $(,)?) => {
                $(self.$block.$port.next = bits_of($value);)+
            };
        }
        /// The field's bits, signed ones in two's complement.
        fn bits_of<const N: usize>(value: i32) -> Bits<N> {
            (value as u32 as u64 & ((1 << N) - 1)).into()
        }
        let (c, n) = (held, head);
        drive!(seq: mode = c.mode, tiles = c.tiles, lanes = c.lanes, c_count = c.c_count, kx_count = c.kx_count,
            ky_count = c.ky_count, new_mode = n.mode, new_tiles = n.tiles, new_lanes = n.lanes, new_c_count = n.c_count,
            new_kx_count = n.kx_count, new_ky_count = n.ky_count);
        (self.seq.first.next, self.seq.last.next) = (c.first == 1, c.last == 1);
        (self.seq.paired.next, self.weight.paired.next) = (c.paired == 1, c.paired == 1);
        self.seq.signal.next = signal.into();
        drive!(window: ring_lines = c.ring_lines,
            ring_end = c.ring_end, row_line = c.row_line, row_pitch = c.row_pitch, c_pitch = c.c_pitch,
            row_step = c.row_step, row_step_carry = c.row_step_carry, x_step = c.x_step, x_start = c.x_start, y_start = c.y_start,
            w_full = c.w_full, h_full = c.h_full, w_rem = c.w_rem, h_rem = c.h_rem, plane_pitch = c.plane_pitch,
            plane_y_pitch = c.plane_y_pitch, plane_x0 = c.plane_x0, plane_y0 = c.plane_y0, stride = c.stride,
            px0 = c.px0, py0 = c.py0, dilation_x = c.dilation_x, dilation_y = c.dilation_y);
        drive!(weight: mode = c.mode, weight_row = c.weight_row);
        drive!(result: mode = c.mode, out_line = c.out_line, lanes = c.lanes);
        self.result.pool.next = c.pool == 1;
    }

    /// Settles and passes on what the sequencer says.
    fn settle(&mut self) {
        settle(&mut self.seq);
        let (s, w) = (&self.seq, &mut self.window);
        (w.taken.next, w.step.next) = (s.taken.val(), s.step.val());
        (w.c_move.next, w.c_wrap.next) = (s.c_move.val(), s.c_wrap.val());
        (w.kx_move.next, w.kx_wrap.next) = (s.kx_move.val(), s.kx_wrap.val());
        (w.ky_move.next, w.ky_wrap.next) = (s.ky_move.val(), s.ky_wrap.val());
        w.tile_move.next = s.tile_move.val();
        let a = &mut self.weight;
        (a.taken.next, a.step.next, a.pass_end.next) =
            (s.taken.val(), s.step.val(), s.pass_end.val());
        (self.result.taken.next, self.result.tile_move.next) = (s.taken.val(), s.tile_move.val());
        settle(w);
        settle(a);
        settle(&mut self.result);
    }

    fn edge(&mut self) {
        edge!(self.seq, false);
        edge!(self.window, false);
        edge!(self.weight, false);
        edge!(self.result, false);
    }
}

/// A step that was decided, and what belongs to it.
#[derive(Clone)]
struct Decided {
    step: Step,
    command: Compute,
    signal: u64,
    place: String,
}

/// The two stages behind the decision: what was decided one and two cycles ago.
#[derive(Default)]
struct Stages {
    one: Option<Decided>,
    two: Option<Decided>,
}

impl Stages {
    /// One cycle: compares what leaves with the steps decided before it, then the clock edge.
    fn cycle(&mut self, dut: &mut Dut, decided: Option<Decided>) {
        dut.settle();
        self.moves(dut);
        self.addresses(dut);
        dut.edge();
        self.two = self.one.take();
        self.one = decided;
    }

    /// One cycle after a step: that it was one, its results, its tokens.
    fn moves(&self, dut: &Dut) {
        let (s, a) = (&dut.seq, &dut.result);
        let place = self.one.as_ref().map_or("no step", |d| &d.place);
        assert_eq!(s.step.val(), self.one.is_some(), "{place}");
        let result = s.describe.val().then(|| {
            (
                a.line.val().to_u64() as u16,
                a.quarter.val().to_u64() as u8,
                a.column.val().to_u64() as u16,
                s.tile_last.val(),
            )
        });
        let (want, release) = self.one.as_ref().map_or((None, 0), |d| {
            (d.step.result, if d.step.release { d.signal & 3 } else { 0 })
        });
        assert_eq!(result, want, "{place}");
        assert_eq!(s.releases.val().to_u64(), release, "{place}");
        if let (Some(d), Some(_)) = (&self.one, result) {
            assert_eq!(
                a.last_lane.val().to_u64(),
                d.command.lanes as u64 - 1,
                "{place}"
            );
        }
    }

    /// Two cycles after a step: its addresses and flags.
    fn addresses(&self, dut: &Dut) {
        let (s, w) = (&dut.seq, &dut.window);
        let Some(d) = &self.two else {
            let quiet = [&s.drain, &s.pool_last, &s.clear, &s.paired_after].map(|f| f.val());
            assert_eq!((quiet, w.w.val().to_u64()), ([false; 4], 0));
            return;
        };
        let got = Step {
            row_a: w.row_a.val().to_u64() as u16,
            row_b: w.row_b.val().to_u64() as u16,
            off: w.off.val().to_u64() as u16,
            x: w.x.val().to_u64() as i16,
            y: w.y.val().to_u64() as i16,
            w: w.w.val().to_u64() as u16,
            h: w.h.val().to_u64() as u16,
            clear: s.clear.val(),
            drain: s.drain.val(),
            pool_first: s.pool_first.val(),
            pool_last: s.pool_last.val(),
            weight: (
                dut.weight.row.val().to_u64() as u16,
                dut.weight.word.val().to_u64() as u8,
            ),
            // Checked by `moves`.
            ..d.step
        };
        assert_eq!(got, d.step, "{}", d.place);
        let c = &d.command;
        assert_eq!(s.mode_after.val().to_u64(), c.mode as u64);
        assert_eq!(s.pool_after.val(), c.mode == mode::POOL);
        assert_eq!(s.paired_after.val(), c.paired == 1);
        assert_eq!(s.lanes_after.val().to_u64(), c.lanes as u64);
    }
}

#[test]
fn steps_follow_the_documented_loops_cycle_by_cycle() {
    for (seed, tiles) in seeds().into_iter().zip([1usize, 2, 4].into_iter().cycle()) {
        let mut r = StdRng::seed_from_u64(seed);
        let mut dut = Dut::new(tiles);
        let mut stages = Stages::default();
        // Cycles before the draining pass of an earlier command has left, counted from the take.
        let mut free = 0u64;
        for n in 0..6 {
            let (c, ring) = command(&mut r);
            let signal = r.random_range(0..16u64);
            let (expected, next_free) = model(&c, &ring, tiles as i32, free);
            let end = expected.last().map_or(0, |s| s.cycle);
            // The command held before stays until this one is taken; the head's fields behind it may be anything.
            let (other, _) = command(&mut r);
            dut.seq.start.next = true;
            let held = stages.one.as_ref().map_or(other, |d| d.command);
            let held_signal = stages.one.as_ref().map_or(signal, |d| d.signal);
            dut.fields(&held, &c, held_signal);
            dut.settle();
            assert!(dut.seq.ready.val() && dut.seq.take.val());
            stages.cycle(&mut dut, None);
            dut.fields(&c, &other, signal);
            let mut at = expected.iter().peekable();
            for cycle in 1..=end {
                if cycle == end {
                    dut.seq.start.next = false;
                }
                dut.settle();
                assert!(
                    !dut.seq.ready.val() && !dut.seq.take.val(),
                    "busy until the last step"
                );
                let decided = at.next_if(|e| e.cycle == cycle).map(|step| Decided {
                    step: *step,
                    command: c,
                    signal,
                    place: format!("seed {seed}, command {n}, cycle {cycle}: {c:?}"),
                });
                stages.cycle(&mut dut, decided);
            }
            assert!(at.next().is_none());
            // A pause of some cycles before the next command, which the pace also counts.
            let pause = r.random_range(0..6);
            for _ in 0..pause {
                dut.settle();
                assert!(dut.seq.ready.val());
                stages.cycle(&mut dut, None);
            }
            free = next_free.saturating_sub(end + 1 + pause);
        }
        // The last step leaves both stages.
        for _ in 0..2 {
            stages.cycle(&mut dut, None);
        }
    }
}
