//! Depthwise convolutions: each output channel sees one input channel.
//!
//! There is no sum over channels for a product of matrices to do, so the loops run over taps, and inside over what lies side by
//! side in the result: channels of a pixel, or pixels of a row. They are plain Rust, compiled once more for AVX2 and for
//! AVX-512; integers make the bits the same.
#![allow(unsafe_code, reason = "the call from a detected instruction set to the loops compiled for it")]

use std::ops::Range;

use super::config::Geometry;
use super::image::{Image, ImageLayout, ImageMut};
use crate::job;
use crate::kernel::{Isa, Kernel};
use crate::output::{Element, Per, Stage};
use crate::pack::Byte;
use crate::parallel::{TASKS, for_each_chunk};
use crate::{Result, gemm};

/// Sums that are kept in registers.
const BLOCK: usize = 64;

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
        let (n_rows, width) = geometry.output;
        let (layout, n_images) = (out.layout, out.shape.0);
        let task = Task { weights: self, image, geometry, stages };
        let ns = out.data.len().saturating_mul(self.n_taps) / products_per_ns(kernel.isa());
        let lines = match layout {
            ImageLayout::Nhwc => (n_images * n_rows).div_ceil(TASKS),
            ImageLayout::Nchw => n_rows,
        };
        let line = if layout == ImageLayout::Nhwc { width * self.outputs } else { width };
        for_each_chunk(out.data, lines * line, ns, |i, out| {
            for (j, out) in out.chunks_exact_mut(line).enumerate() {
                let idx = i * lines + j;
                let line = match layout {
                    ImageLayout::Nhwc => Line::Pixels { image: idx / n_rows },
                    ImageLayout::Nchw => {
                        let plane = idx / n_rows;
                        Line::Plane { image: plane / self.outputs, output: plane % self.outputs }
                    }
                };
                run_line(kernel.isa(), &task, (line, idx % n_rows), out);
            }
        });
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

/// What a line of the result holds.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Pixels with their channels side by side.
    Pixels { image: usize },
    /// The pixels of one channel.
    Plane { image: usize, output: usize },
}

/// A convolution, checked.
struct Task<'a, T> {
    weights: &'a Depthwise,
    image: Image<'a, T>,
    geometry: Geometry,
    stages: &'a [Stage<'a>],
}

/// Computes one line of the result, row `oy` of its image, with what `isa` has.
fn run_line<T: Byte, O: Element>(isa: Isa, task: &Task<'_, T>, (line, oy): (Line, usize), out: &mut [O]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<T: Byte, O: Element>(task: &Task<'_, T>, line: Line, oy: usize, out: &mut [O]) {
            task.run(line, oy, out);
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn avx512<T: Byte, O: Element>(task: &Task<'_, T>, line: Line, oy: usize, out: &mut [O]) {
            task.run(line, oy, out);
        }

        match isa {
            Isa::Scalar => {}
            // SAFETY: the instruction set is that of a `Kernel`, so the processor has it, and AVX2.
            Isa::Avx2 | Isa::AvxVnni => return unsafe { avx2(task, line, oy, out) },
            // SAFETY: the processor has AVX-512 with bytes and short vectors: both kernels need it.
            Isa::Avx512Vnni | Isa::Amx => return unsafe { avx512(task, line, oy, out) },
        }
    }
    let _ = isa;
    task.run(line, oy, out);
}

