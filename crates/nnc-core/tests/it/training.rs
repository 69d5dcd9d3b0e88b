//! The training loop: the same bits for a seed, whatever the threads, however often it is interrupted.

use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{Augment, BatchConfig, Batches, Dataset, Normalization};
use nnc_core::model::{Model, Outputs};
use nnc_core::network::{Conv, Network};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::{ParamKind, ParamSpecs, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{ParamSource, Step, Trainable, VarSource};
use nnc_core::train::{
    Callback, Checkpoint, CrossEntropy, EpochEnd, Fit, FitConfig, Flow, KeepBest, Learner, LossContext,
    LossTerm, Optimizer, OptimizerConfig, Schedule, StepEnd, Summary, Trainee, fit,
};
use nnc_core::{Error, Result};

/// Noise with a bright quarter that tells the class.
fn data() -> Dataset {
    let (n, side) = (96, 8);
    let mut rng = Rng::keyed(5, "images", &[]);
    let labels: Vec<u8> = (0..n).map(|i| (i % 4) as u8).collect();
    let mut images = Vec::new();
    for &label in &labels {
        for pixel in 0..side * side {
            let quarter = 2 * (pixel / side / 4) + pixel % side / 4;
            let bright = quarter == usize::from(label);
            images.push((rng.below(100) + if bright { 80 } else { 0 }) as u8);
        }
    }
    Dataset::new(images, labels, [1, side, side], 4).unwrap()
}

/// Every kind of state there is: convolution, batch norm's buffers, dropout's stream.
fn network() -> (Network, ParamSpecs) {
    Network::builder()
        .input("image", &[1, 8, 8])
        .conv2d("conv", Conv::new(6, 3))
        .batch_norm("bn")
        .relu("relu1")
        .max_pool2d("pool", Pool2dConfig::square(2))
        .flatten("flatten")
        .linear("ip1", 24)
        .relu("relu2")
        .dropout("drop", 0.3)
        .linear("ip2", 4)
        .output("logits")
        .build()
        .unwrap()
}

fn config(optimizer: OptimizerConfig, n_epochs: usize) -> FitConfig {
    let schedule = Schedule::Cosine { lr: 0.05, end: 0.0, warmup: 0.1 };
    FitConfig { seed: 11, n_epochs, schedule, optimizer, clip_norm: Some(2.0) }
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
    optimizer: OptimizerConfig,
    checkpoint: Option<&Checkpoint>,
    cancel_at: Option<usize>,
) -> Result<Params> {
    let data = data();
    let (network, specs) = network();
    let mut trainee = Trainee::new(network, VarSource::new(&specs.init(3, &Device::Cpu)?)?);
    let batches = BatchConfig { augment: Augment::jitter(1), ..BatchConfig::training(16, 2) };
    let batches = Batches::new(&data, &Normalization::of(&data), batches)?;
    let loss = CrossEntropy::new("logits");
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config: config(optimizer, 4), checkpoint };
    // A score by chance, so that the best epoch is seldom the last; it depends on the learner alone, as scores must.
    let mut best = KeepBest::new(|trainee: &Trainee| {
        let weight = trainee.source.get("ip2.weight", &Step::eval())?.sum_all()?.to_scalar::<f32>()?;
        Ok(f64::from(weight.to_bits() & 0xff))
    });
    fit(&mut trainee, &run, &mut [&mut best, &mut CancelAt(cancel_at)])?;
    trainee.source.snapshot()
}

fn bits(params: &Params) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: &Tensor| {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    params.iter().map(|param| (param.name.clone(), bits(&param.tensor))).collect()
}

const OPTIMIZERS: [fn() -> OptimizerConfig; 2] = [|| OptimizerConfig::sgd(1e-3), OptimizerConfig::adam];

#[test]
fn training_is_the_same_bits_for_every_thread_count() {
    for optimizer in OPTIMIZERS {
        let run = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            bits(&pool.install(|| train(optimizer(), None, None)).unwrap())
        };
        let one = run(1);
        for n_threads in 2..=4 {
            assert!(run(n_threads) == one, "{n_threads} threads, {:?}", optimizer());
        }
    }
}

#[test]
fn an_interrupted_and_resumed_run_equals_an_uninterrupted_one() {
    for optimizer in OPTIMIZERS {
        let whole = bits(&train(optimizer(), None, None).unwrap());
        // Six steps an epoch: within the first, at the end of one, just behind it, in the last.
        for cancel_at in [1, 6, 7, 23, 24] {
            let dir = tempfile::tempdir().unwrap();
            let checkpoint = Checkpoint::new(dir.path().join("run.safetensors"), "key");
            let cancelled = train(optimizer(), Some(&checkpoint), Some(cancel_at));
            assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
            let resumed = bits(&train(optimizer(), Some(&checkpoint), None).unwrap());
            assert!(resumed == whole, "cancelled at step {cancel_at}, {:?}", optimizer());
            // Once finished it is only loaded: a callback that would cancel the first step is never called.
            assert!(bits(&train(optimizer(), Some(&checkpoint), Some(1)).unwrap()) == whole);
        }
    }
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.safetensors");
    train(OptimizerConfig::sgd(0.0), Some(&Checkpoint::new(&path, "one")), None).unwrap();
    let error =
        train(OptimizerConfig::sgd(0.0), Some(&Checkpoint::new(&path, "two")), None).unwrap_err().to_string();
    assert!(error.contains("configuration two") && error.contains("got one"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.safetensors");
    let checkpoint = Checkpoint::new(&path, "key");
    train(OptimizerConfig::sgd(0.0), Some(&checkpoint), None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for n in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..n]).unwrap();
        assert!(train(OptimizerConfig::sgd(0.0), Some(&checkpoint), None).is_err(), "cut to {n} bytes");
    }
}

