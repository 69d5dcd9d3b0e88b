//! Linear layers and convolutions: every product that they are sums of, visited once.

use crate::ops::{Activation, Conv2dConfig};

/// `act(x · wᵀ + b)` for `x` (batch × inputs), `w` (outputs × inputs) and `b` (outputs).
pub fn linear(x: &[f64], w: &[f64], b: Option<&[f64]>, batch: usize, activation: Activation) -> Vec<f64> {
    let inputs = x.len() / batch;
    let outputs = w.len() / inputs;
    let mut y = vec![0.0; batch * outputs];
    for_each_linear(batch, inputs, outputs, |out, at_x, at_w| y[out] += x[at_x] * w[at_w]);
    finish(&mut y, b, 1, activation);
    y
}

/// The gradients of `x`, `w` and `b` of [`linear`].
pub fn linear_backward(
    x: &[f64],
    w: &[f64],
    b: Option<&[f64]>,
    batch: usize,
    activation: Activation,
    grad: &[f64],
) -> [Vec<f64>; 3] {
    let y = linear(x, w, b, batch, activation);
    let (inputs, outputs) = (x.len() / batch, y.len() / batch);
    let grad = before_activation(&y, grad, activation);
    let (mut grad_x, mut grad_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    for_each_linear(batch, inputs, outputs, |out, at_x, at_w| {
        grad_x[at_x] += grad[out] * w[at_w];
        grad_w[at_w] += grad[out] * x[at_x];
    });
    [grad_x, grad_w, channel_sums(&grad, outputs, 1)]
}

fn for_each_linear(batch: usize, inputs: usize, outputs: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for image in 0..batch {
        for output in 0..outputs {
            for input in 0..inputs {
                visit(image * outputs + output, image * inputs + input, output * inputs + input);
            }
        }
    }
}

/// `act(x ∗ w + b)` for `x` of shape `x_dims` (B, C, H, W), `w` of shape `w_dims` (O, C / groups, KH, KW) and `b` (O).
///
/// # Panics
/// When the settings do not fit the shapes.
pub fn conv2d(
    (x, x_dims): (&[f64], [usize; 4]),
    (w, w_dims): (&[f64], [usize; 4]),
    b: Option<&[f64]>,
    config: &Conv2dConfig,
    activation: Activation,
) -> Vec<f64> {
    let (height, width) =
        config.output_size((x_dims[2], x_dims[3]), (w_dims[2], w_dims[3])).expect("they fit");
    let mut y = vec![0.0; x_dims[0] * w_dims[0] * height * width];
    for_each_conv(x_dims, w_dims, config, |out, at_x, at_w| y[out] += x[at_x] * w[at_w]);
    finish(&mut y, b, height * width, activation);
    y
}

/// The gradients of `x`, `w` and `b` of [`conv2d`].
///
/// # Panics
/// When the settings do not fit the shapes.
pub fn conv2d_backward(
    (x, x_dims): (&[f64], [usize; 4]),
    (w, w_dims): (&[f64], [usize; 4]),
    b: Option<&[f64]>,
    config: &Conv2dConfig,
    activation: Activation,
    grad: &[f64],
) -> [Vec<f64>; 3] {
    let y = conv2d((x, x_dims), (w, w_dims), b, config, activation);
    let grad = before_activation(&y, grad, activation);
    let (mut grad_x, mut grad_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    for_each_conv(x_dims, w_dims, config, |out, at_x, at_w| {
        grad_x[at_x] += grad[out] * w[at_w];
        grad_w[at_w] += grad[out] * x[at_x];
    });
    let plane = y.len() / (x_dims[0] * w_dims[0]);
    [grad_x, grad_w, channel_sums(&grad, w_dims[0], plane)]
}

/// Visits every product of a convolution: the indices of output, input and weight. Padding is zero, so left out.
fn for_each_conv(
    [batch, channels, height, width]: [usize; 4],
    [outputs, group_inputs, kernel_h, kernel_w]: [usize; 4],
    config: &Conv2dConfig,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (out_h, out_w) = config.output_size((height, width), (kernel_h, kernel_w)).expect("they fit");
    let inside = |at: usize, stride: usize, tap: usize, dilation: usize, padding: usize, size: usize| {
        (at * stride + tap * dilation).checked_sub(padding).filter(|&at| at < size)
    };
    for (image, output) in pairs(batch, outputs) {
        let group = output / (outputs / config.groups);
        for (row, col) in pairs(out_h, out_w) {
            for input in 0..group_inputs {
                for (down, right) in pairs(kernel_h, kernel_w) {
                    let at_row =
                        inside(row, config.stride.0, down, config.dilation.0, config.padding.0, height);
                    let at_col =
                        inside(col, config.stride.1, right, config.dilation.1, config.padding.1, width);
                    let (Some(at_row), Some(at_col)) = (at_row, at_col) else { continue };
                    visit(
                        ((image * outputs + output) * out_h + row) * out_w + col,
                        ((image * channels + group * group_inputs + input) * height + at_row) * width
                            + at_col,
                        ((output * group_inputs + input) * kernel_h + down) * kernel_w + right,
                    );
                }
            }
        }
    }
}

/// Every (i, j) with i < n and j < m, row by row.
pub(super) fn pairs(n: usize, m: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (0..m).map(move |j| (i, j)))
}

fn finish(y: &mut [f64], b: Option<&[f64]>, plane: usize, activation: Activation) {
    for (i, y) in y.iter_mut().enumerate() {
        if let Some(b) = b {
            *y += b[i / plane % b.len()];
        }
        if activation == Activation::Relu {
            *y = y.max(0.0);
        }
    }
}

fn before_activation(y: &[f64], grad: &[f64], activation: Activation) -> Vec<f64> {
    let passes = |y: f64| activation == Activation::None || y > 0.0;
    y.iter().zip(grad).map(|(&y, &grad)| if passes(y) { grad } else { 0.0 }).collect()
}

fn channel_sums(grad: &[f64], channels: usize, plane: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for (i, grad) in grad.iter().enumerate() {
        sums[i / plane % channels] += grad;
    }
    sums
}
