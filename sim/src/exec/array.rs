//! Compute commands: checks, then the array's sums for WINOGRAD and DIRECT and the maxima for POOL.
//!
//! Sums are formed in `f64`: every product of two words is below 2^31 and a command has fewer than 2^22 of them, so all
//! partial sums are exact. WINOGRAD is formed as the equal direct 3x3 sum.

use super::fault::{Fault, positive};
use super::results::{bias, wrap, write_channel};
use super::vector;
use super::window::{TapColumn, TapRow, gather, tap_columns, tap_rows};
use crate::buffers::{Buffers, LANE_BLOCK};
use cnna_machine::config::depth::KEPT_PASSES;
use cnna_machine::config::{KERNEL_WORDS, PLAIN_WORDS};
use cnna_machine::isa::{Compute, mode};
use cnna_machine::num::{ACC_BITS, WINOGRAD_BITS};
use rayon::prelude::*;
use wide::f64x4;

/// Lanes and columns whose sums stay in registers.
const LANES: usize = LANE_BLOCK;
const COLUMNS: usize = 8;
/// Columns from a strip's first tap to its last.
const MOST_APART: usize = 1 << 12;
/// Operands (f64) gathered at once: half of a small second-level cache.
const BLOCK: usize = 1 << 15;
/// Multiplications from which threads pay.
const PARALLEL: usize = 1 << 21;

/// One term of the sums, or in WINOGRAD mode the nine of a kernel: where its operands begin, and its weights.
#[derive(Clone, Copy)]
struct Term {
    /// Offset of (row 0, column 0) in the gathered operands.
    at: usize,
    /// Words between rows.
    pitch: usize,
    /// Offset of lane 0's weight in the weight buffer.
    weight: usize,
}

/// Runs a `Compute`; returns how many valid results saturation changed.
pub fn compute(cmd: &Compute, b: &mut Buffers) -> Result<u64, Fault> {
    let tiles = positive("tiles", cmd.tiles)?;
    let lanes = positive("lanes", cmd.lanes)?;
    positive("rows", cmd.rows)?;
    if ![1, 2, 4].contains(&cmd.stride) {
        return Err(Fault::Field {
            field: "stride",
            value: cmd.stride,
            expected: "1, 2 or 4",
        });
    }
    if cmd.paired == 1 && !(b.paired && cmd.mode == mode::DIRECT) {
        return Err(Fault::Field {
            field: "paired",
            value: cmd.paired,
            expected: "0 but in DIRECT mode of a machine with pairs",
        });
    }
    let steps = positive("c_count", cmd.c_count)?
        * positive("kx_count", cmd.kx_count)?
        * positive("ky_count", cmd.ky_count)?;
    if cmd.diag == 1 && cmd.mode != mode::WINOGRAD {
        return Err(Fault::Field {
            field: "diag",
            value: 1,
            expected: "0 but in WINOGRAD mode",
        });
    }
    let weight_rows = match cmd.mode {
        mode::POOL => 0,
        _ if cmd.diag == 1 => steps / cmd.c_count as usize,
        mode::DIRECT => (steps * channels_a_step(cmd)).div_ceil(PLAIN_WORDS),
        _ => steps,
    };
    let end = cmd.weight_row as usize + weight_rows;
    if end > b.weight_depth() {
        return Err(Fault::Buffer {
            buffer: "weight buffer",
            at: end - 1,
            depth: b.weight_depth(),
        });
    }
    if cmd.mode != mode::POOL && lanes > b.lanes {
        return Err(Fault::Field {
            field: "lanes",
            value: cmd.lanes,
            expected: "at most the machine's lanes",
        });
    }
    let whole = cmd.first == 1 && cmd.last == 1;
    if (tiles > 1 || cmd.mode == mode::POOL) && !whole || cmd.mode == mode::VECTOR && tiles > 1 {
        return Err(Fault::Field {
            field: "tiles",
            value: cmd.tiles,
            expected: "1 in vector mode and where sums continue in the next command",
        });
    }
    if cmd.paired == 1 && cmd.last == 1 {
        (0..cmd.tiles).try_for_each(|t| keep(cmd, t, b))?;
    }
    let per_pass = match cmd.mode {
        mode::VECTOR => return vector::run(cmd, b),
        mode::WINOGRAD => 2 * b.tiles,
        _ => 4 * b.tiles,
    };
    let one = match cmd.mode {
        mode::POOL => pool_strip,
        _ => sum_strip,
    };
    // Passes side by side without a gap are one strip.
    if cmd.x_step as usize == per_pass {
        return one(cmd, b, 0, 0, tiles * per_pass);
    }
    (0..tiles).try_fold(0, |n, t| {
        let x = t as i32 * cmd.x_step;
        Ok(n + one(cmd, b, x, t * per_pass, per_pass)?)
    })
}

