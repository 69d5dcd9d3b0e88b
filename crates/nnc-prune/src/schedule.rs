//! Sparsity over time, as a pure function of the step.

use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The sparsity to have after a number of training steps.
///
/// Steps are counted as [`StepEnd::n_steps_done`](nnc_core::train::StepEnd) does: step 0 is before the first. Masks are
/// recomputed only at [updates](Self::is_update); between two of them, and after the last, the sparsity stays; before the
/// first it is 0. Sparsities are shares pruned, in `[0, 1)`, and never fall.
///
/// # Example
/// ```
/// use nnc_prune::SparsitySchedule;
/// let agp = SparsitySchedule::zhu_gupta_2017(0.5, 0, 100, 10);
/// assert_eq!(agp.sparsity(500), 0.5 - 0.5 / 8.0);
/// assert_eq!((agp.sparsity(1000), agp.sparsity(5000)), (0.5, 0.5));
/// assert!(agp.is_update(300) && !agp.is_update(301) && !agp.is_update(1100));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum SparsitySchedule {
    /// All at once.
    OneShot {
        /// The sparsity.
        sparsity: f64,
        /// The step.
        at: usize,
    },
    /// In equal portions: `s_i + (s_f - s_i) · k/n` at the update `k` of `0..=n`.
    ///
    /// Source: the iterative pruning of Han et al., NIPS 2015, §3.4, whose portions the paper does not print.
    Linear {
        /// The sparsity `s_i` of the first update.
        initial: f64,
        /// The sparsity `s_f` of the last.
        end: f64,
        /// The step of the first update.
        begin: usize,
        /// Steps between updates, at least 1.
        every: usize,
        /// Updates after the first, `n`, at least 1.
        n_updates: usize,
    },
    /// Automated gradual pruning, fast at first: `s_f + (s_i - s_f) · (1 - k/n)³` at the update `k` of `0..=n`.
    ///
    /// Source: Zhu and Gupta, "To prune, or not to prune", 2017, eq. 1.
    Cubic {
        /// The sparsity `s_i` of the first update.
        initial: f64,
        /// The sparsity `s_f` of the last.
        end: f64,
        /// The step of the first update, `t_0`.
        begin: usize,
        /// Steps between updates, `Δt`, at least 1.
        every: usize,
        /// Updates after the first, `n`, at least 1.
        n_updates: usize,
    },
}

impl SparsitySchedule {
    /// Zhu and Gupta's course from 0 to `end` in `n_updates` updates, one `every` so many steps from `begin` on.
    pub fn zhu_gupta_2017(end: f64, begin: usize, every: usize, n_updates: usize) -> Self {
        Self::Cubic { initial: 0.0, end, begin, every, n_updates }
    }

    /// The sparsity to have once `step` steps are done.
    ///
    /// For a schedule that does not pass [`check`](Self::check) it is a number without meaning.
    pub fn sparsity(&self, step: usize) -> f64 {
        let Some(k) = self.update_idx(step) else { return 0.0 };
        match *self {
            Self::OneShot { sparsity, .. } => sparsity,
            Self::Linear { end, n_updates, .. } if k == n_updates => end,
            Self::Linear { initial, end, n_updates, .. } => {
                // The product first: a third of six must not be a little less than two.
                (initial + (end - initial) * k as f64 / n_updates as f64).min(end)
            }
            Self::Cubic { initial, .. } if k == 0 => initial,
            Self::Cubic { initial, end, n_updates, .. } => {
                let left = 1.0 - k as f64 / n_updates as f64;
                // Rounding must not take it below where it began.
                (end + (initial - end) * (left * left * left)).max(initial)
            }
        }
    }

    /// Whether masks are recomputed once `step` steps are done.
    pub fn is_update(&self, step: usize) -> bool {
        match *self {
            Self::OneShot { at, .. } => step == at,
            Self::Linear { begin, every, n_updates, .. } | Self::Cubic { begin, every, n_updates, .. } => {
                step.checked_sub(begin).is_some_and(|since| {
                    since.is_multiple_of(every.max(1)) && since / every.max(1) <= n_updates
                })
            }
        }
    }

