//! The magnitude criterion: small weights matter least.

use nnc_core::Result;
use nnc_core::candle::Tensor;
use rayon::prelude::*;

use crate::read::with_values;

/// `|w|` for every entry of `weight`, in row-major order.
///
/// Cost: one pass, in parallel; the scores are the only copy of the weight.
///
/// # Errors
/// Those of reading a tensor.
///
/// # Source
/// Han, Pool, Tran, Dally, "Learning both Weights and Connections", NIPS 2015, §3.
pub fn magnitude(weight: &Tensor) -> Result<Vec<f32>> {
    with_values(weight, |values| values.par_iter().with_min_len(1 << 16).map(|w| w.abs()).collect())
}

/// Population standard deviation of `weight`, the unit of Han's quality factor.
///
/// # Errors
/// Those of reading a tensor.
pub fn standard_deviation(weight: &Tensor) -> Result<f64> {
    with_values(weight, |values| {
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|&w| f64::from(w)).sum::<f64>() / n;
        let variance = values.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / n;
        variance.sqrt()
    })
}
