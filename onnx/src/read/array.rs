//! Constant tensors while a graph is read: elements in the smallest of three storages, moved without being converted.

use crate::{ElementType, Error, TensorProto};
use cnna_machine::layout::ArrayLayout;
use std::path::{Component, Path};
use std::rc::Rc;

/// Most elements that folding may make of a small constant (ConstantOfShape, Expand, Range).
pub(crate) const MAX_FOLDED: usize = 1 << 24;
/// Most elements of weights that a ConstantOfShape fills, as test models' are, and of all of them in one model.
pub(crate) const MAX_FILLED: usize = 1 << 28;

/// Stands for a batch size that the file leaves open, inside shapes that the graph computes. It survives a cast to float and back.
pub(crate) const BATCH: i64 = i64::MIN;

/// Elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// Floats of any width.
    Real(Vec<f32>),
    /// int8, uint8 and int16.
    Small(Vec<i16>),
    /// Other integers.
    Int(Vec<i64>),
}

/// A constant tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// The tensor's name, for errors.
    pub name: Rc<str>,
    /// Its shape; empty is a scalar.
    pub dims: Vec<usize>,
    /// Its elements.
    pub data: Data,
    /// Type in the file, or of what was computed.
    pub element: ElementType,
    /// Fraction bits, once a DequantizeLinear gave the integers a meaning.
    pub frac: Option<i32>,
    /// Fraction bits beyond those that the elements of each index of the first dimension have; mostly empty.
    pub finer: Vec<u8>,
}

impl Array {
    pub fn reals(name: &str, dims: Vec<usize>, data: Vec<f32>) -> Self {
        Array {
            name: name.into(),
            dims,
            data: Data::Real(data),
            element: ElementType::F32,
            frac: None,
            finer: Vec::new(),
        }
    }

    pub fn ints(name: &str, dims: Vec<usize>, data: Vec<i64>) -> Self {
        Array {
            name: name.into(),
            dims,
            data: Data::Int(data),
            element: ElementType::I64,
            frac: None,
            finer: Vec::new(),
        }
    }

    /// Decodes a tensor of the file, or of the file beside it that it names. Errors: as its message says.
    pub fn load(name: &str, t: &TensorProto, folder: Option<&Path>) -> Result<Self, String> {
        let outside;
        let t = if t.data_location == 0 && t.external_data.is_empty() {
            t
        } else {
            outside = external(t, folder)?;
            &outside
        };
        let reason = |e: Error| match e {
            Error::Tensor { reason, .. } => format!("its constant `{name}`: {reason}"),
            other => other.to_string(),
        };
        let element = t.element_type().map_err(reason)?;
        let data = match element {
            e if e.is_float() => Data::Real(t.to_f32().map_err(reason)?),
            ElementType::I8 | ElementType::U8 | ElementType::I16 => {
                Data::Small(t.to_i16().map_err(reason)?)
            }
            _ => Data::Int(t.to_i64().map_err(reason)?),
        };
        Ok(Array {
            name: name.into(),
            dims: t.shape().map_err(reason)?,
            data,
            element,
            frac: None,
            finer: Vec::new(),
        })
    }

    pub fn len(&self) -> usize {
        match &self.data {
            Data::Real(v) => v.len(),
            Data::Small(v) => v.len(),
            Data::Int(v) => v.len(),
        }
    }

    /// The elements as reals, whatever their storage.
    pub fn to_reals(&self) -> Vec<f32> {
        let scale = 2f64.powi(-self.frac.unwrap_or(0));
        let mut all: Vec<f32> = match &self.data {
            Data::Real(v) => v.clone(),
            Data::Small(v) => v.iter().map(|&q| (f64::from(q) * scale) as f32).collect(),
            Data::Int(v) => v.iter().map(|&q| (q as f64 * scale) as f32).collect(),
        };
        let each = (all.len() / self.finer.len().max(1)).max(1);
        for (values, &d) in all.chunks_mut(each).zip(&self.finer) {
            let scale = 2f32.powi(-i32::from(d));
            values.iter_mut().for_each(|v| *v *= scale);
        }
        all
    }

    /// The same array without scales of its parts: as reals where it has them.
    pub fn uniform(self: Rc<Self>) -> Rc<Self> {
        match self.finer.is_empty() {
            true => self,
            false => Rc::new(Array::reals(&self.name, self.dims.clone(), self.to_reals())),
        }
    }

    /// The same, without NaN and infinity. Errors: the index of the first.
    pub fn finite(&self) -> Result<Vec<f32>, String> {
        let v = self.to_reals();
        match v.iter().position(|x| !x.is_finite()) {
            None => Ok(v),
            Some(i) => Err(format!(
                "its constant `{}` holds {} at element {i}: the model is damaged or its training diverged",
                self.name, v[i]
            )),
        }
    }

