//! Parameter updates in place, without temporaries.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result as CandleResult, Tensor, Var, bail};

use super::args::{floats, prepared};
use super::kernel::pointwise::sgd_step;
use super::parallel::for_each;
use crate::{Error, Result};

/// The numbers of one step of stochastic gradient descent with momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdMomentum {
    /// The learning rate.
    pub learning_rate: f32,
    /// The share of the velocity that is kept.
    pub momentum: f32,
    /// What is added to the gradient, in units of the parameter.
    pub weight_decay: f32,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
}

/// One step: `v ← m·v + (g + λ·p)`, then `p ← p − η·v`, with Nesterov `p ← p − η·(g + λ·p + m·v)`; PyTorch's definition.
///
/// # Panics
/// Where the three lengths differ.
///
/// # Source
/// Sutskever et al., ICML 2013, §2, in the form of `torch.optim.SGD` (dampening 0): the learning rate multiplies the
/// velocity instead of entering it.
pub fn sgd_momentum_update(param: &mut [f32], velocity: &mut [f32], grad: &[f32], step: &SgdMomentum) {
    assert_eq!(
        (param.len(), param.len()),
        (velocity.len(), grad.len()),
        "parameter, velocity and gradient differ"
    );
    let parts = param.chunks_mut(TASK).zip(velocity.chunks_mut(TASK)).zip(grad.chunks(TASK));
    for_each(parts, WORK * grad.len(), |((param, velocity), grad)| {
        sgd_step(param, velocity, grad, step);
    });
}

/// Elements that one task handles.
const TASK: usize = 32 << 10;

/// An element's cost in multiply-adds, about: three arrays read, two written.
const WORK: usize = 16;

/// Calls `update(parameter, gradient)` on the elements of `param` where they are, without a copy.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where the gradient has another shape, [`InvalidArgument`](Error::InvalidArgument)
/// for a dtype other than f32, and candle's error where the two share storage or live elsewhere than on the CPU.
pub fn update_in_place(param: &Var, grad: &Tensor, update: impl FnMut(&mut [f32], &[f32])) -> Result<()> {
    if param.dims() != grad.dims() {
        return Err(Error::shape("grad", param.dims(), grad.dims()));
    }
    Ok(param.inplace_op2(&prepared("grad", grad)?, &Update(RefCell::new(update)))?)
}

struct Update<F>(RefCell<F>);

impl<F: FnMut(&mut [f32], &[f32])> InplaceOp2 for Update<F> {
    fn name(&self) -> &'static str {
        "update_in_place"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        lp: &Layout,
        grad: &CpuStorage,
        lg: &Layout,
    ) -> CandleResult<()> {
        match (param, lp.contiguous_offsets()) {
            (CpuStorage::F32(param), Some((start, end))) => {
                self.0.borrow_mut()(&mut param[start..end], floats(grad, lg)?);
                Ok(())
            }
            _ => bail!("update_in_place: expected a contiguous f32 variable, got {lp:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn two_steps_are_those_of_pytorch() {
        // torch.optim.SGD 2.15, lr 0.1, momentum 0.9, weight decay 0.01, gradients (0.5, −1) then (0.25, 2).
        let expected = [(false, [0.877_151, -2.004_302]), (true, [0.812_574_1, -2.100_148_2])];
        for (nesterov, expected) in expected {
            let step = SgdMomentum { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov };
            let param = Var::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
            let mut velocity = [0.0; 2];
            for grad in [[0.5_f32, -1.0], [0.25, 2.0]] {
                let grad = Tensor::new(&grad, &Device::Cpu).unwrap();
                update_in_place(&param, &grad, |p, g| sgd_momentum_update(p, &mut velocity, g, &step))
                    .unwrap();
            }
            let param = param.to_vec1::<f32>().unwrap();
            assert!(param.iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-6), "{nesterov}: {param:?}");
        }
    }

    #[test]
    fn a_gradient_of_another_shape_is_an_error() {
        let param = Var::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        let grad = Tensor::new(&[1.0_f32], &Device::Cpu).unwrap();
        assert!(matches!(update_in_place(&param, &grad, |_, _| ()), Err(Error::ShapeMismatch { .. })));
        assert!(update_in_place(&param, param.as_tensor(), |_, _| ()).is_err(), "shared storage");
    }
}
