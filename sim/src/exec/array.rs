//! Compute commands: checks, then the array's sums for WINOGRAD and DIRECT and the maxima for POOL.
//!
//! Sums are formed in `f64`: every product of two words is below 2^31 and a command has fewer than 2^22 of them, so all
//! partial sums are exact. WINOGRAD is formed as the equal direct 3x3 sum.

use super::fault::{Fault, positive};
use super::results::{bias, wrap, write_channel};
use super::vector;
use super::window::{TapColumn, TapRow, gather, tap_columns, tap_rows};
use crate::buffers::{Buffers, LANE_BLOCK};
use cnna_spec::config::{KERNEL_WORDS, PLAIN_WORDS};
use cnna_spec::isa::{Compute, mode};
use rayon::prelude::*;

/// Lanes and columns whose sums stay in registers.
const LANES: usize = LANE_BLOCK;
const COLUMNS: usize = 16;
/// Operands (f64) gathered at once: half of a small second-level cache.
const BLOCK: usize = 1 << 15;
/// Multiplications from which threads pay.
const PARALLEL: usize = 1 << 21;

/// One term of the sums: where its operands begin, and its weights.
#[derive(Clone, Copy)]
struct Term {
    /// Offset of (row 0, column 0) in the gathered operands.
    at: usize,
    /// Words between rows.
    pitch: usize,
    /// Weight-buffer row and word.
    row: usize,
    word: usize,
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
    let steps = positive("c_count", cmd.c_count)?
        * positive("kx_count", cmd.kx_count)?
        * positive("ky_count", cmd.ky_count)?;
    let weight_rows = match cmd.mode {
        mode::POOL => 0,
        mode::DIRECT => steps.div_ceil(PLAIN_WORDS),
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
        saturated += write_channel(cmd, b, c, x0, width, &acc)?;
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
    let channels = cmd.c_count as usize;
    let (mut operands, mut terms) = (Vec::new(), Vec::new());
    for (ky, row) in tap_rows.iter().enumerate() {
        for c0 in (0..channels).step_by(block) {
            let count = block.min(channels - c0);
            operands.resize(count * channel_words, 0.0);
            terms.clear();
            let mut at = 0;
            for c in c0..c0 + count {
                for s in &strips {
                    gather_strip(b, cmd, row, s, x, c, &mut operands[at..])?;
                    push_terms(cmd, s, ky, c, at, winograd, &mut terms);
                    at += s.width * window_rows;
                }
            }
            multiply(b, lanes, rows, padded, &operands, &terms, &mut sums);
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
    for (kx, t) in columns.iter().enumerate() {
        // Columns of one phase come in order; a phase begins at its smallest.
        let same = strips.iter_mut().find(|s| s.first.px == t.px);
        let Some(s) = same else {
            strips.push(Strip {
                first: *t,
                taps: vec![(kx, 0)],
                width: padded + if winograd { 2 } else { 0 },
            });
            continue;
        };
        let dx = (t.x - s.first.x) as usize;
        s.taps.push((kx, dx));
        s.width = s.width.max(padded + dx);
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
    cmd: &Compute,
    s: &Strip,
    ky: usize,
    c: usize,
    at: usize,
    winograd: bool,
    terms: &mut Vec<Term>,
) {
    let weight_row = cmd.weight_row as usize;
    for &(kx, dx) in &s.taps {
        let step = (ky * cmd.kx_count as usize + kx) * cmd.c_count as usize + c;
        let pitch = s.width;
        if winograd {
            terms.extend((0..KERNEL_WORDS).map(|word| Term {
                at: at + dx + word / 3 * pitch + word % 3,
                pitch,
                row: weight_row + step,
                word,
            }));
        } else {
            terms.push(Term {
                at: at + dx,
                pitch,
                row: weight_row + step / PLAIN_WORDS,
                word: step % PLAIN_WORDS,
            });
        }
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

/// Adds all terms to all lanes' sums.
fn multiply(
    b: &Buffers,
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
        let pitch = b.lane_pitch() * KERNEL_WORDS;
        for x in (0..padded).step_by(COLUMNS) {
            let mut sum = [[0f64; COLUMNS]; LANES];
            for t in terms {
                let w: &[f64; (LANES - 1) * KERNEL_WORDS + 1] = lanes[t.row * pitch + t.word..]
                    .first_chunk()
                    .expect("lanes are padded to whole blocks");
                let v: &[f64; COLUMNS] = operands[t.at + r * t.pitch + x..][..COLUMNS]
                    .try_into()
                    .expect("a slice of that length");
                for l in 0..LANES {
                    for j in 0..COLUMNS {
                        sum[l][j] = multiply_add(v[j], w[l * KERNEL_WORDS], sum[l][j]);
                    }
                }
            }
            for (l, sum) in sum.iter().enumerate() {
                let dest = &mut sums[l * padded + x..][..COLUMNS];
                for (d, s) in dest.iter_mut().zip(sum) {
                    *d += s;
                }
            }
        }
    };
    if terms.len() * lanes * rows * padded >= PARALLEL {
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
    // The Winograd inverse divides a 48-bit number by 4.
    let bits = if cmd.mode == mode::WINOGRAD { 46 } else { 48 };
    let per_lane = b.acc.len() / b.lanes;
    let mut saturated = 0;
    let mut acc = vec![0i64; rows * width];
    for lane in 0..cmd.lanes as usize {
        let own = lane * per_lane..lane * per_lane + rows * width;
        if cmd.first == 1 {
            acc.fill(0);
        } else {
            acc.copy_from_slice(&b.acc[own.clone()]);
        }
        for (r, acc) in acc.chunks_exact_mut(width).enumerate() {
            let at = ((lane / LANES * rows + r) * LANES + lane % LANES) * padded;
            for (a, &s) in acc.iter_mut().zip(&sums[at..]) {
                *a = wrap(*a + s as i64, bits);
            }
        }
        if !(cmd.first == 1 && cmd.last == 1) {
            b.acc[own].copy_from_slice(&acc);
        }
        if cmd.last == 1 {
            let bias = bias(cmd, b, lane);
            acc.iter_mut().for_each(|a| *a += bias);
            saturated += write_channel(cmd, b, lane, x0, width, &acc)?;
        }
    }
    Ok(saturated)
}
