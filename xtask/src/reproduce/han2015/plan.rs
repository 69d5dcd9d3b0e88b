//! What is run, and how much of it in which profile.

use nnc::recipe::{Phase, Recipe};
use serde_json::{Value, json};

use crate::experiment::Profile;
pub(super) use crate::reproduce::deep_compression::plan::Model;

/// Training images of a smoke run.
const SMOKE_IMAGES: usize = 5_000;

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) n_training_images: Option<usize>,
    /// Table 1: both networks, each seed.
    pub(super) runs: Vec<(Model, Recipe)>,
    pub(super) study: Study,
}

/// The comparisons, which are made on the validation set with one seed.
#[derive(Debug)]
pub(super) struct Study {
    /// Epochs of a dense network.
    pub(super) n_dense: usize,
    /// Epochs after each pruning.
    pub(super) n_retrained: usize,
    /// Shares of connections kept, falling.
    pub(super) densities: &'static [f64],
    /// Epochs of LeNet-5 after each pruning.
    pub(super) n_lenet_5: usize,
    /// Shares of one layer kept in the sensitivity scan.
    pub(super) scanned: &'static [f64],
    /// Validation images of a scan of a network with convolutions.
    pub(super) n_scan_images: usize,
}

/// The density of the controls (kept against new survivors, dropout adjusted or not): the paper's of LeNet-300-100.
pub(super) const CONTROL: f64 = 0.08;
/// Retraining's learning rate over the first training's (Han 2015, §4.1).
pub(super) const RETRAINING_RATE: f64 = 0.1;
/// The first training's learning rate.
pub(super) const RATE: f64 = 0.05;
/// The same for LeNet-5.
pub(super) const RATE_LENET_5: f64 = 0.02;
/// The weight of `Σ |w|` in the loss.
pub(super) const L1: f64 = 1e-5;
/// The weight of `Σ w²` in the loss; a weight decay of 1e-4.
pub(super) const L2: f64 = 5e-5;
/// Images a step.
pub(super) const BATCH: usize = 64;

impl Plan {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        let n_seeds = if profile == Profile::Full { 3 } else { 1 };
        let seeds = seed..seed.saturating_add(n_seeds);
        let runs = Model::ALL
            .iter()
            .flat_map(|&model| seeds.clone().map(move |seed| (model, recipe(model, profile, seed))));
        Self {
            profile,
            n_training_images: (profile == Profile::Smoke).then_some(SMOKE_IMAGES),
            runs: runs.collect(),
            study: Study::new(profile),
        }
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        let recipes: Vec<&Recipe> = self.runs.iter().map(|(_, recipe)| recipe).collect();
        let Study { n_dense, n_retrained, densities, n_lenet_5, scanned, n_scan_images } = self.study;
        json!({
            "recipes": recipes, "n_training_images": self.n_training_images, "n_dense": n_dense,
            "n_retrained": n_retrained, "densities": densities, "n_lenet_5": n_lenet_5, "scanned": scanned,
            "n_scan_images": n_scan_images, "control": CONTROL, "rates": [RATE, RATE_LENET_5, RETRAINING_RATE],
            "penalties": [L1, L2], "batch": BATCH,
        })
    }

    /// The work of Table 1's run `run_idx`, in epochs of LeNet-300-100.
    pub(super) fn cost_of_run(&self, run_idx: usize) -> f64 {
        let (model, Recipe { training, retraining, .. }) = &self.runs[run_idx];
        let n_epochs = training.map_or(0, |phase| phase.n_epochs)
            + retraining
                .map_or(0, |r| (r.rounds - 1) * r.round.map_or(0, |round| round.n_epochs) + r.last.n_epochs);
        model.step_cost() * n_epochs as f64
    }

    /// All of the work, in epochs of LeNet-300-100; for the progress bar only.
    pub(super) fn cost(&self) -> f64 {
        let runs: f64 = (0..self.runs.len()).map(|run_idx| self.cost_of_run(run_idx)).sum();
        runs + self.study.cost()
    }
}

impl Study {
    fn new(profile: Profile) -> Self {
        match profile {
            Profile::Smoke => Self {
                n_dense: 2,
                n_retrained: 1,
                densities: &[0.3, CONTROL],
                n_lenet_5: 1,
                scanned: &[0.5, 0.1],
                n_scan_images: 50,
            },
            Profile::Quick => Self {
                n_dense: 4,
                n_retrained: 1,
                densities: &[0.5, CONTROL, 0.03],
                n_lenet_5: 1,
                scanned: &[0.5, 0.2, 0.1, 0.05],
                n_scan_images: 100,
            },
            Profile::Full => Self {
                n_dense: 20,
                n_retrained: 10,
                densities: &[0.8, 0.5, 0.33, 0.2, 0.12, CONTROL, 0.05, 0.03, 0.02],
                n_lenet_5: 8,
                scanned: &[0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02],
                n_scan_images: 1_000,
            },
        }
    }

    /// Fits of LeNet-300-100 and LeNet-5, in epochs of LeNet-300-100, as `studies.rs` makes them.
    fn cost(&self) -> f64 {
        let n_levels = self.densities.len();
        // L1 and L2 from each level, iterative through all of them, one-shot for as long, and three controls.
        let lenet_300 = 3 * self.n_dense + (4 * n_levels + 3) * self.n_retrained;
        lenet_300 as f64 + Model::LeNet5.step_cost() * (4 * self.n_lenet_5) as f64
    }
}

/// The paper's densities, and pruning alone: the weights that are left keep their own values.
fn recipe(model: Model, profile: Profile, seed: u64) -> Recipe {
    let mut recipe = model.paper_recipe(profile, seed);
    recipe.sharing = None;
    if profile == Profile::Quick {
        // The comparisons want their share of the three minutes.
        let (dense, round, last) = match model {
            Model::LeNet300 => (6, 3, 8),
            Model::LeNet5 => (2, 1, 3),
        };
        let set = |phase: &mut Phase, n_epochs| phase.n_epochs = n_epochs;
        recipe.training.iter_mut().for_each(|phase| set(phase, dense));
        if let Some(retraining) = &mut recipe.retraining {
            retraining.round.iter_mut().for_each(|phase| set(phase, round));
            set(&mut retraining.last, last);
        }
    }
    for layer in &mut recipe.layers {
        layer.share = None;
    }
    recipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_plans_both_networks_and_the_controls_density() {
        for (profile, n_runs) in [(Profile::Smoke, 2), (Profile::Quick, 2), (Profile::Full, 6)] {
            let plan = Plan::new(profile, 7);
            assert_eq!(plan.runs.len(), n_runs);
            assert!(
                plan.runs.iter().all(|(_, recipe)| recipe.layers.iter().all(|layer| layer.share.is_none()))
            );
            assert!(plan.study.densities.contains(&CONTROL));
            for falling in [plan.study.densities, plan.study.scanned] {
                assert!(falling.is_sorted_by(|a, b| a > b) && falling[0] < 1.0, "{falling:?}");
            }
        }
    }
}
