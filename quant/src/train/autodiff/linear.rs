//! Convolutions as products of matrices: forward, and both gradients. A transposed convolution is the same with the
//! parts exchanged.
//!
//! Images are [image][row][column][channel]. A row of the matrix is a result pixel's window, [kernel row][kernel
//! column] [channel], gathered for a block of pixels at a time so that the block stays in the cache. Windows of one
//! pixel, or of the whole input, lie there already. Depthwise convolutions run over channels directly.

use super::real::{Matrix, Real, multiply};
use cnna_net::{Padding, Shape, Window};
use rayon::prelude::*;

/// Parts of a batch that run beside each other, whatever the number of cores: sums over images are taken part by part,
/// so their rounding does not depend on the machine.
const PARTS: usize = 8;
/// Elements of a block of gathered windows: half of a core's second-level cache.
const BLOCK: usize = 1 << 17;
/// Least and most pixels of a block.
const ROWS: [usize; 2] = [32, 1024];
/// Least images of a part of a fully connected layer: its weights are read once a part.
const WHOLE: usize = 32;

/// The geometry of a convolution from `i` to `o`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub i: Shape,
    pub o: Shape,
    pub groups: usize,
    pub window: Window,
}

/// Images of each part of a batch of `n`.
pub fn part(n: usize) -> usize {
    n.div_ceil(PARTS).max(1)
}

