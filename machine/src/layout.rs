//! Where a tensor's elements lie in memory: [row][channel][column padded], so that one row of all channels, and one row of
//! a group of channels, is a single burst.

use crate::config::Accelerator;
use serde::{Deserialize, Serialize};

/// Channels, rows and columns of one image's activation tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// From channels, rows and columns.
    pub fn of([c, h, w]: [usize; 3]) -> Self {
        Shape { c, h, w }
    }
    /// Channels, rows and columns.
    pub fn sides(&self) -> [usize; 3] {
        [self.c, self.h, self.w]
    }
    /// Elements of the tensor; as many as can be counted.
    pub fn len(&self) -> usize {
        self.c.saturating_mul(self.h).saturating_mul(self.w)
    }
    /// True when a dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.c, self.h, self.w)
    }
}

/// An array over a tensor's elements [channel][row][column]: its shape as the user sees it, and where its elements lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayLayout {
    /// The array's shape, without the batch.
    pub dims: Vec<usize>,
    /// Nested loops over the array's elements, the last innermost: (count, distance in the tensor).
    pub axes: Vec<(usize, usize)>,
    /// Position of the array's first element in the tensor.
    pub first: usize,
}

impl ArrayLayout {
    /// [channel][row][column] itself.
    pub fn plain(s: Shape) -> Self {
        ArrayLayout {
            dims: s.sides().to_vec(),
            axes: vec![(s.len(), 1)],
            first: 0,
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.axes
            .iter()
            .fold(1, |n: usize, (count, _)| n.saturating_mul(*count))
    }

    /// True without an element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensor's position of every element, in the array's order.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|mut n| {
            let mut at = self.first;
            for &(count, distance) in self.axes.iter().rev() {
                at += n % count * distance;
                n /= count;
            }
            at
        })
    }

    /// Checks that the array lies in a tensor of that shape. Errors: what contradicts what.
    pub fn check(&self, tensor: Shape) -> Result<(), String> {
        let dims = self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if dims != Some(self.len()) || self.is_empty() {
            return Err(format!(
                "an array of shape {:?} with {} elements",
                self.dims,
                self.len()
            ));
        }
        let last = self
            .axes
            .iter()
            .try_fold(self.first, |at, &(count, distance)| {
                at.checked_add((count - 1).checked_mul(distance)?)
            });
        match last.is_some_and(|l| l < tensor.len()) {
            true => Ok(()),
            false => Err(format!("an array that leaves its tensor {tensor}")),
        }
    }
}

/// An activation tensor of one image in the memory window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorLayout {
    /// Logical shape.
    pub shape: Shape,
    /// Columns as stored: a multiple of whole beats and whole buffer lines.
    pub padded_w: usize,
    /// Bytes of a word.
    pub word_bytes: usize,
    /// Bytes between rows: those of all its channels, or more where it is part of a larger tensor.
    pub row_bytes: usize,
}

impl TensorLayout {
    /// The layout of `shape` on a machine.
    pub fn new(shape: Shape, accelerator: &Accelerator) -> Self {
        let padded_w = shape.w.next_multiple_of(accelerator.column_align());
        let word_bytes = accelerator.word.bytes();
        TensorLayout {
            shape,
            padded_w,
            word_bytes,
            row_bytes: shape.c * padded_w * word_bytes,
        }
    }
    /// Its columns are those that its shape has on `accelerator`, a row holds all of them, and its bytes can be counted.
    pub fn is_sound(&self, accelerator: &Accelerator) -> bool {
        // Everything lies in a window of at most 4 GiB.
        // In 64 bits: on 32-bit ARM the limit is no usize.
        let side = |n: usize| (1..=1u64 << 32).contains(&(n as u64));
        let Shape { c, h, w } = self.shape;
        side(c)
            && side(h)
            && side(w)
            && self.word_bytes == accelerator.word.bytes()
            && self.padded_w == w.next_multiple_of(accelerator.column_align())
            // A part of a larger tensor has that one's rows.
            && [c, self.padded_w]
                .into_iter()
                .try_fold(self.word_bytes, usize::checked_mul)
                .is_some_and(|row| row <= self.row_bytes)
            && self.row_bytes.checked_mul(h).is_some()
    }
    /// Bytes between channels of a row.
    pub fn channel_bytes(&self) -> usize {
        self.padded_w * self.word_bytes
    }
    /// Bytes from the tensor's first to its last.
    pub fn bytes(&self) -> usize {
        (self.shape.h.saturating_sub(1))
            .saturating_mul(self.row_bytes)
            .saturating_add(self.shape.c.saturating_mul(self.channel_bytes()))
    }
    /// A part of the tensor in the same memory: `shape.c` channels from `channel` and `shape.h` rows from `row` on. Returns
    /// its layout and its distance from the tensor's first byte.
    pub fn part(&self, shape: Shape, channel: usize, row: usize) -> (Self, usize) {
        debug_assert_eq!(shape.w, self.shape.w, "parts have whole rows");
        let at = row * self.row_bytes + channel * self.channel_bytes();
        (TensorLayout { shape, ..*self }, at)
    }

