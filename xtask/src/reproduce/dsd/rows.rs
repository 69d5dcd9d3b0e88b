//! Errors over seeds, the gains of one seed's networks over each other, and the paper's own table checked by arithmetic.

use super::plan::{ModelPlan, Plan, SPARSITY};
use super::{Tested, Variant};
use crate::experiment::statistics::{deviation, mean};
use crate::experiment::{Better, Profile, Row, Rule};

/// A line of the paper's table: errors in per cent, and what it prints of their difference.
struct Printed {
    network: &'static str,
    dense: f64,
    dsd: f64,
    gain: f64,
    relative: f64,
}

/// Top-1 errors of the authors' released models on ImageNet, which is not here.
#[rustfmt::skip]
const PRINTED: [Printed; 6] = [
    Printed { network: "googlenet", dense: 31.14, dsd: 30.02, gain: 1.12, relative: 3.6 },
    Printed { network: "vgg-16", dense: 31.50, dsd: 27.19, gain: 4.31, relative: 13.7 },
    Printed { network: "resnet-18", dense: 30.43, dsd: 29.17, gain: 1.26, relative: 4.1 },
    Printed { network: "resnet-50", dense: 24.01, dsd: 22.89, gain: 1.12, relative: 4.7 },
    Printed { network: "alexnet", dense: 42.78, dsd: 41.48, gain: 1.30, relative: 3.0 },
    Printed { network: "squeezenet", dense: 42.56, dsd: 38.24, gain: 4.32, relative: 10.2 },
];

/// All rows.
pub(super) fn rows(plan: &Plan, tested: &[Tested<'_>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for model in &plan.models {
        let seeds: Vec<&Tested<'_>> = tested.iter().filter(|run| run.model.model == model.model).collect();
        rows.extend(errors(model, &seeds));
        rows.extend(gains(plan.profile, model, &seeds));
        rows.extend(invariants(model, &seeds));
    }
    rows.extend(PRINTED.iter().flat_map(Printed::rows));
    rows
}

