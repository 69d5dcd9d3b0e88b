//! Learning rates over time, as pure functions of the step.

use serde::{Deserialize, Serialize};

use super::range;
use crate::{Error, Result};

/// The learning rate as a function of progress through a run.
///
/// Rates `lr` and factors `gamma` of steps are above 0; every other number without a range of its own is at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// The rate.
        lr: f64,
    },
    /// Half a cosine from `lr` to `end`, after a linear rise over the first `warmup` share of the run.
    ///
    /// Source: Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5, without restarts.
    Cosine {
        /// The highest rate.
        lr: f64,
        /// The last rate.
        end: f64,
        /// Share of the run, in `[0, 1)`, that rises linearly from 0.
        warmup: f64,
    },
    /// `lr · gamma^floor(epoch / every)`.
    Steps {
        /// The first rate.
        lr: f64,
        /// The factor at each drop.
        gamma: f64,
        /// Epochs between drops, at least 1.
        every: usize,
    },
    /// Caffe's `inv` policy, `lr · (1 + gamma · step)^-power`: the LeNet solver's.
    Inverse {
        /// The first rate.
        lr: f64,
        /// Growth of the divisor per step.
        gamma: f64,
        /// Its exponent.
        power: f64,
    },
}

impl Schedule {
    /// The rate at `step` of a run of `n_steps`, with `steps_per_epoch` steps an epoch.
    pub fn lr(&self, step: usize, n_steps: usize, steps_per_epoch: usize) -> f64 {
        match *self {
            Self::Constant { lr } => lr,
            Self::Cosine { lr, end, warmup } => {
                let progress = step as f64 / n_steps.max(1) as f64;
                if progress < warmup {
                    // The first step must move: it gets the rate of its own end, not of its start.
                    let warmup_steps = warmup * n_steps as f64;
                    return lr * ((step + 1) as f64 / warmup_steps).min(1.0);
                }
                let progress = (progress - warmup) / (1.0 - warmup);
                end + (lr - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
            Self::Steps { lr, gamma, every } => {
                let drops = step / steps_per_epoch.max(1) / every.max(1);
                lr * gamma.powf(drops as f64)
            }
            Self::Inverse { lr, gamma, power } => lr * (1.0 + gamma * step as f64).powf(-power),
        }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the number's name, its range and what was found.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Constant { lr } => range::positive("lr", lr),
            Self::Cosine { lr, end, warmup } => {
                range::positive("lr", lr)?;
                range::not_negative("end", end)?;
                range::share("warmup", warmup)
            }
            Self::Steps { lr, gamma, every } => {
                range::positive("lr", lr)?;
                range::positive("gamma", gamma)?;
                if every == 0 { Err(Error::invalid("every", "at least 1", every)) } else { Ok(()) }
            }
            Self::Inverse { lr, gamma, power } => {
                range::positive("lr", lr)?;
                range::not_negative("gamma", gamma)?;
                range::not_negative("power", power)
            }
        }
    }

    /// The same course with every rate multiplied by `factor` (retraining at a tenth of the rate).
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = *self;
        match &mut scaled {
            Self::Constant { lr } | Self::Steps { lr, .. } | Self::Inverse { lr, .. } => *lr *= factor,
            Self::Cosine { lr, end, .. } => {
                *lr *= factor;
                *end *= factor;
            }
        }
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_starts_high_and_ends_low() {
        let cosine = Schedule::Cosine { lr: 0.1, end: 0.001, warmup: 0.0 };
        assert_eq!(cosine.lr(0, 100, 10), 0.1);
        assert!((cosine.lr(50, 100, 10) - 0.0505).abs() < 1e-12);
        assert!((cosine.lr(100, 100, 10) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn warmup_rises_linearly_and_never_gives_zero() {
        let cosine = Schedule::Cosine { lr: 1.0, end: 0.0, warmup: 0.1 };
        assert_eq!(cosine.lr(0, 100, 10), 0.1);
        assert_eq!(cosine.lr(4, 100, 10), 0.5);
        assert_eq!(cosine.lr(10, 100, 10), 1.0);
    }

    #[test]
    fn steps_drop_at_epoch_boundaries() {
        let steps = Schedule::Steps { lr: 1.0, gamma: 0.1, every: 2 };
        assert_eq!(steps.lr(19, 100, 10), 1.0);
        assert_eq!(steps.lr(20, 100, 10), 0.1);
    }

    #[test]
    fn inverse_is_the_lenet_solvers() {
        // Caffe's lenet_solver.prototxt: base_lr 0.01, gamma 0.0001, power 0.75; at step 10,000: 0.01 · 2^-0.75.
        let inverse = Schedule::Inverse { lr: 0.01, gamma: 1e-4, power: 0.75 };
        assert!((inverse.lr(10_000, 0, 0) - 0.005_946_035_575_013_605).abs() < 1e-15);
    }

    #[test]
    fn scaling_scales_every_point() {
        let cosine = Schedule::Cosine { lr: 0.1, end: 0.01, warmup: 0.1 };
        for step in 0..=100 {
            assert!((cosine.scaled(0.1).lr(step, 100, 10) - 0.1 * cosine.lr(step, 100, 10)).abs() < 1e-15);
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let cosine = |lr, end, warmup| Schedule::Cosine { lr, end, warmup };
        let steps = |gamma, every| Schedule::Steps { lr: 0.1, gamma, every };
        let inverse = |gamma, power| Schedule::Inverse { lr: 0.1, gamma, power };
        for right in [cosine(0.1, 0.0, 0.0), cosine(0.1, 0.2, 0.99), steps(2.0, 1), inverse(0.0, 0.0)] {
            right.check().unwrap();
        }
        for (wrong, message) in [
            (Schedule::Constant { lr: 0.0 }, "invalid `lr`: expected a finite number above 0, got 0"),
            (cosine(f64::INFINITY, 0.0, 0.0), "invalid `lr`: expected a finite number above 0, got inf"),
            (cosine(0.1, -0.1, 0.0), "invalid `end`: expected a finite number of at least 0, got -0.1"),
            (cosine(0.1, 0.0, 1.0), "invalid `warmup`: expected a number in [0, 1), got 1"),
            (steps(0.0, 1), "invalid `gamma`: expected a finite number above 0, got 0"),
            (steps(0.1, 0), "invalid `every`: expected at least 1, got 0"),
            (inverse(f64::NAN, 0.5), "invalid `gamma`: expected a finite number of at least 0, got NaN"),
            (inverse(0.1, -1.0), "invalid `power`: expected a finite number of at least 0, got -1"),
        ] {
            assert_eq!(wrong.check().unwrap_err().to_string(), message);
        }
    }
}
