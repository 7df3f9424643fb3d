//! numpy arrays as flow's, read where they lie; words as numpy arrays.

use crate::error::exception;
use cnna_flow::arrays::{Array, Numbers};
use cnna_machine::num::dequantise;
use cnna_machine::program::{PortInfo, ProgramMeta};
use numpy::{
    Element, IntoPyArray, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

/// A contiguous numpy array, borrowed for reading.
pub enum Given<'py> {
    F64(PyReadonlyArrayDyn<'py, f64>),
    F32(PyReadonlyArrayDyn<'py, f32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I16(PyReadonlyArrayDyn<'py, i16>),
    I8(PyReadonlyArrayDyn<'py, i8>),
    U16(PyReadonlyArrayDyn<'py, u16>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    Bool(PyReadonlyArrayDyn<'py, bool>),
}

impl<'py> Given<'py> {
    /// Borrows it. Errors: a type of number that is not read.
    pub fn new(array: &Bound<'py, PyUntypedArray>) -> PyResult<Self> {
        fn of<'py, T: Element>(
            a: &Bound<'py, PyUntypedArray>,
        ) -> Option<PyReadonlyArrayDyn<'py, T>> {
            a.as_any().extract().ok()
        }
        let found = of(array)
            .map(Given::F32)
            .or_else(|| of(array).map(Given::F64))
            .or_else(|| of(array).map(Given::I16))
            .or_else(|| of(array).map(Given::U8))
            .or_else(|| of(array).map(Given::I8))
            .or_else(|| of(array).map(Given::I32))
            .or_else(|| of(array).map(Given::I64))
            .or_else(|| of(array).map(Given::U16))
            .or_else(|| of(array).map(Given::Bool));
        found.ok_or_else(|| {
            let message = format!(
                "an array of type {}: use float32, float64, int8, int16, int32, int64, uint8, uint16 or bool, for example x.astype(numpy.float32)",
                array.dtype()
            );
            exception(array.py(), "InputError", message)
        })
    }

    /// Borrows several. Errors: as [`Given::new`].
    pub fn all(arrays: &[Bound<'py, PyUntypedArray>]) -> PyResult<Vec<Self>> {
        arrays.iter().map(Given::new).collect()
    }

    /// The numbers of several. Errors: as [`Given::array`].
    pub fn arrays<'a>(given: &'a [Self]) -> PyResult<Vec<Array<'a>>> {
        given.iter().map(Given::array).collect()
    }

    /// The numbers where they lie. Errors: strides.
    pub fn array(&self) -> PyResult<Array<'_>> {
        fn shape<T: Element>(a: &PyReadonlyArrayDyn<'_, T>) -> Vec<u64> {
            a.shape().iter().map(|&d| d as u64).collect()
        }
        macro_rules! numbers {
            ($($kind:ident)*) => {
                match self { $(Given::$kind(a) => (shape(a), Numbers::$kind(a.as_slice()?)),)* }
            };
        }
        let (dims, numbers) = numbers!(F64 F32 I64 I32 I16 I8 U16 U8 Bool);
        Ok(Array { dims, numbers })
    }
}

/// The results of a run, output by output, in the order of the user's arrays.
pub struct Results {
    ports: Vec<Port>,
    raw: bool,
}

struct Port {
    dims: Vec<usize>,
    offsets: Vec<usize>,
    /// Words of its tensor.
    len: usize,
    frac: i32,
    reals: Vec<f32>,
    words: Vec<i16>,
}

impl Results {
    /// For that many images of a program.
    pub fn new(meta: &ProgramMeta, images: usize, raw: bool) -> Self {
        let port = |p: &PortInfo| {
            let mut dims = vec![images];
            dims.extend(&p.array.dims);
            let values = images * p.array.len();
            Port {
                dims,
                offsets: p.array.offsets().collect(),
                len: p.tensor.layout.shape.len(),
                frac: p.tensor.frac,
                reals: Vec::with_capacity(if raw { 0 } else { values }),
                words: Vec::with_capacity(if raw { values } else { 0 }),
            }
        };
        Results {
            ports: meta.outputs.iter().map(port).collect(),
            raw,
        }
    }

    /// Appends one image's words: all outputs', one behind the other.
    pub fn push(&mut self, mut words: &[i16]) {
        for p in &mut self.ports {
            let (mine, rest) = words.split_at(p.len);
            let words_of = p.offsets.iter().map(|&at| mine[at]);
            match self.raw {
                true => p.words.extend(words_of),
                false => p
                    .reals
                    .extend(words_of.map(|w| dequantise(w, p.frac) as f32)),
            }
            words = rest;
        }
    }

    /// As numpy arrays (N, the output's shape): float32, or int16 when raw.
    pub fn arrays(self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let one = |p: Port| -> PyResult<Py<PyAny>> {
            Ok(match self.raw {
                true => p
                    .words
                    .into_pyarray(py)
                    .reshape(p.dims)?
                    .into_any()
                    .unbind(),
                false => p
                    .reals
                    .into_pyarray(py)
                    .reshape(p.dims)?
                    .into_any()
                    .unbind(),
            })
        };
        self.ports.into_iter().map(one).collect()
    }
}
