//! The images that a path runs on: a file's, or random words.

use crate::error::FlowError;
use cnna_host::HostError;
use cnna_host::tensor::{Images, InputFile};
use cnna_machine::num::Word;
use cnna_machine::program::ProgramMeta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

/// The first images of a file, all of them without `images`. Errors: no such images.
pub fn read(
    path: &Path,
    meta: &ProgramMeta,
    images: Option<usize>,
) -> Result<InputFile, FlowError> {
    let input = InputFile::open(path, meta)?;
    Ok(match images {
        Some(n) => input.first(n),
        None => input,
    })
}

/// Those of a file, or random ones where there is none: `images`, or as many as `otherwise`.
pub fn read_or_random(
    input: Option<&Path>,
    meta: &ProgramMeta,
    images: Option<usize>,
    otherwise: usize,
    seed: u64,
) -> Result<Box<dyn Images>, FlowError> {
    Ok(match input {
        Some(path) => Box::new(read(path, meta, images)?),
        None => Box::new(Random {
            rng: StdRng::seed_from_u64(seed),
            count: images.unwrap_or(otherwise),
            image_len: meta.input.layout.shape.len(),
            word: meta.accelerator().word,
        }),
    })
}

/// Words of every kind: a quarter extremes, a quarter small, the rest anything.
struct Random {
    rng: StdRng,
    count: usize,
    image_len: usize,
    word: Word,
}

impl Images for Random {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let (rng, word) = (&mut self.rng, self.word);
        let one = |_| match rng.random_range(0..8) {
            0 => word.min() as i16,
            1 => word.max() as i16,
            2 | 3 => rng.random_range(-3..=3),
            _ => rng.random_range(word.min()..=word.max()) as i16,
        };
        Ok((0..self.image_len * n).map(one).collect())
    }
}