/// The sums of products of operands of a paired command's pass: kept, or reused where an earlier pass of the same window kept them.
fn keep(cmd: &Compute, tile: i32, b: &mut Buffers) -> Result<(), Fault> {
    let at = match cmd.begins == 1 && tile == 0 {
        true => 0,
        false => b.kept_at,
    };
    let window = Compute {
        x_start: cmd.x_start + tile * cmd.x_step,
        c_count: cmd.c_count,
        kx_count: cmd.kx_count,
        ky_count: cmd.ky_count,
        ring_lines: cmd.ring_lines,
        ring_end: cmd.ring_end,
        row_line: cmd.row_line,
        row_pitch: cmd.row_pitch,
        c_pitch: cmd.c_pitch,
        row_step: cmd.row_step,
        row_step_carry: cmd.row_step_carry,
        y_start: cmd.y_start,
        w_full: cmd.w_full,
        h_full: cmd.h_full,
        plane_pitch: cmd.plane_pitch,
        plane_y_pitch: cmd.plane_y_pitch,
        plane_x0: cmd.plane_x0,
        plane_y0: cmd.plane_y0,
        stride: cmd.stride,
        px0: cmd.px0,
        py0: cmd.py0,
        w_rem: cmd.w_rem,
        h_rem: cmd.h_rem,
        dilation_x: cmd.dilation_x,
        dilation_y: cmd.dilation_y,
        ..Compute::default()
    };
    if cmd.reuses == 1 && b.kept[at] != Some(window) {
        return Err(Fault::Field {
            field: "reuses",
            value: 1,
            expected: "0 where the sums that are kept in this place are not those of the same window",
        });
    }
    b.kept[at] = Some(window);
    b.kept_at = (at + 1) % KEPT_PASSES;
    Ok(())
}

/// Channels of a step, and in DIRECT mode weights.
fn channels_a_step(cmd: &Compute) -> usize {
    1 + usize::from(cmd.paired == 1)
}

/// Maxima of `width` columns whose first window is `x` columns to the right of the command's; results from column `x0` on.
fn pool_strip(
    cmd: &Compute,
    b: &mut Buffers,
    x: i32,
    x0: usize,
    width: usize,
) -> Result<u64, Fault> {
    let (rows, columns) = (tap_rows(cmd)?, tap_columns(cmd)?);
    let lowest = b.word.min() as i16;
    let mut saturated = 0;
    let mut best = vec![lowest; 4 * width];
    let mut operand = vec![0; width];
    for c in 0..cmd.lanes as usize {
        best.fill(lowest);
        for (row, column) in rows
            .iter()
            .flat_map(|r| columns.iter().map(move |c| (r, c)))
        {
            for (i, best) in best.chunks_exact_mut(width).enumerate() {
                let at = column.x + x;
                gather(b, cmd, row, column, at, i, c, &mut operand, lowest, |v| v)?;
                for (m, &v) in best.iter_mut().zip(&operand) {
                    *m = v.max(*m);
                }
            }
        }
        let acc: Vec<i64> = best.iter().map(|&v| v.into()).collect();
        saturated += write_channel(cmd, b, c, x0, width, &acc, |_| 0)?;
    }
    Ok(saturated)
}

