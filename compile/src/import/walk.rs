//! The walk along the chain: each node changes the state, a QuantizeLinear settles the fractions of the layers before it.

use super::error::ImportError;
use super::graph::Graph;
use super::linear::{self, Open};
use super::{quantise, window};
use cnna_machine::layer::{Activation, Layer, Network, Op, Shape};
use cnna_machine::num::{SHIFT_RANGE, Word};

/// What is known of the tensor that the walk has reached.
struct Walk<'a> {
    g: &'a Graph<'a>,
    layers: Vec<Layer>,
    input: Shape,
    /// Shape of the current tensor.
    shape: Shape,
    /// It is [N, c*h*w] rather than [N, c, h, w].
    flat: bool,
    /// It holds integers: a QuantizeLinear was the last of its kind.
    stored: bool,
    /// Its fraction bits; `None` until a QuantizeLinear says so.
    frac: Option<i32>,
    input_frac: Option<i32>,
    word: Option<Word>,
    /// The last convolution's accumulator fraction, while its bias may still grow (no activation, pool or quantisation yet).
    accumulator: Option<i32>,
}

/// Walks from the input to the output. Errors: anything that is not a chain of quantised layers.
pub(super) fn run(g: &Graph) -> Result<Network, ImportError> {
    let (mut tensor, mut walk) = begin(g)?;
    let mut last = None;
    // Each step follows an edge to a later node, or the count of nodes ends a damaged graph's loop.
    for _ in 0..=g.proto.node.len() {
        let end = g.is_output(tensor);
        let (index, tensor_next) = match (g.readers(tensor), end) {
            ([], true) => return walk.finish(last),
            ([], false) => {
                return Err(ImportError::Graph(format!(
                    "tensor `{tensor}` leads nowhere: it is neither read nor an output"
                )));
            }
            (&[one], false) => (one, g.node(one).output.first().map_or("", |s| s)),
            (readers, _) => return Err(branch(g, last, tensor, readers, end)),
        };
        for extra in g.node(index).output.iter().skip(1) {
            if !g.readers(extra).is_empty() || g.is_output(extra) {
                return Err(g.refuse(
                    index,
                    format!("its second output `{extra}` is used: only the first is supported"),
                ));
            }
        }
        walk.step(index, tensor)?;
        (tensor, last) = (tensor_next, Some(index));
    }
    Err(ImportError::Graph("it has a loop".into()))
}

fn branch(
    g: &Graph,
    writer: Option<usize>,
    tensor: &str,
    readers: &[usize],
    output: bool,
) -> ImportError {
    let mut names: Vec<String> = readers
        .iter()
        .map(|&r| format!("`{}`", g.label(r)))
        .collect();
    if output {
        names.push("the network's output".into());
    }
    ImportError::Branch {
        node: writer.map_or("the network's input", |w| g.label(w)).into(),
        tensor: tensor.into(),
        readers: names.join(" and "),
    }
}

/// The chain's first tensor, with the shape that the graph declares.
fn begin<'a>(g: &'a Graph<'a>) -> Result<(&'a str, Walk<'a>), ImportError> {
    let inputs: Vec<_> = g
        .proto
        .input
        .iter()
        .filter(|i| g.initializer(&i.name).is_none())
        .collect();
    let names = |v: &[&str]| v.join(", ");
    let [input] = inputs[..] else {
        let all: Vec<_> = inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(ImportError::Graph(format!(
            "it has {} inputs ({}), expected one",
            all.len(),
            names(&all)
        )));
    };
    if g.proto.output.len() != 1 {
        let all: Vec<_> = g.proto.output.iter().map(|o| o.name.as_str()).collect();
        return Err(ImportError::Graph(format!(
            "it has {} outputs ({}), expected one",
            all.len(),
            names(&all)
        )));
    }
    let dims = input.dims();
    let shape = match dims.as_deref() {
        Some(&[_, Some(c), Some(h), Some(w)]) => Some((c, h, w, false)),
        Some(&[_, Some(c)]) => Some((c, 1, 1, true)),
        _ => None,
    };
    let size = |v: i64| usize::try_from(v).unwrap_or(0);
    let shape = shape.and_then(|(c, h, w, flat)| {
        let s = Shape {
            c: size(c),
            h: size(h),
            w: size(w),
        };
        Some((window::checked(s)?, flat))
    });
    let Some((shape, flat)) = shape else {
        return Err(ImportError::Graph(format!(
            "its input `{}` must be declared as [N, channels, rows, columns] or [N, elements] with fixed sizes: export it with a fixed image size",
            input.name
        )));
    };
    let walk = Walk {
        g,
        layers: Vec::new(),
        input: shape,
        shape,
        flat,
        stored: false,
        frac: None,
        input_frac: None,
        word: None,
        accumulator: None,
    };
    Ok((&input.name, walk))
}

