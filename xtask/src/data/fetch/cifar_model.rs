//! Trained weights for [`zoo::cifar_cnn`]: Keras' HDF5 in the Python package, safetensors in the folder.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nnc_core::candle::{Device, Tensor};
use nnc_core::data::Normalization;
use nnc_core::model::Model as _;
use nnc_core::network::{Network, zoo};
use nnc_core::params::{ParamSpec, Params};
use nnc_core::source::{Step, VarSource};
use nnc_core::train::Trainee;

use super::client::{Client, Package};
use super::{Source, read};
use crate::data::hdf5::Hdf5;

/// The folder's only file beside its manifest.
const FILE: &str = "cifar-cnn.safetensors";
/// The package's file.
const KERAS_FILE: &str = "cifar_10_model/trained_models/cnn_model.h5";

/// The logits of [`pattern`], by NumPy 2.4.6 in 64-bit floats from the package's file (`logits.py` beside `tiny_h5.py`), and
/// the last layer's relu.
const PATTERN_LOGITS: [f32; 10] =
    [6.787_026, 3.856_141_5, 2.842_629, 4.324_19, 0.0, 1.874_512_8, 4.050_866_6, 0.0, 0.628_978, 2.563_736];

/// The trained network.
pub(super) const SOURCE: Source = Source {
    name: "cifar-10-model",
    about: "a convolutional network for CIFAR-10, 80.14 % of the test set right, 4 MB; BSD-3 or MIT (its metadata names both)",
    package: Package {
        client: Client::Pip,
        name: "cifar-10-model",
        version: "7.4.0",
        sha256: "bf1d74404875d39bb874df97d7b924b98af81e85c4bccb6091ef3a115dd9920a",
    },
    sources: &[(KERAS_FILE, "0eddc60b9fcbcab498ff07c8430a94ef1d0ee5ac04ad2d0c75d4977cc25cf9e9")],
    files: &[(FILE, "3838e7b034f2693604003bcc17cdc52ef7f8a93608a2375d3c5f157e43f5f478")],
    convert,
    check,
};

fn convert(from: &Path, to: &Path) -> Result<()> {
    let bytes = read(from, KERAS_FILE)?;
    let file = Hdf5::open(&bytes)?;
    let mut params = Params::new();
    for spec in &zoo::cifar_cnn()?.1 {
        params.insert(&spec.name, spec.kind, tensor(&file, spec)?);
    }
    let path = to.join(FILE);
    fs::write(&path, params.to_safetensors()?).with_context(|| path.display().to_string())
}

/// One parameter out of Keras' file, in our order of axes.
fn tensor(file: &Hdf5<'_>, spec: &ParamSpec) -> Result<Tensor> {
    let path =
        keras_path(&spec.name).with_context(|| format!("{} has no layer in Keras' file", spec.name))?;
    let array = file.array(&path)?;
    let tensor = Tensor::from_vec(array.values, array.shape, &Device::Cpu)?;
    let tensor = match tensor.rank() {
        // (height, width, in, out) and (in, out).
        4 => tensor.permute((3, 2, 0, 1))?,
        2 => tensor.t()?,
        _ => tensor,
    };
    ensure!(tensor.dims() == spec.shape, "{path}: expected {:?}, found {:?}", spec.shape, tensor.dims());
    Ok(tensor.contiguous()?)
}

/// Where Keras has the parameter: `conv3.weight` is the kernel of its third convolution, `conv2d_2`.
fn keras_path(name: &str) -> Option<String> {
    let (node, what) = name.split_once('.')?;
    let digit = node.find(|c: char| c.is_ascii_digit())?;
    let (layer, norm) = match &node[..digit] {
        "conv" => ("conv2d", false),
        "bn" => ("batch_normalization", true),
        "fc" => ("dense", false),
        _ => return None,
    };
    let number: usize = node[digit..].parse().ok()?;
    let layer = match number.checked_sub(1)? {
        0 => layer.to_owned(),
        n => format!("{layer}_{n}"),
    };
    let what = match what {
        "weight" => {
            if norm {
                "gamma"
            } else {
                "kernel"
            }
        }
        "bias" => {
            if norm {
                "beta"
            } else {
                "bias"
            }
        }
        "running_mean" => "moving_mean",
        "running_var" => "moving_variance",
        _ => return None,
    };
    Some(format!("model_weights/{layer}/{layer}/{what}:0"))
}

/// The weights fit the network, and it computes what the package's does.
fn check(folder: &Path) -> Result<String> {
    let (network, params, _) = load(folder)?;
    let trainee = Trainee::new(network, VarSource::new(&params)?);
    let outputs = trainee.outputs(&pattern()?, &["logits"], &Step::eval())?;
    let logits = outputs.get("logits")?.flatten_all()?.to_vec1::<f32>()?;
    let near = logits.iter().zip(PATTERN_LOGITS).all(|(got, expected)| (got - expected).abs() <= 1e-3);
    ensure!(near, "expected the logits {PATTERN_LOGITS:?} of the pattern, found {logits:?}");
    Ok(format!("right; {} weights, biases and statistics of zoo::cifar_cnn", params.count()))
}

/// The trained network in `folder`, what it holds, and how images become its numbers: pixels from 0 to 255.
///
/// # Errors
/// When the file is missing, malformed or of another network.
pub(super) fn load(folder: &Path) -> Result<(Network, Params, Normalization)> {
    let (network, specs) = zoo::cifar_cnn()?;
    let params = Params::load(folder.join(FILE), &Device::Cpu)?.declared(&specs)?;
    Ok((network, params, Normalization::new(vec![0.0; 3], vec![1.0 / 255.0; 3])?))
}

/// An image that a formula gives.
fn pattern() -> Result<Tensor> {
    let pixel = |i: u32| ((i / 1024 * 85 + i / 32 % 32 * 8 + i % 32 * 3) % 256) as f32;
    Ok(Tensor::from_vec((0..3072).map(pixel).collect::<Vec<_>>(), (1, 3, 32, 32), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_has_its_place_in_keras_file() {
        for (name, path) in [
            ("conv1.weight", "model_weights/conv2d/conv2d/kernel:0"),
            ("conv6.bias", "model_weights/conv2d_5/conv2d_5/bias:0"),
            ("bn2.weight", "model_weights/batch_normalization_1/batch_normalization_1/gamma:0"),
            ("bn1.running_var", "model_weights/batch_normalization/batch_normalization/moving_variance:0"),
            ("fc3.weight", "model_weights/dense_2/dense_2/kernel:0"),
        ] {
            assert_eq!(keras_path(name).as_deref(), Some(path));
        }
        let specs = zoo::cifar_cnn().unwrap().1;
        assert!(specs.iter().all(|spec| keras_path(&spec.name).is_some()));
        assert_eq!(
            [keras_path("conv0.weight"), keras_path("relu1.weight"), keras_path("fc1.slope")],
            [None, None, None]
        );
    }
}
