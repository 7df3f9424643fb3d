//! npy arrays as reals: every number type, one image or a batch.

use crate::DataError;
use cnna_machine::layout::{ArrayLayout, Shape};
use npyz::{DType, NpyFile, Order, TypeChar};
use std::io::BufReader;
use std::path::Path;

/// Images of one shape, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Of one image.
    pub len: usize,
    /// All images, one behind the other.
    pub values: Vec<f32>,
}

impl Array {
    /// Images.
    pub fn count(&self) -> usize {
        self.values.len() / self.len.max(1)
    }

    /// Image `i` as the tensor's [channel][row][column].
    pub fn image(&self, i: usize, array: &ArrayLayout, shape: Shape) -> Vec<f32> {
        let mut image = vec![0.0; shape.len()];
        let values = &self.values[i * self.len..][..self.len];
        for (at, &v) in array.offsets().zip(values) {
            image[at] = v;
        }
        image
    }

    /// Reads images of the network's input `array`, with or without a batch in front; a batch of one may be left out.
    ///
    /// Errors: not an npy file, cut short, another shape or type, NaN or infinity.
    pub fn read(path: &Path, array: &ArrayLayout) -> Result<Array, DataError> {
        let bad = |reason: String| DataError::file(path, reason);
        let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
        let meta = file.metadata().map_err(|e| bad(e.to_string()))?;
        if !meta.is_file() {
            return Err(bad(
                "not a regular file: write the array with numpy.save".into()
            ));
        }
        let npy = NpyFile::new(BufReader::with_capacity(1 << 20, file))
            .map_err(|e| bad(format!("not an npy file ({e}): write it with numpy.save")))?;
        let dims = npy.shape().to_vec();
        let want: Vec<u64> = array.dims.iter().map(|&d| d as u64).collect();
        let image = match dims.len() == want.len() {
            true => &dims[..],
            false => dims.get(1..).unwrap_or_default(),
        };
        if dims.first() == Some(&0) {
            return Err(bad(format!("its shape is {dims:?}: it holds no image")));
        }
        if image != want {
            return Err(bad(format!(
                "its shape is {dims:?}, the network takes [N, {want:?}]: reshape or transpose it"
            )));
        }
        if npy.order() == Order::Fortran {
            return Err(bad(
                "it is in Fortran order: save numpy.ascontiguousarray(x)".into(),
            ));
        }
        let kind = match npy.dtype() {
            DType::Plain(t) => (t.type_char(), t.size_field()),
            _ => (TypeChar::RawData, 0),
        };
        // The header alone decides how much memory is taken: believe it only as far as the file goes.
        let needed = dims.iter().fold(kind.1, |n, &d| n.saturating_mul(d));
        if needed > meta.len() {
            return Err(bad(format!(
                "cut short: shape {dims:?} does not fit in {} bytes",
                meta.len()
            )));
        }
        let unreadable = |e: std::io::Error| bad(format!("unreadable: {e}"));
        macro_rules! reals {
            ($t:ty) => {{
                let values: Vec<$t> = npy.into_vec().map_err(unreadable)?;
                values.into_iter().map(|v| v as f32).collect()
            }};
        }
        let values: Vec<f32> = match kind {
            (TypeChar::Float, 4) => npy.into_vec().map_err(unreadable)?,
            (TypeChar::Float, 8) => reals!(f64),
            (TypeChar::Int, 1) => reals!(i8),
            (TypeChar::Int, 2) => reals!(i16),
            (TypeChar::Int, 4) => reals!(i32),
            (TypeChar::Int, 8) => reals!(i64),
            (TypeChar::Uint, 1) => reals!(u8),
            (TypeChar::Uint, 2) => reals!(u16),
            _ => {
                return Err(bad(format!(
                    "its type is {}: save x.astype(numpy.float32)",
                    npy.dtype().descr()
                )));
            }
        };
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(bad(format!(
                "element {i} is {}: inputs must be finite numbers",
                values[i]
            )));
        }
        Ok(Array {
            len: array.len(),
            values,
        })
    }
}