    /// The step of the last update: from there on the sparsity is the final one.
    pub fn last_update(&self) -> usize {
        match *self {
            Self::OneShot { at, .. } => at,
            Self::Linear { begin, every, n_updates, .. } | Self::Cubic { begin, every, n_updates, .. } => {
                begin.saturating_add(every.saturating_mul(n_updates))
            }
        }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the number's name, its range and what was found.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::OneShot { sparsity, .. } => check_sparsity("sparsity", sparsity),
            Self::Linear { initial, end, every, n_updates, .. }
            | Self::Cubic { initial, end, every, n_updates, .. } => {
                check_sparsity("initial", initial)?;
                check_sparsity("end", end)?;
                if end < initial {
                    return Err(Error::invalid("end", format!("at least the initial {initial}"), end));
                }
                for (what, count) in [("every", every), ("n_updates", n_updates)] {
                    if count == 0 {
                        return Err(Error::invalid(what, "at least 1", count));
                    }
                }
                Ok(())
            }
        }
    }

    /// The number of the latest update, from 0; none before the first.
    fn update_idx(&self, step: usize) -> Option<usize> {
        match *self {
            Self::OneShot { at, .. } => (step >= at).then_some(0),
            Self::Linear { begin, every, n_updates, .. } | Self::Cubic { begin, every, n_updates, .. } => {
                step.checked_sub(begin).map(|since| (since / every.max(1)).min(n_updates))
            }
        }
    }
}

/// When something is done again and again: after the steps `begin`, `begin + every`, … up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updates {
    /// The first step.
    pub begin: usize,
    /// Steps between, at least 1.
    pub every: usize,
    /// The last step that may be one.
    pub last: usize,
}

impl Updates {
    /// Whether `step` is one.
    pub fn contains(&self, step: usize) -> bool {
        step <= self.last
            && step.checked_sub(self.begin).is_some_and(|since| since.is_multiple_of(self.every.max(1)))
    }

    /// Checks that there is at least one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no steps between, or an end before the beginning.
    pub fn check(&self) -> Result<()> {
        if self.every == 0 {
            return Err(Error::invalid("every", "at least 1", self.every));
        }
        if self.last < self.begin {
            return Err(Error::invalid("last", format!("at least the first, {}", self.begin), self.last));
        }
        Ok(())
    }
}

