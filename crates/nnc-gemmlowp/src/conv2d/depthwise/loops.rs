//! The loops of a depthwise convolution, inlined into a function for each instruction set.

use std::ops::Range;

use super::{Part, Task};
use crate::conv2d::config::Geometry;
use crate::output::{Element, Per, Stage};
use crate::pack::Byte;

/// Sums that are kept in registers.
const BLOCK: usize = 64;

#[allow(clippy::inline_always, reason = "compiled for the instruction set of each caller")]
impl Task<'_> {
    /// Computes a part of the result.
    #[inline(always)]
    pub(super) fn run<T: Byte, O: Element>(&self, part: Part<'_, T, O>) {
        let (outputs, width) = (self.weights.outputs, self.geometry.output.1);
        match part {
            Part::Pixels { data, first_row, first, out } => {
                for (i, out) in out.chunks_exact_mut(outputs).enumerate() {
                    let place = (first + i / width, i % width);
                    self.run_pixel((data, first_row), place, out);
                }
            }
            Part::Plane { data, output, out } => {
                for (oy, out) in out.chunks_exact_mut(width).enumerate() {
                    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
                        self.run_columns(data, output, (oy, i * BLOCK), out);
                    }
                }
            }
        }
    }

    /// The outputs of one pixel.
    #[inline(always)]
    fn run_pixel<T: Byte, O: Element>(
        &self,
        (data, first_row): (&[T], usize),
        (oy, ox): (usize, usize),
        out: &mut [O],
    ) {
        let ((_, w), outputs) = (self.geometry.input, self.weights.outputs);
        let (down, across) = self.geometry.config.kernel;
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (first, mut sums) = (i * BLOCK, [0_i32; BLOCK]);
            for ky in 0..down {
                let Some(y) = self.geometry.row(oy, ky) else { continue };
                for kx in 0..across {
                    let Some(x) = self.geometry.col(ox, kx) else { continue };
                    let at = ((y - first_row) * w + x) * outputs + first;
                    let weights = &self.weights.weights[(ky * across + kx) * outputs + first..][..out.len()];
                    self.add(&mut sums, &data[at..][..out.len()], weights);
                }
            }
            finish(self.stages, &mut sums, Cols::From(first), out);
        }
    }

    /// Pixels of row `oy` of one output channel, from column `first` on.
    #[inline(always)]
    fn run_columns<T: Byte, O: Element>(
        &self,
        data: &[T],
        output: usize,
        (oy, first): (usize, usize),
        out: &mut [O],
    ) {
        let Geometry { config, input: (_, w), .. } = self.geometry;
        let mut sums = [0_i32; BLOCK];
        for ky in 0..config.kernel.0 {
            let Some(y) = self.geometry.row(oy, ky) else { continue };
            for kx in 0..config.kernel.1 {
                let inside = self.inside(kx, first..first + out.len());
                if inside.is_empty() {
                    continue;
                }
                let Some(x) = self.geometry.col(inside.start, kx) else { continue };
                let tap = ky * config.kernel.1 + kx;
                let weight = i32::from(self.weights.weights[tap * self.weights.outputs + output]);
                let values = &data[y * w + x..(y + 1) * w];
                let sums = &mut sums[inside.start - first..inside.end - first];
                if config.stride.1 == 1 {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += (value.value() - self.zero_point) * weight;
                    }
                } else {
                    for (sum, value) in sums.iter_mut().zip(values.iter().step_by(config.stride.1)) {
                        *sum += (value.value() - self.zero_point) * weight;
                    }
                }
            }
        }
        finish(self.stages, &mut sums, Cols::All(output), out);
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

    /// Adds the products of values and weights side by side.
    #[inline(always)]
    fn add<T: Byte>(&self, sums: &mut [i32; BLOCK], values: &[T], weights: &[i16]) {
        // Full blocks apart: their number of steps is known, and the sums stay in registers.
        match (values.first_chunk::<BLOCK>(), weights.first_chunk::<BLOCK>()) {
            (Some(values), Some(weights)) => {
                for i in 0..BLOCK {
                    sums[i] += (values[i].value() - self.zero_point) * i32::from(weights[i]);
                }
            }
            _ => {
                for ((sum, value), &weight) in sums.iter_mut().zip(values).zip(weights) {
                    *sum += (value.value() - self.zero_point) * i32::from(weight);
                }
            }
        }
    }
}

/// Which output channels sums belong to.
#[derive(Clone, Copy)]
enum Cols {
    /// One after another from this one on.
    From(usize),
    /// All to this one.
    All(usize),
}

/// Takes sums through the stages, one stage after another, and stores as many as `out` has: the others may be anything.
#[allow(clippy::inline_always, reason = "compiled for the instruction set of each caller")]
#[inline(always)]
fn finish<O: Element>(stages: &[Stage<'_>], sums: &mut [i32; BLOCK], cols: Cols, out: &mut [O]) {
    let col = |i: usize| match cols {
        Cols::From(first) => first + i,
        Cols::All(col) => col,
    };
    for stage in stages {
        // The stages of almost every layer apart: loops without a choice in them.
        match (*stage, cols) {
            (Stage::Bias(Per::Col(biases)), Cols::From(first)) => {
                for (sum, &bias) in sums.iter_mut().zip(&biases[first..]) {
                    *sum = sum.wrapping_add(bias);
                }
            }
            (Stage::Bias(bias), _) => {
                let bias = bias.at(0, col(0));
                for sum in sums.iter_mut() {
                    *sum = sum.wrapping_add(bias);
                }
            }
            (Stage::Scale { multiplier: Per::Col(multipliers), offset }, Cols::From(first)) => {
                match multipliers[first..].first_chunk::<BLOCK>() {
                    Some(multipliers) => {
                        for i in 0..BLOCK {
                            sums[i] = multipliers[i].apply(sums[i]).wrapping_add(offset);
                        }
                    }
                    None => {
                        for (sum, multiplier) in sums.iter_mut().zip(&multipliers[first..]) {
                            *sum = multiplier.apply(*sum).wrapping_add(offset);
                        }
                    }
                }
            }
            (Stage::Scale { multiplier, offset }, _) => {
                let multiplier = multiplier.at(0, col(0));
                for sum in sums.iter_mut() {
                    *sum = multiplier.apply(*sum).wrapping_add(offset);
                }
            }
            (Stage::Clamp { min, max }, _) => {
                for sum in sums.iter_mut() {
                    *sum = (*sum).clamp(min, max);
                }
            }
            _ => {
                for (i, sum) in sums.iter_mut().take(out.len()).enumerate() {
                    *sum = stage.apply(*sum, 0, col(i));
                }
            }
        }
    }
    if let Some(Stage::Dequantize { scale, bias }) = stages.last() {
        for (i, (out, &sum)) in out.iter_mut().zip(&*sums).enumerate() {
            *out = O::real(sum, scale.at(0, col(i)), bias.at(0, col(i)));
        }
    } else {
        for (out, &sum) in out.iter_mut().zip(&*sums) {
            *out = O::saturate(sum);
        }
    }
}
