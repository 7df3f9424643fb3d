//! Where a compute command's operands lie: the walk over taps, the ring of slots, the planes, and the masks.

use super::fault::{Fault, positive};
use crate::buffers::Buffers;
use cnna_machine::isa::Compute;

/// One vertical tap: where the window's rows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct TapRow {
    /// Row of the window's top in its plane.
    y: i32,
    /// Line of the slot that holds it, and of the next slot in the ring.
    lines: [usize; 2],
    /// Rows of this row plane.
    rows: i32,
    /// Lines to the row plane.
    plane: usize,
}

/// One horizontal tap.
#[derive(Clone, Copy, Debug)]
pub(super) struct TapColumn {
    /// Column of the first pass's window in its plane.
    pub x: i32,
    /// Column phase.
    pub px: i32,
    /// Columns of this column plane.
    columns: i32,
    /// Lines to the column plane.
    plane: usize,
}

/// The phase of a tap counts to the stride, then carries; returns whether it did.
fn advance(phase: &mut i32, plane: &mut usize, pitch: i32, stride: i32) -> bool {
    *phase += 1;
    *plane += pitch as usize;
    let carry = *phase >= stride;
    if carry {
        (*phase, *plane) = (0, 0);
    }
    carry
}

/// All vertical taps, in order.
pub(super) fn tap_rows(cmd: &Compute) -> Result<Vec<TapRow>, Fault> {
    let count = positive("ky_count", cmd.ky_count)?;
    let ring = |line: i32| {
        if line >= cmd.ring_end {
            line - cmd.ring_lines
        } else {
            line
        }
    };
    let (mut y, mut line) = (cmd.y_start, cmd.row_line);
    let (mut py, mut plane) = (cmd.py0, cmd.plane_y0 as usize);
    let mut taps = Vec::with_capacity(count);
    for _ in 0..count {
        let next = ring(line + cmd.row_pitch);
        if line < 0 || next < 0 {
            return Err(Fault::Field {
                field: "ring_lines",
                value: cmd.ring_lines,
                expected: "a ring that ends at ring_end and begins in the buffer",
            });
        }
        taps.push(TapRow {
            y,
            lines: [line as usize, next as usize],
            rows: cmd.h_full + i32::from(py < cmd.h_rem),
            plane,
        });
        if advance(&mut py, &mut plane, cmd.plane_y_pitch, cmd.stride) {
            let carries = (y & 3) + (cmd.dilation_y & 3) > 3;
            y += cmd.dilation_y;
            line = ring(
                line + if carries {
                    cmd.row_step_carry
                } else {
                    cmd.row_step
                },
            );
        }
    }
    Ok(taps)
}

/// All horizontal taps, in order.
pub(super) fn tap_columns(cmd: &Compute) -> Result<Vec<TapColumn>, Fault> {
    let count = positive("kx_count", cmd.kx_count)?;
    let (mut x, mut px, mut plane) = (cmd.x_start, cmd.px0, cmd.plane_x0 as usize);
    let mut taps = Vec::with_capacity(count);
    for _ in 0..count {
        taps.push(TapColumn {
            x,
            px,
            columns: cmd.w_full + i32::from(px < cmd.w_rem),
            plane,
        });
        if advance(&mut px, &mut plane, cmd.plane_pitch, cmd.stride) {
            x += cmd.dilation_x;
        }
    }
    Ok(taps)
}

/// The columns `x..x + dest.len()` of window row `i` of channel `c`: `convert`ed words, or `outside` beyond the map.
#[allow(clippy::too_many_arguments)]
pub(super) fn gather<V: Copy>(
    b: &Buffers,
    cmd: &Compute,
    row: &TapRow,
    column: &TapColumn,
    x: i32,
    i: usize,
    c: usize,
    dest: &mut [V],
    outside: V,
    convert: impl Fn(i16) -> V,
) -> Result<(), Fault> {
    let y = row.y + i as i32;
    let n = dest.len() as i32;
    let (from, to) = (
        (-x).clamp(0, n) as usize,
        (column.columns - x).clamp(0, n) as usize,
    );
    if y < 0 || y >= row.rows || from >= to {
        dest.fill(outside);
        return Ok(());
    }
    let slot = usize::from((row.y & 3) as usize + i > 3);
    // Paired: a channel's neighbour lies in the same lines of the other set.
    let channel = match cmd.paired {
        1 => c / 2 * cmd.c_pitch as usize + c % 2 * b.set_lines(),
        _ => c * cmd.c_pitch as usize,
    };
    let line = row.lines[slot] + channel + row.plane + column.plane;
    let bank = &b.act[(y & 3) as usize];
    let at = line * b.line() + (x + from as i32) as usize;
    let source = bank.get(at..at + (to - from)).ok_or(Fault::Buffer {
        buffer: "activation buffer",
        at: (at + (to - from) - 1) / b.line(),
        depth: bank.len() / b.line(),
    })?;
    dest[..from].fill(outside);
    dest[to..].fill(outside);
    for (d, &v) in dest[from..to].iter_mut().zip(source) {
        *d = convert(v);
    }
    Ok(())
}
