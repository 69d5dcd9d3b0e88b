//! The least and the greatest number.

use nnc_core::params::Params;
use nnc_core::{Error, Result};
use rayon::prelude::*;

use crate::affine::Interval;

/// Numbers from which a second thread pays.
pub(super) const PIECE: usize = 1 << 16;

/// Numbers that are compared side by side.
const LANES: usize = 16;

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
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut odd = [0_u32; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut padded = [0.0; LANES];
        if let Some(&first) = rest.first() {
            padded = [first; LANES];
            padded[..rest.len()].copy_from_slice(rest);
        }
        let last = (!rest.is_empty()).then_some(&padded);
        for block in blocks.iter().chain(last) {
            for i in 0..LANES {
                let x = block[i];
                low[i] = if x < low[i] { x } else { low[i] };
                high[i] = if x > high[i] { x } else { high[i] };
                odd[i] |= u32::from(!x.is_finite());
            }
        }
        if odd != [0; LANES] {
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

/// The error for the first of `values` that is not finite.
#[cold]
fn not_finite(values: &[f32]) -> Error {
    let idx = values.iter().position(|x| !x.is_finite()).expect("one was met");
    Error::invalid("observed numbers", "finite ones", format!("{} at index {idx}", values[idx]))
}
