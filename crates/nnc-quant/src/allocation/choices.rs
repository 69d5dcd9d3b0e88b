//! What a layer with shared values costs and how wrong it is, for each number of bits.

use nnc_core::candle::Tensor;
use nnc_core::rng::Rng;
use nnc_core::weight::WeightTensor;
use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Choice;
use crate::codebook::{ClusterConfig, Init, SharedWeight};

/// How codes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// As they are packed: whole bits a code.
    Packed,
    /// By their entropy, which Huffman codes come within one bit a code of, and rANS within half a per cent; code tables are not
    /// counted.
    Entropy,
}

/// What [`choices`] tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoicesConfig {
    /// Fewest bits of a code, at least 1.
    pub min_bits: u32,
    /// Most bits of a code, at most 12.
    pub max_bits: u32,
    /// Where the shared values start.
    pub init: Init,
    /// How codes are counted.
    pub coding: Coding,
}

/// Lloyd iterations at most.
const MAX_ITERATIONS: usize = 300;

/// Shares the non-zero values of `weight` with `2^bits - 1` values (zero keeps a code) for each number of bits.
///
/// Bytes are those of [`SharedWeight::stored`]: a mask of the non-zero entries, codes, codebook.
///
/// # Errors
/// [`Error::InvalidArgument`] for bits out of range, and those of [`SharedWeight::cluster`].
pub fn choices(weight: &Tensor, config: &ChoicesConfig, rng: &mut Rng) -> Result<Vec<Choice>> {
    let ChoicesConfig { min_bits, max_bits, init, coding } = *config;
    if min_bits < 1 || max_bits > 12 || min_bits > max_bits {
        let got = format!("{min_bits} to {max_bits}");
        return Err(Error::invalid("bits", "a range within 1 to 12", got));
    }
    let choice = |bits: u32| {
        let config = ClusterConfig { n_shared: (1 << bits) - 1, init, max_iterations: MAX_ITERATIONS };
        let shared = SharedWeight::cluster(weight, &config, rng)?;
        let difference = (weight - shared.value()?)?.flatten_all()?.to_vec1::<f32>()?;
        let error = difference.iter().map(|&d| f64::from(d).powi(2)).sum();
        let footprint = shared.stored()?.footprint();
        let code_bits = match coding {
            Coding::Packed => footprint.values.bits,
            Coding::Entropy => whole(footprint.values.entropy_bits),
        };
        let all_bits = code_bits + footprint.positions.bits + footprint.tables_bits;
        Ok(Choice { bits, bytes: all_bits.div_ceil(8), error })
    };
    (min_bits..=max_bits).map(choice).collect()
}

/// Whole bits that hold `bits`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of bits of something in memory"
)]
fn whole(bits: f64) -> u64 {
    bits.ceil() as u64
}
