//! What happens to a sum before it is stored: stages as data, applied in order.

use crate::fixedpoint;
use crate::multiplier::Multiplier;
use crate::{Error, Result};

/// A parameter of a stage: one for all, one a row, or one a column of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Per<'a, T> {
    /// One value for the whole result.
    Tensor(T),
    /// One value for each row.
    Row(&'a [T]),
    /// One value for each column.
    Col(&'a [T]),
}

impl<T: Copy> Per<'_, T> {
    /// The value for (`row`, `col`).
    pub(crate) fn at(&self, row: usize, col: usize) -> T {
        match self {
            Self::Tensor(value) => *value,
            Self::Row(values) => values[row],
            Self::Col(values) => values[col],
        }
    }

    /// The same for the transposed result.
    pub(crate) fn transposed(self) -> Self {
        match self {
            Self::Tensor(_) => self,
            Self::Row(values) => Self::Col(values),
            Self::Col(values) => Self::Row(values),
        }
    }

    pub(crate) fn check(&self, what: &'static str, rows: usize, cols: usize) -> Result<()> {
        let (expected, found) = match self {
            Self::Tensor(_) => return Ok(()),
            Self::Row(values) => (rows, values.len()),
            Self::Col(values) => (cols, values.len()),
        };
        if expected == found { Ok(()) } else { Err(Error::WrongLength { what, expected, found }) }
    }
}

/// One step from an `i32` sum to a stored value; after the last one comes a saturating cast to the type of the result.
///
/// # Source
/// gemmlowp, `public/output_stages.h`. Its PC stages are [`Per::Row`] and [`Per::Col`] here.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Stage<'a> {
    /// Adds a bias, wrapping.
    Bias(Per<'a, i32>),
    /// Multiplies by a fixed-point multiplier and adds an offset, wrapping: `OutputStageScaleInt32ByFixedPointAndExponent`.
    Scale {
        /// The factor.
        multiplier: Per<'a, Multiplier>,
        /// Added after it: the zero point of the result.
        offset: i32,
    },
    /// `((x + offset) · multiplier + rounding) >> shift`, all wrapping: the legacy `OutputStageQuantizeDownInt32ToUint8Scale`.
    LegacyScale {
        /// Added first.
        offset: i32,
        /// The integer factor.
        multiplier: i32,
        /// Bits shifted right, 0 to 31.
        shift: u32,
    },
    /// Moves values outside `min..=max` to the nearer bound.
    Clamp {
        /// The lower bound.
        min: i32,
        /// The upper bound, at least `min`.
        max: i32,
    },
    /// Fixed-point tanh of `x − zero_point` in units of `amplitude`: `OutputStageTanh`.
    Tanh {
        /// The input that stands for 0, and the output that does.
        zero_point: i32,
        /// The input that stands for 1, less `zero_point`; the output for +1 likewise. At least 1.
        amplitude: i32,
    },
}

impl Stage<'_> {
    /// Checks the stage for a result of `rows` × `cols`.
    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<()> {
        match self {
            Self::Bias(bias) => bias.check("bias", rows, cols),
            Self::Scale { multiplier, .. } => multiplier.check("multiplier", rows, cols),
            Self::LegacyScale { shift, .. } if *shift > 31 => Err(Error::invalid("shift", "0 to 31", shift)),
            Self::Clamp { min, max } if min > max => {
                Err(Error::invalid("max", format!("at least min, {min}"), max))
            }
            Self::Tanh { amplitude, .. } if *amplitude < 1 => {
                Err(Error::invalid("amplitude", "at least 1", amplitude))
            }
            _ => Ok(()),
        }
    }

    /// The stage applied to the sum `x` at (`row`, `col`).
    pub(crate) fn apply(&self, x: i32, row: usize, col: usize) -> i32 {
        match self {
            Self::Bias(bias) => x.wrapping_add(bias.at(row, col)),
            Self::Scale { multiplier, offset } => multiplier.at(row, col).apply(x).wrapping_add(*offset),
            Self::LegacyScale { offset, multiplier, shift } => {
                let rounding = if *shift < 1 { 0 } else { 1 << (shift - 1) };
                x.wrapping_add(*offset).wrapping_mul(*multiplier).wrapping_add(rounding) >> shift
            }
            Self::Clamp { min, max } => x.clamp(*min, *max),
            Self::Tanh { zero_point, amplitude } => fixedpoint::tanh_stage(x, *zero_point, *amplitude),
        }
    }

    /// The same stage for the transposed result.
    pub(crate) fn transposed(self) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(bias.transposed()),
            Self::Scale { multiplier, offset } => Self::Scale { multiplier: multiplier.transposed(), offset },
            other => other,
        }
    }
}
