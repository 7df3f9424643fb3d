//! Results: npy files, written as images are done.

use crate::error::HostError;
use crate::files::{Output, failed};
use cnna_machine::num::dequantise;
use cnna_machine::program::{PortInfo, ProgramMeta};
use npyz::WriterBuilder;
use std::io::Write;
use std::path::{Path, PathBuf};

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
