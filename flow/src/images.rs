//! The images that a path runs on: a file's, or random words.

use crate::error::FlowError;
use cnna_host::HostError;
use cnna_host::tensor::{Images, Inputs};
use cnna_machine::num::Word;
use cnna_machine::program::ProgramMeta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::PathBuf;

/// The first images of each input's file, all of them without `images`. `raw`: int16 and int8 are words.
///
/// Errors: no such images.
pub fn read(
    paths: &[PathBuf],
    meta: &ProgramMeta,
    images: Option<usize>,
    raw: bool,
) -> Result<Inputs, FlowError> {
    let input = Inputs::open(paths, meta, raw)?;
    Ok(match images {
        Some(n) => input.first(n),
        None => input,
    })
}

/// Those of files, or random ones where there is none: `images`, or as many as `otherwise`.
pub fn read_or_random(
    paths: &[PathBuf],
    meta: &ProgramMeta,
    images: Option<usize>,
    otherwise: usize,
    seed: u64,
) -> Result<Box<dyn Images>, FlowError> {
    Ok(match paths {
        [] => Box::new(Random {
            rng: StdRng::seed_from_u64(seed),
            count: images.unwrap_or(otherwise),
            image_len: meta.image_len(),
            word: meta.accelerator().word,
        }),
        paths => Box::new(read(paths, meta, images, false)?),
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
