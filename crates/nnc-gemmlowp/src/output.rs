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
    /// Turns the number into a real one, `x · scale + bias`: the last stage of an `f32` result, and of no other.
    Dequantize {
        /// The real value of 1.
        scale: Per<'a, f32>,
        /// Added after it.
        bias: Per<'a, f32>,
    },
}

impl Stage<'_> {
    /// Checks the stage for a result of `rows` × `cols`.
    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<()> {
        match self {
            Self::Bias(bias) => bias.check("bias", rows, cols),
            Self::Scale { multiplier, .. } => multiplier.check("multiplier", rows, cols),
            Self::LegacyScale { shift, .. } if *shift > 31 => Err(Error::invalid("shift", "0 to 31", shift)),
            Self::Dequantize { scale, bias } => {
                scale.check("scale", rows, cols)?;
                bias.check("bias", rows, cols)
            }
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
            // Comes last, and `Element::real` does it.
            Self::Dequantize { .. } => x,
        }
    }

    /// The same stage for the transposed result.
    pub(crate) fn transposed(self) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(bias.transposed()),
            Self::Scale { multiplier, offset } => Self::Scale { multiplier: multiplier.transposed(), offset },
            Self::Dequantize { scale, bias } => {
                Self::Dequantize { scale: scale.transposed(), bias: bias.transposed() }
            }
            other => other,
        }
    }
}

/// Lends `stages` as `map` changes them. Four are copied to the stack, more to the heap.
pub(crate) fn with_mapped<'a, R>(
    stages: &[Stage<'a>],
    map: impl Fn(Stage<'a>) -> Stage<'a>,
    run: impl FnOnce(&[Stage<'a>]) -> R,
) -> R {
    let mut few = [Stage::Clamp { min: 0, max: 0 }; 4];
    let Some(few) = few.get_mut(..stages.len()) else {
        return run(&stages.iter().copied().map(map).collect::<Vec<_>>());
    };
    for (few, &stage) in few.iter_mut().zip(stages) {
        *few = map(stage);
    }
    run(few)
}

/// Checks the stages of a result of `rows` × `cols` whose elements are real numbers or not.
pub(crate) fn check(stages: &[Stage<'_>], rows: usize, cols: usize, is_real: bool) -> Result<()> {
    for (i, stage) in stages.iter().enumerate() {
        stage.check(rows, cols)?;
        let allowed = is_real && i + 1 == stages.len();
        if matches!(stage, Stage::Dequantize { .. }) && !allowed {
            let expected = "Dequantize only as the last stage of an f32 result";
            return Err(Error::invalid("stages", expected, format!("it at {i} of {}", stages.len())));
        }
    }
    if is_real && !matches!(stages.last(), Some(Stage::Dequantize { .. })) {
        return Err(Error::invalid("stages", "Dequantize as the last stage of an f32 result", "none"));
    }
    Ok(())
}

/// The result's element at (`row`, `col`) for the sum `x`: the plain form that kernels are held to.
pub(crate) fn store<O: Element>(stages: &[Stage<'_>], x: i32, row: usize, col: usize) -> O {
    let x = stages.iter().fold(x, |x, stage| stage.apply(x, row, col));
    match stages.last() {
        Some(Stage::Dequantize { scale, bias }) => O::real(x, scale.at(row, col), bias.at(row, col)),
        _ => O::saturate(x),
    }
}

/// A type of results: `u8`, `i8`, `i16`, `i32` by a saturating cast, `f32` by [`Stage::Dequantize`].
pub trait Element: sealed::Element + Copy + Default + Send + Sync + 'static {}

impl Element for u8 {}
impl Element for i8 {}
impl Element for i16 {}
impl Element for i32 {}
impl Element for f32 {}

pub(crate) mod sealed {
    use crate::kernel::{Finish, Requant};

    /// How sums become elements.
    pub trait Element: Sized {
        /// Whether elements are real numbers.
        const IS_REAL: bool = false;

        /// The bounds of a byte, for which kernels scale sums themselves.
        const BYTE: Option<(i16, i16)> = None;

        /// The nearest element to an integer.
        fn saturate(x: i32) -> Self;

        /// `x · scale + bias`, for real elements; the same as [`Element::saturate`] for others.
        fn real(x: i32, _scale: f32, _bias: f32) -> Self {
            Self::saturate(x)
        }

        /// A kernel's finish that writes such elements, scaled or, without `requant`, as they are.
        fn finish<'a>(_out: *mut Self, _requant: Option<Requant<'a>>) -> Option<Finish<'a>> {
            None
        }
    }

    impl Element for u8 {
        const BYTE: Option<(i16, i16)> = Some((0, 255));

        #[inline]
        fn saturate(x: i32) -> Self {
            x.clamp(0, 255).to_le_bytes()[0]
        }

        fn finish<'a>(out: *mut Self, requant: Option<Requant<'a>>) -> Option<Finish<'a>> {
            requant.map(|requant| Finish::Bytes(out, requant))
        }
    }

    impl Element for i8 {
        const BYTE: Option<(i16, i16)> = Some((-128, 127));

        #[inline]
        fn saturate(x: i32) -> Self {
            x.clamp(-128, 127).to_le_bytes()[0].cast_signed()
        }

        fn finish<'a>(out: *mut Self, requant: Option<Requant<'a>>) -> Option<Finish<'a>> {
            requant.map(|requant| Finish::Bytes(out.cast(), requant))
        }
    }

    impl Element for i16 {
        #[inline]
        fn saturate(x: i32) -> Self {
            let [low, high, ..] = x.clamp(-32_768, 32_767).to_le_bytes();
            Self::from_le_bytes([low, high])
        }
    }

    impl Element for i32 {
        #[inline]
        fn saturate(x: i32) -> Self {
            x
        }

        fn finish<'a>(out: *mut Self, requant: Option<Requant<'a>>) -> Option<Finish<'a>> {
            requant.is_none().then_some(Finish::Sums(out))
        }
    }

    impl Element for f32 {
        const IS_REAL: bool = true;

        #[allow(clippy::cast_precision_loss, reason = "sums beyond 2^24 round to the nearest f32")]
        #[inline]
        fn saturate(x: i32) -> Self {
            x as Self
        }

        fn real(x: i32, scale: f32, bias: f32) -> Self {
            Self::saturate(x) * scale + bias
        }
    }
}
