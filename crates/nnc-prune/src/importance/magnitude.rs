//! The magnitude criterion: small weights matter least.

use nnc_core::Result;
use nnc_core::candle::Tensor;

/// `|w|` for every entry of `weight`, in row-major order.
///
/// # Errors
/// Those of reading a tensor.
///
/// # Source
/// Han, Pool, Tran, Dally, "Learning both Weights and Connections", NIPS 2015, §3.
pub fn magnitude(weight: &Tensor) -> Result<Vec<f32>> {
    let mut scores = weight.flatten_all()?.to_vec1::<f32>()?;
    for score in &mut scores {
        *score = score.abs();
    }
    Ok(scores)
}

/// Population standard deviation of `weight`, the unit of Han's quality factor.
///
/// # Errors
/// Those of reading a tensor.
pub fn standard_deviation(weight: &Tensor) -> Result<f64> {
    let values = weight.flatten_all()?.to_vec1::<f32>()?;
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&w| f64::from(w)).sum::<f64>() / n;
    let variance = values.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / n;
    Ok(variance.sqrt())
}
