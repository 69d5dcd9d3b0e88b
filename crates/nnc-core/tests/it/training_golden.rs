//! The training loop against PyTorch: losses and parameters of `golden/training.json` after ten steps.

use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::network::Network;
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::{ParamSource, VarSource};
use nnc_core::train::{CrossEntropy, Fit, FitConfig, OptimizerConfig, Schedule, Trainee, fit};
use serde_json::Value;

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

fn params(value: &Value) -> Params {
    let mut params = Params::new();
    // JSON objects come in any order; the network's is this.
    for name in ["ip1.weight", "ip1.bias", "ip2.weight", "ip2.bias"] {
        let shape: Vec<usize> = list(&value[name]["shape"]);
        let tensor = Tensor::from_vec(list::<f32>(&value[name]["values"]), shape, &Device::Cpu).unwrap();
        params.insert(name, ParamKind::guess(name, tensor.dims()), tensor);
    }
    params
}

/// The losses of the epochs and the parameters after the last.
fn train(golden: &Value, case: &Value) -> (Vec<f64>, Params) {
    let data = Dataset::new(list(&golden["pixels"]), list(&golden["labels"]), [1, 2, 3], 3).unwrap();
    let normalization = Normalization::new(vec![0.5], vec![0.25]).unwrap();
    let batch_size = golden["batch_size"].as_u64().unwrap() as usize;
    let batches = Batches::new(&data, &normalization, BatchConfig::evaluation(batch_size)).unwrap();
    let (network, _) = Network::builder()
        .input("image", &[1, 2, 3])
        .flatten("flatten")
        .linear("ip1", 5)
        .relu("relu1")
        .linear("ip2", 3)
        .output("logits")
        .build()
        .unwrap();
    let mut trainee = Trainee::new(network, VarSource::new(&params(&golden["start"])).unwrap());
    let optimizer: OptimizerConfig = serde_json::from_value(case["optimizer"].clone()).unwrap();
    let config = FitConfig {
        seed: 0,
        n_epochs: golden["n_epochs"].as_u64().unwrap() as usize,
        schedule: Schedule::Constant { lr: golden["lr"].as_f64().unwrap() },
        optimizer,
        clip_norm: case["clip_norm"].as_f64(),
    };
    let loss = CrossEntropy::new("logits");
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: None };
    let summary = fit(&mut trainee, &run, &mut []).unwrap();
    (summary.epoch_losses, trainee.source.snapshot().unwrap())
}

#[test]
fn ten_steps_end_where_pytorch_ends() {
    let golden: Value = serde_json::from_str(include_str!("golden/training.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let what = format!("{} clipped to {}", case["optimizer"], case["clip_norm"]);
        let (losses, trained) = train(&golden, case);
        let near = |got: f64, expected: f64, of: &str| {
            assert!((got - expected).abs() < 1e-5, "{what}, {of}: expected {expected}, got {got}");
        };
        for (got, expected) in losses.iter().zip(list::<f64>(&case["epoch_losses"])) {
            near(*got, expected, "loss");
        }
        for param in &params(&case["params"]) {
            let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (got, expected) in flat(trained.tensor(&param.name).unwrap()).iter().zip(flat(&param.tensor))
            {
                near(f64::from(*got), f64::from(expected), &param.name);
            }
        }
    }
}
