//! The closed set of operators and, per operator, the facts that surgery, folding and the engine share.

use serde::{Deserialize, Serialize};

use crate::ops::{Conv2dConfig, Pool2dConfig};
use crate::params::ParamKind;
use crate::{Error, Result};

/// What a node computes.
///
/// Shapes are those of one sample, without the batch: `(C, H, W)` for images, `(F,)` for vectors. An operator
/// holds no channel counts: those come from the shapes of its parameters, which are named `{node}.{suffix}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Op {
    /// Convolution (really cross-correlation): `(C, H, W)` → `(O, H', W')`.
    ///
    /// `weight` has shape `(O, C / groups, kH, kW)`, `bias` `(O,)`.
    Conv2d {
        /// Stride, padding, dilation and groups.
        config: Conv2dConfig,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Matrix product with `weight` of shape `(O, F)`, then `+ bias` of shape `(O,)`: `(F,)` → `(O,)`.
    Linear {
        /// Whether there is a bias.
        bias: bool,
    },
    /// Batch normalisation: per channel `(x - mean) / √(variance + eps) · weight + bias`, each parameter `(C,)`.
    ///
    /// # Source
    /// Ioffe, Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
    BatchNorm {
        /// Added to the variance; > 0.
        eps: f32,
        /// Share of the new batch in the running statistics: `running = (1 - momentum) · running + momentum ·
        /// batch`.
        momentum: f32,
    },
    /// Local response normalisation across channels: `x / (k + alpha / size · Σ x²)^beta`.
    ///
    /// The sum runs over the `size` channels around each channel, cut off at both ends.
    ///
    /// # Source
    /// Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep CNNs", NIPS 2012, §3.3. We differ as Caffe
    /// does: the paper's alpha is our `alpha / size`.
    Lrn {
        /// How many channels the sum covers; odd.
        size: usize,
        /// Factor of the sum, before the division by `size`.
        alpha: f32,
        /// The exponent.
        beta: f32,
        /// The constant under the exponent.
        k: f32,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `min(max(x, min), max)`.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound, not below `min`.
        max: f32,
    },
    /// `max(x, 0) + weight · min(x, 0)`, `weight` of shape `(C,)` or `(1,)`.
    Prelu,
    /// `|x|`.
    Abs,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
    /// Maximum over windows: `(C, H, W)` → `(C, H', W')`; padding never wins.
    MaxPool2d {
        /// Window, stride, padding and rounding.
        config: Pool2dConfig,
    },
    /// Mean over windows: `(C, H, W)` → `(C, H', W')`.
    AvgPool2d {
        /// Window, stride, padding, rounding and what the mean divides by.
        config: Pool2dConfig,
    },
    /// Mean over each map: `(C, H, W)` → `(C, 1, 1)`.
    GlobalAvgPool2d,
    /// Sum of two or more values of one shape.
    Add,
    /// Product of two values of one rank; a dimension of 1 is repeated along the other's.
    Mul,
    /// Two or more values one after the other along the channels.
    Concat,
    /// `(C, H, W)` → `(C·H·W,)`, row-major, so each channel becomes H·W neighbours.
    Flatten,
    /// The same numbers, row-major, in another shape.
    Reshape {
        /// The new shape, without the batch.
        shape: Vec<usize>,
    },
    /// In training sets each number to 0 with probability `ratio` and scales the others by `1 / (1 - ratio)`; in
    /// evaluation the identity.
    Dropout {
        /// In `[0, 1)`.
        ratio: f32,
    },
    /// `e^x_c / Σ e^x` over the channels.
    Softmax,
    /// Zeros around `(C, H, W)`, each pair before and after.
    Pad {
        /// Added channels.
        channels: (usize, usize),
        /// Added rows, above and below.
        height: (usize, usize),
        /// Added columns, left and right.
        width: (usize, usize),
    },
    /// The channels `start .. start + len`.
    SliceChannels {
        /// The first channel kept.
        start: usize,
        /// How many are kept; at least 1.
        len: usize,
    },
}

/// How the channels of a value relate to those of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Channels {
    /// Each output channel reads every input channel of its group: weight axis 0 is the output's, axis 1 the
    /// input's.
    Mixes {
        /// Input and output channels are split into as many groups, each on its own.
        groups: usize,
    },
    /// Output channel c depends on channel c of each input, and on per-channel parameters, and on nothing else.
    /// (An input of [`Op::Mul`] with one channel is read by all.)
    Keeps,
    /// As [`Keeps`](Self::Keeps), but the other channels of the input enter as well, so removing one changes
    /// the rest.
    Couples,
    /// The channels of all inputs one after the other.
    Concatenates,
    /// Channel c becomes the H·W channels from `c · H · W` on.
    Flattens,
    /// A range of the channels.
    Selects {
        /// The first.
        start: usize,
        /// How many.
        len: usize,
    },
    /// The channels with zero channels around them.
    Pads {
        /// Zero channels before the first.
        before: usize,
        /// Zero channels behind the last.
        after: usize,
    },
    /// No rule: channels cannot be followed through.
    Opaque,
}

/// What is left of an operator when a trained network is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtInference {
    /// It computes.
    Computes,
    /// It computes each number from that number (and a parameter of its channel) alone, so it can run inside
    /// the operator before it.
    Fuses,
    /// It is affine per channel with constant factors, so it folds into the weights before or behind it.
    FoldsAffine,
    /// It renames its input's memory; no number moves.
    Views,
    /// It is the identity and goes away.
    Vanishes,
}

/// The facts about an operator that surgery, folding and the engine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpTraits {
    /// How channels map.
    pub channels: Channels,
    /// Whether, in evaluation, `f(a · x) = a · f(x)` for every `a > 0` (all inputs scaled together). Such an
    /// operator lets a positive scale pass, and maps zeros to zeros.
    pub homogeneous: bool,
    /// What is left of it at inference.
    pub at_inference: AtInference,
}

