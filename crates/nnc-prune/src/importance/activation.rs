//! Criteria of outputs: how large they are on average, and how often they are zero.

use std::sync::{Mutex, PoisonError};

use nnc_core::candle::Tensor;
use nnc_core::source::Step;
use nnc_core::tap::Observe;
use nnc_core::{Error, Result};

use crate::read::with_values;

/// Looks at values of shape `(B, C, …)` and counts, for each of the C outputs; hang it behind the activation.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::{source::Step, tap::Observe};
/// use nnc_prune::importance::activation::OutputStatistics;
/// let statistics = OutputStatistics::new();
/// statistics.observe(&Tensor::new(&[[0_f32, 1.0], [0.0, 3.0]], &Device::Cpu)?, &Step::eval())?;
/// assert_eq!(statistics.mean_activation()?, [0.0, 2.0]);
/// assert_eq!(statistics.share_of_zeros()?, [1.0, 0.0]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct OutputStatistics(Mutex<Vec<Counts>>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    sum_of_magnitudes: f64,
    n_zeros: u64,
    n: u64,
}

impl OutputStatistics {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The mean of `|a|` for each output.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when nothing has been observed.
    ///
    /// # Source
    /// Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017, §2.2 (mean
    /// activation); magnitudes, so that it means the same where no rectifier is.
    pub fn mean_activation(&self) -> Result<Vec<f32>> {
        self.each(|counts| counts.sum_of_magnitudes / counts.n as f64)
    }

    /// APoZ, the average percentage of zeros, as a share in `[0, 1]`: the higher, the less an output matters.
    ///
    /// # Errors
    /// As [`mean_activation`](Self::mean_activation).
    ///
    /// # Source
    /// Hu et al., "Network Trimming", 2016, eq. 1.
    pub fn share_of_zeros(&self) -> Result<Vec<f32>> {
        self.each(|counts| counts.n_zeros as f64 / counts.n as f64)
    }

    /// `1 − APoZ`: a score that stays longer the more often the output is not zero.
    ///
    /// # Errors
    /// As [`mean_activation`](Self::mean_activation).
    pub fn share_of_nonzeros(&self) -> Result<Vec<f32>> {
        self.each(|counts| (counts.n - counts.n_zeros) as f64 / counts.n as f64)
    }

    fn each(&self, score: impl Fn(&Counts) -> f64) -> Result<Vec<f32>> {
        let outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outputs.is_empty() {
            return Err(Error::invalid("output statistics", "at least one observed value", 0));
        }
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        Ok(outputs.iter().map(|counts| score(counts) as f32).collect())
    }
}

impl Observe for OutputStatistics {
    fn observe(&self, value: &Tensor, _step: &Step) -> Result<()> {
        let (batch, n_outputs) = match *value.dims() {
            [batch, n_outputs, ..] if value.elem_count() > 0 => (batch, n_outputs),
            ref dims => {
                return Err(Error::invalid("observed value", "(B, C, …) with an entry", format!("{dims:?}")));
            }
        };
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outputs.is_empty() {
            outputs.resize(n_outputs, Counts::default());
        }
        if outputs.len() != n_outputs {
            return Err(Error::shape("observed value", &[batch, outputs.len()], value.dims()));
        }
        with_values(value, |values| {
            let maps = values.chunks(value.elem_count() / batch / n_outputs);
            for (map, counts) in maps.zip((0..batch).flat_map(|_| 0..n_outputs)) {
                let counts = &mut outputs[counts];
                counts.sum_of_magnitudes += map.iter().map(|a| f64::from(a.abs())).sum::<f64>();
                counts.n_zeros += map.iter().filter(|&&a| a == 0.0).count() as u64;
                counts.n += map.len() as u64;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::Device;

    use super::*;

    #[test]
    fn maps_are_counted_over_batches_and_pixels() {
        let statistics = OutputStatistics::new();
        let images = Tensor::new(&[[[[0_f32, -2.0]], [[4.0, 4.0]]]], &Device::Cpu).unwrap();
        statistics.observe(&images, &Step::eval()).unwrap();
        statistics.observe(&images.zeros_like().unwrap(), &Step::eval()).unwrap();
        assert_eq!(statistics.mean_activation().unwrap(), [0.5, 2.0]);
        assert_eq!(statistics.share_of_zeros().unwrap(), [0.75, 0.5]);
        assert_eq!(statistics.share_of_nonzeros().unwrap(), [0.25, 0.5]);
    }

    #[test]
    fn nothing_seen_and_other_shapes_are_refused() {
        let statistics = OutputStatistics::new();
        assert!(statistics.mean_activation().unwrap_err().to_string().contains("output statistics"));
        let observe = |shape: &[usize]| {
            let value = Tensor::ones(shape, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
            statistics.observe(&value, &Step::eval())
        };
        assert!(observe(&[3]).is_err() && observe(&[0, 2]).is_err());
        observe(&[1, 2]).unwrap();
        assert!(observe(&[1, 3]).unwrap_err().to_string().contains("observed value"));
    }
}
