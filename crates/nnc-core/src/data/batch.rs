//! Batches of tensors: a pure function of (seed, epoch, batch index).

use candle_core::{Device, Tensor};

use super::{Augment, Dataset, Normalization};
use crate::rng::Rng;
use crate::{Error, Result};

/// How a data set is cut into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// Samples in a batch; at least 1.
    pub batch_size: usize,
    /// Key of the order and of the augmentation.
    pub seed: u64,
    /// Whether each epoch has an order of its own; otherwise the order is that of the set.
    pub shuffle: bool,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// Random changes to the images.
    pub augment: Augment,
}

impl BatchConfig {
    /// Shuffled, without a last batch that is not full, without augmentation.
    pub fn training(batch_size: usize, seed: u64) -> Self {
        Self { batch_size, seed, shuffle: true, drop_last: true, augment: Augment::default() }
    }

    /// Every sample once, in order, unchanged.
    pub fn evaluation(batch_size: usize) -> Self {
        Self { batch_size, seed: 0, shuffle: false, drop_last: false, augment: Augment::default() }
    }
}

/// One batch of B samples.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised images, `f32`, `(B, C, H, W)`.
    pub images: Tensor,
    /// Classes, `u32`, `(B,)`.
    pub labels: Tensor,
    /// Which samples of the set these are.
    pub samples: Vec<usize>,
}

/// A data set as batches.
///
/// # Example
/// ```
/// use nnc_core::candle::Device;
/// use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
/// let data = Dataset::new((0..12).collect(), vec![0, 1, 2], [1, 2, 2], 3)?;
/// let batches = Batches::new(&data, &Normalization::of(&data), BatchConfig::training(2, 7))?;
/// assert_eq!(batches.n_batches(), 1);
/// let batch = batches.epoch(0).batch(0, &Device::Cpu)?;
/// assert_eq!(batch.images.dims(), [2, 1, 2, 2]);
/// assert_eq!(batch.samples, batches.epoch(0).batch(0, &Device::Cpu)?.samples);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Batches<'a> {
    data: &'a Dataset,
    tables: Vec<[f32; 256]>,
    config: BatchConfig,
}

impl<'a> Batches<'a> {
    /// Batches of `data`, normalised.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the batch size is 0, when not one full batch is left
    /// after dropping the last, or when the normalisation has another number of channels than the images.
    pub fn new(data: &'a Dataset, normalization: &Normalization, config: BatchConfig) -> Result<Self> {
        let n_channels = data.shape()[0];
        if normalization.mean().len() != n_channels {
            let got = normalization.mean().len();
            return Err(Error::invalid("channels of the normalization", n_channels.to_string(), got));
        }
        if config.batch_size == 0 || (config.drop_last && config.batch_size > data.len()) {
            let expected = format!("1 to {}, the number of samples", data.len());
            return Err(Error::invalid("batch size", expected, config.batch_size));
        }
        Ok(Self { data, tables: normalization.tables(), config })
    }

    /// The set.
    pub fn dataset(&self) -> &'a Dataset {
        self.data
    }

    /// How it is cut.
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// Batches in an epoch.
    pub fn n_batches(&self) -> usize {
        let (n, size) = (self.data.len(), self.config.batch_size);
        if self.config.drop_last { n / size } else { n.div_ceil(size) }
    }

    /// The batches of one epoch; making it costs one shuffle of the indices.
    pub fn epoch(&self, epoch: u64) -> Epoch<'_> {
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        if self.config.shuffle {
            Rng::keyed(self.config.seed, "shuffle", &[epoch]).shuffle(&mut order);
        }
        Epoch { batches: self, epoch, order }
    }
}

/// The batches of one epoch.
#[derive(Debug)]
pub struct Epoch<'a> {
    batches: &'a Batches<'a>,
    epoch: u64,
    order: Vec<usize>,
}

