//! What is run: densities, epochs and granularities by profile.

use nnc::recipe::{Phase, Recipe};
use nnc_prune::Granularity;
use serde_json::{Value, json};

use crate::experiment::Profile;

/// The layers that are pruned, as in the paper: convolutions.
pub(super) const LAYERS: [&str; 2] = ["conv1.weight", "conv2.weight"];

/// The paper's grains, finest first, with the names of our rows.
pub(super) const GRANULARITIES: &[(&str, Granularity)] = &[
    ("fine", Granularity::Element),
    ("vector", Granularity::Row),
    ("kernel", Granularity::Kernel),
    ("filter", Granularity::Filter),
];

/// Bits of a weight in the paper's storage model.
pub(super) const VALUE_BITS: u32 = 8;
/// Bits of an index in the paper's storage model.
pub(super) const INDEX_BITS: u32 = 4;

/// Training images of a smoke run.
const SMOKE_IMAGES: usize = 5_000;

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) n_training_images: Option<usize>,
    pub(super) dense: Phase,
    pub(super) retraining: Phase,
    /// Share of groups that each round leaves of the second convolution.
    pub(super) densities: &'static [f64],
    /// Whether it is trained long enough for the paper's findings to show.
    pub(super) makes_claims: bool,
}

impl Plan {
    pub(super) fn new(profile: Profile) -> Self {
        let recipe = include_str!("../../../../crates/nnc/recipes/lenet-5.toml");
        let recipe = Recipe::from_toml(recipe).expect("the recipes in the repository are right (tested)");
        let dense = recipe.training.expect("the recipe trains");
        let retraining =
            recipe.retraining.and_then(|retraining| retraining.round).expect("the recipe has rounds");
        let (n_dense, n_retraining, densities): (_, _, &[f64]) = match profile {
            Profile::Smoke => (2, 1, &[0.3, 0.1]),
            Profile::Quick => (3, 1, &[0.5, 0.25, 0.12, 0.06, 0.03]),
            Profile::Full => (12, 4, &[0.6, 0.4, 0.25, 0.16, 0.1, 0.06, 0.04, 0.025]),
        };
        Self {
            n_training_images: (profile == Profile::Smoke).then_some(SMOKE_IMAGES),
            dense: Phase { n_epochs: n_dense, ..dense },
            retraining: Phase { n_epochs: n_retraining, ..retraining },
            densities,
            makes_claims: profile != Profile::Smoke,
        }
    }

    /// Epochs of everything.
    pub(super) fn n_epochs(&self) -> usize {
        self.dense.n_epochs + GRANULARITIES.len() * self.densities.len() * self.retraining.n_epochs
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "n_training_images": self.n_training_images,
            "dense": self.dense,
            "retraining": self.retraining,
            "densities": self.densities,
            "granularities": GRANULARITIES.iter().map(|(_, granularity)| granularity.to_string()).collect::<Vec<_>>(),
            "bits": [VALUE_BITS, INDEX_BITS],
        })
    }
}

/// How many of the groups of `layer` stay.
///
/// The first layer is the most sensitive one (Han 2015, figure 6), so it keeps the root of the density.
pub(super) fn n_kept(layer: &str, density: f64, n_groups: usize) -> usize {
    let density = if layer == LAYERS[0] { density.sqrt() } else { density };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is a count"
    )]
    let n_kept = (density * n_groups as f64).round() as usize;
    n_kept.max(1)
}
