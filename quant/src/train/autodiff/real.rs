//! The numbers that a network is computed in, and the product of matrices of them.
//!
//! f32 trains. f64 is exact for fake-quantised networks: every product (below 2^30) and every partial sum (below 2^53)
//! is an integer times one power of two, so the same code gives the integers of the reference.

use num_traits::Float;
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign};

/// f32 or f64.
pub trait Real: Float + AddAssign + MulAssign + Default + Sum + Send + Sync + 'static {
    /// Rounded to it.
    fn of(x: f64) -> Self;
    /// Exactly.
    fn double(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn double(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn double(self) -> f64 {
        self
    }
}

/// A matrix in a slice; element (r, c) lies at `r * steps[0] + c * steps[1]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    sides: [usize; 2],
    steps: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `columns` elements that lie `pitch` apart.
    pub fn rows(data: &'a [T], rows: usize, columns: usize, pitch: usize) -> Self {
        Matrix {
            data,
            sides: [rows, columns],
            steps: [pitch, 1],
        }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.sides, self.steps);
        Matrix {
            data: self.data,
            sides: [columns, rows],
            steps: [right, down],
        }
    }

    /// Elements up to the last one, inclusive.
    fn reach(&self) -> usize {
        match self.sides {
            [0, _] | [_, 0] => 0,
            [rows, columns] => (rows - 1) * self.steps[0] + (columns - 1) * self.steps[1] + 1,
        }
    }
}

/// `c = a * b`, or `c += a * b` with `add`; the rows of `c` lie `pitch` apart. Panics where the sizes contradict each
/// other.
pub fn multiply<T: Real>(a: Matrix<T>, b: Matrix<T>, c: &mut [T], pitch: usize, add: bool) {
    let ([m, k], [also_k, n]) = (a.sides, b.sides);
    assert_eq!(k, also_k, "inner sides");
    if m == 0 || n == 0 {
        return;
    }
    let target = Matrix::rows(&*c, m, n, pitch);
    assert!(
        pitch >= n && target.reach() <= c.len(),
        "the product's place"
    );
    assert!(
        a.reach() <= a.data.len() && b.reach() <= b.data.len(),
        "the factors' places"
    );
    let steps = |m: &Matrix<T>| m.steps.map(|s| s as isize);
    let ([a_down, a_right], [b_down, b_right]) = (steps(&a), steps(&b));
    // SAFETY: every element that the product reads or writes lies inside its slice, by the two assertions above, and
    // `c` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            pitch as isize,
            add,
            a.data.as_ptr(),
            a_right,
            a_down,
            b.data.as_ptr(),
            b_right,
            b_down,
            if add { T::one() } else { T::zero() },
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition_in_any_order_and_place() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        let b: Vec<f64> = (0..12).map(|v| f64::from(v) - 3.0).collect();
        // 2x3 times 3x2, whose rows lie 4 apart, into rows 3 apart.
        let mut c = vec![7.0; 6];
        let (left, right) = (Matrix::rows(&a, 2, 3, 3), Matrix::rows(&b, 3, 2, 4));
        multiply(left, right, &mut c, 3, false);
        assert_eq!(c, [11.0, 14.0, 7.0, 20.0, 32.0, 7.0]);
        multiply(right.transposed(), left.transposed(), &mut c, 2, true);
        assert_eq!(c, [22.0, 34.0, 21.0, 52.0, 32.0, 7.0]);
    }

    #[test]
    #[should_panic(expected = "the factors' places")]
    fn a_matrix_beyond_its_slice_is_refused() {
        let (a, mut c) = ([1.0f32; 5], [0.0; 4]);
        multiply(
            Matrix::rows(&a, 2, 3, 3),
            Matrix::rows(&a, 3, 2, 2),
            &mut c,
            2,
            false,
        );
    }
}