impl Epoch<'_> {
    /// The batch with index `batch_idx`, whatever was asked for before.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when there are not that many batches, and what candle says
    /// when the device refuses the tensors.
    pub fn batch(&self, batch_idx: usize, device: &Device) -> Result<Batch> {
        let n_batches = self.batches.n_batches();
        if batch_idx >= n_batches {
            return Err(Error::invalid("batch index", format!("below {n_batches}"), batch_idx));
        }
        let size = self.batches.config.batch_size;
        let end = (batch_idx + 1).saturating_mul(size).min(self.order.len());
        self.assemble(&self.order[batch_idx * size..end], device)
    }

    /// All batches, in order.
    pub fn iter<'d>(&'d self, device: &'d Device) -> impl Iterator<Item = Result<Batch>> + 'd {
        (0..self.batches.n_batches()).map(move |batch_idx| self.batch(batch_idx, device))
    }

    fn assemble(&self, samples: &[usize], device: &Device) -> Result<Batch> {
        let Batches { data, tables, config } = self.batches;
        let [n_channels, height, width] = data.shape();
        let plane_len = height * width;
        let mut pixels = vec![0.0_f32; samples.len() * data.image_len()];
        for (&sample, out) in samples.iter().zip(pixels.chunks_exact_mut(data.image_len())) {
            let change = config.augment.draw(config.seed, self.epoch, sample);
            let planes = data.image(sample).chunks_exact(plane_len).zip(out.chunks_exact_mut(plane_len));
            for ((plane, out), table) in planes.zip(tables) {
                change.apply(plane, width, table, out);
            }
        }
        let labels: Vec<u32> = samples.iter().map(|&sample| u32::from(data.labels()[sample])).collect();
        Ok(Batch {
            images: Tensor::from_vec(pixels, (samples.len(), n_channels, height, width), device)?,
            labels: Tensor::from_vec(labels, samples.len(), device)?,
            samples: samples.to_vec(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers of the test's own making")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dataset(n: usize, shape: [usize; 3]) -> Dataset {
        let size = shape.iter().product::<usize>();
        let images = (0..n * size).map(|i| (i * 7 % 256) as u8).collect();
        Dataset::new(images, (0..n).map(|i| (i % 10) as u8).collect(), shape, 10).unwrap()
    }

    fn numbers(batch: &Batch) -> Vec<f32> {
        batch.images.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn check_config(batch_size: usize, seed: u64) -> BatchConfig {
        BatchConfig { augment: Augment { shift: 2, flip: true }, ..BatchConfig::training(batch_size, seed) }
    }

    proptest! {
        #[test]
        fn an_epoch_holds_every_sample_once(
            (n, batch_size) in (1_usize..40, 1_usize..12),
            (shuffle, epoch) in any::<(bool, u64)>(),
        ) {
            let data = dataset(n, [1, 2, 3]);
            let config = BatchConfig { shuffle, ..BatchConfig::evaluation(batch_size) };
            let batches = Batches::new(&data, &Normalization::unit(1), config).unwrap();
            let epoch = batches.epoch(epoch);
            let mut seen: Vec<usize> = epoch.iter(&Device::Cpu).flat_map(|batch| batch.unwrap().samples).collect();
            prop_assert_eq!(seen.len().div_ceil(batch_size), batches.n_batches());
            if shuffle { seen.sort_unstable(); }
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn a_sample_is_augmented_alike_in_batches_of_any_size(
            (one, other, seed) in (1_usize..9, 1_usize..9, any::<u64>()),
        ) {
            let data = dataset(24, [2, 4, 3]);
            let images = |batch_size| {
                let batches = Batches::new(&data, &Normalization::of(&data), check_config(batch_size, seed)).unwrap();
                let epoch = batches.epoch(3);
                let all: Vec<Batch> = epoch.iter(&Device::Cpu).map(|batch| batch.unwrap()).collect();
                all.iter().flat_map(numbers).collect::<Vec<f32>>()
            };
            let (one, other) = (images(one), images(other));
            let common = one.len().min(other.len());
            prop_assert_eq!(&one[..common], &other[..common]);
        }
    }

    #[test]
    fn a_batch_depends_on_seed_epoch_and_index_alone() {
        let data = dataset(64, [1, 4, 4]);
        let batch = |seed, epoch, batch_idx| {
            let batches = Batches::new(&data, &Normalization::unit(1), check_config(16, seed)).unwrap();
            let batch = batches.epoch(epoch).batch(batch_idx, &Device::Cpu).unwrap();
            (numbers(&batch), batch.samples)
        };
        assert_eq!(batch(1, 2, 3), batch(1, 2, 3));
        for other in [batch(2, 2, 3), batch(1, 3, 3), batch(1, 2, 2)] {
            assert_ne!(batch(1, 2, 3), other);
        }
    }

    #[test]
    fn images_are_normalised_in_their_order_and_labels_follow() {
        let data = Dataset::new(vec![0, 255, 51, 102, 153, 204], vec![1, 0, 1], [2, 1, 1], 2).unwrap();
        let normalization = Normalization::new(vec![0.0, 0.5], vec![1.0, 0.5]).unwrap();
        let batches = Batches::new(&data, &normalization, BatchConfig::evaluation(2)).unwrap();
        let epoch = batches.epoch(0);
        let first = epoch.batch(0, &Device::Cpu).unwrap();
        assert_eq!(first.images.dims(), [2, 2, 1, 1]);
        assert_eq!(numbers(&first), [0.0, 1.0, 0.2, (0.4 - 0.5) / 0.5]);
        assert_eq!(first.labels.to_vec1::<u32>().unwrap(), [1, 0]);
        let last = epoch.batch(1, &Device::Cpu).unwrap();
        assert_eq!((last.samples, last.images.dims()), (vec![2], &[1, 2, 1, 1][..]));
        assert!(epoch.batch(2, &Device::Cpu).is_err());
    }

    #[test]
    fn settings_that_make_no_batch_are_refused() {
        let data = dataset(5, [1, 1, 1]);
        let unit = Normalization::unit(1);
        assert!(Batches::new(&data, &unit, BatchConfig::evaluation(0)).is_err());
        assert!(Batches::new(&data, &unit, BatchConfig::training(6, 0)).is_err());
        assert!(Batches::new(&data, &unit, BatchConfig::evaluation(6)).is_ok());
        assert!(Batches::new(&data, &Normalization::unit(3), BatchConfig::evaluation(1)).is_err());
    }
}
