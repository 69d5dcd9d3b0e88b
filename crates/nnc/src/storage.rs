//! Storage by arithmetic: the size of pruned, shared and coded layers from densities and bit widths alone.
//!
//! The calculator answers "what would this cost?" for a network nobody has to train, and is held against the lengths
//! of real files. It counts what the Deep Compression paper counts (Han, Mao, Dally, ICLR 2016, §2–§5): a code and a
//! gap for each stored entry, and one codebook of 32-bit values a layer. Biases, shapes and headers are not in it.

use nnc_core::{Error, Result};

/// Bits of one shared value in a codebook: an `f32`.
pub const CODEBOOK_VALUE_BITS: u32 = 32;

/// Bits of one weight in the dense network that sizes are compared with: an `f32`.
pub const DENSE_WEIGHT_BITS: u32 = 32;

/// One compressed layer, as the calculator sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerStorage {
    /// Weights of the dense layer, without biases.
    pub n_weights: u64,
    /// Share of the weights that pruning keeps, in `(0, 1]`.
    pub density: f64,
    /// Width of a codebook index, 1 to 16: the layer has `2^code_bits` shared values.
    pub code_bits: u32,
    /// Width of a gap field, 1 to 16: one field spans up to `2^gap_bits` positions.
    pub gap_bits: u32,
    /// Mean bits a stored code takes: `code_bits`, or less after entropy coding.
    pub mean_code_bits: f64,
    /// Mean bits a stored gap takes: `gap_bits`, or less after entropy coding.
    pub mean_gap_bits: f64,
}

/// How the filler zeros of relative indexing are counted.
///
/// A gap that its field cannot hold is bridged by filler entries of value zero, which cost as much as a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fillers {
    /// None: the lower bound that a sum over the kept weights gives.
    None,
    /// As many as expected when the kept weights lie at random: [`fillers_per_nonzero`].
    Geometric,
    /// As many as were counted in a real stream.
    Counted(u64),
}

/// The expected number of filler zeros per kept weight when positions are independent.
///
/// With `q = 1 − density`, a run of skipped zeros is `≥ k·2^gap_bits` long with probability `q^(k·2^gap_bits)`, and each
/// full `2^gap_bits` in it costs one filler: the sum over `k ≥ 1` is `q^(2^b) / (1 − q^(2^b))`. Masks of trained
/// networks are clustered and need fewer.
///
/// # Errors
/// [`Error::InvalidArgument`] when `density` is not in `(0, 1]` or `gap_bits` not in `1..=16`.
///
/// # Example
/// ```
/// let fillers = nnc::storage::fillers_per_nonzero(0.09, 4)?;
/// assert_eq!(format!("{fillers:.3}"), "0.284");
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn fillers_per_nonzero(density: f64, gap_bits: u32) -> Result<f64> {
    check_density(density)?;
    check_width("gap_bits", gap_bits)?;
    let missed = (1.0 - density).powi(1 << gap_bits);
    Ok(missed / (1.0 - missed))
}

impl LayerStorage {
    /// A layer whose codes and gaps are stored in fixed-width fields.
    pub fn fixed_width(n_weights: u64, density: f64, code_bits: u32, gap_bits: u32) -> Self {
        let (mean_code_bits, mean_gap_bits) = (f64::from(code_bits), f64::from(gap_bits));
        Self { n_weights, density, code_bits, gap_bits, mean_code_bits, mean_gap_bits }
    }

    /// The same layer with entropy-coded streams of the given mean lengths in bits.
    pub fn coded(self, mean_code_bits: f64, mean_gap_bits: f64) -> Self {
        Self { mean_code_bits, mean_gap_bits, ..self }
    }

    /// Stored entries: kept weights plus fillers.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a field is outside its documented range.
    pub fn entries(&self, fillers: Fillers) -> Result<f64> {
        self.check()?;
        let kept = as_f64(self.n_weights) * self.density;
        Ok(match fillers {
            Fillers::None => kept,
            Fillers::Geometric => kept * (1.0 + fillers_per_nonzero(self.density, self.gap_bits)?),
            Fillers::Counted(n) => kept + as_f64(n),
        })
    }

    /// Bits of the codebook: `2^code_bits` values of [`CODEBOOK_VALUE_BITS`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `code_bits` is not in `1..=16`.
    pub fn codebook_bits(&self) -> Result<f64> {
        check_width("code_bits", self.code_bits)?;
        Ok(f64::from((1_u32 << self.code_bits) * CODEBOOK_VALUE_BITS))
    }

    /// Bits of the layer: entries × (code + gap) + codebook.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a field is outside its documented range.
    ///
    /// # Source
    /// Deep Compression, §3 (the codebook's share of the rate) and Tables 2–5, whose small layers (15.7 % for the last
    /// of LeNet-300-100) show that a 32-bit codebook is counted.
    pub fn bits(&self, fillers: Fillers) -> Result<f64> {
        Ok(self.entries(fillers)? * (self.mean_code_bits + self.mean_gap_bits) + self.codebook_bits()?)
    }

    /// Bits of the dense layer.
    pub fn dense_bits(&self) -> f64 {
        as_f64(self.n_weights) * f64::from(DENSE_WEIGHT_BITS)
    }

    /// Compressed over dense size, in `(0, ∞)`; the papers print it in per cent.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a field is outside its documented range.
    pub fn rate(&self, fillers: Fillers) -> Result<f64> {
        Ok(self.bits(fillers)? / self.dense_bits())
    }

