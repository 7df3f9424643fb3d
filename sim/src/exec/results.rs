//! From accumulators to the output buffer: bias, requantisation, saturation count, activation, 2x2 pooling.

use super::fault::Fault;
use crate::buffers::Bias;
use crate::buffers::Buffers;
use cnna_machine::config::BIAS_ROW;
use cnna_machine::isa::{Compute, act, mode};
use cnna_machine::num::{ACC_BITS, SHIFT_RANGE, apply_slope, interpolate, requantise, table_index};

/// A register's view of an exact sum.
pub(super) fn wrap(v: i64, bits: u32) -> i64 {
    (v << (64 - bits)) >> (64 - bits)
}

/// The bias at an offset from the command's first; rows go modulo the buffer's depth.
pub(super) fn bias(cmd: &Compute, b: &Buffers, offset: usize) -> Bias {
    b.bias[(cmd.bias_row as usize * BIAS_ROW + offset) % b.bias.len()]
}

/// One channel's block of results, rows of `columns` accumulators (bias included) from the command's column `x0` on; `own(x)` is
/// the shift or slope of column x's channel.
///
/// Rows and columns beyond the valid ones are written too, as the machine does. Returns how many valid results saturation
/// changed.
pub(super) fn write_channel(
    cmd: &Compute,
    b: &mut Buffers,
    channel: usize,
    x0: usize,
    columns: usize,
    acc: &[i64],
    own: impl Fn(usize) -> i16,
) -> Result<u64, Fault> {
    let word = b.word;
    check(cmd)?;
    let residual = match cmd.residual {
        1 => Some(residual(cmd, b, channel, x0, columns, acc.len() / columns)),
        _ => None,
    };
    let set = &b.sets[cmd.act_set as usize & 1];
    let [lowest, highest] = match cmd.act {
        act::NONE => [
            if cmd.relu == 1 { 0 } else { word.min() as i16 },
            word.max() as i16,
        ],
        _ => set.bounds,
    };
    // What the activation moves anyway alarms nobody.
    let undone = |v: i16| v < lowest || v > highest;
    let own_shift = cmd.per_channel == 1 && cmd.act != act::SLOPE;
    let mut saturated = 0;
    let mut values = vec![0i16; acc.len()];
    let valid_rows = cmd.rows as usize;
    let valid_columns = |less: i32| {
        // As wide as the machine's counter.
        let width = (cmd.out_width - less) as u16 as usize;
        width.saturating_sub(x0).min(columns)
    };
    let is_short = |r: usize| {
        let first = cmd.short_row as usize;
        cmd.mode == mode::DIRECT && first > 0 && r >= first
    };
    let rows = acc
        .chunks_exact(columns)
        .zip(values.chunks_exact_mut(columns));
    for (r, (acc, values)) in rows.enumerate() {
        let counted = match r < valid_rows {
            true => valid_columns(if is_short(r) { cmd.lacking } else { 0 }),
            false => 0,
        };
        for (x, (&a, v)) in acc.iter().zip(values).enumerate() {
            let more = if own_shift { i32::from(own(x)) & 31 } else { 0 };
            let shift = places(cmd.shift + more);
            let q = requantise(wrap(a, ACC_BITS), shift, word);
            let mut value = q.value;
            let before = residual.as_ref().filter(|_| cmd.residual_last == 0);
            let behind = residual.as_ref().filter(|_| cmd.residual_last == 1);
            let mut alarms = u64::from(q.saturated && (before.is_some() || !undone(value)));
            if let Some(residual) = before {
                let sum = i64::from(value) + i64::from(residual[r * columns + x]);
                value = word.saturate(sum);
                alarms += u64::from(i64::from(value) != sum && !undone(value));
            }
            let function = match cmd.act {
                act::TABLE => {
                    let (i, steps) = table_index(value, word);
                    let [base, delta] = set.table[i];
                    interpolate(base, delta.into(), steps)
                }
                act::SLOPE if value < 0 && cmd.per_channel == 1 => apply_slope(own(x), value),
                act::SLOPE if value < 0 => apply_slope(set.slope, value),
                _ => value.into(),
            };
            *v = clip(function, lowest, highest);
            if let Some(residual) = behind {
                let sum = i64::from(*v) + i64::from(residual[r * columns + x]);
                *v = word.saturate(sum);
                alarms += u64::from(i64::from(*v) != sum);
            }
            saturated += if x < counted { alarms } else { 0 };
        }
    }
    if cmd.pool == 1 {
        let pooled = pool(&values, columns);
        write_rows(cmd, b, channel, x0 / 2, columns / 2, &pooled)?;
    } else {
        write_rows(cmd, b, channel, x0, columns, &values)?;
    }
    Ok(saturated)
}

/// The larger bound wins, where they cross.
fn clip(v: i32, lo: i16, hi: i16) -> i16 {
    if v > i32::from(hi) {
        hi
    } else {
        (v as i16).max(lo)
    }
}

/// A shift as the machine's six bits have it.
fn places(shift: i32) -> i32 {
    (shift - *SHIFT_RANGE.start()).rem_euclid(64) + *SHIFT_RANGE.start()
}

/// What the machine has no way for.
fn check(cmd: &Compute) -> Result<(), Fault> {
    if cmd.residual == 1 && (cmd.pool == 1 || cmd.mode == mode::VECTOR) {
        return Err(Fault::Field {
            field: "residual",
            value: 1,
            expected: "0 with pooling and in vector mode",
        });
    }
    Ok(())
}

/// The residuals of a channel's block of results.
fn residual(
    cmd: &Compute,
    b: &Buffers,
    channel: usize,
    x0: usize,
    columns: usize,
    rows: usize,
) -> Vec<i16> {
    let mut all = Vec::with_capacity(rows * columns);
    for r in 0..rows {
        let bank = &b.residual[r % 2];
        let at = first_line(cmd, channel, r) * b.line() + x0;
        all.extend((0..columns).map(|x| bank[(at + x) % bank.len()]));
    }
    all
}

/// The line of a result row of a channel.
fn first_line(cmd: &Compute, channel: usize, r: usize) -> usize {
    cmd.out_line as usize + r / 2 * cmd.out_row_pitch as usize + channel * cmd.out_c_pitch as usize
}

/// 2x2 maxima of rows of `columns` words.
fn pool(values: &[i16], columns: usize) -> Vec<i16> {
    let mut pooled = Vec::with_capacity(values.len() / 4);
    for rows in values.chunks_exact(2 * columns) {
        let (above, below) = rows.split_at(columns);
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        pooled.extend(pairs.map(|(a, b)| a[0].max(a[1]).max(b[0]).max(b[1])));
    }
    pooled
}

/// Rows of `columns` finished words to their lines.
pub(super) fn write_rows(
    cmd: &Compute,
    b: &mut Buffers,
    channel: usize,
    x0: usize,
    columns: usize,
    values: &[i16],
) -> Result<(), Fault> {
    let line = b.line();
    for (r, row) in values.chunks_exact(columns).enumerate() {
        let at = first_line(cmd, channel, r) * line + x0;
        let bank = &mut b.out[r % 2];
        let depth = bank.len() / line;
        bank.get_mut(at..at + columns)
            .ok_or(Fault::Buffer {
                buffer: "output buffer",
                at: (at + columns - 1) / line,
                depth,
            })?
            .copy_from_slice(row);
    }
    Ok(())
}