impl Op {
    /// The operator's one-word name, as it is written in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::Linear { .. } => "linear",
            Self::BatchNorm { .. } => "batch_norm",
            Self::Lrn { .. } => "lrn",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::Clip { .. } => "clip",
            Self::Prelu => "prelu",
            Self::Abs => "abs",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::HardSwish => "hard_swish",
            Self::MaxPool2d { .. } => "max_pool2d",
            Self::AvgPool2d { .. } => "avg_pool2d",
            Self::GlobalAvgPool2d => "global_avg_pool2d",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Concat => "concat",
            Self::Flatten => "flatten",
            Self::Reshape { .. } => "reshape",
            Self::Dropout { .. } => "dropout",
            Self::Softmax => "softmax",
            Self::Pad { .. } => "pad",
            Self::SliceChannels { .. } => "slice_channels",
        }
    }

    /// The suffixes and kinds of the operator's parameters: node `conv1` has `conv1.weight` and `conv1.bias`.
    ///
    /// A per-channel factor (batch norm, prelu) is a [`Bias`](ParamKind::Bias): methods that compress weights
    /// leave it alone.
    pub fn params(&self) -> &'static [(&'static str, ParamKind)] {
        use ParamKind::{Bias, Buffer, Weight};
        match self {
            Self::Conv2d { bias: true, .. } | Self::Linear { bias: true } => {
                &[("weight", Weight), ("bias", Bias)]
            }
            Self::Conv2d { bias: false, .. } | Self::Linear { bias: false } => &[("weight", Weight)],
            Self::BatchNorm { .. } => {
                &[("weight", Bias), ("bias", Bias), ("running_mean", Buffer), ("running_var", Buffer)]
            }
            Self::Prelu => &[("weight", Bias)],
            _ => &[],
        }
    }

    /// The one table of facts; see [`OpTraits`].
    pub fn traits(&self) -> OpTraits {
        use AtInference::{Computes, FoldsAffine, Fuses, Vanishes, Views};
        use Channels::{Concatenates, Couples, Flattens, Keeps, Mixes, Opaque, Pads, Selects};
        let (channels, homogeneous, at_inference) = match *self {
            Self::Conv2d { config, bias } => (Mixes { groups: config.groups }, !bias, Computes),
            Self::Linear { bias } => (Mixes { groups: 1 }, !bias, Computes),
            Self::BatchNorm { .. } => (Keeps, false, FoldsAffine),
            Self::Lrn { .. } | Self::Softmax => (Couples, false, Computes),
            Self::Relu | Self::Prelu | Self::Abs => (Keeps, true, Fuses),
            Self::Relu6 | Self::Clip { .. } | Self::Tanh | Self::Sigmoid | Self::HardSwish => {
                (Keeps, false, Fuses)
            }
            Self::MaxPool2d { .. } | Self::AvgPool2d { .. } | Self::GlobalAvgPool2d | Self::Add => {
                (Keeps, true, Computes)
            }
            Self::Mul => (Keeps, false, Computes),
            Self::Concat => (Concatenates, true, Computes),
            Self::Flatten => (Flattens, true, Views),
            Self::Reshape { .. } => (Opaque, true, Views),
            Self::Dropout { .. } => (Keeps, true, Vanishes),
            Self::Pad { channels: (before, after), .. } => (Pads { before, after }, true, Computes),
            Self::SliceChannels { start, len } => (Selects { start, len }, true, Computes),
        };
        OpTraits { channels, homogeneous, at_inference }
    }

    /// Whether the operator can have that many inputs.
    pub(super) fn takes(&self, n_inputs: usize) -> bool {
        match self {
            Self::Add | Self::Concat => n_inputs >= 2,
            Self::Mul => n_inputs == 2,
            _ => n_inputs == 1,
        }
    }

    /// Refuses settings outside their documented ranges, whatever the shapes; `node` is for the message.
    pub(super) fn check(&self, node: &str) -> Result<()> {
        let (valid, expected) = match self {
            Self::Conv2d { config: c, .. } => {
                let least = [c.stride.0, c.stride.1, c.dilation.0, c.dilation.1, c.groups];
                (!least.contains(&0), "stride, dilation and groups of at least 1")
            }
            Self::MaxPool2d { config: c } | Self::AvgPool2d { config: c } => {
                let least = [c.kernel.0, c.kernel.1, c.stride.0, c.stride.1];
                // A window that lies in the padding alone has no maximum and no mean.
                let padded = c.padding.0 <= c.kernel.0 / 2 && c.padding.1 <= c.kernel.1 / 2;
                (
                    !least.contains(&0) && padded,
                    "kernel and stride of at least 1, padding of at most half the kernel",
                )
            }
            Self::BatchNorm { eps, momentum } => {
                let valid = *eps > 0.0 && eps.is_finite() && (0.0..=1.0).contains(momentum);
                (valid, "eps > 0 and momentum in [0, 1]")
            }
            Self::Lrn { size, alpha, beta, k } => {
                let valid = size % 2 == 1 && [alpha, beta, k].iter().all(|x| x.is_finite());
                (valid, "an odd size and finite numbers")
            }
            // NaN compares with nothing, so it is refused, too.
            Self::Clip { min, max } => (min <= max, "min <= max"),
            Self::Dropout { ratio } => ((0.0..1.0).contains(ratio), "a ratio in [0, 1)"),
            _ => (true, ""),
        };
        if valid {
            Ok(())
        } else {
            Err(Error::invalid(format!("operator of node `{node}`"), expected, format!("{self:?}")))
        }
    }
}