    fn check(&self) -> Result<()> {
        if self.n_weights == 0 {
            return Err(Error::invalid("n_weights", "at least 1", 0));
        }
        check_density(self.density)?;
        check_width("code_bits", self.code_bits)?;
        check_width("gap_bits", self.gap_bits)?;
        for (what, mean) in [("mean_code_bits", self.mean_code_bits), ("mean_gap_bits", self.mean_gap_bits)] {
            if !(mean.is_finite() && mean >= 0.0) {
                return Err(Error::invalid(what, "a finite number of bits, at least 0", mean));
            }
        }
        Ok(())
    }
}

/// Bits of all `layers` together.
///
/// # Errors
/// [`Error::InvalidArgument`] when a layer is outside its documented range.
pub fn total_bits(layers: &[LayerStorage], fillers: Fillers) -> Result<f64> {
    layers.iter().map(|layer| layer.bits(fillers)).sum()
}

/// Compressed over dense size of all `layers` together.
///
/// # Errors
/// [`Error::InvalidArgument`] when `layers` is empty or a layer is outside its documented range.
pub fn total_rate(layers: &[LayerStorage], fillers: Fillers) -> Result<f64> {
    if layers.is_empty() {
        return Err(Error::invalid("layers", "at least one layer", 0));
    }
    Ok(total_bits(layers, fillers)? / layers.iter().map(LayerStorage::dense_bits).sum::<f64>())
}

fn check_density(density: f64) -> Result<()> {
    if density > 0.0 && density <= 1.0 {
        return Ok(());
    }
    Err(Error::invalid("density", "a share in (0, 1]", density))
}

fn check_width(what: &str, bits: u32) -> Result<()> {
    if (1..=16).contains(&bits) {
        return Ok(());
    }
    Err(Error::invalid(what, "1 to 16 bits", bits))
}

/// Exact up to 2^53, far beyond any count of weights.
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_match_the_geometric_values_of_the_published_densities() {
        for (density, gap_bits, expected) in
            [(0.09, 4, 0.284), (0.08, 5, 0.075), (0.04, 5, 0.371), (0.25, 4, 0.010), (1.0, 4, 0.0)]
        {
            let found = fillers_per_nonzero(density, gap_bits).unwrap();
            assert!((found - expected).abs() < 5e-4, "density {density}, {gap_bits} bits: {found}");
        }
    }

    #[test]
    fn fillers_match_a_count_over_every_run_length() {
        // The expectation written out: Σ P(run = z) · floor(z / 2^b), P(run = z) = q^z · p.
        let (density, gap_bits): (f64, u32) = (0.11, 3);
        let mut expected = 0.0;
        let mut probability = density;
        for z in 0..2000_u32 {
            expected += probability * f64::from(z >> gap_bits);
            probability *= 1.0 - density;
        }
        let found = fillers_per_nonzero(density, gap_bits).unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} against {expected}");
    }

    #[test]
    fn a_layer_costs_its_entries_and_its_codebook() {
        let layer = LayerStorage::fixed_width(1000, 0.25, 6, 5);
        // 250 · 11 + 64 · 32
        assert_eq!(layer.bits(Fillers::None).unwrap(), 4798.0);
        assert_eq!(layer.bits(Fillers::Counted(10)).unwrap(), 4908.0);
        assert_eq!(layer.coded(4.0, 3.0).bits(Fillers::None).unwrap(), 250.0 * 7.0 + 2048.0);
        assert_eq!(layer.dense_bits(), 32_000.0);
        assert_eq!(layer.rate(Fillers::None).unwrap(), 4798.0 / 32_000.0);
    }

    #[test]
    fn dense_sharing_gives_the_papers_own_rate() {
        // §3: 16 weights, 4 shared values: 32·16 / (16·2 + 4·32) = 3.2; no gaps in a dense layer.
        let layer = LayerStorage::fixed_width(16, 1.0, 2, 1).coded(2.0, 0.0);
        assert_eq!(1.0 / layer.rate(Fillers::Geometric).unwrap(), 3.2);
    }

    #[test]
    fn totals_are_sums_of_bits_and_not_means_of_rates() {
        let layers = [LayerStorage::fixed_width(1000, 0.5, 4, 4), LayerStorage::fixed_width(10, 1.0, 4, 4)];
        let bits = total_bits(&layers, Fillers::None).unwrap();
        assert_eq!(bits, (500.0 + 10.0) * 8.0 + 2.0 * 512.0);
        assert_eq!(total_rate(&layers, Fillers::None).unwrap(), bits / (1010.0 * 32.0));
    }

    #[test]
    fn arguments_out_of_range_are_named() {
        let good = LayerStorage::fixed_width(10, 0.5, 4, 4);
        for (bad, name) in [
            (LayerStorage { density: 0.0, ..good }, "density"),
            (LayerStorage { density: f64::NAN, ..good }, "density"),
            (LayerStorage { code_bits: 17, ..good }, "code_bits"),
            (LayerStorage { gap_bits: 0, ..good }, "gap_bits"),
            (LayerStorage { n_weights: 0, ..good }, "n_weights"),
            (LayerStorage { mean_gap_bits: f64::INFINITY, ..good }, "mean_gap_bits"),
        ] {
            let message = bad.bits(Fillers::Geometric).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        assert!(total_rate(&[], Fillers::None).is_err());
    }
}
