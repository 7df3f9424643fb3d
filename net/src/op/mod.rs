//! The operators, one a file. The list below makes the enum, the dispatch, the list in error messages and docs, and the
//! random tests; an operator whose file is missing does not compile.

use crate::activation::Activation;
use crate::run::{Operand, Target, Words};
use crate::values::Values;
use crate::window::Window;
use cnna_machine::layout::Shape;
use cnna_machine::num::{ACC_BITS, SHIFT_RANGE, dequantise, quantise};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

pub mod random;

macro_rules! operators {
    ($($(#[doc = $doc:literal])* $file:ident: $name:ident,)*) => {
        $(pub mod $file; pub use $file::$name;)*

        /// What a node computes.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Op { $($(#[doc = $doc])* $name($name),)* }

        /// Names of all operators, in the list's order, with what each computes.
        pub const OPERATORS: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),*)),)*];

        impl Op {
            /// As in the list.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$name(_) => stringify!($name),)* }
            }
            fn operator(&self) -> &dyn Operator {
                match self { $(Op::$name(o) => o,)* }
            }
            /// Its constants, in a fixed order.
            pub fn constants_mut(&mut self) -> Vec<&mut Values> {
                match self { $(Op::$name(o) => o.constants_mut(),)* }
            }
            /// A random instance of operator number `index` of the list for inputs drawn from `pool`; see [`Random`].
            pub fn random(index: usize, r: &mut StdRng, pool: &Pool) -> Option<Random> {
                let all: &[fn(&mut StdRng, &Pool) -> Option<Random>] = &[$($name::random,)*];
                all[index](r, pool)
            }
        }

        $(impl From<$name> for Op {
            fn from(o: $name) -> Op { Op::$name(o) }
        })*
    };
}

operators! {
    /// Convolution with groups, strides, dilation and border; a fully connected layer's kernel is its whole input.
    conv: Conv,
    /// Transposed convolution.
    conv_transpose: ConvTranspose,
    /// Maximum over a window; padding never wins.
    max_pool: MaxPool,
    /// Mean over a window.
    average_pool: AveragePool,
    /// Sum or difference of tensors of one shape.
    add: Add,
    /// Product of two tensors, the second of one value a channel or a pixel where it is smaller.
    mul: Mul,
    /// A function of each value.
    activate: Activate,
    /// Tensors behind each other along channels, rows or columns.
    concat: Concat,
    /// Every n-th channel, row and column of a part.
    slice: Slice,
    /// A border of one value.
    pad: Pad,
    /// Another order of the elements.
    rearrange: Rearrange,
    /// Rows and columns repeated or left out.
    resize: Resize,
    /// A tensor that the model holds.
    constant: Constant,
    /// Rows and columns interpolated, on the host.
    bilinear: Bilinear,
    /// Exponentials that sum to one, on the host.
    softmax: Softmax,
    /// Index of the largest, on the host.
    arg_max: ArgMax,
    /// Local response normalisation over channels, on the host.
    lrn: Lrn,
}

/// What each operator says about itself.
trait Operator {
    /// Its output's shape. Errors: why these inputs do not fit, and what would.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// Its integers, for one image. Operators of the host alone leave this to their reals.
    fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        let reals: Vec<Vec<f32>> = inputs
            .iter()
            .map(|i| {
                i.words
                    .iter()
                    .map(|&q| dequantise(q, i.frac) as f32)
                    .collect()
            })
            .collect();
        let inputs: Vec<(Shape, &[f32])> = inputs
            .iter()
            .zip(&reals)
            .map(|(i, r)| (i.shape, &r[..]))
            .collect();
        let reals = self
            .reals(&inputs)
            .expect("an operator has integers or reals");
        let word = |&x: &f32| quantise(f64::from(x), out.frac, out.word).unwrap_or(0);
        Words::exact(reals.iter().map(word).collect())
    }

    /// Right shifts of its roundings, between the formats of its inputs and its output. Errors: integers cannot be had.
    fn shifts(&self, _inputs: &[(Shape, i32)], _out: &Target) -> Result<Vec<i32>, String> {
        Ok(Vec::new())
    }

    /// Its reals, for operators that run on the host alone.
    fn reals(&self, _inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        None
    }

    /// Multiply-accumulates of one image, padding counted as in the literature.
    fn macs(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    /// Its constants, in a fixed order.
    fn constants(&self) -> Vec<&Values> {
        Vec::new()
    }

    /// The same, to change.
    fn constants_mut(&mut self) -> Vec<&mut Values> {
        Vec::new()
    }

    /// True where the output's format is the inputs' own, because values only move or are chosen.
    fn keeps_format(&self) -> bool {
        false
    }
}

