//! Inputs: npy files, read as images are asked for.

use super::{Images, NOT_FINITE, batch_of, beyond_words, index_of, tensor_error};
use crate::error::HostError;
use cnna_machine::num::{Word, quantise_all};
use cnna_machine::program::{PortInfo, ProgramMeta};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The images of an npy file of one input's shape, alone or with the batch before it, read as they are asked for.
///
/// Floats and integers are numbers, quantised with the input's fraction bits (round half to even, saturating); with
/// [`InputFile::raw`] int16 and int8 are words.
pub struct InputFile {
    path: PathBuf,
    file: BufReader<File>,
    element: Element,
    dims: Vec<u64>,
    count: usize,
    /// Elements of one image.
    len: usize,
    /// Where an array's elements lie in the tensor; nothing where they lie as they come.
    offsets: Option<Vec<usize>>,
    /// Images read.
    at: usize,
    frac: i32,
    word: Word,
    raw: bool,
    /// Reading it never waits for somebody to write.
    regular: bool,
    /// Numbers beyond the input's format.
    clipped: u64,
    /// One image as it is in the file, and as numbers.
    bytes: Vec<u8>,
    numbers: Vec<f64>,
}

/// The type of an array's elements.
#[derive(Clone, Copy)]
struct Element {
    kind: Kind,
    bytes: usize,
    /// In the file the first byte is the highest.
    swapped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    F64,
    F32,
    I64,
    I32,
    I16,
    I8,
    U8,
    U16,
    Bool,
}

/// All of [`Kind`], for people.
const TYPES: &str = "float32, float64, int8, int16, int32, int64, uint8, uint16 or bool";

impl Element {
    /// The element of an array's type; nothing when it is none of ours.
    fn of(dtype: &DType) -> Option<Self> {
        let DType::Plain(t) = dtype else { return None };
        let kind = match (t.type_char(), t.size_field()) {
            (TypeChar::Float, 8) => Kind::F64,
            (TypeChar::Float, 4) => Kind::F32,
            (TypeChar::Int, 8) => Kind::I64,
            (TypeChar::Int, 4) => Kind::I32,
            (TypeChar::Int, 2) => Kind::I16,
            (TypeChar::Int, 1) => Kind::I8,
            (TypeChar::Uint, 2) => Kind::U16,
            (TypeChar::Uint, 1) => Kind::U8,
            (TypeChar::Bool, _) => Kind::Bool,
            _ => return None,
        };
        Some(Element {
            kind,
            bytes: t.num_bytes()?,
            swapped: t.endianness() == Endianness::Big,
        })
    }

    /// Elements as numbers; `bytes` has whole ones, which may be put in order.
    fn numbers(self, bytes: &mut [u8], numbers: &mut Vec<f64>) {
        if self.swapped {
            bytes.chunks_exact_mut(self.bytes).for_each(<[u8]>::reverse);
        }
        numbers.clear();
        fn all<const N: usize>(bytes: &[u8], numbers: &mut Vec<f64>, of: impl Fn([u8; N]) -> f64) {
            let each = bytes.chunks_exact(N);
            numbers.extend(each.map(|b| of(b.try_into().expect("chunks of N"))));
        }
        match self.kind {
            Kind::F64 => all(bytes, numbers, f64::from_le_bytes),
            Kind::F32 => all(bytes, numbers, |b| f32::from_le_bytes(b).into()),
            // Beyond 2^53 a number is beyond every format anyway.
            Kind::I64 => all(bytes, numbers, |b| i64::from_le_bytes(b) as f64),
            Kind::I32 => all(bytes, numbers, |b| i32::from_le_bytes(b).into()),
            Kind::I16 => all(bytes, numbers, |b| i16::from_le_bytes(b).into()),
            Kind::I8 => all(bytes, numbers, |b| i8::from_le_bytes(b).into()),
            Kind::U16 => all(bytes, numbers, |b| u16::from_le_bytes(b).into()),
            Kind::U8 => all(bytes, numbers, |b| u8::from_le_bytes(b).into()),
            Kind::Bool => all(bytes, numbers, |[b]| f64::from(u8::from(b != 0))),
        }
    }
}

impl InputFile {
    /// Opens a file (or a FIFO) of one of a program's inputs.
    ///
    /// Errors: not an npy file, cut short, another type or shape.
    pub fn open(path: &Path, port: &PortInfo, word: Word) -> Result<Self, HostError> {
        let bad = |message: String| tensor_error(path, message);
        let file = File::open(path).map_err(HostError::io(path))?;
        let about = file.metadata().map_err(HostError::io(path))?;
        if about.is_dir() {
            return Err(HostError::place(path, "a folder: name an npy file"));
        }
        let mut file = BufReader::with_capacity(1 << 20, file);
        let npy = NpyHeader::from_reader(&mut file).map_err(|e| {
            bad(format!(
                "not an npy file ({e}): write it with numpy.save or `cnna`"
            ))
        })?;
        let dims = npy.shape().to_vec();
        if dims.first() == Some(&0) {
            return Err(bad(format!("shape {dims:?}: it holds no image")));
        }
        let count = batch_of(&dims, port).map_err(bad)?;
        if npy.order() == Order::Fortran && dims.iter().filter(|d| **d != 1).count() > 1 {
            return Err(bad(
                "it is in Fortran order: save numpy.ascontiguousarray(x)".into(),
            ));
        }
        let Some(element) = Element::of(&npy.dtype()) else {
            return Err(bad(format!(
                "its type is {}: use {TYPES}, for example x.astype(numpy.float32)",
                npy.dtype().descr()
            )));
        };
        // A file tells at once that it is too short; a FIFO when it ends.
        let bytes = count
            .saturating_mul(port.array.len() as u64)
            .saturating_mul(element.bytes as u64);
        if about.is_file() && bytes > about.len() {
            return Err(bad(format!(
                "cut short: shape {dims:?} does not fit in {} bytes, copy or write it again",
                about.len()
            )));
        }
        let plain = port.array.first == 0 && port.array.axes == [(port.array.len(), 1)];
        Ok(InputFile {
            path: path.into(),
            file,
            element,
            dims,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            len: port.array.len(),
            offsets: (!plain).then(|| port.array.offsets().collect()),
            at: 0,
            frac: port.tensor.frac,
            word,
            raw: false,
            regular: about.is_file(),
            clipped: 0,
            bytes: Vec::new(),
            numbers: Vec::new(),
        })
    }

