//! The same bits everywhere against bits by budget, on the pruned network.

use anyhow::Result;
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_quant::allocation::{Allocation, ChoicesConfig, Coding, LayerChoices, allocate, choices, curve};
use nnc_quant::codebook::Init;

/// Widths that a layer may get.
const WIDTHS: (u32, u32) = (1, 9);

/// Budgets along the curve.
const N_BUDGETS: u64 = 24;

/// Codes of one width everywhere, and what the same bytes allow.
#[derive(Debug)]
pub(super) struct Uniform {
    pub(super) bits: u32,
    pub(super) bytes: u64,
    pub(super) error: f64,
    /// The best allocation in as many bytes.
    pub(super) allocated: Allocation,
}

/// Both ways, packed.
#[derive(Debug)]
pub(super) struct Budgets {
    pub(super) layers: Vec<String>,
    pub(super) uniform: Vec<Uniform>,
    pub(super) curve: Vec<Allocation>,
}

pub(super) fn compare(pruned: &Params, names: &[String], bits: &[u32]) -> Result<Budgets> {
    let config =
        ChoicesConfig { min_bits: WIDTHS.0, max_bits: WIDTHS.1, init: Init::Optimal, coding: Coding::Packed };
    let mut layers = Vec::new();
    for name in names {
        // The optimum draws nothing.
        let choices = choices(pruned.tensor(name)?, &config, &mut Rng::keyed(0, "unused", &[]))?;
        layers.push(LayerChoices { name: name.clone(), sensitivity: 1.0, choices });
    }
    let uniform: Vec<Uniform> = bits.iter().map(|&bits| uniform(&layers, bits)).collect::<Result<_>>()?;
    let total = |i: fn(usize) -> usize| -> u64 {
        layers.iter().map(|layer| layer.choices[i(layer.choices.len())].bytes).sum()
    };
    let (least, most) = (total(|_| 0), total(|n| n - 1));
    // Even steps of the logarithm: most of the curve is at its low end.
    let mut budgets: Vec<u64> = (0..=N_BUDGETS)
        .map(|i| {
            let ratio = most as f64 / least as f64;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between two counts of bytes"
            )]
            let budget = (least as f64 * ratio.powf(i as f64 / N_BUDGETS as f64)).ceil() as u64;
            budget
        })
        .collect();
    // Where the two can be compared.
    budgets.extend(uniform.iter().map(|uniform| uniform.bytes));
    budgets.sort_unstable();
    budgets.dedup();
    Ok(Budgets { layers: names.to_vec(), uniform, curve: curve(&layers, &budgets)? })
}

fn uniform(layers: &[LayerChoices], bits: u32) -> Result<Uniform> {
    let chosen = layers.iter().filter_map(|layer| layer.choices.iter().find(|choice| choice.bits == bits));
    let (bytes, error) =
        chosen.fold((0, 0.0), |(bytes, error), choice| (bytes + choice.bytes, error + choice.error));
    Ok(Uniform { bits, bytes, error, allocated: allocate(layers, bytes)? })
}
