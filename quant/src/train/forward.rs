//! The network on burn tensors [image][channel][row][column]: in float, or fake-quantised with straight-through rounding.
//!
//! In f32 the sums of 16-bit products are rounded, which training does not mind. In f64 every product (below 2^30) and
//! every partial sum (below 2^53) is an integer times one power of two, so the same code gives the exact integers.

use super::net::reals;
use crate::{FloatNet, FloatOp, Formats, QuantError, Split, pixel, quantise_conv};
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_net::{Activation, Padding, Window};

/// Weights [oc][ic][kh][kw] and biases [oc] of one layer.
#[derive(Clone, Debug)]
pub(crate) struct LayerTensors {
    pub weight: Tensor<4>,
    pub bias: Tensor<1>,
}

/// Where a forward pass runs and how precisely.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub device: Device,
    pub dtype: DType,
}

impl Place {
    /// Plain f32, without gradients.
    pub fn float() -> Self {
        Place {
            device: Device::flex(),
            dtype: DType::F32,
        }
    }
    /// f32 with gradients.
    pub fn training() -> Self {
        Place {
            device: Device::flex().autodiff(),
            dtype: DType::F32,
        }
    }
    /// f64, without gradients: exact for fake-quantised networks.
    pub fn exact() -> Self {
        Place {
            device: Device::flex(),
            dtype: DType::F64,
        }
    }

    pub fn tensor<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        match self.dtype {
            DType::F64 => {
                Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
            }
            _ => self.tensor_f32(values.into_iter().map(|v| v as f32).collect(), shape),
        }
    }

    pub fn tensor_f32<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
    }

    /// The layers' own weights, or with `formats` the numbers that their integers stand for.
    pub fn layers(
        &self,
        net: &FloatNet,
        formats: Option<&Formats>,
    ) -> Result<Vec<LayerTensors>, QuantError> {
        let mut tensors = Vec::new();
        for (i, l) in net.layers().enumerate() {
            let FloatOp::Conv(c) = l.op else { continue };
            let (weight, bias) = match formats {
                None => (
                    reals(&c.weights).iter().map(|&w| f64::from(w)).collect(),
                    reals(&c.bias).iter().map(|&b| f64::from(b)).collect(),
                ),
                Some(f) => {
                    let input_frac = f.input_frac_of(i);
                    let q = quantise_conv(l.name, c, input_frac, f)?;
                    let (inv_w, inv_b) = (
                        2f64.powi(-q.weight_frac),
                        2f64.powi(-q.weight_frac - input_frac),
                    );
                    (
                        q.weights.iter().map(|&w| f64::from(w) * inv_w).collect(),
                        q.bias.iter().map(|&b| b as f64 * inv_b).collect(),
                    )
                }
            };
            let [kh, kw] = c.window.kernel;
            tensors.push(LayerTensors {
                weight: self.tensor(weight, [c.oc, l.input.c / c.groups, kh, kw]),
                bias: self.tensor(bias, [c.oc]),
            });
        }
        Ok(tensors)
    }

    /// A batch of the images at `indices`; those marked in `flip` are mirrored left to right.
    pub fn batch(
        &self,
        split: &Split,
        indices: &[usize],
        flip: &[bool],
        formats: Option<&Formats>,
    ) -> Tensor<4> {
        let table: Vec<f32> = (0..=255u8)
            .map(|b| match formats {
                None => pixel(b),
                Some(f) => {
                    let q = quantise(f64::from(pixel(b)), f.input_frac, f.word)
                        .expect("a pixel is a number");
                    dequantise(q, f.input_frac) as f32
                }
            })
            .collect();
        let shape = split.shape;
        let mut values = Vec::with_capacity(indices.len() * shape.len());
        for (n, &i) in indices.iter().enumerate() {
            for row in split.image(i).chunks_exact(shape.w) {
                let value = |b: &u8| table[usize::from(*b)];
                match flip.get(n) {
                    Some(true) => values.extend(row.iter().rev().map(value)),
                    _ => values.extend(row.iter().map(value)),
                }
            }
        }
        // A word has at most 16 bits, so f32 holds it exactly and the conversion to f64 keeps it.
        self.tensor_f32(values, [indices.len(), shape.c, shape.h, shape.w])
    }
}

fn sides(p: Padding) -> [(usize, usize); 2] {
    [(p.top, p.bottom), (p.left, p.right)]
}

fn pool(x: Tensor<4>, w: &Window) -> Tensor<4> {
    let options = MaxPoolOptions {
        kernel_size: w.kernel,
        stride: w.stride,
        padding: sides(w.pad),
        dilation: w.dilation,
        ceil_mode: false,
    };
    max_pool2d(x, options)
}

