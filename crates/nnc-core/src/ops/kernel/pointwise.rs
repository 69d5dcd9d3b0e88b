//! Loops in which each element stands for itself.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;
use crate::ops::sgd::SgdMomentum;

/// `max(x, 0)`, NaN where `x` is NaN.
#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
pub(crate) fn positive(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

kernel! {
    /// `out ← out + bias`, then the rectifier where `relu`.
    pub(crate) fn add_bias(out: &mut [f32], bias: f32, relu: bool) {
        if relu {
            out.iter_mut().for_each(|y| *y = positive(*y + bias));
        } else {
            out.iter_mut().for_each(|y| *y += bias);
        }
    }
}

kernel! {
    /// `row ← row + bias` for each row of `out`, then the rectifier where `relu`.
    pub(crate) fn add_bias_row(out: &mut [f32], bias: &[f32], relu: bool) {
        for row in out.chunks_exact_mut(bias.len().max(1)) {
            for (y, bias) in row.iter_mut().zip(bias) {
                let sum = *y + *bias;
                *y = if relu { positive(sum) } else { sum };
            }
        }
    }
}

kernel! {
    /// `max(x, 0)` in place.
    pub(crate) fn rectify(out: &mut [f32]) {
        out.iter_mut().for_each(|y| *y = positive(*y));
    }
}

kernel! {
    /// The gradient of a rectifier's argument: `grad` where its result `y` is positive, else 0.
    pub(crate) fn rectified_gradient(out: &mut [f32], grad: &[f32], y: &[f32]) {
        for ((out, &grad), &y) in out.iter_mut().zip(grad).zip(y) {
            *out = if y <= 0.0 { 0.0 } else { grad };
        }
    }
}

kernel! {
    /// One step of [`sgd_momentum_update`](crate::ops::sgd_momentum_update).
    pub(crate) fn sgd_step(param: &mut [f32], velocity: &mut [f32], grad: &[f32], step: &SgdMomentum) {
        let SgdMomentum { learning_rate, momentum, weight_decay, nesterov } = *step;
        for ((p, v), g) in param.iter_mut().zip(velocity).zip(grad) {
            let decayed = g + weight_decay * *p;
            *v = momentum * *v + decayed;
            let direction = if nesterov { decayed + momentum * *v } else { *v };
            *p -= learning_rate * direction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa::for_each_isa;
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for len in [0, 1, 7, 16, 33, 100] {
            let values = |scale: f32| -> Vec<f32> {
                (0..len).map(|i: u16| scale * (f32::from(i) * 0.7).sin()).collect()
            };
            let (a, b, c) = (values(1.0), values(-3.0), values(0.01));
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            for relu in [false, true] {
                for_each_isa(|| {
                    let (mut plane, mut rows, mut gradient) = (a.clone(), a.repeat(3), a.clone());
                    add_bias(&mut plane, 0.25, relu);
                    add_bias_row(&mut rows, &b, relu);
                    rectified_gradient(&mut gradient, &b, &a);
                    [bits(plane), bits(rows), bits(gradient)]
                });
                for_each_isa(|| {
                    let (mut param, mut velocity) = (a.clone(), c.clone());
                    let step =
                        SgdMomentum { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3, nesterov: relu };
                    sgd_step(&mut param, &mut velocity, &b, &step);
                    rectify(&mut velocity);
                    [bits(param), bits(velocity)]
                });
            }
        }
    }

    #[test]
    fn a_rectifier_keeps_nan_and_stops_the_gradient_at_zero() {
        let mut out = [-1.0, 0.0, 2.0, f32::NAN];
        rectify(&mut out);
        assert!(out[..3] == [0.0, 0.0, 2.0] && out[3].is_nan());
        let mut gradient = [9.0; 3];
        rectified_gradient(&mut gradient, &[5.0, 6.0, 7.0], &[-1.0, 0.0, 1.0]);
        assert_eq!(gradient, [0.0, 0.0, 7.0]);
    }
}