/// A share that may be pruned: not all of it, and no NaN.
pub(crate) fn check_sparsity(what: &str, sparsity: f64) -> Result<()> {
    if (0.0..1.0).contains(&sparsity) {
        return Ok(());
    }
    Err(Error::invalid(what, "a sparsity in [0, 1)", sparsity))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agp_has_the_published_course() {
        let at_updates = |schedule: SparsitySchedule, n: usize| -> Vec<f64> {
            (0..=n).map(|k| schedule.sparsity(7 + 20 * k)).collect()
        };
        let from_0 = SparsitySchedule::zhu_gupta_2017(0.8, 7, 20, 10);
        let from_5 = SparsitySchedule::Cubic { initial: 0.05, end: 0.9, begin: 7, every: 20, n_updates: 4 };
        for (schedule, expected) in [
            (from_0, vec![0.0, 0.2168, 0.3904, 0.5256, 0.6272, 0.7, 0.7488, 0.7784, 0.7936, 0.7992, 0.8]),
            (from_5, vec![0.05, 0.541_406_25, 0.793_75, 0.886_718_75, 0.9]),
        ] {
            let got = at_updates(schedule, expected.len() - 1);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-12, "{schedule:?}: expected {expected}, got {got}");
            }
        }
    }

    #[test]
    fn a_line_goes_up_in_equal_portions() {
        let line = SparsitySchedule::Linear { initial: 0.25, end: 0.75, begin: 10, every: 5, n_updates: 2 };
        let at = [(0, 0.0), (9, 0.0), (10, 0.25), (14, 0.25), (15, 0.5), (20, 0.75), (99, 0.75)];
        for (step, expected) in at {
            assert_eq!(line.sparsity(step), expected, "step {step}");
        }
        let updates: Vec<usize> = (0..100).filter(|&step| line.is_update(step)).collect();
        assert_eq!((updates, line.last_update()), (vec![10, 15, 20], 20));
    }

    #[test]
    fn one_shot_is_all_at_once() {
        let shot = SparsitySchedule::OneShot { sparsity: 0.9, at: 3 };
        assert_eq!([2, 3, 4].map(|step| shot.sparsity(step)), [0.0, 0.9, 0.9]);
        assert_eq!([2, 3, 4].map(|step| shot.is_update(step)), [false, true, false]);
    }

    proptest! {
        #[test]
        fn sparsity_never_falls_and_ends_exactly(
            ends in (0.0..1.0_f64, 0.0..1.0_f64), begin in 0..50_usize, every in 1..9_usize, n_updates in 1..40_usize,
            cubic: bool,
        ) {
            let (initial, end) = if ends.0 < ends.1 { ends } else { (ends.1, ends.0) };
            let schedule = if cubic {
                SparsitySchedule::Cubic { initial, end, begin, every, n_updates }
            } else {
                SparsitySchedule::Linear { initial, end, begin, every, n_updates }
            };
            schedule.check().unwrap();
            let last = schedule.last_update();
            let course: Vec<f64> = (0..last + 20).map(|step| schedule.sparsity(step)).collect();
            prop_assert!(course.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert_eq!(course[begin], initial);
            prop_assert!(course[last..].iter().all(|&s| s == end));
            // It changes only where it says that masks are recomputed.
            for step in 1..course.len() {
                prop_assert!(course[step] == course[step - 1] || schedule.is_update(step));
            }
            prop_assert_eq!((0..course.len()).filter(|&step| schedule.is_update(step)).count(), n_updates + 1);
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let cubic = |initial, end, every, n_updates| SparsitySchedule::Cubic {
            initial,
            end,
            begin: 0,
            every,
            n_updates,
        };
        cubic(0.0, 0.0, 1, 1).check().unwrap();
        for (wrong, message) in [
            (
                SparsitySchedule::OneShot { sparsity: 1.0, at: 0 },
                "invalid `sparsity`: expected a sparsity in [0, 1), got 1",
            ),
            (
                SparsitySchedule::OneShot { sparsity: f64::NAN, at: 0 },
                "invalid `sparsity`: expected a sparsity in [0, 1), got NaN",
            ),
            (cubic(-0.1, 0.5, 1, 1), "invalid `initial`: expected a sparsity in [0, 1), got -0.1"),
            (cubic(0.0, 1.5, 1, 1), "invalid `end`: expected a sparsity in [0, 1), got 1.5"),
            (cubic(0.5, 0.25, 1, 1), "invalid `end`: expected at least the initial 0.5, got 0.25"),
            (cubic(0.0, 0.5, 0, 1), "invalid `every`: expected at least 1, got 0"),
            (cubic(0.0, 0.5, 1, 0), "invalid `n_updates`: expected at least 1, got 0"),
        ] {
            assert_eq!(wrong.check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn updates_are_the_steps_between_two_ends() {
        let updates = Updates { begin: 4, every: 3, last: 11 };
        assert_eq!((0..30).filter(|&step| updates.contains(step)).collect::<Vec<_>>(), [4, 7, 10]);
        updates.check().unwrap();
        for (wrong, name) in
            [(Updates { every: 0, ..updates }, "every"), (Updates { last: 3, ..updates }, "last")]
        {
            assert!(wrong.check().unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn a_schedule_is_written_and_read_by_its_kind() {
        let agp = SparsitySchedule::zhu_gupta_2017(0.5, 1, 2, 3);
        let json = serde_json::to_string(&agp).unwrap();
        assert_eq!(json, r#"{"kind":"cubic","initial":0.0,"end":0.5,"begin":1,"every":2,"n_updates":3}"#);
        assert_eq!(serde_json::from_str::<SparsitySchedule>(&json).unwrap(), agp);
        let unknown = r#"{"kind":"one_shot","sparsity":0.5,"at":0,"every":1}"#;
        assert!(serde_json::from_str::<SparsitySchedule>(unknown).is_err());
    }
}
