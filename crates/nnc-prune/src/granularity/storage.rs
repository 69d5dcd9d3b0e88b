//! What a choice of groups costs to store: the values that stay, and one relative index for each group, not for each weight.

use nnc_core::{Error, Result};

use super::Groups;
use crate::mask::Mask;

/// Bits of a pruned weight by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageBits {
    /// Of the values of the kept groups.
    pub values: u64,
    /// Of one index per kept group.
    pub indices: u64,
    /// Of the indices that only skip, where a run of pruned groups is too long for one; the paper's model has none.
    pub escapes: u64,
}

impl StorageBits {
    /// All parts.
    pub fn total(&self) -> u64 {
        self.values + self.indices + self.escapes
    }
}

/// The bits of the groups that `choice` keeps, at `value_bits` a weight and `index_bits` an index.
///
/// An index says how many groups are skipped, `0..2^index_bits − 1`; the highest one skips that many and keeps none.
///
/// # Errors
/// [`Error::ShapeMismatch`] when `choice` has not one entry per group, [`Error::InvalidArgument`] when `index_bits` is not in
/// `1..=32`.
///
/// # Source
/// Mao et al. 2017, §5.1: 8-bit weights, 4-bit indices.
///
/// # Example
/// ```
/// use nnc_prune::{Mask, granularity::{Granularity, storage::storage_bits}};
/// // 100 kernels of 3x3, of which 30 stay: as kernels, and as the same 270 weights.
/// let kernels = Granularity::Kernel.groups(&[10, 10, 3, 3])?;
/// let choice = Mask::from_fn(&[100], |kernel| kernel % 10 < 3);
/// assert_eq!(storage_bits(&kernels, &choice, 8, 4)?.total(), 2280);
/// let weights = Granularity::Element.groups(&[10, 10, 3, 3])?;
/// let fine = storage_bits(&weights, &kernels.expand(&choice)?, 8, 4)?;
/// assert_eq!(fine.values + fine.indices, 3240);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn storage_bits(groups: &Groups, choice: &Mask, value_bits: u32, index_bits: u32) -> Result<StorageBits> {
    if choice.len() != groups.len() {
        return Err(Error::shape("choice of groups", &[groups.len()], choice.shape()));
    }
    if !(1..=32).contains(&index_bits) {
        return Err(Error::invalid("index_bits", "1..=32", index_bits));
    }
    let reach = (1_u64 << index_bits) - 1;
    let (mut n_values, mut n_indices, mut n_escapes, mut next) = (0, 0, 0, 0);
    for group in choice.bits().iter_ones() {
        n_values += groups.size(group) as u64;
        n_indices += 1;
        n_escapes += (group - next) as u64 / reach;
        next = group + 1;
    }
    let bits = |n: u64, width: u32| n * u64::from(width);
    Ok(StorageBits {
        values: bits(n_values, value_bits),
        indices: bits(n_indices, index_bits),
        escapes: bits(n_escapes, index_bits),
    })
}

/// The paper's model of the same, as a share of the dense weight at `value_bits`: `density · (v + i / g) / v` for groups of `g`.
///
/// # Example
/// ```
/// use nnc_prune::granularity::storage::storage_share;
/// assert!((storage_share(0.222, 1.0, 8.0, 4.0) - 0.333).abs() < 1e-9);
/// assert!((storage_share(0.444, 9.0, 8.0, 4.0) - 0.469).abs() < 5e-4);
/// ```
pub fn storage_share(density: f64, group_size: f64, value_bits: f64, index_bits: f64) -> f64 {
    density * (value_bits + index_bits / group_size) / value_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::granularity::Granularity;

    #[test]
    fn long_runs_take_escapes_and_the_last_ones_nothing() {
        let groups = Granularity::Element.groups(&[100]).unwrap();
        let bits = |kept: &[usize], index_bits| {
            storage_bits(&groups, &Mask::from_fn(&[100], |i| kept.contains(&i)), 8, index_bits).unwrap()
        };
        // 4 bits skip 0 to 14; 15 zeros take an escape, 29 still one, 30 two.
        for (position, n_escapes) in [(0, 0), (14, 0), (15, 1), (29, 1), (30, 2)] {
            assert_eq!(bits(&[position], 4), StorageBits { values: 8, indices: 4, escapes: 4 * n_escapes });
        }
        assert_eq!(bits(&[3, 4], 1).escapes, 3);
        assert_eq!(bits(&[], 4).total(), 0);
    }

    #[test]
    fn uneven_groups_count_their_own_entries() {
        let groups = Granularity::Strided { stride: 2 }.groups(&[2, 1, 5, 5]).unwrap();
        let bits = |offset| storage_bits(&groups, &Mask::from_fn(&[2], |g| g == offset), 8, 4).unwrap();
        assert_eq!([bits(0).values, bits(1).values], [26 * 8, 24 * 8]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        let groups = Granularity::Filter.groups(&[2, 3]).unwrap();
        let message =
            |choice, index_bits| storage_bits(&groups, &choice, 8, index_bits).unwrap_err().to_string();
        assert!(message(Mask::all(&[3]), 4).contains("choice of groups"));
        assert!(message(Mask::all(&[2]), 0).contains("index_bits"));
        assert!(message(Mask::all(&[2]), 33).contains("index_bits"));
    }
}
