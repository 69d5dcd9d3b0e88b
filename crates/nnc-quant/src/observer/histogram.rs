//! Counts in bins whose width is a power of two, so that the range can grow without the data.
//!
//! Bin i of a sign holds the numbers with i · 2^e ≤ |x| < (i + 1) · 2^e. A number beyond the last bin raises e: the bins
//! 2i and 2i + 1 become bin i, exactly, because ⌊⌊|x| / 2^e⌋ / 2⌋ = ⌊|x| / 2^(e+1)⌋. So the counts depend on the set of
//! numbers alone, neither on their order nor on how they were cut into batches, and histograms merge exactly.

use nnc_core::candle::{Device, Tensor};
use nnc_core::params::{ParamKind, Params};
use nnc_core::{Error, Result};
use rayon::prelude::*;

use super::Extremes;
use super::min_max::PIECE;
use crate::affine::Interval;

/// Bins of one sign; the greatest |x| lies in the upper half of them.
const N_BINS: usize = 1 << BIN_BITS;
const BIN_BITS: u32 = 11;

/// The exponent of the narrowest bins: all numbers below 2^−115 share a bin, and 2^126 is still an f32.
const MIN_EXPONENT: i32 = -126;

/// The exponent of the widest bins, those of `f32::MAX`.
const MAX_EXPONENT: i32 = 128 - BIN_BITS.cast_signed();

/// Numbers whose extremes and bins are found while they are in the nearest cache.
const BLOCK: usize = 1 << 11;

/// Numbers that are counted between two looks at whether 32 bits still hold the counts.
const MAX_PENDING: usize = u32::MAX as usize;

/// Tables that are counted in side by side: neighbours are often equal, and a count has to be stored before it is read again.
const N_TABLES: usize = 4;

/// Counts of the numbers seen, in at most 2 × 2048 bins; zeros are counted apart.
///
/// Memory: 96 KiB.
#[derive(Debug, Clone)]
pub struct Histogram {
    extremes: Extremes,
    /// The bins of the positive numbers, then those of the negative ones; the zeros are in the first.
    counts: Vec<u64>,
    n_zeros: u64,
    /// Counts that are not in `counts` yet; the exponent is that of both.
    pending: Tables,
    n_pending: usize,
}

/// The numbers between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The lower bound.
    pub low: f64,
    /// The upper bound; both are 0 for the zeros.
    pub high: f64,
    /// How many there are.
    pub count: f64,
}

