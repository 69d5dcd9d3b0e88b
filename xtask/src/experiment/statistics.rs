//! What stands for several figures of one kind.

/// The median of figures, at least one; the mean of the middle two where their number is even.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let n = figures.len();
    f64::midpoint(figures[(n - 1) / 2], figures[n / 2])
}

/// Their mean; 0 of none.
pub(crate) fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len().max(1) as f64
}

/// The standard deviation of what `figures` are a sample of; 0 of one figure.
pub(crate) fn deviation(figures: &[f64]) -> f64 {
    let mean = mean(figures);
    let squares: f64 = figures.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / figures.len().saturating_sub(1).max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_worked_by_hand() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(deviation(&[1.0, 3.0]), 2.0_f64.sqrt());
        assert_eq!(deviation(&[5.0]), 0.0);
    }
}
