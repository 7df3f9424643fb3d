//! Load, weight and store commands: between the memory window and the buffers.

use super::fault::{Fault, positive};
use super::results::wrap;
use crate::buffers::{Bias, Buffers, Local};
use cnna_machine::config::{BEAT_WORDS, KERNEL_WORDS, PLAIN_WORDS};
use cnna_machine::isa::{Load, SET_PITCH, SETS, Store, Weight, target, weight_kind};
use cnna_machine::layout::{get_word, put_word};
use cnna_machine::num::{ACC_BITS, Word};

fn bytes_at(window: &[u8], from: usize, len: usize) -> Result<&[u8], Fault> {
    window.get(from..from + len).ok_or(Fault::Window {
        from,
        to: from + len,
        bytes: window.len(),
    })
}

/// A `Load`: segments of memory, or of what local stores left, into one row bank or, of that, into two.
pub fn load(cmd: &Load, b: &mut Buffers, window: &[u8]) -> Result<(), Fault> {
    let whole = (cmd.stride, cmd.row_bank & 1, cmd.target) == (1, 0, target::ACTIVATIONS);
    if cmd.both == 1 && !(whole && (cmd.local == 1 || b.second_port)) {
        return Err(BOTH_ROWS);
    }
    if cmd.local == 0 {
        deal(cmd, b, window)?;
        if cmd.both == 1 {
            let second = Load {
                ddr: cmd.ddr.wrapping_add(cmd.second),
                row_bank: cmd.row_bank + 1,
                ..*cmd
            };
            deal(&second, b, window)?;
        }
        return Ok(());
    }
    let bytes = positive("seg_beats", cmd.seg_beats)? * BEAT_WORDS * b.word.bytes();
    let rows = 1 + cmd.both as usize;
    let row = bytes * positive("seg_count", cmd.seg_count)?;
    let left = b.local.pop_front().unwrap_or_default();
    if (left.rows, left.bytes.len()) != (rows, rows * row) {
        return Err(Fault::Local {
            rows,
            bytes: rows * row,
            there: left.bytes.len(),
            rows_there: left.rows,
        });
    }
    for (row, taken) in left.bytes.chunks_exact(row).enumerate() {
        let cmd = Load {
            ddr: 0,
            seg_stride: bytes as i32,
            row_bank: cmd.row_bank + row as i32,
            ..*cmd
        };
        deal(&cmd, b, taken)?;
    }
    Ok(())
}

/// What rows in neighbouring banks may be.
const BOTH_ROWS: Fault = Fault::Field {
    field: "both",
    value: 1,
    expected: "0 but for loads of stride 1 into row bank 0 or 2 of the activation buffer, local ones where there is no second \
               port, and for local stores from bank 0",
};

/// Segments of `window` into one row bank.
fn deal(cmd: &Load, b: &mut Buffers, window: &[u8]) -> Result<(), Fault> {
    let beats = positive("seg_beats", cmd.seg_beats)?;
    let segs = positive("seg_count", cmd.seg_count)?;
    let (line, word) = (b.line(), b.word.bytes());
    let words = beats * BEAT_WORDS;
    let s = cmd.stride as usize;
    if ![1, 2, 4].contains(&s) {
        return Err(Fault::Field {
            field: "stride",
            value: cmd.stride,
            expected: "1, 2 or 4",
        });
    }
    if cmd.target == target::RESIDUAL {
        return residual(cmd, b, window, [segs, words]);
    }
    if cmd.parity == 1 && !b.paired {
        return Err(Fault::Field {
            field: "parity",
            value: cmd.parity,
            expected: "0 in a machine without pairs",
        });
    }
    let set = b.set_lines() * line;
    let bank = &mut b.act[cmd.row_bank as usize & 3];
    let depth = bank.len();
    let start = cmd.line as usize * line;
    let full = |at: usize| Fault::Buffer {
        buffer: "activation buffer",
        at: at / line,
        depth: depth / line,
    };
    // Words of one channel's row, and of its part in one column plane. What is not dealt is one.
    let channel = match (s, cmd.parity) {
        (1, 0) => segs * words,
        _ => positive("channel_beats", cmd.channel_beats)? * BEAT_WORDS,
    };
    let channel_pitch = (channel / s).next_multiple_of(line);
    let place = |c: usize| match cmd.parity {
        0 => start + c * channel_pitch,
        // Two channels to the same lines of both sets.
        _ => {
            let c = c + usize::from(start >= set);
            start % set + c / 2 * channel_pitch + c % 2 * set
        }
    };
    for seg in 0..segs {
        let from = cmd.ddr as u32 as usize + seg * cmd.seg_stride as u32 as usize;
        let bytes = bytes_at(window, from, words * word)?;
        let mut done = 0;
        while done < words {
            let (c, x) = (
                (seg * words + done) / channel,
                (seg * words + done) % channel,
            );
            let run = (channel - x).min(words - done);
            let (at, bytes) = (place(c), &bytes[done * word..][..run * word]);
            if s == 1 {
                let dest = bank.get_mut(at + x..at + x + run);
                unpack(bytes, word, dest.ok_or_else(|| full(at + x + run - 1))?);
            } else {
                for (i, x) in (x..x + run).enumerate() {
                    let at = at + (x % s) * cmd.plane_pitch as usize * line + x / s;
                    *bank.get_mut(at).ok_or_else(|| full(at))? = get_word(bytes, i * word, word);
                }
            }
            done += run;
        }
    }
    Ok(())
}

