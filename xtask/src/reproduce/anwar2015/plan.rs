//! Which levels and rates, and how much of each in which profile.

use anyhow::Result;
use nnc_core::data::Dataset;
use nnc_core::network::{Network, zoo};
use nnc_core::params::{ParamSpecs, Params};
use nnc_prune::Granularity;
use nnc_prune::particle::{Layer, ParticleConfig};
use serde_json::{Value, json};

use crate::experiment::Profile;

/// The first learning rate of the dense network; retraining begins at a quarter of it.
pub(super) const LR: f64 = 0.02;

/// Weight decay of all training.
pub(super) const WEIGHT_DECAY: f64 = 5e-4;

/// Training images of a smoke run.
const SMOKE_IMAGES: usize = 5_000;

/// Images of a batch that candidates are judged on.
pub(super) const SEARCH_BATCH: usize = 250;

/// LeNet-5 for images and classes like `data`'s.
pub(super) fn network(data: &Dataset) -> Result<(Network, ParamSpecs)> {
    let config = zoo::LeNetConfig { image: data.shape(), classes: data.n_classes(), dropout: None };
    Ok(zoo::lenet_5(&config)?)
}

/// How masks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Particle,
    Magnitude,
    /// By chance, by the number of the draw.
    Random(u64),
}

impl Method {
    pub(super) fn name(self) -> String {
        match self {
            Self::Particle => "particle".to_owned(),
            Self::Magnitude => "magnitude".to_owned(),
            Self::Random(draw) => format!("random-{draw}"),
        }
    }
}

/// A level and a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// In metrics and file names.
    pub(super) name: &'static str,
    pub(super) granularity: Granularity,
    /// Weights and the share of groups pruned, none where the granularity fixes it.
    pub(super) weights: &'static [(&'static str, Option<f64>)],
}

/// Half of the maps of both convolutions, three quarters of the second's, and so on. The first convolution reads one map: its
/// kernels are its filters, and the search over its taps has one choice only.
#[rustfmt::skip]
const SETTINGS: [Setting; 6] = [
    Setting { name: "maps-50", granularity: Granularity::Filter, weights: &[("conv1.weight", Some(0.5)), ("conv2.weight", Some(0.5))] },
    Setting { name: "kernels-70", granularity: Granularity::Kernel, weights: &[("conv2.weight", Some(0.7))] },
    Setting { name: "taps-2", granularity: Granularity::Strided { stride: 2 }, weights: &[("conv1.weight", None), ("conv2.weight", None)] },
    Setting { name: "maps-75", granularity: Granularity::Filter, weights: &[("conv1.weight", Some(0.5)), ("conv2.weight", Some(0.75))] },
    Setting { name: "kernels-85", granularity: Granularity::Kernel, weights: &[("conv2.weight", Some(0.85))] },
    Setting { name: "taps-3", granularity: Granularity::Strided { stride: 3 }, weights: &[("conv1.weight", None), ("conv2.weight", None)] },
];

impl Setting {
    /// The space that is searched.
    pub(super) fn layers(&self, params: &Params) -> nnc_core::Result<Vec<Layer>> {
        let layer = |&(name, sparsity): &(&str, Option<f64>)| {
            Layer::new(name, params.tensor(name)?.dims(), self.granularity, sparsity)
        };
        self.weights.iter().map(layer).collect()
    }
}

/// The whole experiment in one profile.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) n_training_images: Option<usize>,
    pub(super) n_dense_epochs: usize,
    pub(super) n_retraining_epochs: usize,
    /// Batches of validation images that candidates are judged on.
    pub(super) n_search_batches: usize,
    pub(super) n_particles: usize,
    pub(super) n_rounds: usize,
    /// Random masks a setting.
    pub(super) n_random: u64,
    pub(super) settings: &'static [Setting],
}

impl Plan {
    pub(super) fn new(profile: Profile) -> Self {
        let smoke = Self {
            profile,
            n_training_images: Some(SMOKE_IMAGES),
            n_dense_epochs: 2,
            n_retraining_epochs: 1,
            n_search_batches: 1,
            n_particles: 4,
            n_rounds: 2,
            n_random: 1,
            settings: &SETTINGS[..3],
        };
        match profile {
            Profile::Smoke => smoke,
            Profile::Quick => Self {
                n_training_images: None,
                n_dense_epochs: 3,
                n_search_batches: 4,
                n_particles: 16,
                n_rounds: 15,
                ..smoke
            },
            Profile::Full => Self {
                n_training_images: None,
                n_dense_epochs: 10,
                n_retraining_epochs: 3,
                n_search_batches: 8,
                n_particles: 30,
                n_rounds: 40,
                n_random: 3,
                settings: &SETTINGS,
                ..smoke
            },
        }
    }

    pub(super) fn particles(&self, seed: u64) -> ParticleConfig {
        ParticleConfig::new(seed, self.n_particles, self.n_rounds)
    }

    /// Everything that the result depends on beside seed, profile and data.
    pub(super) fn to_json(&self) -> Value {
        let settings: Vec<Value> = self
            .settings
            .iter()
            .map(|setting| {
                json!({
                    "name": setting.name, "granularity": setting.granularity.to_string(), "weights": setting.weights,
                })
            })
            .collect();
        let ParticleConfig { sharpness, exchanged, .. } = self.particles(0);
        json!({
            "settings": settings, "n_training_images": self.n_training_images, "n_dense_epochs": self.n_dense_epochs,
            "n_retraining_epochs": self.n_retraining_epochs, "n_search_batches": self.n_search_batches,
            "n_particles": self.n_particles, "n_rounds": self.n_rounds, "n_random": self.n_random,
            "sharpness": sharpness, "exchanged": exchanged, "lr": LR, "weight_decay": WEIGHT_DECAY,
        })
    }

    /// The work of one search, in epochs of training: a forward pass over an image costs a third of a training step's share.
    pub(super) fn search_cost(&self) -> f64 {
        let images = (self.n_search_batches * SEARCH_BATCH * self.n_particles * (self.n_rounds + 1)) as f64;
        images / 3.0 / self.n_training_images.unwrap_or(55_000) as f64
    }

    /// The work of everything.
    pub(super) fn cost(&self) -> f64 {
        let retrained = self.settings.len() as f64 * (2.0 + self.n_random as f64);
        self.n_dense_epochs as f64
            + retrained * self.n_retraining_epochs as f64
            + self.settings.len() as f64 * self.search_cost()
    }
}
