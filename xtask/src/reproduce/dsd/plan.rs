//! What is trained, how long, from which seeds.

use anyhow::Result;
use nnc_core::data::Dataset;
use nnc_core::network::{Network, zoo};
use nnc_core::params::ParamSpecs;
use serde_json::{Value, json};

use crate::experiment::Profile;

/// The share of each weight that is pruned: the paper's typical one.
pub(super) const SPARSITY: f64 = 0.3;

/// Training images of a smoke run.
const SMOKE_IMAGES: usize = 5_000;

/// A network that is small enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    LeNet300,
    LeNet5,
}

impl Model {
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

    pub(super) fn lr(self) -> f64 {
        match self {
            Self::LeNet300 => 0.05,
            Self::LeNet5 => 0.02,
        }
    }

    pub(super) fn weight_decay(self) -> f64 {
        match self {
            Self::LeNet300 => 1e-4,
            Self::LeNet5 => 5e-4,
        }
    }

    /// How long an epoch takes, against the other's; for the progress bar only.
    pub(super) fn epoch_cost(self) -> f64 {
        match self {
            Self::LeNet300 => 1.0,
            Self::LeNet5 => 6.0,
        }
    }
}

/// One network and its seeds.
#[derive(Debug)]
pub(super) struct ModelPlan {
    pub(super) model: Model,
    /// Epochs of each of the three phases.
    pub(super) n_epochs: usize,
    pub(super) seeds: Vec<u64>,
}

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) n_training_images: Option<usize>,
    pub(super) models: Vec<ModelPlan>,
}

impl Plan {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        let model = |model, n_epochs, n_seeds: u64| ModelPlan {
            model,
            n_epochs,
            seeds: (0..n_seeds).map(|i| seed.wrapping_add(i)).collect(),
        };
        let models = match profile {
            Profile::Smoke => vec![model(Model::LeNet300, 1, 1), model(Model::LeNet5, 1, 1)],
            Profile::Quick => vec![model(Model::LeNet300, 4, 3)],
            Profile::Full => vec![model(Model::LeNet300, 10, 5), model(Model::LeNet5, 6, 3)],
        };
        let n_training_images = (profile == Profile::Smoke).then_some(SMOKE_IMAGES);
        Self { profile, n_training_images, models }
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        let model = |plan: &ModelPlan| {
            let ModelPlan { model, n_epochs, seeds } = plan;
            json!({
                "model": model.name(), "n_epochs": n_epochs, "seeds": seeds, "lr": model.lr(),
                "weight_decay": model.weight_decay(),
            })
        };
        let models: Vec<Value> = self.models.iter().map(model).collect();
        json!({ "models": models, "sparsity": SPARSITY, "n_training_images": self.n_training_images })
    }

    /// The work of all training, in epochs of LeNet-300-100.
    pub(super) fn cost(&self) -> f64 {
        // Three phases, the control's three (its first is only loaded), and one run as long.
        let epochs = |plan: &ModelPlan| 9.0 * (plan.n_epochs * plan.seeds.len()) as f64;
        self.models.iter().map(|plan| plan.model.epoch_cost() * epochs(plan)).sum()
    }
}
