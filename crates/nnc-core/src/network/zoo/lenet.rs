//! The two LeNets of the compression papers.

use super::super::{Builder, Conv, Network};
use crate::Result;
use crate::ops::Pool2dConfig;
use crate::params::ParamSpecs;

/// What differs between uses of a LeNet; the default is MNIST without dropout.
#[derive(Debug, Clone, PartialEq)]
pub struct LeNetConfig {
    /// The shape of an image, `(C, H, W)`.
    pub image: [usize; 3],
    /// How many classes there are.
    pub classes: usize,
    /// The ratio of dropout behind each hidden linear layer (`drop1`, and `drop2` in LeNet-300-100), or none.
    /// Retraining gives each its own with [`Network::replace_op`].
    pub dropout: Option<f32>,
}

impl Default for LeNetConfig {
    fn default() -> Self {
        Self { image: [1, 28, 28], classes: 10, dropout: None }
    }
}

/// LeNet-300-100: 784-300-100-10 with relu, nodes `ip1`, `ip2`, `ip3`, output `logits`; 266,610 parameters.
///
/// # Errors
/// As [`Builder::build`], for a configuration that makes no network.
///
/// # Source
/// LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998, §III.C. We
/// differ as the compression papers do: relu for the hidden layers, and a linear layer of logits.
pub fn lenet_300_100(config: &LeNetConfig) -> Result<(Network, ParamSpecs)> {
    let b = Network::builder().input("image", &config.image).flatten("flatten");
    let b = dropout(b.linear("ip1", 300).relu("relu1"), "drop1", config);
    let b = dropout(b.linear("ip2", 100).relu("relu2"), "drop2", config);
    b.linear("ip3", config.classes).output("logits").build()
}

/// LeNet-5 in the Caffe variant, nodes `conv1`, `conv2`, `ip1`, `ip2`, output `logits`; 431,080 parameters.
///
/// Convolution 20@5×5, pooling 2×2, convolution 50@5×5, pooling 2×2, linear 500 with relu, linear 10; no relu
/// behind the convolutions.
///
/// # Errors
/// As [`Builder::build`], for a configuration that makes no network.
///
/// # Source
/// Caffe, `examples/mnist/lenet_train_test.prototxt`; the network that Han et al., NIPS 2015, table 4, call
/// LeNet-5.
pub fn lenet_5(config: &LeNetConfig) -> Result<(Network, ParamSpecs)> {
    let pool = Pool2dConfig { ceil_mode: true, ..Pool2dConfig::square(2) };
    let b = Network::builder()
        .input("image", &config.image)
        .conv2d("conv1", Conv::new(20, 5))
        .max_pool2d("pool1", pool)
        .conv2d("conv2", Conv::new(50, 5))
        .max_pool2d("pool2", pool)
        .flatten("flatten")
        .linear("ip1", 500)
        .relu("relu1");
    dropout(b, "drop1", config).linear("ip2", config.classes).output("logits").build()
}

fn dropout(b: Builder, name: &str, config: &LeNetConfig) -> Builder {
    match config.dropout {
        Some(ratio) => b.dropout(name, ratio),
        None => b,
    }
}
