//! Depthwise convolutions: each output channel sees one input channel.
//!
//! There is no sum over channels for a product of matrices to do, so the loops run over taps, and inside over what lies side by
//! side in the result: channels of a pixel, or pixels of a row (`loops.rs`). Where that lies apart in the image, or where a channel has more
//! than one output, the part that a task sees is put in order first. The loops are plain Rust, compiled once more for AVX2 and
//! for AVX-512; integers make the bits the same.
#![allow(unsafe_code, reason = "the call from a detected instruction set to the loops compiled for it")]

mod loops;

use std::ops::Range;

use super::config::Geometry;
use super::image::{Image, ImageLayout, ImageMut};
use super::turn::turn;
use crate::job;
use crate::kernel::{Isa, Kernel};
use crate::output::{Element, Stage};
use crate::pack::Byte;
use crate::parallel::{TASKS, for_each_chunk};
use crate::{Result, gemm, scratch};

/// Bytes put in order at once, about: they stay in the second cache.
const STRIP: usize = 256 << 10;

/// Weights of a depthwise convolution.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    /// Less their zero point: (taps, outputs).
    weights: Vec<i16>,
    outputs: usize,
    n_taps: usize,
    max_magnitude: i64,
}

impl Depthwise {
    /// For weights of shape (outputs, 1, taps).
    pub(crate) fn new<W: Byte>(weights: &[W], outputs: usize, n_taps: usize, zero_point: W) -> Self {
        let value = |weight: W| {
            i16::try_from(weight.value() - zero_point.value()).expect("a difference of bytes has 9 bits")
        };
        let taps = 0..if outputs == 0 { 0 } else { n_taps };
        let by_taps = taps.flat_map(|tap| weights.iter().skip(tap).step_by(n_taps).map(|&w| value(w)));
        let max_magnitude = gemm::max_magnitude(zero_point);
        Self { weights: by_taps.collect(), outputs, n_taps, max_magnitude }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&self.weights[..])
    }

    /// Convolves an image whose shape and stages were checked.
    pub(crate) fn run<T: Byte, O: Element>(
        &self,
        kernel: Kernel,
        (image, geometry): (Image<'_, T>, Geometry),
        stages: &[Stage<'_>],
        out: ImageMut<'_, O>,
    ) -> Result<()> {
        job::max_sum(gemm::max_magnitude(image.zero_point) * self.max_magnitude, self.n_taps)?;
        if out.data.is_empty() {
            return Ok(());
        }
        let ((n_rows, width), isa) = (geometry.output, kernel.isa());
        let task = Task { weights: self, geometry, stages, zero_point: image.zero_point.value() };
        let ns = out.data.len().saturating_mul(self.n_taps) / products_per_ns(isa);
        match out.layout {
            ImageLayout::Nhwc => {
                let line = width * self.outputs;
                let most = (STRIP / line.max(geometry.input.1 * self.outputs)).max(1);
                let lines = (out.shape.0 * n_rows).div_ceil(TASKS).min(most);
                for_each_chunk(out.data, lines * line, ns, |i, mut out| {
                    let mut first = i * lines;
                    while !out.is_empty() {
                        let (n, oy) = (first / n_rows, first % n_rows);
                        let rows = oy..n_rows.min(oy + out.len() / line);
                        first += rows.len();
                        let (part, rest) = out.split_at_mut(rows.len() * line);
                        task.pixels(isa, (image, n), rows, part);
                        out = rest;
                    }
                });
            }
            ImageLayout::Nchw => for_each_chunk(out.data, n_rows * width, ns, |i, out| {
                task.plane(isa, (image, i / self.outputs), i % self.outputs, out);
            }),
        }
        Ok(())
    }
}

/// Products a nanosecond, about: for the choice whether a second thread pays.
fn products_per_ns(isa: Isa) -> usize {
    match isa {
        Isa::Scalar => 1,
        Isa::Avx2 | Isa::AvxVnni => 5,
        _ => 10,
    }
}

/// A convolution, checked.
#[derive(Clone, Copy)]
struct Task<'a> {
    weights: &'a Depthwise,
    geometry: Geometry,
    stages: &'a [Stage<'a>],
    zero_point: i32,
}

