//! `Σ x xᵀ` over a stream of vectors.

use super::{Mat, MatMut, STRIP, matmul};
use crate::ops::parallel::for_each;
use crate::{Error, Result};

/// The sum of the outer products `x xᵀ` of vectors of length `n`, added up as they come.
///
/// Inputs are f32. Products of a batch are summed in f32 by the matrix product, and batches are added in f32: the error stays
/// near `√samples · 2⁻²⁴` of the diagonal, far below the hundredth that damping adds to it.
///
/// # Example
/// ```
/// use nnc_core::linalg::Gram;
/// let mut gram = Gram::new(2)?;
/// gram.add_rows(&[1.0, 2.0, 3.0, 4.0])?; // two samples
/// gram.add_columns(&[0.0, 1.0])?; // one more
/// assert_eq!(gram.mean(), [10.0 / 3.0, 14.0 / 3.0, 14.0 / 3.0, 21.0 / 3.0]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gram {
    n: usize,
    n_samples: u64,
    /// The upper triangle of n × n.
    sum: Vec<f32>,
}

impl Gram {
    /// The sum of no samples of length `n`, which takes n² floats of memory.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `n` is 0 or n² floats cannot be addressed.
    pub fn new(n: usize) -> Result<Self> {
        let n_entries =
            n.checked_mul(n).filter(|&n_entries| n_entries > 0 && n_entries < isize::MAX as usize / 4);
        let n_entries = n_entries.ok_or_else(|| Error::invalid("n", "a length of vectors, at least 1", n))?;
        Ok(Self { n, n_samples: 0, sum: vec![0.0; n_entries] })
    }

    /// Length of a sample.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Samples so far.
    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Whether entry `j` was 0 in all samples.
    ///
    /// # Panics
    /// When `j` is not below `n`.
    pub fn is_dead(&self, j: usize) -> bool {
        self.sum[j * self.n + j] == 0.0
    }

    /// Adds samples that lie one after another: (samples × n).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `n` does not divide their length.
    pub fn add_rows(&mut self, rows: &[f32]) -> Result<()> {
        let n_samples = self.count("rows", rows)?;
        self.add(n_samples, Mat::new(rows, n_samples, self.n));
        Ok(())
    }

    /// Adds samples that are columns: (n × samples), as [`visit_columns`](crate::ops::visit_columns) gives them.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `n` does not divide their length.
    pub fn add_columns(&mut self, columns: &[f32]) -> Result<()> {
        let n_samples = self.count("columns", columns)?;
        self.add(n_samples, Mat::new(columns, self.n, n_samples).t());
        Ok(())
    }

    /// The mean of the outer products, n × n, both triangles; all zeros before the first sample.
    pub fn mean(&self) -> Vec<f32> {
        let n = self.n;
        let n_samples = self.n_samples.max(1) as f32;
        let mut mean: Vec<f32> = self.sum.iter().map(|sum| sum / n_samples).collect();
        for row in 0..n {
            for col in row + 1..n {
                mean[col * n + row] = mean[row * n + col];
            }
        }
        mean
    }

    fn count(&self, what: &str, samples: &[f32]) -> Result<usize> {
        if samples.len().is_multiple_of(self.n) {
            return Ok(samples.len() / self.n);
        }
        Err(Error::invalid(what, format!("a multiple of {} numbers", self.n), samples.len()))
    }

    /// `sum += xᵀ x` in the upper triangle, for `x` (samples × n).
    fn add(&mut self, n_samples: usize, x: Mat<'_>) {
        let n = self.n;
        let strips = self.sum.chunks_mut(STRIP * n).enumerate();
        for_each(strips, n_samples * n * n / 2, |(strip_idx, strip)| {
            let (start, n_rows) = (strip_idx * STRIP, strip.len() / n);
            let out = MatMut::strided(&mut strip[start..], n_rows, n - start, n);
            matmul(out, x.columns(start..start + n_rows).t(), x.columns(start..n), true);
        });
        self.n_samples += n_samples as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_mean_is_that_of_the_outer_products_in_either_layout() {
        let mut rng = Rng::keyed(1, "gram", &[]);
        for n in [1, 5, 128, 131] {
            let samples: Vec<f32> = (0..7 * n).map(|_| rng.normal()).collect();
            let columns: Vec<f32> = (0..n * 4).map(|i| samples[(3 + i % 4) * n + i / 4]).collect();
            let mut gram = Gram::new(n).unwrap();
            gram.add_rows(&samples[..3 * n]).unwrap();
            gram.add_columns(&columns).unwrap();
            assert_eq!(gram.n_samples(), 7);
            let mean = gram.mean();
            for row in 0..n {
                for col in 0..n {
                    let sum: f64 = samples.chunks(n).map(|x| f64::from(x[row]) * f64::from(x[col])).sum();
                    assert!((f64::from(mean[row * n + col]) - sum / 7.0).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(Gram::new(0).is_err());
        assert!(Gram::new(usize::MAX).is_err());
        assert!(Gram::new(3).unwrap().add_rows(&[0.0; 4]).unwrap_err().to_string().contains("rows"));
        assert!(Gram::new(3).unwrap().add_columns(&[0.0; 4]).unwrap_err().to_string().contains("columns"));
    }
}
