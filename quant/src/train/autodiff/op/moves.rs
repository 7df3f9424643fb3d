//! Operators that only move values: concatenation, parts, borders, other orders, rows and columns repeated. Each is a
//! list of runs of elements that lie together on both sides.

use super::{Format, Kernel};
use crate::train::autodiff::linear::part;
use crate::train::autodiff::real::Real;
use cnna_machine::num::{dequantise, quantise};
use cnna_net::{Op, Shape};
use rayon::prelude::*;

/// Elements that lie together in an input and in the output.
#[derive(Clone, Copy, Debug)]
struct Run {
    input: usize,
    from: usize,
    to: usize,
    count: usize,
}

pub struct Moves {
    inputs: Vec<usize>,
    output: usize,
    runs: Vec<Run>,
    /// What is where no element comes to.
    rest: f64,
}

/// Where element [channel][row][column] number `at` of a tensor lies as [row][column][channel].
pub fn channels_last(s: Shape, at: usize) -> usize {
    let (plane, c) = (at % (s.h * s.w), at / (s.h * s.w));
    plane * s.c + c
}

impl Moves {
    /// Every element stays where it is.
    pub fn same(s: Shape) -> Self {
        let run = Run {
            input: 0,
            from: 0,
            to: 0,
            count: s.len(),
        };
        Moves {
            inputs: vec![s.len()],
            output: s.len(),
            runs: vec![run],
            rest: 0.0,
        }
    }

    /// `None` for an operator that does more.
    pub fn of(op: &Op, inputs: &[Shape], output: Shape, format: Option<Format>) -> Option<Self> {
        // For each place of the output, [row][column][channel]: input and element there.
        let mut from = vec![None; output.len()];
        let mut put = |to: [usize; 3], input: usize, at: [usize; 3]| {
            let element = |s: Shape, [c, y, x]: [usize; 3]| (y * s.w + x) * s.c + c;
            from[element(output, to)] = Some((input, element(inputs[input], at)));
        };
        let all = |s: Shape| {
            let rows = move |c| (0..s.h).flat_map(move |y| (0..s.w).map(move |x| [c, y, x]));
            (0..s.c).flat_map(rows)
        };
        let mut rest = 0.0;
        match op {
            Op::Concat(c) => {
                let mut start = [0; 3];
                for (k, &s) in inputs.iter().enumerate() {
                    all(s).for_each(|at| put([0, 1, 2].map(|a| at[a] + start[a]), k, at));
                    start[c.axis] += s.sides()[c.axis];
                }
            }
            Op::Slice(s) => all(output)
                .for_each(|at| put(at, 0, [0, 1, 2].map(|a| s.start[a] + at[a] * s.step[a]))),
            Op::Pad(p) => {
                all(inputs[0]).for_each(|at| put([0, 1, 2].map(|a| at[a] + p.before[a]), 0, at));
                let value = f64::from(p.value);
                rest = format.map_or(value, |f| {
                    dequantise(quantise(value, f.frac, f.word).unwrap_or(0), f.frac)
                });
            }
            Op::Resize(r) => all(output).for_each(|[c, y, x]| {
                put([c, y, x], 0, [c, r.rows[y] as usize, r.columns[x] as usize]);
            }),
            Op::Rearrange(r) => {
                let offsets = r.order.offsets().enumerate();
                offsets.for_each(|(to, at)| {
                    from[channels_last(output, to)] = Some((0, channels_last(inputs[0], at)));
                });
            }
            _ => return None,
        }
        let mut runs: Vec<Run> = Vec::new();
        for (to, place) in from.iter().enumerate() {
            let Some((input, from)) = *place else {
                continue;
            };
            match runs.last_mut() {
                Some(r) if r.input == input && r.from + r.count == from && r.to + r.count == to => {
                    r.count += 1
                }
                _ => runs.push(Run {
                    input,
                    from,
                    to,
                    count: 1,
                }),
            }
        }
        Some(Moves {
            inputs: inputs.iter().map(Shape::len).collect(),
            output: output.len(),
            runs,
            rest,
        })
    }
}

impl<T: Real> Kernel<T> for Moves {
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        let images = y
            .par_chunks_mut(self.output)
            .enumerate()
            .with_min_len(part(n));
        images.for_each(|(n, y)| {
            if self.runs.iter().map(|r| r.count).sum::<usize>() < self.output {
                y.fill(T::of(self.rest));
            }
            for r in &self.runs {
                let x = &inputs[r.input][n * self.inputs[r.input] + r.from..][..r.count];
                y[r.to..][..r.count].copy_from_slice(x);
            }
        });
    }

    fn backward(
        &self,
        n: usize,
        which: usize,
        _inputs: &[&[T]],
        _picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    ) {
        let images = dx
            .par_chunks_mut(self.inputs[which])
            .zip(dy.par_chunks(self.output));
        images.with_min_len(part(n)).for_each(|(dx, dy)| {
            dx.fill(T::zero());
            for r in self.runs.iter().filter(|r| r.input == which) {
                let dx = &mut dx[r.from..][..r.count];
                dx.iter_mut()
                    .zip(&dy[r.to..][..r.count])
                    .for_each(|(d, &g)| *d += g);
            }
        });
    }
}
