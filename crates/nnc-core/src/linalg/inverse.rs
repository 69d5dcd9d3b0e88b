//! The upper factor `U` of the inverse: `A⁻¹ = Uᵀ U`, without the inverse.
//!
//! Factored from the last row to the first, a symmetric positive definite matrix is `A = R Rᵀ` with `R` upper triangular; then
//! `A⁻¹ = R⁻ᵀ R⁻¹`, so that `U = R⁻¹`. That takes one factorization and one triangular inverse, half of what it takes to factor,
//! invert and factor again. Both go block by block from the bottom, and the products between blocks are nearly all of the work:
//!
//! ```text
//!        ┌───────┬─────┬───────┐     k: the block at work
//!        │   A   │ R   │  R    │     1. the diagonal block is factored, R of its column follows
//!        ├───────┼─────┼───────┤     2. A above it loses R Rᵀ of that column
//!        │       │ k   │  R    │     3. row k of U is made of row k of R and the U below it, in R's place
//!        ├───────┼─────┼───────┤
//!        │       │     │  U    │
//!        └───────┴─────┴───────┘
//! ```

use super::{Mat, MatMut, STRIP, matmul};
use crate::ops::parallel::for_each;
use crate::{Error, Result};

/// Rows of a block: those of a product's inner dimension between blocks.
const BLOCK: usize = 128;

/// Adds `ratio` times the mean of the diagonal to the diagonal of `matrix` (n × n).
///
/// # Errors
/// [`Error::InvalidArgument`] when `ratio` is negative or no number, and [`Error::ShapeMismatch`] when `matrix` is not square.
///
/// # Source
/// Frantar and Alistarh, "SparseGPT", ICML 2023, §3.3 (0.01, as in Optimal Brain Compression).
pub fn damp(matrix: &mut [f32], n: usize, ratio: f64) -> Result<()> {
    check_square(matrix, n)?;
    if !(ratio >= 0.0 && ratio.is_finite()) {
        return Err(Error::invalid("damping", "a number of at least 0", ratio));
    }
    let mean = matrix.iter().step_by(n + 1).map(|&x| f64::from(x)).sum::<f64>() / n as f64;
    #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
    let added = (ratio * mean) as f32;
    matrix.iter_mut().step_by(n + 1).for_each(|x| *x += added);
    Ok(())
}

/// The upper triangular `U` with `matrix⁻¹ = Uᵀ U`, n × n with zeros below; only the upper triangle of `matrix` is read.
///
/// Cost: n³ / 3 multiply-adds, in parallel, in place.
///
/// # Errors
/// [`Error::InvalidArgument`] when the matrix is not positive definite (more damping helps), [`Error::ShapeMismatch`] when it is
/// not square.
///
/// # Accuracy
/// f32 between blocks, f64 within: the error relative to the largest entry of `U` is about the condition number times 2⁻²⁴.
///
/// # Example
/// ```
/// // The inverse of [[2, 1], [1, 2]] is [[2, -1], [-1, 2]] / 3.
/// let u = nnc_core::linalg::inverse_cholesky(vec![2.0, 1.0, 1.0, 2.0], 2)?;
/// assert!((u[0] * u[0] - 2.0 / 3.0).abs() < 1e-6);
/// assert!((u[0] * u[1] + 1.0 / 3.0).abs() < 1e-6);
/// assert!((u[1] * u[1] + u[3] * u[3] - 2.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn inverse_cholesky(mut matrix: Vec<f32>, n: usize) -> Result<Vec<f32>> {
    check_square(&matrix, n)?;
    let n_blocks = n.div_ceil(BLOCK);
    for start in (0..n_blocks).rev().map(|block| block * BLOCK) {
        let end = n.min(start + BLOCK);
        let inverse = factor_diagonal(&matrix, n, start, end)?;
        let panel = solve_panel(&mut matrix, n, start, end, &inverse);
        subtract_outer(&mut matrix, n, start, &panel);
        invert_row(&mut matrix, n, start, end, &inverse);
    }
    Ok(matrix)
}

