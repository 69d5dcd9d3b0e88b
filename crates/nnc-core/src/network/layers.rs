//! What the builder is told about a layer: its size, its settings and how its weights begin.

use crate::ops::Conv2dConfig;
use crate::params::Init;

/// What a convolution node is made of.
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    pub(super) channels: usize,
    pub(super) kernel: (usize, usize),
    pub(super) config: Conv2dConfig,
    pub(super) bias: bool,
}

impl Conv {
    /// `channels` output channels, a square kernel, stride 1, no padding, one group, with bias.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self::rect(channels, (kernel, kernel))
    }

    /// As [`new`](Self::new) with a kernel of (height, width).
    pub fn rect(channels: usize, kernel: (usize, usize)) -> Self {
        Self { channels, kernel, config: Conv2dConfig::default(), bias: true }
    }

    /// The same stride in both directions.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.config.stride = (stride, stride);
        self
    }

    /// The same zero padding on all four sides.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Self {
        self.config.padding = (padding, padding);
        self
    }

    /// The same dilation in both directions.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.config.dilation = (dilation, dilation);
        self
    }

    /// The number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.config.groups = groups;
        self
    }

    /// All four settings at once.
    #[must_use]
    pub fn config(mut self, config: Conv2dConfig) -> Self {
        self.config = config;
        self
    }

    /// Without bias, as before a batch norm.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}

/// What a linear node is made of; its width alone is enough: `.linear("ip1", 500)`.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub(super) width: usize,
    pub(super) bias: bool,
}

impl Linear {
    /// `width` outputs, with bias.
    pub fn new(width: usize) -> Self {
        Self { width, bias: true }
    }

    /// Without bias.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}

impl From<usize> for Linear {
    fn from(width: usize) -> Self {
        Self::new(width)
    }
}

/// How convolutions and linear nodes get their first values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitScheme {
    /// Weights and biases uniform in ±1/√`fan_in`, PyTorch's default (`reset_parameters` of `nn.Linear` and
    /// `nn.Conv2d`: Kaiming uniform with a = √5, which comes to that bound).
    #[default]
    Torch,
    /// Weights uniform in ±√(6 / `fan_in`), biases 0 (He et al., ICCV 2015, eq. 10).
    Kaiming,
    /// Weights uniform in ±√(6 / (`fan_in` + `fan_out`)), biases 0 (Glorot, Bengio, AISTATS 2010, eq. 16).
    Xavier,
}

impl InitScheme {
    /// The first values of (weight, bias).
    pub(super) fn inits(self, fan_in: usize, fan_out: usize) -> (Init, Init) {
        match self {
            Self::Torch => {
                let uniform = Init::Uniform(1.0 / (fan_in as f32).sqrt());
                (uniform, uniform)
            }
            Self::Kaiming => (Init::KaimingUniform { fan_in }, Init::Zeros),
            Self::Xavier => (Init::XavierUniform { fan_in, fan_out }, Init::Zeros),
        }
    }
}
