//! The interval with the least mean squared error.

use nnc_core::Result;

use super::Bin;
use super::search::search;
use crate::affine::{Interval, QuantConfig, QuantParams, QuantRange};

/// Searches the interval whose grid is nearest to the numbers, each at its bin's centre.
pub(super) fn interval(bins: &[Bin], whole: Interval, config: &QuantConfig) -> Result<Interval> {
    search(whole, config, |_, params, codes| squared_error(bins, params, codes))
}

/// Σ count · (x − q(x))²; the zeros are exact.
pub(super) fn squared_error(bins: &[Bin], params: &QuantParams, codes: QuantRange) -> f64 {
    let error = |bin: &Bin| {
        #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
        let centre = bin.centre() as f32;
        let error = f64::from(centre) - f64::from(params.dequantize(params.quantize(centre, codes)));
        bin.count * error * error
    };
    bins.iter().map(error).sum()
}
