//! Images from npy files as words, and words as npy files: arrays of the shape and order that the model has, one or a batch.

use crate::error::HostError;
use crate::files::{Output, failed};
use cnna_machine::layout::ArrayLayout;
use cnna_machine::num::{Word, dequantise, quantise};
use cnna_machine::program::{PortInfo, ProgramMeta};
use npyz::{DType, NpyFile, NpyReader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, Write};
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
}

/// From numbers to the words of one format, as `num::quantise` rounds them: half to even, then saturated.
#[derive(Clone, Copy, Debug)]
pub struct ToWord {
    frac: i32,
    word: Word,
    scale: f64,
}

impl ToWord {
    /// For words with `frac` fraction bits.
    pub fn new(frac: i32, word: Word) -> Self {
        ToWord {
            frac,
            word,
            scale: 2f64.powi(frac),
        }
    }

    /// The word, and whether the number lay beyond the format and was clipped; `None` for NaN and infinities.
    #[inline]
    pub fn word(&self, v: f64) -> Option<(i16, bool)> {
        let exact = v * self.scale;
        // The usual case without the power: exact within the format.
        if exact > self.word.min() as f64 && exact < self.word.max() as f64 {
            return Some((exact.round_ties_even() as i16, false));
        }
        if !v.is_finite() {
            return None;
        }
        let word = quantise(v, self.frac, self.word)?;
        // What rounds to the last word and lies within half a step of it is not clipped.
        Some((word, (exact - f64::from(word)).abs() > 0.5))
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

/// The images of an npy file of one input's shape, alone or with the batch before it, read as they are asked for.
///
/// Floats and integers are numbers, quantised with the input's fraction bits (round half to even, saturating); with
/// [`InputFile::raw`] int16 and int8 are words.
pub struct InputFile {
    path: PathBuf,
    values: Values,
    dims: Vec<u64>,
    count: usize,
    /// Where an array's elements lie in the tensor.
    offsets: Vec<usize>,
    /// Values read.
    at: u64,
    to_word: ToWord,
    raw: bool,
    /// Numbers beyond the input's format.
    clipped: u64,
}

type Reader<T> = NpyReader<T, BufReader<File>>;

enum Values {
    F64(Reader<f64>),
    F32(Reader<f32>),
    I64(Reader<i64>),
    I32(Reader<i32>),
    I16(Reader<i16>),
    I8(Reader<i8>),
    U8(Reader<u8>),
    U16(Reader<u16>),
    Bool(Reader<bool>),
}

/// The types of [`Values`], for people.
const TYPES: &str = "float32, float64, int8, int16, int32, int64, uint8, uint16 or bool";

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
        let npy = NpyFile::new(BufReader::with_capacity(1 << 20, file)).map_err(|e| {
            bad(format!(
                "not an npy file ({e}): write it with numpy.save or `cnna`"
            ))
        })?;
        let dims = npy.shape().to_vec();
        let count = batch_of(&dims, port).map_err(bad)?;
        if npy.order() == Order::Fortran && dims.iter().filter(|d| **d != 1).count() > 1 {
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
            .saturating_mul(port.array.len() as u64)
            .saturating_mul(kind.1);
        if about.is_file() && bytes > about.len() {
            return Err(bad(format!(
                "cut short: shape {dims:?} does not fit in {} bytes, copy or write it again",
                about.len()
            )));
        }
        let descr = npy.dtype().descr();
        let values = match kind {
            (TypeChar::Float, 8) => npy.data().map(Values::F64),
            (TypeChar::Float, 4) => npy.data().map(Values::F32),
            (TypeChar::Int, 8) => npy.data().map(Values::I64),
            (TypeChar::Int, 4) => npy.data().map(Values::I32),
            (TypeChar::Int, 2) => npy.data().map(Values::I16),
            (TypeChar::Int, 1) => npy.data().map(Values::I8),
            (TypeChar::Uint, 2) => npy.data().map(Values::U16),
            (TypeChar::Uint, 1) => npy.data().map(Values::U8),
            (TypeChar::Bool, _) => npy.data().map(Values::Bool),
            _ => {
                return Err(bad(format!(
                    "its type is {descr}: use {TYPES}, for example x.astype(numpy.float32)"
                )));
            }
        };
        Ok(InputFile {
            path: path.into(),
            values: values.map_err(|e| bad(format!("unreadable: {e}")))?,
            dims,
            count: usize::try_from(count).unwrap_or(usize::MAX),
            offsets: port.array.offsets().collect(),
            at: 0,
            to_word: ToWord::new(port.tensor.frac, word),
            raw: false,
            clipped: 0,
        })
    }

    /// Only the first `images`.
    pub fn first(mut self, images: usize) -> Self {
        self.count = self.count.min(images);
        self
    }

    /// int16 and int8 are words of the input's format; other types stay numbers.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw && matches!(self.values, Values::I16(_) | Values::I8(_));
        if self.raw {
            self.to_word = ToWord::new(0, self.to_word.word);
        }
        self
    }

