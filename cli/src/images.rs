//! The images that a command runs on: a file's, or random words.

use anyhow::{Result, ensure};
use cnna_host::tensor::{self, Batch};
use cnna_machine::layout::Shape;
use cnna_machine::num::Word;
use cnna_machine::program::ProgramMeta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

/// The first images of a file, all of them without `images`. Errors: no such images, or none at all.
pub fn read(path: &Path, meta: &ProgramMeta, images: Option<usize>) -> Result<Batch> {
    let mut batch = tensor::read_input(path, meta)?;
    if let Some(n) = images {
        batch
            .words
            .truncate(n.max(1).saturating_mul(batch.image_len));
    }
    ensure!(!batch.is_empty(), "{}: no image in it", path.display());
    Ok(batch)
}

/// Those of a file, or random ones where there is none: `images`, or as many as `otherwise`.
pub fn read_or_random(
    input: Option<&Path>,
    meta: &ProgramMeta,
    images: Option<usize>,
    otherwise: usize,
    seed: u64,
) -> Result<Batch> {
    match input {
        Some(path) => read(path, meta, images),
        None => Ok(random(
            meta.input.layout.shape,
            images.unwrap_or(otherwise).max(1),
            seed,
            meta.accelerator().word,
        )),
    }
}

/// Words of every kind: a quarter extremes, a quarter small, the rest anything.
fn random(shape: Shape, count: usize, seed: u64, word: Word) -> Batch {
    let mut rng = StdRng::seed_from_u64(seed);
    let words = (0..shape.len() * count)
        .map(|_| match rng.random_range(0..8) {
            0 => word.min() as i16,
            1 => word.max() as i16,
            2 | 3 => rng.random_range(-3..=3),
            _ => rng.random_range(word.min()..=word.max()) as i16,
        })
        .collect();
    Batch {
        image_len: shape.len(),
        words,
    }
}
