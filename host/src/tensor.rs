//! Images from npy files as words, and words as npy files. NCHW, one image or a batch.

use crate::error::HostError;
use crate::files::{Output, failed};
use cnna_machine::layer::Shape;
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_machine::program::{ProgramMeta, TensorInfo};
use npyz::{DType, NpyFile, NpyReader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

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

/// Images one after the other, from wherever they come: a run needs only its own in memory.
pub trait Images {
    /// Images in all.
    fn count(&self) -> usize;
    /// Words of the next `n` images, one behind the other; never asked for more than there are.
    ///
    /// Errors: they cannot be read, or are no words of the program.
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError>;
}

/// The images of an npy file of shape (C, H, W) or (N, C, H, W), read as they are asked for.
///
/// float32 is quantised with the input's fraction bits (round half to even, saturating); int16 and int8 are words already.
pub struct InputFile {
    path: PathBuf,
    values: Values,
    dims: Vec<u64>,
    count: usize,
    image_len: usize,
    /// Values read.
    at: u64,
    frac: i32,
    word: Word,
}

enum Values {
    F32(NpyReader<f32, BufReader<File>>),
    I16(NpyReader<i16, BufReader<File>>),
    I8(NpyReader<i8, BufReader<File>>),
}

impl InputFile {
    /// Opens a file (or a FIFO) of a program's input.
    ///
    /// Errors: not an npy file, cut short, another type or shape.
    pub fn open(path: &Path, meta: &ProgramMeta) -> Result<Self, HostError> {
        let bad = |message: String| tensor_error(path, message);
        let file = File::open(path).map_err(HostError::io(path))?;
        let about = file.metadata().map_err(HostError::io(path))?;
        if about.is_dir() {
            return Err(HostError::place(path, "a folder: name an npy file"));
        }
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
        // A file tells at once that it is too short; a FIFO when it ends.
        let bytes = count
            .saturating_mul(shape.len() as u64)
            .saturating_mul(kind.1);
        if about.is_file() && bytes > about.len() {
            return Err(bad(format!(
                "cut short: shape {dims:?} does not fit in {} bytes, copy or write it again",
                about.len()
            )));
        }
        let descr = npy.dtype().descr();
        let values = match kind {
            (TypeChar::Float, 4) => npy.data().map(Values::F32),
            (TypeChar::Int, 2) => npy.data().map(Values::I16),
            (TypeChar::Int, 1) => npy.data().map(Values::I8),
            _ => {
                return Err(bad(format!(
                    "its type is {descr}: use float32, int16 or int8, for example x.astype(numpy.float32)"
                )));
            }
        };
        Ok(InputFile {
            path: path.into(),
            values: values.map_err(|e| bad(format!("unreadable: {e}")))?,
            dims,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            image_len: shape.len(),
            at: 0,
            frac: meta.input.frac,
            word: meta.accelerator().word,
        })
    }

    /// Only the first `images`.
    pub fn first(mut self, images: usize) -> Self {
        self.count = self.count.min(images);
        self
    }

    /// An error at the value read last.
    fn bad(&self, what: &str) -> HostError {
        let index = index_of(self.at - 1, &self.dims);
        tensor_error(&self.path, what.replace("{index}", &format!("{index:?}")))
    }

    fn next_word(&mut self) -> Result<i16, HostError> {
        self.at += 1;
        let unreadable = |e| tensor_error(&self.path, format!("unreadable: {e}"));
        let ended = || tensor_error(&self.path, "cut short: write it again".into());
        match &mut self.values {
            Values::F32(values) => {
                let v = values.next().ok_or_else(ended)?.map_err(unreadable)?;
                quantise(v.into(), self.frac, self.word)
                    .ok_or_else(|| self.bad("NaN at index {index}: the input must be numbers"))
            }
            Values::I16(values) => {
                let v = values.next().ok_or_else(ended)?.map_err(unreadable)?;
                match self.word.saturate(v.into()) == v {
                    true => Ok(v),
                    false => Err(self.bad(&format!(
                        "{v} at index {{index}} is outside the program's {}-bit words",
                        self.word.bits()
                    ))),
                }
            }
            Values::I8(values) => {
                let v = values.next().ok_or_else(ended)?.map_err(unreadable)?;
                Ok(v.into())
            }
        }
    }
}

impl Images for InputFile {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        (0..n * self.image_len).map(|_| self.next_word()).collect()
    }
}

