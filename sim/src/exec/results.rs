//! From accumulators to the output buffer: bias, requantisation, saturation count, activation, 2x2 pooling.

use super::fault::Fault;
use crate::buffers::Buffers;
use cnna_spec::config::BIAS_ROW;
use cnna_spec::isa::Compute;
use cnna_spec::num::requantise;

/// A 48-bit (or narrower) register's view of an exact sum.
pub(super) fn wrap(v: i64, bits: u32) -> i64 {
    (v << (64 - bits)) >> (64 - bits)
}

/// The bias at an offset from the command's first; rows go modulo the buffer's depth.
pub(super) fn bias(cmd: &Compute, b: &Buffers, offset: usize) -> i64 {
    b.bias[(cmd.bias_row as usize * BIAS_ROW + offset) % b.bias.len()]
}

/// One channel's block of results, `rows` x `columns` from the command's column `x0` on.
///
/// `sums` gives the accumulator at (row, column); rows and columns beyond the valid ones are written too, as the machine
/// does. Returns how many valid results saturation changed.
#[allow(clippy::too_many_arguments)]
pub(super) fn write_channel(
    cmd: &Compute,
    b: &mut Buffers,
    channel: usize,
    bias: i64,
    x0: usize,
    rows: usize,
    columns: usize,
    sums: impl Fn(usize, usize) -> i64,
) -> Result<u64, Fault> {
    let mut saturated = 0;
    let word = b.word;
    let mut values = vec![0i16; rows * columns];
    for (i, v) in values.iter_mut().enumerate() {
        let (r, x) = (i / columns, i % columns);
        let q = requantise(wrap(sums(r, x) + bias, 48), cmd.shift, word);
        let valid = (r as i32) < cmd.rows && ((x0 + x) as i32) < cmd.out_width;
        saturated += u64::from(valid && q.saturated);
        *v = if cmd.relu == 1 {
            q.value.max(0)
        } else {
            q.value
        };
    }
    if cmd.pool == 1 {
        let pooled: Vec<i16> = (0..rows / 2 * (columns / 2))
            .map(|i| {
                let (r, x) = (i / (columns / 2) * 2, i % (columns / 2) * 2);
                let at = |dr: usize, dx: usize| values[(r + dr) * columns + x + dx];
                at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1))
            })
            .collect();
        write_rows(cmd, b, channel, x0 / 2, columns / 2, &pooled)?;
    } else {
        write_rows(cmd, b, channel, x0, columns, &values)?;
    }
    Ok(saturated)
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
