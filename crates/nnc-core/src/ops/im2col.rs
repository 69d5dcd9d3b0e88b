//! The window view of images: which input each tap of a convolution reads, as a matrix.
//!
//! A row is a tap (channel, kernel row, kernel column), a column is an output pixel:
//!
//! ```text
//!                pixel 0   pixel 1   …        of image 0, then of image 1, …
//! tap (0,0,0)  [ x         x                 ]
//! tap (0,0,1)  [ x         x                 ]     weights (O × taps) · columns (taps × pixels) = output
//! …
//! ```

use std::ops::Range;

use super::config::Conv2dConfig;
use super::kernel::border;
use super::kernel::windows::{self, Taps};

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) in_channels: usize,
    pub(crate) input: (usize, usize),
    pub(crate) out_channels: usize,
    pub(crate) kernel: (usize, usize),
    pub(crate) output: (usize, usize),
    pub(crate) config: Conv2dConfig,
}

impl Geometry {
    /// Input channels that one output channel sees.
    pub(crate) fn group_inputs(&self) -> usize {
        self.in_channels / self.config.groups
    }

    /// Output channels of one group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.out_channels / self.config.groups
    }

    /// Taps of one output channel: the inner dimension of the product.
    pub(crate) fn taps(&self) -> usize {
        self.group_inputs() * self.kernel.0 * self.kernel.1
    }

    /// Elements of one input channel.
    pub(crate) fn in_plane(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Elements of one output channel.
    pub(crate) fn out_plane(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Multiply-adds of the whole convolution.
    pub(crate) fn work(&self) -> usize {
        self.batch * self.out_plane() * self.out_channels * self.taps()
    }

    /// Height and width of an input channel with its padding.
    pub(crate) fn padded(&self) -> (usize, usize) {
        (self.input.0 + 2 * self.config.padding.0, self.input.1 + 2 * self.config.padding.1)
    }

    /// Elements of an image with its padding.
    pub(crate) fn padded_len(&self) -> usize {
        self.in_channels * self.padded().0 * self.padded().1
    }

    pub(crate) fn is_padded(&self) -> bool {
        self.config.padding != (0, 0)
    }

    /// The windows of `rows` output rows in a padded image, for columns with `pixels` places a tap.
    fn taps_of(&self, rows: usize, pixels: usize) -> Taps {
        let (height, width) = self.padded();
        Taps {
            channels: self.group_inputs(),
            kernel: self.kernel,
            plane: height * width,
            down: self.config.dilation.0 * width,
            right: self.config.dilation.1,
            rows,
            width: self.output.1,
            pitch: self.config.stride.0 * width,
            step: self.config.stride.1,
            tap_pitch: pixels,
        }
    }

    /// Where the windows of `group` from output row `row` on begin in a padded image.
    fn window_at(&self, group: usize, row: usize) -> usize {
        let (height, width) = self.padded();
        (group * self.group_inputs() * height + row * self.config.stride.0) * width
    }
}

/// Writes `images` with their padding to `out`.
pub(crate) fn pad(geometry: &Geometry, images: &[f32], out: &mut [f32]) {
    let (height, width) = geometry.padded();
    let (top, left) = geometry.config.padding;
    let planes = images.chunks_exact(geometry.in_plane()).zip(out.chunks_exact_mut(height * width));
    for (plane, out) in planes {
        border::pad(out, plane, width, geometry.input.1, top * width + left);
    }
}

/// Adds padded images, without their padding, to `images`: the adjoint of [`pad`].
pub(crate) fn add_unpadded(geometry: &Geometry, padded: &[f32], images: &mut [f32]) {
    let (height, width) = geometry.padded();
    let (top, left) = geometry.config.padding;
    let planes = images.chunks_exact_mut(geometry.in_plane()).zip(padded.chunks_exact(height * width));
    for (plane, padded) in planes {
        border::add_unpadded(plane, padded, width, geometry.input.1, top * width + left);
    }
}

/// Writes the columns of `group` for the output rows `out_rows` of all `images` (whole padded images, one after another).
///
/// `columns` is (taps × pixels), the pixels of one image after those of another.
pub(crate) fn im2col(
    geometry: &Geometry,
    images: &[f32],
    group: usize,
    out_rows: Range<usize>,
    columns: &mut [f32],
) {
    let (image_len, part_len) = (geometry.padded_len(), out_rows.len() * geometry.output.1);
    let taps = geometry.taps_of(out_rows.len(), images.len() / image_len * part_len);
    for (i, image) in images.chunks_exact(image_len).enumerate() {
        let image = &image[geometry.window_at(group, out_rows.start)..];
        windows::copy(&mut columns[i * part_len..], image, &taps);
    }
}

/// Adds the columns back to the padded images that they were read from: the adjoint of [`im2col`].
pub(crate) fn col2im(
    geometry: &Geometry,
    columns: &[f32],
    group: usize,
    out_rows: Range<usize>,
    images: &mut [f32],
) {
    let (image_len, part_len) = (geometry.padded_len(), out_rows.len() * geometry.output.1);
    let taps = geometry.taps_of(out_rows.len(), images.len() / image_len * part_len);
    for (i, image) in images.chunks_exact_mut(image_len).enumerate() {
        let image = &mut image[geometry.window_at(group, out_rows.start)..];
        windows::add(image, &columns[i * part_len..], &taps);
    }
}
