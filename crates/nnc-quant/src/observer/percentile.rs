//! The interval without the outermost numbers.

use super::Bin;
use crate::affine::Interval;

/// The narrowest interval of whole bins with at most 100 − `percentile` per cent of the numbers beyond either end.
pub(super) fn interval(bins: &[Bin], whole: Interval, percentile: f64) -> Interval {
    let n: f64 = bins.iter().map(|bin| bin.count).sum();
    let allowed = n * (100.0 - percentile) / 100.0;
    let beyond = |clipped: &mut f64, bin: &Bin| {
        *clipped += bin.count;
        Some(*clipped > allowed)
    };
    // At least half of the numbers stay on each side's count, so both are found unless there are no numbers.
    let high = bins.iter().rev().zip(bins.iter().rev().scan(0.0, beyond)).find(|(_, stop)| *stop);
    let low = bins.iter().zip(bins.iter().scan(0.0, beyond)).find(|(_, stop)| *stop);
    let (Some((low, _)), Some((high, _))) = (low, high) else { return whole };
    rounded(low.low, high.high).clamp_to(&whole)
}

/// The interval with these ends as `f32`; bins reach no further than that type.
#[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
pub(super) fn rounded(low: f64, high: f64) -> Interval {
    let limit = f64::from(f32::MAX);
    let (low, high) = (low.clamp(-limit, limit) as f32, high.clamp(-limit, limit) as f32);
    Interval::new(low, high).expect("ordered finite numbers")
}
