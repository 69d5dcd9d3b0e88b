//! The least and the greatest number.

use nnc_core::params::Params;
use nnc_core::{Error, Result};
use rayon::prelude::*;

use crate::affine::Interval;

/// Numbers from which a second thread pays.
pub(super) const PIECE: usize = 1 << 16;

/// Numbers that are compared side by side: three accumulators of each fit the registers of every x86-64 processor.
const LANES: usize = 8;

/// The least and the greatest number seen, if any was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Extremes(Option<Interval>);

impl Extremes {
    /// Those of `values`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a value is not finite, with its index.
    pub(crate) fn of(values: &[f32]) -> Result<Self> {
        if values.len() <= PIECE {
            return Self::of_piece(values);
        }
        let pieces = values.par_chunks(PIECE).map(Self::of_piece).collect::<Result<Vec<Self>>>();
        let pieces = pieces.map_err(|_| not_finite(values))?;
        Ok(pieces.into_iter().fold(Self::default(), |mut all, piece| {
            all.merge(&piece);
            all
        }))
    }

    /// As [`of`](Self::of), on this thread.
    fn of_piece(values: &[f32]) -> Result<Self> {
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut lanes = scan(blocks, Lanes::EMPTY);
        if let Some(&first) = rest.first() {
            let mut padded = [first; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            lanes = scan(&[padded], lanes);
        }
        let Lanes { low, high, odd } = lanes;
        if odd.iter().any(|odd| odd.is_nan()) {
            return Err(not_finite(values));
        }
        // −0 and 0 are the same number: which of them came first must not show.
        let low = low.into_iter().fold(f32::INFINITY, f32::min) + 0.0;
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max) + 0.0;
        Ok(Self(Interval::new(low, high).ok()))
    }

    /// The interval, unless nothing was seen.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.0
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0 = match (self.0, other.0) {
            (Some(ours), Some(theirs)) => Some(ours.union(&theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    pub(crate) fn save(&self, state: &mut Params) -> Result<()> {
        if let Some(interval) = self.0 {
            state.insert_number("min", f64::from(interval.min()))?;
            state.insert_number("max", f64::from(interval.max()))?;
        }
        Ok(())
    }

    pub(crate) fn load(state: &Params) -> Result<Self> {
        if state.get("min").is_none() {
            return Ok(Self(None));
        }
        #[allow(clippy::cast_possible_truncation, reason = "both were f32 when they were saved")]
        let interval = Interval::new(state.number("min")? as f32, state.number("max")? as f32);
        let corrupt = |error: Error| Error::corrupt("saved extremes", error.to_string());
        Ok(Self(Some(interval.map_err(corrupt)?)))
    }
}

impl From<Interval> for Extremes {
    fn from(interval: Interval) -> Self {
        Self(Some(interval))
    }
}

/// What is known of the numbers in each lane.
#[derive(Clone, Copy)]
struct Lanes {
    low: [f32; LANES],
    high: [f32; LANES],
    /// NaN once an infinity or NaN was met, 0 before.
    odd: [f32; LANES],
}

impl Lanes {
    const EMPTY: Self =
        Self { low: [f32::INFINITY; LANES], high: [f32::NEG_INFINITY; LANES], odd: [0.0; LANES] };
}

/// Takes in `blocks`; by value, and over one slice, so that the lanes stay in registers.
fn scan(blocks: &[[f32; LANES]], lanes: Lanes) -> Lanes {
    let Lanes { mut low, mut high, mut odd } = lanes;
    for block in blocks {
        for i in 0..LANES {
            let x = block[i];
            low[i] = if x < low[i] { x } else { low[i] };
            high[i] = if x > high[i] { x } else { high[i] };
            odd[i] += x * 0.0;
        }
    }
    Lanes { low, high, odd }
}

/// The error for the first of `values` that is not finite.
#[cold]
fn not_finite(values: &[f32]) -> Error {
    let idx = values.iter().position(|x| !x.is_finite()).expect("one was met");
    Error::invalid("observed numbers", "finite ones", format!("{} at index {idx}", values[idx]))
}