/// Sums of `width` columns; arguments as for [`pool_strip`].
fn sum_strip(
    cmd: &Compute,
    b: &mut Buffers,
    x: i32,
    x0: usize,
    width: usize,
) -> Result<u64, Fault> {
    let winograd = cmd.mode == mode::WINOGRAD;
    let rows = if winograd { 2 } else { 4 };
    let lanes = cmd.lanes as usize;
    let padded = width.next_multiple_of(COLUMNS);
    // [block of lanes][row][lane][column]
    let mut sums = vec![0f64; lanes.div_ceil(LANES) * rows * LANES * padded];
    let (tap_rows, tap_columns) = (tap_rows(cmd)?, tap_columns(cmd)?);
    let strips = strips(&tap_columns, winograd, padded);
    let window_rows = 4;
    let channel_words: usize = strips.iter().map(|s| s.width * window_rows).sum();
    let block = (BLOCK / channel_words).max(1);
    let channels = cmd.c_count as usize * channels_a_step(cmd);
    let (mut operands, mut terms) = (Vec::new(), Vec::new());
    if cmd.diag == 1 {
        for lane in 0..lanes.min(channels) {
            let at = (lane / LANES * rows * LANES + lane % LANES) * padded;
            for (ky, row) in tap_rows.iter().enumerate() {
                for s in &strips {
                    operands.resize(s.width * window_rows, 0.0);
                    gather_strip(b, cmd, row, s, x, lane, &mut operands)?;
                    for &(kx, dx) in &s.taps {
                        let tap = cmd.weight_row as usize + ky * cmd.kx_count as usize + kx;
                        let kernel = &b.weights[(tap * b.lane_pitch() + lane) * KERNEL_WORDS..];
                        let kernel = kernel.first_chunk().expect(PADDED);
                        for r in 0..rows {
                            let v = &operands[r * s.width + dx..];
                            let sums = &mut sums[at + r * LANES * padded..][..padded];
                            add_own_kernel(kernel, v, s.width, sums);
                        }
                    }
                }
            }
        }
        return finish(cmd, b, x0, width, rows, padded, &sums);
    }
    for (ky, row) in tap_rows.iter().enumerate() {
        for c0 in (0..channels).step_by(block) {
            let count = block.min(channels - c0);
            operands.resize(count * channel_words, 0.0);
            terms.clear();
            let mut at = 0;
            for c in c0..c0 + count {
                for s in &strips {
                    gather_strip(b, cmd, row, s, x, c, &mut operands[at..])?;
                    push_terms(b, cmd, s, ky, c, at, &mut terms);
                    at += s.width * window_rows;
                }
            }
            multiply(
                b, winograd, lanes, rows, padded, &operands, &terms, &mut sums,
            );
        }
    }
    finish(cmd, b, x0, width, rows, padded, &sums)
}

/// Taps of one column plane: their operands overlap, so they are gathered once.
struct Strip {
    first: TapColumn,
    /// (tap, columns from the strip's first).
    taps: Vec<(usize, usize)>,
    /// Columns gathered.
    width: usize,
}

fn strips(columns: &[TapColumn], winograd: bool, padded: usize) -> Vec<Strip> {
    let mut strips: Vec<Strip> = Vec::new();
    // A WINOGRAD tap is three columns.
    let window = if winograd { 2 } else { 0 };
    for (kx, t) in columns.iter().enumerate() {
        // Columns of one phase come in order; a phase begins at its smallest.
        // A command that the compiler does not write may have them far apart, or backwards: they share nothing then.
        let offset = |s: &Strip| usize::try_from(i64::from(t.x) - i64::from(s.first.x));
        let near = |s: &Strip| s.first.px == t.px && offset(s).is_ok_and(|dx| dx <= MOST_APART);
        let Some(s) = strips.iter_mut().find(|s| near(s)) else {
            strips.push(Strip {
                first: *t,
                taps: vec![(kx, 0)],
                width: padded + window,
            });
            continue;
        };
        let dx = offset(s).expect("it is near");
        s.taps.push((kx, dx));
        s.width = s.width.max(padded + window + dx);
    }
    strips
}