/// Limits to what the output's word can hold, ReLU and clips included; beyond the limits the gradient is zero.
fn limit(y: Tensor<4>, frac: i32, word: Word, activation: &Activation) -> Tensor<4> {
    let [low, high] = activation
        .bounds(frac, word)
        .expect("FloatNet::new admits clips only");
    y.clamp(dequantise(low, frac), dequantise(high, frac))
}

/// The activation in float.
fn activate(y: Tensor<4>, activation: &Activation) -> Tensor<4> {
    match activation {
        Activation::Relu => activation::relu(y),
        Activation::Clip { lo, hi } => y.clamp(*lo, *hi),
        _ => y,
    }
}

/// Rounds half up to `frac` fraction bits; the gradient passes unchanged (the straight-through estimator).
///
/// Source: Bengio et al. 2013, arXiv:1308.3432.
fn round_straight_through(x: Tensor<4>, frac: i32) -> Tensor<4> {
    let scale = 2f64.powi(frac);
    let detached = x.clone().detach();
    let rounded = detached
        .clone()
        .mul_scalar(scale)
        .add_scalar(0.5)
        .floor()
        .div_scalar(scale);
    if x.is_autodiff() {
        x + (rounded - detached)
    } else {
        rounded
    }
}

/// The logits [image][class] of a batch; `tap` sees each layer's index and output (before rounding).
///
/// Limiting comes before pooling and rounding after it: both are monotone, so the integers are those of
/// requantise, activate, pool, and the rounding touches a quarter of the values.
pub(crate) fn forward(
    net: &FloatNet,
    tensors: &[LayerTensors],
    formats: Option<&Formats>,
    mut x: Tensor<4>,
    tap: &mut dyn FnMut(usize, &Tensor<4>),
) -> Tensor<2> {
    let images = x.dims()[0];
    let mut next = tensors.iter();
    for (i, l) in net.layers().enumerate() {
        x = match l.op {
            FloatOp::MaxPool(w) => pool(x, w),
            FloatOp::Conv(c) => {
                let t = next
                    .next()
                    .expect("one pair of tensors for each layer with weights");
                let y = if l.is_fc() {
                    let flat = x.reshape([images, l.input.len()]);
                    let weight = t.weight.clone().reshape([c.oc, l.input.len()]);
                    let y = flat.matmul(weight.transpose()) + t.bias.clone().reshape([1, c.oc]);
                    y.reshape([images, c.oc, 1, 1])
                } else {
                    let options = ConvOptions {
                        stride: c.window.stride,
                        padding: sides(c.window.pad),
                        dilation: c.window.dilation,
                        groups: c.groups,
                    };
                    conv2d(x, t.weight.clone(), Some(t.bias.clone()), options)
                };
                match formats {
                    Some(f) => limit(y, f.output_fracs[i], f.word, &c.activation),
                    None => activate(y, &c.activation),
                }
            }
        };
        tap(i, &x);
        if let (Some(f), false) = (formats, net.is_pooled(i)) {
            x = round_straight_through(x, f.output_fracs[i]);
        }
    }
    x.reshape([images, net.classes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(values: [f32; 6], activation: Activation) -> (Vec<f32>, Vec<f32>) {
        let place = Place::training();
        let x = place
            .tensor_f32(values.to_vec(), [1, 1, 1, 6])
            .require_grad();
        // Words of 8 bits with 6 fraction bits: [-2, 2).
        let y = round_straight_through(limit(x.clone(), 6, Word::W8, &activation), 6);
        let weights = place.tensor_f32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 1, 1, 6]);
        let gradients = (y.clone() * weights).sum().backward();
        let dx = x.grad(&gradients).expect("x takes part");
        (
            y.try_into_vec_as().expect("f32"),
            dx.try_into_vec_as().expect("f32"),
        )
    }

    #[test]
    fn rounding_is_half_up_and_its_gradient_passes_inside_the_range_only() {
        let half = 1.0 / 128.0;
        let (y, dx) = gradient([half, -half, 1.01, -1.0, 2.5, -2.5], Activation::None);
        assert_eq!(y, [1.0 / 64.0, 0.0, 65.0 / 64.0, -1.0, 127.0 / 64.0, -2.0]);
        assert_eq!(dx, [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
        let (y, dx) = gradient([half, -half, 1.01, -1.0, 2.5, -2.5], Activation::Relu);
        assert_eq!(y, [1.0 / 64.0, 0.0, 65.0 / 64.0, 0.0, 127.0 / 64.0, 0.0]);
        assert_eq!(dx, [1.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
    }
}