fn check_square(matrix: &[f32], n: usize) -> Result<()> {
    if n > 0 && n.checked_mul(n) == Some(matrix.len()) {
        return Ok(());
    }
    Err(Error::shape("matrix", &[n, n], &[matrix.len()]))
}

/// The inverse of the factor `R` of a diagonal block, upper triangular, dense.
fn factor_diagonal(matrix: &[f32], n: usize, start: usize, end: usize) -> Result<Vec<f32>> {
    let m = end - start;
    let mut r = vec![0.0_f64; m * m];
    for row in 0..m {
        for col in row..m {
            r[row * m + col] = f64::from(matrix[(start + row) * n + start + col]);
        }
    }
    // Column by column from the last: R[i][j] = (A[i][j] − Σ_{l > j} R[i][l] R[j][l]) / R[j][j].
    for j in (0..m).rev() {
        let pivot = r[j * m + j] - (j + 1..m).map(|l| r[j * m + l] * r[j * m + l]).sum::<f64>();
        // What is left of a diagonal entry below its own rounding is noise.
        let noise = r[j * m + j].abs() * f64::from(f32::EPSILON);
        if !(pivot > noise && pivot.is_finite()) {
            let got = format!("pivot {pivot:e} in row {}", start + j);
            return Err(Error::invalid("matrix", "one that is positive definite", got));
        }
        r[j * m + j] = pivot.sqrt();
        for i in 0..j {
            let sum: f64 = (j + 1..m).map(|l| r[i * m + l] * r[j * m + l]).sum();
            r[i * m + j] = (r[i * m + j] - sum) / r[j * m + j];
        }
    }
    Ok(invert_small(&r, m))
}

/// The inverse of an upper triangular matrix, by rows from the last.
fn invert_small(r: &[f64], m: usize) -> Vec<f32> {
    let mut u = vec![0.0_f64; m * m];
    for i in (0..m).rev() {
        let scale = 1.0 / r[i * m + i];
        u[i * m + i] = scale;
        for l in i + 1..m {
            let factor = -scale * r[i * m + l];
            let (row, below) = u.split_at_mut(l * m);
            for (x, y) in row[i * m + l..(i + 1) * m].iter_mut().zip(&below[l..m]) {
                *x += factor * y;
            }
        }
    }
    #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
    u.into_iter().map(|x| x as f32).collect()
}

/// Turns the columns `start..end` above the diagonal block into those of R, and returns them (start × block).
fn solve_panel(matrix: &mut [f32], n: usize, start: usize, end: usize, inverse: &[f32]) -> Vec<f32> {
    let m = end - start;
    let mut panel = vec![0.0; start * m];
    let strips = panel.chunks_mut(STRIP * m).zip(matrix.chunks_mut(STRIP * n));
    for_each(strips, start * m * m, |(panel, rows)| {
        let n_rows = panel.len() / m;
        let columns = Mat::strided(&rows[start..], n_rows, m, n);
        matmul(MatMut::new(panel, n_rows, m), columns, Mat::new(inverse, m, m).t(), false);
        for (row, solved) in rows.chunks_mut(n).zip(panel.chunks(m)) {
            row[start..end].copy_from_slice(solved);
        }
    });
    panel
}

/// `A -= P Pᵀ` in the upper triangle of the leading `start` × `start` part.
fn subtract_outer(matrix: &mut [f32], n: usize, start: usize, panel: &[f32]) {
    if start == 0 {
        return;
    }
    let m = panel.len() / start;
    let strips = matrix[..start * n].chunks_mut(STRIP * n).enumerate();
    for_each(strips, start * start * m / 2, |(strip_idx, rows)| {
        let (first, n_rows) = (strip_idx * STRIP, rows.len() / n);
        let minus: Vec<f32> = panel[first * m..(first + n_rows) * m].iter().map(|x| -x).collect();
        let out = MatMut::strided(&mut rows[first..], n_rows, start - first, n);
        matmul(out, Mat::new(&minus, n_rows, m), Mat::new(&panel[first * m..], start - first, m).t(), true);
    });
}

