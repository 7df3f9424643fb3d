//! Maximum over a window; the gradient goes to the first of equals.

use super::{Format, Kernel, window_pixel};
use crate::train::autodiff::linear::part;
use crate::train::autodiff::real::Real;
use cnna_machine::num::dequantise;
use cnna_net::op::MaxPool;
use cnna_net::{Shape, Window};
use rayon::prelude::*;

pub struct Max {
    i: Shape,
    o: Shape,
    window: Window,
    /// The maximum of a window beyond the map.
    empty: f64,
}

/// In `picks` where a window has no pixel of the input.
const NONE: u32 = u32::MAX;

impl Max {
    pub fn new(p: &MaxPool, i: Shape, o: Shape, format: Option<Format>) -> Self {
        Max {
            i,
            o,
            window: p.window,
            empty: format.map_or(f32::MIN.into(), |f| dequantise(f.word.min() as i16, f.frac)),
        }
    }

    fn image<T: Real>(&self, x: &[T], y: &mut [T], picks: &mut [u32], empty: T) {
        let c = self.i.c;
        let pixels = y.chunks_exact_mut(c).zip(picks.chunks_exact_mut(c));
        for (r, (best, picks)) in pixels.enumerate() {
            let at = [r / self.o.w, r % self.o.w];
            best.fill(empty);
            picks.fill(NONE);
            let mut first = true;
            for ky in 0..self.window.kernel[0] {
                for kx in 0..self.window.kernel[1] {
                    let size = [self.i.h, self.i.w];
                    let Some(pixel) = window_pixel(&self.window, size, at, [ky, kx]) else {
                        continue;
                    };
                    let x = &x[pixel * c..][..c];
                    let base = (pixel * c) as u32;
                    for (k, ((b, p), &v)) in
                        best.iter_mut().zip(picks.iter_mut()).zip(x).enumerate()
                    {
                        let better = first || v > *b;
                        *b = if better { v } else { *b };
                        *p = if better { base + k as u32 } else { *p };
                    }
                    first = false;
                }
            }
        }
    }
}

impl<T: Real> Kernel<T> for Max {
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], picks: &mut Vec<u32>) {
        picks.resize(n * self.o.len(), NONE);
        let (i, o) = (self.i.len(), self.o.len());
        let empty = T::of(self.empty);
        let images = y
            .par_chunks_mut(o)
            .zip(picks.par_chunks_mut(o))
            .zip(inputs[0].par_chunks(i));
        images
            .with_min_len(part(n))
            .for_each(|((y, picks), x)| self.image(x, y, picks, empty));
    }

    fn backward(
        &self,
        n: usize,
        _which: usize,
        _inputs: &[&[T]],
        picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    ) {
        let (i, o) = (self.i.len(), self.o.len());
        let images = dx
            .par_chunks_mut(i)
            .zip(dy.par_chunks(o))
            .zip(picks.par_chunks(o));
        images.with_min_len(part(n)).for_each(|((dx, dy), picks)| {
            dx.fill(T::zero());
            for (&p, &g) in picks.iter().zip(dy).filter(|(p, _)| **p != NONE) {
                dx[p as usize] += g;
            }
        });
    }
}
