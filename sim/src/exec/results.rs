//! From accumulators to the output buffer: bias, requantisation, saturation count, activation, 2x2 pooling.

use super::fault::Fault;
use crate::buffers::Buffers;
use cnna_machine::config::BIAS_ROW;
use cnna_machine::isa::Compute;
use cnna_machine::num::{ACC_BITS, requantise};

/// A register's view of an exact sum.
pub(super) fn wrap(v: i64, bits: u32) -> i64 {
    (v << (64 - bits)) >> (64 - bits)
}

/// The bias at an offset from the command's first; rows go modulo the buffer's depth.
pub(super) fn bias(cmd: &Compute, b: &Buffers, offset: usize) -> i64 {
    b.bias[(cmd.bias_row as usize * BIAS_ROW + offset) % b.bias.len()]
}

/// One channel's block of results, rows of `columns` accumulators (bias included) from the command's column `x0` on.
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
) -> Result<u64, Fault> {
    let word = b.word;
    let mut saturated = 0;
    let mut values = vec![0i16; acc.len()];
    let valid_rows = cmd.rows as usize;
    let valid_columns = (cmd.out_width as usize).saturating_sub(x0).min(columns);
    let lowest = if cmd.relu == 1 { 0 } else { i16::MIN };
    let rows = acc
        .chunks_exact(columns)
        .zip(values.chunks_exact_mut(columns));
    for (r, (acc, values)) in rows.enumerate() {
        let counted = if r < valid_rows { valid_columns } else { 0 };
        for (x, (&a, v)) in acc.iter().zip(values).enumerate() {
            let q = requantise(wrap(a, ACC_BITS), cmd.shift, word);
            // What the activation makes zero anyway alarms nobody.
            let undone = q.value < lowest;
            saturated += u64::from(x < counted && q.saturated && !undone);
            *v = q.value.max(lowest);
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
        let first = cmd.out_line as usize
            + r / 2 * cmd.out_row_pitch as usize
            + channel * cmd.out_c_pitch as usize;
        let at = first * line + x0;
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
