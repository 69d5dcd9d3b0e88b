//! The settings of the operators, and the arithmetic of their sizes.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is applied to an operator's output before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(y, 0)`; the derivative at 0 is 0, as in PyTorch (candle's own is 1).
    Relu,
}

/// The settings of a 2-D convolution; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv2dConfig {
    /// Steps between windows, at least 1.
    pub stride: (usize, usize),
    /// Zeros added on either side.
    pub padding: (usize, usize),
    /// Steps between a window's taps, at least 1.
    pub dilation: (usize, usize),
    /// Groups of channels that do not see each other; divides the input and the output channels.
    pub groups: usize,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

impl Conv2dConfig {
    /// Stride 1 with `padding` zeros on each side.
    pub fn padded(padding: usize) -> Self {
        Self { padding: (padding, padding), ..Self::default() }
    }

    /// The output's (height, width) for an `input` and a `kernel` of (height, width).
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a zero stride, dilation, group count or kernel, and where the
    /// kernel does not fit into the padded input.
    pub fn output_size(&self, input: (usize, usize), kernel: (usize, usize)) -> Result<(usize, usize)> {
        if self.groups == 0 {
            return Err(Error::invalid("groups", "at least 1", 0));
        }
        let axis = |input, kernel: usize, stride, padding, dilation: usize| {
            if dilation == 0 {
                return Err(Error::invalid("dilation", "at least 1", 0));
            }
            let reach = kernel.checked_sub(1).and_then(|taps| taps.checked_mul(dilation)?.checked_add(1));
            windows(input, reach.unwrap_or(0), stride, padding, false)
        };
        Ok((
            axis(input.0, kernel.0, self.stride.0, self.padding.0, self.dilation.0)?,
            axis(input.1, kernel.1, self.stride.1, self.padding.1, self.dilation.1)?,
        ))
    }
}

/// The settings of a 2-D pooling; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool2dConfig {
    /// The window.
    pub kernel: (usize, usize),
    /// Steps between windows, at least 1.
    pub stride: (usize, usize),
    /// Border on either side, at most half of the kernel: never chosen by a maximum, zeros to an average.
    pub padding: (usize, usize),
    /// Whether a last, partial window counts.
    pub ceil_mode: bool,
    /// Whether an average divides by the border's elements too; a maximum ignores it.
    pub count_include_pad: bool,
}

impl Pool2dConfig {
    /// Windows of `kernel` × `kernel` side by side: stride = kernel, no padding.
    pub fn square(kernel: usize) -> Self {
        Self::new((kernel, kernel), (kernel, kernel))
    }

    /// Windows of `kernel` every `stride`, without padding.
    pub fn new(kernel: (usize, usize), stride: (usize, usize)) -> Self {
        Self { kernel, stride, padding: (0, 0), ceil_mode: false, count_include_pad: true }
    }

    /// The output's (height, width) for an `input` of (height, width), as PyTorch counts it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a zero kernel or stride, a padding above half of the kernel,
    /// and where the kernel does not fit into the padded input.
    pub fn output_size(&self, input: (usize, usize)) -> Result<(usize, usize)> {
        let axis = |input, kernel, stride, padding| {
            if padding > kernel / 2 {
                return Err(Error::invalid(
                    "padding",
                    format!("at most half of the kernel {kernel}"),
                    padding,
                ));
            }
            windows(input, kernel, stride, padding, self.ceil_mode)
        };
        Ok((
            axis(input.0, self.kernel.0, self.stride.0, self.padding.0)?,
            axis(input.1, self.kernel.1, self.stride.1, self.padding.1)?,
        ))
    }
}

/// How many windows of `reach` fit on one axis.
fn windows(input: usize, reach: usize, stride: usize, padding: usize, ceil: bool) -> Result<usize> {
    if reach == 0 {
        return Err(Error::invalid("kernel", "at least 1", 0));
    }
    if stride == 0 {
        return Err(Error::invalid("stride", "at least 1", 0));
    }
    let padded = padding.checked_mul(2).and_then(|pad| pad.checked_add(input));
    let room = padded.and_then(|padded| padded.checked_sub(reach)).ok_or_else(|| {
        Error::invalid("kernel", format!("a reach of at most {input} + 2·{padding}, the padded input"), reach)
    })?;
    let full = room / stride + 1;
    // A partial window counts only where it starts inside the input or the border before it (PyTorch).
    let partial = ceil && !room.is_multiple_of(stride) && full * stride < input + padding;
    Ok(full + usize::from(partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_pytorch() {
        // (input, kernel, stride, padding, ceil) → size, from torch.nn.MaxPool2d 2.15.
        for (input, kernel, stride, padding, ceil, expected) in [
            (7, 2, 2, 0, false, 3),
            (7, 2, 2, 0, true, 4),
            (5, 3, 3, 1, true, 2),
            (6, 2, 3, 1, true, 3),
            (2, 2, 3, 1, true, 1),
            (4, 3, 3, 1, true, 2),
            (3, 1, 3, 0, true, 1),
            (13, 3, 2, 0, true, 6),
        ] {
            assert_eq!(
                windows(input, kernel, stride, padding, ceil).unwrap(),
                expected,
                "{input} {kernel} {stride}"
            );
        }
    }

    #[test]
    fn impossible_settings_are_errors() {
        let conv = Conv2dConfig::default();
        assert!(conv.output_size((4, 4), (5, 1)).is_err());
        assert!(conv.output_size((4, 4), (0, 1)).is_err());
        assert!(conv.output_size((4, 4), (usize::MAX, 1)).is_err());
        assert!(Conv2dConfig { dilation: (usize::MAX, 1), ..conv }.output_size((4, 4), (3, 1)).is_err());
        assert!(Conv2dConfig { padding: (usize::MAX, 1), ..conv }.output_size((4, 4), (3, 1)).is_err());
        assert!(Conv2dConfig { stride: (0, 1), ..conv }.output_size((4, 4), (1, 1)).is_err());
        assert!(Pool2dConfig { padding: (2, 0), ..Pool2dConfig::square(3) }.output_size((4, 4)).is_err());
    }
}
