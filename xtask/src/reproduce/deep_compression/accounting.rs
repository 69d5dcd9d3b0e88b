//! A compressed network in the paper's own accounting.
//!
//! Tables 2 and 3 count, for each weight that is kept (fillers included), the bits of its code and of its gap, fixed-width
//! for P+Q and Huffman's average for P+Q+H, and a codebook of 32-bit values; no biases, no code tables, no headers. A
//! file has all of those, which is why this is printed beside its length and never in place of it.

use anyhow::{Context as _, Result};
use nnc::pipeline::Stored;
use nnc::recipe::{Layer, Recipe};
use nnc_core::params::ParamKind;
use nnc_core::weight::{Form, Order, Positions, StoredWeight, Symbols, Values};
use nnc_huffman::{Code, Histogram};

/// Bits of a gap in the paper's LeNets.
const GAP_BITS: u32 = 5;

/// One layer as Tables 2 and 3 show it.
#[derive(Debug, Clone)]
pub(super) struct LayerSize {
    /// The layer, without `.weight`.
    pub(super) name: String,
    pub(super) n_weights: usize,
    pub(super) n_kept: usize,
    /// Kept weights and fillers.
    n_slots: usize,
    pub(super) code_bits: u32,
    pub(super) mean_code_bits: f64,
    pub(super) mean_gap_bits: f64,
}

impl LayerSize {
    pub(super) fn density_percent(&self) -> f64 {
        100.0 * self.n_kept as f64 / self.n_weights as f64
    }

    /// Bits with fixed-width codes and gaps.
    pub(super) fn shared_bits(&self) -> f64 {
        self.bits(f64::from(self.code_bits), f64::from(GAP_BITS))
    }

    /// Bits with Huffman-coded codes and gaps.
    pub(super) fn coded_bits(&self) -> f64 {
        self.bits(self.mean_code_bits, self.mean_gap_bits)
    }

    pub(super) fn dense_bits(&self) -> f64 {
        32.0 * self.n_weights as f64
    }

    fn bits(&self, code_bits: f64, gap_bits: f64) -> f64 {
        self.n_slots as f64 * (code_bits + gap_bits) + 32.0 * f64::from(1_u32 << self.code_bits)
    }
}

/// The weights that `recipe` shares, in the paper's accounting.
pub(super) fn layers(stored: &[Stored], recipe: &Recipe) -> Result<Vec<LayerSize>> {
    let names: Vec<String> = stored.iter().map(|(name, _, _)| name.clone()).collect();
    let assigned = recipe.assign(&names)?;
    let mut layers = Vec::new();
    for ((name, kind, weight), layer) in stored.iter().zip(assigned) {
        if let (ParamKind::Weight, Some(Layer { share: Some(share), .. })) = (kind, layer) {
            layers.push(layer_size(name, weight, share.bits)?);
        }
    }
    Ok(layers)
}

fn layer_size(name: &str, weight: &StoredWeight, code_bits: u32) -> Result<LayerSize> {
    let gapped = weight.rearrange(Form::Gaps { bits: GAP_BITS }, Order::RowMajor)?;
    let (Positions::Gaps(gaps), Values::Codebook(codebook)) = (gapped.positions(), gapped.values()) else {
        anyhow::bail!("{name} is not shared");
    };
    Ok(LayerSize {
        name: name.strip_suffix(".weight").unwrap_or(name).to_owned(),
        n_weights: weight.n_entries(),
        n_kept: gapped.n_nonzero()?,
        n_slots: gapped.n_slots(),
        code_bits,
        mean_code_bits: mean_bits(&**codebook.indices()).context("codes")?,
        mean_gap_bits: mean_bits(&**gaps.skips()).context("gaps")?,
    })
}

/// Huffman's average codeword length over a stream; 0 for an empty one.
fn mean_bits(stream: &dyn Symbols) -> Result<f64> {
    let histogram = Histogram::of(&stream.to_vec()?);
    let bits = Code::from_histogram(&histogram).cost_bits(&histogram)?;
    Ok(if stream.is_empty() { 0.0 } else { bits as f64 / stream.len() as f64 })
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::{Device, Tensor};
    use nnc_core::rng::Rng;
    use nnc_quant::codebook::{ClusterConfig, Init, SharedWeight};

    use super::*;

    #[test]
    fn a_layer_is_counted_as_the_paper_counts() {
        // Values at 0, 2 and 40 of 64: gaps 0, 1 and 37, which needs one filler (32 places), so four slots.
        let mut values = vec![0.0_f32; 64];
        (values[0], values[2], values[40]) = (1.0, -1.0, 1.0);
        let weight = Tensor::from_vec(values, (8, 8), &Device::Cpu).unwrap();
        let config = ClusterConfig { n_shared: 3, init: Init::Linear, max_iterations: 10 };
        let shared = SharedWeight::cluster(&weight, &config, &mut Rng::keyed(0, "", &[])).unwrap();
        let layer = layer_size("ip9.weight", &shared.stored().unwrap(), 2).unwrap();
        assert_eq!((layer.name.as_str(), layer.n_weights, layer.n_kept, layer.n_slots), ("ip9", 64, 3, 4));
        assert_eq!(layer.shared_bits(), 4.0 * (2.0 + 5.0) + 4.0 * 32.0);
        // Codes twice, once, once: 1, 2, 2 bits; gaps 0, 1, 31, 5 once each: 2 bits.
        assert_eq!((layer.mean_code_bits, layer.mean_gap_bits), (1.5, 2.0));
    }
}
