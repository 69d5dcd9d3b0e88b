//! A small network for CIFAR-10 of which trained weights can be had.

use super::super::{Conv, Network, Op};
use crate::Result;
use crate::ops::Pool2dConfig;
use crate::params::ParamSpecs;

/// Six convolutions and three linear layers on CIFAR-10, `(3, 32, 32)` with numbers from 0 to 255, output `logits`; 968,394
/// parameters and 1,024 running statistics.
///
/// Nodes `conv1` to `conv6`, each with `relu1`, … and then `bn1`, …; `fc1` to `fc3`. There is a relu behind the last layer
/// too, so that a logit is never below 0. `cargo xtask data fetch cifar-10-model` brings weights for it that get 80.14 % of
/// the test set right.
///
/// # Errors
/// As [`Builder::build`](super::super::Builder::build); in fact none.
///
/// # Source
/// The Python package `cifar-10-model` 7.4.0, `model.py`. We differ: its pooling with a window of 1×1 is left out.
pub fn cifar_cnn() -> Result<(Network, ParamSpecs)> {
    let mut b = Network::builder().input("image", &[3, 32, 32]);
    for (i, channels) in (1..).zip([64, 64, 128, 128, 64, 64]) {
        b = b.conv2d(&format!("conv{i}"), Conv::new(channels, 3)).relu(&format!("relu{i}"));
        b = b.batch_norm(&format!("bn{i}"));
        if i == 2 || i == 4 {
            b = b.max_pool2d(&format!("pool{}", i / 2), Pool2dConfig::square(2));
        }
    }
    b = b.flatten("flatten");
    for (i, width) in (1..).zip([1024, 512]) {
        b = b
            .linear(&format!("fc{i}"), width)
            .relu(&format!("relu{}", i + 6))
            .dropout(&format!("drop{i}"), 0.2);
    }
    let (mut network, specs) = b.linear("fc3", 10).relu("relu9").output("logits").build()?;
    for i in 1..=6 {
        // Keras counts the momentum the other way round: 0.15 of the old value stays.
        network.replace_op(&format!("bn{i}"), Op::BatchNorm { eps: 1e-3, momentum: 0.85 })?;
    }
    Ok((network, specs))
}
