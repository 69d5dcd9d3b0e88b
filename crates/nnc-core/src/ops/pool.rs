//! Maximum and average pooling with PyTorch's gradients.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, image};
use super::backward::deliver;
use super::config::Pool2dConfig;
use super::kernel::pool::{max_2x2, unpool_2x2};
use super::parallel::for_each;
use crate::{Error, Result};

/// The maximum of each window of `x` (B, C, H, W); borders are never chosen.
///
/// The gradient goes whole to the first maximum in row-major order, as in PyTorch; a NaN is a maximum.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for another rank or dtype, impossible settings, or a window of more than
/// 65 536 elements.
pub fn max_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    let (x, [batch, channels, height, width]) = image("x", x)?;
    let windows = Windows::of_maxima((height, width), config)?;
    Ok(x.apply_op1(MaxPool {
        planes: batch * channels,
        dims: [batch, channels],
        windows,
        choices: OnceLock::new(),
    })?)
}

/// The mean of each window of `x` (B, C, H, W).
///
/// With `count_include_pad` the divisor counts the border's zeros, but nothing beyond it, as in PyTorch.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for another rank or dtype, or impossible settings.
pub fn avg_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    let (x, [batch, channels, height, width]) = image("x", x)?;
    let windows = Windows::new((height, width), config)?;
    Ok(x.apply_op1(AvgPool { planes: batch * channels, dims: [batch, channels], windows })?)
}

/// The sizes of one pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) input: (usize, usize),
    pub(crate) output: (usize, usize),
    config: Pool2dConfig,
}

/// The part of one window inside the input, and the first row and column of the whole window, counted with the border.
struct Window {
    rows: std::ops::Range<usize>,
    cols: std::ops::Range<usize>,
    top: usize,
    left: usize,
}

impl Windows {
    pub(crate) fn new(input: (usize, usize), config: &Pool2dConfig) -> Result<Self> {
        Ok(Self { input, output: config.output_size(input)?, config: *config })
    }

    /// [`Self::new`] for windows whose elements a `u16` can name.
    pub(crate) fn of_maxima(input: (usize, usize), config: &Pool2dConfig) -> Result<Self> {
        let area = config.kernel.0.saturating_mul(config.kernel.1);
        if area > 1 << 16 {
            return Err(Error::invalid("kernel", "at most 65536 elements", area));
        }
        Self::new(input, config)
    }

    pub(crate) fn in_plane(&self) -> usize {
        self.input.0 * self.input.1
    }

