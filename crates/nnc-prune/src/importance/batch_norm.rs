//! The batch-norm scale: an output that its normalization multiplies by little matters little.

use nnc_core::Result;
use nnc_core::candle::Tensor;

use super::magnitude::magnitude;

/// `|γ|` for each output, from the `weight` of its batch norm, of shape `(C,)`.
///
/// # Errors
/// Those of reading a tensor.
///
/// # Source
/// Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017, §3 (there γ is trained under
/// an L1 penalty, which [`Penalty`](crate::regularizer::Penalty) is).
pub fn scale(gamma: &Tensor) -> Result<Vec<f32>> {
    magnitude(gamma)
}