impl Bin {
    /// What stands for the numbers.
    pub fn centre(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            extremes: Extremes::default(),
            counts: vec![0; 2 * N_BINS],
            n_zeros: 0,
            pending: Tables::new(MIN_EXPONENT),
            n_pending: 0,
        }
    }

    /// The least and the greatest number, unless nothing was counted.
    pub fn interval(&self) -> Option<Interval> {
        self.extremes.interval()
    }

    /// The width of a bin: between 1/2048 and 1/1024 of the greatest |x|.
    pub fn bin_width(&self) -> f64 {
        f64::from(self.pending.exponent).exp2()
    }

    /// Counts `values`.
    ///
    /// Cost: three passes over blocks in the nearest cache, in pieces on several threads where there are many.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a value is not finite; nothing is counted then.
    pub fn observe(&mut self, values: &[f32]) -> Result<()> {
        let extremes = Extremes::of(values)?;
        self.extremes.merge(&extremes);
        let Some(interval) = extremes.interval() else { return Ok(()) };
        self.widen(exponent_for(interval.max_abs()));
        if values.len() <= PIECE {
            if self.n_pending + values.len() > MAX_PENDING {
                self.settle();
            }
            self.n_pending += values.len();
            self.n_zeros += self.pending.count(values);
            return Ok(());
        }
        let exponent = self.pending.exponent;
        let count = |piece: &[f32]| {
            let mut tables = Tables::new(exponent);
            let n_zeros = tables.count(piece);
            (tables, n_zeros)
        };
        let pieces: Vec<(Tables, u64)> = values.par_chunks(PIECE).map(count).collect();
        for (tables, n_zeros) in pieces {
            tables.add_to(&mut self.counts);
            self.n_zeros += n_zeros;
        }
        Ok(())
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.extremes.merge(&other.extremes);
        self.widen(other.pending.exponent);
        let shift = shift_between(other.pending.exponent, self.pending.exponent);
        for (i, count) in other.settled().into_iter().enumerate() {
            self.counts[widened(i, shift)] += count;
        }
        self.n_zeros += other.n_zeros;
    }

    /// The bins that hold something, from the least numbers to the greatest.
    pub fn bins(&self) -> Vec<Bin> {
        let width = self.bin_width();
        let mut counts = self.settled();
        counts[0] -= self.n_zeros;
        let (positive, negative) = counts.split_at(N_BINS);
        let filled = |counts: &[u64]| -> Vec<(usize, u64)> {
            counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
        };
        let bin = |sign: f64, (i, count): (usize, u64)| {
            let (a, b) = (sign * width * i as f64, sign * width * (i + 1) as f64);
            Bin { low: a.min(b), high: a.max(b), count: count as f64 }
        };
        let mut bins: Vec<Bin> = filled(negative).into_iter().rev().map(|filled| bin(-1.0, filled)).collect();
        if self.n_zeros > 0 {
            bins.push(Bin { low: 0.0, high: 0.0, count: self.n_zeros as f64 });
        }
        bins.extend(filled(positive).into_iter().map(|filled| bin(1.0, filled)));
        bins
    }

    /// All counts.
    fn settled(&self) -> Vec<u64> {
        let mut counts = self.counts.clone();
        self.pending.add_to(&mut counts);
        counts
    }

    /// Moves the pending counts to the others.
    fn settle(&mut self) {
        self.counts = self.settled();
        self.pending = Tables::new(self.pending.exponent);
        self.n_pending = 0;
    }

    /// Makes the bins at least 2^`exponent` wide.
    fn widen(&mut self, exponent: i32) {
        let shift = shift_between(self.pending.exponent, exponent);
        if shift > 0 {
            self.settle();
            self.pending.exponent = exponent;
            for idx in 0..self.counts.len() {
                // Bins only move towards the front, so each is read before it is written.
                let count = std::mem::take(&mut self.counts[idx]);
                self.counts[widened(idx, shift)] += count;
            }
        }
    }

    pub(super) fn save(&self, state: &mut Params) -> Result<()> {
        self.extremes.save(state)?;
        state.insert_number("exponent", f64::from(self.pending.exponent))?;
        let mut counts: Vec<i64> = Vec::with_capacity(self.counts.len() + 1);
        for count in self.settled().into_iter().chain([self.n_zeros]) {
            counts.push(i64::try_from(count).expect("fewer than 2^63 numbers were seen"));
        }
        let n = counts.len();
        state.insert("counts", ParamKind::Buffer, Tensor::from_vec(counts, n, &Device::Cpu)?);
        Ok(())
    }

    pub(super) fn load(state: &Params) -> Result<Self> {
        let corrupt = |why: &str| Error::corrupt("saved histogram", why);
        let exponent = state.number("exponent")?;
        if exponent.fract() != 0.0 || !(f64::from(MIN_EXPONENT)..=f64::from(MAX_EXPONENT)).contains(&exponent)
        {
            return Err(corrupt("an exponent that no float has"));
        }
        let counts =
            state.tensor("counts")?.to_vec1::<i64>().map_err(|_| corrupt("counts of another type"))?;
        let counts: Option<Vec<u64>> = counts.into_iter().map(|count| u64::try_from(count).ok()).collect();
        let mut counts = counts.ok_or_else(|| corrupt("a count below 0"))?;
        if counts.len() != 2 * N_BINS + 1 {
            return Err(corrupt("another number of bins"));
        }
        let extremes = Extremes::load(state)?;
        if extremes.interval().is_none() && counts.iter().any(|&count| count > 0) {
            return Err(corrupt("counts without extremes"));
        }
        let n_zeros = counts.pop().expect("its length was checked");
        if n_zeros > counts[0] {
            return Err(corrupt("more zeros than numbers near 0"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "a whole number in a small range")]
        let exponent = exponent as i32;
        Ok(Self { extremes, counts, n_zeros, pending: Tables::new(exponent), n_pending: 0 })
    }
}

/// Counts of 32 bits, in tables side by side.
#[derive(Debug, Clone)]
struct Tables {
    exponent: i32,
    counts: Box<[[u32; 2 * N_BINS]; N_TABLES]>,
}