    /// An error at the value read last.
    fn bad(&self, what: &str) -> HostError {
        let index = index_of(self.at - 1, &self.dims);
        tensor_error(&self.path, what.replace("{index}", &format!("{index:?}")))
    }

    /// The next value; `Err` when there is none.
    fn next_number(&mut self) -> Result<f64, HostError> {
        self.at += 1;
        fn one<T: npyz::Deserialize>(values: &mut Reader<T>) -> Option<std::io::Result<T>> {
            values.next()
        }
        let next = match &mut self.values {
            Values::F64(v) => one(v),
            Values::F32(v) => one(v).map(|v| v.map(f64::from)),
            // Beyond 2^53 a number is beyond every format anyway.
            Values::I64(v) => one(v).map(|v| v.map(|v| v as f64)),
            Values::I32(v) => one(v).map(|v| v.map(f64::from)),
            Values::I16(v) => one(v).map(|v| v.map(f64::from)),
            Values::I8(v) => one(v).map(|v| v.map(f64::from)),
            Values::U8(v) => one(v).map(|v| v.map(f64::from)),
            Values::U16(v) => one(v).map(|v| v.map(f64::from)),
            Values::Bool(v) => one(v).map(|v| v.map(|v| f64::from(u8::from(v)))),
        };
        let ended = || tensor_error(&self.path, "cut short: write it again".into());
        let unreadable = |e| tensor_error(&self.path, format!("unreadable: {e}"));
        next.ok_or_else(ended)?.map_err(unreadable)
    }

    fn next_word(&mut self) -> Result<i16, HostError> {
        let v = self.next_number()?;
        let Some((word, clipped)) = self.to_word.word(v) else {
            return Err(self.bad(&not_finite(v)));
        };
        if self.raw && clipped {
            return Err(self.bad(&beyond_words(v, self.to_word)));
        }
        self.clipped += u64::from(clipped);
        Ok(word)
    }
}

impl Images for InputFile {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let len = self.offsets.len();
        let mut words = vec![0; n * len];
        for image in words.chunks_exact_mut(len) {
            for i in 0..len {
                image[self.offsets[i]] = self.next_word()?;
            }
        }
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.clipped
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
                let len = f.offsets.len();
                words.extend_from_slice(&part[image * len..][..len]);
            }
        }
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.files.iter().map(|f| f.clipped).sum()
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

/// The message about a number that is none; `{index}` is where it stands.
pub fn not_finite(v: f64) -> String {
    format!("{v} at index {{index}}: the input must be finite numbers")
}

/// The message about a word that the program's words are too narrow for; `{index}` is where it stands.
pub fn beyond_words(v: f64, to: ToWord) -> String {
    format!(
        "{v} at index {{index}} is outside the program's {}-bit words",
        to.word.bits()
    )
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
        let mut bytes = Vec::with_capacity(self.offsets.len() * 4);
        for &at in &self.offsets {
            match self.raw {
                true => bytes.extend(words[at].to_ne_bytes()),
                false => bytes.extend((dequantise(words[at], self.frac) as f32).to_ne_bytes()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_way_to_words_gives_those_of_the_one_rounding() {
        for word in [Word::W8, Word::W16] {
            for frac in [-3, 0, 5, 14] {
                let to = ToWord::new(frac, word);
                let step = 2f64.powi(-frac);
                for i in -140_000..140_000 {
                    let v = f64::from(i) * 0.25 * step;
                    let (found, clipped) = to.word(v).unwrap();
                    assert_eq!(Some(found), quantise(v, frac, word), "{v}");
                    let far = (v / step - f64::from(found)).abs() > 0.5;
                    assert_eq!(clipped, far, "{v}");
                }
                assert_eq!(to.word(f64::NAN), None);
                assert_eq!(to.word(f64::NEG_INFINITY), None);
            }
        }
    }
}
