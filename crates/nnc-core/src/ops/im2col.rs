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
use super::rows;

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

    /// Calls `visit(tap, channel, row_offset, column)` for every tap of a group; offsets are into the padded input.
    fn taps_of(&self, group: usize, mut visit: impl FnMut(usize, Tap)) {
        let channels = group * self.group_inputs()..(group + 1) * self.group_inputs();
        let mut tap = 0;
        for channel in channels {
            for row in 0..self.kernel.0 {
                for col in 0..self.kernel.1 {
                    let (down, right) = (row * self.config.dilation.0, col * self.config.dilation.1);
                    visit(tap, Tap { channel, down, cols: Span::of(self, right) });
                    tap += 1;
                }
            }
        }
    }
}

/// One tap: its channel, its row in the window, and which output columns it serves.
#[derive(Clone, Copy)]
struct Tap {
    channel: usize,
    down: usize,
    cols: Span,
}

/// Output columns `start..end` read input columns `first, first + stride, …`; the others read padding.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    first: usize,
}

impl Span {
    fn of(geometry: &Geometry, right: usize) -> Self {
        let (stride, padding) = (geometry.config.stride.1, geometry.config.padding.1);
        let end = (geometry.input.1 + padding).saturating_sub(right).div_ceil(stride).min(geometry.output.1);
        let start = padding.saturating_sub(right).div_ceil(stride).min(end);
        let first = (start * stride + right).saturating_sub(padding).min(geometry.input.1);
        Self { start, end, first }
    }
}

impl Geometry {
    /// The input row that output row `out_row` reads through `tap`, if it is not padding.
    fn input_row(&self, out_row: usize, tap: &Tap) -> Option<usize> {
        let row = (out_row * self.config.stride.0 + tap.down).checked_sub(self.config.padding.0)?;
        (row < self.input.0).then_some(row)
    }
}

/// Writes the columns of `group` for the output rows `out_rows` of all `images` (whole images, one after another).
///
/// `columns` is (taps × pixels), the pixels of one image after those of another.
pub(crate) fn im2col(
    geometry: &Geometry,
    images: &[f32],
    group: usize,
    out_rows: Range<usize>,
    columns: &mut [f32],
) {
    let image_len = geometry.in_channels * geometry.in_plane();
    let pixels = images.len() / image_len * out_rows.len() * geometry.output.1;
    let stride = geometry.config.stride.1;
    geometry.taps_of(group, |tap_idx, tap| {
        let mut line = columns[tap_idx * pixels..(tap_idx + 1) * pixels].chunks_exact_mut(geometry.output.1);
        for image in images.chunks_exact(image_len) {
            let plane = &image[tap.channel * geometry.in_plane()..][..geometry.in_plane()];
            for (out_row, out) in out_rows.clone().zip(&mut line) {
                let Some(row) = geometry.input_row(out_row, &tap) else {
                    out.fill(0.0);
                    continue;
                };
                let Span { start, end, first } = tap.cols;
                out[..start].fill(0.0);
                out[end..].fill(0.0);
                let out = &mut out[start..end];
                let source = &plane[row * geometry.input.1..(row + 1) * geometry.input.1];
                if stride == 1 {
                    rows::copy(out, &source[first..first + out.len()]);
                } else {
                    for (out, source) in out.iter_mut().zip(source[first..].iter().step_by(stride)) {
                        *out = *source;
                    }
                }
            }
        }
    });
}

/// Adds the columns back to the inputs that they were read from: the adjoint of [`im2col`].
pub(crate) fn col2im(
    geometry: &Geometry,
    columns: &[f32],
    group: usize,
    out_rows: Range<usize>,
    images: &mut [f32],
) {
    let image_len = geometry.in_channels * geometry.in_plane();
    let pixels = images.len() / image_len * out_rows.len() * geometry.output.1;
    let stride = geometry.config.stride.1;
    geometry.taps_of(group, |tap_idx, tap| {
        let mut line = columns[tap_idx * pixels..(tap_idx + 1) * pixels].chunks_exact(geometry.output.1);
        for image in images.chunks_exact_mut(image_len) {
            let plane = &mut image[tap.channel * geometry.in_plane()..][..geometry.in_plane()];
            for (out_row, out) in out_rows.clone().zip(&mut line) {
                let Some(row) = geometry.input_row(out_row, &tap) else { continue };
                let Span { start, end, first } = tap.cols;
                let out = &out[start..end];
                let target = &mut plane[row * geometry.input.1..(row + 1) * geometry.input.1];
                if stride == 1 {
                    rows::add(&mut target[first..first + out.len()], out);
                } else {
                    for (target, out) in target[first..].iter_mut().step_by(stride).zip(out) {
                        *target += *out;
                    }
                }
            }
        }
    });
}