#[allow(clippy::too_many_arguments)]
fn gather_strip(
    b: &Buffers,
    cmd: &Compute,
    row: &TapRow,
    s: &Strip,
    x: i32,
    c: usize,
    dest: &mut [f64],
) -> Result<(), Fault> {
    for (i, dest) in dest.chunks_exact_mut(s.width).take(4).enumerate() {
        let at = s.first.x + x;
        gather(b, cmd, row, &s.first, at, i, c, dest, 0.0, f64::from)?;
    }
    Ok(())
}

fn push_terms(
    b: &Buffers,
    cmd: &Compute,
    s: &Strip,
    ky: usize,
    c: usize,
    at: usize,
    terms: &mut Vec<Term>,
) {
    let pitch = b.lane_pitch() * KERNEL_WORDS;
    for &(kx, dx) in &s.taps {
        let channels = cmd.c_count as usize * channels_a_step(cmd);
        let step = (ky * cmd.kx_count as usize + kx) * channels + c;
        let (row, word) = match cmd.mode {
            mode::WINOGRAD => (step, 0),
            _ => (step / PLAIN_WORDS, step % PLAIN_WORDS),
        };
        terms.push(Term {
            at: at + dx,
            pitch: s.width,
            weight: (cmd.weight_row as usize + row) * pitch + word,
        });
    }
}

/// `x * w + sum`, exact for words and sums of words' products.
#[inline(always)]
pub(super) fn multiply_add(x: f64, w: f64, sum: f64) -> f64 {
    // Both forms are exact here; without the instruction, `mul_add` would be a call.
    if cfg!(target_feature = "fma") {
        x.mul_add(w, sum)
    } else {
        x * w + sum
    }
}

/// Sums of one block of lanes and columns.
type Block = [[f64x4; COLUMNS / 4]; LANES];

/// Adds one word of each lane, `w[0]`, `w[9]`, ..., times a row's columns.
#[inline(always)]
fn add_tap(w: &[f64; (LANES - 1) * KERNEL_WORDS + 1], v: &[f64; COLUMNS], sum: &mut Block) {
    let columns: [f64x4; COLUMNS / 4] =
        std::array::from_fn(|j| f64x4::new(*v[4 * j..].first_chunk().expect(PADDED)));
    for (l, sum) in sum.iter_mut().enumerate() {
        let weight = f64x4::splat(w[l * KERNEL_WORDS]);
        for (s, c) in sum.iter_mut().zip(columns) {
            *s = c.mul_add(weight, *s);
        }
    }
}

/// Adds the nine words of each lane's kernel times three rows' columns, `pitch` apart.
#[inline(always)]
fn add_kernel(w: &[f64], v: &[f64], pitch: usize, sum: &mut Block) {
    let w: &[f64; LANES * KERNEL_WORDS] = w.first_chunk().expect(PADDED);
    for ky in 0..3 {
        let v: &[f64; COLUMNS + 2] = v[ky * pitch..].first_chunk().expect(PADDED);
        for kx in 0..3 {
            let w = w[ky * 3 + kx..].first_chunk().expect(PADDED);
            add_tap(w, v[kx..].first_chunk().expect(PADDED), sum);
        }
    }
}

/// Adds one lane's nine words times three rows' columns, `pitch` apart, to its sums.
fn add_own_kernel(w: &[f64; KERNEL_WORDS], v: &[f64], pitch: usize, sums: &mut [f64]) {
    for (ky, w) in w.chunks_exact(3).enumerate() {
        let v = &v[ky * pitch..][..sums.len() + 2];
        for (s, v) in sums.iter_mut().zip(v.windows(3)) {
            *s = multiply_add(
                v[2],
                w[2],
                multiply_add(v[1], w[1], multiply_add(v[0], w[0], *s)),
            );
        }
    }
}

const PADDED: &str = "lanes and columns are padded to whole blocks";

