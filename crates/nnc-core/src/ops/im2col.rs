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
use super::kernel::lines::{self, Lines};

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

    /// Calls `visit(index, tap)` for every tap of a group.
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

/// The output rows of a tile that a tap serves; the others read padding.
struct Rows {
    /// Counted from the tile's first.
    served: Range<usize>,
    /// The input row that the first of them reads.
    first: usize,
}

impl Rows {
    fn of(geometry: &Geometry, out_rows: &Range<usize>, tap: &Tap) -> Self {
        let (stride, padding) = (geometry.config.stride.0, geometry.config.padding.0);
        let start = padding.saturating_sub(tap.down).div_ceil(stride).clamp(out_rows.start, out_rows.end);
        let end = (geometry.input.0 + padding).saturating_sub(tap.down).div_ceil(stride);
        let end = end.clamp(start, out_rows.end);
        let first = (start * stride + tap.down).saturating_sub(padding);
        Self { served: start - out_rows.start..end - out_rows.start, first }
    }
}

/// One tap's line of the columns and the lines of the image that it reads.
struct Reads {
    rows: Rows,
    cols: Span,
    /// Of the first read element, in an image.
    offset: usize,
    /// Of the place of that element, in the image's part of the columns' line.
    place: usize,
    lines: Lines,
}

impl Reads {
    /// Of nothing where `None`: the tap reads only padding.
    fn of(geometry: &Geometry, out_rows: &Range<usize>, tap: &Tap) -> Option<Self> {
        let (rows, cols) = (Rows::of(geometry, out_rows, tap), tap.cols);
        let (width, packed) = (geometry.input.1, geometry.output.1);
        let lines = Lines {
            rows: rows.served.len(),
            width: cols.end - cols.start,
            pitch: width * geometry.config.stride.0,
            packed,
        };
        let offset = tap.channel * geometry.in_plane() + rows.first * width + cols.first;
        let place = rows.served.start * packed + cols.start;
        (lines.rows > 0 && lines.width > 0).then_some(Self { rows, cols, offset, place, lines })
    }

    /// Writes zeros to the places in `line`, the part of one image, that read padding.
    fn pad(&self, line: &mut [f32]) {
        let packed = self.lines.packed;
        line[..self.rows.served.start * packed].fill(0.0);
        line[self.rows.served.end * packed..].fill(0.0);
        if self.lines.width < packed {
            for row in self.rows.served.clone() {
                let row = &mut line[row * packed..(row + 1) * packed];
                row[..self.cols.start].iter_mut().for_each(|out| *out = 0.0);
                row[self.cols.end..].iter_mut().for_each(|out| *out = 0.0);
            }
        }
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
    let part_len = out_rows.len() * geometry.output.1;
    let pixels = images.len() / image_len * part_len;
    let stride = geometry.config.stride.1;
    geometry.taps_of(group, |tap_idx, tap| {
        let line = &mut columns[tap_idx * pixels..(tap_idx + 1) * pixels];
        let Some(reads) = Reads::of(geometry, &out_rows, &tap) else { return line.fill(0.0) };
        for (part, image) in line.chunks_exact_mut(part_len).zip(images.chunks_exact(image_len)) {
            reads.pad(part);
            let (part, image) = (&mut part[reads.place..], &image[reads.offset..]);
            if stride == 1 {
                lines::copy(part, image, reads.lines);
                continue;
            }
            for row in 0..reads.lines.rows {
                let out = &mut part[row * reads.lines.packed..][..reads.lines.width];
                let source = image[row * reads.lines.pitch..].iter().step_by(stride);
                out.iter_mut().zip(source).for_each(|(out, source)| *out = *source);
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
    let part_len = out_rows.len() * geometry.output.1;
    let pixels = images.len() / image_len * part_len;
    let stride = geometry.config.stride.1;
    geometry.taps_of(group, |tap_idx, tap| {
        let line = &columns[tap_idx * pixels..(tap_idx + 1) * pixels];
        let Some(reads) = Reads::of(geometry, &out_rows, &tap) else { return };
        for (part, image) in line.chunks_exact(part_len).zip(images.chunks_exact_mut(image_len)) {
            let (part, image) = (&part[reads.place..], &mut image[reads.offset..]);
            if stride == 1 {
                lines::add(image, part, reads.lines);
                continue;
            }
            for row in 0..reads.lines.rows {
                let source = &part[row * reads.lines.packed..][..reads.lines.width];
                let out = image[row * reads.lines.pitch..].iter_mut().step_by(stride);
                out.zip(source).for_each(|(out, source)| *out += *source);
            }
        }
    });
}
