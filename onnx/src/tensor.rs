//! Constant tensors: element types, construction from slices, reading as f32, i64 or i16 whatever the storage.

use crate::{Error, TensorProto};
use prost::bytes::Bytes;

/// Element types that this crate reads; the numbers are ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum ElementType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    BF16 = 16,
}

impl ElementType {
    const ALL: [ElementType; 13] = [
        Self::F32,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::Bool,
        Self::F64,
        Self::U32,
        Self::U64,
        Self::F16,
        Self::BF16,
    ];

    /// From ONNX's number; `None` for types that are not read (strings, 4-bit integers, ...).
    pub fn from_number(n: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as i32 == n)
    }

    /// Bytes of one element in `raw_data`.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// True for floats of 16 to 64 bits.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }
}

/// A Rust number that a tensor can be built from.
pub trait Scalar: Copy {
    /// Its element type.
    const TYPE: ElementType;
    /// Appends its little-endian bytes.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! scalars {
    ($($t:ty => $e:ident),*) => {$(
        impl Scalar for $t {
            const TYPE: ElementType = ElementType::$e;
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
scalars!(f32 => F32, f64 => F64, u8 => U8, i8 => I8, u16 => U16, i16 => I16, i32 => I32, i64 => I64);

impl TensorProto {
    /// A constant of shape `dims` (empty: a scalar) with its elements in row-major order.
    ///
    /// Panics when `data` is not as long as `dims` says: the exporter's own error.
    pub fn new<T: Scalar>(name: &str, dims: &[usize], data: &[T]) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len(), "tensor {name}");
        let mut raw = Vec::with_capacity(data.len() * T::TYPE.bytes());
        for &v in data {
            v.put(&mut raw);
        }
        TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: T::TYPE as i32,
            raw_data: Bytes::from(raw),
            ..Default::default()
        }
    }

    fn bad(&self, reason: impl Into<String>) -> Error {
        Error::Tensor {
            tensor: self.name.clone(),
            reason: reason.into(),
        }
    }

    /// The element type. Errors: one that is not read.
    pub fn element_type(&self) -> Result<ElementType, Error> {
        ElementType::from_number(self.data_type).ok_or_else(|| {
            self.bad(format!(
                "element type {} is not read: use floats of 16 to 64 bits or integers of 8 to 64 bits",
                self.data_type
            ))
        })
    }

    /// The shape; empty for a scalar. Errors: a negative dimension.
    pub fn shape(&self) -> Result<Vec<usize>, Error> {
        self.dims
            .iter()
            .map(|&d| {
                usize::try_from(d)
                    .map_err(|_| self.bad(format!("dimension {d} in {:?}", self.dims)))
            })
            .collect()
    }

    /// Elements that the shape says, checked against the data present, so that no size is trusted before its bytes exist.
    fn checked_len(&self) -> Result<(ElementType, usize), Error> {
        let t = self.element_type()?;
        if self.data_location != 0 || !self.external_data.is_empty() {
            return Err(self.bad("its data is in another file: save the model with its data inside (onnx.save_model(m, p, save_as_external_data=False))"));
        }
        let len = self
            .shape()?
            .into_iter()
            .try_fold(1usize, |a, d| a.checked_mul(d))
            .ok_or_else(|| self.bad(format!("shape {:?} overflows", self.dims)))?;
        let (present, unit) = if self.raw_data.is_empty() {
            let n = match t {
                ElementType::F32 => self.float_data.len(),
                ElementType::F64 => self.double_data.len(),
                ElementType::I64 => self.int64_data.len(),
                ElementType::U32 | ElementType::U64 => self.uint64_data.len(),
                _ => self.int32_data.len(),
            };
            (n, "elements")
        } else {
            (self.raw_data.len(), "bytes")
        };
        let want = if unit == "bytes" {
            len.checked_mul(t.bytes())
        } else {
            Some(len)
        };
        if want != Some(present) {
            return Err(self.bad(format!(
                "shape {:?} of {t:?} does not agree with the {present} {unit} stored: the file is damaged",
                self.dims
            )));
        }
        Ok((t, len))
    }

    /// Elements of a tensor of floats of 16 to 64 bits, row-major. Errors: integers, external or missing data.
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        let (t, _) = self.checked_len()?;
        let raw = &self.raw_data;
        match (t, raw.is_empty()) {
            (ElementType::F32, true) => Ok(self.float_data.clone()),
            (ElementType::F32, false) => Ok(words(raw, f32::from_le_bytes)),
            (ElementType::F64, true) => Ok(self.double_data.iter().map(|&v| v as f32).collect()),
            (ElementType::F64, false) => Ok(words(raw, |b| f64::from_le_bytes(b) as f32)),
            (ElementType::F16, true) => {
                Ok(self.int32_data.iter().map(|&v| half(v as u16)).collect())
            }
            (ElementType::F16, false) => Ok(words(raw, |b| half(u16::from_le_bytes(b)))),
            (ElementType::BF16, true) => {
                Ok(self.int32_data.iter().map(|&v| brain(v as u16)).collect())
            }
            (ElementType::BF16, false) => Ok(words(raw, |b| brain(u16::from_le_bytes(b)))),
            _ => Err(self.bad(format!("holds {t:?}, expected floats"))),
        }
    }