/// Adds all terms to all lanes' sums; each is a kernel's nine, or one.
#[allow(clippy::too_many_arguments)]
fn multiply(
    b: &Buffers,
    kernels: bool,
    lanes: usize,
    rows: usize,
    padded: usize,
    operands: &[f64],
    terms: &[Term],
    sums: &mut [f64],
) {
    let one = |(i, sums): (usize, &mut [f64])| {
        let (block, r) = (i / rows, i % rows);
        let lanes = &b.weights[block * LANES * KERNEL_WORDS..];
        for x in (0..padded).step_by(COLUMNS) {
            let mut sum = Block::default();
            for t in terms {
                let v = &operands[t.at + r * t.pitch + x..];
                if kernels {
                    add_kernel(&lanes[t.weight..], v, t.pitch, &mut sum);
                } else {
                    let w = lanes[t.weight..].first_chunk().expect(PADDED);
                    add_tap(w, v.first_chunk().expect(PADDED), &mut sum);
                }
            }
            for (l, sum) in sum.iter().enumerate() {
                let dest = &mut sums[l * padded + x..][..COLUMNS];
                for (d, s) in dest.iter_mut().zip(sum.iter().flat_map(f64x4::as_array)) {
                    *d += s;
                }
            }
        }
    };
    let words = if kernels { KERNEL_WORDS } else { 1 };
    if terms.len() * words * lanes * rows * padded >= PARALLEL {
        sums.par_chunks_mut(LANES * padded)
            .enumerate()
            .for_each(one);
    } else {
        sums.chunks_mut(LANES * padded).enumerate().for_each(one);
    }
}

/// Joins the sums with those of earlier commands, and drains them or keeps them.
fn finish(
    cmd: &Compute,
    b: &mut Buffers,
    x0: usize,
    width: usize,
    rows: usize,
    padded: usize,
    sums: &[f64],
) -> Result<u64, Fault> {
    // The Winograd inverse divides an accumulator by 4.
    let bits = match cmd.mode {
        mode::WINOGRAD => ACC_BITS - WINOGRAD_BITS,
        _ => ACC_BITS,
    };
    let per_lane = b.acc.len() / b.lanes;
    let mut saturated = 0;
    let mut acc = vec![0i64; rows * width];
    // Paired: what lane 0 has is too much in every other lane. Products of two operands are the same in all lanes, so they are
    // left out here; those of two weights are not.
    let mut too_much = Vec::new();
    for lane in 0..cmd.lanes as usize {
        let of_weights = match cmd.paired {
            1 => weight_products(cmd, b, lane),
            _ => 0,
        };
        let own = lane * per_lane..lane * per_lane + rows * width;
        if cmd.first == 1 {
            acc.fill(0);
        } else {
            acc.copy_from_slice(&b.acc[own.clone()]);
        }
        for (r, acc) in acc.chunks_exact_mut(width).enumerate() {
            let at = ((lane / LANES * rows + r) * LANES + lane % LANES) * padded;
            for (a, &s) in acc.iter_mut().zip(&sums[at..]) {
                *a = wrap(*a + s as i64 + of_weights, bits);
            }
        }
        if !(cmd.first == 1 && cmd.last == 1) {
            b.acc[own].copy_from_slice(&acc);
        }
        if cmd.last != 1 {
            continue;
        }
        let bias = bias(cmd, b, lane);
        if cmd.paired == 0 || cmd.reuses == 1 {
            acc.iter_mut().for_each(|a| *a += bias.sum);
            saturated += write_channel(cmd, b, lane, x0, width, &acc, |_| bias.own)?;
        } else if lane == 0 {
            too_much.clone_from(&acc);
        } else {
            let both = acc.iter_mut().zip(&too_much);
            both.for_each(|(a, t)| *a += bias.sum - t);
            saturated += write_channel(cmd, b, lane - 1, x0, width, &acc, |_| bias.own)?;
        }
    }
    Ok(saturated)
}

/// The sum of the products of both weights of each step.
fn weight_products(cmd: &Compute, b: &Buffers, lane: usize) -> i64 {
    let steps = cmd.c_count as usize * cmd.kx_count as usize * cmd.ky_count as usize;
    let pitch = b.lane_pitch() * KERNEL_WORDS;
    let rows = b.weights[cmd.weight_row as usize * pitch..].chunks(pitch);
    let words = rows.flat_map(|row| row[lane * KERNEL_WORDS..][..PLAIN_WORDS].chunks_exact(2));
    let products = words.take(steps).map(|w| w[0] as i64 * w[1] as i64);
    products.fold(0, i64::wrapping_add)
}
