//! Normalisations.

use crate::ops::LrnConfig;

/// Batch normalisation of `x` (B, C, plane) with the batch's own moments: the output, the means and the variances.
#[allow(clippy::cast_precision_loss, reason = "an element count")]
pub fn batch_norm(
    x: &[f64],
    scale: &[f64],
    shift: &[f64],
    plane: usize,
    epsilon: f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let channels = scale.len();
    let count = (x.len() / channels) as f64;
    let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
    for (i, x) in x.iter().enumerate() {
        mean[i / plane % channels] += x / count;
    }
    for (i, x) in x.iter().enumerate() {
        variance[i / plane % channels] += (x - mean[i / plane % channels]).powi(2) / count;
    }
    (batch_norm_given(x, scale, shift, (&mean, &variance), plane, epsilon), mean, variance)
}

/// The gradients of `x`, `scale` and `shift` of [`batch_norm`].
#[allow(clippy::cast_precision_loss, reason = "an element count")]
pub fn batch_norm_backward(
    x: &[f64],
    scale: &[f64],
    shift: &[f64],
    plane: usize,
    epsilon: f64,
    grad: &[f64],
) -> [Vec<f64>; 3] {
    let channels = scale.len();
    let count = (x.len() / channels) as f64;
    let (_, mean, variance) = batch_norm(x, scale, shift, plane, epsilon);
    let [_, grad_scale, grad_shift] =
        batch_norm_given_backward(x, scale, (&mean, &variance), plane, epsilon, grad);
    let grad_x = (0..x.len()).map(|i| {
        let channel = i / plane % channels;
        let deviation = (variance[channel] + epsilon).sqrt();
        let normalised = (x[i] - mean[channel]) / deviation;
        let through_moments = (grad_shift[channel] + normalised * grad_scale[channel]) / count;
        scale[channel] / deviation * (grad[i] - through_moments)
    });
    [grad_x.collect(), grad_scale, grad_shift]
}

/// Batch normalisation of `x` (B, C, plane) with given `(means, variances)`.
pub fn batch_norm_given(
    x: &[f64],
    scale: &[f64],
    shift: &[f64],
    (mean, variance): (&[f64], &[f64]),
    plane: usize,
    epsilon: f64,
) -> Vec<f64> {
    let value = |(i, x): (usize, &f64)| {
        let channel = i / plane % scale.len();
        (x - mean[channel]) / (variance[channel] + epsilon).sqrt() * scale[channel] + shift[channel]
    };
    x.iter().enumerate().map(value).collect()
}

/// The gradients of `x`, `scale` and `shift` of [`batch_norm_given`].
pub fn batch_norm_given_backward(
    x: &[f64],
    scale: &[f64],
    (mean, variance): (&[f64], &[f64]),
    plane: usize,
    epsilon: f64,
    grad: &[f64],
) -> [Vec<f64>; 3] {
    let channels = scale.len();
    let mut gradients = [vec![0.0; x.len()], vec![0.0; channels], vec![0.0; channels]];
    for i in 0..x.len() {
        let channel = i / plane % channels;
        let deviation = (variance[channel] + epsilon).sqrt();
        gradients[0][i] = grad[i] * scale[channel] / deviation;
        gradients[1][channel] += grad[i] * (x[i] - mean[channel]) / deviation;
        gradients[2][channel] += grad[i];
    }
    gradients
}

/// Local response normalisation of `x` (B, `channels`, plane).
pub fn local_response_norm(x: &[f64], channels: usize, plane: usize, config: &LrnConfig) -> Vec<f64> {
    let beta = f64::from(config.beta);
    (0..x.len()).map(|i| x[i] * denominator(x, i, channels, plane, config).powf(-beta)).collect()
}

/// The gradient of `x` of [`local_response_norm`].
#[allow(clippy::cast_precision_loss, reason = "a few channels")]
pub fn local_response_norm_backward(
    x: &[f64],
    channels: usize,
    plane: usize,
    config: &LrnConfig,
    grad: &[f64],
) -> Vec<f64> {
    let (beta, weight) = (f64::from(config.beta), f64::from(config.alpha) / config.size as f64);
    let mut grad_x = vec![0.0; x.len()];
    for i in 0..x.len() {
        let s = denominator(x, i, channels, plane, config);
        grad_x[i] += grad[i] * s.powf(-beta);
        for other in neighbours(i, channels, plane, config) {
            grad_x[other] -= grad[i] * x[i] * beta * s.powf(-beta - 1.0) * 2.0 * weight * x[other];
        }
    }
    grad_x
}

#[allow(clippy::cast_precision_loss, reason = "a few channels")]
fn denominator(x: &[f64], i: usize, channels: usize, plane: usize, config: &LrnConfig) -> f64 {
    let squares: f64 = neighbours(i, channels, plane, config).map(|other| x[other] * x[other]).sum();
    f64::from(config.k) + f64::from(config.alpha) / config.size as f64 * squares
}

/// The elements at the place of `i` in the channels that it is normalised by.
fn neighbours(i: usize, channels: usize, plane: usize, config: &LrnConfig) -> impl Iterator<Item = usize> {
    let (channel, size) = (i / plane % channels, config.size);
    (0..size).filter_map(move |step| {
        let other = (channel + step).checked_sub(size / 2).filter(|&other| other < channels)?;
        Some(i - channel * plane + other * plane)
    })
}