    /// Only the first `images`.
    pub fn first(mut self, images: usize) -> Self {
        self.count = self.count.min(images);
        self
    }

    /// int16 and int8 are words of the input's format; other types stay numbers.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw && matches!(self.element.kind, Kind::I16 | Kind::I8);
        self
    }

    /// An error at element `at` of the image that was read last.
    fn bad(&self, at: usize, what: &str) -> HostError {
        let flat = self.at as u64 * self.len as u64 + at as u64;
        let index = index_of(flat, &self.dims);
        tensor_error(
            &self.path,
            format!("{} at index {index:?}{what}", self.numbers[at]),
        )
    }

    /// The next image's words, in the array's order.
    fn next_image(&mut self, words: &mut [i16]) -> Result<(), HostError> {
        self.bytes.resize(self.len * self.element.bytes, 0);
        self.file.read_exact(&mut self.bytes).map_err(|e| {
            let text = match e.kind() {
                ErrorKind::UnexpectedEof => "cut short: write it again".into(),
                _ => format!("unreadable: {e}"),
            };
            tensor_error(&self.path, text)
        })?;
        self.element.numbers(&mut self.bytes, &mut self.numbers);
        let frac = if self.raw { 0 } else { self.frac };
        let clipped = quantise_all(&self.numbers, frac, self.word, words)
            .map_err(|at| self.bad(at, NOT_FINITE))?;
        if self.raw && clipped > 0 {
            let beyond = |n: &f64| !(self.word.min()..=self.word.max()).contains(&(*n as i64));
            let at = self.numbers.iter().position(beyond).unwrap_or(0);
            return Err(self.bad(at, &beyond_words(self.word)));
        }
        self.clipped += clipped;
        self.at += 1;
        Ok(())
    }
}

impl Images for InputFile {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let len = self.len;
        let mut words = vec![0; n * len];
        let mut image = vec![0; if self.offsets.is_some() { len } else { 0 }];
        for tensor in words.chunks_exact_mut(len) {
            if self.offsets.is_none() {
                self.next_image(tensor)?;
                continue;
            }
            self.next_image(&mut image)?;
            for (&at, &w) in self.offsets.iter().flatten().zip(&image) {
                tensor[at] = w;
            }
        }
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.clipped
    }
    fn waits(&self) -> bool {
        !self.regular
    }
}

/// Several inputs' images side by side.
pub struct Inputs {
    files: Vec<InputFile>,
}

impl Inputs {
    /// Opens a file for each of a program's inputs, in its order. `raw`: int16 and int8 are words.
    ///
    /// Errors: those of [`InputFile::open`], batches of different sizes.
    pub fn open(paths: &[PathBuf], meta: &ProgramMeta, raw: bool) -> Result<Self, HostError> {
        assert_eq!(paths.len(), meta.inputs.len(), "a file an input");
        let word = meta.accelerator().word;
        let files = paths
            .iter()
            .zip(&meta.inputs)
            .map(|(path, port)| Ok(InputFile::open(path, port, word)?.raw(raw)))
            .collect::<Result<Vec<_>, HostError>>()?;
        let first = files.first().map_or(0, |f| f.count);
        if let Some(other) = files.iter().find(|f| f.count != first) {
            return Err(tensor_error(
                &other.path,
                format!(
                    "it has {} images, {} has {first}",
                    other.count,
                    files[0].path.display()
                ),
            ));
        }
        Ok(Inputs { files })
    }

    /// Only the first `images`.
    pub fn first(mut self, images: usize) -> Self {
        self.files = self.files.into_iter().map(|f| f.first(images)).collect();
        self
    }
}

impl Images for Inputs {
    fn count(&self) -> usize {
        self.files.first().map_or(0, |f| f.count)
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        if let [one] = &mut self.files[..] {
            return one.next(n);
        }
        let parts = self
            .files
            .iter_mut()
            .map(|f| f.next(n))
            .collect::<Result<Vec<_>, _>>()?;
        let mut words = Vec::new();
        for image in 0..n {
            for (part, f) in parts.iter().zip(&self.files) {
                words.extend_from_slice(&part[image * f.len..][..f.len]);
            }
        }
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.files.iter().map(|f| f.clipped).sum()
    }
    fn waits(&self) -> bool {
        self.files.iter().any(Images::waits)
    }
}
