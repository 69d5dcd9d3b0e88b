//! How windows lie over an image, and what comes out.

use std::ops::Range;

use crate::{Error, Result};

/// Rows and columns of zeros round an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns on the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns on the right.
    pub right: usize,
}

impl Padding {
    /// `rows` above and below, `cols` on the left and on the right.
    #[must_use]
    pub fn symmetric(rows: usize, cols: usize) -> Self {
        Self { top: rows, left: cols, bottom: rows, right: cols }
    }
}

impl From<(usize, usize)> for Padding {
    /// [`Padding::symmetric`].
    fn from((rows, cols): (usize, usize)) -> Self {
        Self::symmetric(rows, cols)
    }
}

/// The windows of a convolution; pairs are (vertical, horizontal).
///
/// # Example
/// ```
/// use nnc_gemmlowp::Conv2dConfig;
///
/// // The first layer of ResNet-50: 7 × 7 over every second pixel.
/// let config = Conv2dConfig { stride: (2, 2), padding: (3, 3).into(), ..Conv2dConfig::new((7, 7)) };
/// assert_eq!(config.output_size((224, 224))?, (112, 112));
/// # Ok::<(), nnc_gemmlowp::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dConfig {
    /// Taps of a window, at least (1, 1).
    pub kernel: (usize, usize),
    /// Pixels from window to window, at least (1, 1).
    pub stride: (usize, usize),
    /// Real zeros round the image: bytes of its zero point.
    pub padding: Padding,
    /// Pixels from tap to tap, at least (1, 1).
    pub dilation: (usize, usize),
    /// Parts into which inputs and outputs are cut; the outputs of a part see the inputs of that part only. At least 1.
    pub groups: usize,
}

impl Conv2dConfig {
    /// Windows of `kernel` taps side by side at each pixel: stride and dilation 1, no padding, one group.
    #[must_use]
    pub fn new(kernel: (usize, usize)) -> Self {
        Self { kernel, stride: (1, 1), padding: Padding::default(), dilation: (1, 1), groups: 1 }
    }

    /// Height and width of the result for an image of `size`: in either direction, with p the padding on both sides,
    /// ⌊(size + p − dilation · (kernel − 1) − 1) / stride⌋ + 1.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the kernel reaches beyond the padded image, a number that must be at least 1 is 0,
    /// or a size does not fit the machine's.
    pub fn output_size(&self, size: (usize, usize)) -> Result<(usize, usize)> {
        self.check()?;
        let Self { kernel, stride, padding, dilation, .. } = *self;
        let rows = padded(size.0, padding.top, padding.bottom)?;
        let cols = padded(size.1, padding.left, padding.right)?;
        let (height, width) = (reach(kernel.0, dilation.0)?, reach(kernel.1, dilation.1)?);
        if height > rows || width > cols {
            let expected = format!("at most the padded image, {rows} x {cols}");
            return Err(Error::invalid("kernel", expected, format!("{height} x {width} with dilation")));
        }
        Ok(((rows - height) / stride.0 + 1, (cols - width) / stride.1 + 1))
    }

    /// Checks what must be at least 1.
    pub(crate) fn check(&self) -> Result<()> {
        for (what, (down, across)) in
            [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)]
        {
            if down == 0 || across == 0 {
                return Err(Error::invalid(what, "at least 1 x 1", format!("{down} x {across}")));
            }
        }
        if self.groups == 0 { Err(Error::invalid("groups", "at least 1", 0)) } else { Ok(()) }
    }
}

/// A side with its padding: so small that no position in it overflows.
fn padded(size: usize, before: usize, after: usize) -> Result<usize> {
    let sum = size.checked_add(before).and_then(|sum| sum.checked_add(after));
    sum.filter(|&sum| sum <= isize::MAX.cast_unsigned()).ok_or_else(|| {
        Error::invalid("padding", "a size that memory can have", format!("{size} + {before} + {after}"))
    })
}

/// Pixels from the first tap to the last, both counted.
fn reach(kernel: usize, dilation: usize) -> Result<usize> {
    let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
    reach.ok_or_else(|| {
        Error::invalid("dilation", "a size that memory can have", format!("{dilation} x {kernel} taps"))
    })
}

/// A configuration with the sizes that belong to it, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) config: Conv2dConfig,
    /// Height and width of an image.
    pub(crate) input: (usize, usize),
    /// Height and width of a result.
    pub(crate) output: (usize, usize),
}

impl Geometry {
    /// For images of this height and width.
    pub(crate) fn new(config: Conv2dConfig, input: (usize, usize)) -> Result<Self> {
        Ok(Self { config, input, output: config.output_size(input)? })
    }

    /// The image's row under tap `ky` of windows in row `oy`, where it is not padding.
    #[inline]
    pub(crate) fn row(&self, oy: usize, ky: usize) -> Option<usize> {
        let Conv2dConfig { stride, dilation, padding, .. } = self.config;
        (oy * stride.0 + ky * dilation.0).checked_sub(padding.top).filter(|&y| y < self.input.0)
    }

    /// The image's column under tap `kx` of windows in column `ox`, where it is not padding.
    #[inline]
    pub(crate) fn col(&self, ox: usize, kx: usize) -> Option<usize> {
        let Conv2dConfig { stride, dilation, padding, .. } = self.config;
        (ox * stride.1 + kx * dilation.1).checked_sub(padding.left).filter(|&x| x < self.input.1)
    }

    /// The image's rows under the windows of `rows` (at least one) of the result.
    pub(crate) fn rows_under(&self, rows: Range<usize>) -> Range<usize> {
        let (Conv2dConfig { kernel, stride, padding, dilation, .. }, (h, _)) = (self.config, self.input);
        let last = (rows.end - 1) * stride.0 + (kernel.0 - 1) * dilation.0;
        let start = (rows.start * stride.0).saturating_sub(padding.top).min(h);
        start..(last + 1).saturating_sub(padding.top).clamp(start, h)
    }

    /// Whether the windows are the pixels themselves.
    pub(crate) fn is_pointwise(&self) -> bool {
        let Conv2dConfig { kernel, stride, padding, .. } = self.config;
        kernel == (1, 1) && stride == (1, 1) && padding == Padding::default()
    }
}