    pub(crate) fn out_plane(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Elements that are read, about: what decides on threads.
    fn work(&self, planes: usize) -> usize {
        planes * self.out_plane() * self.config.kernel.0 * self.config.kernel.1
    }

    fn window(&self, row: usize, col: usize) -> Window {
        let (kernel, stride, padding) = (self.config.kernel, self.config.stride, self.config.padding);
        let (top, left) = (row * stride.0, col * stride.1);
        let axis = |start: usize, kernel: usize, padding: usize, size: usize| {
            start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(size)
        };
        Window {
            rows: axis(top, kernel.0, padding.0, self.input.0),
            cols: axis(left, kernel.1, padding.1, self.input.1),
            top,
            left,
        }
    }

    /// What the average of a window divides by.
    fn divisor(&self, window: &Window) -> usize {
        let inside = |range: &std::ops::Range<usize>| range.len();
        if !self.config.count_include_pad {
            return inside(&window.rows) * inside(&window.cols);
        }
        let (kernel, padding) = (self.config.kernel, self.config.padding);
        let counted = |start: usize, kernel: usize, padding: usize, size: usize| {
            kernel.min((size + 2 * padding).saturating_sub(start))
        };
        counted(window.top, kernel.0, padding.0, self.input.0)
            * counted(window.left, kernel.1, padding.1, self.input.1)
    }

    /// The maxima of one plane and, for each, which element of its window it is (row-major, from the window's corner).
    pub(crate) fn max_plane(&self, plane: &[f32], out: &mut [f32], choices: &mut [u16]) {
        if self.halves() {
            return max_2x2(plane, out, choices, self.output.1);
        }
        let mut place = out.iter_mut().zip(choices);
        for row in 0..self.output.0 {
            for col in 0..self.output.1 {
                let (out, choice) = place.next().expect("one place for each window");
                (*out, *choice) = self.max_window(plane, &self.window(row, col));
            }
        }
    }

    fn max_window(&self, plane: &[f32], window: &Window) -> (f32, u16) {
        let (padding, kernel) = (self.config.padding, self.config.kernel);
        let (mut best, mut at) = (f32::NEG_INFINITY, (window.rows.start, window.cols.start));
        for row in window.rows.clone() {
            for col in window.cols.clone() {
                let value = plane[row * self.input.1 + col];
                if value > best || value.is_nan() {
                    (best, at) = (value, (row, col));
                }
            }
        }
        let choice = (at.0 + padding.0 - window.top) * kernel.1 + at.1 + padding.1 - window.left;
        (best, u16::try_from(choice).expect("`max_pool2d` limits the window's area"))
    }

    /// Whether these are 2 × 2 windows that cover the input once: the most common ones.
    fn halves(&self) -> bool {
        (self.config.kernel, self.config.stride, self.config.padding) == ((2, 2), (2, 2), (0, 0))
            && self.input == (2 * self.output.0, 2 * self.output.1)
    }

    /// Writes the gradient of a plane: each window's to the element that was chosen, 0 elsewhere.
    pub(crate) fn unpool_plane(&self, gradients: &[f32], choices: &[u16], plane: &mut [f32]) {
        if self.halves() {
            return unpool_2x2(plane, gradients, choices, self.output.1);
        }
        plane.fill(0.0);
        self.add_unpooled(gradients, choices, plane);
    }

    /// Adds each gradient to the element of `plane` that was chosen.
    fn add_unpooled(&self, gradients: &[f32], choices: &[u16], plane: &mut [f32]) {
        let (padding, kernel, stride) = (self.config.padding, self.config.kernel, self.config.stride);
        let mut each = gradients.iter().zip(choices);
        for row in 0..self.output.0 {
            for col in 0..self.output.1 {
                let Some((gradient, &choice)) = each.next() else { return };
                let choice = usize::from(choice);
                let (down, right) = (choice / kernel.1, choice % kernel.1);
                let at =
                    (row * stride.0 + down - padding.0) * self.input.1 + col * stride.1 + right - padding.1;
                plane[at] += gradient;
            }
        }
    }
}

struct MaxPool {
    planes: usize,
    dims: [usize; 2],
    windows: Windows,
    choices: OnceLock<Vec<u16>>,
}

/// Planes that one task handles.
const TASK_PLANES: usize = 64;

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (x, windows) = (floats(x, layout)?, &self.windows);
        let (in_plane, out_plane) = (windows.in_plane().max(1), windows.out_plane().max(1));
        let mut out = vec![0.0; self.planes * out_plane];
        let mut choices = vec![0; self.planes * out_plane];
        let tasks = out
            .chunks_mut(out_plane * TASK_PLANES)
            .zip(choices.chunks_mut(out_plane * TASK_PLANES))
            .zip(x.chunks(in_plane * TASK_PLANES));
        for_each(tasks, windows.work(self.planes), |((out, choices), x)| {
            let places = out.chunks_mut(out_plane).zip(choices.chunks_mut(out_plane));
            for (x, (out, choices)) in x.chunks(in_plane).zip(places) {
                windows.max_plane(x, out, choices);
            }
        });
        // A second forward of the same operator (there is none) would choose the same.
        let _ = self.choices.set(choices);
        let [batch, channels] = self.dims;
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, windows.output.0, windows.output.1))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (grad, windows) = (Floats::of(&grad)?, &self.windows);
        let choices = self.choices.get().expect("the forward pass comes first");
        let (in_plane, out_plane) = (windows.in_plane().max(1), windows.out_plane().max(1));
        deliver(x, |out, _| {
            let gradients = grad.chunks(out_plane * TASK_PLANES).zip(choices.chunks(out_plane * TASK_PLANES));
            let tasks = out.chunks_mut(in_plane * TASK_PLANES).zip(gradients);
            for_each(tasks, windows.work(self.planes), |(out, (grad, choices))| {
                let gradients = grad.chunks(out_plane).zip(choices.chunks(out_plane));
                for (out, (grad, choices)) in out.chunks_mut(in_plane).zip(gradients) {
                    windows.add_unpooled(grad, choices, out);
                }
            });
            Ok(())
        })
    }
}

struct AvgPool {
    planes: usize,
    dims: [usize; 2],
    windows: Windows,
}

impl AvgPool {
    /// Calls `visit(output index, window, 1 / divisor)` for each window of a plane.
    fn each(&self, mut visit: impl FnMut(usize, &Window, f32)) {
        let mut idx = 0;
        for row in 0..self.windows.output.0 {
            for col in 0..self.windows.output.1 {
                let window = self.windows.window(row, col);
                #[allow(clippy::cast_precision_loss, reason = "a window has fewer than 2^24 elements")]
                visit(idx, &window, 1.0 / self.windows.divisor(&window) as f32);
                idx += 1;
            }
        }
    }
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (x, windows) = (floats(x, layout)?, &self.windows);
        let (in_plane, out_plane) = (windows.in_plane().max(1), windows.out_plane().max(1));
        let mut out = vec![0.0; self.planes * out_plane];
        let tasks = out.chunks_mut(out_plane * TASK_PLANES).zip(x.chunks(in_plane * TASK_PLANES));
        for_each(tasks, windows.work(self.planes), |(out, x)| {
            for (out, plane) in out.chunks_mut(out_plane).zip(x.chunks(in_plane)) {
                self.each(|idx, window, scale| {
                    let lines =
                        window.rows.clone().map(|row| &plane[row * windows.input.1..][window.cols.clone()]);
                    out[idx] = lines.flatten().sum::<f32>() * scale;
                });
            }
        });
        let [batch, channels] = self.dims;
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, windows.output.0, windows.output.1))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (grad, windows) = (Floats::of(&grad)?, &self.windows);
        let (in_plane, out_plane) = (windows.in_plane().max(1), windows.out_plane().max(1));
        deliver(x, |out, _| {
            let tasks = out.chunks_mut(in_plane * TASK_PLANES).zip(grad.chunks(out_plane * TASK_PLANES));
            for_each(tasks, windows.work(self.planes), |(out, grad)| {
                for (plane, grad) in out.chunks_mut(in_plane).zip(grad.chunks(out_plane)) {
                    self.each(|idx, window, scale| {
                        for row in window.rows.clone() {
                            let line = &mut plane[row * windows.input.1..][window.cols.clone()];
                            line.iter_mut().for_each(|value| *value += grad[idx] * scale);
                        }
                    });
                }
            });
            Ok(())
        })
    }
}
