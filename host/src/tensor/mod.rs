//! Images from npy files as words, and words as npy files: arrays of the shape and order that the model has, one or a batch.

mod input;
mod results;

pub use input::{InputFile, Inputs};
pub use results::{AllResults, Results};

use crate::error::HostError;
use cnna_machine::layout::ArrayLayout;
use cnna_machine::num::Word;
use cnna_machine::program::{PortInfo, ProgramMeta};
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
