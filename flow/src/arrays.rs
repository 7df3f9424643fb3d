//! Images that are in memory already: arrays as a caller holds them, read where they lie.

use crate::error::FlowError;
use cnna_host::HostError;
use cnna_host::tensor::{Images, ToWord, batch_of, beyond_words, index_of, not_finite};
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
    to_word: ToWord,
    raw: bool,
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
                to_word: ToWord::new(
                    if words { 0 } else { port.tensor.frac },
                    meta.accelerator().word,
                ),
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
            for one in &self.inputs {
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
    fn image(&self, image: usize, words: &mut [i16]) -> Result<u64, HostError> {
        let from = image * self.offsets.len();
        let to = from + self.offsets.len();
        match self.array.numbers {
            Numbers::F64(v) => self.words(from, &v[from..to], |v| v, words),
            Numbers::F32(v) => self.words(from, &v[from..to], f64::from, words),
            // Beyond 2^53 a number is beyond every format anyway.
            Numbers::I64(v) => self.words(from, &v[from..to], |v| v as f64, words),
            Numbers::I32(v) => self.words(from, &v[from..to], f64::from, words),
            Numbers::I16(v) => self.words(from, &v[from..to], f64::from, words),
            Numbers::I8(v) => self.words(from, &v[from..to], f64::from, words),
            Numbers::U16(v) => self.words(from, &v[from..to], f64::from, words),
            Numbers::U8(v) => self.words(from, &v[from..to], f64::from, words),
            Numbers::Bool(v) => self.words(from, &v[from..to], |v| f64::from(u8::from(v)), words),
        }
    }

    fn words<T: Copy>(
        &self,
        from: usize,
        values: &[T],
        real: impl Fn(T) -> f64,
        words: &mut [i16],
    ) -> Result<u64, HostError> {
        let mut clipped = 0;
        for (i, &v) in values.iter().enumerate() {
            let at = if self.plain { i } else { self.offsets[i] };
            match self.to_word.word(real(v)) {
                Some((word, false)) => words[at] = word,
                Some((word, true)) if !self.raw => {
                    words[at] = word;
                    clipped += 1;
                }
                Some(_) => {
                    return Err(self.at(from + i, beyond_words(real(v), self.to_word)));
                }
                None => return Err(self.at(from + i, not_finite(real(v)))),
            }
        }
        Ok(clipped)
    }

    /// The error about element number `flat`.
    fn at(&self, flat: usize, message: String) -> HostError {
        let index = index_of(flat as u64, &self.array.dims);
        tensor_error(
            &self.name,
            message.replace("{index}", &format!("{index:?}")),
        )
    }
}
