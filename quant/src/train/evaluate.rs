//! Accuracy of the float network and of the fake-quantised one, which is exact: that of its integers.

use super::autodiff::{Network, Real};
use crate::accuracy::{Accuracy, check, right_answers};
use crate::{FloatNet, Formats, QuantError, Split, to_graph};
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_net::Graph;
use rayon::prelude::*;

/// Images of one forward pass: enough to fill the cores, small enough for the caches.
pub(crate) const BATCH: usize = 64;

/// How a training image is changed on its way into the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Left to right.
    pub mirrored: bool,
    /// Rows and columns that it moves down and to the right; what is left is black.
    pub moved: [isize; 2],
    /// First row and column and the side of a square that becomes black.
    pub cut: ([isize; 2], isize),
}

impl Change {
    fn cuts(&self, y: usize, x: usize) -> bool {
        let ([top, left], side) = self.cut;
        let inside = |at: usize, first: isize| (first..first + side).contains(&(at as isize));
        inside(y, top) && inside(x, left)
    }
}

/// Puts the images at `indices` into the network's input, [row][column][channel]; `change` is asked by place in the
/// batch. With an input format pixels are its words.
pub(crate) fn fill<T: Real>(
    network: &mut Network<T>,
    split: &Split,
    indices: &[usize],
    change: impl Fn(usize) -> Change + Sync,
    input: Option<(i32, Word)>,
) {
    let rounded = |real: f64| match input {
        Some((frac, word)) => {
            let word = quantise(real, frac, word).expect("a pixel is a number");
            dequantise(word, frac)
        }
        None => real,
    };
    let tables: Vec<[T; 256]> = split
        .reals()
        .iter()
        .map(|reals| reals.map(|r| T::of(rounded(f64::from(r)))))
        .collect();
    let s = split.shape;
    let places = network
        .input(indices.len())
        .par_chunks_mut(s.len())
        .zip(indices);
    places.enumerate().for_each(|(n, (place, &i))| {
        let (image, change) = (split.image(i), change(n));
        for (at, pixel) in place.chunks_exact_mut(s.c).enumerate() {
            let (y, x) = (at / s.w, at % s.w);
            let row = y.checked_add_signed(-change.moved[0]);
            let row = row.filter(|&row| row < s.h && !change.cuts(y, x));
            let column = x.checked_add_signed(-change.moved[1]).filter(|&x| x < s.w);
            let column = column.map(|x| if change.mirrored { s.w - 1 - x } else { x });
            for (c, v) in pixel.iter_mut().enumerate() {
                let byte = row
                    .zip(column)
                    .map_or(0, |(y, x)| image[(c * s.h + y) * s.w + x]);
                *v = tables[c][usize::from(byte)];
            }
        }
    });
}

/// The logits of every image, in order.
fn logits<T: Real>(graph: &Graph, split: &Split) -> Result<Vec<Vec<f64>>, QuantError> {
    let (input, output) = (graph.inputs[0].tensor, graph.outputs[0].tensor);
    let classes = graph.tensors[output].shape.len();
    check(graph.tensors[input].shape, classes, split)?;
    let mut network = Network::<T>::new(graph, &[]).expect("a FloatNet has gradients");
    let format = graph.tensors[input].frac.map(|f| (f, graph.word));
    let indices: Vec<usize> = (0..split.len()).collect();
    let mut all = Vec::with_capacity(split.len());
    for chunk in indices.chunks(BATCH) {
        fill(&mut network, split, chunk, |_| Change::default(), format);
        network.forward_filled(chunk.len());
        let rows = network.value(output).chunks_exact(classes);
        all.extend(rows.map(|r| r.iter().map(|v| v.double()).collect::<Vec<f64>>()));
    }
    Ok(all)
}

/// Accuracy in f32. Errors: shapes or classes that do not fit.
pub fn evaluate_float(net: &FloatNet, split: &Split) -> Result<Accuracy, QuantError> {
    Ok(right_answers(&float_logits(net, split)?, split))
}

/// The logits in f32, [image][class]. Errors: as [`evaluate_float`].
pub(crate) fn float_logits(net: &FloatNet, split: &Split) -> Result<Vec<Vec<f64>>, QuantError> {
    logits::<f32>(&net.graph(), split)
}

/// Accuracy of the fake-quantised network, exact: that of its integers. Errors: as [`evaluate_float`]; bad weights.
pub fn evaluate_fake(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Accuracy, QuantError> {
    Ok(right_answers(&fake_logits(net, formats, split)?, split))
}

/// The fake-quantised network's logits, [image][class], exact. Errors: as [`evaluate_fake`].
pub fn fake_logits(
    net: &FloatNet,
    formats: &Formats,
    split: &Split,
) -> Result<Vec<Vec<f64>>, QuantError> {
    logits::<f64>(&to_graph(net, formats)?, split)
}
