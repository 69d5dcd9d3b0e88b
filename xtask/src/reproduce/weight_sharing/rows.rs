//! The experiment's table.

use nnc_quant::codebook::Init;

use super::plan::{Model, Plan, STARTS};
use super::points::{Tested, TestedPoint};
use crate::experiment::statistics::median;
use crate::experiment::{Better, Profile, Row, Rule};

/// What rounding shared values to `f32` may add to an optimum.
const ROUNDING: f64 = 1e-6;

/// Points of test error that sharing may cost where Deep Compression says that it costs none: the widths of its Tables 2 and 3.
const MAX_LOSS: f64 = 0.1;

/// The width that Deep Compression gives most weights of the network.
fn papers_bits(model: Model) -> u32 {
    match model {
        Model::LeNet300 => 6,
        Model::LeNet5 => 5,
    }
}

/// All rows: figures are medians over the seeds of one network.
pub(super) fn rows(plan: &Plan, tested: &[Tested]) -> Vec<Row> {
    let mut rows = Vec::new();
    for model in Model::ALL {
        let seeds: Vec<&Tested> = tested.iter().filter(|one| one.model == model).collect();
        let group = Group { model, seeds };
        group.headlines(plan, &mut rows);
        group.sums_of_squares(&mut rows);
        group.budgets(&mut rows);
        group.points(plan, &mut rows);
    }
    rows
}

/// The seeds of one network.
struct Group<'a> {
    model: Model,
    seeds: Vec<&'a Tested>,
}

