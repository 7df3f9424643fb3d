//! What each operator computes before it is finished (bias, normalisation, rounding, activation: `finish.rs`), and its
//! gradients; one family a file.

pub mod add;
pub mod average_pool;
pub mod conv;
pub mod max_pool;
pub mod moves;
pub mod mul;

use super::real::Real;
use cnna_machine::num::Word;
use cnna_net::{Op, Shape, Window};

/// An operator on batches of images, [image][row][column][channel].
pub trait Kernel<T: Real>: Send + Sync {
    /// Takes the weights of the node as they now are, [oc][ic][kernel row][kernel column].
    fn load(&mut self, _weights: &[T]) {}

    /// Writes all of `y`; `picks` is kept for the gradient.
    fn forward(&self, n: usize, inputs: &[&[T]], y: &mut [T], picks: &mut Vec<u32>);

    /// The gradient of input number `which`; writes all of `dx`.
    fn backward(
        &self,
        n: usize,
        which: usize,
        inputs: &[&[T]],
        picks: &[u32],
        dy: &[T],
        dx: &mut [T],
    );

    /// The gradient of the weights, in the order in which they were loaded.
    fn weights(&self, _n: usize, _inputs: &[&[T]], _dy: &[T]) -> Option<Vec<T>> {
        None
    }
}

/// The format of what a node of a fake-quantised network writes.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub word: Word,
    pub frac: i32,
}

/// The operator's kernel, with the format of its output where the network is fake-quantised. `None`: it has no
/// gradient.
pub fn kernel<T: Real>(
    op: &Op,
    inputs: &[Shape],
    output: Shape,
    format: Option<Format>,
) -> Option<Box<dyn Kernel<T>>> {
    Some(match op {
        Op::Conv(c) => Box::new(conv::Direct::new(c, inputs[0], output)),
        Op::ConvTranspose(c) => Box::new(conv::Transposed::new(c, inputs[0], output)),
        Op::MaxPool(p) => Box::new(max_pool::Max::new(p, inputs[0], output, format)),
        Op::AveragePool(p) => Box::new(average_pool::Mean::new(p, inputs[0], output, format)),
        Op::Add(a) => Box::new(add::Sum::new(a)),
        Op::Activate(_) => Box::new(moves::Moves::same(output)),
        Op::Mul(_) => Box::new(mul::Product::new(inputs[0], inputs[1])),
        Op::Concat(_) | Op::Slice(_) | Op::Pad(_) | Op::Rearrange(_) | Op::Resize(_) => {
            Box::new(moves::Moves::of(op, inputs, output, format)?)
        }
        Op::Constant(_) | Op::Bilinear(_) | Op::Softmax(_) | Op::ArgMax(_) | Op::Lrn(_) => {
            return None;
        }
    })
}

/// The pixel of a map of `size` (rows, columns) that a tap of a window's result sees, where it is inside.
fn window_pixel(
    window: &Window,
    size: [usize; 2],
    at: [usize; 2],
    tap: [usize; 2],
) -> Option<usize> {
    let place = |axis: usize| {
        let p = at[axis] * window.stride[axis] + tap[axis] * window.dilation[axis];
        p.checked_sub(window.border(axis)[0])
            .filter(|&p| p < size[axis])
    };
    Some(place(0)? * size[1] + place(1)?)
}
