//! Sums and differences of tensors of one shape.

use super::Kernel;
use crate::train::autodiff::real::Real;
use cnna_net::op::Add;
use rayon::prelude::*;

pub struct Sum {
    negative: Vec<bool>,
}

/// Elements that one task of a plain loop takes.
pub const RUN: usize = 1 << 14;

impl Sum {
    pub fn new(a: &Add) -> Self {
        let negative = a.negative.clone();
        Sum { negative }
    }
}

impl<T: Real> Kernel<T> for Sum {
    fn forward(&self, _n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        y.par_chunks_mut(RUN).enumerate().for_each(|(r, y)| {
            for (k, (x, &negative)) in inputs.iter().zip(&self.negative).enumerate() {
                let sign = if negative { -T::one() } else { T::one() };
                let pairs = y.iter_mut().zip(&x[r * RUN..]);
                match k {
                    0 => pairs.for_each(|(y, &x)| *y = sign * x),
                    _ => pairs.for_each(|(y, &x)| *y += sign * x),
                }
            }
        });
    }

    fn backward(
        &self,
        _n: usize,
        which: usize,
        _inputs: &[&[T]],
        _picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    ) {
        let sign = if self.negative[which] {
            -T::one()
        } else {
            T::one()
        };
        let runs = dx.par_chunks_mut(RUN).zip(dy.par_chunks(RUN));
        runs.for_each(|(dx, dy)| dx.iter_mut().zip(dy).for_each(|(d, &g)| *d = sign * g));
    }
}