impl Walk<'_> {
    /// Applies one node to the state.
    fn step(&mut self, index: usize, tensor: &str) -> Result<(), ImportError> {
        let node = self.g.node(index);
        let op = node.op_type.as_str();
        let data_first = node.input.first().map(String::as_str) == Some(tensor);
        if !data_first && op != "Add" {
            return Err(self.g.refuse(
                index,
                format!("it reads `{tensor}` as a parameter: only constants can be"),
            ));
        }
        match op {
            "QuantizeLinear" => self.quantise(index),
            "DequantizeLinear" => self.dequantise(index),
            "Conv" | "Gemm" | "MatMul" => self.linear(index),
            "Add" => self.add(index, tensor),
            "Relu" => self.relu(index),
            "MaxPool" => self.pool(index),
            "Flatten" => self.flatten(index),
            "Reshape" => self.reshape(index),
            "Identity" => Ok(()),
            "Dropout" => self.dropout(index),
            _ => Err(self.g.refuse(index, "it is supported on constants only")),
        }
    }

    fn set_word(&mut self, index: usize, word: Word) -> Result<(), ImportError> {
        let before = *self.word.get_or_insert(word);
        if before == word {
            return Ok(());
        }
        Err(self.g.refuse(
            index,
            format!(
                "it uses int{}, nodes before it int{}: use one width",
                word.bits(),
                before.bits()
            ),
        ))
    }

    fn quantise(&mut self, index: usize) -> Result<(), ImportError> {
        if self.stored {
            return Err(self.g.refuse(
                index,
                "its input is quantised already: a DequantizeLinear is missing before it",
            ));
        }
        let q = quantise::parameters(self.g, index)?;
        if let Some(word) = q.word {
            self.set_word(index, word)?;
        }
        self.stored = true;
        match self.frac {
            None => self.settle(index, q.frac),
            Some(f) if f == q.frac => Ok(()),
            Some(f) => Err(self.g.refuse(
                index,
                format!(
                    "it changes the scale from 2^{} to 2^{} without a layer between: use equal scales on both sides of Relu, MaxPool and Flatten",
                    -f, -q.frac
                ),
            )),
        }
    }

    /// Gives the layers back to the last convolution (or the input) their fraction, and the convolution its shift.
    fn settle(&mut self, index: usize, frac: i32) -> Result<(), ImportError> {
        self.frac = Some(frac);
        self.accumulator = None;
        for layer in self.layers.iter_mut().rev() {
            layer.output_frac = frac;
            let Op::Conv(c) = &mut layer.op else {
                continue;
            };
            // The shift held the accumulator's fraction until now.
            c.shift -= frac;
            if SHIFT_RANGE.contains(&c.shift) {
                return Ok(());
            }
            let (shift, name) = (c.shift, layer.name.clone());
            return Err(self.g.refuse(
                index,
                format!(
                    "layer `{name}` would need a shift of {shift} bits (input + weight - output fraction), outside {} to {}: choose scales nearer to its range",
                    SHIFT_RANGE.start(),
                    SHIFT_RANGE.end()
                ),
            ));
        }
        self.input_frac = Some(frac);
        Ok(())
    }

    fn dequantise(&mut self, index: usize) -> Result<(), ImportError> {
        let q = quantise::parameters(self.g, index)?;
        // A network may also take integers directly; then its first DequantizeLinear gives them their meaning.
        let at_input =
            self.frac.is_none() && self.layers.iter().all(|l| matches!(l.op, Op::MaxPool(_)));
        if at_input {
            let word = q.word.ok_or_else(|| {
                self.g.refuse(
                    index,
                    "it needs a zero point of 0, int8 or int16, to say the input's width",
                )
            })?;
            self.settle(index, q.frac)?;
            return self.set_word(index, word);
        }
        if !self.stored {
            return Err(self.g.refuse(
                index,
                "its input is not quantised: a QuantizeLinear is missing before it",
            ));
        }
        if let Some(word) = q.word {
            self.set_word(index, word)?;
        }
        if self.frac != Some(q.frac) {
            return Err(self.g.refuse(
                index,
                "its scale is not that of the QuantizeLinear before it",
            ));
        }
        self.stored = false;
        Ok(())
    }

    fn linear(&mut self, index: usize) -> Result<(), ImportError> {
        let (Some(frac), Some(word), false) = (self.frac, self.word, self.stored) else {
            return Err(self.g.not_quantised(index, "its input"));
        };
        let conv = self.g.node(index).op_type == "Conv";
        let Open { conv, output } = match (conv, self.flat) {
            (true, false) => linear::conv(self.g, index, self.shape, frac, word)?,
            (false, true) => linear::fully_connected(self.g, index, self.shape, frac, word)?,
            (true, true) => {
                return Err(self.g.refuse(
                    index,
                    "its input is a vector, expected [N, channels, rows, columns]",
                ));
            }
            (false, false) => {
                return Err(self.g.refuse(
                    index,
                    format!(
                        "its input is a {} map, expected a vector: put a Flatten before it",
                        self.shape
                    ),
                ));
            }
        };
        self.accumulator = Some(conv.shift);
        self.push(index, Op::Conv(conv), output);
        self.frac = None;
        Ok(())
    }

    fn push(&mut self, index: usize, op: Op, output: Shape) {
        self.layers.push(Layer {
            name: self.g.label(index).into(),
            op,
            input: self.shape,
            output,
            output_frac: self.frac.unwrap_or(0),
        });
        self.shape = output;
    }

    /// A constant bias added behind MatMul (or Conv, Gemm).
    fn add(&mut self, index: usize, tensor: &str) -> Result<(), ImportError> {
        let node = self.g.node(index);
        let [a, b] = &node.input[..] else {
            return Err(self.g.refuse(index, "it must have two inputs"));
        };
        let other = if a == tensor { b } else { a };
        let c = self.g.constant(index, other)?;
        let channels = self.shape.c;
        // The one dimension that is not 1 must be the channel: the last of a vector, the third last of a map.
        let from_end = if self.flat { 1 } else { 3 };
        let wide: Vec<usize> = (0..c.dims.len()).filter(|&i| c.dims[i] != 1).collect();
        let by_channel = match wide[..] {
            [] => true,
            [i] => c.dims.len() - i == from_end,
            _ => false,
        };
        let (Some(frac), Some(Op::Conv(conv)), true) = (
            self.accumulator,
            self.layers.last_mut().map(|l| &mut l.op),
            by_channel,
        ) else {
            return Err(self.g.refuse(
                index,
                "only a constant bias of one value per channel, directly behind Conv, Gemm or MatMul, can be added",
            ));
        };
        let more = linear::bias(self.g, index, &c, channels, frac)?;
        let limit = 1i64 << (cnna_machine::num::ACC_BITS - 1);
        for (b, m) in conv.bias.iter_mut().zip(more) {
            *b += m;
            if !(-limit..limit).contains(b) {
                return Err(self.g.refuse(
                    index,
                    format!("with `{other}` the bias does not fit the accumulator"),
                ));
            }
        }
        Ok(())
    }

    /// Relu commutes with rounding, saturation and maximum, so it moves back to the last convolution.
    fn relu(&mut self, index: usize) -> Result<(), ImportError> {
        self.accumulator = None;
        for layer in self.layers.iter_mut().rev() {
            if let Op::Conv(c) = &mut layer.op {
                c.activation = Activation::Relu;
                return Ok(());
            }
        }
        Err(self.g.refuse(
            index,
            "there is no Conv, Gemm or MatMul before it to apply it to",
        ))
    }

    fn pool(&mut self, index: usize) -> Result<(), ImportError> {
        if self.flat {
            return Err(self.g.refuse(
                index,
                "its input is a vector, expected [N, channels, rows, columns]",
            ));
        }
        self.accumulator = None;
        let w = window::max_pool(self.g, index, self.shape)?;
        let output = window::output(self.g, index, &w, self.shape.c, self.shape)?;
        self.push(index, Op::MaxPool(w), output);
        Ok(())
    }

    fn flatten(&mut self, index: usize) -> Result<(), ImportError> {
        let axis = self.g.node(index).int("axis", 1)?;
        let rank = if self.flat { 2 } else { 4 };
        if axis != 1 && axis + rank != 1 {
            return Err(self
                .g
                .refuse(index, format!("axis {axis} would mix images: use axis 1")));
        }
        self.flat = true;
        Ok(())
    }

    fn reshape(&mut self, index: usize) -> Result<(), ImportError> {
        let to = self.g.reshape_target(index)?;
        let Shape { c, h, w } = self.shape;
        let len = self.shape.len() as i64;
        let is = |d: i64, v: usize| d == -1 || d == v as i64;
        // One -1 at most, so a -1 for the batch fixes the rest.
        let free = to.iter().filter(|&&d| d == -1).count();
        let batch = |d: i64| d == -1 || d == 0 || d == 1;
        match to[..] {
            [n, e] if batch(n) && (e == len || e == -1) && free <= 1 => self.flat = true,
            [n, tc, th, tw] if batch(n) && free <= 1 && is(tc, c) && is(th, h) && is(tw, w) => {
                self.flat = false
            }
            // A vector at the network's input may be meant as an image.
            [n, tc, th, tw]
                if batch(n)
                    && self.layers.is_empty()
                    && tc > 0
                    && th > 0
                    && tw > 0
                    && tc.checked_mul(th).and_then(|v| v.checked_mul(tw)) == Some(len) =>
            {
                self.shape = Shape {
                    c: tc as usize,
                    h: th as usize,
                    w: tw as usize,
                };
                self.input = self.shape;
                self.flat = false;
            }
            _ => {
                return Err(self.g.refuse(
                    index,
                    format!("a reshape of {} to {to:?} is not supported: use [N, -1], that is one vector per image", self.shape),
                ));
            }
        }
        Ok(())
    }

    fn dropout(&mut self, index: usize) -> Result<(), ImportError> {
        if let Some(name) = self.g.node(index).input.get(2).filter(|s| !s.is_empty()) {
            if self
                .g
                .constant(index, name)?
                .integers()
                .is_none_or(|v| v != [0])
            {
                return Err(self.g.refuse(
                    index,
                    "training_mode must be false: export the model for inference",
                ));
            }
        }
        Ok(())
    }

    fn finish(self, last: Option<usize>) -> Result<Network, ImportError> {
        let Some(last) = last.filter(|_| !self.layers.is_empty()) else {
            return Err(ImportError::Graph(
                "there is no Conv, Gemm, MatMul or MaxPool between its input and output".into(),
            ));
        };
        let (Some(_), Some(word), Some(input_frac)) = (self.frac, self.word, self.input_frac)
        else {
            return Err(self
                .g
                .not_quantised(last, "the network's output, which it writes,"));
        };
        Ok(Network {
            name: self.g.proto.name.clone(),
            word,
            input: self.input,
            input_frac,
            layers: self.layers,
        })
    }
}