/// A part of the result, and what of an image it is computed from.
enum Part<'a, T, O> {
    /// Whole rows from `first` on with the channels of a pixel side by side; `data` begins with row `first_row` of the image and
    /// has a value for each output of a pixel.
    Pixels { data: &'a [T], first_row: usize, first: usize, out: &'a mut [O] },
    /// All pixels of one channel.
    Plane { data: &'a [T], output: usize, out: &'a mut [O] },
}

impl Task<'_> {
    /// The same for bytes made unsigned.
    fn unsigned<T: Byte>(self) -> Self {
        Self { zero_point: self.zero_point + T::TO_UNSIGNED, ..self }
    }

    /// Computes `rows` of image `n` with the channels of a pixel side by side.
    fn pixels<T: Byte, O: Element>(
        &self,
        isa: Isa,
        (image, n): (Image<'_, T>, usize),
        rows: Range<usize>,
        out: &mut [O],
    ) {
        let (_, c, h, w) = image.shape;
        let (data, outputs) = (&image.data[n * c * h * w..][..c * h * w], self.weights.outputs);
        let first = rows.start;
        if image.layout == ImageLayout::Nhwc && outputs == c {
            return run(isa, self, Part::Pixels { data, first_row: 0, first, out });
        }
        let (below, per_channel) = (self.geometry.rows_under(rows), outputs / c);
        let n_pixels = below.len() * w;
        scratch::strip(n_pixels * outputs, |strip| {
            for repeat in (0..per_channel).filter(|_| n_pixels > 0) {
                let (to, sizes) = ((&mut strip[repeat..], per_channel, outputs), (c, n_pixels));
                let start = below.start * w;
                match image.layout {
                    ImageLayout::Nhwc => turn((&data[start * c..], 1, c), to, sizes),
                    ImageLayout::Nchw => turn((&data[start..], h * w, 1), to, sizes),
                }
            }
            let part = Part::Pixels { data: &*strip, first_row: below.start, first, out };
            run(isa, &self.unsigned::<T>(), part);
        });
    }

    /// Computes the pixels of one output channel of image `n`.
    fn plane<T: Byte, O: Element>(
        &self,
        isa: Isa,
        (image, n): (Image<'_, T>, usize),
        output: usize,
        out: &mut [O],
    ) {
        let (_, c, h, w) = image.shape;
        let data = &image.data[n * c * h * w..][..c * h * w];
        let channel = output / (self.weights.outputs / c);
        if image.layout == ImageLayout::Nchw {
            let data = &data[channel * h * w..][..h * w];
            return run(isa, self, Part::Plane { data, output, out });
        }
        scratch::strip(h * w, |strip| {
            for (to, from) in strip.iter_mut().zip(data.iter().skip(channel).step_by(c)) {
                *to = from.unsigned();
            }
            run(isa, &self.unsigned::<T>(), Part::Plane { data: &*strip, output, out });
        });
    }
}

/// Computes a part of the result with what `isa` has.
fn run<T: Byte, O: Element>(isa: Isa, task: &Task<'_>, part: Part<'_, T, O>) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<T: Byte, O: Element>(task: &Task<'_>, part: Part<'_, T, O>) {
            task.run(part);
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn avx512<T: Byte, O: Element>(task: &Task<'_>, part: Part<'_, T, O>) {
            task.run(part);
        }

        match isa {
            Isa::Scalar => {}
            // SAFETY: the instruction set is that of a `Kernel`, so the processor has it, and AVX2.
            Isa::Avx2 | Isa::AvxVnni => return unsafe { avx2(task, part) },
            // SAFETY: the processor has AVX-512 with bytes and short vectors: both kernels need it.
            Isa::Avx512Vnni | Isa::Amx => return unsafe { avx512(task, part) },
        }
    }
    let _ = isa;
    task.run(part);
}
