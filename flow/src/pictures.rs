//! Pictures as a program's input.

use crate::error::FlowError;
use cnna_data::{DataError, Preprocess, Samples};
use cnna_host::HostError;
use cnna_host::tensor::Images;
use cnna_machine::num::{Word, quantise_all};
use cnna_machine::program::ProgramMeta;
use std::path::{Path, PathBuf};

/// True for an input that the data room reads: a picture, a folder, a data set.
pub fn is_pictures(input: &str) -> bool {
    let path = Path::new(input);
    cnna_data::is_picture(path)
        || path.is_dir()
        || cnna_data::DATASETS.iter().any(|(n, _)| *n == input)
}

/// Pictures as words of a program's only input, each read when it is run.
pub struct Pictures {
    samples: Samples,
    count: usize,
    at: usize,
    frac: i32,
    word: Word,
    clipped: u64,
}

impl Pictures {
    /// Opens them. Errors: a program of several inputs; as [`Samples::open`].
    pub fn open(
        paths: &[PathBuf],
        meta: &ProgramMeta,
        preprocess: &Preprocess,
        most: Option<usize>,
    ) -> Result<Self, FlowError> {
        let [port] = &meta.inputs[..] else {
            return Err(FlowError::Pictures {
                message: format!(
                    "the program has {} inputs: pictures are for one, give NAME=FILE.npy for each",
                    meta.inputs.len()
                ),
            });
        };
        let samples = Samples::open(paths, port.tensor.layout.shape, &port.array, preprocess)?;
        Ok(Pictures {
            count: samples.len().min(most.unwrap_or(usize::MAX)),
            samples,
            at: 0,
            frac: port.tensor.frac,
            word: meta.accelerator().word,
            clipped: 0,
        })
    }

    /// All of them, those beyond the first too.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Each image's name, and its file where it is a picture.
    pub fn names(&self) -> Vec<(String, Option<PathBuf>)> {
        let name = |i: usize| {
            let file = self.samples.picture(i).map(Path::to_owned);
            (self.samples.name(i), file)
        };
        (0..self.count).map(name).collect()
    }
}

impl Images for Pictures {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let mut words = Vec::new();
        for i in self.at..self.at + n {
            let image = self.samples.image(i).map_err(|e| match e {
                DataError::File { path, reason } => HostError::Tensor {
                    path,
                    message: reason,
                },
                other => HostError::Tensor {
                    path: self.samples.name(i).into(),
                    message: other.to_string(),
                },
            })?;
            let reals: Vec<f64> = image.into_iter().map(f64::from).collect();
            let from = words.len();
            words.resize(from + reals.len(), 0);
            // Pixels are finite, and so is what the checked options make of them.
            let clipped = quantise_all(&reals, self.frac, self.word, &mut words[from..]);
            self.clipped += clipped.unwrap_or_default();
        }
        self.at += n;
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.clipped
    }
}
