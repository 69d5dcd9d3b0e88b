//! Errors by setting and method, and what the search gains over its controls.

use nnc_core::metrics::ErrorCount;

use super::Tested;
use super::plan::{Method, Plan};
use crate::experiment::{Better, Profile, Row, Rule};

/// Which of an outcome's errors.
type Which = fn(&(Method, ErrorCount, ErrorCount, ErrorCount)) -> ErrorCount;

const STAGES: [(&str, Which); 3] = [
    ("direct-error", |outcome| outcome.1),
    ("retrained-error", |outcome| outcome.2),
    ("retrained-test-error", |outcome| outcome.3),
];

/// All rows; `dense` has the dense network's errors on the held-out validation images and on the test set.
pub(super) fn rows(plan: &Plan, dense: (ErrorCount, ErrorCount), tested: &[Tested<'_>]) -> Vec<Row> {
    let report = |what: &str, errors: ErrorCount| {
        Row::new(format!("lenet-5/{what}"), errors.percent(), "%", Better::Lower, Rule::Report)
            .note(&errors.to_string())
    };
    let mut rows = vec![report("dense-error", dense.0), report("dense-test-error", dense.1)];
    for found in tested {
        let name = found.setting.name;
        let sparsity = 100.0 * found.sparsity;
        let row = Row::new(format!("{name}/sparsity"), sparsity, "%", Better::Higher, Rule::Report);
        rows.push(row.note(
            "of the convolutions that are pruned; equal for all three methods, but for the offsets of taps",
        ));
        for (stage, which) in STAGES {
            for method in ["particle", "magnitude", "random"] {
                rows.push(found.row(method, stage, which));
            }
        }
        rows.extend(found.gains(plan.profile));
    }
    rows
}

impl Tested<'_> {
    /// The mean error of a method (of its draws) in per cent, and each.
    fn percent(&self, method: &str, which: Which) -> (f64, Vec<f64>) {
        let chosen = self.outcomes.iter().filter(|outcome| outcome.0.name().starts_with(method));
        let each: Vec<f64> = chosen.map(|outcome| which(outcome).percent()).collect();
        (each.iter().sum::<f64>() / each.len() as f64, each)
    }

    fn row(&self, method: &str, stage: &str, which: Which) -> Row {
        let (mean, each) = self.percent(method, which);
        let metric = format!("{}/{method}-{stage}", self.setting.name);
        let row = Row::new(metric, mean, "%", Better::Lower, Rule::Report);
        if each.len() < 2 {
            return row;
        }
        let each: Vec<String> = each.iter().map(|x| format!("{x:.2}")).collect();
        row.note(&format!("mean of {} draws: {}", each.len(), each.join(", ")))
    }

    /// Points of error before retraining that the search gains over the other two, on images that it has not seen; less than
    /// the standard error of counting shows nothing.
    fn gains(&self, profile: Profile) -> Vec<Row> {
        let which = STAGES[0].1;
        let n_samples = self.outcomes.first().map_or(0, |outcome| which(outcome).n_samples) as f64;
        let direct = |method: &str| self.percent(method, which).0;
        let gain = |over: &str| {
            let metric = format!("{}/gain-over-{over}", self.setting.name);
            let (ours, theirs) = (direct("particle"), direct(over));
            // Of two counts out of n, in per cent of n.
            let standard_error = ((ours + theirs) * 100.0 / n_samples).sqrt();
            let rule = match profile {
                Profile::Smoke => Rule::Report,
                Profile::Quick | Profile::Full => Rule::AtLeast(standard_error),
            };
            Row::new(metric, theirs - ours, "points", Better::Higher, rule)
                .note("held to the standard error of the two counts")
        };
        vec![gain("magnitude"), gain("random")]
    }
}

/// What a reader of the table should know.
pub(super) fn notes(plan: &Plan, tested: &[Tested<'_>]) -> Vec<String> {
    let mut notes = vec![
        "No figure of the paper stands beside ours: none could be checked.".to_owned(),
        format!(
            "Candidates were judged by the first {} of the 5,000 validation images; `direct` (not retrained) and `retrained` \
             errors are those on the other ones. The test set was read once, at the end.",
            plan.n_search_batches * super::plan::SEARCH_BATCH
        ),
        format!(
            "All methods prune equally many groups of the same weights and retrain alike ({} epochs, the dense network {}). \
             Magnitude takes the groups with the least mean |w|; of taps, which keep one offset per input map, the offset with \
             the largest sum.",
            plan.n_retraining_epochs, plan.n_dense_epochs
        ),
    ];
    if let Some(n) = plan.n_training_images {
        notes
            .push(format!("Smoke profile: trained on the first {n} images only; the figures claim nothing."));
    }
    for found in tested {
        let search = &found.search;
        notes.push(format!(
            "{}: {} candidates were evaluated; the best error on the search's images fell from {:.2} % (of the first draw) to \
             {:.2} %.",
            found.setting.name,
            search.n_evaluations,
            100.0 * search.course.first().copied().unwrap_or(f64::NAN),
            100.0 * search.misclassification,
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::row::{Verdict, check_rows};

    fn count(n_errors: usize) -> ErrorCount {
        ErrorCount { n_errors, n_samples: 1000 }
    }

    fn tested(plan: &Plan, particle: usize, magnitude: usize, random: &[usize]) -> Tested<'static> {
        let outcome = |method, n| (method, count(n), count(n / 2), count(n / 2));
        let draws = (0..).zip(random).map(|(draw, &n)| outcome(Method::Random(draw), n));
        let searched = [outcome(Method::Particle, particle), outcome(Method::Magnitude, magnitude)];
        Tested {
            setting: &plan.settings[0],
            sparsity: 0.5,
            search: super::super::masks::SearchRow::of_course(vec![0.5, 0.25]),
            outcomes: searched.into_iter().chain(draws).collect(),
        }
    }

    #[test]
    fn the_search_is_held_against_magnitude_and_the_mean_of_random_draws() {
        let plan = Plan::new(Profile::Full);
        let rows = rows(&plan, (count(10), count(12)), &[tested(&plan, 40, 38, &[60, 90, 30])]);
        check_rows(&rows).unwrap();
        let found = |what: &str| rows.iter().find(|row| row.what() == what).unwrap();
        for (what, ours, verdict) in [
            ("dense-error", 1.0, Verdict::Reported),
            ("sparsity", 50.0, Verdict::Reported),
            ("random-direct-error", 6.0, Verdict::Reported),
            ("particle-retrained-test-error", 2.0, Verdict::Reported),
            ("gain-over-magnitude", -0.2, Verdict::Fails),
            ("gain-over-random", 2.0, Verdict::Holds),
        ] {
            let row = found(what);
            assert!((row.ours() - ours).abs() < 1e-9, "{what}: {}", row.ours());
            assert_eq!(row.verdict(), verdict, "{what}");
        }
        assert!(rows.iter().all(|row| row.papers_figure().is_none()));
    }

    #[test]
    fn every_profile_has_all_three_levels() {
        for profile in [Profile::Smoke, Profile::Quick, Profile::Full] {
            let plan = Plan::new(profile);
            for level in ["maps", "kernels", "taps"] {
                assert!(plan.settings.iter().any(|setting| setting.name.starts_with(level)), "{level}");
            }
            assert!(plan.cost() > 0.0);
        }
    }
}