    /// Writes [channel][row][column] words into the tensor's bytes; padding columns become zero.
    pub fn pack(&self, values: &[i16], bytes: &mut [u8]) {
        assert_eq!(values.len(), self.shape.len(), "one value an element");
        self.for_each_row(|c, y, at| {
            let bytes = &mut bytes[at..at + self.channel_bytes()];
            let row = &values[(c * self.shape.h + y) * self.shape.w..][..self.shape.w];
            put_row(bytes, self.word_bytes, row);
        });
    }

    /// Reads the tensor's bytes as [channel][row][column] words.
    pub fn unpack(&self, bytes: &[u8]) -> Vec<i16> {
        let mut values = vec![0; self.shape.len()];
        self.for_each_row(|c, y, at| {
            let row = &mut values[(c * self.shape.h + y) * self.shape.w..][..self.shape.w];
            let bytes = &bytes[at..at + self.shape.w * self.word_bytes];
            match self.word_bytes {
                1 => {
                    for (v, b) in row.iter_mut().zip(bytes) {
                        *v = i16::from(*b as i8);
                    }
                }
                _ => {
                    for (v, b) in row.iter_mut().zip(bytes.chunks_exact(2)) {
                        *v = i16::from_le_bytes([b[0], b[1]]);
                    }
                }
            }
        });
        values
    }

    fn for_each_row(&self, mut f: impl FnMut(usize, usize, usize)) {
        for y in 0..self.shape.h {
            for c in 0..self.shape.c {
                f(c, y, y * self.row_bytes + c * self.channel_bytes());
            }
        }
    }
}

/// Stores words of 1 or 2 bytes, little endian, at the beginning of `bytes`, whose rest becomes zero.
pub fn put_row(bytes: &mut [u8], word_bytes: usize, words: &[i16]) {
    let (taken, rest) = bytes.split_at_mut(words.len() * word_bytes);
    match word_bytes {
        1 => {
            for (b, v) in taken.iter_mut().zip(words) {
                *b = *v as u8;
            }
        }
        _ => {
            for (b, v) in taken.chunks_exact_mut(2).zip(words) {
                b.copy_from_slice(&v.to_le_bytes());
            }
        }
    }
    rest.fill(0);
}

/// Stores one word of 1 or 2 bytes, little endian.
#[inline]
pub fn put_word(bytes: &mut [u8], at: usize, word_bytes: usize, v: i16) {
    bytes[at..at + word_bytes].copy_from_slice(&v.to_le_bytes()[..word_bytes]);
}

/// Loads one word of 1 or 2 bytes, little endian, sign-extended.
#[inline]
pub fn get_word(bytes: &[u8], at: usize, word_bytes: usize) -> i16 {
    match word_bytes {
        1 => i16::from(bytes[at] as i8),
        _ => i16::from_le_bytes([bytes[at], bytes[at + 1]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Board;

    #[test]
    fn packing_and_unpacking_are_inverse_at_odd_widths() {
        for word in ["8", "16"] {
            let b = Board::load("ultra96", &[("word".into(), word.into())]).unwrap();
            let shape = Shape { c: 3, h: 5, w: 11 };
            let l = TensorLayout::new(shape, &b.accelerator);
            let values: Vec<i16> = (0..shape.len()).map(|i| (i as i16 % 251) - 125).collect();
            let mut bytes = vec![0xff; l.bytes()];
            l.pack(&values, &mut bytes);
            assert_eq!(l.unpack(&bytes), values);
            assert_eq!(l.padded_w, 16);
        }
    }
}