/// Segments of `size[1]` words into a bank of the residual buffer, whose lines count modulo its depth.
fn residual(cmd: &Load, b: &mut Buffers, window: &[u8], size: [usize; 2]) -> Result<(), Fault> {
    if cmd.stride != 1 {
        return Err(Fault::Field {
            field: "stride",
            value: cmd.stride,
            expected: "1 for residuals",
        });
    }
    let [segs, words] = size;
    let (line, word) = (b.line(), b.word.bytes());
    let bank = &mut b.residual[cmd.row_bank as usize & 1];
    for seg in 0..segs {
        let from = cmd.ddr as u32 as usize + seg * cmd.seg_stride as u32 as usize;
        let mut bytes = bytes_at(window, from, words * word)?;
        let mut at = (cmd.line as usize * line + seg * words) % bank.len();
        while !bytes.is_empty() {
            let run = (bank.len() - at).min(bytes.len() / word);
            let (now, rest) = bytes.split_at(run * word);
            unpack(now, word, &mut bank[at..at + run]);
            (bytes, at) = (rest, 0);
        }
    }
    Ok(())
}

/// Words of the activation sets; those that no table has are skipped, as in the machine.
fn set(cmd: &Weight, b: &mut Buffers, bytes: &[u8], beat: usize) {
    let entries = b.sets[0].table.len();
    let word = |v: u16| match b.word {
        Word::W8 => i16::from(v as i8),
        Word::W16 => v as i16,
    };
    for (i, v) in bytes.chunks_exact(beat).enumerate() {
        let at = cmd.dest as usize + i;
        let half = |k: usize| u16::from_le_bytes([v[2 * k], v[2 * k + 1]]);
        let set = &mut b.sets[at / SET_PITCH % SETS];
        // The machine looks at the bit above a table's index alone.
        match at & entries {
            0 => set.table[at % entries] = [half(0) as i16, half(1) as i16],
            _ => {
                set.bounds = [word(half(0)), word(half(1))];
                set.slope = half(2) as i16;
            }
        }
    }
}

fn unpack(bytes: &[u8], word: usize, dest: &mut [i16]) {
    if word == 1 {
        for (d, &v) in dest.iter_mut().zip(bytes) {
            *d = i16::from(v as i8);
        }
    } else {
        for (d, v) in dest.iter_mut().zip(bytes.chunks_exact(2)) {
            *d = i16::from_le_bytes([v[0], v[1]]);
        }
    }
}

/// A `Weight` of any kind: rows into the weight buffer over all ports, or biases.
pub fn weight(kind: i32, cmd: &Weight, b: &mut Buffers, window: &[u8]) -> Result<(), Fault> {
    let word = b.word.bytes();
    let beat = BEAT_WORDS * word;
    let ddr = cmd.ddr as u32 as usize;
    // Words of a row, and bytes of each in memory.
    let (words, size) = match kind {
        weight_kind::PLAIN => (PLAIN_WORDS, word),
        weight_kind::NARROW => (PLAIN_WORDS, 1),
        weight_kind::KERNEL => (KERNEL_WORDS, word),
        weight_kind::BIAS => {
            let bytes = bytes_at(window, ddr, cmd.beats_high as u32 as usize * beat)?;
            let entries = b.bias.len();
            for (i, v) in bytes.chunks_exact(8).enumerate() {
                let v = i64::from_le_bytes(v.try_into().expect("chunks of 8"));
                b.bias[(cmd.dest as usize * 4 + i) % entries] = Bias {
                    sum: wrap(v, ACC_BITS),
                    own: (v >> ACC_BITS) as i16,
                };
            }
            return Ok(());
        }
        weight_kind::SET => {
            let bytes = bytes_at(window, ddr, cmd.beats_high as u32 as usize * beat)?;
            set(cmd, b, bytes, beat);
            return Ok(());
        }
        _ => {
            return Err(Fault::Field {
                field: "kind",
                value: kind,
                expected: "0 plain, 1 kernel, 2 bias, 3 set or 4 narrow",
            });
        }
    };
    let depth = b.weight_depth();
    for port in 0..b.ports {
        let high = port < cmd.split as usize;
        let (lanes, beats) = match high {
            true => (cmd.lanes_high as usize, cmd.beats_high as u32 as usize),
            false => (cmd.lanes_low as usize, cmd.beats_low as u32 as usize),
        };
        if lanes == 0 || beats == 0 {
            continue;
        }
        let last = port + (lanes - 1) * b.ports;
        if last >= b.lanes {
            return Err(Fault::Buffer {
                buffer: "lanes of the weight buffer",
                at: last,
                depth: b.lanes,
            });
        }
        let from = ddr + port * cmd.port_stride as u32 as usize;
        let bytes = bytes_at(window, from, beats * beat)?;
        // The padding to whole beats is shorter than one lane's row, so whole rows are all that is there.
        let rows = (beats * beat / (words * size)).div_ceil(lanes);
        let first = cmd.dest as usize;
        if first + rows > depth {
            return Err(Fault::Buffer {
                buffer: "weight buffer",
                at: first + rows - 1,
                depth,
            });
        }
        let pitch = b.lane_pitch();
        let (ports, dest) = (b.ports, &mut b.weights[first * pitch * KERNEL_WORDS..]);
        let at = |i: usize| (i / lanes * pitch + port + i % lanes * ports) * KERNEL_WORDS;
        let up = f64::from(1u32 << (8 * (word - size)));
        match (words, size) {
            (PLAIN_WORDS, 1) => put_rows::<PLAIN_WORDS, 1>(bytes, dest, up, at),
            (PLAIN_WORDS, _) => put_rows::<PLAIN_WORDS, 2>(bytes, dest, up, at),
            (_, 1) => put_rows::<KERNEL_WORDS, 1>(bytes, dest, up, at),
            (_, _) => put_rows::<KERNEL_WORDS, 2>(bytes, dest, up, at),
        }
    }
    Ok(())
}

