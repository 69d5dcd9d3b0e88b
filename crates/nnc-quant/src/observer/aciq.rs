//! ACIQ: the clipping that would be best if the numbers came from a normal or a Laplace distribution.

use nnc_core::Result;
use serde::{Deserialize, Serialize};

use super::Bin;
use super::percentile::rounded;
use crate::affine::{Interval, QuantConfig};

/// What the numbers are taken to be drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Normal, of standard deviation σ.
    Gauss,
    /// Laplace, of mean absolute deviation b.
    Laplace,
}

/// The factor α/σ or α/b whose clipping to ±α and rounding to 2^`bits` steps has the least expected squared error.
///
/// With α in that unit, the rounding's error is α² / (3 · 4^bits). Clipping costs 2 e^−α for Laplace, so that
/// α e^α = 3 · 4^bits, and 2 ∫ (x − α)² φ(x) dx over x > α for Gauss, so that ∫ (x − α) φ(x) dx = α / (6 · 4^bits). Both are
/// solved here by bisection.
///
/// # Source
/// Banner, Nahshan, Hoffer, Soudry, "Post training 4-bit quantization of convolutional networks for rapid-deployment",
/// NeurIPS 2019, §2, equations 5 and 6 (whose solutions it tabulates for 2 to 4 bits; Distiller for 2 to 8).
///
/// # Example
/// ```
/// use nnc_quant::observer::{Distribution, clipping_factor};
/// assert!((clipping_factor(Distribution::Laplace, 4) - 5.03).abs() < 0.005);
/// assert!((clipping_factor(Distribution::Gauss, 3) - 2.15).abs() < 0.005);
/// ```
pub fn clipping_factor(distribution: Distribution, bits: u32) -> f64 {
    let levels_squared = f64::from(bits).exp2().powi(2);
    // Negative below the solution, positive above it.
    let slope = |alpha: f64| match distribution {
        Distribution::Laplace => alpha.ln() + alpha - (3.0 * levels_squared).ln(),
        Distribution::Gauss => alpha / (6.0 * levels_squared) - mean_excess(alpha),
    };
    let (mut low, mut high) = (1e-3, 64.0);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// ∫ (x − a) φ(x) dx over x > a for the normal density φ, by Simpson's rule; beyond a + 12 nothing is left.
fn mean_excess(a: f64) -> f64 {
    const N: u32 = 1200;
    let h = 12.0 / f64::from(N);
    let at = |i: u32| {
        let t = f64::from(i) * h;
        t * (-0.5 * (a + t) * (a + t)).exp()
    };
    let inner: f64 = (1..N).map(|i| at(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (at(0) + inner + at(N)) * h / 3.0 / std::f64::consts::TAU.sqrt()
}

/// The interval mean ± α, cut to what was seen.
///
/// One-sided numbers, as behind a rectifier, are half of a distribution around 0: α comes from the numbers that are not 0,
/// and as only one side takes codes, from the factor of one bit more (the affine scheme).
///
/// # Source
/// As [`clipping_factor`]. We differ from Distiller, which takes deviations from the mean of rectified numbers and their
/// zeros; the deviation from 0 of those that are not 0 is what the numbers had before the rectifier.
pub(super) fn interval(
    bins: &[Bin],
    whole: Interval,
    config: &QuantConfig,
    distribution: Distribution,
) -> Result<Interval> {
    let codes = config.codes()?;
    let one_sided = whole.min() >= 0.0 || whole.max() <= 0.0;
    let counted = |bin: &&Bin| !one_sided || bin.low < bin.high;
    let sum =
        |f: &dyn Fn(&Bin) -> f64| -> f64 { bins.iter().filter(counted).map(|bin| bin.count * f(bin)).sum() };
    let n = sum(&|_| 1.0);
    if n == 0.0 {
        return Ok(whole);
    }
    let mean = if one_sided { 0.0 } else { sum(&Bin::centre) / n };
    let spread = match distribution {
        Distribution::Gauss => (sum(&|bin| (bin.centre() - mean).powi(2)) / n).sqrt(),
        Distribution::Laplace => sum(&|bin| (bin.centre() - mean).abs()) / n,
    };
    let bits = config.bits + u32::from(one_sided && codes.min == 0);
    let alpha = clipping_factor(distribution, bits) * spread;
    Ok(rounded(mean - alpha, mean + alpha).clamp_to(&whole))
}
