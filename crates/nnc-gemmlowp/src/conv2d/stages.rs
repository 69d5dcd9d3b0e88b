//! Stages of a convolution: their columns are output channels, of which a group has some.

use std::ops::Range;

use crate::output::{self, Per, Stage};
use crate::{Error, Multiplier, Result};

/// Lends the stages of the output channels `cols`.
pub(super) fn with_group<R>(
    stages: &[Stage<'_>],
    cols: Range<usize>,
    run: impl FnOnce(&[Stage<'_>]) -> R,
) -> R {
    output::with_mapped(stages, |stage| stage_of(stage, cols.clone()), run)
}

/// `stage` for the output channels `cols`.
fn stage_of(stage: Stage<'_>, cols: Range<usize>) -> Stage<'_> {
    fn part<T: Copy>(per: Per<'_, T>, cols: Range<usize>) -> Per<'_, T> {
        match per {
            Per::Col(values) => Per::Col(&values[cols]),
            other => other,
        }
    }
    match stage {
        Stage::Bias(bias) => Stage::Bias(part(bias, cols)),
        Stage::Scale { multiplier, offset } => Stage::Scale { multiplier: part(multiplier, cols), offset },
        Stage::Dequantize { scale, bias } => {
            Stage::Dequantize { scale: part(scale, cols.clone()), bias: part(bias, cols) }
        }
        other => other,
    }
}

/// Checks the stages of a result of so many channels.
pub(super) fn check_stages(stages: &[Stage<'_>], outputs: usize, is_real: bool) -> Result<()> {
    fn refuse_rows<T>(what: &'static str, per: &Per<'_, T>) -> Result<()> {
        let expected = "one value or one an output channel (Per::Col)";
        if matches!(per, Per::Row(_)) { Err(Error::invalid(what, expected, "Per::Row")) } else { Ok(()) }
    }
    for stage in stages {
        match stage {
            Stage::Bias(bias) => refuse_rows("bias", bias)?,
            Stage::Scale { multiplier, .. } => refuse_rows::<Multiplier>("multiplier", multiplier)?,
            Stage::Dequantize { scale, bias } => {
                refuse_rows("scale", scale)?;
                refuse_rows("bias", bias)?;
            }
            _ => {}
        }
    }
    output::check(stages, 0, outputs, is_real)
}
