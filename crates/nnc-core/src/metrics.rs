//! Accuracy and error counts.

use std::fmt;

use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// Per sample, how many classes come before the right one: 0 when the network is right.
///
/// `logits` has shape `(B, K)`, `labels` `(B,)` of an integer type. Of equal logits the lower class comes
/// first. A row with a NaN is no answer: its rank is K.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) for other shapes or a
/// label of K or more.
pub fn label_ranks(logits: &Tensor, labels: &Tensor) -> Result<Vec<usize>> {
    let (rows, labels) = rows_and_labels(logits, labels)?;
    let rank = |(row, &label): (&Vec<f32>, &usize)| {
        let right = row[label];
        let comes_before = |&(class, &x): &(usize, &f32)| x > right || (x == right && class < label);
        if row.iter().any(|x| x.is_nan()) {
            row.len()
        } else {
            row.iter().enumerate().filter(comes_before).count()
        }
    };
    Ok(rows.iter().zip(&labels).map(rank).collect())
}

/// Wrong answers among all, summed over batches.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::metrics::ErrorCount;
/// let logits = Tensor::new(&[[0.1_f32, 0.9], [0.8, 0.2], [0.3, 0.7]], &Device::Cpu)?;
/// let labels = Tensor::new(&[1_u32, 1, 1], &Device::Cpu)?;
/// let mut errors = ErrorCount::default();
/// errors.add(&logits, &labels)?;
/// assert_eq!((errors.n_errors, errors.n_samples), (1, 3));
/// assert_eq!(errors.to_string(), "33.33 % (1 of 3)");
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCount {
    /// Samples with a wrong answer.
    pub n_errors: usize,
    /// All samples.
    pub n_samples: usize,
}

impl ErrorCount {
    /// Counts a batch: an answer is right when the largest logit is the label's. Shapes as in [`label_ranks`].
    ///
    /// # Errors
    /// As [`label_ranks`].
    pub fn add(&mut self, logits: &Tensor, labels: &Tensor) -> Result<()> {
        self.add_top_k(logits, labels, 1)
    }

    /// Counts a batch where an answer is right when the label is among the `k` largest logits.
    ///
    /// # Errors
    /// As [`label_ranks`].
    pub fn add_top_k(&mut self, logits: &Tensor, labels: &Tensor, k: usize) -> Result<()> {
        let ranks = label_ranks(logits, labels)?;
        self.n_samples += ranks.len();
        self.n_errors += ranks.iter().filter(|&&rank| rank >= k).count();
        Ok(())
    }

    /// Wrong answers in per cent; 0 when there are no samples.
    pub fn percent(&self) -> f64 {
        if self.n_samples == 0 { 0.0 } else { 100.0 * self.n_errors as f64 / self.n_samples as f64 }
    }

    /// The share of right answers, in `[0, 1]`; 1 when there are no samples.
    pub fn accuracy(&self) -> f64 {
        1.0 - self.percent() / 100.0
    }
}

impl fmt::Display for ErrorCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} % ({} of {})", self.percent(), self.n_errors, self.n_samples)
    }
}

/// How often each class was taken for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// Row = label; the columns are the answers, the last one for no answer.
    counts: Vec<usize>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, counts: vec![0; n_classes * (n_classes + 1)] }
    }

    /// Counts a batch by its largest logits, of equal ones the first; shapes as in [`label_ranks`].
    ///
    /// # Errors
    /// As [`label_ranks`], and when the logits have another number of classes.
    pub fn add(&mut self, logits: &Tensor, labels: &Tensor) -> Result<()> {
        let (rows, labels) = rows_and_labels(logits, labels)?;
        for (row, label) in rows.iter().zip(labels) {
            if row.len() != self.n_classes {
                return Err(Error::shape("row of logits", &[self.n_classes], &[row.len()]));
            }
            let largest =
                (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
            let answer = if row.iter().any(|x| x.is_nan()) { self.n_classes } else { largest };
            self.counts[label * (self.n_classes + 1) + answer] += 1;
        }
        Ok(())
    }

    /// How many samples of class `label` were taken for class `answer`; the number of classes stands for no
    /// answer (NaN).
    ///
    /// # Panics
    /// When there are not that many classes.
    pub fn count(&self, label: usize, answer: usize) -> usize {
        assert!(answer <= self.n_classes, "class {answer} of {}", self.n_classes);
        self.counts[label * (self.n_classes + 1) + answer]
    }

    /// Everything off the diagonal, and everything.
    pub fn errors(&self) -> ErrorCount {
        let n_samples: usize = self.counts.iter().sum();
        let n_right: usize = (0..self.n_classes).map(|class| self.count(class, class)).sum();
        ErrorCount { n_errors: n_samples - n_right, n_samples }
    }

    /// Per class, the share of its samples that were recognised; `None` for a class without samples.
    pub fn recall(&self) -> Vec<Option<f64>> {
        let recall = |(class, row): (usize, &[usize])| {
            let n: usize = row.iter().sum();
            (n > 0).then(|| row[class] as f64 / n as f64)
        };
        self.counts.chunks_exact(self.n_classes + 1).enumerate().map(recall).collect()
    }
}

