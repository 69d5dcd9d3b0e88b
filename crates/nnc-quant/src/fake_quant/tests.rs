//! Quantization-aware training from end to end.
#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::model::Model as _;
use nnc_core::network::{Conv, Network};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{Step, VarSource};
use nnc_core::train::{
    Callback, Checkpoint, CrossEntropy, Fit, FitConfig, Learner, Optimizer, OptimizerConfig, Schedule,
    StepEnd, Summary, Trainee, fit,
};
use nnc_core::weight::{Values, WeightTensor as _};
use nnc_core::{Error, Result};

use super::*;
use crate::affine::QuantConfig;
use crate::calibrate::{Calibration, calibrate};
use crate::fold::{FoldedSource, plan};
use crate::observer::RangeMethod;

/// Noise with a bright quarter that tells the class.
fn data() -> Dataset {
    let mut rng = Rng::keyed(5, "images", &[]);
    let labels: Vec<u8> = (0..96).map(|i| i % 4).collect();
    let mut images = Vec::new();
    for &label in &labels {
        for pixel in 0..64 {
            let quarter = 2 * (pixel / 32) + pixel % 8 / 4;
            images.push((rng.below(100) + if quarter == usize::from(label) { 80 } else { 0 }) as u8);
        }
    }
    Dataset::new(images, labels, [1, 8, 8], 4).unwrap()
}

fn network() -> (Network, Params) {
    let (network, specs) = Network::builder()
        .input("image", &[1, 8, 8])
        .conv2d("conv", Conv::new(6, 3).without_bias())
        .batch_norm("bn")
        .relu("relu1")
        .max_pool2d("pool", Pool2dConfig::square(2))
        .flatten("flatten")
        .linear("ip1", 24)
        .relu("relu2")
        .linear("ip2", 4)
        .output("logits")
        .build()
        .unwrap();
    (network, specs.init(3, &Device::Cpu).unwrap())
}

/// The folded network with fake-quantized weights and activations.
fn quantized(bits: u32, range: ActivationRange) -> Trainee {
    let (network, params) = network();
    let plan = plan(&network).unwrap();
    let folded = FoldedSource::new(VarSource::new(&params).unwrap(), plan.folds).unwrap();
    let source = FakeQuantSource::matching(folded, &["*.weight"], WeightQuant::per_channel(bits)).unwrap();
    let mut trainee = Trainee::new(plan.network, source);
    let sites = hang(&mut trainee.taps, &trainee.network, &["*"], QuantConfig::affine(bits), range).unwrap();
    assert_eq!(sites, ["image", "pool", "relu2", "ip2"]);
    trainee
}

fn moving() -> ActivationRange {
    ActivationRange::Moving { momentum: 0.2, quantize_from: 4, freeze_at: 12 }
}

/// Cancels at a step of the whole run.
#[derive(Debug)]
struct CancelAt(Option<usize>);

impl<L: Learner + ?Sized> Callback<L> for CancelAt {
    fn on_step(&mut self, _learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        if Some(event.n_steps_done) == self.0 { Err(Error::Cancelled) } else { Ok(()) }
    }
}

fn train(
    trainee: &mut Trainee,
    checkpoint: Option<&Checkpoint>,
    cancel_at: Option<usize>,
) -> Result<Summary> {
    let data = data();
    let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(16, 2))?;
    let loss = CrossEntropy::new("logits");
    let config = FitConfig {
        seed: 11,
        n_epochs: 5,
        schedule: Schedule::Cosine { lr: 0.1, end: 0.0, warmup: 0.0 },
        optimizer: OptimizerConfig::sgd(1e-4),
        clip_norm: None,
    };
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint };
    fit(trainee, &run, &mut [&mut CancelAt(cancel_at)])
}

