//! Convolutions of quantized images: the calls, and what they check.
//!
//! A convolution is a product: its rows are output pixels, the inner dimension runs over a window's taps and channels, its
//! columns are output channels. The windows of a block of rows are written when the block is multiplied, those of the whole
//! input never. A depthwise convolution is no product of matrices: it has loops of its own.

mod config;
mod depthwise;
mod image;
mod reference;
mod stages;
mod turn;
mod windows;

pub use config::{Conv2dConfig, Padding};
pub use image::{Image, ImageLayout, ImageMut};
pub use reference::reference_conv2d;

use crate::gemm::{Gemm, PackedRhs, Quantized};
use crate::job::{self, Job};
use crate::output::{Element, Stage};
use crate::pack::Byte;
use crate::parallel::for_each_chunk;
use crate::{Error, MatMut, MatRef, Order, Result};
use config::Geometry;
use depthwise::Depthwise;
use image::Shape;
use stages::{check_stages, with_group};
use windows::Windows;

/// The weights of a convolution, packed once and used many times.
///
/// The form is the same for every instruction set.
#[derive(Clone, Debug)]
pub struct PackedConv2d {
    config: Conv2dConfig,
    channels: usize,
    outputs: usize,
    weights: Weights,
}

#[derive(Clone, Debug)]
enum Weights {
    /// A right factor for each group, (taps · channels) × outputs.
    Products(Vec<PackedRhs>),
    /// Groups of one channel.
    Depthwise(Depthwise),
}

impl PackedConv2d {
    /// Packs `weights` of `shape` (outputs, channels of a group, kernel height, kernel width), in that order (OIHW).
    ///
    /// Output channel o belongs to group ⌊o / (outputs / groups)⌋. With as many groups as input channels, and more than one,
    /// the convolution is depthwise.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `weights` has another length, [`Error::InvalidArgument`] where the outputs cannot be cut into
    /// the groups, the kernel is not the configuration's, or a number of it that must be at least 1 is 0.
    pub fn new<W: Byte>(
        weights: &[W],
        shape: (usize, usize, usize, usize),
        zero_point: W,
        config: Conv2dConfig,
    ) -> Result<Self> {
        check_weights(weights, shape, config)?;
        let (outputs, group_inputs, kh, kw) = shape;
        let (n_taps, group_outputs) = (kh * kw, outputs / config.groups);
        let is_depthwise = config.groups > 1 && group_inputs == 1;
        let packed = if is_depthwise {
            Weights::Depthwise(Depthwise::new(weights, outputs, n_taps, zero_point))
        } else {
            let depth = n_taps * group_inputs;
            let pack = |group: usize| {
                // Taps outside, channels inside: the order of windows.
                let mut by_taps = Vec::with_capacity(group_outputs * depth);
                for output in 0..group_outputs {
                    let weights = &weights[(group * group_outputs + output) * depth..][..depth];
                    for tap in 0..n_taps {
                        by_taps.extend(weights.iter().skip(tap).step_by(n_taps).copied());
                    }
                }
                let matrix = MatRef::col_major(&by_taps, depth, group_outputs)?;
                Ok(PackedRhs::new(Quantized::new(matrix, zero_point)))
            };
            let n_groups = if outputs == 0 { 0 } else { config.groups };
            Weights::Products((0..n_groups).map(pack).collect::<Result<_>>()?)
        };
        Ok(Self { config, channels: group_inputs * config.groups, outputs, weights: packed })
    }

    /// Its windows.
    #[must_use]
    pub fn config(&self) -> Conv2dConfig {
        self.config
    }