/// The logits by row, and the labels, checked against each other.
fn rows_and_labels(logits: &Tensor, labels: &Tensor) -> Result<(Vec<Vec<f32>>, Vec<usize>)> {
    let &[n_samples, n_classes] = logits.dims() else {
        return Err(Error::invalid("logits", "a shape of (B, K)", format!("{:?}", logits.dims())));
    };
    if labels.dims() != [n_samples] {
        return Err(Error::shape("labels", &[n_samples], labels.dims()));
    }
    let rows = logits.to_dtype(DType::F32)?.to_vec2()?;
    let labels: Vec<i64> = labels.to_dtype(DType::I64)?.to_vec1()?;
    let class = |label: i64| {
        let class = usize::try_from(label).ok().filter(|&class| class < n_classes);
        class.ok_or_else(|| Error::invalid("label", format!("a class below {n_classes}"), label))
    };
    Ok((rows, labels.into_iter().map(class).collect::<Result<_>>()?))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers of the test's own making")]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    fn tensors(rows: &[&[f32]], labels: &[u32]) -> (Tensor, Tensor) {
        let logits = Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap();
        (logits, Tensor::new(labels, &Device::Cpu).unwrap())
    }

    #[test]
    fn ranks_count_the_classes_before_the_right_one() {
        let nan = f32::NAN;
        let (logits, labels) = tensors(
            &[
                &[3.0, 2.0, 1.0],
                &[3.0, 2.0, 1.0],
                &[1.0, 1.0, 1.0],
                &[1.0, 1.0, 1.0],
                &[nan, 0.0, 1.0],
                &[0.0, nan, 0.0],
            ],
            &[0, 2, 0, 1, 2, 1],
        );
        assert_eq!(label_ranks(&logits, &labels).unwrap(), [0, 2, 0, 1, 3, 3]);
        let mut top_2 = ErrorCount::default();
        top_2.add_top_k(&logits, &labels, 2).unwrap();
        assert_eq!((top_2.n_errors, top_2.n_samples), (3, 6));
        let mut confusion = Confusion::new(3);
        confusion.add(&logits, &labels).unwrap();
        assert_eq!((confusion.count(2, 3), confusion.count(1, 3), confusion.errors().n_errors), (1, 1, 4));
    }

    #[test]
    fn confusion_is_counted_by_label_and_answer() {
        let (logits, labels) = tensors(&[&[0.0, 1.0], &[1.0, 0.0], &[0.0, 1.0], &[0.5, 0.5]], &[1, 1, 1, 1]);
        let mut confusion = Confusion::new(2);
        confusion.add(&logits, &labels).unwrap();
        assert_eq!((confusion.count(1, 1), confusion.count(1, 0), confusion.count(0, 1)), (2, 2, 0));
        assert_eq!(confusion.recall(), [None, Some(0.5)]);
        assert_eq!(confusion.errors(), ErrorCount { n_errors: 2, n_samples: 4 });
    }

    #[test]
    fn shapes_and_labels_that_do_not_fit_are_refused() {
        let (logits, labels) = tensors(&[&[0.0, 1.0], &[1.0, 0.0]], &[1, 2]);
        assert!(label_ranks(&logits, &labels).unwrap_err().to_string().contains("class below 2"));
        assert!(label_ranks(&logits, &labels.narrow(0, 0, 1).unwrap()).is_err());
        assert!(label_ranks(&labels, &labels).is_err());
        let one = labels.narrow(0, 0, 1).unwrap();
        assert!(Confusion::new(3).add(&logits.narrow(0, 0, 1).unwrap(), &one).is_err());
    }

    proptest! {
        #[test]
        fn errors_and_confusion_agree(numbers in prop::collection::vec(-3_i8..3, 5..60), seed in any::<u32>()) {
            let rows: Vec<f32> = numbers.iter().map(|&x| f32::from(x)).collect();
            let n = rows.len() / 5;
            let logits = Tensor::from_vec(rows[..5 * n].to_vec(), (n, 5), &Device::Cpu).unwrap();
            let labels: Vec<u32> = (0..n).map(|i| (seed ^ (i as u32).wrapping_mul(0x9e37_79b9)) % 5).collect();
            let labels = Tensor::from_vec(labels, n, &Device::Cpu).unwrap();
            let (mut errors, mut confusion) = (ErrorCount::default(), Confusion::new(5));
            errors.add(&logits, &labels).unwrap();
            confusion.add(&logits, &labels).unwrap();
            prop_assert_eq!(errors, confusion.errors());
        }
    }
}
