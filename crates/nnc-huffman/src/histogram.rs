//! Symbol counts and the entropy they leave.

use crate::symbol::Symbol;
use crate::{Error, Result};

mod bytes;

pub(crate) use bytes::count_bytes;

/// How often each symbol occurs.
///
/// # Invariants
/// At most 65,536 counts, the last of them not 0, with a total of at most [`Histogram::MAX_TOTAL`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// The largest total: a stream of this many symbols of 16 bits each still has its length in bits in a `u64`.
    pub const MAX_TOTAL: u64 = 1 << 59;

    /// Counts `symbols`.
    ///
    /// ```
    /// let histogram = nnc_huffman::Histogram::of(&[0u8, 2, 2, 0, 2]);
    /// assert_eq!(histogram.counts(), [2, 0, 3]);
    /// ```
    pub fn of<S: Symbol>(symbols: &[S]) -> Self {
        let counts = S::count(symbols);
        Self::trimmed(counts, symbols.len() as u64)
    }

    /// Takes `counts[s]` as the count of symbol `s`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more than 65,536 counts or a total above [`MAX_TOTAL`](Self::MAX_TOTAL).
    pub fn from_counts(counts: &[u64]) -> Result<Self> {
        if counts.len() > 1 << 16 {
            return Err(Error::invalid("counts", "at most 65536 symbols", counts.len()));
        }
        let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        match u64::try_from(total) {
            Ok(total) if total <= Self::MAX_TOTAL => Ok(Self::trimmed(counts.to_vec(), total)),
            _ => Err(Error::invalid("counts", format!("a total of at most {}", Self::MAX_TOTAL), total)),
        }
    }

    fn trimmed(mut counts: Vec<u64>, total: u64) -> Self {
        let n_symbols = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        counts.truncate(n_symbols);
        counts.shrink_to_fit();
        Self { counts, total }
    }

    /// Counts by symbol, up to the largest symbol that occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Symbols counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Different symbols that occur.
    pub fn n_distinct(&self) -> usize {
        self.counts.iter().filter(|&&count| count > 0).count()
    }

    /// Shannon entropy of the whole stream in bits: `Σ f_i · log2(total / f_i)`; 0 for an empty or constant one.
    ///
    /// No code that gives each symbol its own word of whole bits stays below it.
    ///
    /// # Source
    /// Shannon, "A Mathematical Theory of Communication", 1948, §6, times the number of symbols.
    #[allow(clippy::cast_precision_loss, reason = "an entropy is approximate beyond 2^53 symbols")]
    pub fn entropy_bits(&self) -> f64 {
        let total = self.total as f64;
        self.present().map(|(_, count)| count as f64 * (total / count as f64).log2()).sum()
    }

    /// Shannon entropy in bits a symbol; 0 for an empty stream.
    #[allow(clippy::cast_precision_loss, reason = "an entropy is approximate beyond 2^53 symbols")]
    pub fn entropy_bits_per_symbol(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.entropy_bits() / self.total as f64 }
    }

    /// The symbols that occur, ascending, with their counts.
    pub(crate) fn present(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0..=u16::MAX)
            .zip(&self.counts)
            .filter(|&(_, &count)| count > 0)
            .map(|(symbol, &count)| (symbol, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slide_example_has_64_82_bits_of_entropy() {
        let histogram = Histogram::from_counts(&[100, 10, 1, 1]).unwrap();
        assert!((histogram.entropy_bits() - 64.82).abs() < 0.005, "{}", histogram.entropy_bits());
    }

    #[test]
    fn clrs_example_has_221_99_bits_of_entropy() {
        let histogram = Histogram::from_counts(&[45, 13, 12, 16, 9, 5]).unwrap();
        assert!((histogram.entropy_bits() - 221.99).abs() < 0.005, "{}", histogram.entropy_bits());
    }

    #[test]
    fn empty_and_constant_streams_have_no_entropy() {
        assert_eq!(Histogram::of::<u16>(&[]).entropy_bits_per_symbol(), 0.0);
        assert_eq!(Histogram::of(&[65_535u16; 9]).entropy_bits(), 0.0);
        assert_eq!(Histogram::of(&[65_535u16; 9]).counts().len(), 65_536);
    }

    #[test]
    fn absurd_counts_are_the_callers_fault() {
        assert!(Histogram::from_counts(&[1 << 59]).is_ok());
        assert!(Histogram::from_counts(&[1 << 59, 1]).unwrap_err().is_caller());
        assert!(Histogram::from_counts(&[u64::MAX, u64::MAX]).unwrap_err().is_caller());
        assert!(Histogram::from_counts(&vec![1; 65_537]).unwrap_err().is_caller());
    }
}
