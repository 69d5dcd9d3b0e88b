//! Functions of one element.

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `min(max(x, low), high)`.
    Clip(f64, f64),
    /// `|x|`.
    Abs,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
}

/// `function` of each element.
pub fn pointwise(x: &[f64], function: Function) -> Vec<f64> {
    let value = |x: f64| match function {
        Function::Relu => x.max(0.0),
        Function::Relu6 => x.clamp(0.0, 6.0),
        Function::Clip(low, high) => x.clamp(low, high),
        Function::Abs => x.abs(),
        Function::Tanh => x.tanh(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    };
    x.iter().map(|&x| value(x)).collect()
}

/// The gradient of `x` of [`pointwise`].
pub fn pointwise_backward(x: &[f64], function: Function, grad: &[f64]) -> Vec<f64> {
    let when = |condition: bool| if condition { 1.0 } else { 0.0 };
    let slope = |x: f64| match function {
        Function::Relu => when(x > 0.0),
        Function::Relu6 => when(x > 0.0 && x < 6.0),
        Function::Clip(low, high) => when(x >= low && x <= high),
        Function::Abs => when(x > 0.0) - when(x < 0.0),
        Function::Tanh => 1.0 - x.tanh().powi(2),
        Function::Sigmoid => (-x).exp() / (1.0 + (-x).exp()).powi(2),
        Function::HardSwish => when(x >= 3.0) + when(x > -3.0 && x < 3.0) * (2.0 * x + 3.0) / 6.0,
    };
    x.iter().zip(grad).map(|(&x, grad)| slope(x) * grad).collect()
}

/// `x` where positive, else the channel's slope times `x`, for `x` (B, C, plane) and `slopes` (C) or (1).
pub fn prelu(x: &[f64], slopes: &[f64], plane: usize) -> Vec<f64> {
    let slope = |i: usize| slopes[i / plane % slopes.len()];
    x.iter().enumerate().map(|(i, &x)| if x > 0.0 { x } else { slope(i) * x }).collect()
}

/// The gradients of `x` and `slopes` of [`prelu`].
pub fn prelu_backward(x: &[f64], slopes: &[f64], plane: usize, grad: &[f64]) -> [Vec<f64>; 2] {
    let (mut grad_x, mut grad_slopes) = (vec![0.0; x.len()], vec![0.0; slopes.len()]);
    for i in 0..x.len() {
        let channel = i / plane % slopes.len();
        if x[i] > 0.0 {
            grad_x[i] = grad[i];
        } else {
            grad_x[i] = slopes[channel] * grad[i];
            grad_slopes[channel] += x[i] * grad[i];
        }
    }
    [grad_x, grad_slopes]
}
