//! Our operators on the inputs of `golden/ops.json`, whose outputs and gradients are PyTorch's.

use nnc_core::Result;
use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops::{self, Activation, Conv2dConfig, LrnConfig, Pool2dConfig};
use serde_json::Value;

use crate::ops_case::close;

fn numbers(value: &Value) -> Vec<f64> {
    value["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn tensor(value: &Value) -> Tensor {
    let shape: Vec<usize> =
        value["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
    let values: Vec<f32> = numbers(value).into_iter().map(|v| v as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Runs the operator that `case` names. The settings of convolution and pooling are read as our own types.
fn run(case: &Value, t: &[Tensor]) -> Result<Tensor> {
    let settings = &case["settings"];
    let float = |name: &str| settings[name].as_f64().unwrap() as f32;
    let vector = |name: &str| {
        let values: Vec<f32> = serde_json::from_value(settings[name].clone()).unwrap();
        Tensor::new(values, &Device::Cpu).unwrap()
    };
    let activation = if settings["relu"] == true { Activation::Relu } else { Activation::None };
    let conv = || serde_json::from_value::<Conv2dConfig>(settings.clone()).unwrap();
    let pool = || serde_json::from_value::<Pool2dConfig>(settings.clone()).unwrap();
    match case["op"].as_str().unwrap() {
        "linear" => ops::linear(&t[0], &t[1], Some(&t[2]), activation),
        "conv2d" => ops::conv2d(&t[0], &t[1], Some(&t[2]), &conv(), activation),
        "max_pool2d" => ops::max_pool2d(&t[0], &pool()),
        "avg_pool2d" => ops::avg_pool2d(&t[0], &pool()),
        "relu" => ops::relu(&t[0]),
        "relu6" => ops::relu6(&t[0]),
        "tanh" => ops::tanh(&t[0]),
        "sigmoid" => ops::sigmoid(&t[0]),
        "hard_swish" => ops::hard_swish(&t[0]),
        "abs" => ops::abs(&t[0]),
        "clip" => ops::clip(&t[0], float("low"), float("high")),
        "prelu" => ops::prelu(&t[0], &t[1]),
        "batch_norm_train" => Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], float("epsilon"))?.0),
        "batch_norm_eval" => {
            ops::batch_norm_eval(&t[0], &t[1], &t[2], &vector("mean"), &vector("variance"), float("epsilon"))
        }
        "local_response_norm" => {
            ops::local_response_norm(&t[0], &serde_json::from_value::<LrnConfig>(settings.clone()).unwrap())
        }
        "softmax" => ops::softmax(&t[0]),
        "log_softmax" => ops::log_softmax(&t[0]),
        "softmax_cross_entropy" => {
            let labels: Vec<u32> = serde_json::from_value(settings["labels"].clone()).unwrap();
            ops::softmax_cross_entropy(&t[0], &Tensor::new(labels, &Device::Cpu).unwrap())
        }
        other => panic!("the golden file has an operator `{other}` that the test does not know"),
    }
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    let file: Value = serde_json::from_str(include_str!("golden/ops.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let name = format!("{} {}", case["op"], case["settings"]);
        let vars: Vec<Var> = case["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| Var::from_tensor(&tensor(v)).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = run(case, &tensors).unwrap();
        close(&name, &y, &numbers(&case["output"]));
        let up = tensor(&case["up"]).reshape(y.shape()).unwrap();
        let gradients = ops::backward(&(y * up).unwrap().sum_all().unwrap()).unwrap();
        for (var, expected) in vars.iter().zip(case["gradients"].as_array().unwrap()) {
            close(&format!("{name}: gradient"), gradients.get(var).unwrap(), &numbers(expected));
        }
    }
}
