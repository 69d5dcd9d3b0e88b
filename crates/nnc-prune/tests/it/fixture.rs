//! A small network on small data, trained under masks.

use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::network::{Conv, Network};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_core::source::VarSource;
use nnc_core::train::{
    Callback, Checkpoint, CrossEntropy, Fit, FitConfig, Learner, Optimizer, OptimizerConfig, Schedule,
    StepEnd, Trainee, fit,
};
use nnc_core::{Error, Result};
use nnc_prune::{Gradient, MaskedSource, Masks};

/// Batches of an epoch.
pub(crate) const STEPS_PER_EPOCH: usize = 6;

/// Epochs of a run.
pub(crate) const N_EPOCHS: usize = 3;

/// Noise with a bright quarter that tells the class.
pub(crate) fn data() -> Dataset {
    let mut rng = Rng::keyed(5, "images", &[]);
    let labels: Vec<u8> = (0..96).map(|i| (i % 4) as u8).collect();
    let mut images = Vec::new();
    for &label in &labels {
        for pixel in 0..64 {
            let bright = 2 * (pixel / 32) + pixel % 8 / 4 == usize::from(label);
            images.push((rng.below(100) + if bright { 80 } else { 0 }) as u8);
        }
    }
    Dataset::new(images, labels, [1, 8, 8], 4).unwrap()
}

/// Weights `conv.weight` (6, 1, 3, 3), `ip1.weight` (24, 54), `ip2.weight` (4, 24); dropout and batch norm have state of their own.
pub(crate) fn trainee(gradient: Gradient) -> (Trainee, Masks) {
    let (network, specs) = Network::builder()
        .input("image", &[1, 8, 8])
        .conv2d("conv", Conv::new(6, 3))
        .batch_norm("bn")
        .relu("relu1")
        .max_pool2d("pool", Pool2dConfig::square(2))
        .flatten("flatten")
        .linear("ip1", 24)
        .relu("relu2")
        .dropout("drop", 0.2)
        .linear("ip2", 4)
        .output("logits")
        .build()
        .unwrap();
    let masks = Masks::new();
    let source = VarSource::new(&specs.init(3, &Device::Cpu).unwrap()).unwrap();
    (Trainee::new(network, MaskedSource::new(source, masks.clone(), gradient).unwrap()), masks)
}

/// Adam, whose moments a rewind or a resume must bring back; the rate follows a cosine.
pub(crate) fn config() -> FitConfig {
    FitConfig {
        seed: 11,
        n_epochs: N_EPOCHS,
        schedule: Schedule::Cosine { lr: 0.01, end: 0.0, warmup: 0.0 },
        optimizer: OptimizerConfig::adam(),
        clip_norm: None,
    }
}

/// Trains as `config` says, from `checkpoint` if there is one.
pub(crate) fn train<L: Learner>(
    learner: &mut L,
    config: FitConfig,
    checkpoint: Option<&Checkpoint>,
    callbacks: &mut [&mut dyn Callback<L>],
) -> Result<()> {
    let data = data();
    let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(16, 2))?;
    let loss = CrossEntropy::new("logits");
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint };
    fit(learner, &run, callbacks).map(|_| ())
}

/// Everything that the learner saves, bit by bit.
pub(crate) fn bits(params: &Params) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: &Tensor| {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    params.iter().map(|param| (param.name.clone(), bits(&param.tensor))).collect()
}

/// The values of the variable behind `name`.
pub(crate) fn variable(learner: &impl Learner, name: &str) -> Vec<f32> {
    let trainables = learner.trainables();
    let var = &trainables.iter().find(|trainable| trainable.name == name).unwrap().var;
    var.flatten_all().unwrap().to_vec1().unwrap()
}

/// Cancels at a step of the whole run.
#[derive(Debug)]
pub(crate) struct CancelAt(pub(crate) Option<usize>);

impl<L: Learner + ?Sized> Callback<L> for CancelAt {
    fn on_step(&mut self, _learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        if Some(event.n_steps_done) == self.0 { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Calls `f` after each step.
pub(crate) struct EachStep<F>(pub(crate) F);

impl<F> std::fmt::Debug for EachStep<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EachStep")
    }
}

impl<L: Learner + ?Sized, F: FnMut(&mut L, &mut Optimizer, usize)> Callback<L> for EachStep<F> {
    fn on_step(&mut self, learner: &mut L, optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        (self.0)(learner, optimizer, event.n_steps_done);
        Ok(())
    }
}