impl Group<'_> {
    fn metric(&self, what: &str) -> String {
        format!("{}/{what}", self.model.name())
    }

    fn median(&self, bits: u32, init: Init, figure: impl Fn(&TestedPoint) -> f64) -> f64 {
        let points = self.seeds.iter().flat_map(|one| &one.points);
        median(points.filter(|p| p.point.bits == bits && p.point.init == init).map(figure).collect())
    }

    fn headlines(&self, plan: &Plan, rows: &mut Vec<Row>) {
        let lower = Better::Lower;
        let pruned = median(self.seeds.iter().map(|one| one.pruned.percent()).collect());
        rows.push(Row::new(self.metric("pruned-test-error"), pruned, "%", lower, Rule::Report));
        let bits = papers_bits(self.model);
        if plan.bits.contains(&bits) {
            let loss = median(
                self.seeds
                    .iter()
                    .flat_map(|one| one.points.iter().map(move |p| (one, p)))
                    .filter(|(_, p)| p.point.bits == bits && p.point.init == Init::Linear)
                    .map(|(one, p)| p.trained.percent() - one.pruned.percent())
                    .collect(),
            );
            let rule = if plan.profile == Profile::Full { Rule::AtMost(MAX_LOSS) } else { Rule::Report };
            let row = Row::new(self.metric(&format!("linear/{bits}-bits/loss")), loss, "points", lower, rule);
            rows.push(
                row.note("test error after training the shared values, less that of the pruned network"),
            );
        }
        let is_linear_best = |&&bits: &&u32| {
            let error = |init| self.median(bits, init, |p| p.trained.percent());
            error(Init::Linear) <= error(Init::Density).min(error(Init::Forgy))
        };
        let n_best = plan.bits.iter().filter(is_linear_best).count();
        let row = Row::new(
            self.metric("widths-where-linear-is-best"),
            n_best as f64,
            "widths",
            Better::Higher,
            Rule::Report,
        );
        let note = format!(
            "of {}, against density and Forgy, trained; the paper, on AlexNet: all but 3 bits",
            plan.bits.len()
        );
        rows.push(row.note(&note));
    }

    /// How far Lloyd's algorithm stays above the optimum, from each start.
    fn sums_of_squares(&self, rows: &mut Vec<Row>) {
        let mut most = 0.0_f64;
        for (init, start) in STARTS.iter().filter(|(init, _)| *init != Init::Optimal) {
            let mut excess = Vec::new();
            for one in &self.seeds {
                for point in one.points.iter().filter(|p| p.point.init == *init) {
                    let optimal = one
                        .points
                        .iter()
                        .find(|p| p.point.bits == point.point.bits && p.point.init == Init::Optimal)
                        .map_or(f64::NAN, |p| p.sum_of_squares);
                    most = most.max(optimal / point.sum_of_squares);
                    excess.push(100.0 * (point.sum_of_squares / optimal - 1.0));
                }
            }
            let row = Row::new(
                self.metric(&format!("{start}/sum-of-squares-excess")),
                median(excess),
                "%",
                Better::Lower,
                Rule::Report,
            );
            rows.push(
                row.note("of Lloyd's sum of squares over the exact optimum's; median over widths and seeds"),
            );
        }
        let rule = Rule::AtMost(1.0 + ROUNDING);
        let row = Row::new(self.metric("optimal/over-best-start"), most, "x", Better::Lower, rule);
        rows.push(
            row.note("largest ratio of the exact optimum to Lloyd's sum of squares from any start")
                .on_any_data(),
        );
    }

    /// What dividing the same bytes among the layers saves.
    fn budgets(&self, rows: &mut Vec<Row>) {
        let Some(first) = self.seeds.first() else { return };
        for (i, uniform) in first.budgets.uniform.iter().enumerate() {
            let ratio = |one: &&Tested| {
                let uniform = &one.budgets.uniform[i];
                uniform.allocated.error / uniform.error
            };
            let metric = self.metric(&format!("{}-bits/allocated-over-uniform", uniform.bits));
            let row = Row::new(
                metric,
                median(self.seeds.iter().map(ratio).collect()),
                "x",
                Better::Lower,
                Rule::AtMost(1.0),
            );
            let names = first.budgets.layers.iter().map(|name| name.trim_end_matches(".weight"));
            let bits: Vec<String> = names
                .zip(&uniform.allocated.chosen)
                .map(|(name, choice)| format!("{name} {}", choice.bits))
                .collect();
            let note = format!(
                "sum of squares in the bytes that {} bits everywhere take; first seed: {}",
                uniform.bits,
                bits.join(", ")
            );
            rows.push(row.note(&note).on_any_data());
        }
    }

    fn points(&self, plan: &Plan, rows: &mut Vec<Row>) {
        for &bits in &plan.bits {
            for (init, start) in STARTS {
                let mut push = |what: &str, unit: &str, figure: fn(&TestedPoint) -> f64| {
                    let metric = self.metric(&format!("{start}/{bits}-bits/{what}"));
                    rows.push(Row::new(
                        metric,
                        self.median(bits, init, figure),
                        unit,
                        Better::Lower,
                        Rule::Report,
                    ));
                };
                push("untrained-error", "%", |p| p.untrained.percent());
                push("trained-error", "%", |p| p.trained.percent());
                push("file-bytes", "bytes", |p| p.file_bytes as f64);
            }
        }
    }
}

/// What a reader of the table should know.
pub(super) fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = vec![
        "All shared layers have codes of the same width at a point; zero keeps one of the 2^b codes, so b bits share 2^b - 1 \
         values. Errors are on the test set, of networks read back from their archives; the epoch of each training was chosen on the \
         last 5,000 training images, and the test set was read once, after every archive had been written."
            .to_owned(),
        "`optimal` is exact k-means by dynamic programming; the paper has linear, density and Forgy starts. Its figures are of \
         AlexNet on ImageNet and stay on paper: 8/5 bits (convolutions / fully connected) 42.78 % top-1 and 19.70 % top-5 error, 8/4 bits \
         42.79 % and 19.73 %, 4/2 bits 44.77 % and 22.33 %, against 42.78 % and 19.73 % with 32 bits."
            .to_owned(),
    ];
    if let Some(n) = plan.n_training_images {
        notes.push(format!("Trained on the first {n} images and for fewer epochs than the recipes say."));
    }
    notes
}
