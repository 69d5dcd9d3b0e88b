//! Values as integer codes on an affine grid: value = scale · (code − zero point).

use std::ops::Range;
use std::sync::Arc;

use super::order::checked_count;
use super::scan::scan;
use super::{MAX_WIDTH, Symbols};
use crate::{Error, Result};

/// Which entries of a weight share a scale and a zero point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// All of them.
    PerTensor,
    /// Those with the same index along one axis (0: one scale per output channel).
    PerAxis {
        /// The axis.
        axis: usize,
    },
    /// Runs of `size` neighbours within each row of the matrix view (`shape[0]` rows by the rest); the last run of a
    /// row may be shorter.
    PerGroup {
        /// Entries of a run.
        size: usize,
    },
}

impl Granularity {
    /// How many scales a weight of `shape` has.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the shape has no such axis or the group size is 0.
    pub fn n_scales(&self, shape: &[usize]) -> Result<usize> {
        match *self {
            Self::PerTensor => Ok(1),
            Self::PerAxis { axis } => shape.get(axis).copied().ok_or_else(|| {
                Error::invalid("axis of a granularity", format!("less than the rank of {shape:?}"), axis)
            }),
            Self::PerGroup { size: 0 } => Err(Error::invalid("group size", "at least 1", 0)),
            Self::PerGroup { size } => {
                let n_rows = shape.first().copied().unwrap_or(1);
                let n_cols: usize = shape.get(1..).unwrap_or_default().iter().product();
                Ok(n_rows.saturating_mul(n_cols.div_ceil(size)))
            }
        }
    }

    /// Which entries of a weight of `shape` share which scale.
    ///
    /// # Errors
    /// As [`n_scales`](Self::n_scales), and [`InvalidArgument`](Error::InvalidArgument) when the shape cannot be addressed.
    pub fn grouping(&self, shape: &[usize]) -> Result<Grouping> {
        self.n_scales(shape)?;
        let n_entries = checked_count("shape of a granularity", shape)?;
        let n_cols: usize = shape.get(1..).unwrap_or_default().iter().product();
        Ok(match *self {
            Self::PerTensor => Grouping { n_entries, row: n_entries, run: n_entries, repeats: false },
            Self::PerAxis { axis } => {
                let run = shape[axis + 1..].iter().product();
                Grouping { n_entries, row: shape[axis] * run, run, repeats: true }
            }
            Self::PerGroup { size } => {
                Grouping { n_entries, row: n_cols, run: size.min(n_cols), repeats: false }
            }
        })
    }
}

/// A granularity resolved on a shape: the entries in row-major order, cut into rows, and the rows into runs of one scale.
#[derive(Debug, Clone, Copy)]
pub struct Grouping {
    n_entries: usize,
    /// Entries of a row.
    row: usize,
    /// Entries of a run; the last of a row may be shorter.
    run: usize,
    /// Whether every row has the same scales.
    repeats: bool,
}

impl Grouping {
    /// The scale index of the flat row-major position `flat`, which must be an entry's.
    pub fn of(&self, flat: usize) -> usize {
        // One scale for all is common, and divisions are slow.
        if self.run == self.n_entries {
            return 0;
        }
        let in_row = flat % self.row / self.run;
        if self.repeats { in_row } else { flat / self.row * self.row.div_ceil(self.run) + in_row }
    }

    /// The runs of neighbours that share a scale, in order: scale index and flat row-major positions.
    ///
    /// # Example
    /// ```
    /// use nnc_core::weight::Granularity;
    /// let grouping = Granularity::PerGroup { size: 2 }.grouping(&[2, 3])?;
    /// assert_eq!(grouping.runs().collect::<Vec<_>>(), [(0, 0..2), (1, 2..3), (2, 3..5), (3, 5..6)]);
    /// # Ok::<(), nnc_core::Error>(())
    /// ```
    pub fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let grouping = *self;
        let mut start = 0;
        std::iter::from_fn(move || {
            let Self { n_entries, row, run, .. } = grouping;
            (start < n_entries).then(|| {
                let end = (start + run).min((start / row + 1) * row);
                let range = start..end;
                start = end;
                (grouping.of(range.start), range)
            })
        })
    }
}

/// The scales and zero points of an affine grid.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineGrid {
    bits: u32,
    granularity: Granularity,
    scales: Vec<f32>,
    zero_points: Vec<u16>,
}

impl AffineGrid {
    /// A grid of codes of `bits` bits, 2..=16.
    ///
    /// There is one zero point per scale, or one for all of them. Each is a code, so that 0 is on the grid exactly.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `bits` is out of range, a scale is not positive and finite, a
    /// zero point is no code, or the counts disagree.
    pub fn new(bits: u32, granularity: Granularity, scales: Vec<f32>, zero_points: Vec<u16>) -> Result<Self> {
        if !(2..=MAX_WIDTH).contains(&bits) {
            return Err(Error::invalid("bits of an affine grid", format!("2..={MAX_WIDTH}"), bits));
        }
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(Error::invalid("scale", "positive and finite", scale));
        }
        if let Some(zero_point) = zero_points.iter().find(|&&zero_point| u32::from(zero_point) >> bits != 0) {
            return Err(Error::invalid("zero point", format!("less than 2^{bits}"), zero_point));
        }
        if zero_points.len() != 1 && zero_points.len() != scales.len() {
            let expected = format!("1 or {}, one per scale", scales.len());
            return Err(Error::invalid("number of zero points", expected, zero_points.len()));
        }
        Ok(Self { bits, granularity, scales, zero_points })
    }

    /// Bits of a code.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Which entries share a scale.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The scales, in the unit of the weights.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The zero points: one per scale, or one for all.
    pub fn zero_points(&self) -> &[u16] {
        &self.zero_points
    }

    /// The code that means 0 for entries of scale index `group`.
    pub fn zero_point(&self, group: usize) -> u16 {
        self.zero_points[if self.zero_points.len() == 1 { 0 } else { group }]
    }

    /// `scale · (code − zero point)` for entries of scale index `group`; the difference is exact, so one rounding.
    pub fn value(&self, group: usize, code: u16) -> f32 {
        let difference = i32::from(code) - i32::from(self.zero_point(group));
        self.scales[group] * difference as f32
    }

    /// Bits of scales (32 each) and zero points (packed at the codes' width).
    pub fn table_bits(&self) -> u64 {
        let zero_point_bits = self.zero_points.len() as u64 * u64::from(self.bits);
        32 * self.scales.len() as u64 + 8 * zero_point_bits.div_ceil(8)
    }
}