fn errors(model: &ModelPlan, seeds: &[&Tested<'_>]) -> Vec<Row> {
    let row = |variant: Variant| {
        let metric = format!("{}/{}-error", model.model.name(), variant.name());
        over_seeds(metric, "%", Better::Lower, Rule::Report, seeds, |run| run.test_percent(variant))
    };
    Variant::ALL.into_iter().map(row).collect()
}

/// Points of test error that DSD gains, within each seed; the paper's claim is that they are above 0, and a mean that is not
/// above its own standard error does not show that.
fn gains(profile: Profile, model: &ModelPlan, seeds: &[&Tested<'_>]) -> Vec<Row> {
    let row = |over: Variant| {
        let metric = format!("{}/dsd-gain-over-{}", model.model.name(), over.name());
        let gain = |run: &Tested<'_>| run.test_percent(over) - run.test_percent(Variant::Dsd);
        let gains: Vec<f64> = seeds.iter().map(|run| gain(run)).collect();
        let rule = match profile {
            Profile::Smoke => Rule::Report,
            Profile::Quick | Profile::Full => Rule::AtLeast(deviation(&gains) / (gains.len() as f64).sqrt()),
        };
        over_seeds(metric, "points", Better::Higher, rule, seeds, gain)
    };
    [Variant::Dense, Variant::DenseAsLong, Variant::OneRun].into_iter().map(row).collect()
}

fn invariants(model: &ModelPlan, seeds: &[&Tested<'_>]) -> Vec<Row> {
    let exact = Rule::Equals { value: 0.0, tolerance: 0.0 };
    let worst = |figure: fn(&Tested<'_>) -> f64| {
        seeds
            .iter()
            .map(|run| figure(run))
            .fold(0.0, |worst: f64, x| if x.abs() > worst.abs() { x } else { worst })
    };
    let name = model.model.name();
    let zeros = worst(|run| run.invariants.surplus_zeros);
    let change = worst(|run| run.invariants.change);
    vec![
        Row::new(format!("{name}/surplus-zeros"), zeros, "weights", Better::Equal, exact)
            .note(&format!("zeros behind the sparse phase, less floor({SPARSITY} n) of each weight"))
            .on_any_data(),
        Row::new(format!("{name}/change-as-masks-go"), change, "logits", Better::Equal, exact)
            .note("largest difference of a logit between the sparse network and the first step of the last phase")
            .on_any_data(),
    ]
}

/// A row with the mean of `figure` over the seeds; the note has each, and their standard deviation.
fn over_seeds(
    metric: String,
    unit: &str,
    better: Better,
    rule: Rule,
    seeds: &[&Tested<'_>],
    figure: impl Fn(&Tested<'_>) -> f64,
) -> Row {
    let figures: Vec<f64> = seeds.iter().map(|run| figure(run)).collect();
    let row = Row::new(metric, mean(&figures), unit, better, rule);
    if figures.len() < 2 {
        return row;
    }
    let deviation = deviation(&figures);
    let each: Vec<String> = figures.iter().map(|x| format!("{x:.2}")).collect();
    row.note(&format!("mean of {} seeds: {}; standard deviation {deviation:.3}", each.len(), each.join(", ")))
}

impl Printed {
    /// The differences that the paper prints, computed from the errors that it prints.
    fn rows(&self) -> Vec<Row> {
        let Self { network, dense, dsd, gain, relative } = self;
        let row = |what: &str, ours: f64, paper: f64, unit: &str, half_digit: f64| {
            let rule = Rule::Equals { value: paper, tolerance: half_digit };
            Row::new(format!("{network}/{what}"), ours, unit, Better::Equal, rule)
                .paper(paper)
                .note(&format!("arithmetic on the paper's errors, {dense} % and {dsd} %; not run here"))
        };
        vec![
            row("printed-gain", dense - dsd, *gain, "points", 0.005),
            row("printed-relative-gain", 100.0 * (dense - dsd) / dense, *relative, "%", 0.05),
        ]
    }
}

impl Tested<'_> {
    fn test_percent(&self, variant: Variant) -> f64 {
        let found = self.errors.iter().find(|(known, ..)| *known == variant);
        found.map_or(f64::NAN, |(.., test)| test.percent())
    }
}

/// What a reader of the table should know.
pub(super) fn notes(plan: &Plan, tested: &[Tested<'_>]) -> Vec<String> {
    let mut notes = vec![
        "Each seed trains one dense network; from it DSD goes on (sparse at the first learning rate, then dense at a tenth), and \
         so does the same course with nothing pruned (`dense-as-long`), with the same shuffles. `one-run` is a single dense run \
         as long as the three phases. Each phase's rate falls along a cosine. Gains are differences within a seed."
            .to_owned(),
        "Nothing was chosen, neither epochs nor sparsity (30 %, the paper's typical one, in every layer); the test set was read \
         once, after the last network had been trained."
            .to_owned(),
        "The paper trains on ImageNet, speech and captions; those rows check its table by arithmetic and claim nothing of ours."
            .to_owned(),
    ];
    if let Some(n) = plan.n_training_images {
        notes
            .push(format!("Smoke profile: trained on the first {n} images only; the figures claim nothing."));
    }
    for run in tested {
        let errors = run
            .errors
            .iter()
            .map(|(variant, validation, _)| format!("{} {:.2} %", variant.name(), validation.percent()));
        let errors: Vec<String> = errors.collect();
        notes.push(format!(
            "{}, seed {}: validation errors {}.",
            run.model.model.name(),
            run.seed,
            errors.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use nnc_core::metrics::ErrorCount;

    use super::super::Invariants;
    use super::*;
    use crate::experiment::row::{Verdict, check_rows};

    fn tested(model: &ModelPlan, seed: u64, n_errors: [usize; 5]) -> Tested<'_> {
        let count = |n_errors| ErrorCount { n_errors, n_samples: 1000 };
        let errors = Variant::ALL.into_iter().zip(n_errors);
        Tested {
            model,
            seed,
            errors: errors.map(|(variant, n)| (variant, count(0), count(n))).collect(),
            invariants: Invariants { surplus_zeros: -(seed as f64), change: 0.0 },
        }
    }

    #[test]
    fn gains_are_means_of_differences_within_a_seed() {
        let plan = Plan::new(Profile::Quick, 1);
        let model = &plan.models[0];
        // Dense, sparse, DSD, as long, in one run.
        let runs = [tested(model, 0, [30, 25, 20, 24, 10]), tested(model, 3, [20, 25, 16, 15, 14])];
        let rows = rows(&plan, &runs);
        check_rows(&rows).unwrap();
        let found = |what: &str| {
            rows.iter().find(|row| row.what() == what && row.model() == "lenet-300-100").unwrap()
        };
        for (what, ours, verdict) in [
            ("dsd-error", 1.8, Verdict::Reported),
            ("dsd-gain-over-dense", 0.7, Verdict::Holds),
            // 0.4 and -0.1: above 0, but by less than their standard error.
            ("dsd-gain-over-dense-as-long", 0.15, Verdict::Fails),
            ("dsd-gain-over-one-run", -0.6, Verdict::Fails),
            ("surplus-zeros", -3.0, Verdict::Fails),
            ("change-as-masks-go", 0.0, Verdict::Holds),
        ] {
            let row = found(what);
            assert!((row.ours() - ours).abs() < 1e-9, "{what}: {}", row.ours());
            assert_eq!(row.verdict(), verdict, "{what}");
        }
        assert!(found("dsd-gain-over-dense").remark().contains("1.00, 0.40"));
    }

    #[test]
    fn the_papers_table_agrees_with_itself() {
        let rows: Vec<Row> = PRINTED.iter().flat_map(Printed::rows).collect();
        assert_eq!(rows.len(), 12);
        for row in rows {
            assert_eq!(row.verdict(), Verdict::Holds, "{}: {}", row.metric(), row.ours());
        }
    }

    #[test]
    fn a_smoke_run_claims_nothing_of_its_training() {
        let plan = Plan::new(Profile::Smoke, 1);
        let runs: Vec<_> = plan.models.iter().map(|model| tested(model, 0, [1, 2, 3, 2, 1])).collect();
        let verdict = |row: &Row| row.what().contains("gain-over").then(|| row.verdict());
        let verdicts: Vec<_> = rows(&plan, &runs).iter().filter_map(verdict).collect();
        assert_eq!(verdicts, [Verdict::Reported; 6]);
    }
}