/// Rows of `N` words of `BYTES` bytes each, row i times `up` to `dest[at(i)..]`.
fn put_rows<const N: usize, const BYTES: usize>(
    bytes: &[u8],
    dest: &mut [f64],
    up: f64,
    at: impl Fn(usize) -> usize,
) {
    for (i, row) in bytes.chunks_exact(N * BYTES).enumerate() {
        let dest = dest[at(i)..].first_chunk_mut::<N>();
        let dest = dest.expect("rows were counted before");
        for (k, d) in dest.iter_mut().enumerate() {
            *d = up * f64::from(get_word(row, k * BYTES, BYTES));
        }
    }
}

/// A `Store` of kind STORE: lines of the output banks into segments of memory, or to local loads, row by row.
pub fn store(cmd: &Store, b: &mut Buffers, window: &mut [u8]) -> Result<(), Fault> {
    if cmd.both == 1 && (cmd.local, cmd.bank) != (1, 0) {
        return Err(BOTH_ROWS);
    }
    if cmd.local == 0 {
        return put(cmd, b, window);
    }
    let row = positive("seg_beats", cmd.seg_beats)? * BEAT_WORDS * b.word.bytes();
    let all = row * positive("seg_count", cmd.seg_count)?;
    let at_once = 1 << cmd.both;
    let rows = cmd.rows * at_once;
    let mut bytes = vec![0; all * positive("rows", rows)?];
    let cmd = Store {
        ddr: 0,
        seg_stride: row as i32,
        row_stride: all as i32,
        rows,
        ..*cmd
    };
    put(&cmd, b, &mut bytes)?;
    let left = bytes
        .chunks_exact(all * at_once as usize)
        .map(|rows| Local {
            rows: at_once as usize,
            bytes: rows.to_vec(),
        });
    b.local.extend(left);
    Ok(())
}

/// Lines of the output banks into segments of `window`.
fn put(cmd: &Store, b: &Buffers, window: &mut [u8]) -> Result<(), Fault> {
    let beats = positive("seg_beats", cmd.seg_beats)?;
    let segs = positive("seg_count", cmd.seg_count)?;
    for row in 0..positive("rows", cmd.rows)? {
        let at = cmd.bank as usize + row;
        let bank = &b.out[at % 2];
        let line = cmd.line as usize + at / 2 * cmd.row_pitch as usize;
        // Addresses are of 32 bits.
        let ddr = (cmd.ddr as u32).wrapping_add((cmd.row_stride as u32).wrapping_mul(row as u32));
        store_row(cmd, [beats, segs], bank, line, ddr as usize, b, window)?;
    }
    Ok(())
}

fn store_row(
    cmd: &Store,
    [beats, segs]: [usize; 2],
    bank: &[i16],
    first: usize,
    ddr: usize,
    b: &Buffers,
    window: &mut [u8],
) -> Result<(), Fault> {
    let (line, word) = (b.line(), b.word.bytes());
    let words = beats * BEAT_WORDS;
    let start = first * line;
    let source = bank.get(start..start + segs * words).ok_or(Fault::Buffer {
        buffer: "output buffer",
        at: (start + segs * words - 1) / line,
        depth: bank.len() / line,
    })?;
    let bytes = window.len();
    for (seg, part) in source.chunks_exact(words).enumerate() {
        let from = ddr + seg * cmd.seg_stride as u32 as usize;
        let to = from + words * word;
        let dest = window
            .get_mut(from..to)
            .ok_or(Fault::Window { from, to, bytes })?;
        for (i, &v) in part.iter().enumerate() {
            put_word(dest, i * word, word, v);
        }
    }
    Ok(())
}
