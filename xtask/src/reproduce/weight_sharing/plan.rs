//! What is run: networks × seeds, and for each of them bits × starts.

use anyhow::Result;
use nnc::recipe::{Recipe, Share};
use nnc_core::data::Dataset;
use nnc_core::network::{Network, zoo};
use nnc_core::params::ParamSpecs;
use nnc_quant::codebook::Init;
use serde_json::{Value, json};

use crate::experiment::Profile;

/// A network of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    LeNet300,
    LeNet5,
}

/// The starts, the paper's three and the exact optimum, with their names in metrics.
pub(super) const STARTS: [(Init, &str); 4] = [
    (Init::Linear, "linear"),
    (Init::Density, "density"),
    (Init::Forgy, "forgy"),
    (Init::Optimal, "optimal"),
];

/// One network with one seed.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) model: Model,
    /// The recipe of Deep Compression's experiment, whose widths and starts are replaced point by point.
    pub(super) recipe: Recipe,
}

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) n_training_images: Option<usize>,
    pub(super) bits: Vec<u32>,
    pub(super) subjects: Vec<Subject>,
}

/// The epochs of a profile that has no time for the recipe's own.
struct Effort {
    dense: usize,
    rounds: usize,
    round: usize,
    last: usize,
}

const SMOKE: Effort = Effort { dense: 2, rounds: 1, round: 1, last: 2 };
const QUICK: Effort = Effort { dense: 6, rounds: 2, round: 3, last: 6 };

impl Model {
    pub(super) const ALL: [Self; 2] = [Self::LeNet300, Self::LeNet5];

    /// The model's name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeNet300 => "lenet-300-100",
            Self::LeNet5 => "lenet-5",
        }
    }

    /// The network for images and classes like `data`'s.
    pub(super) fn build(self, data: &Dataset) -> Result<(Network, ParamSpecs)> {
        let config = zoo::LeNetConfig { image: data.shape(), classes: data.n_classes(), dropout: None };
        Ok(match self {
            Self::LeNet300 => zoo::lenet_300_100(&config)?,
            Self::LeNet5 => zoo::lenet_5(&config)?,
        })
    }

    /// How long an epoch takes, against the other's; for the progress bar only.
    fn epoch_cost(self) -> f64 {
        match self {
            Self::LeNet300 => 1.0,
            Self::LeNet5 => 6.0,
        }
    }

    fn recipe(self) -> Recipe {
        let text = match self {
            Self::LeNet300 => include_str!("../../../../crates/nnc/recipes/lenet-300-100.toml"),
            Self::LeNet5 => include_str!("../../../../crates/nnc/recipes/lenet-5.toml"),
        };
        Recipe::from_toml(text).expect("the recipes in the repository are right (tested)")
    }
}

impl Subject {
    fn new(model: Model, seed: u64, profile: Profile) -> Self {
        let mut recipe = Recipe { seed, ..model.recipe() };
        match profile {
            Profile::Smoke => SMOKE.apply(&mut recipe),
            Profile::Quick => QUICK.apply(&mut recipe),
            Profile::Full => return Self { model, recipe },
        }
        if let Some(sharing) = &mut recipe.sharing {
            sharing.phase.n_epochs = 1;
        }
        Self { model, recipe }
    }

    /// The recipe up to the pruned network.
    pub(super) fn without_sharing(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        recipe.sharing = None;
        recipe.layers.iter_mut().for_each(|layer| layer.share = None);
        recipe
    }

    /// The recipe with codes of `bits` bits in every layer that it shares, from the start `init`.
    pub(super) fn sharing(&self, bits: u32, init: Init) -> Recipe {
        let mut recipe = self.recipe.clone();
        for layer in recipe.layers.iter_mut().filter(|layer| layer.share.is_some()) {
            layer.share = Some(Share { bits, init });
        }
        recipe
    }

    fn n_epochs(&self) -> usize {
        let Recipe { training, retraining, .. } = &self.recipe;
        training.map_or(0, |phase| phase.n_epochs)
            + retraining
                .map_or(0, |r| (r.rounds - 1) * r.round.map_or(0, |round| round.n_epochs) + r.last.n_epochs)
    }

