//! The interval whose quantized histogram tells least apart from the histogram itself.

use nnc_core::Result;

use super::Bin;
use super::search::search;
use crate::affine::{Interval, QuantConfig, QuantParams, QuantRange};

/// Searches the interval with the least Kullback–Leibler divergence KL(P ‖ Q).
///
/// P is the histogram with what lies outside the interval added to the outermost bins inside. Q spreads the numbers inside
/// that share a code evenly over the bins of that code that hold any.
///
/// # Source
/// Migacz, "8-bit Inference with TensorRT", GTC 2017. We differ: codes are those of the real grid, for any number of bits
/// and both schemes, where the talk cuts |x| into 128 equal runs of bins; zeros, which every grid holds exactly, take no
/// part; and the interval is one of 128 a side instead of one a bin.
pub(super) fn interval(bins: &[Bin], whole: Interval, config: &QuantConfig) -> Result<Interval> {
    let bins: Vec<Bin> = bins.iter().filter(|bin| bin.low < bin.high).copied().collect();
    search(whole, config, |interval, params, codes| divergence(&bins, interval, params, codes))
}

/// KL(P ‖ Q) in nats, infinite where nothing lies inside.
pub(super) fn divergence(bins: &[Bin], interval: Interval, params: &QuantParams, codes: QuantRange) -> f64 {
    let (min, max) = (f64::from(interval.min()), f64::from(interval.max()));
    let begin = bins.partition_point(|bin| bin.centre() < min);
    let end = bins.partition_point(|bin| bin.centre() <= max);
    if begin >= end {
        return if bins.is_empty() { 0.0 } else { f64::INFINITY };
    }
    let sum = |bins: &[Bin]| bins.iter().map(|bin| bin.count).sum::<f64>();
    let (below, inside, above) = (sum(&bins[..begin]), sum(&bins[begin..end]), sum(&bins[end..]));
    let total = below + inside + above;
    #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
    let code = |bin: &Bin| params.quantize(bin.centre() as f32, codes);
    let (first, last) = (&bins[begin], &bins[end - 1]);
    let mut divergence = 0.0;
    for shared in bins[begin..end].chunk_by(|a, b| code(a) == code(b)) {
        let q = sum(shared) / shared.len() as f64 / inside;
        for bin in shared {
            let mut p = bin.count;
            if std::ptr::eq(bin, first) {
                p += below;
            }
            if std::ptr::eq(bin, last) {
                p += above;
            }
            let p = p / total;
            divergence += p * (p / q).ln();
        }
    }
    divergence
}