    /// Elements of any integer or BOOL tensor, row-major. Errors: floats, external or missing data, u64 beyond i64.
    pub fn to_i64(&self) -> Result<Vec<i64>, Error> {
        let (t, _) = self.checked_len()?;
        let raw = &self.raw_data;
        let wide = |v: u64| {
            i64::try_from(v).map_err(|_| self.bad(format!("{v} does not fit 64 signed bits")))
        };
        if t.is_float() {
            return Err(self.bad(format!("holds {t:?}, expected integers")));
        }
        if raw.is_empty() {
            return match t {
                ElementType::I64 => Ok(self.int64_data.clone()),
                ElementType::U32 | ElementType::U64 => {
                    self.uint64_data.iter().map(|&v| wide(v)).collect()
                }
                _ => Ok(self.int32_data.iter().map(|&v| i64::from(v)).collect()),
            };
        }
        Ok(match t {
            ElementType::U8 | ElementType::Bool => raw.iter().map(|&b| i64::from(b)).collect(),
            ElementType::I8 => raw.iter().map(|&b| i64::from(b as i8)).collect(),
            ElementType::U16 => words(raw, |b| i64::from(u16::from_le_bytes(b))),
            ElementType::I16 => words(raw, |b| i64::from(i16::from_le_bytes(b))),
            ElementType::I32 => words(raw, |b| i64::from(i32::from_le_bytes(b))),
            ElementType::U32 => words(raw, |b| i64::from(u32::from_le_bytes(b))),
            ElementType::I64 => words(raw, i64::from_le_bytes),
            _ => {
                return words(raw, u64::from_le_bytes)
                    .into_iter()
                    .map(wide)
                    .collect();
            }
        })
    }

    /// Elements of an INT8, UINT8 or INT16 tensor, row-major, at 2 bytes each. Errors: other types, external or missing data.
    pub fn to_i16(&self) -> Result<Vec<i16>, Error> {
        let (t, _) = self.checked_len()?;
        let raw = &self.raw_data;
        match t {
            ElementType::U8 | ElementType::I8 | ElementType::I16 if raw.is_empty() => self
                .int32_data
                .iter()
                .map(|&v| i16::try_from(v).map_err(|_| self.bad(format!("{v} does not fit {t:?}"))))
                .collect(),
            ElementType::I8 => Ok(raw.iter().map(|&b| i16::from(b as i8)).collect()),
            ElementType::U8 => Ok(raw.iter().map(|&b| i16::from(b)).collect()),
            ElementType::I16 => Ok(words(raw, i16::from_le_bytes)),
            _ => Err(self.bad(format!("holds {t:?}, expected int8, uint8 or int16"))),
        }
    }
}

/// Little-endian groups of `N` bytes, converted; the length was checked to be a multiple.
fn words<const N: usize, T>(raw: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.chunks_exact(N)
        .map(|g| from(g.try_into().expect("chunks_exact yields N bytes")))
        .collect()
}

/// IEEE 754 binary16: every one of its numbers is a float of 32 bits.
fn half(bits: u16) -> f32 {
    let exponent = i32::from(bits >> 10 & 31);
    let fraction = f32::from(bits & 1023);
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1024.0 + fraction) * 2f32.powi(e - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The upper half of a float of 32 bits.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_at_their_corners() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x7bff), 65504.0);
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert_eq!(half(0x7c00), f32::INFINITY);
        assert!(half(0x7e00).is_nan());
        assert_eq!(brain(0x3f80), 1.0);
    }
}
