//! Images from npy files as words, and words as npy files: arrays of the shape and order that the model has, one or a batch.

use crate::error::HostError;
use crate::files::{Output, failed};
use cnna_machine::layout::ArrayLayout;
use cnna_machine::num::{Word, dequantise, quantise_all};
use cnna_machine::program::{PortInfo, ProgramMeta};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A batch of images, each all inputs' [channel][row][column] words.
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
    /// Numbers so far that lay beyond their input's format and were clipped to it.
    fn clipped(&self) -> u64 {
        0
    }
    /// [`Images::next`] may wait for somebody, perhaps for one who waits for the results of the images before.
    fn waits(&self) -> bool {
        false
    }
}

/// Images in an array of that shape, alone or with the batch before it. Errors: what shape was expected.
pub fn batch_of(dims: &[u64], port: &PortInfo) -> Result<u64, String> {
    images_of(dims, &port.array).ok_or_else(|| {
        let one = port.array.dims.iter().map(usize::to_string);
        let one = one.collect::<Vec<_>>().join(", ");
        format!(
            "shape {dims:?} does not fit: input `{}` takes ({one}) or a batch (N, {one})",
            port.name
        )
    })
}

/// What is wrong with a number that is none, behind the number and its place.
pub const NOT_FINITE: &str = ": the input must be finite numbers";

/// What is wrong with a word that the program's words are too narrow for, behind the number and its place.
pub fn beyond_words(word: Word) -> String {
    format!(" is outside the program's {}-bit words", word.bits())
}

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

/// Reads all images of a program's inputs, see [`Inputs::open`].
pub fn read_inputs(paths: &[PathBuf], meta: &ProgramMeta) -> Result<Batch, HostError> {
    let mut input = Inputs::open(paths, meta, false)?;
    let count = input.count();
    Ok(Batch {
        image_len: meta.image_len(),
        words: input.next(count)?,
    })
}

fn images_of(dims: &[u64], array: &ArrayLayout) -> Option<u64> {
    let one = |dims: &[u64]| {
        dims.iter().eq(array
            .dims
            .iter()
            .map(|&d| d as u64)
            .collect::<Vec<_>>()
            .iter())
    };
    match dims {
        all if one(all) => Some(1),
        [n, rest @ ..] if *n > 0 && one(rest) => Some(*n),
        _ => None,
    }
}

/// Where an array of that shape has its element number `flat`.
pub fn index_of(flat: u64, dims: &[u64]) -> Vec<u64> {
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

/// The results of one output as an npy file, float32 or, if `raw`, int16, written as they come.
///
/// Shape (N, the output's array). Where it may go and what becomes of it when something fails: [`Output`].
pub struct Results {
    path: PathBuf,
    output: Output,
    /// Values that must still come.
    missing: u64,
    /// Where an array's elements lie in the tensor.
    offsets: Vec<usize>,
    frac: i32,
    raw: bool,
}

impl Results {
    /// For `count` images' results of `port`. Errors: the file cannot be made or written.
    pub fn create(
        path: &Path,
        port: &PortInfo,
        count: usize,
        raw: bool,
    ) -> Result<Self, HostError> {
        let mut output = Output::create(path)?;
        let mut dims = vec![count as u64];
        dims.extend(port.array.dims.iter().map(|&d| d as u64));
        let header = match raw {
            true => header::<i16>(&mut output, &dims),
            false => header::<f32>(&mut output, &dims),
        };
        header.map_err(|e| failed(path, e))?;
        Ok(Results {
            path: path.into(),
            output,
            missing: dims.iter().product(),
            offsets: port.array.offsets().collect(),
            frac: port.tensor.frac,
            raw,
        })
    }

    /// Appends one image's words, [channel][row][column]. Errors: the disk is full, or nobody reads.
    pub fn push(&mut self, words: &[i16]) -> Result<(), HostError> {
        self.missing = self
            .missing
            .checked_sub(self.offsets.len() as u64)
            .expect("as many results as were announced");
        let mut bytes = vec![0; self.offsets.len() * if self.raw { 2 } else { 4 }];
        if self.raw {
            for (b, &at) in bytes.chunks_exact_mut(2).zip(&self.offsets) {
                b.copy_from_slice(&words[at].to_ne_bytes());
            }
        } else {
            // Exact, as the product of a word and a power of two is.
            let step = dequantise(1, self.frac);
            for (b, &at) in bytes.chunks_exact_mut(4).zip(&self.offsets) {
                b.copy_from_slice(&((f64::from(words[at]) * step) as f32).to_ne_bytes());
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

/// The file of each port, from what the user wrote: `FILE` where there is one port, else `NAME=FILE` for each.
///
/// Errors: a port without a file, a name that is no port's.
pub fn port_files(
    given: &[String],
    ports: &[PortInfo],
    what: &str,
) -> Result<Vec<PathBuf>, HostError> {
    let named = |g: &str, p: &PortInfo| {
        let rest = g.strip_prefix(p.name.as_str())?;
        Some(PathBuf::from(rest.strip_prefix('=')?))
    };
    if let ([port], [one]) = (ports, given) {
        return Ok(vec![named(one, port).unwrap_or_else(|| one.into())]);
    }
    let names = ports.iter().map(|p| p.name.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    let bad = |message: String| HostError::Ports { message };
    if let Some(unknown) = given
        .iter()
        .find(|g| ports.iter().all(|p| named(g, p).is_none()))
    {
        return Err(bad(format!(
            "`{unknown}`: the program has {} {what}s ({names}): write {what} NAME=FILE for each",
            ports.len()
        )));
    }
    let each = ports.iter().map(|p| {
        let mut files = given.iter().filter_map(|g| named(g, p));
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(file),
            (None, _) => Err(bad(format!(
                "{what} `{}` has no file: write {}=FILE",
                p.name, p.name
            ))),
            (Some(_), Some(_)) => Err(bad(format!("{what} `{}` has two files", p.name))),
        }
    });
    each.collect()
}

/// One file for each of a program's outputs.
pub struct AllResults {
    each: Vec<(usize, Results)>,
}

impl AllResults {
    /// For `count` images. Errors: a file cannot be made or written.
    pub fn create(
        paths: &[PathBuf],
        meta: &ProgramMeta,
        count: usize,
        raw: bool,
    ) -> Result<Self, HostError> {
        assert_eq!(paths.len(), meta.outputs.len(), "a file an output");
        let one = |(path, port): (&PathBuf, &PortInfo)| {
            let len = port.tensor.layout.shape.len();
            Ok((len, Results::create(path, port, count, raw)?))
        };
        let each = paths.iter().zip(&meta.outputs).map(one);
        Ok(AllResults {
            each: each.collect::<Result<_, HostError>>()?,
        })
    }

    /// Appends one image's results: all outputs', one behind the other. Errors: see [`Results::push`].
    pub fn push(&mut self, mut words: &[i16]) -> Result<(), HostError> {
        for (len, results) in &mut self.each {
            let (mine, rest) = words.split_at(*len);
            results.push(mine)?;
            words = rest;
        }
        Ok(())
    }

    /// All results have come. Errors: a file cannot be written.
    pub fn finish(self) -> Result<(), HostError> {
        self.each.into_iter().try_for_each(|(_, r)| r.finish())
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
