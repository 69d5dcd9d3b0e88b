//! Matrix products on slices: a safe face of the `gemm` crate.
#![allow(unsafe_code, reason = "gemm::gemm takes raw pointers; this file checks what it asks for")]

use std::mem::MaybeUninit;

/// A matrix that is read: a slice, its shape and its strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` × `cols`, row after row without gaps.
    ///
    /// # Panics
    /// When the matrix ends outside of `data`.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` × `cols`, a row every `row_stride` elements.
    ///
    /// # Panics
    /// When the matrix ends outside of `data`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(spans(data.len(), rows, cols, row_stride), "a matrix ends outside of its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// Some of its columns.
    ///
    /// # Panics
    /// When the range lies outside of the matrix.
    #[must_use]
    pub fn columns(self, range: std::ops::Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        let data = if self.rows == 0 { self.data } else { &self.data[range.start * self.col_stride..] };
        Self { data, cols: range.len(), ..self }
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix that is written, rows without overlap.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// `rows` × `cols`, row after row without gaps.
    ///
    /// # Panics
    /// When the matrix ends outside of `data`.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` × `cols`, a row every `row_stride` elements.
    ///
    /// # Panics
    /// When the matrix ends outside of `data`, or its rows overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(spans(data.len(), rows, cols, row_stride), "a matrix ends outside of its slice");
        assert!(row_stride >= cols, "the rows of a written matrix overlap");
        Self { data, rows, cols, row_stride }
    }
}

/// Whether a slice of `len` elements holds every element of such a matrix.
fn spans(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= len
}

/// `out = lhs · rhs`, or `out += lhs · rhs` where `accumulate`; on the calling thread.
///
/// The same bits for the same shapes and values, wherever it runs on one machine.
///
/// # Panics
/// When the shapes of `out`, `lhs` and `rhs` do not agree.
pub fn matmul(out: MatMut<'_>, lhs: Mat<'_>, rhs: Mat<'_>, accumulate: bool) {
    assert_eq!((out.rows, out.cols), (lhs.rows, rhs.cols), "a product has another shape than its place");
    // SAFETY: the constructor of `MatMut` checked that every (row, column) lies inside its slice; `out` is borrowed
    // mutably, so it overlaps neither factor.
    unsafe { product(out.data.as_mut_ptr(), out.row_stride, lhs, rhs, accumulate) }
}

/// Where the elements of a product go, row after row without gaps.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// To memory that holds nothing yet.
    Blank(&'a mut [MaybeUninit<f32>]),
    /// Onto the numbers that are there.
    Sum(&'a mut [f32]),
}

impl<'a> Place<'a> {
    /// Elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Blank(out) => out.len(),
            Self::Sum(out) => out.len(),
        }
    }

    /// Writes or adds `lhs · rhs`, and returns the place with the result.
    pub(crate) fn take_product(self, lhs: Mat<'_>, rhs: Mat<'_>) -> &'a mut [f32] {
        assert_eq!(self.len(), lhs.rows * rhs.cols, "a product has another size than its place");
        match self {
            Self::Sum(out) => {
                matmul(MatMut::new(out, lhs.rows, rhs.cols), lhs, rhs, true);
                out
            }
            Self::Blank(out) => {
                let data = out.as_mut_ptr().cast::<f32>();
                // SAFETY: rows · cols elements, checked above, borrowed mutably. A product that does not accumulate
                // writes each of them and reads none.
                unsafe { product(data, rhs.cols, lhs, rhs, false) };
                // SAFETY: the same elements for the same lifetime, now written.
                unsafe { std::slice::from_raw_parts_mut(data, out.len()) }
            }
        }
    }
}

/// Rows of the left factor from which on `gemm` copies the right one before it reads it; twice as many rows are faster
/// in two parts without the copy.
const COPYING_ROWS: usize = 48;

/// `lhs · rhs` to `out`, a row every `row_stride` elements.
///
/// # Safety
/// `out` must be valid for writes of lhs.rows rows of rhs.cols elements (and for reads where `accumulate`), which neither
/// factor overlaps.
unsafe fn product(out: *mut f32, row_stride: usize, lhs: Mat<'_>, rhs: Mat<'_>, accumulate: bool) {
    assert_eq!(lhs.cols, rhs.rows, "the inner dimensions of a product differ");
    if rhs.col_stride == 1 && (COPYING_ROWS + 1..=2 * COPYING_ROWS).contains(&lhs.rows) {
        for start in [0, COPYING_ROWS] {
            let rows = (lhs.rows - start).min(COPYING_ROWS);
            let part = Mat { data: &lhs.data[start * lhs.row_stride..], rows, ..lhs };
            // SAFETY: rows `start..start + rows` of the places that `out` is valid for.
            unsafe { product(out.add(start * row_stride), row_stride, part, rhs, accumulate) };
        }
        return;
    }
    let stride = |elements: usize| isize::try_from(elements).expect("a stride lies within a slice");
    // SAFETY: `out` by this function's contract; the constructors of `Mat` checked that every (row, column) of a factor
    // lies inside its slice, the assert above that their shapes agree.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.cols,
            lhs.cols,
            out,
            1,
            stride(row_stride),
            accumulate,
            lhs.data.as_ptr(),
            stride(lhs.col_stride),
            stride(lhs.row_stride),
            rhs.data.as_ptr(),
            stride(rhs.col_stride),
            stride(rhs.row_stride),
            1.0,
            1.0,
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
    fn a_product_is_the_sum_over_the_inner_dimension() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [9.0; 4];
        matmul(MatMut::new(&mut out, 2, 2), Mat::new(&a, 2, 3), Mat::new(&b, 3, 2), false);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        matmul(MatMut::new(&mut out, 2, 2), Mat::new(&b, 3, 2).t(), Mat::new(&a, 2, 3).t(), true);
        assert_eq!(out, [10.0, 25.0, 25.0, 46.0]);
        let mut empty = [7.0; 2];
        matmul(MatMut::new(&mut empty, 1, 2), Mat::new(&[], 1, 0), Mat::new(&[], 0, 2), false);
        assert_eq!(empty, [0.0; 2]);
    }

    #[test]
    fn a_blank_place_is_overwritten_and_a_sum_added_to() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let (lhs, rhs) = (Mat::new(&a, 2, 3), Mat::new(&b, 3, 2));
        let mut blank = [MaybeUninit::new(f32::NAN); 4];
        let out = Place::Blank(&mut blank).take_product(lhs, rhs);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        assert_eq!(Place::Sum(out).take_product(lhs, rhs), [10.0, 22.0, 28.0, 46.0]);
        let nothing = Place::Blank(&mut blank).take_product(Mat::new(&[], 2, 0), Mat::new(&[], 0, 2));
        assert_eq!(nothing, [0.0; 4]);
    }
}
