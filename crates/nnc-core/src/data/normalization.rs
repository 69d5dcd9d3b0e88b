//! From pixel bytes to the numbers a network sees.

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::{Error, Result};

/// Per channel, `(pixel / 255 - mean) / std`.
///
/// Read from bytes it is checked as [`new`](Self::new) checks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl TryFrom<Parts> for Normalization {
    type Error = Error;

    fn try_from(Parts { mean, std }: Parts) -> Result<Self> {
        Self::new(mean, std)
    }
}

impl Normalization {
    /// With these means and standard deviations, one per channel, in units of 255.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the lengths differ or are 0, a number is not finite, or
    /// a standard deviation is not above 0.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        let finite = mean.iter().chain(&std).all(|x| x.is_finite());
        if mean.len() != std.len() || mean.is_empty() || !finite || std.iter().any(|&s| s <= 0.0) {
            let expected = "finite means and standard deviations above 0, one of each per channel";
            return Err(Error::invalid("normalization", expected, format!("{mean:?} and {std:?}")));
        }
        Ok(Self { mean, std })
    }

    /// Only the division: pixels in `[0, 1]`.
    pub fn unit(n_channels: usize) -> Self {
        Self { mean: vec![0.0; n_channels], std: vec![1.0; n_channels] }
    }

    /// The mean and the (population) standard deviation of each channel of a set, usually the training set.
    ///
    /// Sums are exact integers, so the result does not depend on the order. A constant channel is only centred.
    pub fn of(data: &Dataset) -> Self {
        let [n_channels, height, width] = data.shape();
        let mut sums = vec![(0_u64, 0_u64); n_channels];
        for (i, plane) in data.images().chunks_exact(height * width).enumerate() {
            let (sum, squares) = &mut sums[i % n_channels];
            *sum += plane.iter().map(|&x| u64::from(x)).sum::<u64>();
            *squares += plane.iter().map(|&x| u64::from(x) * u64::from(x)).sum::<u64>();
        }
        let n = (data.len() * height * width) as f64;
        let moments = sums.into_iter().map(|(sum, squares)| {
            let mean = sum as f64 / n;
            let variance = (squares as f64 / n - mean * mean).max(0.0);
            let std = if variance > 0.0 { variance.sqrt() } else { 255.0 };
            #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            let moments = ((mean / 255.0) as f32, (std / 255.0) as f32);
            moments
        });
        let (mean, std) = moments.unzip();
        Self { mean, std }
    }

    /// Per channel, the mean in units of 255.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Per channel, the standard deviation in units of 255.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Per channel, the number of each byte: a look-up is exact and faster than the arithmetic.
    pub(super) fn tables(&self) -> Vec<[f32; 256]> {
        let table =
            |(mean, std): (&f32, &f32)| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        self.mean.iter().zip(&self.std).map(table).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_per_channel() {
        // Channel 0 holds 0 and 255, channel 1 is constant.
        let data = Dataset::new(vec![0, 255, 51, 51, 255, 0, 51, 51], vec![0, 1], [2, 1, 2], 2).unwrap();
        let normalization = Normalization::of(&data);
        assert_eq!((normalization.mean(), normalization.std()), (&[0.5, 0.2][..], &[0.5, 1.0][..]));
        let tables = normalization.tables();
        assert_eq!((tables[0][0], tables[0][255], tables[1][51]), (-1.0, 1.0, 0.0));
    }

    #[test]
    fn settings_that_make_no_number_are_refused() {
        for (mean, std) in [
            (vec![], vec![]),
            (vec![0.0], vec![0.0]),
            (vec![0.0], vec![1.0, 1.0]),
            (vec![f32::NAN], vec![1.0]),
        ] {
            assert!(Normalization::new(mean, std).is_err());
        }
        assert!(serde_json::from_str::<Normalization>(r#"{"mean":[0.5],"std":[-1.0]}"#).is_err());
        let unit = Normalization::unit(3);
        assert_eq!(
            serde_json::from_str::<Normalization>(&serde_json::to_string(&unit).unwrap()).unwrap(),
            unit
        );
    }
}
