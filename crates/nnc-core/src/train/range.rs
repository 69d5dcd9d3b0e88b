//! The ranges that training's numbers must be in; NaN is in none.

use crate::{Error, Result};

/// `[0, 1)`.
pub(super) fn share(what: &str, x: f64) -> Result<()> {
    within((0.0..1.0).contains(&x), what, "a number in [0, 1)", x)
}

/// `(0, ∞)`.
pub(super) fn positive(what: &str, x: f64) -> Result<()> {
    within(x.is_finite() && x > 0.0, what, "a finite number above 0", x)
}

/// `[0, ∞)`.
pub(super) fn not_negative(what: &str, x: f64) -> Result<()> {
    within(x.is_finite() && x >= 0.0, what, "a finite number of at least 0", x)
}

fn within(is_within: bool, what: &str, expected: &str, x: f64) -> Result<()> {
    if is_within { Ok(()) } else { Err(Error::invalid(what, expected, x)) }
}