/// A batch in memory, from its first image on.
pub struct InMemory<'a> {
    batch: &'a Batch,
    at: usize,
}

impl<'a> InMemory<'a> {
    /// All of `batch`.
    pub fn new(batch: &'a Batch) -> Self {
        InMemory { batch, at: 0 }
    }
}

impl Images for InMemory<'_> {
    fn count(&self) -> usize {
        self.batch.len()
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let range = self.at..self.at + n;
        self.at = range.end;
        Ok(self.batch.range(&range).to_vec())
    }
}

fn tensor_error(path: &Path, message: String) -> HostError {
    HostError::Tensor {
        path: path.into(),
        message,
    }
}

/// Reads all images of an npy file, see [`InputFile`].
pub fn read_input(path: &Path, meta: &ProgramMeta) -> Result<Batch, HostError> {
    let mut input = InputFile::open(path, meta)?;
    let (count, image_len) = (input.count(), input.image_len);
    Ok(Batch {
        image_len,
        words: input.next(count)?,
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

fn index_of(flat: u64, dims: &[u64]) -> Vec<u64> {
    let mut rest = flat;
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

/// The results of a run as an npy file, float32 or, if `raw`, int16, written as they come.
///
/// Shape (N, C, H, W), or (N, n) for a flat tensor (one channel of one row). Where it may go and what becomes of it when
/// something fails: [`Output`].
pub struct Results {
    path: PathBuf,
    output: Output,
    /// Values that must still come.
    missing: u64,
    frac: i32,
    raw: bool,
}

impl Results {
    /// For `count` tensors of `info`. Errors: the file cannot be made or written.
    pub fn create(
        path: &Path,
        info: &TensorInfo,
        count: usize,
        raw: bool,
    ) -> Result<Self, HostError> {
        let s = info.layout.shape;
        let mut output = Output::create(path)?;
        let dims = match (s.c, s.h) {
            (1, 1) => vec![count as u64, s.w as u64],
            _ => [count, s.c, s.h, s.w].map(|d| d as u64).to_vec(),
        };
        let header = match raw {
            true => header::<i16>(&mut output, &dims),
            false => header::<f32>(&mut output, &dims),
        };
        header.map_err(|e| failed(path, e))?;
        Ok(Results {
            path: path.into(),
            output,
            missing: dims.iter().product(),
            frac: info.frac,
            raw,
        })
    }

    /// Appends words of whole tensors. Errors: the disk is full, or nobody reads.
    pub fn push(&mut self, words: &[i16]) -> Result<(), HostError> {
        self.missing = self
            .missing
            .checked_sub(words.len() as u64)
            .expect("as many results as were announced");
        let mut bytes = Vec::with_capacity(words.len() * 4);
        for &q in words {
            match self.raw {
                true => bytes.extend(q.to_ne_bytes()),
                false => bytes.extend((dequantise(q, self.frac) as f32).to_ne_bytes()),
            }
        }
        self.output
            .write_all(&bytes)
            .map_err(|e| failed(&self.path, e))
    }

    /// All results have come. Errors: the file cannot be written.
    pub fn finish(self) -> Result<(), HostError> {
        assert_eq!(self.missing, 0, "as many results as were announced");
        self.output.finish()
    }
}

/// The header of an npy file whose values follow, in this machine's order of bytes.
fn header<T: npyz::AutoSerialize>(output: &mut Output, dims: &[u64]) -> std::io::Result<()> {
    npyz::WriteOptions::<T>::new()
        .default_dtype()
        .shape(dims)
        .writer(output)
        .write_header_only()
        .map(drop)
}
