//! Convolutions with bias, activation and max pooling in one operator.
//!
//! Images are turned into columns (see [`im2col`](super::im2col)) a tile at a time, so that the tile, its product and
//! what is made of it stay in a core's cache. Fusing the pooling keeps the convolution's output there too: only the
//! pooled maps and the places of their maxima are ever written to memory.

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, image, prepared, shaped};
use super::backward::Slot;
use super::config::{Activation, Conv2dConfig, Pool2dConfig};
use super::gemm::{Mat, MatMut, matmul};
use super::im2col::{Geometry, add_unpadded, col2im, im2col, pad};
use super::kernel::pointwise::{add_bias, rectified_gradient, rectify};
use super::kernel::rows;
use super::parallel::{MAX_PARTIALS, chunk_size, for_each};
use super::pool::Windows;
use super::scratch::Scratch;
use crate::{Error, Result};

/// `act(x ∗ w + b)` for `x` (B, C, H, W), `w` (O, C / groups, KH, KW) and `b` (O); returns (B, O, OH, OW).
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) where shapes, dtypes or
/// settings do not agree.
pub fn conv2d(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    config: &Conv2dConfig,
    activation: Activation,
) -> Result<Tensor> {
    apply(x, w, b, config, activation, None)
}

/// `max_pool2d(conv2d(x, w, b, config, act), pool)`, the same numbers in one operator.
///
/// # Errors
/// As [`conv2d`] and [`max_pool2d`](super::max_pool2d).
pub fn conv2d_max_pool2d(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    config: &Conv2dConfig,
    activation: Activation,
    pool: &Pool2dConfig,
) -> Result<Tensor> {
    apply(x, w, b, config, activation, Some(pool))
}

fn apply(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    config: &Conv2dConfig,
    activation: Activation,
    pool: Option<&Pool2dConfig>,
) -> Result<Tensor> {
    let (x, [batch, in_channels, height, width]) = image("x", x)?;
    let (out_channels, group_inputs, kernel_h, kernel_w) = w.dims4()?;
    let (input, kernel) = ((height, width), (kernel_h, kernel_w));
    let output = config.output_size(input, kernel)?;
    if group_inputs.checked_mul(config.groups) != Some(in_channels) {
        return Err(Error::shape(
            "w",
            &[out_channels, in_channels / config.groups, kernel_h, kernel_w],
            w.dims(),
        ));
    }
    if !out_channels.is_multiple_of(config.groups) {
        return Err(Error::invalid(
            "groups",
            format!("a divisor of the {out_channels} outputs"),
            config.groups,
        ));
    }
    if let Some(0) = [in_channels, out_channels].into_iter().min() {
        return Err(Error::invalid("channels", "at least 1", 0));
    }
    let geometry = Geometry { batch, in_channels, input, out_channels, kernel, output, config: *config };
    let pool = pool.map(|pool| Windows::of_maxima(output, pool)).transpose()?;
    let w = prepared("w", w)?;
    let op = Conv2d { geometry, activation, pool, choices: OnceLock::new() };
    Ok(match b {
        Some(b) => x.apply_op3(&w, &shaped("b", b, &[out_channels])?, op)?,
        None => x.apply_op2(&w, op)?,
    })
}

/// Floats of a tile's columns: half a megabyte, a part of a core's second-level cache.
const TILE: usize = 160 << 10;

struct Conv2d {
    geometry: Geometry,
    activation: Activation,
    pool: Option<Windows>,
    choices: OnceLock<Vec<u16>>,
}

impl Conv2d {
    /// Images handled together: as many as fill a tile, but so few that there are pieces to share out.
    fn images_per_unit(&self) -> usize {
        let columns = self.geometry.taps() * self.geometry.out_plane();
        let fitting = (TILE / columns.max(1)).max(1);
        chunk_size(self.geometry.batch, fitting.min(self.geometry.batch.div_ceil(MAX_PARTIALS)))
    }

    /// Output rows of a tile, when it holds `images`.
    fn rows_per_tile(&self, images: usize) -> usize {
        let row = self.geometry.taps() * self.geometry.output.1 * images;
        chunk_size(self.geometry.output.0, (TILE / row.max(1)).max(1))
    }

    fn row_tiles(&self, images: usize) -> impl Iterator<Item = Range<usize>> {
        let (height, step) = (self.geometry.output.0, self.rows_per_tile(images));
        (0..height).step_by(step).map(move |start| start..(start + step).min(height))
    }

    /// Elements of one image of the operator's result.
    fn result_len(&self) -> usize {
        self.geometry.out_channels * self.result_plane()
    }

    fn result_plane(&self) -> usize {
        self.pool.map_or(self.geometry.out_plane(), |pool| pool.out_plane())
    }

    fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> (CpuStorage, Shape) {
        let geometry = &self.geometry;
        let image_len = geometry.in_channels * geometry.in_plane();
        let unit = self.images_per_unit();
        let mut out = vec![0.0; geometry.batch * self.result_len()];
        let mut choices = vec![0_u16; if self.pool.is_some() { out.len() } else { 0 }];
        let choice_chunks = choices.chunks_mut((unit * self.result_len()).max(1)).map(Some);
        let tasks = out
            .chunks_mut((unit * self.result_len()).max(1))
            .zip(choice_chunks.chain(std::iter::repeat_with(|| None)))
            .zip(x.chunks((unit * image_len).max(1)));
        for_each(tasks, geometry.work(), |((out, choices), x)| {
            self.forward_unit(x, w, b, out, choices.unwrap_or_default());
        });
        let _ = self.choices.set(choices);
        let (height, width) = self.pool.map_or(geometry.output, |pool| pool.output);
        (CpuStorage::F32(out), Shape::from((geometry.batch, geometry.out_channels, height, width)))
    }

    /// The results of the whole images `x`.
    fn forward_unit(&self, x: &[f32], w: &[f32], b: Option<&[f32]>, out: &mut [f32], choices: &mut [u16]) {
        let geometry = &self.geometry;
        let images = out.len() / self.result_len();
        let (outputs, pixels) = (geometry.group_outputs(), images * geometry.out_plane());
        let padded = self.padded(x);
        let x = padded.as_deref().unwrap_or(x);
        let mut product = Scratch::new(if self.keeps_layout(images) { 0 } else { outputs * pixels });
        for (group, w) in w.chunks_exact(outputs * geometry.taps()).enumerate() {
            if self.keeps_layout(images) {
                let out = &mut out[group * outputs * pixels..][..outputs * pixels];
                self.multiply(x, w, group, out);
                for (i, plane) in out.chunks_exact_mut(pixels).enumerate() {
                    self.activate(plane, b.map(|b| b[group * outputs + i]));
                }
            } else {
                self.multiply(x, w, group, &mut product);
                self.finish(&product, group, b, out, choices);
            }
        }
    }

    /// Whether the product of a unit of `images` lies as the result does: image by image, not pooled.
    fn keeps_layout(&self, images: usize) -> bool {
        images == 1 && self.pool.is_none()
    }

    /// Writes the (outputs × pixels) product of `group`'s weights and the columns of the padded images `x`.
    fn multiply(&self, x: &[f32], w: &[f32], group: usize, product: &mut [f32]) {
        let (geometry, images) = (&self.geometry, x.len() / self.geometry.padded_len());
        let (outputs, taps, row) = (geometry.group_outputs(), geometry.taps(), geometry.output.1);
        for tile in self.row_tiles(images) {
            let (at, width) = (tile.start * row, tile.len() * row * images);
            let mut columns = Scratch::new(taps * width);
            im2col(geometry, x, group, tile, &mut columns);
            // A tile of several images holds all their rows, so its pixels are consecutive too.
            let target = MatMut::strided(&mut product[at..], outputs, width, images * geometry.out_plane());
            matmul(target, Mat::new(w, outputs, taps), Mat::new(&columns, taps, width), false);
        }
    }

    /// The images `x` with their padding, where there is any.
    fn padded(&self, x: &[f32]) -> Option<Scratch> {
        let geometry = &self.geometry;
        geometry.is_padded().then(|| {
            let images = x.len() / (geometry.in_channels * geometry.in_plane());
            let mut padded = Scratch::new(images * geometry.padded_len());
            pad(geometry, x, &mut padded);
            padded
        })
    }

    /// Adds the bias, pools and activates the (outputs × pixels) `product` of one group, and writes it to the images `out`.
    fn finish(&self, product: &[f32], group: usize, b: Option<&[f32]>, out: &mut [f32], choices: &mut [u16]) {
        let (plane_len, images) = (self.result_plane(), out.len() / self.result_len());
        let planes = product.chunks_exact(self.geometry.out_plane()).enumerate();
        for (i, plane) in planes {
            let (channel, image) = (group * self.geometry.group_outputs() + i / images, i % images);
            let at = image * self.result_len() + channel * plane_len;
            let out = &mut out[at..at + plane_len];
            match &self.pool {
                Some(pool) => pool.max_plane(plane, out, &mut choices[at..at + plane_len]),
                None => out.copy_from_slice(plane),
            }
            // Rounding is monotonic, so adding the bias after the maximum gives the same bits as before it.
            self.activate(out, b.map(|b| b[channel]));
        }
    }

    /// Adds `bias` to a plane of the result and activates it.
    fn activate(&self, plane: &mut [f32], bias: Option<f32>) {
        let relu = self.activation == Activation::Relu;
        match bias {
            Some(bias) => add_bias(plane, bias, relu),
            None if relu => rectify(plane),
            None => {}
        }
    }