fn images(n: usize) -> Tensor {
    let mut rng = Rng::keyed(8, "test", &[]);
    let values: Vec<f32> = (0..n * 64).map(|_| rng.uniform_in(-2.0, 2.0)).collect();
    Tensor::from_vec(values, (n, 1, 8, 8), &Device::Cpu).unwrap()
}

fn logits(trainee: &Trainee) -> Vec<Vec<f32>> {
    let outputs = trainee.outputs(&images(7), &["logits"], &Step::eval()).unwrap();
    outputs.get("logits").unwrap().to_vec2().unwrap()
}

#[test]
fn a_quantized_network_learns_and_is_stored_as_it_was_trained() {
    let mut trainee = quantized(4, moving());
    let losses = train(&mut trainee, None, None).unwrap().epoch_losses;
    assert!(losses[4] < 0.5 * losses[0], "{losses:?}");
    // What is stored, run with the same activations, gives the same bits.
    let mut stored = Params::new();
    for name in trainee.network.param_names() {
        let weight = trainee.source.freeze(&name).unwrap();
        assert_eq!(matches!(weight.values(), Values::Affine(_)), name.ends_with("weight"), "{name}");
        stored.insert(&name, ParamKind::guess(&name, weight.shape()), weight.to_dense(&Device::Cpu).unwrap());
    }
    let mut exported = quantized(4, moving());
    exported.source = Box::new(VarSource::new(&stored).unwrap());
    exported.taps.load_state(&trainee.taps.state().unwrap()).unwrap();
    assert_eq!(logits(&exported), logits(&trainee));
}

#[test]
fn an_interrupted_and_resumed_training_equals_an_uninterrupted_one() {
    let mut whole = quantized(8, moving());
    train(&mut whole, None, None).unwrap();
    // Six steps an epoch: before quantization begins, while it averages, after it has frozen.
    for cancel_at in [3, 8, 20] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path().join("run.safetensors"), "key");
        let cancelled = train(&mut quantized(8, moving()), Some(&checkpoint), Some(cancel_at));
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        let mut resumed = quantized(8, moving());
        train(&mut resumed, Some(&checkpoint), None).unwrap();
        let bytes = |trainee: &Trainee| trainee.state().unwrap().to_safetensors().unwrap();
        assert!(bytes(&resumed) == bytes(&whole) && logits(&resumed) == logits(&whole), "{cancel_at}");
    }
}

#[test]
fn a_quantized_training_is_the_same_bits_for_every_thread_count() {
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let mut trainee = quantized(8, moving());
            train(&mut trainee, None, None).unwrap();
            trainee.state().unwrap().to_safetensors().unwrap()
        })
    };
    assert!(run(1) == run(3));
}

/// Post-training: float, calibrate, quantize. Sixteen bits keep the outputs within 1e-4 of the largest.
#[test]
fn sixteen_bits_everywhere_give_the_float_network() {
    let (float, params) = network();
    let float = Trainee::new(float, VarSource::new(&params).unwrap());
    let expected = logits(&float);
    let calibration = Calibration::new(&float.network, &["*"], RangeMethod::MinMax).unwrap();
    calibrate(&float.network, &*float.source, &calibration, [Ok(images(7))]).unwrap();
    for (bits, bound) in [(16, 1e-4), (8, 0.05)] {
        let (network, params) = network();
        let quant = WeightQuant::per_channel(bits);
        let source = FakeQuantSource::matching(VarSource::new(&params).unwrap(), &["*"], quant).unwrap();
        let mut trainee = Trainee::new(network, source);
        let config = QuantConfig::affine(bits);
        hang_calibrated(&mut trainee.taps, &calibration.intervals(&config).unwrap(), config).unwrap();
        let scale = expected.iter().flatten().fold(0_f32, |scale, x| scale.max(x.abs()));
        for (x, y) in expected.iter().flatten().zip(logits(&trainee).iter().flatten()) {
            assert!((x - y).abs() <= bound * scale, "{bits} bits: {x} became {y} of {scale}");
        }
    }
}