    fn n_sharing_epochs(&self) -> usize {
        self.recipe.sharing.map_or(0, |sharing| sharing.phase.n_epochs)
    }
}

impl Plan {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        let (n_seeds, n_training_images, bits) = match profile {
            Profile::Smoke => (1, Some(5_000), vec![2, 4]),
            Profile::Quick => (1, Some(15_000), vec![2, 3, 4, 5, 6, 8]),
            Profile::Full => (3, None, (2..=8).collect()),
        };
        let mut subjects = Vec::new();
        for model in Model::ALL {
            subjects
                .extend((seed..seed.saturating_add(n_seeds)).map(|seed| Subject::new(model, seed, profile)));
        }
        Self { profile, n_training_images, bits, subjects }
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        let recipes: Vec<&Recipe> = self.subjects.iter().map(|subject| &subject.recipe).collect();
        let starts = STARTS.map(|(_, name)| name);
        json!({
            "recipes": recipes,
            "bits": self.bits,
            "starts": starts,
            "n_training_images": self.n_training_images,
        })
    }

    pub(super) fn n_points(&self) -> usize {
        self.bits.len() * STARTS.len()
    }

    /// The part of a subject's work, in `[0, 1]`, that is done before its first point.
    pub(super) fn share_of_pruning(&self, subject: &Subject) -> f64 {
        let points = self.n_points() * (subject.n_sharing_epochs() + 1);
        subject.n_epochs() as f64 / (subject.n_epochs() + points) as f64
    }

    /// The part of the whole work, as a start and an end in `[0, 1]`, that the subject `idx` is.
    pub(super) fn share_of(&self, idx: usize) -> (f64, f64) {
        let work = |subjects: &[Subject]| -> f64 {
            let epochs =
                |subject: &Subject| subject.n_epochs() + self.n_points() * (subject.n_sharing_epochs() + 1);
            subjects.iter().map(|subject| subject.model.epoch_cost() * epochs(subject) as f64).sum()
        };
        let total = work(&self.subjects);
        (work(&self.subjects[..idx]) / total, work(&self.subjects[..=idx]) / total)
    }
}

impl Effort {
    fn apply(&self, recipe: &mut Recipe) {
        if let Some(phase) = &mut recipe.training {
            phase.n_epochs = self.dense;
        }
        if let Some(retraining) = &mut recipe.retraining {
            retraining.rounds = self.rounds;
            if let Some(round) = &mut retraining.round {
                round.n_epochs = self.round;
            }
            retraining.last.n_epochs = self.last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_plans_both_networks() {
        for (profile, n_subjects, n_points) in
            [(Profile::Smoke, 2, 8), (Profile::Quick, 2, 24), (Profile::Full, 6, 28)]
        {
            let plan = Plan::new(profile, 7);
            assert_eq!((plan.subjects.len(), plan.n_points()), (n_subjects, n_points));
            assert_eq!((plan.share_of(0).0, plan.share_of(n_subjects - 1).1), (0.0, 1.0));
            assert_eq!(plan.subjects[0].recipe.seed, 7);
        }
    }

    #[test]
    fn a_point_changes_widths_and_starts_and_nothing_else() {
        for subject in Plan::new(Profile::Full, 1).subjects {
            let point = subject.sharing(3, Init::Forgy);
            let shared: Vec<_> = point.layers.iter().filter_map(|layer| layer.share).collect();
            let before = subject.recipe.layers.iter().filter(|layer| layer.share.is_some()).count();
            assert_eq!(shared, vec![Share { bits: 3, init: Init::Forgy }; before]);
            assert_eq!(
                (point.training, point.retraining),
                (subject.recipe.training, subject.recipe.retraining)
            );
            assert_eq!(point.sharing, subject.recipe.sharing);
            assert!(subject.without_sharing().sharing.is_none());
            assert!(subject.without_sharing().layers.iter().all(|layer| layer.share.is_none()));
        }
    }
}