#[allow(clippy::inline_always, reason = "compiled for the instruction set of each caller")]
impl<T: Byte> Task<'_, T> {
    #[inline(always)]
    fn run<O: Element>(&self, line: Line, oy: usize, out: &mut [O]) {
        match line {
            Line::Pixels { image } => {
                for (ox, out) in out.chunks_exact_mut(self.weights.outputs).enumerate() {
                    self.pixel((image, oy, ox), out);
                }
            }
            Line::Plane { image, output } => {
                for (i, out) in out.chunks_mut(BLOCK).enumerate() {
                    self.part_of_plane((image, output), (oy, i * BLOCK), out);
                }
            }
        }
    }

    /// The outputs of one pixel.
    #[inline(always)]
    fn pixel<O: Element>(&self, (image, oy, ox): (usize, usize, usize), out: &mut [O]) {
        let (_, c, h, w) = self.image.shape;
        let (outputs, data) = (self.weights.outputs, &self.image.data[image * c * h * w..][..c * h * w]);
        let is_direct = self.image.layout == ImageLayout::Nhwc && outputs == c;
        let (across, per_channel) = (self.geometry.config.kernel.1, outputs / c);
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (first, mut sums) = (i * BLOCK, [0_i32; BLOCK]);
            for tap in 0..self.weights.n_taps {
                let place = (self.geometry.row(oy, tap / across), self.geometry.col(ox, tap % across));
                let (Some(y), Some(x)) = place else { continue };
                let weights = &self.weights.weights[tap * outputs + first..][..out.len()];
                if is_direct {
                    self.add(&mut sums, &data[(y * w + x) * c + first..][..out.len()], weights);
                } else {
                    let (pixel, channel) = match self.image.layout {
                        ImageLayout::Nhwc => ((y * w + x) * c, 1),
                        ImageLayout::Nchw => (y * w + x, h * w),
                    };
                    for ((sum, &weight), output) in sums.iter_mut().zip(weights).zip(first..) {
                        let value = data[pixel + output / per_channel * channel];
                        *sum += self.value(value) * i32::from(weight);
                    }
                }
            }
            finish(self.stages, &mut sums[..out.len()], |i| first + i, out);
        }
    }

    /// Pixels of row `oy` of one output channel, from column `first` on.
    #[inline(always)]
    fn part_of_plane<O: Element>(
        &self,
        (image, output): (usize, usize),
        (oy, first): (usize, usize),
        out: &mut [O],
    ) {
        let Geometry { config, .. } = self.geometry;
        let (_, c, h, w) = self.image.shape;
        let data = &self.image.data[image * c * h * w..][..c * h * w];
        let channel = output / (self.weights.outputs / c);
        let (start, pitch) = match self.image.layout {
            ImageLayout::Nhwc => (channel, c),
            ImageLayout::Nchw => (channel * h * w, 1),
        };
        let mut sums = [0_i32; BLOCK];
        for tap in 0..self.weights.n_taps {
            let (ky, kx) = (tap / config.kernel.1, tap % config.kernel.1);
            let Some(y) = self.geometry.row(oy, ky) else { continue };
            let inside = self.inside(kx, first..first + out.len());
            let Some(x) = self.geometry.col(inside.start, kx).filter(|_| !inside.is_empty()) else {
                continue;
            };
            let weight = self.weights.weights[tap * self.weights.outputs + output];
            let values = &data[start + (y * w + x) * pitch..];
            let sums = &mut sums[inside.start - first..inside.end - first];
            if pitch * config.stride.1 == 1 {
                let n = sums.len();
                self.add_scaled(sums, &values[..n], weight);
            } else {
                for (sum, &value) in sums.iter_mut().zip(values.iter().step_by(pitch * config.stride.1)) {
                    *sum += self.value(value) * i32::from(weight);
                }
            }
        }
        finish(self.stages, &mut sums[..out.len()], |_| output, out);
    }

    /// The columns of `cols` in which tap `kx` is inside of the image.
    #[inline(always)]
    fn inside(&self, kx: usize, cols: Range<usize>) -> Range<usize> {
        let Geometry { config, input: (_, w), .. } = self.geometry;
        let (tap, left, step) = (kx * config.dilation.1, config.padding.left, config.stride.1);
        // The columns ox with left ≤ ox · step + tap < left + w.
        let start = left.saturating_sub(tap).div_ceil(step).clamp(cols.start, cols.end);
        let end = (left + w).saturating_sub(tap).div_ceil(step).clamp(start, cols.end);
        start..end
    }

    /// What the byte stands for.
    #[inline(always)]
    fn value(&self, value: T) -> i32 {
        value.value() - self.image.zero_point.value()
    }

    #[inline(always)]
    fn add(&self, sums: &mut [i32; BLOCK], values: &[T], weights: &[i16]) {
        // Full blocks apart: their number of steps is known, and the sums stay in registers.
        match (values.first_chunk::<BLOCK>(), weights.first_chunk::<BLOCK>()) {
            (Some(values), Some(weights)) => {
                for i in 0..BLOCK {
                    sums[i] += self.value(values[i]) * i32::from(weights[i]);
                }
            }
            _ => {
                for ((sum, &value), &weight) in sums.iter_mut().zip(values).zip(weights) {
                    *sum += self.value(value) * i32::from(weight);
                }
            }
        }
    }

    #[inline(always)]
    fn add_scaled(&self, sums: &mut [i32], values: &[T], weight: i16) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += self.value(value) * i32::from(weight);
        }
    }
}

/// Takes sums through the stages, one stage after another, and stores them; `col` says which output channel a sum is of.
#[allow(clippy::inline_always, reason = "compiled for the instruction set of each caller")]
#[inline(always)]
fn finish<O: Element>(
    stages: &[Stage<'_>],
    sums: &mut [i32],
    col: impl Fn(usize) -> usize + Copy,
    out: &mut [O],
) {
    for stage in stages {
        match *stage {
            // The stages of almost every layer, without a choice for each number.
            Stage::Scale { multiplier: Per::Tensor(multiplier), offset } => {
                sums.iter_mut().for_each(|sum| *sum = multiplier.apply(*sum).wrapping_add(offset));
            }
            Stage::Scale { multiplier: Per::Col(all), offset } => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = all[col(i)].apply(*sum).wrapping_add(offset);
                }
            }
            Stage::Clamp { min, max } => sums.iter_mut().for_each(|sum| *sum = (*sum).clamp(min, max)),
            _ => sums.iter_mut().enumerate().for_each(|(i, sum)| *sum = stage.apply(*sum, 0, col(i))),
        }
    }
    match stages.last() {
        Some(Stage::Dequantize { scale, bias }) => {
            for (i, (out, &mut sum)) in out.iter_mut().zip(sums).enumerate() {
                *out = O::real(sum, scale.at(0, col(i)), bias.at(0, col(i)));
            }
        }
        _ => out.iter_mut().zip(sums).for_each(|(out, &mut sum)| *out = O::saturate(sum)),
    }
}
