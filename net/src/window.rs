//! Sliding windows: kernel, stride, dilation and border, shared by convolution and pooling.

use serde::{Deserialize, Serialize};

/// Zero (convolution) or never-winning (max pooling) border, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

/// A sliding window: kernel, stride, dilation (rows, columns) and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Distance between taps in rows and columns.
    pub dilation: [usize; 2],
    /// Border.
    pub pad: Padding,
}

impl Window {
    /// Stride 1, dilation 1, no padding.
    pub fn plain(kh: usize, kw: usize) -> Self {
        Window {
            kernel: [kh, kw],
            stride: [1, 1],
            dilation: [1, 1],
            pad: Padding::default(),
        }
    }

    /// Rows or columns from the first to the last tap; `axis` 0 is rows.
    pub fn span(&self, axis: usize) -> usize {
        let steps = self.kernel[axis].saturating_sub(1);
        self.dilation[axis].saturating_mul(steps).saturating_add(1)
    }

    /// Border before and after, by axis; `axis` 0 is rows.
    pub fn border(&self, axis: usize) -> [usize; 2] {
        let p = &self.pad;
        [[p.top, p.bottom], [p.left, p.right]][axis]
    }

    /// Output rows and columns for an input of `h` x `w`; `None` when the kernel does not fit.
    pub fn output(&self, h: usize, w: usize) -> Option<[usize; 2]> {
        let one = |size: usize, axis: usize| {
            let [before, after] = self.border(axis);
            let padded = size.checked_add(before)?.checked_add(after)?;
            let free = padded.checked_sub(self.span(axis))?;
            free.checked_div(self.stride[axis])?.checked_add(1)
        };
        Some([one(h, 0)?, one(w, 1)?])
    }

    /// The taps along `axis` that result `at` sees inside a map of `size`: their first, and how many.
    pub fn valid_taps(&self, axis: usize, at: usize, size: usize) -> std::ops::Range<usize> {
        let origin = (at * self.stride[axis]) as isize - self.border(axis)[0] as isize;
        let inside = |k: usize| {
            let p = origin + (k * self.dilation[axis]) as isize;
            p >= 0 && p < size as isize
        };
        let first = (0..self.kernel[axis]).find(|&k| inside(k));
        let Some(first) = first else { return 0..0 };
        let end = (first..self.kernel[axis])
            .find(|&k| !inside(k))
            .unwrap_or(self.kernel[axis]);
        first..end
    }
}
