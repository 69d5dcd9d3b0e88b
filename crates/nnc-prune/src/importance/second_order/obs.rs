//! Optimal Brain Surgeon: the plain, exact step.

use nnc_core::{Error, Result};

/// Removes weight `q` from `weights` (n), moves the others, and removes `q` from `inverse` (n × n, the inverse of H).
///
/// Returns the cost `w_q² / (2 [H⁻¹]_qq)`. Afterwards row and column `q` of `inverse` are 0, and the rest is the inverse of H
/// without `q`, so that the next weight can be removed.
///
/// Cost: O(n²).
///
/// # Errors
/// [`Error::InvalidArgument`] when there is no weight `q` (any more), [`Error::ShapeMismatch`] when `inverse` is not n × n.
///
/// # Source
/// Hassibi and Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", NIPS 1992, eq. 5; the inverse
/// without a row by one step of Gaussian elimination.
///
/// # Example
/// ```
/// use nnc_prune::importance::second_order::obs::remove;
/// // H = [[2, 1], [1, 2]].
/// let (mut weights, mut inverse) = ([1.0, 1.0], [2.0 / 3.0, -1.0 / 3.0, -1.0 / 3.0, 2.0 / 3.0]);
/// let cost = remove(&mut weights, &mut inverse, 0)?;
/// assert!((cost - 0.75).abs() < 1e-12);
/// assert_eq!(weights[0], 0.0);
/// assert!((weights[1] - 1.5).abs() < 1e-12);
/// assert_eq!(inverse[..3], [0.0; 3]);
/// assert!((inverse[3] - 0.5).abs() < 1e-12);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn remove(weights: &mut [f64], inverse: &mut [f64], q: usize) -> Result<f64> {
    let n = weights.len();
    if inverse.len() != n * n {
        return Err(Error::shape("inverse", &[n, n], &[inverse.len()]));
    }
    if q >= n {
        return Err(Error::invalid("q", format!("below {n}"), q));
    }
    let pivot = inverse[q * n + q];
    if !(pivot > 0.0 && pivot.is_finite()) {
        return Err(Error::invalid(format!("inverse at ({q}, {q})"), "a positive number", pivot));
    }
    let column: Vec<f64> = (0..n).map(|i| inverse[i * n + q]).collect();
    let (w, cost) = (weights[q], weights[q] * weights[q] / (2.0 * pivot));
    for (i, row) in inverse.chunks_mut(n).enumerate() {
        weights[i] -= w / pivot * column[i];
        for (x, y) in row.iter_mut().zip(&column) {
            *x -= column[i] / pivot * y;
        }
    }
    // What elimination makes zero up to rounding.
    weights[q] = 0.0;
    (0..n).for_each(|i| (inverse[q * n + i], inverse[i * n + q]) = (0.0, 0.0));
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_weight_cannot_be_removed_again() {
        let (mut weights, mut inverse) = (vec![1.0, 2.0], vec![0.5, 0.0, 0.0, 0.5]);
        assert_eq!(remove(&mut weights, &mut inverse, 1).unwrap(), 4.0);
        assert_eq!(weights, [1.0, 0.0]);
        assert!(remove(&mut weights, &mut inverse, 1).unwrap_err().to_string().contains("(1, 1)"));
        assert!(remove(&mut weights, &mut inverse, 2).unwrap_err().to_string().contains("`q`"));
        assert!(remove(&mut weights, &mut inverse[..3], 0).unwrap_err().to_string().contains("inverse"));
    }
}
