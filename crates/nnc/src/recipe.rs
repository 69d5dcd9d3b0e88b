//! A recipe: which parameters are pruned, shared and coded, and how the network is trained between.
//!
//! ```toml
//! seed = 1
//!
//! [[layer]]
//! match = "ip*.weight"
//! prune = { density = 0.08 }
//! share = { bits = 6 }
//! store = { index_bits = 5 }
//! ```
//!
//! A parameter takes the first `[[layer]]` whose pattern matches its name (`*` stands for any characters); one that no
//! pattern matches is stored as it is. A pattern that no parameter takes is an error.

mod check;

use nnc_core::train::{OptimizerConfig, Schedule};
use nnc_core::{Error, Result, pattern};
use nnc_quant::codebook::Init;
use serde::{Deserialize, Serialize};

/// A whole recipe, as read from TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Keys every random draw.
    #[serde(default)]
    pub seed: u64,
    /// What happens to which parameters; the first match counts.
    #[serde(default, rename = "layer")]
    pub layers: Vec<Layer>,
    /// Training the dense network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Phase>,
    /// Pruning and retraining, in rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retraining: Option<Retraining>,
    /// Training the shared values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// What happens to the parameters that a pattern matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Pattern of parameter names; `*` stands for any characters.
    #[serde(rename = "match")]
    pub pattern: String,
    /// How much is pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// How values are shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// How what is left is stored.
    #[serde(default)]
    pub store: Store,
}

/// How much of a weight is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Share of entries kept, in `(0, 1]`; the smallest go.
    Density(f64),
    /// Han's quality factor: entries of magnitude up to `quality · σ` go, σ measured on the dense weight.
    Quality(f64),
}

/// How values are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Bits of a code, 1 to 12; pruned weights keep one of the `2^bits` codes for zero.
    pub bits: u32,
    /// Where the shared values start.
    #[serde(default = "linear")]
    pub init: Init,
}

/// How a parameter is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Bits of a gap between two kept entries, 1 to 16; without it the width that gives the fewest bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_bits: Option<u32>,
    /// Whether codes and gaps are Huffman-coded where that is smaller.
    #[serde(default = "yes")]
    pub huffman: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self { index_bits: None, huffman: true }
    }
}

/// One run of training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Passes over the training images, at least 1.
    pub n_epochs: usize,
    /// Images a step, at least 1.
    pub batch_size: usize,
    /// Each image is moved by up to this many pixels in either direction.
    #[serde(default)]
    pub jitter: usize,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate over time.
    pub schedule: Schedule,
}

/// Pruning and retraining, in rounds: the density falls geometrically from 1 to each layer's own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retraining {
    /// How many times to prune and retrain, at least 1; 1 is one-shot.
    pub rounds: usize,
    /// Each round's training but the last's; one round alone needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Phase>,
    /// The last round's training.
    pub last: Phase,
}

/// Training the shared values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// Factor, at least 0, on the learning rate of shared values, whose gradients are sums over all weights that share them.
    #[serde(default = "one")]
    pub lr_scale: f64,
    /// The training.
    pub phase: Phase,
}

fn linear() -> Init {
    Init::Linear
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not TOML of this form, with the line; [`Error::InvalidArgument`] for a number out of
    /// its range.
    pub fn from_toml(text: &str) -> Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|e| Error::corrupt("recipe", e.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// For each of `names`, the layer that it takes.
    ///
    /// # Errors
    /// [`Error::NoMatch`] when a pattern is taken by no name.
    pub fn assign<'a>(&'a self, names: &[String]) -> Result<Vec<Option<&'a Layer>>> {
        let mut used = vec![false; self.layers.len()];
        let mut assigned = Vec::with_capacity(names.len());
        for name in names {
            let first = self.layers.iter().position(|layer| pattern::matches(&layer.pattern, name));
            if let Some(i) = first {
                used[i] = true;
            }
            assigned.push(first.map(|i| &self.layers[i]));
        }
        match used.iter().position(|used| !used) {
            Some(i) => Err(Error::NoMatch {
                what: "parameter",
                pattern: self.layers[i].pattern.clone(),
                known: names.to_vec(),
            }),
            None => Ok(assigned),
        }
    }
}

impl Retraining {
    /// The training of round `round` (from 1).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where it is not the last and the recipe has none for it.
    pub fn phase(&self, round: usize) -> Result<&Phase> {
        if round >= self.rounds {
            return Ok(&self.last);
        }
        self.round.as_ref().ok_or_else(|| {
            let expected = format!("a [retraining.round] section, since there are {} rounds", self.rounds);
            Error::invalid("retraining", expected, "none")
        })
    }
}

impl Prune {
    /// The goal of round `round` (from 1) of `rounds`: densities fall geometrically, qualities rise linearly.
    pub fn at_round(self, round: usize, rounds: usize) -> Self {
        let share = round as f64 / rounds as f64;
        match self {
            Self::Density(density) => Self::Density(density.powf(share)),
            Self::Quality(quality) => Self::Quality(quality * share),
        }
    }
}

#[cfg(test)]
mod tests;