    /// Integers. Errors: reals.
    pub fn to_ints(&self) -> Result<Vec<i64>, String> {
        match &self.data {
            Data::Int(v) => Ok(v.clone()),
            Data::Small(v) => Ok(v.iter().map(|&q| q.into()).collect()),
            Data::Real(_) => Err(format!(
                "its input `{}` holds reals, expected integers",
                self.name
            )),
        }
    }

    /// The one element, as a real. Errors: none or several.
    pub fn scalar(&self) -> Result<f32, String> {
        match self.to_reals()[..] {
            [v] => Ok(v),
            _ => Err(format!(
                "its input `{}` has shape {:?}, expected one element",
                self.name, self.dims
            )),
        }
    }

    /// Words with the same fraction bits, where a DequantizeLinear said so.
    pub fn words(&self) -> Option<(&[i16], i32)> {
        self.channel_words().filter(|_| self.finer.is_empty())
    }

    /// Words and the least fraction bits of an index of the first dimension; `finer` has what each has beyond them.
    pub fn channel_words(&self) -> Option<(&[i16], i32)> {
        match (&self.data, self.frac) {
            (Data::Small(v), Some(frac)) if self.element != ElementType::U8 => Some((v, frac)),
            _ => None,
        }
    }

    /// The array of shape `dims` whose elements are those at `at`; without scales of its parts.
    pub fn pick(&self, dims: Vec<usize>, at: impl Iterator<Item = usize>) -> Self {
        if !self.finer.is_empty() {
            let v = self.to_reals();
            return Array::reals(&self.name, dims, at.map(|i| v[i]).collect());
        }
        let data = match &self.data {
            Data::Real(v) => Data::Real(at.map(|i| v[i]).collect()),
            Data::Small(v) => Data::Small(at.map(|i| v[i]).collect()),
            Data::Int(v) => Data::Int(at.map(|i| v[i]).collect()),
        };
        Array {
            name: self.name.clone(),
            dims,
            data,
            element: self.element,
            frac: self.frac,
            finer: Vec::new(),
        }
    }

    /// With its axes in another order.
    pub fn transpose(&self, perm: &[usize]) -> Self {
        let strides = strides(&self.dims);
        let axes: Vec<_> = perm.iter().map(|&p| (self.dims[p], strides[p])).collect();
        let dims = perm.iter().map(|&p| self.dims[p]).collect();
        self.pick(dims, walk(&axes, 0))
    }
}

/// Row-major distances of each dimension.
pub(crate) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut all = vec![1usize; dims.len()];
    for d in (1..dims.len()).rev() {
        all[d - 1] = all[d].saturating_mul(dims[d]);
    }
    all
}

/// Offsets of nested loops over (count, distance), the last innermost.
pub(crate) fn walk(axes: &[(usize, usize)], first: usize) -> impl Iterator<Item = usize> + use<> {
    let layout = ArrayLayout {
        dims: Vec::new(),
        axes: axes.to_vec(),
        first,
    };
    let len = layout.len();
    (0..len).map(move |mut n| {
        let mut at = layout.first;
        for &(count, distance) in layout.axes.iter().rev() {
            at += n % count * distance;
            n /= count;
        }
        at
    })
}

/// The tensor with its bytes from the file that it names. Errors: a path that leaves the model's folder, missing bytes.
fn external(t: &TensorProto, folder: Option<&Path>) -> Result<TensorProto, String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let entry = |key: &str| {
        t.external_data
            .iter()
            .find(|e| e.key == key)
            .map(|e| e.value.as_str())
    };
    let place = entry("location").unwrap_or_default();
    let about = |reason: String| {
        format!(
            "its constant `{}` lies in the file `{place}`: {reason}",
            t.name
        )
    };
    let folder = folder.ok_or_else(|| about("the model comes without a folder".into()))?;
    let inside = !place.is_empty()
        && Path::new(place)
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(about("it must be a path inside the model's folder".into()));
    }
    let number = |key: &str| {
        entry(key)
            .map(|v| {
                v.parse::<u64>()
                    .map_err(|_| about(format!("its {key} `{v}` is no number")))
            })
            .transpose()
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let io = |e: std::io::Error| about(format!("{e}; put it beside the model"));
    let mut file = std::fs::File::open(folder.join(place)).map_err(io)?;
    let present = file.metadata().map_err(io)?.len();
    let length = length.unwrap_or(present.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > present) {
        return Err(about(format!(
            "it has {present} bytes, expected {length} from {offset} on: it is cut short"
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(io)?;
    Ok(TensorProto {
        raw_data: bytes.into(),
        external_data: Vec::new(),
        data_location: 0,
        ..t.clone()
    })
}
