//! Residual networks: the CIFAR ones with free shortcuts, ResNet-34 and ResNet-50 with projections.

use super::super::{Builder, Conv, InitScheme, Network, Op};
use crate::ops::Pool2dConfig;
use crate::params::ParamSpecs;
use crate::{Error, Result};

/// The CIFAR ResNet of `depth` = 6n + 2 layers on `(3, 32, 32)`, output `logits`; `depth` 56 has 853,018 weights and
/// biases, running statistics apart.
///
/// Nodes are named as in torchvision's networks: `conv1`, `layer2.0.conv1`, …, `fc`. Convolutions have no bias.
/// A shortcut that changes size is He's option A: every second pixel (a pooling with windows of one), then zero maps
/// behind the old ones; it has no parameters.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for a depth that is not 6n + 2 with n ≥ 1, and as [`Builder::build`].
///
/// # Source
/// He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, §4.2.
pub fn cifar_resnet(depth: usize, classes: usize) -> Result<(Network, ParamSpecs)> {
    if depth < 8 || depth % 6 != 2 {
        return Err(Error::invalid("depth", "6n + 2 with n of at least 1", depth));
    }
    let per_stage = (depth - 2) / 6;
    let b = Network::builder().init(InitScheme::Kaiming).input("image", &[3, 32, 32]);
    let mut b = b.conv2d("conv1", conv3x3(16, 1)).batch_norm("bn1").relu("relu1");
    let mut input = Value { name: "relu1".into(), channels: 16 };
    for (stage, channels) in (1..).zip([16, 32, 64]) {
        for i in 0..per_stage {
            let stride = if stage > 1 && i == 0 { 2 } else { 1 };
            let block =
                Block { name: format!("layer{stage}.{i}"), channels, stride, shortcut: Shortcut::Free };
            b = block.basic(b, &input);
            input = block.output(channels);
        }
    }
    classifier(b, classes).build()
}

/// ResNet-34 on `(3, 224, 224)` with projections where the size changes (option B), output `logits`; for 1000 classes
/// 21,797,672 weights and biases.
///
/// Parameters are named as in torchvision's file.
///
/// # Errors
/// As [`Builder::build`].
///
/// # Source
/// He et al., CVPR 2016, table 1.
pub fn resnet_34(classes: usize) -> Result<(Network, ParamSpecs)> {
    imagenet(classes, 1, Block::basic)
}

/// ResNet-50 on `(3, 224, 224)`, output `logits`; for 1000 classes 25,557,032 weights and biases.
///
/// Parameters are named as in torchvision's file.
///
/// # Errors
/// As [`Builder::build`].
///
/// # Source
/// He et al., CVPR 2016, table 1. We differ as torchvision does: a block's stride stands in its 3×3 convolution, not in
/// the 1×1 before it.
pub fn resnet_50(classes: usize) -> Result<(Network, ParamSpecs)> {
    imagenet(classes, 4, Block::bottleneck)
}

/// The networks of ImageNet; a block yields `expansion` times the channels of its inner layers.
fn imagenet(
    classes: usize,
    expansion: usize,
    block_of: fn(&Block, Builder, &Value) -> Builder,
) -> Result<(Network, ParamSpecs)> {
    let stem = Conv::new(64, 7).stride(2).padding(3).without_bias();
    let pool = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new((3, 3), (2, 2)) };
    let b = Network::builder().init(InitScheme::Kaiming).input("image", &[3, 224, 224]);
    let mut b = b.conv2d("conv1", stem).batch_norm("bn1").relu("relu1").max_pool2d("maxpool", pool);
    let mut input = Value { name: "maxpool".into(), channels: 64 };
    for (stage, (n_blocks, channels)) in (1..).zip([(3, 64), (4, 128), (6, 256), (3, 512)]) {
        for i in 0..n_blocks {
            let stride = if stage > 1 && i == 0 { 2 } else { 1 };
            let shortcut = Shortcut::Projected;
            let block = Block { name: format!("layer{stage}.{i}"), channels, stride, shortcut };
            b = block_of(&block, b, &input);
            input = block.output(expansion * channels);
        }
    }
    classifier(b, classes).build()
}

/// How a shortcut changes size, where it must.
enum Shortcut {
    /// By leaving out pixels and adding zero maps.
    Free,
    /// By a 1×1 convolution with batch norm.
    Projected,
}

/// What a block reads.
struct Value {
    name: String,
    channels: usize,
}

struct Block {
    name: String,
    /// Of its inner layers.
    channels: usize,
    stride: usize,
    shortcut: Shortcut,
}

impl Block {
    fn node(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    fn output(&self, channels: usize) -> Value {
        Value { name: self.node("relu"), channels }
    }

    /// Two 3×3 convolutions.
    fn basic(&self, b: Builder, input: &Value) -> Builder {
        let b = self.layer(b.from(&[&input.name]), 1, conv3x3(self.channels, self.stride));
        let b = self.layer(b.relu(&self.node("relu1")), 2, conv3x3(self.channels, 1));
        self.join(b, input, "bn2", self.channels)
    }

    /// 1×1, 3×3, and 1×1 to four times the channels.
    fn bottleneck(&self, b: Builder, input: &Value) -> Builder {
        let n_out = 4 * self.channels;
        let b = self.layer(b.from(&[&input.name]), 1, Conv::new(self.channels, 1).without_bias());
        let b = self.layer(b.relu(&self.node("relu1")), 2, conv3x3(self.channels, self.stride));
        let b = self.layer(b.relu(&self.node("relu2")), 3, Conv::new(n_out, 1).without_bias());
        self.join(b, input, "bn3", n_out)
    }

    fn layer(&self, b: Builder, i: usize, conv: Conv) -> Builder {
        b.conv2d(&self.node(&format!("conv{i}")), conv).batch_norm(&self.node(&format!("bn{i}")))
    }

    /// Adds the shortcut to the last batch norm.
    fn join(&self, b: Builder, input: &Value, last: &str, n_out: usize) -> Builder {
        let changes = self.stride != 1 || input.channels != n_out;
        let (b, shortcut) = if changes { self.resize(b, input, n_out) } else { (b, input.name.clone()) };
        b.from(&[&self.node(last), &shortcut]).add(&self.node("add")).relu(&self.node("relu"))
    }

    /// A shortcut of `n_out` channels at the block's stride.
    fn resize(&self, b: Builder, input: &Value, n_out: usize) -> (Builder, String) {
        let b = b.from(&[&input.name]);
        match self.shortcut {
            Shortcut::Free => {
                let every_other = Pool2dConfig::new((1, 1), (self.stride, self.stride));
                let added = (0, n_out - input.channels);
                let pad = Op::Pad { channels: added, height: (0, 0), width: (0, 0) };
                let name = self.node("shortcut.pad");
                (b.max_pool2d(&self.node("shortcut.pool"), every_other).op(&name, pad), name)
            }
            Shortcut::Projected => {
                let projection = Conv::new(n_out, 1).stride(self.stride).without_bias();
                let name = self.node("downsample.1");
                (b.conv2d(&self.node("downsample.0"), projection).batch_norm(&name), name)
            }
        }
    }
}

fn conv3x3(channels: usize, stride: usize) -> Conv {
    Conv::new(channels, 3).stride(stride).padding(1).without_bias()
}

fn classifier(b: Builder, classes: usize) -> Builder {
    b.op("avgpool", Op::GlobalAvgPool2d).flatten("flatten").linear("fc", classes).output("logits")
}
