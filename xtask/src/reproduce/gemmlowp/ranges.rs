//! Scales and zero points for given real ranges, and the slide's formula taken as it is written.

use std::collections::BTreeSet;

use anyhow::Result;
use nnc_gemmlowp::{QuantParams, QuantRange};
use serde::Serialize;

use super::{OUTSIDE, exact};
use crate::experiment::{Better, Row, Rule};

/// A real range, and the parameters of bytes over it.
#[derive(Debug, Serialize)]
pub(super) struct Range {
    name: &'static str,
    min: f32,
    max: f32,
    /// 255 times the scale: the width of the range, widened to contain 0.
    steps: f64,
    zero_point: i32,
}

const fn range(name: &'static str, (min, max): (f32, f32), steps: f64, zero_point: i32) -> Range {
    Range { name, min, max, steps, zero_point }
}

/// The ranges; the first is the slide's.
pub(super) const RANGES: [Range; 7] = [
    range("relu6", (0.0, 6.0), 6.0, 0),
    range("minus-1-to-1", (-1.0, 1.0), 2.0, 128),
    range("minus-1-to-2", (-1.0, 2.0), 3.0, 85),
    range("minus-3-to-0", (-3.0, 0.0), 3.0, 255),
    range("0.5-to-2", (0.5, 2.0), 2.0, 0),
    range("minus-0.1-to-25.4", (-0.1, 25.4), 25.5, 1),
    range("minus-10-to-10", (-10.0, 10.0), 20.0, 128),
];

/// A scale is an `f32` near 0.1 at most: this is its last digit.
const SCALE_TOLERANCE: f64 = 1e-8;

/// The rows of all ranges.
pub(super) fn rows() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for range in &RANGES {
        let params = QuantParams::choose(range.min, range.max, QuantRange::U8)?;
        let rule = Rule::Equals { value: range.steps / 255.0, tolerance: SCALE_TOLERANCE };
        let metric = format!("gemmlowp/range/{}/scale", range.name);
        let scale = Row::new(metric, f64::from(params.scale), "per step", Better::Equal, rule);
        rows.push(scale.note(&format!("{}/255", range.steps)).note(OUTSIDE));
        let metric = format!("range/{}/zero-point", range.name);
        rows.push(exact(&metric, params.zero_point, "code", range.zero_point).note(OUTSIDE));
    }
    rows.extend(slide_rows(&RANGES[0])?);
    Ok(rows)
}

/// How many of 256 values a range keeps, by gemmlowp's formula and by the slide's.
fn slide_rows(range: &Range) -> Result<[Row; 3]> {
    let params = QuantParams::choose(range.min, range.max, QuantRange::U8)?;
    let as_written = QuantParams { scale: range.max - range.min, zero_point: 0 };
    let slide = f64::from(as_written.scale);
    Ok([
        exact("range/relu6/levels", n_levels(params, range), "codes", 256)
            .note("codes that occur over the range"),
        Row::new("gemmlowp/range/relu6/slide-scale", slide, "per step", Better::Equal, Rule::Report)
            .paper(slide)
            .note("the slide writes scale = max - min; gemmlowp divides by 255"),
        exact("range/relu6/slide-levels", n_levels(as_written, range), "codes", 256)
            .note("the slide's formula as written"),
    ])
}

/// The distinct codes of numbers spread evenly over `range`, twenty for each step.
fn n_levels(params: QuantParams, range: &Range) -> u32 {
    const N: u16 = 5_100;
    let real = |i: u16| range.min + (range.max - range.min) * f32::from(i) / f32::from(N);
    let codes: BTreeSet<i32> = (0..=N).map(|i| params.quantize(real(i), QuantRange::U8)).collect();
    codes.into_iter().map(|_| 1).sum()
}