/// Fraction bits that scales of 32-bit floats express.
const FRACS: std::ops::RangeInclusive<i32> = -120..=120;

impl Op {
    /// Its output's shape. Errors: why these inputs do not fit, and what would.
    pub fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let shape = self.operator().shape(inputs)?;
        if shape.is_empty() {
            return Err(format!("its output {shape} is empty"));
        }
        Ok(shape)
    }
    /// Checks that integers can be had between these formats. Errors: what is no integer yet, or shifted too far.
    pub fn check_formats(&self, inputs: &[(Shape, i32)], out: &Target) -> Result<(), String> {
        let all = inputs.iter().map(|(_, f)| f).chain([&out.frac]);
        if let Some(f) = all.into_iter().find(|f| !FRACS.contains(*f)) {
            return Err(format!("{f} fraction bits are outside {FRACS:?}"));
        }
        let shifts = self.operator().shifts(inputs, out)?;
        if self.keeps_format() && shifts.is_empty() && inputs.iter().any(|(_, f)| *f != out.frac) {
            return Err("it keeps values, but not their fraction bits".into());
        }
        match shifts.into_iter().find(|s| !SHIFT_RANGE.contains(s)) {
            None => Ok(()),
            Some(s) => Err(format!("it shifts by {s} bits, outside {SHIFT_RANGE:?}")),
        }
    }
    /// Its integers, for one image, for formats that [`Op::check_formats`] takes.
    pub fn run(&self, inputs: &[Operand], out: &Target) -> Words {
        self.operator().run(inputs, out)
    }
    /// Its reals, for an operator of the host; `None` for those of the machine.
    pub fn reals(&self, inputs: &[(Shape, &[f32])]) -> Option<Vec<f32>> {
        self.operator().reals(inputs)
    }
    /// Multiply-accumulates of one image, padding counted as in the literature.
    pub fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        self.operator().macs(inputs, output)
    }
    /// Its constants, in a fixed order.
    pub fn constants(&self) -> Vec<&Values> {
        self.operator().constants()
    }
    /// True where values only move or are chosen, so that the output has the inputs' format.
    pub fn keeps_format(&self) -> bool {
        self.operator().keeps_format()
    }
    /// The convolution that it is.
    pub fn conv(&self) -> Option<&Conv> {
        match self {
            Op::Conv(c) => Some(c),
            _ => None,
        }
    }
    /// True for operators that no machine runs.
    pub fn is_host(&self) -> bool {
        matches!(
            self,
            Op::Bilinear(_) | Op::Softmax(_) | Op::ArgMax(_) | Op::Lrn(_)
        )
    }
}

/// What a convolution's constants must be for so many output channels, input channels and groups. Errors: what they are not.
fn linear_shape(
    [oc, ic, groups]: [usize; 3],
    w: &Window,
    weights: &Values,
    bias: &Values,
    activation: &Activation,
) -> Result<(), String> {
    if w.kernel.contains(&0) || w.stride.contains(&0) || w.dilation.contains(&0) {
        return Err("a kernel, stride or dilation of zero".into());
    }
    if groups == 0 || ic % groups != 0 || oc % groups != 0 {
        return Err(format!(
            "{groups} groups do not divide {ic} input and {oc} output channels"
        ));
    }
    activation.check(oc)?;
    let wanted = oc as u128 * (ic / groups) as u128 * w.kernel[0] as u128 * w.kernel[1] as u128;
    if weights.len() as u128 != wanted || bias.len() != oc {
        return Err(format!(
            "it has {} weights and {} biases, its shape needs {wanted} and {oc}",
            weights.len(),
            bias.len()
        ));
    }
    Ok(())
}

/// The shift of a node that multiplies by weights and adds biases. Errors: they are no integers, or too large ones.
fn linear_shift(
    input_frac: i32,
    weights: &Values,
    bias: &Values,
    out: &Target,
) -> Result<Vec<i32>, String> {
    let (Some((_, frac)), Some(bias)) = (weights.words(), bias.sums()) else {
        return Err("its weights and biases are not quantised".into());
    };
    if bias.iter().any(|b| b.unsigned_abs() >= 1 << (ACC_BITS - 1)) {
        return Err(format!("a bias does not fit {ACC_BITS} bits"));
    }
    Ok(vec![
        input_frac.saturating_add(frac).saturating_sub(out.frac),
    ])
}

/// Exactly one input. Errors: another number.
fn one(inputs: &[Shape]) -> Result<Shape, String> {
    match inputs {
        [i] => Ok(*i),
        _ => Err(format!("it has {} inputs, expected one", inputs.len())),
    }
}

pub use random::{Pool, Random};
