//! AlexNet and VGG-16.

use super::super::{Builder, Conv, Network, Op};
use crate::Result;
use crate::ops::Pool2dConfig;
use crate::params::ParamSpecs;

/// What differs between uses of an ImageNet network; the default is 1000 classes with dropout 0.5.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageNetConfig {
    /// How many classes there are.
    pub classes: usize,
    /// The ratio of dropout behind `fc6` and `fc7` (`drop6`, `drop7`), or none.
    pub dropout: Option<f32>,
}

impl Default for ImageNetConfig {
    fn default() -> Self {
        Self { classes: 1000, dropout: Some(0.5) }
    }
}

/// AlexNet on `(3, 227, 227)`, with groups and local response normalisation, output `logits`; 60,965,224
/// parameters.
///
/// # Errors
/// As [`Builder::build`], for a configuration that makes no network.
///
/// # Source
/// Krizhevsky, Sutskever, Hinton, NIPS 2012, in Caffe's form `models/bvlc_alexnet` (normalisation before pooling).
pub fn alexnet(config: &ImageNetConfig) -> Result<(Network, ParamSpecs)> {
    let norm = Op::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let pool = pool(3, 2);
    let b = Network::builder()
        .input("image", &[3, 227, 227])
        .conv2d("conv1", Conv::new(96, 11).stride(4))
        .relu("relu1")
        .op("norm1", norm.clone())
        .max_pool2d("pool1", pool)
        .conv2d("conv2", Conv::new(256, 5).padding(2).groups(2))
        .relu("relu2")
        .op("norm2", norm)
        .max_pool2d("pool2", pool)
        .conv2d("conv3", Conv::new(384, 3).padding(1))
        .relu("relu3")
        .conv2d("conv4", Conv::new(384, 3).padding(1).groups(2))
        .relu("relu4")
        .conv2d("conv5", Conv::new(256, 3).padding(1).groups(2))
        .relu("relu5")
        .max_pool2d("pool5", pool);
    classifier(b, config).build()
}

/// VGG-16 (configuration D) on `(3, 224, 224)`, output `logits`; 138,357,544 parameters.
///
/// # Errors
/// As [`Builder::build`], for a configuration that makes no network.
///
/// # Source
/// Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table
/// 1, column D; names as in the authors' Caffe file.
pub fn vgg_16(config: &ImageNetConfig) -> Result<(Network, ParamSpecs)> {
    let mut b = Network::builder().input("image", &[3, 224, 224]);
    let stages = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];
    for (stage, (n_convs, channels)) in (1..).zip(stages) {
        for i in 1..=n_convs {
            b = b
                .conv2d(&format!("conv{stage}_{i}"), Conv::new(channels, 3).padding(1))
                .relu(&format!("relu{stage}_{i}"));
        }
        b = b.max_pool2d(&format!("pool{stage}"), pool(2, 2));
    }
    classifier(b, config).build()
}

/// Caffe's maximum pooling, which rounds up.
fn pool(kernel: usize, stride: usize) -> Pool2dConfig {
    Pool2dConfig { ceil_mode: true, ..Pool2dConfig::new((kernel, kernel), (stride, stride)) }
}

/// The three linear layers that both networks end in.
fn classifier(mut b: Builder, config: &ImageNetConfig) -> Builder {
    b = b.flatten("flatten");
    for layer in [6, 7] {
        b = b.linear(&format!("fc{layer}"), 4096).relu(&format!("relu{layer}"));
        if let Some(ratio) = config.dropout {
            b = b.dropout(&format!("drop{layer}"), ratio);
        }
    }
    b.linear("fc8", config.classes).output("logits")
}
