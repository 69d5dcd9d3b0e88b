//! Linear layers with bias and activation in one operator.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared, shaped};
use super::backward::{deliver, deliver_products};
use super::config::Activation;
use super::gemm::{Mat, MatMut, matmul};
use super::kernel::pointwise::{add_bias_row, rectified_gradient, rectify};
use super::kernel::rows::{self, transpose};
use super::parallel::{chunk_size, for_each};
use super::scratch::Scratch;
use crate::{Error, Result};

/// `act(x · wᵀ + b)` for `x` of shape (B, …) whose other dimensions multiply to I, `w` (O, I) and `b` (O); returns (B, O).
///
/// Further dimensions of `x` are flattened, so that no reshape is needed after a convolution.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) where shapes or dtypes do
/// not agree.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    let (outputs, inputs) = w.dims2()?;
    let batch = *x.dims().first().ok_or_else(|| Error::invalid("x", "at least 1 dimension", 0))?;
    if x.elem_count() != batch * inputs {
        return Err(Error::shape("x", &[batch, inputs], x.dims()));
    }
    let (x, w) = (prepared("x", x)?, prepared("w", w)?);
    if inputs == 0 || outputs == 0 {
        return Err(Error::invalid("w", "no empty dimension", format!("{:?}", w.dims())));
    }
    let op = Linear { batch, inputs, outputs, activation };
    Ok(match b {
        Some(b) => x.apply_op3(&w, &shaped("b", b, &[outputs])?, op)?,
        None => x.apply_op2(&w, op)?,
    })
}

/// Rows of a product that one task makes: whole tiles of the product's kernel, few enough to share out evenly.
fn task_rows(rows: usize) -> usize {
    const TILE: usize = 6;
    chunk_size(rows.div_ceil(TILE), 8) * TILE
}

/// Parts into which the rows of a batch are cut.
const PARTS: usize = 4;

/// Elements that one task transposes, about.
const TRANSPOSED: usize = 16 << 10;

/// An element's cost in multiply-adds when it is transposed.
const TRANSPOSE_WORK: usize = 32;

struct Linear {
    batch: usize,
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

impl Linear {
    fn work(&self) -> usize {
        self.batch * self.inputs * self.outputs
    }

    fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> (CpuStorage, Shape) {
        let &Self { batch, inputs, outputs, .. } = self;
        // The transposed product (O × B) reads the weight as it lies; its other order would transpose all of it first.
        let mut x_columns = Scratch::new(inputs * batch);
        let piece = chunk_size(inputs, TRANSPOSED / batch.max(1));
        let tasks = x_columns.chunks_mut((piece * batch).max(1)).enumerate();
        for_each(tasks, TRANSPOSE_WORK * x.len(), |(i, out)| {
            transpose(&x[i * piece..], inputs, out, out.len() / batch);
        });
        let mut columns = Scratch::new(outputs * batch);
        let piece = task_rows(outputs);
        let tasks = columns.chunks_mut((piece * batch).max(1)).zip(w.chunks(piece * inputs));
        for_each(tasks, self.work(), |(out, w)| {
            let rows = out.len() / batch;
            matmul(
                MatMut::new(out, rows, batch),
                Mat::new(w, rows, inputs),
                Mat::new(&x_columns, inputs, batch),
                false,
            );
        });
        let mut y = vec![0.0; batch * outputs];
        transpose(&columns, batch, &mut y, batch);
        let relu = self.activation == Activation::Relu;
        match b {
            Some(b) => add_bias_row(&mut y, b, relu),
            None if relu => rectify(&mut y),
            None => {}
        }
        (CpuStorage::F32(y), Shape::from((batch, outputs)))
    }

    fn backward(
        &self,
        [x, w]: [&Tensor; 2],
        b: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<[Option<Tensor>; 3]> {
        let &Self { batch, inputs, outputs, .. } = self;
        let grad = grad.contiguous()?;
        let (grad, y) = (Floats::of(&grad)?, Floats::of(y)?);
        let mut masked;
        let grad: &[f32] = match self.activation {
            Activation::None => &grad,
            Activation::Relu => {
                masked = Scratch::new(grad.len());
                rectified_gradient(&mut masked, &grad, &y);
                &masked
            }
        };
        let grad_b = match b {
            Some(b) => deliver(b, |out, _| {
                rows::add_rows(out, grad);
                Ok(())
            })?,
            None => None,
        };
        let (x_values, w_values) = (Floats::of(x)?, Floats::of(w)?);
        let rows_w = task_rows(outputs);
        let grad_w = deliver_products(w, rows_w * inputs, self.work(), |i, place| {
            let rows = place.len() / inputs;
            let grad = Mat::strided(&grad[i * rows_w..], batch, rows, outputs);
            place.take_product(grad.t(), Mat::new(&x_values, batch, inputs))
        })?;
        let rows_x = task_rows(batch.div_ceil(PARTS)).min(batch);
        let grad_x = deliver_products(x, rows_x * inputs, self.work(), |i, place| {
            let rows = place.len() / inputs;
            let grad = Mat::new(&grad[i * rows_x * outputs..], rows, outputs);
            place.take_product(grad, Mat::new(&w_values, outputs, inputs))
        })?;
        Ok([grad_x, grad_w, grad_b])
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