    /// Input channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Output channels.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.weights {
            Weights::Products(groups) => groups.iter().map(PackedRhs::size_bytes).sum(),
            Weights::Depthwise(depthwise) => depthwise.size_bytes(),
        }
    }

    /// Convolves `input` and writes the sums, taken through `stages`, to `out`.
    ///
    /// The sum at (image, o, y, x) is Σ (q − `input.zero_point`) · (w − zero point of the weights) over the taps and the channels
    /// of the group, exact in 32 bits; taps outside of the image add 0. In the stages [`Per::Col`](crate::Per::Col) is one value an output
    /// channel; [`Per::Row`](crate::Per::Row) has no meaning here. Either layout may be mixed with either.
    /// The same bits on every processor and any number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `input` has other channels, `out` another shape than [`Conv2dConfig::output_size`] says,
    /// the kernel is larger than the padded image, or a stage is out of its range or place or has a `Per::Row`;
    /// [`Error::WrongLength`] where a stage has another number of values than outputs; [`Error::DepthOverflow`] where a sum
    /// could overflow.
    ///
    /// # Example
    /// ```
    /// use nnc_gemmlowp::{Conv2dConfig, Image, ImageLayout, ImageMut, PackedConv2d};
    ///
    /// // A 3 × 3 image with zero point 1, an edge detector of 1 × 2, padded on the left.
    /// let mut config = Conv2dConfig::new((1, 2));
    /// config.padding.left = 1;
    /// let edges = PackedConv2d::new(&[-1_i8, 1], (1, 1, 1, 2), 0, config)?;
    /// let image = Image::new(&[1_u8, 5, 5, 1, 1, 9, 3, 2, 1], (1, 1, 3, 3), ImageLayout::Nhwc, 1)?;
    /// let mut sums = [0_i32; 9];
    /// edges.run(image, &[], ImageMut::new(&mut sums, (1, 1, 3, 3), ImageLayout::Nhwc)?)?;
    /// assert_eq!(sums, [0, 4, 0, 0, 0, 8, 2, -1, -1]);
    /// # Ok::<(), nnc_gemmlowp::Error>(())
    /// ```
    pub fn run<T: Byte, O: Element>(
        &self,
        input: Image<'_, T>,
        stages: &[Stage<'_>],
        out: ImageMut<'_, O>,
    ) -> Result<()> {
        self.run_on(Gemm::best(), input, stages, out)
    }

    /// [`PackedConv2d::run`] on the instruction set of `gemm`.
    ///
    /// # Errors
    /// As there.
    pub fn run_on<T: Byte, O: Element>(
        &self,
        gemm: Gemm,
        input: Image<'_, T>,
        stages: &[Stage<'_>],
        out: ImageMut<'_, O>,
    ) -> Result<()> {
        let (n, channels, h, w) = input.shape;
        if channels != self.channels {
            return Err(Error::invalid("input", format!("{} channels", self.channels), channels));
        }
        let geometry = Geometry::new(self.config, (h, w))?;
        out.check((n, self.outputs, geometry.output.0, geometry.output.1))?;
        check_stages(stages, self.outputs, O::IS_REAL)?;
        match &self.weights {
            Weights::Products(groups) => self.run_products(gemm, groups, (input, geometry), stages, out),
            Weights::Depthwise(weights) => weights.run(gemm.kernel, (input, geometry), stages, out),
        }
    }

    /// Multiplies group by group; image by image as well where the result has its channels apart.
    fn run_products<T: Byte, O: Element>(
        &self,
        gemm: Gemm,
        groups: &[PackedRhs],
        (image, geometry): (Image<'_, T>, Geometry),
        stages: &[Stage<'_>],
        out: ImageMut<'_, O>,
    ) -> Result<()> {
        let Some(first) = groups.first() else { return Ok(()) };
        job::max_sum(crate::gemm::max_magnitude(image.zero_point) * first.max_magnitude, first.depth())?;
        let n_pixels = geometry.output.0 * geometry.output.1;
        if out.data.is_empty() {
            return Ok(());
        }
        let (group_outputs, group_inputs) = (first.cols(), self.channels / groups.len());
        let windows = |images, group| Windows {
            image,
            geometry,
            images,
            channels: (group * group_inputs, group_inputs),
        };
        match out.layout {
            ImageLayout::Nhwc => {
                let n_images = image.shape.0;
                for (group, rhs) in groups.iter().enumerate() {
                    let col = group * group_outputs;
                    let (rows, stride) = (n_images * n_pixels, self.outputs);
                    let place =
                        MatMut::strided(&mut out.data[col..], rows, group_outputs, Order::RowMajor, stride)?;
                    let windows = windows((0, n_images), group);
                    with_group(stages, col..col + group_outputs, |stages| {
                        Job::new(gemm.kernel, windows, rhs, stages, place).map(|job| job.run())
                    })?;
                }
            }
            ImageLayout::Nchw => {
                let products = out.data.len().saturating_mul(first.depth().max(1));
                let ns = products / gemm.kernel.products_per_ns();
                for_each_chunk(out.data, group_outputs * n_pixels, ns, |i, out| {
                    let (n, group) = (i / groups.len(), i % groups.len());
                    let col = group * group_outputs;
                    let windows = windows((n, 1), group);
                    with_group(stages, col..col + group_outputs, |stages| {
                        let place = MatMut::strided(out, n_pixels, group_outputs, Order::ColMajor, n_pixels)?;
                        Job::new(gemm.kernel, windows, &groups[group], stages, place).map(|job| job.run())
                    })
                    .expect("shapes, stages and depth were checked for all groups");
                });
            }
        }
        Ok(())
    }
}

/// Checks weights and what belongs to them.
fn check_weights<W>(weights: &[W], shape: Shape, config: Conv2dConfig) -> Result<()> {
    config.check()?;
    let (outputs, group_inputs, kh, kw) = shape;
    if (kh, kw) != config.kernel {
        return Err(Error::ShapeMismatch { what: "kernel", expected: config.kernel, found: (kh, kw) });
    }
    if !outputs.is_multiple_of(config.groups) {
        return Err(Error::invalid("groups", format!("a divisor of {outputs} outputs"), config.groups));
    }
    let sizes = [outputs.max(1), group_inputs.max(1), kh, kw, config.groups];
    let most = sizes.into_iter().try_fold(1, usize::checked_mul);
    if most.is_none_or(|most| most > isize::MAX.cast_unsigned()) {
        let found = format!("{outputs} x {group_inputs} x {kh} x {kw} in {} groups", config.groups);
        return Err(Error::invalid("weights", "a size that memory can have", found));
    }
    let expected = outputs * group_inputs * kh * kw;
    if weights.len() != expected {
        return Err(Error::WrongLength { what: "weights", expected, found: weights.len() });
    }
    Ok(())
}
