//! The triple loop: what every product is held to.

use crate::matrix::check_product;
use crate::output::{self, Element, Stage};
use crate::pack::Byte;
use crate::{Error, MatMut, Quantized, Result};

/// [`gemm`](fn@crate::gemm) as its definition says it: element by element, sums in 64 bits. For tests, not for speed.
///
/// # Errors
/// As [`gemm`](fn@crate::gemm), and [`Error::DepthOverflow`] only where a sum does leave the range of `i32`.
pub fn reference_gemm<L: Byte, R: Byte, O: Element>(
    lhs: Quantized<'_, L>,
    rhs: Quantized<'_, R>,
    stages: &[Stage<'_>],
    mut out: MatMut<'_, O>,
) -> Result<()> {
    let (rows, depth, cols) = (lhs.matrix.rows(), lhs.matrix.cols(), rhs.matrix.cols());
    check_product((rows, depth), (rhs.matrix.rows(), cols), &out)?;
    output::check(stages, rows, cols, O::IS_REAL)?;
    for row in 0..rows {
        for col in 0..cols {
            let mut sum = 0_i64;
            for k in 0..depth {
                let l = lhs.matrix.at(row, k).value() - lhs.zero_point.value();
                let r = rhs.matrix.at(k, col).value() - rhs.zero_point.value();
                sum += i64::from(l) * i64::from(r);
            }
            let sum = i32::try_from(sum).map_err(|_| Error::DepthOverflow { depth, max: depth - 1 })?;
            out.set(row, col, output::store(stages, sum, row, col));
        }
    }
    Ok(())
}
