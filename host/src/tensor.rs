//! Images from npy files as words, and words as npy files. NCHW, one image or a batch.

use crate::error::HostError;
use crate::files::write_whole;
use cnna_machine::layout::Shape;
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_machine::program::{ProgramMeta, TensorInfo};
use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

/// A batch of images, each [channel][row][column] words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Words of one image.
    pub image_len: usize,
    /// All images, one behind the other.
    pub words: Vec<i16>,
}

impl Batch {
    /// Images.
    pub fn len(&self) -> usize {
        self.words.len() / self.image_len.max(1)
    }
    /// True without an image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Some images, one behind the other.
    pub fn range(&self, images: &Range<usize>) -> &[i16] {
        &self.words[images.start * self.image_len..images.end * self.image_len]
    }
    /// One image after the other.
    pub fn images(&self) -> impl Iterator<Item = &[i16]> {
        self.words.chunks_exact(self.image_len.max(1))
    }
}

/// Reads the program's input from an npy file of shape (C, H, W) or (N, C, H, W).
///
/// float32 is quantised with the input's fraction bits (round half to even, saturating); int16 and int8 are words already.
/// Errors: not an npy file, cut short, another type or shape, NaN, or an integer outside the program's word.
pub fn read_input(path: &Path, meta: &ProgramMeta) -> Result<Batch, HostError> {
    let bad = |message: String| HostError::Tensor {
        path: path.into(),
        message,
    };
    let file = std::fs::File::open(path).map_err(HostError::io(path))?;
    let file_bytes = file.metadata().map_err(HostError::io(path))?.len();
    let npy = NpyFile::new(BufReader::with_capacity(1 << 20, file)).map_err(|e| {
        bad(format!(
            "not an npy file ({e}): write it with numpy.save or `cnna`"
        ))
    })?;
    let dims = npy.shape().to_vec();
    let shape = meta.input.layout.shape;
    let count = images_of(&dims, shape).ok_or_else(|| {
        bad(format!(
            "shape {dims:?} does not fit: the program takes ({}, {}, {}) or a batch (N, {}, {}, {})",
            shape.c, shape.h, shape.w, shape.c, shape.h, shape.w
        ))
    })?;
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
    if count
        .saturating_mul(shape.len() as u64)
        .saturating_mul(kind.1)
        > file_bytes
    {
        return Err(bad(format!(
            "cut short: shape {dims:?} does not fit in {file_bytes} bytes, copy or write it again"
        )));
    }
    let unreadable = |e: std::io::Error| bad(format!("unreadable: {e}"));
    let word = meta.accelerator().word;
    let words = match kind {
        (TypeChar::Float, 4) => {
            let values: Vec<f32> = npy.into_vec().map_err(unreadable)?;
            quantise_all(&values, meta.input.frac, word).map_err(|i| {
                bad(format!(
                    "NaN at index {:?}: the input must be numbers",
                    index_of(i, &dims)
                ))
            })?
        }
        (TypeChar::Int, 2) => {
            let values: Vec<i16> = npy.into_vec().map_err(unreadable)?;
            if let Some(i) = values.iter().position(|&v| word.saturate(v.into()) != v) {
                return Err(bad(format!(
                    "{} at index {:?} is outside the program's {}-bit words",
                    values[i],
                    index_of(i, &dims),
                    word.bits()
                )));
            }
            values
        }
        (TypeChar::Int, 1) => {
            let values: Vec<i8> = npy.into_vec().map_err(unreadable)?;
            values.into_iter().map(i16::from).collect()
        }
        _ => {
            return Err(bad(format!(
                "its type is {}: use float32, int16 or int8, for example x.astype(numpy.float32)",
                npy.dtype().descr()
            )));
        }
    };
    Ok(Batch {
        image_len: shape.len(),
        words,
    })
}

fn images_of(dims: &[u64], shape: Shape) -> Option<u64> {
    let (count, image) = match dims {
        [c, h, w] => (1, [*c, *h, *w]),
        [n, c, h, w] if *n > 0 => (*n, [*c, *h, *w]),
        _ => return None,
    };
    (image == [shape.c as u64, shape.h as u64, shape.w as u64]).then_some(count)
}

fn index_of(flat: usize, dims: &[u64]) -> Vec<u64> {
    let mut rest = flat as u64;
    let mut index: Vec<u64> = dims
        .iter()
        .rev()
        .map(|&d| {
            let i = rest % d;
            rest /= d;
            i
        })
        .collect();
    index.reverse();
    index
}

/// Real numbers to words with `frac` fraction bits. Errors: the position of the first NaN.
pub fn quantise_all(values: &[f32], frac: i32, word: Word) -> Result<Vec<i16>, usize> {
    values
        .iter()
        .enumerate()
        .map(|(i, &v)| quantise(v.into(), frac, word).ok_or(i))
        .collect()
}

/// Writes results, `count` tensors of `info` one behind the other, as float32 or, if `raw`, int16.
///
/// Shape (N, C, H, W), or (N, n) for a flat tensor (one channel of one row). Errors: the file cannot be written; no half
/// file stays.
pub fn write_output(
    path: &Path,
    info: &TensorInfo,
    words: &[i16],
    raw: bool,
) -> Result<(), HostError> {
    let s = info.layout.shape;
    let count = (words.len() / s.len().max(1)) as u64;
    let dims = match (s.c, s.h) {
        (1, 1) => vec![count, s.w as u64],
        _ => vec![count, s.c as u64, s.h as u64, s.w as u64],
    };
    write_whole(path, |w| {
        if raw {
            write_npy(w, &dims, words.iter().copied())
        } else {
            let reals = words.iter().map(|&q| dequantise(q, info.frac) as f32);
            write_npy(w, &dims, reals)
        }
    })
}

fn write_npy<T: npyz::AutoSerialize>(
    w: &mut dyn std::io::Write,
    dims: &[u64],
    values: impl Iterator<Item = T>,
) -> std::io::Result<()> {
    let mut npy = npyz::WriteOptions::new()
        .default_dtype()
        .shape(dims)
        .writer(w)
        .begin_nd()?;
    npy.extend(values)?;
    npy.finish()
}
