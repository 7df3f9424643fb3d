//! Mean over a window, with the machine's weight (a word and a shift) where the network is fake-quantised.

use super::{Format, Kernel, window_pixel};
use crate::train::autodiff::linear::part;
use crate::train::autodiff::real::Real;
use cnna_net::op::AveragePool;
use cnna_net::op::average_pool::reciprocal;
use cnna_net::{Shape, Window};
use rayon::prelude::*;

pub struct Mean<T> {
    i: Shape,
    o: Shape,
    window: Window,
    /// One a result pixel.
    weights: Vec<T>,
}

impl<T: Real> Mean<T> {
    pub fn new(p: &AveragePool, i: Shape, o: Shape, format: Option<Format>) -> Self {
        let weight = |at: usize| {
            let n = p.count(0, at / o.w, i.h) * p.count(1, at % o.w, i.w);
            T::of(match format {
                None => 1.0 / n.max(1) as f64,
                Some(Format { word, .. }) => {
                    let (r, shift) = reciprocal(n.max(1), word);
                    f64::from(r) * 2f64.powi(-shift)
                }
            })
        };
        Mean {
            i,
            o,
            window: p.window,
            weights: (0..o.h * o.w).map(weight).collect(),
        }
    }

    /// Calls `f(result pixel, input pixel)` for all pairs.
    fn pairs(&self, mut f: impl FnMut(usize, usize)) {
        for r in 0..self.o.h * self.o.w {
            for ky in 0..self.window.kernel[0] {
                for kx in 0..self.window.kernel[1] {
                    let at = [r / self.o.w, r % self.o.w];
                    if let Some(pixel) =
                        window_pixel(&self.window, [self.i.h, self.i.w], at, [ky, kx])
                    {
                        f(r, pixel);
                    }
                }
            }
        }
    }
}

impl<T: Real> Kernel<T> for Mean<T> {
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        let c = self.i.c;
        let images = y
            .par_chunks_mut(self.o.len())
            .zip(inputs[0].par_chunks(self.i.len()));
        images.with_min_len(part(n)).for_each(|(y, x)| {
            y.fill(T::zero());
            self.pairs(|r, pixel| {
                let (sums, x) = (&mut y[r * c..][..c], &x[pixel * c..][..c]);
                sums.iter_mut().zip(x).for_each(|(s, &x)| *s += x);
            });
            let sums = y.chunks_exact_mut(c).zip(&self.weights);
            sums.for_each(|(sums, &w)| sums.iter_mut().for_each(|s| *s *= w));
        });
    }

    fn backward(
        &self,
        n: usize,
        _which: usize,
        _inputs: &[&[T]],
        _picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    ) {
        let c = self.i.c;
        let images = dx
            .par_chunks_mut(self.i.len())
            .zip(dy.par_chunks(self.o.len()));
        images.with_min_len(part(n)).for_each(|(dx, dy)| {
            dx.fill(T::zero());
            self.pairs(|r, pixel| {
                let (dx, dy) = (&mut dx[pixel * c..][..c], &dy[r * c..][..c]);
                let w = self.weights[r];
                dx.iter_mut().zip(dy).for_each(|(d, &g)| *d += g * w);
            });
        });
    }
}