    /// The gradient of the product of one group, (outputs × pixels), from that of the images `grad` with results `y`.
    fn product_gradient(&self, grad: &[f32], y: &[f32], choices: &[u16], group: usize, out: &mut [f32]) {
        let (plane_len, images) = (self.result_plane(), grad.len() / self.result_len());
        let relu = self.activation == Activation::Relu;
        let mut masked = Scratch::new(plane_len);
        for (i, out) in out.chunks_exact_mut(self.geometry.out_plane()).enumerate() {
            let (channel, image) = (group * self.geometry.group_outputs() + i / images, i % images);
            let at = image * self.result_len() + channel * plane_len;
            let range = at..at + plane_len;
            let (grad, y) = (&grad[range.clone()], &y[range.clone()]);
            match &self.pool {
                Some(pool) if relu => {
                    rectified_gradient(&mut masked, grad, y);
                    pool.unpool_plane(&masked, &choices[range], out);
                }
                Some(pool) => pool.unpool_plane(grad, &choices[range], out),
                None if relu => rectified_gradient(out, grad, y),
                None => out.copy_from_slice(grad),
            }
        }
    }

    fn backward(
        &self,
        [x, w]: [&Tensor; 2],
        b: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<[Option<Tensor>; 3]> {
        let geometry = &self.geometry;
        let grad = grad.contiguous()?;
        let mut slots = [Slot::of(x), Slot::of(w), b.and_then(Slot::of)];
        let [slot_x, slot_w, slot_b] = &mut slots;
        {
            let (x, w, y, grad) = (Floats::of(x)?, Floats::of(w)?, Floats::of(y)?, Floats::of(&grad)?);
            let images = self.images_per_task();
            let mut tasks = self.tasks(images, slot_x.as_mut(), slot_w.is_some(), slot_b.is_some());
            let (image_len, result_len) = (geometry.in_channels * geometry.in_plane(), self.result_len());
            let choices = self.choices.get().expect("the forward pass comes first");
            let shared = Shared { x: &x, w: &w, y: &y, grad: &grad, choices, image_len, result_len };
            for_each(tasks.iter_mut(), 3 * geometry.work(), |task| {
                self.backward_task(task, &shared);
            });
            self.reduce(&tasks, slot_w.as_mut(), slot_b.as_mut());
        }
        let [slot_x, slot_w, slot_b] = slots;
        Ok([
            slot_x.map_or(Ok(None), |slot| slot.deliver(x))?,
            slot_w.map_or(Ok(None), |slot| slot.deliver(w))?,
            b.zip(slot_b).map_or(Ok(None), |(b, slot)| slot.deliver(b))?,
        ])
    }

    /// Images whose weight gradients are summed into one partial result: whole units, [`MAX_PARTIALS`] sums at most.
    fn images_per_task(&self) -> usize {
        let unit = self.images_per_unit();
        self.geometry.batch.div_ceil(unit).div_ceil(MAX_PARTIALS).max(1) * unit
    }

    fn tasks<'a>(
        &self,
        images: usize,
        slot_x: Option<&'a mut Slot>,
        for_w: bool,
        for_b: bool,
    ) -> Vec<Task<'a>> {
        let geometry = &self.geometry;
        let weights = geometry.out_channels * geometry.taps();
        let image_len = geometry.in_channels * geometry.in_plane();
        let mut grad_x = slot_x.map(|slot| slot.values.chunks_mut((images * image_len).max(1)));
        (0..geometry.batch.div_ceil(images))
            .map(|i| Task {
                images: i * images..((i + 1) * images).min(geometry.batch),
                grad_x: grad_x.as_mut().and_then(Iterator::next),
                grad_w: for_w.then(|| Scratch::new(weights)),
                grad_b: for_b.then(|| Scratch::zeros(geometry.out_channels)),
            })
            .collect()
    }

    fn backward_task(&self, task: &mut Task<'_>, shared: &Shared<'_>) {
        let step = self.images_per_unit();
        for start in task.images.clone().step_by(step) {
            let unit = start..(start + step).min(task.images.end);
            self.backward_unit(task, shared, unit);
        }
    }

    fn backward_unit(&self, task: &mut Task<'_>, shared: &Shared<'_>, unit: Range<usize>) {
        let geometry = &self.geometry;
        let (outputs, taps, images) = (geometry.group_outputs(), geometry.taps(), unit.len());
        let pixels = images * geometry.out_plane();
        let of_unit = |len: usize| unit.start * len..unit.end * len;
        let x = &shared.x[of_unit(shared.image_len)];
        let padded = task.grad_w.as_ref().and_then(|_| self.padded(x));
        let x = padded.as_deref().unwrap_or(x);
        let results = of_unit(shared.result_len);
        let choices = if self.pool.is_some() { &shared.choices[results.clone()] } else { &[] };
        let local = unit.start - task.images.start;
        let given = self.keeps_layout(images) && self.activation == Activation::None;
        let mut made = Scratch::new(if given { 0 } else { outputs * pixels });
        let mut grad_padded = (task.grad_x.is_some() && geometry.is_padded())
            .then(|| Scratch::zeros(images * geometry.padded_len()));
        for group in 0..geometry.config.groups {
            let (grad, y) = (&shared.grad[results.clone()], &shared.y[results.clone()]);
            let grad_y = if given {
                &grad[group * outputs * pixels..][..outputs * pixels]
            } else {
                self.product_gradient(grad, y, choices, group, &mut made);
                &made
            };
            if let Some(grad_b) = &mut task.grad_b {
                let sums = grad_y.chunks_exact(pixels.max(1)).map(rows::sum);
                grad_b[group * outputs..].iter_mut().zip(sums).for_each(|(b, sum)| *b += sum);
            }
            for tile in self.row_tiles(images) {
                let (at, width) = (tile.start * geometry.output.1, tile.len() * geometry.output.1 * images);
                let first = local == 0 && tile.start == 0;
                let grad_y = Mat::strided(&grad_y[at..], outputs, width, pixels);
                let mut columns = Scratch::new(taps * width);
                if let Some(grad_w) = &mut task.grad_w {
                    im2col(geometry, x, group, tile.clone(), &mut columns);
                    // (taps × outputs), the transpose of the weight: the product reads the columns as they lie.
                    let part = &mut grad_w[group * taps * outputs..][..taps * outputs];
                    let target = MatMut::new(part, taps, outputs);
                    matmul(target, Mat::new(&columns, taps, width), grad_y.t(), !first);
                }
                if let Some(grad_x) = &mut task.grad_x {
                    let w = &shared.w[group * outputs * taps..][..outputs * taps];
                    let target = MatMut::new(&mut columns, taps, width);
                    matmul(target, Mat::new(w, outputs, taps).t(), grad_y, false);
                    let grad_x = &mut grad_x[local * shared.image_len..][..images * shared.image_len];
                    let grad_x = grad_padded.as_deref_mut().unwrap_or(grad_x);
                    col2im(geometry, &columns, group, tile, grad_x);
                }
            }
        }
        if let (Some(grad_x), Some(padded)) = (&mut task.grad_x, grad_padded) {
            add_unpadded(geometry, &padded, &mut grad_x[local * shared.image_len..]);
        }
    }

    /// Adds up the tasks' partial sums in their order.
    fn reduce(&self, tasks: &[Task<'_>], slot_w: Option<&mut Slot>, slot_b: Option<&mut Slot>) {
        let (outputs, taps) = (self.geometry.group_outputs(), self.geometry.taps());
        if let Some(slot) = slot_w {
            let mut sum = Scratch::zeros(self.geometry.out_channels * taps);
            tasks.iter().filter_map(|task| task.grad_w.as_deref()).for_each(|part| rows::add(&mut sum, part));
            let groups =
                slot.values.chunks_exact_mut((outputs * taps).max(1)).zip(sum.chunks_exact(outputs * taps));
            for (out, sum) in groups {
                for (o, out) in out.chunks_exact_mut(taps.max(1)).enumerate() {
                    let column = sum[o..].iter().step_by(outputs);
                    for (out, value) in out.iter_mut().zip(column) {
                        *out = if slot.accumulate { *out + *value } else { *value };
                    }
                }
            }
        }
        if let Some(slot) = slot_b {
            tasks
                .iter()
                .filter_map(|task| task.grad_b.as_deref())
                .for_each(|part| rows::add(&mut slot.values, part));
        }
    }
}

/// What every task of a backward pass reads.
struct Shared<'a> {
    x: &'a [f32],
    w: &'a [f32],
    y: &'a [f32],
    grad: &'a [f32],
    choices: &'a [u16],
    image_len: usize,
    result_len: usize,
}

/// The part of a backward pass that belongs to some consecutive images.
struct Task<'a> {
    images: Range<usize>,
    grad_x: Option<&'a mut [f32]>,
    /// For each group (taps × outputs).
    grad_w: Option<Scratch>,
    grad_b: Option<Scratch>,
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        Ok(self.forward(floats(x, lx)?, floats(w, lw)?, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_w, _] = self.backward([x, w], None, y, grad)?;
        Ok((grad_x, grad_w))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        Ok(self.forward(floats(x, lx)?, floats(w, lw)?, Some(floats(b, lb)?)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_w, grad_b] = self.backward([x, w], Some(b), y, grad)?;
        Ok((grad_x, grad_w, grad_b))
    }
}