impl Tables {
    /// Nothing counted, in bins of 2^`exponent`.
    fn new(exponent: i32) -> Self {
        Self { exponent, counts: Box::new([[0; 2 * N_BINS]; N_TABLES]) }
    }

    /// Counts numbers that lie in the bins; returns how many of them are 0, which are in the first bin.
    fn count(&mut self, values: &[f32]) -> u64 {
        let per_bin = f32::from_bits((127 - self.exponent).cast_unsigned() << 23);
        let mut idx = [0_u32; BLOCK];
        let mut n_zeros = 0;
        for block in values.chunks(BLOCK) {
            let mut n_zeros_here = 0;
            for (idx, &x) in idx.iter_mut().zip(block) {
                n_zeros_here += u32::from(x == 0.0);
                *idx = bin_of(x, per_bin);
            }
            n_zeros += u64::from(n_zeros_here);
            self.count_bins(&idx[..block.len()]);
        }
        n_zeros
    }

    fn count_bins(&mut self, idx: &[u32]) {
        let (quads, rest) = idx.as_chunks::<N_TABLES>();
        // The remainder changes nothing; it shows that no index is out of bounds.
        let bin = |idx: u32| idx as usize % (2 * N_BINS);
        let [a, b, c, d] = &mut *self.counts;
        for quad in quads {
            a[bin(quad[0])] += 1;
            b[bin(quad[1])] += 1;
            c[bin(quad[2])] += 1;
            d[bin(quad[3])] += 1;
        }
        for &idx in rest {
            a[bin(idx)] += 1;
        }
    }

    fn add_to(&self, counts: &mut [u64]) {
        let [a, b, c, d] = &*self.counts;
        for ((((count, &a), &b), &c), &d) in counts.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *count += u64::from(a) + u64::from(b) + u64::from(c) + u64::from(d);
        }
    }
}

/// The bin ⌊|x| · `per_bin`⌋ of a number that has one, behind [`N_BINS`] where it is negative; both zeros are in the first.
///
/// Without a conversion, which the compiler makes no vectors of: 12 bits of |x| are enough for an integer below 2^11. Added
/// to 2^11, they stand in the highest bits of the fraction, and the rest below 1 is too short to be rounded up.
#[inline]
fn bin_of(x: f32, per_bin: f32) -> u32 {
    const TOP: u32 = 0x7fff_f000;
    let magnitude = f32::from_bits(x.to_bits() & TOP) * per_bin + N_BINS as f32;
    let (sign, bin) = (u32::from(x < 0.0), (magnitude.to_bits() >> (23 - BIN_BITS)) % (1 << BIN_BITS));
    (sign << BIN_BITS) | bin
}

/// The exponent of bins that reach beyond `max_abs`, but not twice as far as they need.
fn exponent_for(max_abs: f32) -> i32 {
    let log2_floor = (max_abs.to_bits() >> 23).cast_signed() - 127;
    (log2_floor + 1 - BIN_BITS.cast_signed()).max(MIN_EXPONENT)
}

fn shift_between(from: i32, to: i32) -> u32 {
    u32::try_from(to - from).unwrap_or(0)
}

/// Where the bin `idx` (of either sign) goes when bins become 2^`shift` times as wide.
fn widened(idx: usize, shift: u32) -> usize {
    let (sign, i) = (idx / N_BINS * N_BINS, idx % N_BINS);
    sign + i.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_move_on_before_32_bits_are_full() {
        let mut histogram = Histogram::new();
        histogram.observe(&[0.0, 1.0, 1.0, -2.0]).unwrap();
        histogram.n_pending = MAX_PENDING - 3;
        histogram.observe(&[1.0, 0.0, 0.5]).unwrap();
        assert_eq!((histogram.n_pending, histogram.counts.iter().sum::<u64>()), (MAX_PENDING, 0));
        histogram.observe(&[1.0]).unwrap();
        assert_eq!((histogram.n_pending, histogram.counts.iter().sum::<u64>()), (1, 7));
        assert_eq!(histogram.bins().iter().map(|bin| bin.count).collect::<Vec<_>>(), [1.0, 2.0, 1.0, 4.0]);
    }
}
