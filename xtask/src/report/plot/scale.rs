//! One axis: its range, its ticks, and where a value goes.

use std::ops::Range;

use anyhow::{Result, ensure};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

use crate::experiment::plot::Axis;
use crate::report::number::figure;

/// An axis with its ticks; places are values, or their log10 on a logarithmic axis.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    log: bool,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    /// An axis that holds all `values` with a little room on both sides.
    pub(super) fn around(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self> {
        let (from, to) = extent(axis, values)?;
        let room = if to > from { (to - from) * 0.05 } else { (from.abs() * 0.1).max(0.1) };
        Ok(Self::spanning(axis.log, from - room, to + room))
    }

    /// An axis for bars: from 0, or from the power of ten below the smallest value, to a little above the largest.
    pub(super) fn above_floor(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self> {
        let (from, to) = extent(axis, values)?;
        let floor = if axis.log { (from - 1e-9).floor() } else { from.min(0.0) };
        let room = ((to - floor) * 0.05).max(1e-9);
        Ok(Self::spanning(axis.log, floor, to.max(floor) + room))
    }

    /// An axis of named groups, each one wide.
    pub(super) fn categories(names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(idx, name)| (idx as f64 + 0.5, name.clone())).collect();
        Self { log: false, from: 0.0, to: names.len() as f64, ticks }
    }

    fn spanning(log: bool, from: f64, to: f64) -> Self {
        let ticks = if log { log_ticks(from, to) } else { linear_ticks(from, to) };
        Self { log, from, to, ticks }
    }

    /// Where `value` goes.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    /// Where bars stand.
    pub(super) fn floor(&self) -> f64 {
        if self.log { self.from } else { self.from.max(0.0) }
    }

    /// The number of ticks.
    pub(super) fn n_ticks(&self) -> usize {
        self.ticks.len()
    }
}

/// The axis as plotters knows it: its own ticks, whatever number of them is asked for.
impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.from..self.to).map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            // Light lines are not drawn, so there are no points between the ticks.
            return Vec::new();
        }
        self.ticks.iter().map(|&(place, _)| place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Scale {
    /// The text of the tick at `place`.
    fn format_ext(&self, place: &f64) -> String {
        let near = 1e-9 * (self.to - self.from).abs().max(1.0);
        let tick = self.ticks.iter().find(|(tick, _)| (tick - place).abs() < near);
        tick.map_or_else(String::new, |(_, text)| text.clone())
    }
}

/// The smallest and largest place of `values`.
fn extent(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<(f64, f64)> {
    let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        ensure!(value.is_finite(), "axis `{}`: expected finite values, found {value}", axis.label);
        ensure!(
            !axis.log || value > 0.0,
            "logarithmic axis `{}`: expected values above 0, found {value}",
            axis.label
        );
        let place = if axis.log { value.log10() } else { value };
        (from, to) = (from.min(place), to.max(place));
    }
    ensure!(from <= to, "axis `{}`: nothing to draw", axis.label);
    Ok((from, to))
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten: at most eight.
fn linear_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let rough = (to - from) / 7.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough).unwrap_or(power * 10.0);
    let mut ticks = Vec::new();
    let mut multiple = (from / step).ceil();
    while multiple * step <= to {
        // Rounding to the step's digits keeps 0.30000000000000004 from the label.
        let place = (multiple * step / power).round() * power;
        ticks.push((place, figure(if place == 0.0 { 0.0 } else { place })));
        multiple += 1.0;
    }
    ticks
}

/// Ticks at powers of ten, with 2 and 5 between them where the range is short, and at round numbers where it is shorter.
fn log_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let mantissas: &[f64] = if to - from < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let mut ticks = Vec::new();
    let mut power = from.floor();
    while power <= to {
        for mantissa in mantissas {
            let place = power + mantissa.log10();
            if (from..=to).contains(&place) {
                ticks.push((place, figure(mantissa * 10.0_f64.powf(power))));
            }
        }
        power += 1.0;
    }
    if ticks.len() >= 3 {
        return ticks;
    }
    // From 37 to 44 there is none of these; an axis without numbers says nothing.
    let values = linear_ticks(10.0_f64.powf(from), 10.0_f64.powf(to));
    values.into_iter().map(|(value, text)| (value.log10(), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round_numbers() {
        assert_eq!(labels(&linear_ticks(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(&linear_ticks(-3.0, 11.0)), ["-2", "0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&linear_ticks(1.55, 1.71)), ["1.55", "1.6", "1.65", "1.7"]);
    }

    #[test]
    fn log_ticks_are_powers_of_ten_and_denser_in_short_ranges() {
        assert_eq!(labels(&log_ticks(0.0, 4.0)), ["1", "10", "100", "1000", "10,000"]);
        assert_eq!(labels(&log_ticks(-0.1, 1.1)), ["1", "2", "5", "10"]);
        let short = log_ticks(37.0_f64.log10(), 44.5_f64.log10());
        assert_eq!(labels(&short), ["38", "40", "42", "44"]);
        assert!((short[1].0 - 40.0_f64.log10()).abs() < 1e-12);
    }

    #[test]
    fn bars_stand_on_zero_or_on_a_power_of_ten() {
        let linear = Scale::above_floor(&Axis::linear("y"), [3.0, 7.0].into_iter()).unwrap();
        assert_eq!(linear.floor(), 0.0);
        let log = Scale::above_floor(&Axis::log("y"), [3.0, 70.0].into_iter()).unwrap();
        assert_eq!(log.floor(), 0.0, "10^0 below 3");
        assert!((log.place(100.0) - 2.0).abs() < 1e-12);
    }
}
