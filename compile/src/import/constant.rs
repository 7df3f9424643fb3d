//! Constants, folded on demand: initializers, Constant nodes, and Identity, Reshape, Transpose, Quantize and Dequantize of them.

use super::error::ImportError;
use super::graph::Graph;
use super::quantise;
use cnna_machine::num::{self, Word};
use cnna_onnx::{ElementType, TensorProto};

/// Elements of a constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Real numbers.
    Real(Vec<f32>),
    /// int8 or int16.
    Words(Word, Vec<i16>),
    /// Any other integers.
    Integers(Vec<i64>),
}

/// A constant tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    /// The tensor's name, for errors.
    pub name: String,
    /// Its shape; empty is a scalar.
    pub dims: Vec<usize>,
    /// Its elements.
    pub data: Data,
    /// Fraction bits, once a DequantizeLinear gave the integers a meaning.
    pub frac: Option<i32>,
}

impl Constant {
    fn of(name: &str, t: &TensorProto) -> Result<Self, ImportError> {
        let data = match t.element_type()? {
            ElementType::F32 | ElementType::F64 => Data::Real(t.to_f32()?),
            ElementType::I8 => Data::Words(Word::W8, t.to_i16()?),
            ElementType::I16 => Data::Words(Word::W16, t.to_i16()?),
            _ => Data::Integers(t.to_i64()?),
        };
        Ok(Constant {
            name: name.into(),
            dims: t.shape()?,
            data,
            frac: None,
        })
    }

    /// The integers, whatever their width; `None` for real numbers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::Real(_) => None,
            Data::Words(_, v) => Some(v.iter().map(|&q| i64::from(q)).collect()),
            Data::Integers(v) => Some(v.clone()),
        }
    }
}

impl Graph<'_> {
    /// The value of a constant tensor that node `reader` needs. Errors: not constant, or of an operator that is not folded.
    pub fn constant(&self, reader: usize, tensor: &str) -> Result<Constant, ImportError> {
        if !self.is_constant(tensor) {
            return Err(self.refuse(
                reader,
                format!("its input `{tensor}` must be a constant: only a chain of layers with constant weights is supported"),
            ));
        }
        if let Some(t) = self.initializer(tensor) {
            return Constant::of(tensor, t);
        }
        let index = self
            .writer(tensor)
            .expect("a constant is an initializer or written by a node");
        let node = self.node(index);
        if node.output.first().map(String::as_str) != Some(tensor) {
            return Err(self.refuse(index, format!("its output `{tensor}` cannot be used")));
        }
        if node.op_type == "Constant" {
            return self.constant_node(index, tensor);
        }
        // A constant's inputs are written by earlier nodes, so this ends.
        let first = node.input.first().map_or("", |s| s);
        let mut c = self.constant(index, first)?;
        match node.op_type.as_str() {
            "Identity" | "Dropout" => {}
            "Reshape" => c.dims = self.reshaped(index, &c)?,
            "Transpose" => self.transpose(index, &mut c)?,
            "QuantizeLinear" => self.quantise_constant(index, &mut c)?,
            "DequantizeLinear" => {
                let q = quantise::parameters(self, index)?;
                if matches!(c.data, Data::Real(_)) || c.frac.is_some() {
                    return Err(self.refuse(index, format!("its input `{}` is not integers", c.name)));
                }
                c.frac = Some(q.frac);
            }
            _ => return Err(self.refuse(index, "it computes a constant: run the model through onnxruntime's basic optimisation, or onnxsim, to fold it")),
        }
        Ok(c)
    }

    fn constant_node(&self, index: usize, name: &str) -> Result<Constant, ImportError> {
        let node = self.node(index);
        if let Some(t) = node.tensor("value")? {
            return Constant::of(name, t);
        }
        let make = |dims: Vec<usize>, data| Constant {
            name: name.into(),
            dims,
            data,
            frac: None,
        };
        if let Some(v) = node.ints("value_ints")? {
            return Ok(make(vec![v.len()], Data::Integers(v.to_vec())));
        }
        if let Some(v) = node.floats("value_floats")? {
            return Ok(make(vec![v.len()], Data::Real(v.to_vec())));
        }
        if node.attribute("value_int").is_some() {
            return Ok(make(
                vec![],
                Data::Integers(vec![node.int("value_int", 0)?]),
            ));
        }
        if node.attribute("value_float").is_some() {
            return Ok(make(
                vec![],
                Data::Real(vec![node.float("value_float", 0.0)?]),
            ));
        }
        Err(self.refuse(
            index,
            "it has none of value, value_int, value_ints, value_float, value_floats",
        ))
    }

    /// Shape of a constant behind a Reshape.
    fn reshaped(&self, index: usize, c: &Constant) -> Result<Vec<usize>, ImportError> {
        let to = self.reshape_target(index)?;
        let len: usize = c.dims.iter().product();
        let bad = || self.refuse(index, format!("cannot bring {:?} to {to:?}", c.dims));
        let mut dims = Vec::new();
        for (i, &d) in to.iter().enumerate() {
            dims.push(match d {
                -1 => 1,
                0 => *c.dims.get(i).ok_or_else(bad)?,
                d => usize::try_from(d).map_err(|_| bad())?,
            });
        }
        let known = dims
            .iter()
            .try_fold(1usize, |a, &d| a.checked_mul(d))
            .ok_or_else(bad)?;
        if let Some(free) = to.iter().position(|&d| d == -1) {
            dims[free] = len.checked_div(known).ok_or_else(bad)?;
        }
        if dims.iter().try_fold(1usize, |a, &d| a.checked_mul(d)) != Some(len) {
            return Err(bad());
        }
        Ok(dims)
    }

    /// The constant shape that a Reshape node asks for.
    pub fn reshape_target(&self, index: usize) -> Result<Vec<i64>, ImportError> {
        let shape = self.node(index).input.get(1).map_or("", |s| s);
        self.constant(index, shape)?
            .integers()
            .ok_or_else(|| self.refuse(index, format!("its shape `{shape}` is not integers")))
    }

    /// Swaps the two dimensions of a constant matrix.
    fn transpose(&self, index: usize, c: &mut Constant) -> Result<(), ImportError> {
        let [rows, columns] = c.dims[..] else {
            return Err(self.refuse(
                index,
                format!(
                    "only a matrix can be transposed, `{}` is {:?}",
                    c.name, c.dims
                ),
            ));
        };
        if self.node(index).ints("perm")?.is_some_and(|p| p != [1, 0]) {
            return Err(self.refuse(index, "perm must be [1, 0]"));
        }
        match &mut c.data {
            Data::Real(v) => *v = transposed(v, rows, columns),
            Data::Words(_, v) => *v = transposed(v, rows, columns),
            Data::Integers(v) => *v = transposed(v, rows, columns),
        }
        c.dims = vec![columns, rows];
        Ok(())
    }

    /// QuantizeLinear of a constant: round half to even, saturate.
    fn quantise_constant(&self, index: usize, c: &mut Constant) -> Result<(), ImportError> {
        let q = quantise::parameters(self, index)?;
        let (Data::Real(v), Some(word)) = (&c.data, q.word) else {
            return Err(self.refuse(index, format!("its input `{}` is not real numbers", c.name)));
        };
        let words = v.iter().map(|&x| {
            num::quantise(f64::from(x), q.frac, word).expect("constants were checked to be finite")
        });
        c.data = Data::Words(word, words.collect());
        Ok(())
    }
}

/// [rows][columns] to [columns][rows].
pub(super) fn transposed<T: Copy>(v: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..rows * columns)
        .map(|i| v[(i % rows) * columns + i / rows])
        .collect()
}
