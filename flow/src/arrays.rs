//! Images that are in memory already: arrays as a caller holds them, read where they lie.

use crate::error::FlowError;
use cnna_host::HostError;
use cnna_host::tensor::{Images, NOT_FINITE, batch_of, beyond_words, index_of};
use cnna_machine::num::{Word, quantise_all};
use cnna_machine::program::{PortInfo, ProgramMeta};

/// Numbers in the order of their array, the last index fastest.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// float64.
    F64(&'a [f64]),
    /// float32.
    F32(&'a [f32]),
    /// int64.
    I64(&'a [i64]),
    /// int32.
    I32(&'a [i32]),
    /// int16.
    I16(&'a [i16]),
    /// int8.
    I8(&'a [i8]),
    /// uint16.
    U16(&'a [u16]),
    /// uint8.
    U8(&'a [u8]),
    /// bool.
    Bool(&'a [bool]),
}

impl Numbers<'_> {
    fn len(&self) -> usize {
        match self {
            Numbers::F64(v) => v.len(),
            Numbers::F32(v) => v.len(),
            Numbers::I64(v) => v.len(),
            Numbers::I32(v) => v.len(),
            Numbers::I16(v) => v.len(),
            Numbers::I8(v) => v.len(),
            Numbers::U16(v) => v.len(),
            Numbers::U8(v) => v.len(),
            Numbers::Bool(v) => v.len(),
        }
    }
}

/// An array of one input's shape, alone or with the batch before it.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    /// Its shape.
    pub dims: Vec<u64>,
    /// Its elements.
    pub numbers: Numbers<'a>,
}

struct One<'a> {
    array: Array<'a>,
    name: String,
    /// Where an image's elements lie in the tensor.
    offsets: Vec<usize>,
    /// They lie there as in the array.
    plain: bool,
    frac: i32,
    word: Word,
    raw: bool,
    /// One image as numbers, and as words in the array's order.
    numbers: Vec<f64>,
    words: Vec<i16>,
}

/// Several inputs' arrays side by side.
pub struct Arrays<'a> {
    inputs: Vec<One<'a>>,
    count: usize,
    at: usize,
    clipped: u64,
}

impl<'a> Arrays<'a> {
    /// An array for each of a program's inputs, in its order. Floats and integers are numbers; with `raw` int16 and int8 are
    /// words.
    ///
    /// Errors: another number of arrays, another shape, batches of different sizes.
    pub fn new(arrays: Vec<Array<'a>>, meta: &ProgramMeta, raw: bool) -> Result<Self, FlowError> {
        if arrays.len() != meta.inputs.len() {
            let names = meta.inputs.iter().map(|p| p.name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(HostError::Ports {
                message: format!(
                    "{} arrays for the program's {} inputs ({names}): give one each",
                    arrays.len(),
                    meta.inputs.len()
                ),
            }
            .into());
        }
        let mut count = None;
        let mut inputs = Vec::with_capacity(arrays.len());
        for (array, port) in arrays.into_iter().zip(&meta.inputs) {
            let images = batch_of(&array.dims, port).map_err(|m| bad(port, m))?;
            let elements = images.checked_mul(port.array.len() as u64);
            if elements != Some(array.numbers.len() as u64) {
                return Err(bad(
                    port,
                    format!(
                        "its shape {:?} is not that of {} elements",
                        array.dims,
                        array.numbers.len()
                    ),
                ));
            }
            match count {
                None => count = Some(images),
                Some(n) if n == images => {}
                Some(n) => {
                    return Err(bad(
                        port,
                        format!("it has {images} images, the first input has {n}"),
                    ));
                }
            }
            let words = matches!(array.numbers, Numbers::I16(_) | Numbers::I8(_)) && raw;
            let offsets: Vec<usize> = port.array.offsets().collect();
            inputs.push(One {
                plain: offsets.iter().enumerate().all(|(i, &at)| i == at),
                offsets,
                name: port.name.clone(),
                frac: if words { 0 } else { port.tensor.frac },
                word: meta.accelerator().word,
                numbers: Vec::new(),
                words: Vec::new(),
                raw: words,
                array,
            });
        }
        Ok(Arrays {
            inputs,
            count: count.unwrap_or(0) as usize,
            at: 0,
            clipped: 0,
        })
    }
}

fn bad(port: &PortInfo, message: String) -> FlowError {
    tensor_error(&port.name, message).into()
}

fn tensor_error(name: &str, message: String) -> HostError {
    HostError::Tensor {
        path: format!("input `{name}`").into(),
        message,
    }
}

impl Images for Arrays<'_> {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        let image_len: usize = self.inputs.iter().map(|i| i.offsets.len()).sum();
        let mut words = vec![0; n * image_len];
        for (k, image) in words.chunks_exact_mut(image_len.max(1)).enumerate() {
            let mut rest = image;
            for one in &mut self.inputs {
                let (mine, others) = rest.split_at_mut(one.offsets.len());
                self.clipped += one.image(self.at + k, mine)?;
                rest = others;
            }
        }
        self.at += n;
        Ok(words)
    }
    fn clipped(&self) -> u64 {
        self.clipped
    }
}

impl One<'_> {
    /// The words of image number `image`; returns how many numbers were clipped.
    fn image(&mut self, image: usize, words: &mut [i16]) -> Result<u64, HostError> {
        let from = image * self.offsets.len();
        let to = from + self.offsets.len();
        let n = &mut self.numbers;
        n.clear();
        match self.array.numbers {
            Numbers::F64(v) => n.extend_from_slice(&v[from..to]),
            Numbers::F32(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            // Beyond 2^53 a number is beyond every format anyway.
            Numbers::I64(v) => n.extend(v[from..to].iter().map(|&v| v as f64)),
            Numbers::I32(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            Numbers::I16(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            Numbers::I8(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            Numbers::U16(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            Numbers::U8(v) => n.extend(v[from..to].iter().map(|&v| f64::from(v))),
            Numbers::Bool(v) => n.extend(v[from..to].iter().map(|&v| f64::from(u8::from(v)))),
        }
        let target = if self.plain {
            &mut *words
        } else {
            self.words.resize(self.offsets.len(), 0);
            &mut self.words[..]
        };
        let clipped = quantise_all(&self.numbers, self.frac, self.word, target)
            .map_err(|at| self.at(from, at, NOT_FINITE))?;
        if self.raw && clipped > 0 {
            let beyond = |n: &f64| !(self.word.min()..=self.word.max()).contains(&(*n as i64));
            let at = self.numbers.iter().position(beyond).unwrap_or(0);
            return Err(self.at(from, at, &beyond_words(self.word)));
        }
        if !self.plain {
            for (&to, &w) in self.offsets.iter().zip(&self.words) {
                words[to] = w;
            }
        }
        Ok(clipped)
    }

    /// The error about element `at` of the image that begins at element `from`.
    fn at(&self, from: usize, at: usize, what: &str) -> HostError {
        let index = index_of((from + at) as u64, &self.array.dims);
        tensor_error(
            &self.name,
            format!("{} at index {index:?}{what}", self.numbers[at]),
        )
    }
}