#[test]
fn the_best_epoch_is_what_remains() {
    #[derive(Debug)]
    struct Scores(Vec<f64>);
    let data = data();
    let (network, specs) = network();
    let mut trainee = Trainee::new(network, VarSource::new(&specs.init(3, &Device::Cpu).unwrap()).unwrap());
    let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(16, 2)).unwrap();
    let loss = CrossEntropy::new("logits");
    let config = config(OptimizerConfig::sgd(0.0), 3);
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: None };
    // A score that is no number must not stand in the way of those that are.
    let mut scores = Scores(vec![f64::NAN, 3.0, 3.0]);
    let mut seen = Vec::new();
    let mut best = KeepBest::new(|trainee: &Trainee| {
        seen.push(bits(&trainee.source.snapshot()?));
        Ok(scores.0.remove(0))
    });
    fit(&mut trainee, &run, &mut [&mut best]).unwrap();
    assert_eq!(best.best_score(), Some(3.0));
    // The first of equals: the second epoch, not the third.
    assert!(bits(&trainee.source.snapshot().unwrap()) == seen[1]);
}

#[test]
fn a_callback_can_end_the_run_early() {
    #[derive(Debug)]
    struct StopAfter(usize);
    impl<L: Learner + ?Sized> Callback<L> for StopAfter {
        fn on_epoch(&mut self, _: &mut L, _: &mut Optimizer, event: &EpochEnd) -> Result<Flow> {
            Ok(if event.n_epochs_done >= self.0 { Flow::Stop } else { Flow::Continue })
        }
    }
    let mut line = Line::new();
    let Summary { epoch_losses } = line.fit(5, &mut [&mut StopAfter(2)]);
    assert_eq!(epoch_losses.len(), 2);
}

/// A hand-written candle model: logits from the image's mean, two variables.
#[derive(Debug)]
struct Line(VarSource);

impl Line {
    fn new() -> Self {
        let mut params = Params::new();
        params.insert(
            "w",
            ParamKind::Weight,
            Tensor::zeros((1, 4), nnc_core::candle::DType::F32, &Device::Cpu).unwrap(),
        );
        params.insert(
            "b",
            ParamKind::Bias,
            Tensor::zeros(4, nnc_core::candle::DType::F32, &Device::Cpu).unwrap(),
        );
        Self(VarSource::new(&params).unwrap())
    }

    fn fit(&mut self, n_epochs: usize, callbacks: &mut [&mut dyn Callback<Self>]) -> Summary {
        let data = data();
        let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(16, 2)).unwrap();
        let loss = CrossEntropy::new("logits");
        let config = FitConfig { clip_norm: None, ..config(OptimizerConfig::sgd(0.0), n_epochs) };
        let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: None };
        fit(self, &run, callbacks).unwrap()
    }
}

impl Model for Line {
    fn outputs(&self, input: &Tensor, want: &[&str], step: &Step) -> Result<Outputs> {
        let mean = input.flatten_from(1)?.mean_keepdim(1)?;
        let logits = mean.broadcast_mul(&self.0.get("w", step)?)?.broadcast_add(&self.0.get("b", step)?)?;
        let mut outputs = Outputs::new();
        outputs.push("logits", logits);
        outputs.select(want)
    }
}

impl Learner for Line {
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

#[test]
fn a_hand_written_candle_model_is_trained_by_the_same_loop() {
    let mut line = Line::new();
    let losses = line.fit(3, &mut []).epoch_losses;
    assert_eq!(losses.len(), 3);
    assert!(line.0.var("w").unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
}

#[test]
fn terms_add_up_with_their_weights() {
    /// Half the squared weight, so that its gradient is the weight.
    #[derive(Debug)]
    struct Shrink;
    impl LossTerm for Shrink {
        fn want(&self) -> Vec<String> {
            Vec::new()
        }
        fn loss(&self, context: &LossContext<'_>) -> Result<Tensor> {
            Ok((context.trainables[0].var.sqr()?.sum_all()? * 0.5)?)
        }
    }
    let mut params = Params::new();
    params.insert("w", ParamKind::Weight, Tensor::new(&[[1_f32, 2.0, 3.0, 4.0]], &Device::Cpu).unwrap());
    params.insert("b", ParamKind::Bias, Tensor::new(&[0_f32; 4], &Device::Cpu).unwrap());
    let mut line = Line(VarSource::new(&params).unwrap());
    let data = data();
    // One batch, one step: w becomes w - lr (2 w + 3 w).
    let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(96, 2)).unwrap();
    let config = FitConfig {
        seed: 0,
        n_epochs: 1,
        schedule: Schedule::Constant { lr: 0.1 },
        optimizer: OptimizerConfig::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        clip_norm: None,
    };
    let run = Fit { batches: &batches, terms: &[(2.0, &Shrink), (3.0, &Shrink)], config, checkpoint: None };
    fit(&mut line, &run, &mut []).unwrap();
    let w = line.0.var("w").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(w, [0.5, 1.0, 1.5, 2.0]);
    let none = Fit { terms: &[], ..run };
    assert!(fit(&mut line, &none, &mut []).unwrap_err().to_string().contains("terms"));
    let steep = FitConfig { schedule: Schedule::Constant { lr: f64::NAN }, ..config };
    let heavy = FitConfig { optimizer: OptimizerConfig::sgd(-1.0), ..config };
    for (config, name) in [(steep, "lr"), (heavy, "weight_decay")] {
        let error = fit(&mut line, &Fit { config, ..run }, &mut []).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}
