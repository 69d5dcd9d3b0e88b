//! What stands on the left of a product: a matrix, or the windows of images.

use std::ops::Range;

use crate::gemm::Quantized;
use crate::kernel::{Kernel, Rows};
use crate::pack::{Byte, pack_rows};
use crate::{MatRef, Order};

/// A left factor: rows of bytes, which lie somewhere as kernels read them or are written in that form when they are needed.
pub(crate) trait Lhs: Sync {
    /// Rows.
    fn n_rows(&self) -> usize;

    /// Elements of a row.
    fn depth(&self) -> usize;

    /// The unsigned byte that stands for 0.
    fn zero_point(&self) -> i32;

    /// The largest magnitude of an element less the zero point.
    fn max_magnitude(&self) -> i64;

    /// `rows`, where `kernel` can read them as they lie.
    fn in_place(&self, kernel: Kernel, rows: Range<usize>) -> Option<Rows<'_>>;

    /// Writes unsigned rows from `first` on to `out`, a row every `stride` bytes, padded with zeros.
    fn pack(&self, first: usize, out: &mut [u8], stride: usize);
}

impl<T: Byte> Lhs for Quantized<'_, T> {
    fn n_rows(&self) -> usize {
        self.matrix.rows()
    }

    fn depth(&self) -> usize {
        self.matrix.cols()
    }

    fn zero_point(&self) -> i32 {
        self.zero_point.value() + T::TO_UNSIGNED
    }

    fn max_magnitude(&self) -> i64 {
        self.max_magnitude()
    }

    fn in_place(&self, kernel: Kernel, rows: Range<usize>) -> Option<Rows<'_>> {
        in_place(kernel, self.matrix, rows)
    }

    fn pack(&self, first: usize, out: &mut [u8], stride: usize) {
        pack_rows(self.matrix, first, out, stride);
    }
}

/// `rows` of `matrix`, where `kernel` can read them as they lie.
pub(crate) fn in_place<'a, T: Byte>(
    kernel: Kernel,
    matrix: MatRef<'a, T>,
    rows: Range<usize>,
) -> Option<Rows<'a>> {
    let (layout, depth) = (matrix.layout(), matrix.cols());
    let data = T::as_unsigned(matrix.data())?;
    let fits = layout.order == Order::RowMajor && depth > 0;
    (fits && kernel.reads_in_place(data, depth, layout.stride)).then(|| Rows {
        data: &data[rows.start * layout.stride..],
        stride: layout.stride,
        n_rows: rows.len(),
        len: depth,
    })
}
