//! The search for an interval that costs least, from the whole one inwards.

use nnc_core::Result;

use crate::affine::{Interval, QuantConfig, QuantParams, QuantRange};

/// Intervals tried for one end: multiples of 1/128 of the whole one's.
const N_STEPS: u16 = 128;

/// How often each end of an affine interval is moved, the other held.
const N_ROUNDS: usize = 2;

/// The interval in `whole` whose grid has the least `cost`; the widest of equals.
///
/// Symmetric schemes have one bound, which is searched. The affine scheme has two; each is moved while the other stays,
/// since most of the cost of clipping at one end does not depend on the other.
pub(super) fn search(
    whole: Interval,
    config: &QuantConfig,
    cost: impl Fn(Interval, &QuantParams, QuantRange) -> f64,
) -> Result<Interval> {
    let codes = config.codes()?;
    let cost = |interval: Interval| Ok(cost(interval, &config.params(interval)?, codes));
    if codes.min < 0 {
        let bound = whole.max_abs();
        return best(bound, |bound| Interval::new(-bound, bound), cost);
    }
    let mut found = Interval::new(whole.min().min(0.0), whole.max().max(0.0))?;
    let (low, high) = (found.min(), found.max());
    for _ in 0..N_ROUNDS {
        found = best(high, |high| Interval::new(found.min(), high), cost)?;
        found = best(low, |low| Interval::new(low, found.max()), cost)?;
    }
    Ok(found)
}

/// The best of the intervals that `with` makes from parts of `bound`.
fn best(
    bound: f32,
    with: impl Fn(f32) -> Result<Interval>,
    cost: impl Fn(Interval) -> Result<f64>,
) -> Result<Interval> {
    let mut best = with(bound)?;
    if bound == 0.0 {
        return Ok(best);
    }
    let mut least = cost(best)?;
    for step in (1..N_STEPS).rev() {
        let interval = with(bound * (f32::from(step) / f32::from(N_STEPS)))?;
        let cost = cost(interval)?;
        if cost < least {
            (best, least) = (interval, cost);
        }
    }
    Ok(best)
}
