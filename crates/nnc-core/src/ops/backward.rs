//! Backward passes that write parameter gradients straight to where they stay.
//!
//! candle's own `backward` makes a zero tensor for each gradient and then a third one for the sum; for a network's
//! parameters that costs more than their arithmetic. During [`backward`] a sink is active on the calling thread:
//! an operator of this module whose argument is a variable writes (or adds) the gradient there and reports `None` to
//! candle, which accepts that for variables. Under candle's plain `backward` no sink is active and the operators
//! return every gradient, so both give the same numbers.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result as CandleResult, Shape, Tensor, TensorId};

use super::gemm::Place;
use super::kernel::fresh::filled;
use super::parallel::for_each;
use crate::Result;

thread_local! {
    static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Sink(HashMap<TensorId, (Vec<f32>, Shape)>);

/// An active sink; dropping it puts back that of an enclosing `backward` (work stealing can nest them).
struct Active {
    enclosing: Option<Sink>,
}

impl Active {
    fn start() -> Self {
        Self { enclosing: SINK.replace(Some(Sink::default())) }
    }

    fn finish(self) -> Sink {
        SINK.take().unwrap_or_default()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        SINK.set(self.enclosing.take());
    }
}

/// The gradients of the scalar `loss` with respect to every variable that it depends on.
///
/// The same numbers as `loss.backward()`, faster for networks made of this module's operators.
///
/// # Errors
/// What an operator's backward pass reports.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Var};
/// use nnc_core::ops::{self, Activation};
/// # fn main() -> nnc_core::Result<()> {
/// let w = Var::new(&[[1.0_f32, -2.0]], &Device::Cpu)?;
/// let x = Var::new(&[[3.0_f32, 1.0]], &Device::Cpu)?;
/// let y = ops::linear(&x, &w, None, Activation::Relu)?; // 3 − 2 = 1
/// let gradients = ops::backward(&y.sum_all()?)?;
/// assert_eq!(gradients.get(&w).unwrap().to_vec2::<f32>()?, [[3.0, 1.0]]);
/// # Ok(()) }
/// ```
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let active = Active::start();
    let mut gradients = loss.backward()?;
    for (id, (values, shape)) in active.finish().0 {
        let gradient = Tensor::from_vec(values, shape, &Device::Cpu)?;
        // A variable that candle's operators use too has a part of its gradient there.
        let gradient = match gradients.get_id(id) {
            Some(part) => gradient.add(part)?,
            None => gradient,
        };
        gradients.insert_id(id, gradient);
    }
    Ok(gradients)
}

/// The gradients of `Σ y · grad` with respect to every variable that `y` depends on: `grad` is taken as y's gradient.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `grad` has another shape than `y`, and as [`backward`].
pub fn backward_from(y: &Tensor, grad: &Tensor) -> Result<GradStore> {
    if y.dims() != grad.dims() {
        return Err(crate::Error::shape("grad", y.dims(), grad.dims()));
    }
    backward(&y.apply_op1(Seed { grad: grad.detach() })?)
}

/// A scalar whose derivative with respect to its argument is `grad`; its value is of no use.
struct Seed {
    grad: Tensor,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "backward_from"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> CandleResult<Option<Tensor>> {
        Ok(Some(self.grad.clone()))
    }
}

/// What the sink holds of the gradient of `arg`.
fn kept(arg: &Tensor) -> Option<Vec<f32>> {
    SINK.with_borrow_mut(|sink| {
        let sink = sink.as_mut().filter(|_| arg.is_variable())?;
        sink.0.remove(&arg.id()).map(|(values, _)| values)
    })
}

/// A place for the gradient of one argument of an operator.
pub(crate) struct Slot {
    /// What is there so far, zeros at first.
    pub(crate) values: Vec<f32>,
    /// Whether `values` holds a gradient that is to be added to; otherwise they are zeros and may be overwritten.
    pub(crate) accumulate: bool,
}

impl Slot {
    /// A place for the gradient of `arg`, or `None` where nobody asks for it.
    pub(crate) fn of(arg: &Tensor) -> Option<Self> {
        if !arg.track_op() {
            return None;
        }
        Some(match kept(arg) {
            Some(values) => Self { values, accumulate: true },
            None => Self { values: vec![0.0; arg.elem_count()], accumulate: false },
        })
    }

    /// Hands the finished gradient to the sink, or to candle.
    pub(crate) fn deliver(self, arg: &Tensor) -> CandleResult<Option<Tensor>> {
        let values = SINK.with_borrow_mut(|sink| match sink.as_mut().filter(|_| arg.is_variable()) {
            Some(sink) => {
                sink.0.insert(arg.id(), (self.values, arg.shape().clone()));
                None
            }
            None => Some(self.values),
        });
        values.map(|values| Tensor::from_vec(values, arg.shape(), arg.device())).transpose()
    }
}

/// Writes the gradient of `arg` with `write(values, accumulate)` and hands it over, where somebody asks for it.
pub(crate) fn deliver(
    arg: &Tensor,
    write: impl FnOnce(&mut [f32], bool) -> CandleResult<()>,
) -> CandleResult<Option<Tensor>> {
    let Some(mut slot) = Slot::of(arg) else { return Ok(None) };
    write(&mut slot.values, slot.accumulate)?;
    slot.deliver(arg)
}

/// Makes the gradient of `arg` of products, one for each piece of `piece` elements (the last may have fewer), and hands it
/// over, where somebody asks for it.
///
/// `write` gets the index of a piece and its place, and returns it with the product in it.
pub(crate) fn deliver_products(
    arg: &Tensor,
    piece: usize,
    work: usize,
    write: impl for<'a> Fn(usize, Place<'a>) -> &'a mut [f32] + Sync,
) -> CandleResult<Option<Tensor>> {
    if !arg.track_op() {
        return Ok(None);
    }
    let values = match kept(arg) {
        Some(mut values) => {
            for_each(values.chunks_mut(piece.max(1)).enumerate(), work, |(i, piece)| {
                write(i, Place::Sum(piece));
            });
            values
        }
        None => filled(arg.elem_count(), piece, work, |i, piece| write(i, Place::Blank(piece))),
    };
    Slot { values, accumulate: true }.deliver(arg)
}