/// Codes with their grid.
///
/// A filler slot holds the zero point of its position.
#[derive(Debug, Clone)]
pub struct Affine {
    grid: AffineGrid,
    codes: Arc<dyn Symbols>,
    entropy_bits: f64,
}

impl Affine {
    /// Codes on a grid, one per slot; reads the stream once to check it.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when a code is `>= 2^bits`, and what the stream's decoder says.
    pub fn new(grid: AffineGrid, codes: Arc<dyn Symbols>) -> Result<Self> {
        let entropy_bits = scan(&*codes, "affine codes", 1 << grid.bits, |_| ())?;
        Ok(Self { grid, codes, entropy_bits })
    }

    /// The grid.
    pub fn grid(&self) -> &AffineGrid {
        &self.grid
    }

    /// The codes, one per slot.
    pub fn codes(&self) -> &Arc<dyn Symbols> {
        &self.codes
    }

    /// The order-0 entropy of the codes in bits.
    pub fn entropy_bits(&self) -> f64 {
        self.entropy_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_refuses_what_it_cannot_mean() {
        let grid = |bits, scales: &[f32], zeros: &[u16]| {
            AffineGrid::new(bits, Granularity::PerTensor, scales.to_vec(), zeros.to_vec())
        };
        assert!(grid(8, &[0.5], &[128]).is_ok());
        for (bits, scales, zeros) in [
            (1, &[0.5][..], &[0][..]),
            (17, &[0.5], &[0]),
            (8, &[0.0], &[0]),
            (8, &[f32::INFINITY], &[0]),
            (8, &[f32::NAN], &[0]),
            (4, &[0.5], &[16]),
            (4, &[0.5, 0.5, 0.5], &[1, 2]),
            (4, &[0.5], &[]),
        ] {
            assert!(grid(bits, scales, zeros).is_err(), "{bits} {scales:?} {zeros:?}");
        }
    }

    #[test]
    fn positions_find_their_scale() {
        let shape = [2, 3, 2];
        let of = |granularity: Granularity| {
            let grouping = granularity.grouping(&shape).unwrap();
            for (group, run) in grouping.runs() {
                assert!(run.clone().all(|flat| grouping.of(flat) == group), "{granularity:?} {run:?}");
            }
            assert!(grouping.runs().flat_map(|(_, run)| run).eq(0..12), "{granularity:?}");
            (0..12).map(|flat| grouping.of(flat)).collect::<Vec<_>>()
        };
        assert_eq!(of(Granularity::PerTensor), [0; 12]);
        assert_eq!(of(Granularity::PerAxis { axis: 1 }), [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        assert_eq!(of(Granularity::PerGroup { size: 4 }), [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]);
        for granularity in [
            Granularity::PerTensor,
            Granularity::PerAxis { axis: 2 },
            Granularity::PerGroup { size: 4 },
            Granularity::PerGroup { size: 100 },
        ] {
            let n = granularity.n_scales(&shape).unwrap();
            assert_eq!(of(granularity).into_iter().max(), Some(n - 1), "{granularity:?}");
        }
        assert!(Granularity::PerAxis { axis: 3 }.grouping(&shape).is_err());
        for (granularity, shape) in [
            (Granularity::PerTensor, &[][..]),
            (Granularity::PerGroup { size: 4 }, &[]),
            (Granularity::PerGroup { size: 4 }, &[5]),
            (Granularity::PerGroup { size: 6 }, &[2, 3]),
            (Granularity::PerGroup { size: 4 }, &[3, 0]),
            (Granularity::PerAxis { axis: 0 }, &[5]),
            (Granularity::PerAxis { axis: 1 }, &[5, 0, 2]),
            (Granularity::PerTensor, &[0]),
        ] {
            let grouping = granularity.grouping(shape).unwrap();
            let n_entries: usize = shape.iter().product();
            assert_eq!(grouping.runs().map(|(_, run)| run.len()).sum::<usize>(), n_entries);
            let n_scales = granularity.n_scales(shape).unwrap();
            assert!(grouping.runs().all(|(group, _)| group < n_scales), "{granularity:?} {shape:?}");
        }
        assert!(Granularity::PerGroup { size: 0 }.n_scales(&shape).is_err());
    }

    #[test]
    fn values_lie_on_the_grid_with_zero_exact() {
        let grid = AffineGrid::new(8, Granularity::PerTensor, vec![0.25], vec![128]).unwrap();
        assert_eq!([0, 128, 255].map(|code| grid.value(0, code)), [-32.0, 0.0, 31.75]);
        assert_eq!(grid.value(0, 128).to_bits(), 0);
        assert_eq!(grid.table_bits(), 32 + 8);
    }
}
