//! What is run: models × recipes × seeds, and how much of each in which profile.

use anyhow::Result;
use nnc::recipe::{Phase, Recipe};
use nnc_core::data::Dataset;
use nnc_core::network::{Network, zoo};
use nnc_core::params::ParamSpecs;
use serde_json::{Value, json};

use crate::experiment::Profile;

/// A network of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reproduce) enum Model {
    LeNet300,
    LeNet5,
}

/// Which recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// The paper's densities and code widths.
    Paper,
    /// The smallest file at the paper's error.
    Smallest,
}

/// One network compressed once.
#[derive(Debug)]
pub(super) struct RunPlan {
    pub(super) model: Model,
    pub(super) variant: Variant,
    pub(super) recipe: Recipe,
}

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) n_training_images: Option<usize>,
    pub(super) runs: Vec<RunPlan>,
}

/// The epochs of a profile that has no time for the recipe's own.
struct Effort {
    dense: usize,
    rounds: usize,
    round: usize,
    last: usize,
    sharing: usize,
}

const SMOKE: Effort = Effort { dense: 2, rounds: 1, round: 1, last: 2, sharing: 1 };
const QUICK_LENET_300: Effort = Effort { dense: 10, rounds: 2, round: 4, last: 10, sharing: 1 };
const QUICK_LENET_5: Effort = Effort { dense: 5, rounds: 2, round: 2, last: 5, sharing: 1 };

/// Training images of a smoke run.
const SMOKE_IMAGES: usize = 5_000;

impl Model {
    pub(in crate::reproduce) const ALL: [Self; 2] = [Self::LeNet300, Self::LeNet5];

    /// The model's name in metrics, as in the published tables.
    pub(in crate::reproduce) fn name(self) -> &'static str {
        match self {
            Self::LeNet300 => "lenet-300-100",
            Self::LeNet5 => "lenet-5",
        }
    }

    /// The network for images and classes like `data`'s.
    pub(in crate::reproduce) fn build(self, data: &Dataset) -> Result<(Network, ParamSpecs)> {
        let config = zoo::LeNetConfig { image: data.shape(), classes: data.n_classes(), dropout: None };
        Ok(match self {
            Self::LeNet300 => zoo::lenet_300_100(&config)?,
            Self::LeNet5 => zoo::lenet_5(&config)?,
        })
    }

    /// How long a training step takes, against the other's; for the progress bar only.
    pub(in crate::reproduce) fn step_cost(self) -> f64 {
        match self {
            Self::LeNet300 => 1.0,
            Self::LeNet5 => 6.0,
        }
    }

    /// The paper's recipe in a profile.
    pub(in crate::reproduce) fn paper_recipe(self, profile: Profile, seed: u64) -> Recipe {
        self.recipe_in(Variant::Paper, profile, seed)
    }

    fn recipe_in(self, variant: Variant, profile: Profile, seed: u64) -> Recipe {
        let mut recipe = Recipe { seed, ..self.recipe(variant) };
        match profile {
            Profile::Smoke => SMOKE.apply(&mut recipe),
            Profile::Quick => self.quick().apply(&mut recipe),
            Profile::Full => {}
        }
        recipe
    }

    fn quick(self) -> Effort {
        match self {
            Self::LeNet300 => QUICK_LENET_300,
            Self::LeNet5 => QUICK_LENET_5,
        }
    }

    fn recipe(self, variant: Variant) -> Recipe {
        let text = match (self, variant) {
            (Self::LeNet300, Variant::Paper) => {
                include_str!("../../../../crates/nnc/recipes/lenet-300-100.toml")
            }
            (Self::LeNet300, Variant::Smallest) => {
                include_str!("../../../../crates/nnc/recipes/lenet-300-100-smallest.toml")
            }
            (Self::LeNet5, Variant::Paper) => include_str!("../../../../crates/nnc/recipes/lenet-5.toml"),
            (Self::LeNet5, Variant::Smallest) => {
                include_str!("../../../../crates/nnc/recipes/lenet-5-smallest.toml")
            }
        };
        Recipe::from_toml(text).expect("the recipes in the repository are right (tested)")
    }
}

