//! The windows of images as rows of a left factor.
//!
//! ```text
//! row = output pixel (image, oy, ox)      | ky 0: kx 0: c0 c1 ... | kx 1: c0 c1 ... | ... | ky 1: ... |
//! ```
//!
//! A task writes the rows of its block only. With the channels of a pixel side by side, and taps too, a kernel's row is one
//! run of bytes; other images are turned first, as far as the block sees them.

use std::ops::Range;

use super::config::Geometry;
use super::image::{Image, ImageLayout};
use super::turn::turn;
use crate::kernel::{Kernel, Rows};
use crate::lhs::{self, Lhs};
use crate::pack::{Byte, copy_unsigned};
use crate::{MatRef, Order, gemm, scratch};

/// The windows of some images over some channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a, T> {
    pub(crate) image: Image<'a, T>,
    pub(crate) geometry: Geometry,
    /// The first image and how many.
    pub(crate) images: (usize, usize),
    /// The first channel and how many.
    pub(crate) channels: (usize, usize),
}

/// Pixels with their channels side by side.
#[derive(Clone, Copy, Debug)]
struct Pixels<'a, T> {
    data: &'a [T],
    /// The image's row with which `data` begins.
    first_row: usize,
    /// Elements from pixel to pixel.
    pitch: usize,
    /// The byte for padding.
    zero: u8,
}

impl<T: Byte> Windows<'_, T> {
    /// Output pixels of an image.
    fn n_pixels(&self) -> usize {
        self.geometry.output.0 * self.geometry.output.1
    }

    /// The byte that stands for 0.
    fn zero(&self) -> u8 {
        self.image.zero_point.unsigned()
    }

    /// Writes windows of image `image` from pixel `first` on.
    fn pack_image(&self, image: usize, first: usize, out: &mut [u8], stride: usize) {
        let (_, c, h, w) = self.image.shape;
        let data = &self.image.data[image * c * h * w..][..c * h * w];
        match self.image.layout {
            ImageLayout::Nhwc => {
                let data = data.get(self.channels.0..).unwrap_or_default();
                let pixels = Pixels { data, first_row: 0, pitch: c, zero: self.zero() };
                self.gather(pixels, first, out, stride);
            }
            ImageLayout::Nchw => {
                let width = self.geometry.output.1;
                let last = first + out.len() / stride - 1;
                let rows = self.geometry.rows_under(first / width..last / width + 1);
                let (n_pixels, (first_channel, n_channels)) = (rows.len() * w, self.channels);
                scratch::strip(n_pixels * n_channels, |strip| {
                    if n_pixels > 0 {
                        let planes = &data[first_channel * h * w..][..n_channels * h * w];
                        let from = (planes.get(rows.start * w..).unwrap_or_default(), h * w, 1);
                        turn(from, (strip, 1, n_channels), (n_channels, n_pixels));
                    }
                    let (data, pitch, zero) = (&*strip, n_channels, self.zero());
                    self.gather(Pixels { data, first_row: rows.start, pitch, zero }, first, out, stride);
                });
            }
        }
    }

    /// Copies the windows from output pixel `first` on.
    fn gather<U: Byte>(&self, pixels: Pixels<'_, U>, first: usize, out: &mut [u8], stride: usize) {
        let (line, depth) = (self.geometry.config.kernel.1 * self.channels.1, self.depth());
        let (mut oy, mut ox) = (first / self.geometry.output.1, first % self.geometry.output.1);
        for row in out.chunks_exact_mut(stride) {
            let (window, rest) = row.split_at_mut(depth);
            if !rest.is_empty() {
                rest.fill(0);
            }
            if depth > 0 {
                for (ky, line) in window.chunks_exact_mut(line).enumerate() {
                    match self.geometry.row(oy, ky) {
                        Some(y) => self.gather_line(pixels, (y, ox), line),
                        None => line.fill(pixels.zero),
                    }
                }
            }
            ox += 1;
            if ox == self.geometry.output.1 {
                (oy, ox) = (oy + 1, 0);
            }
        }
    }

    /// Copies what row `y` of the image has for the window in column `ox`.
    fn gather_line<U: Byte>(&self, pixels: Pixels<'_, U>, (y, ox): (usize, usize), line: &mut [u8]) {
        let Geometry { config, input: (_, w), .. } = self.geometry;
        let n_channels = self.channels.1;
        let row = (y - pixels.first_row) * w;
        if config.dilation.1 > 1 || pixels.pitch != n_channels {
            for (kx, out) in line.chunks_exact_mut(n_channels).enumerate() {
                match self.geometry.col(ox, kx) {
                    Some(x) => copy_unsigned(&pixels.data[(row + x) * pixels.pitch..][..n_channels], out),
                    None => out.fill(pixels.zero),
                }
            }
            return;
        }
        // The taps side by side that are in the image, `start..end`, are one run.
        let (x, left, n_taps) = (ox * config.stride.1, config.padding.left, config.kernel.1);
        let start = left.saturating_sub(x).min(n_taps);
        let end = (w + left).saturating_sub(x).clamp(start, n_taps);
        let line = if end - start < n_taps {
            line[..start * n_channels].fill(pixels.zero);
            line[end * n_channels..].fill(pixels.zero);
            &mut line[start * n_channels..end * n_channels]
        } else {
            line
        };
        if start < end {
            copy_unsigned(&pixels.data[(row + x + start - left) * n_channels..][..line.len()], line);
        }
    }
}

impl<T: Byte> Lhs for Windows<'_, T> {
    fn n_rows(&self) -> usize {
        self.images.1 * self.n_pixels()
    }

    fn depth(&self) -> usize {
        self.geometry.config.kernel.0 * self.geometry.config.kernel.1 * self.channels.1
    }

    fn zero_point(&self) -> i32 {
        self.image.zero_point.value() + T::TO_UNSIGNED
    }

    fn max_magnitude(&self) -> i64 {
        gemm::max_magnitude(self.image.zero_point)
    }

    /// Pixels whose channels lie side by side are the windows of a 1 × 1 kernel.
    fn in_place(&self, kernel: Kernel, rows: Range<usize>) -> Option<Rows<'_>> {
        if self.image.layout != ImageLayout::Nhwc || !self.geometry.is_pointwise() || self.channels.1 == 0 {
            return None;
        }
        let (_, c, h, w) = self.image.shape;
        let data = &self.image.data[self.images.0 * c * h * w..][self.channels.0..];
        let matrix = MatRef::strided(data, self.n_rows(), self.channels.1, Order::RowMajor, c);
        lhs::in_place(kernel, matrix.ok()?, rows)
    }

    fn pack(&self, first: usize, out: &mut [u8], stride: usize) {
        let (n_pixels, mut first, mut out) = (self.n_pixels(), first, out);
        while !out.is_empty() {
            let (image, pixel) = (first / n_pixels, first % n_pixels);
            let n_rows = (n_pixels - pixel).min(out.len() / stride);
            let (part, rest) = out.split_at_mut(n_rows * stride);
            self.pack_image(self.images.0 + image, pixel, part, stride);
            (first, out) = (first + n_rows, rest);
        }
    }
}
