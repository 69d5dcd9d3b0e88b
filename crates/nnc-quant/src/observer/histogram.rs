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
use super::min_max::{PIECE, not_finite};
use crate::affine::Interval;

/// Bins of one sign; the greatest |x| lies in the upper half of them.
const N_BINS: usize = 1 << BIN_BITS;
const BIN_BITS: u32 = 11;

/// The exponent of the narrowest bins: all numbers below 2^−115 share a bin, and 2^126 is still an f32.
const MIN_EXPONENT: i32 = -126;

/// The exponent of the widest bins, those of `f32::MAX`.
const MAX_EXPONENT: i32 = 128 - BIN_BITS.cast_signed();

/// Numbers whose extremes and bins are found while they are in the nearest cache.
const BLOCK: usize = 1 << 12;

/// Tables that are counted in side by side: neighbours are often equal, and a count has to be stored before it is read again.
const N_TABLES: usize = 4;

/// Counts of the numbers seen, in at most 2 × 2048 bins; zeros are counted apart.
///
/// Memory: 32 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    extremes: Extremes,
    exponent: i32,
    /// The bins of the positive numbers, then those of the negative ones.
    counts: Vec<u64>,
    n_zeros: u64,
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
            exponent: MIN_EXPONENT,
            counts: vec![0; 2 * N_BINS],
            n_zeros: 0,
        }
    }

    /// The least and the greatest number, unless nothing was counted.
    pub fn interval(&self) -> Option<Interval> {
        self.extremes.interval()
    }

    /// The width of a bin: between 1/2048 and 1/1024 of the greatest |x|.
    pub fn bin_width(&self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// Counts `values`.
    ///
    /// Cost: two passes over memory blocks in the nearest cache.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a value is not finite; nothing is counted then.
    pub fn observe(&mut self, values: &[f32]) -> Result<()> {
        let count = |piece: &[f32]| Tables::count(piece, self.exponent);
        let pieces: Result<Vec<Tables>> = if values.len() <= PIECE {
            count(values).map(|tables| vec![tables])
        } else {
            values.par_chunks(PIECE).map(count).collect()
        };
        // The error names an index in its block.
        for piece in pieces.map_err(|_| not_finite(values))? {
            self.add(&piece);
        }
        Ok(())
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.extremes.merge(&other.extremes);
        self.widen(other.exponent);
        let shift = shift_between(other.exponent, self.exponent);
        for (i, &count) in other.counts.iter().enumerate() {
            self.counts[widened(i, shift)] += count;
        }
        self.n_zeros += other.n_zeros;
    }

    /// The bins that hold something, from the least numbers to the greatest.
    pub fn bins(&self) -> Vec<Bin> {
        let width = self.bin_width();
        let (positive, negative) = self.counts.split_at(N_BINS);
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

    fn add(&mut self, piece: &Tables) {
        self.extremes.merge(&piece.extremes);
        self.widen(piece.exponent);
        for i in 0..2 * N_BINS {
            self.counts[i] += piece.counts.iter().map(|table| u64::from(table[i])).sum::<u64>();
        }
        // They were counted as numbers near 0 first.
        self.counts[0] -= piece.n_zeros;
        self.n_zeros += piece.n_zeros;
    }

    /// Makes the bins at least 2^`exponent` wide.
    fn widen(&mut self, exponent: i32) {
        let shift = shift_between(self.exponent, exponent);
        if shift > 0 {
            widen_table(&mut self.counts, shift);
            self.exponent = exponent;
        }
    }

    pub(super) fn save(&self, state: &mut Params) -> Result<()> {
        self.extremes.save(state)?;
        state.insert_number("exponent", f64::from(self.exponent))?;
        let mut counts: Vec<i64> = Vec::with_capacity(self.counts.len() + 1);
        for &count in self.counts.iter().chain([&self.n_zeros]) {
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
        #[allow(clippy::cast_possible_truncation, reason = "a whole number in a small range")]
        let exponent = exponent as i32;
        Ok(Self { extremes, exponent, counts, n_zeros })
    }
}

/// Counts of one piece of the numbers, which one thread sees.
struct Tables {
    extremes: Extremes,
    exponent: i32,
    counts: Vec<[u32; 2 * N_BINS]>,
    n_zeros: u64,
}

impl Tables {
    /// Counts at most [`PIECE`] numbers in bins of at least 2^`exponent`.
    fn count(piece: &[f32], exponent: i32) -> Result<Self> {
        let counts = vec![[0; 2 * N_BINS]; N_TABLES];
        let mut tables = Self { extremes: Extremes::default(), exponent, counts, n_zeros: 0 };
        for block in piece.chunks(BLOCK) {
            let extremes = Extremes::of_piece(block)?;
            let Some(interval) = extremes.interval() else { continue };
            tables.extremes.merge(&extremes);
            tables.widen(exponent_for(interval.max_abs()));
            tables.count_block(block);
        }
        Ok(tables)
    }

    fn widen(&mut self, exponent: i32) {
        let shift = shift_between(self.exponent, exponent);
        if shift > 0 {
            self.counts.iter_mut().for_each(|table| widen_table(table, shift));
            self.exponent = exponent;
        }
    }

    fn count_block(&mut self, block: &[f32]) {
        let per_bin = f32::from_bits((127 - self.exponent).cast_unsigned() << 23);
        self.n_zeros += u64::from(block.iter().map(|&x| u32::from(x == 0.0)).sum::<u32>());
        let mut idx = [0_u16; BLOCK];
        for (idx, &x) in idx.iter_mut().zip(block) {
            *idx = bin_of(x, per_bin);
        }
        let (quads, rest) = idx[..block.len()].as_chunks::<N_TABLES>();
        let [a, b, c, d] = self.counts.as_mut_slice() else { unreachable!("there are four tables") };
        for quad in quads {
            // The remainders change nothing; they show that no index is out of bounds.
            a[usize::from(quad[0]) % (2 * N_BINS)] += 1;
            b[usize::from(quad[1]) % (2 * N_BINS)] += 1;
            c[usize::from(quad[2]) % (2 * N_BINS)] += 1;
            d[usize::from(quad[3]) % (2 * N_BINS)] += 1;
        }
        for &idx in rest {
            a[usize::from(idx)] += 1;
        }
    }
}

/// The bin of a number below [`N_BINS`] / `per_bin`; both zeros are in the first.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bin's index is below 2^12")]
fn bin_of(x: f32, per_bin: f32) -> u16 {
    let sign = ((x + 0.0).to_bits() >> 31) << BIN_BITS;
    // The factor is a power of two: the product is exact, or below 1 in any case.
    let magnitude = (x.abs() * per_bin) as i32;
    sign as u16 | magnitude as u16
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

fn widen_table<T: Copy + Default + std::ops::AddAssign>(table: &mut [T], shift: u32) {
    for idx in 0..table.len() {
        // Bins only move towards the front, so each has been read before it is written.
        let count = std::mem::take(&mut table[idx]);
        table[widened(idx, shift)] += count;
    }
}
