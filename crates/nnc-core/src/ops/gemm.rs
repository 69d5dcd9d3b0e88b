//! Matrix products on slices: a safe face of the `gemm` crate.
#![allow(unsafe_code, reason = "gemm::gemm takes raw pointers; this file checks what it asks for")]

/// A matrix that is read: a slice, its shape and its strides in elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// `rows` × `cols`, row after row without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` × `cols`, a row every `row_stride` elements.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(spans(data.len(), rows, cols, row_stride), "a matrix ends outside of its slice");
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn t(self) -> Self {
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
pub(crate) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// `rows` × `cols`, row after row without gaps.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` × `cols`, a row every `row_stride` elements.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
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
pub(crate) fn matmul(out: MatMut<'_>, lhs: Mat<'_>, rhs: Mat<'_>, accumulate: bool) {
    assert_eq!(lhs.cols, rhs.rows, "the inner dimensions of a product differ");
    assert_eq!((out.rows, out.cols), (lhs.rows, rhs.cols), "a product has another shape than its place");
    let stride = |elements: usize| isize::try_from(elements).expect("a stride lies within a slice");
    let (out_rs, lhs_rs, lhs_cs) = (stride(out.row_stride), stride(lhs.row_stride), stride(lhs.col_stride));
    let (rhs_rs, rhs_cs) = (stride(rhs.row_stride), stride(rhs.col_stride));
    // SAFETY: the constructors of `Mat` and `MatMut` checked that every (row, column) lies inside its slice, the
    // asserts above that the three shapes agree; `out` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            lhs.cols,
            out.data.as_mut_ptr(),
            1,
            out_rs,
            accumulate,
            lhs.data.as_ptr(),
            lhs_cs,
            lhs_rs,
            rhs.data.as_ptr(),
            rhs_cs,
            rhs_rs,
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
}
