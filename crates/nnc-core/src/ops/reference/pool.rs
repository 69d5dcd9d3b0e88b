//! Pooling.

use super::dense::pairs;
use crate::ops::Pool2dConfig;

/// The maximum of each window of `x` (B, C, H, W).
///
/// # Panics
/// When the settings do not fit the shape.
pub fn max_pool2d(x: &[f64], dims: [usize; 4], config: &Pool2dConfig) -> Vec<f64> {
    windows(dims, config).iter().map(|window| x[first_maximum(x, window)]).collect()
}

/// The gradient of `x` of [`max_pool2d`]: all to the first maximum in row-major order.
///
/// # Panics
/// When the settings do not fit the shape.
pub fn max_pool2d_backward(x: &[f64], dims: [usize; 4], config: &Pool2dConfig, grad: &[f64]) -> Vec<f64> {
    let mut grad_x = vec![0.0; x.len()];
    for (window, grad) in windows(dims, config).iter().zip(grad) {
        grad_x[first_maximum(x, window)] += grad;
    }
    grad_x
}

/// The mean of each window of `x` (B, C, H, W).
///
/// # Panics
/// When the settings do not fit the shape.
pub fn avg_pool2d(x: &[f64], dims: [usize; 4], config: &Pool2dConfig) -> Vec<f64> {
    windows(dims, config)
        .iter()
        .map(|window| window.inside.iter().map(|&at| x[at]).sum::<f64>() / window.divisor)
        .collect()
}

/// The gradient of `x` of [`avg_pool2d`].
///
/// # Panics
/// When the settings do not fit the shape.
pub fn avg_pool2d_backward(x: &[f64], dims: [usize; 4], config: &Pool2dConfig, grad: &[f64]) -> Vec<f64> {
    let mut grad_x = vec![0.0; x.len()];
    for (window, grad) in windows(dims, config).iter().zip(grad) {
        for &at in &window.inside {
            grad_x[at] += grad / window.divisor;
        }
    }
    grad_x
}

struct Window {
    /// Indices into `x` of the window's elements that are not border, row by row.
    inside: Vec<usize>,
    divisor: f64,
}

fn windows([batch, channels, height, width]: [usize; 4], config: &Pool2dConfig) -> Vec<Window> {
    let (out_h, out_w) = config.output_size((height, width)).expect("they fit");
    let mut all = Vec::new();
    for plane in 0..batch * channels {
        for (row, col) in pairs(out_h, out_w) {
            let (mut inside, mut padded) = (Vec::new(), 0);
            for (down, right) in pairs(config.kernel.0, config.kernel.1) {
                // Counted from the padded image's corner.
                let (at_row, at_col) = (row * config.stride.0 + down, col * config.stride.1 + right);
                if at_row < height + 2 * config.padding.0 && at_col < width + 2 * config.padding.1 {
                    padded += 1;
                }
                let row = at_row.checked_sub(config.padding.0).filter(|&row| row < height);
                let col = at_col.checked_sub(config.padding.1).filter(|&col| col < width);
                if let (Some(row), Some(col)) = (row, col) {
                    inside.push((plane * height + row) * width + col);
                }
            }
            let divisor = if config.count_include_pad { padded } else { inside.len() };
            #[allow(clippy::cast_precision_loss, reason = "an element count")]
            all.push(Window { inside, divisor: divisor as f64 });
        }
    }
    all
}

fn first_maximum(x: &[f64], window: &Window) -> usize {
    let mut best = window.inside[0];
    for &at in &window.inside {
        if x[at] > x[best] {
            best = at;
        }
    }
    best
}
