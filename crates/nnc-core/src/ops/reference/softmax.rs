//! Softmax, its logarithm, and the cross entropy of class labels.

/// `e^x / Σ e^x` over rows of `classes`.
pub fn softmax(x: &[f64], classes: usize) -> Vec<f64> {
    log_softmax(x, classes).into_iter().map(f64::exp).collect()
}

/// The gradient of `x` of [`softmax`].
pub fn softmax_backward(x: &[f64], classes: usize, grad: &[f64]) -> Vec<f64> {
    let y = softmax(x, classes);
    let dot = |row: usize| (0..classes).map(|i| y[row * classes + i] * grad[row * classes + i]).sum::<f64>();
    (0..x.len()).map(|i| y[i] * (grad[i] - dot(i / classes))).collect()
}

/// `x − ln Σ e^x` over rows of `classes`.
pub fn log_softmax(x: &[f64], classes: usize) -> Vec<f64> {
    let row_value = |row: &[f64]| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
    };
    x.chunks(classes).flat_map(|row| row.iter().map(move |x| x - row_value(row))).collect()
}

/// The gradient of `x` of [`log_softmax`].
pub fn log_softmax_backward(x: &[f64], classes: usize, grad: &[f64]) -> Vec<f64> {
    let p = softmax(x, classes);
    let sum = |row: usize| grad[row * classes..][..classes].iter().sum::<f64>();
    (0..x.len()).map(|i| grad[i] - p[i] * sum(i / classes)).collect()
}

/// The mean of `−log_softmax(x)[label]` over the rows.
#[allow(clippy::cast_precision_loss, reason = "a row count")]
pub fn softmax_cross_entropy(x: &[f64], labels: &[usize]) -> f64 {
    let classes = x.len() / labels.len();
    let log_p = log_softmax(x, classes);
    let sum: f64 = labels.iter().enumerate().map(|(row, label)| -log_p[row * classes + label]).sum();
    sum / labels.len() as f64
}

/// The gradient of `x` of [`softmax_cross_entropy`].
#[allow(clippy::cast_precision_loss, reason = "a row count")]
pub fn softmax_cross_entropy_backward(x: &[f64], labels: &[usize], grad: f64) -> Vec<f64> {
    let classes = x.len() / labels.len();
    let mut grad_x = softmax(x, classes);
    for (row, label) in labels.iter().enumerate() {
        grad_x[row * classes + label] -= 1.0;
    }
    grad_x.into_iter().map(|value| value * grad / labels.len() as f64).collect()
}
