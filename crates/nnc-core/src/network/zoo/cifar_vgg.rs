//! VGG-16 for images of 32 × 32.

use super::super::{Conv, InitScheme, Linear, Network};
use crate::Result;
use crate::ops::Pool2dConfig;
use crate::params::ParamSpecs;

/// VGG-16 on `(3, 32, 32)`: 13 convolutions and a hidden linear layer of 512, each with batch norm; output `logits`;
/// for 10 classes 14,977,728 weights.
///
/// Nodes are counted as in Li's table: `conv1` … `conv13`, `linear1`, `linear2`, with `bn` and `relu` of the same
/// number, `bn14` and `relu14` behind `linear1`. Layers with batch norm have no bias.
///
/// # Errors
/// As [`Builder::build`](super::super::Builder::build).
///
/// # Source
/// Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, §4.1, after Zagoruyko's
/// network (2015). We differ: there is no dropout.
pub fn cifar_vgg_16(classes: usize) -> Result<(Network, ParamSpecs)> {
    let mut b = Network::builder().init(InitScheme::Kaiming).input("image", &[3, 32, 32]);
    let mut layer = 0;
    for (stage, (n_convs, channels)) in (1..).zip([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]) {
        for _ in 0..n_convs {
            layer += 1;
            b = b
                .conv2d(&format!("conv{layer}"), Conv::new(channels, 3).padding(1).without_bias())
                .batch_norm(&format!("bn{layer}"))
                .relu(&format!("relu{layer}"));
        }
        b = b.max_pool2d(&format!("pool{stage}"), Pool2dConfig::square(2));
    }
    b.flatten("flatten")
        .linear("linear1", Linear::new(512).without_bias())
        .batch_norm("bn14")
        .relu("relu14")
        .linear("linear2", classes)
        .output("logits")
        .build()
}
