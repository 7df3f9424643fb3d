//! VECTOR mode: one input a step, 8 outputs a lane, several images as neighbouring rows.

use super::array::multiply_add;
use super::fault::Fault;
use super::results::{bias, wrap, write_channel};
use super::window::{gather, tap_columns, tap_rows};
use crate::buffers::{Bias, Buffers};
use cnna_machine::config::{KERNEL_WORDS, PLAIN_WORDS};
use cnna_machine::isa::Compute;
use cnna_machine::num::ACC_BITS;
use rayon::prelude::*;

/// Multiplications from which threads pay.
const PARALLEL: usize = 1 << 21;

/// Runs a checked VECTOR command of one pass; returns the saturated results.
pub(super) fn run(cmd: &Compute, b: &mut Buffers) -> Result<u64, Fault> {
    let images = cmd.rows as usize;
    if images > 2 * b.tiles.min(2) {
        return Err(Fault::Field {
            field: "rows",
            value: cmd.rows,
            expected: "at most 2 min(T, 2) images",
        });
    }
    let lanes = cmd.lanes as usize;
    let inputs = inputs(cmd, b, images)?;
    let row_words = b.lane_pitch() * KERNEL_WORDS;
    let rows = &b.weights[cmd.weight_row as usize * row_words..][..inputs[0].len() * row_words];
    let lane_sums = |lane: usize| -> Vec<[f64; PLAIN_WORDS]> {
        let mut sums = vec![[0.0; PLAIN_WORDS]; images];
        for (x, sum) in inputs.iter().zip(&mut sums) {
            for (&x, row) in x.iter().zip(rows.chunks_exact(row_words)) {
                let w = &row[lane * KERNEL_WORDS..][..PLAIN_WORDS];
                for (s, &w) in sum.iter_mut().zip(w) {
                    *s = multiply_add(x, w, *s);
                }
            }
        }
        sums
    };
    let sums: Vec<_> = if inputs[0].len() * lanes * images * PLAIN_WORDS >= PARALLEL {
        (0..lanes).into_par_iter().map(lane_sums).collect()
    } else {
        (0..lanes).map(lane_sums).collect()
    };
    for (lane, sums) in sums.iter().enumerate() {
        for (i, &s) in sums.iter().flatten().enumerate() {
            let at = (lane * images + i / PLAIN_WORDS) * PLAIN_WORDS + i % PLAIN_WORDS;
            let before = if cmd.first == 1 { 0 } else { b.acc[at] };
            b.acc[at] = wrap(before + s as i64, ACC_BITS);
        }
    }
    if cmd.last == 0 {
        return Ok(0);
    }
    let outputs = lanes * PLAIN_WORDS;
    let biases: Vec<Bias> = (0..outputs).map(|o| bias(cmd, b, o)).collect();
    let mut acc = Vec::with_capacity(images * outputs);
    for n in 0..images {
        acc.extend(biases.iter().enumerate().map(|(o, bias)| {
            let at = (o / PLAIN_WORDS * images + n) * PLAIN_WORDS + o % PLAIN_WORDS;
            b.acc[at] + bias.sum
        }));
    }
    let own = |x: usize| biases[x].own;
    write_channel(cmd, b, 0, 0, outputs, &acc, own)
}

/// Every image's inputs in step order.
fn inputs(cmd: &Compute, b: &Buffers, images: usize) -> Result<Vec<Vec<f64>>, Fault> {
    let mut all = vec![Vec::new(); images];
    let columns = tap_columns(cmd)?;
    for row in tap_rows(cmd)? {
        for column in &columns {
            for c in 0..cmd.c_count as usize {
                for (n, inputs) in all.iter_mut().enumerate() {
                    let mut v = [0.0];
                    gather(b, cmd, &row, column, column.x, n, c, &mut v, 0.0, f64::from)?;
                    inputs.push(v[0]);
                }
            }
        }
    }
    Ok(all)
}
