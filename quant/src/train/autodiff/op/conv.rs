//! Convolution, fully connected and transposed convolution.

use super::Kernel;
use crate::train::autodiff::linear::Linear;
use crate::train::autodiff::real::Real;
use cnna_net::Shape;
use cnna_net::op::{Conv, ConvTranspose};

/// A convolution and its packed weights.
pub struct Direct<T> {
    linear: Linear,
    weights: Vec<T>,
}

impl<T> Direct<T> {
    pub fn new(c: &Conv, i: Shape, o: Shape) -> Self {
        let linear = Linear {
            i,
            o,
            groups: c.groups,
            window: c.window,
        };
        Direct {
            linear,
            weights: Vec::new(),
        }
    }
}

impl<T: Real> Kernel<T> for Direct<T> {
    fn load(&mut self, weights: &[T]) {
        self.linear.pack(weights, &mut self.weights);
    }
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        self.linear.forward(n, inputs[0], &self.weights, y);
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
        self.linear.backward_data(n, dy, &self.weights, dx);
    }
    fn weights(&self, n: usize, inputs: &[&[T]], dy: &[T]) -> Option<Vec<T>> {
        Some(self.linear.backward_weights(n, inputs[0], dy))
    }
}

/// A transposed convolution: the gradient of the convolution from its output to its input.
pub struct Transposed<T>(Direct<T>);

impl<T> Transposed<T> {
    pub fn new(c: &ConvTranspose, i: Shape, o: Shape) -> Self {
        let linear = Linear {
            i: o,
            o: i,
            groups: c.groups,
            window: c.window,
        };
        Transposed(Direct {
            linear,
            weights: Vec::new(),
        })
    }
}

impl<T: Real> Kernel<T> for Transposed<T> {
    fn load(&mut self, weights: &[T]) {
        self.0.load(weights);
    }
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], _picks: &mut Vec<u32>) {
        self.0
            .linear
            .backward_data(n, inputs[0], &self.0.weights, y);
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
        self.0.linear.forward(n, dy, &self.0.weights, dx);
    }
    fn weights(&self, n: usize, inputs: &[&[T]], dy: &[T]) -> Option<Vec<T>> {
        Some(self.0.linear.backward_weights(n, dy, inputs[0]))
    }
}