/// Turns the rows `start..end` of R into those of U, with the rows of U below them.
fn invert_row(matrix: &mut [f32], n: usize, start: usize, end: usize, inverse: &[f32]) {
    let m = end - start;
    let (upper, below) = matrix.split_at_mut(end * n);
    let rows = &mut upper[start * n..];
    // −U[k][k] · R[k][k+1..], the factor of all columns.
    let minus: Vec<f32> = inverse.iter().map(|x| -x).collect();
    let width = n - end;
    let mut factor = vec![0.0; m * width];
    if width > 0 {
        let right = Mat::strided(&rows[end..], m, width, n);
        matmul(MatMut::new(&mut factor, m, width), Mat::new(&minus, m, m), right, false);
    }
    // A strip of columns of U reaches down to its own last row only.
    let mut strips: Vec<Vec<f32>> =
        (0..width).step_by(STRIP).map(|at| vec![0.0; m * STRIP.min(width - at)]).collect();
    for_each(strips.iter_mut().enumerate(), m * width * width / 2, |(strip_idx, strip)| {
        let (at, n_cols) = (strip_idx * STRIP, strip.len() / m);
        let depth = at + n_cols;
        let u = Mat::strided(&below[end + at..], depth, n_cols, n);
        matmul(MatMut::new(strip, m, n_cols), Mat::strided(&factor, m, depth, width), u, false);
    });
    for (i, row) in rows.chunks_mut(n).enumerate() {
        row[..start].fill(0.0);
        row[start..end].copy_from_slice(&inverse[i * m..(i + 1) * m]);
        for (strip_idx, strip) in strips.iter().enumerate() {
            let (at, n_cols) = (end + strip_idx * STRIP, strip.len() / m);
            row[at..at + n_cols].copy_from_slice(&strip[i * n_cols..(i + 1) * n_cols]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Gram;
    use crate::rng::Rng;

    /// A damped matrix of second moments.
    fn moments(n: usize) -> Vec<f32> {
        let mut rng = Rng::keyed(n as u64, "moments", &[]);
        let mut gram = Gram::new(n).unwrap();
        gram.add_rows(&(0..2 * n * n).map(|_| rng.normal()).collect::<Vec<_>>()).unwrap();
        let mut matrix = gram.mean();
        damp(&mut matrix, n, 0.01).unwrap();
        matrix
    }

    #[test]
    fn the_factor_is_upper_and_its_square_is_the_inverse() {
        for n in [1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 44] {
            let matrix = moments(n);
            let u = inverse_cholesky(matrix.clone(), n).unwrap();
            for row in 0..n {
                assert!(u[row * n + row] > 0.0 && u[row * n..row * n + row].iter().all(|&x| x == 0.0));
            }
            // (A Uᵀ) U = 1, in f64.
            for row in (0..n).step_by(7.min(n)) {
                let y: Vec<f64> = (0..n)
                    .map(|l| (l..n).map(|c| f64::from(matrix[row * n + c]) * f64::from(u[l * n + c])).sum())
                    .collect();
                for col in 0..n {
                    let got: f64 = (0..=col).map(|l| y[l] * f64::from(u[l * n + col])).sum();
                    let expected = f64::from(u8::from(row == col));
                    assert!((got - expected).abs() < 1e-3, "n {n}, ({row}, {col}): {got}");
                }
            }
        }
    }

    #[test]
    fn the_thread_count_changes_no_bit() {
        let n = 2 * BLOCK + 44;
        let run = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| inverse_cholesky(moments(n), n).unwrap())
        };
        assert!(run(1).iter().zip(run(4)).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn what_has_no_factor_is_refused_with_its_row() {
        let message = inverse_cholesky(vec![1.0, 2.0, 2.0, 1.0], 2).unwrap_err().to_string();
        assert!(message.contains("positive definite") && message.contains("row 0"), "{message}");
        assert!(inverse_cholesky(vec![f32::NAN], 1).is_err());
        assert!(inverse_cholesky(vec![1.0; 3], 2).is_err());
        assert!(inverse_cholesky(Vec::new(), 0).is_err());
        assert!(damp(&mut [1.0], 1, -1.0).unwrap_err().to_string().contains("damping"));
        assert!(damp(&mut [1.0], 1, f64::NAN).is_err());
    }
}
