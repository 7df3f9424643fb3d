//! Products; a side of 1 in the second factor is repeated along the first.

use super::Kernel;
use crate::train::autodiff::linear::part;
use crate::train::autodiff::real::Real;
use cnna_net::Shape;
use rayon::prelude::*;

pub struct Product {
    a: Shape,
    b: Shape,
}

impl Product {
    pub fn new(a: Shape, b: Shape) -> Self {
        Product { a, b }
    }

    /// Calls `f(element of the first, element of the second)` for one image.
    fn pairs(&self, mut f: impl FnMut(usize, usize)) {
        let (a, b) = (self.a, self.b);
        let step = |side: usize, step: usize| if side == 1 { 0 } else { step };
        let [down, right, deep] = [step(b.h, b.w * b.c), step(b.w, b.c), step(b.c, 1)];
        for y in 0..a.h {
            for x in 0..a.w {
                let (first, second) = ((y * a.w + x) * a.c, y * down + x * right);
                (0..a.c).for_each(|c| f(first + c, second + c * deep));
            }
        }
    }
}

impl<T: Real> Kernel<T> for Product {
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        let (a, b) = (self.a.len(), self.b.len());
        let images = y
            .par_chunks_mut(a)
            .zip(inputs[0].par_chunks(a))
            .zip(inputs[1].par_chunks(b));
        let images = images.with_min_len(part(n));
        images.for_each(|((y, a), b)| self.pairs(|i, j| y[i] = a[i] * b[j]));
    }

    fn backward(
        &self,
        n: usize,
        which: usize,
        inputs: &[&[T]],
        _picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    ) {
        let (a, b) = (self.a.len(), self.b.len());
        let own = if which == 0 { a } else { b };
        let other = inputs[1 - which].par_chunks(a + b - own);
        let images = dx.par_chunks_mut(own).zip(dy.par_chunks(a)).zip(other);
        images
            .with_min_len(part(n))
            .for_each(|((dx, dy), other)| match which {
                0 => self.pairs(|i, j| dx[i] = dy[i] * other[j]),
                _ => {
                    dx.fill(T::zero());
                    self.pairs(|i, j| dx[j] += dy[i] * other[i]);
                }
            });
    }
}
