//! Prunes a model written in candle: its `VarMap` in, four fifths of its weights out, retrained, and back into the map.
//!
//! `cargo run --release -p nnc-prune --example prune_candle_model`
#![allow(clippy::print_stdout, reason = "an example reports what it did")]

use std::collections::HashMap;

use nnc_core::Result;
use nnc_core::candle::{DType, Device, Tensor};
use nnc_core::candle_nn::{self, Linear, Module, VarBuilder, VarMap};
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::{Model, Outputs};
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_core::source::{ParamSource, Step, Trainable, VarSource};
use nnc_core::train::{CrossEntropy, Fit, FitConfig, Learner, OptimizerConfig, Schedule, fit};
use nnc_prune::importance::magnitude::magnitude;
use nnc_prune::{Gradient, MaskedSource, Masks, select};

/// The model as its author wrote it: nothing in it knows of nnc.
struct Mlp {
    ip1: Linear,
    ip2: Linear,
}

impl Mlp {
    fn new(vb: &VarBuilder<'_>) -> nnc_core::candle::Result<Self> {
        Ok(Self {
            ip1: candle_nn::linear(64, 48, vb.pp("ip1"))?,
            ip2: candle_nn::linear(48, 4, vb.pp("ip2"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> nnc_core::candle::Result<Tensor> {
        self.ip2.forward(&self.ip1.forward(&x.flatten_from(1)?)?.relu()?)
    }
}

/// The same model on parameters from a source, so that masks come between.
#[derive(Debug)]
struct Sourced<S>(S);

impl<S: ParamSource> Model for Sourced<S> {
    fn outputs(&self, input: &Tensor, want: &[&str], step: &Step) -> Result<Outputs> {
        let mut served = HashMap::new();
        for (name, _) in self.0.names() {
            served.insert(name.clone(), self.0.get(&name, step)?);
        }
        let model = Mlp::new(&VarBuilder::from_tensors(served, DType::F32, &Device::Cpu))?;
        let mut outputs = Outputs::new();
        outputs.push("logits", model.forward(input)?);
        outputs.select(want)
    }
}

impl<S: ParamSource> Learner for Sourced<S> {
    fn trainables(&self) -> Vec<Trainable> {
        self.0.trainables()
    }

    fn state(&self) -> Result<Params> {
        self.0.state()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.0.load_state(state)
    }
}

/// Noise of 8 × 8 pixels with a bright quarter that tells the class.
fn data(n: usize, seed: u64) -> Result<Dataset> {
    let mut rng = Rng::keyed(seed, "images", &[]);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for label in (0..4_u8).cycle().take(n) {
        for pixel in 0..64 {
            let quarter = 2 * (pixel / 32) + pixel % 8 / 4;
            let light = if quarter == usize::from(label) { 40 } else { 0 };
            images.push(u8::try_from(rng.below(200) + light).unwrap_or(u8::MAX));
        }
        labels.push(label);
    }
    Dataset::new(images, labels, [1, 8, 8], 4)
}

fn train<S: ParamSource>(model: &mut Sourced<S>, data: &Dataset, lr: f64) -> Result<()> {
    let batches = Batches::new(data, &Normalization::of(data), BatchConfig::training(32, 1))?;
    let loss = CrossEntropy::new("logits");
    let config = FitConfig {
        seed: 1,
        n_epochs: 10,
        schedule: Schedule::Cosine { lr, end: 0.0, warmup: 0.0 },
        optimizer: OptimizerConfig::sgd(1e-4),
        clip_norm: None,
    };
    fit(model, &Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: None }, &mut [])?;
    Ok(())
}

/// Errors of the author's model on the variables of `map`.
fn evaluate(map: &VarMap, data: &Dataset) -> Result<ErrorCount> {
    let model = Mlp::new(&VarBuilder::from_varmap(map, DType::F32, &Device::Cpu))?;
    let batches = Batches::new(data, &Normalization::of(data), BatchConfig::evaluation(100))?;
    let mut errors = ErrorCount::default();
    for batch in batches.epoch(0).iter(&Device::Cpu) {
        let batch = batch?;
        errors.add(&model.forward(&batch.images)?, &batch.labels)?;
    }
    Ok(errors)
}

fn main() -> Result<()> {
    let (training, test) = (data(2000, 1)?, data(1000, 2)?);
    // The author's variables, drawn by candle as the model asks for them.
    let map = VarMap::new();
    Mlp::new(&VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;

    let mut dense = Sourced(VarSource::new(&Params::from_varmap(&map)?)?);
    train(&mut dense, &training, 0.05)?;
    dense.0.snapshot()?.assign_to(&map)?;
    println!("dense:              {}", evaluate(&map, &test)?);

    let masks = Masks::new();
    let params = Params::from_varmap(&map)?;
    for name in ["ip1.weight", "ip2.weight"] {
        let weight = params.tensor(name)?;
        masks.set(name, select::level(&magnitude(weight)?, weight.dims(), 0.8)?)?;
    }
    let mut pruned = Sourced(MaskedSource::new(VarSource::new(&params)?, masks, Gradient::Masked)?);
    pruned.0.snapshot()?.assign_to(&map)?;
    println!("pruned by 80 %:     {}", evaluate(&map, &test)?);

    train(&mut pruned, &training, 0.02)?;
    pruned.0.snapshot()?.assign_to(&map)?;
    println!("pruned, retrained:  {}", evaluate(&map, &test)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() {
        super::main().unwrap();
    }
}