impl Linear {
    /// Channels of a group's input.
    fn ic(&self) -> usize {
        self.i.c / self.groups
    }
    /// Channels of a group's output.
    fn oc(&self) -> usize {
        self.o.c / self.groups
    }
    fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }
    /// Elements of a window.
    fn depth(&self) -> usize {
        self.taps() * self.ic()
    }
    fn is_depthwise(&self) -> bool {
        self.ic() == 1 && self.oc() == 1 && self.groups > 1
    }
    fn is_whole(&self) -> bool {
        let all = self.window.kernel == [self.i.h, self.i.w];
        self.groups == 1 && all && self.window.pad == Padding::default() && self.o.h * self.o.w == 1
    }
    /// Distance between the windows where they lie in the input as they are.
    fn in_place(&self) -> Option<usize> {
        let w = &self.window;
        if self.is_whole() {
            return Some(self.i.len());
        }
        let single = w.kernel == [1, 1] && w.stride == [1, 1] && w.pad == Padding::default();
        (single && [self.i.h, self.i.w] == [self.o.h, self.o.w]).then_some(self.i.c)
    }
    fn images(&self, n: usize) -> usize {
        if self.is_whole() {
            part(n).max(WHOLE)
        } else {
            part(n)
        }
    }

    /// Where each packed weight is in [oc][ic][kernel row][kernel column]: packed they are [group][window][oc], and
    /// [tap][channel] for depthwise ones.
    fn order(&self) -> impl Iterator<Item = usize> + '_ {
        let (taps, ic, oc) = (self.taps(), self.ic(), self.oc());
        let (outer, inner) = match self.is_depthwise() {
            true => (1, self.o.c),
            false => (self.groups, oc),
        };
        (0..outer).flat_map(move |g| {
            (0..taps).flat_map(move |t| {
                (0..ic)
                    .flat_map(move |c| (0..inner).map(move |o| ((g * oc + o) * ic + c) * taps + t))
            })
        })
    }

    /// Weights as the products need them.
    pub fn pack<T: Real>(&self, weights: &[T], packed: &mut Vec<T>) {
        packed.clear();
        packed.extend(self.order().map(|at| weights[at]));
    }

    /// The reverse.
    fn unpack<T: Real>(&self, packed: &[T]) -> Vec<T> {
        let mut weights = vec![T::zero(); packed.len()];
        self.order()
            .zip(packed)
            .for_each(|(at, &v)| weights[at] = v);
        weights
    }

    /// The input row or column of a result and a tap, where it is inside.
    fn at(&self, axis: usize, result: usize, tap: usize) -> Option<usize> {
        let w = &self.window;
        let size = [self.i.h, self.i.w][axis];
        let at =
            (result * w.stride[axis] + tap * w.dilation[axis]).checked_sub(w.border(axis)[0])?;
        (at < size).then_some(at)
    }

    /// Calls `f(tap, input pixel)` for the taps of a result pixel that are inside.
    fn inside(&self, [y, x]: [usize; 2], mut f: impl FnMut(usize, usize)) {
        let [kh, kw] = self.window.kernel;
        for ky in 0..kh {
            let Some(row) = self.at(0, y, ky) else {
                continue;
            };
            for kx in 0..kw {
                if let Some(column) = self.at(1, x, kx) {
                    f(ky * kw + kx, row * self.i.w + column);
                }
            }
        }
    }

    /// Image, row and column of result number `r` of a batch.
    fn place(&self, r: usize) -> (usize, [usize; 2]) {
        let plane = self.o.h * self.o.w;
        (r / plane, [r % plane / self.o.w, r % self.o.w])
    }

    fn block(&self) -> usize {
        (BLOCK / self.depth().max(1)).clamp(ROWS[0], ROWS[1])
    }

    /// The windows of `count` results from `first` on, of one group.
    fn gather<T: Real>(
        &self,
        x: &[T],
        first: usize,
        count: usize,
        group: usize,
        windows: &mut Vec<T>,
    ) {
        let (ic, depth, all) = (self.ic(), self.depth(), self.i.c);
        let kw = self.window.kernel[1];
        // Taps of one row that are neighbours lie together where one group reads all channels.
        let together = self.groups == 1 && self.window.dilation[1] == 1;
        windows.resize(count * depth, T::zero());
        let (mut n, [mut y, mut column]) = self.place(first);
        for window in windows.chunks_exact_mut(depth) {
            let image = &x[n * self.i.len()..][..self.i.len()];
            let left = (column * self.window.stride[1]) as isize - self.window.pad.left as isize;
            for (ky, taps) in window.chunks_exact_mut(kw * ic).enumerate() {
                let Some(row) = self.at(0, y, ky) else {
                    taps.fill(T::zero());
                    continue;
                };
                let row = &image[row * self.i.w * all..][..self.i.w * all];
                if together {
                    let from = (-left).clamp(0, kw as isize) as usize;
                    let to = (self.i.w as isize - left).clamp(from as isize, kw as isize) as usize;
                    taps[..from * ic].fill(T::zero());
                    taps[to * ic..].fill(T::zero());
                    if from < to {
                        let start = (left + from as isize) as usize * ic;
                        copy(&mut taps[from * ic..to * ic], &row[start..]);
                    }
                } else {
                    for (kx, tap) in taps.chunks_exact_mut(ic).enumerate() {
                        match self.at(1, column, kx) {
                            Some(at) => copy(tap, &row[at * all + group * ic..]),
                            None => tap.fill(T::zero()),
                        }
                    }
                }
            }
            column += 1;
            if column == self.o.w {
                (column, y) = (0, y + 1);
            }
            if y == self.o.h {
                (y, n) = (0, n + 1);
            }
        }
    }

    /// Adds windows back to where they were gathered.
    fn scatter<T: Real>(&self, windows: &[T], first: usize, group: usize, dx: &mut [T]) {
        let (ic, depth) = (self.ic(), self.depth());
        for (r, window) in windows.chunks_exact(depth).enumerate() {
            let (n, at) = self.place(first + r);
            let image = &mut dx[n * self.i.len()..][..self.i.len()];
            self.inside(at, |tap, pixel| {
                let to = &mut image[pixel * self.i.c + group * ic..][..ic];
                let from = &window[tap * ic..][..ic];
                to.iter_mut().zip(from).for_each(|(a, &b)| *a += b);
            });
        }
    }

    /// The sums of a batch, without bias; all of `y` is written.
    pub fn forward<T: Real>(&self, n: usize, x: &[T], weights: &[T], y: &mut [T]) {
        let images = self.images(n);
        let parts = y.par_chunks_mut(images * self.o.len());
        let parts = parts.zip(x.par_chunks(images * self.i.len()));
        parts.for_each_init(Vec::new, |windows, (y, x)| {
            self.forward_part(x, weights, y, windows)
        });
    }

    fn forward_part<T: Real>(&self, x: &[T], weights: &[T], y: &mut [T], windows: &mut Vec<T>) {
        if self.is_depthwise() {
            let c = self.o.c;
            for (r, sums) in y.chunks_exact_mut(c).enumerate() {
                let (n, at) = self.place(r);
                let image = &x[n * self.i.len()..][..self.i.len()];
                sums.fill(T::zero());
                self.inside(at, |tap, pixel| {
                    let (x, w) = (&image[pixel * c..][..c], &weights[tap * c..][..c]);
                    add_products(sums, x, w);
                });
            }
            return;
        }
        let (rows, depth, oc) = (y.len() / self.o.c, self.depth(), self.oc());
        for g in 0..self.groups {
            let weights = Matrix::rows(&weights[g * depth * oc..][..depth * oc], depth, oc, oc);
            if let Some(pitch) = self.in_place() {
                let x = Matrix::rows(&x[g * self.ic()..], rows, depth, pitch);
                multiply(x, weights, &mut y[g * oc..], self.o.c, false);
                continue;
            }
            for first in (0..rows).step_by(self.block()) {
                let count = self.block().min(rows - first);
                self.gather(x, first, count, g, windows);
                let x = Matrix::rows(windows, count, depth, depth);
                multiply(
                    x,
                    weights,
                    &mut y[first * self.o.c + g * oc..],
                    self.o.c,
                    false,
                );
            }
        }
    }

    /// The convolution of the results' gradient that gives the input's, where there is one: kernels turned over.
    fn turned(&self) -> Option<Linear> {
        let w = &self.window;
        let before = [0, 1].map(|axis| (w.span(axis) - 1).checked_sub(w.border(axis)[0]));
        let [Some(top), Some(left)] = before else {
            return None;
        };
        let plain = w.stride == [1, 1] && self.groups == 1 && self.in_place().is_none();
        plain.then(|| Linear {
            i: self.o,
            o: self.i,
            groups: 1,
            window: Window {
                // What is beyond the other sides is outside by the sizes alone.
                pad: Padding {
                    top,
                    left,
                    ..Padding::default()
                },
                ..*w
            },
        })
    }

    /// The input's gradient; all of `dx` is written.
    pub fn backward_data<T: Real>(&self, n: usize, dy: &[T], weights: &[T], dx: &mut [T]) {
        if let Some(turned) = self.turned() {
            let (taps, ic, oc) = (self.taps(), self.ic(), self.oc());
            let mut w = Vec::with_capacity(weights.len());
            for tap in (0..taps).rev() {
                for o in 0..oc {
                    w.extend((0..ic).map(|c| weights[(tap * ic + c) * oc + o]));
                }
            }
            return turned.forward(n, dy, &w, dx);
        }
        let images = self.images(n);
        let parts = dx.par_chunks_mut(images * self.i.len());
        let parts = parts.zip(dy.par_chunks(images * self.o.len()));
        parts.for_each_init(Vec::new, |windows, (dx, dy)| {
            self.backward_data_part(dy, weights, dx, windows);
        });
    }

    fn backward_data_part<T: Real>(
        &self,
        dy: &[T],
        weights: &[T],
        dx: &mut [T],
        windows: &mut Vec<T>,
    ) {
        if self.is_depthwise() {
            let c = self.o.c;
            dx.fill(T::zero());
            for (r, dy) in dy.chunks_exact(c).enumerate() {
                let (n, at) = self.place(r);
                let image = &mut dx[n * self.i.len()..][..self.i.len()];
                self.inside(at, |tap, pixel| {
                    let (dx, w) = (&mut image[pixel * c..][..c], &weights[tap * c..][..c]);
                    add_products(dx, dy, w);
                });
            }
            return;
        }
        let (rows, depth, oc) = (dy.len() / self.o.c, self.depth(), self.oc());
        if self.in_place().is_none() {
            dx.fill(T::zero());
        }
        for g in 0..self.groups {
            let weights = Matrix::rows(&weights[g * depth * oc..][..depth * oc], depth, oc, oc);
            let weights = weights.transposed();
            if let Some(pitch) = self.in_place() {
                let dy = Matrix::rows(&dy[g * oc..], rows, oc, self.o.c);
                multiply(dy, weights, &mut dx[g * self.ic()..], pitch, false);
                continue;
            }
            for first in (0..rows).step_by(self.block()) {
                let count = self.block().min(rows - first);
                let dy = Matrix::rows(&dy[first * self.o.c + g * oc..], count, oc, self.o.c);
                windows.resize(count * depth, T::zero());
                multiply(dy, weights, windows, depth, false);
                self.scatter(windows, first, g, dx);
            }
        }
    }

    /// The weights' gradient, [oc][ic][kernel row][kernel column].
    pub fn backward_weights<T: Real>(&self, n: usize, x: &[T], dy: &[T]) -> Vec<T> {
        let (depth, oc) = (self.depth(), self.oc());
        let size = self.groups * depth * oc;
        if self.is_whole() {
            // One product, cut along the weights: no sums to join.
            let mut dw = vec![T::zero(); size];
            let share = depth.div_ceil(PARTS).max(1);
            dw.par_chunks_mut(share * oc)
                .enumerate()
                .for_each(|(p, dw)| {
                    let x = Matrix::rows(&x[p * share..], n, dw.len() / oc, depth).transposed();
                    multiply(x, Matrix::rows(dy, n, oc, oc), dw, oc, false);
                });
            return self.unpack(&dw);
        }
        let images = self.images(n);
        let parts = x.par_chunks(images * self.i.len());
        let parts = parts.zip(dy.par_chunks(images * self.o.len()));
        let parts = parts.map_init(Vec::new, |windows, (x, dy)| {
            let mut dw = vec![T::zero(); size];
            self.backward_weights_part(x, dy, &mut dw, windows);
            dw
        });
        self.unpack(&joined(parts.collect()))
    }

    fn backward_weights_part<T: Real>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [T],
        windows: &mut Vec<T>,
    ) {
        if self.is_depthwise() {
            let c = self.o.c;
            for (r, dy) in dy.chunks_exact(c).enumerate() {
                let (n, at) = self.place(r);
                let image = &x[n * self.i.len()..][..self.i.len()];
                self.inside(at, |tap, pixel| {
                    let (x, dw) = (&image[pixel * c..][..c], &mut dw[tap * c..][..c]);
                    add_products(dw, x, dy);
                });
            }
            return;
        }
        let (rows, depth, oc) = (dy.len() / self.o.c, self.depth(), self.oc());
        for g in 0..self.groups {
            let dw = &mut dw[g * depth * oc..][..depth * oc];
            for first in (0..rows).step_by(self.block()) {
                let count = self.block().min(rows - first);
                let dy = Matrix::rows(&dy[first * self.o.c + g * oc..], count, oc, self.o.c);
                let x = match self.in_place() {
                    Some(pitch) => {
                        Matrix::rows(&x[first * pitch + g * self.ic()..], count, depth, pitch)
                    }
                    None => {
                        self.gather(x, first, count, g, windows);
                        Matrix::rows(windows, count, depth, depth)
                    }
                };
                multiply(x.transposed(), dy, dw, oc, first > 0);
            }
        }
    }
}

/// Adds the product of each two elements.
fn add_products<T: Real>(sums: &mut [T], a: &[T], b: &[T]) {
    let products = a.iter().zip(b);
    let sums = sums.iter_mut().zip(products);
    sums.for_each(|(s, (&a, &b))| *s += a * b);
}

/// A few elements are faster by a loop than by a call.
fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    let from = &from[..to.len()];
    if to.len() < 16 {
        to.iter_mut().zip(from).for_each(|(t, &f)| *t = f);
    } else {
        to.copy_from_slice(from);
    }
}

/// The sum of the parts of a batch, in their order.
pub fn joined<T: Real>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_default();
    for p in parts {
        sum.iter_mut().zip(p).for_each(|(a, b)| *a += b);
    }
    sum
}