impl RunPlan {
    /// The first part of the run's metrics.
    pub(super) fn label(&self) -> String {
        match self.variant {
            Variant::Paper => self.model.name().to_owned(),
            Variant::Smallest => format!("{}-smallest", self.model.name()),
        }
    }

    /// The name of its file, without the ending.
    pub(super) fn file_stem(&self) -> String {
        format!("{}-seed{}", self.label(), self.recipe.seed)
    }

    fn n_epochs(&self) -> usize {
        let Recipe { training, retraining, sharing, .. } = &self.recipe;
        training.map_or(0, |phase| phase.n_epochs)
            + retraining
                .map_or(0, |r| (r.rounds - 1) * r.round.map_or(0, |round| round.n_epochs) + r.last.n_epochs)
            + sharing.map_or(0, |sharing| sharing.phase.n_epochs)
    }
}

impl Plan {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        let (variants, n_seeds): (&[Variant], u64) = match profile {
            Profile::Smoke | Profile::Quick => (&[Variant::Paper], 1),
            Profile::Full => (&[Variant::Paper, Variant::Smallest], 3),
        };
        let mut runs = Vec::new();
        for model in Model::ALL {
            for seed in seed..seed.saturating_add(n_seeds) {
                for &variant in variants {
                    runs.push(RunPlan { model, variant, recipe: model.recipe_in(variant, profile, seed) });
                }
            }
        }
        let n_training_images = (profile == Profile::Smoke).then_some(SMOKE_IMAGES);
        Self { profile, n_training_images, runs }
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        let recipes: Vec<&Recipe> = self.runs.iter().map(|run| &run.recipe).collect();
        json!({ "recipes": recipes, "n_training_images": self.n_training_images })
    }

    /// The part of the whole work, as a start and an end in `[0, 1]`, that the run `run_idx` is.
    pub(super) fn share_of(&self, run_idx: usize) -> (f64, f64) {
        let work = |runs: &[RunPlan]| -> f64 {
            runs.iter().map(|run| run.model.step_cost() * run.n_epochs() as f64).sum()
        };
        let total = work(&self.runs);
        (work(&self.runs[..run_idx]) / total, work(&self.runs[..=run_idx]) / total)
    }
}

impl Effort {
    fn apply(&self, recipe: &mut Recipe) {
        let set = |phase: &mut Phase, n_epochs| phase.n_epochs = n_epochs;
        if let Some(phase) = &mut recipe.training {
            set(phase, self.dense);
        }
        if let Some(retraining) = &mut recipe.retraining {
            retraining.rounds = self.rounds;
            if let Some(round) = &mut retraining.round {
                set(round, self.round);
            }
            set(&mut retraining.last, self.last);
        }
        if let Some(sharing) = &mut recipe.sharing {
            set(&mut sharing.phase, self.sharing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_plans_both_networks() {
        for (profile, n_runs) in [(Profile::Smoke, 2), (Profile::Quick, 2), (Profile::Full, 12)] {
            let plan = Plan::new(profile, 7);
            assert_eq!(plan.runs.len(), n_runs);
            assert_eq!(plan.share_of(0).0, 0.0);
            assert_eq!(plan.share_of(n_runs - 1).1, 1.0);
            assert_eq!(plan.runs[0].recipe.seed, 7);
        }
    }

    #[test]
    fn file_names_tell_the_runs_apart() {
        let plan = Plan::new(Profile::Full, 1);
        let mut stems: Vec<String> = plan.runs.iter().map(RunPlan::file_stem).collect();
        stems.sort();
        stems.dedup();
        assert_eq!(stems.len(), 12);
    }
}
