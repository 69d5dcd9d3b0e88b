//! The experiment's table: files and errors first, then layer by layer beside Tables 2 and 3.

use anyhow::{Context as _, Result};
use nnc::archive::Part;

use super::plan::{Model, Plan, Variant};
use super::{LayerSize as Size, Tested};
use crate::experiment::statistics::median;
use crate::experiment::{Better, Profile, Row, Rule};
use crate::reproduce::deep_compression_storage::tables::{self, NETWORKS, Network};

/// The paper's test errors in per cent (Table 1 of Deep Compression; Table 1 of Han 2015 for the pruned networks).
struct Errors {
    dense: f64,
    pruned: f64,
    coded: f64,
}

/// What a run must reach.
struct Goal {
    error: f64,
    ratio: f64,
}

fn paper_errors(model: Model) -> Errors {
    match model {
        Model::LeNet300 => Errors { dense: 1.64, pruned: 1.59, coded: 1.58 },
        Model::LeNet5 => Errors { dense: 0.80, pruned: 0.77, coded: 0.74 },
    }
}

/// The paper's error after all three steps, in per cent.
pub(super) fn paper_error(model: Model) -> f64 {
    paper_errors(model).coded
}

fn goal(model: Model, variant: Variant, profile: Profile) -> Option<Goal> {
    Some(match (profile, model, variant) {
        (Profile::Smoke, _, _) => return None,
        (Profile::Quick, Model::LeNet300, _) => Goal { error: 2.0, ratio: 30.0 },
        (Profile::Quick, Model::LeNet5, _) => Goal { error: 1.2, ratio: 30.0 },
        (Profile::Full, Model::LeNet300, Variant::Paper) => Goal { error: 1.64, ratio: 40.0 },
        (Profile::Full, Model::LeNet300, Variant::Smallest) => Goal { error: 1.64, ratio: 100.0 },
        (Profile::Full, Model::LeNet5, Variant::Paper) => Goal { error: 0.80, ratio: 39.0 },
        (Profile::Full, Model::LeNet5, Variant::Smallest) => Goal { error: 0.80, ratio: 100.0 },
    })
}

/// All rows: each figure is the median over the seeds of one model and recipe.
pub(super) fn rows(plan: &Plan, tested: &[Tested<'_>]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for model in Model::ALL {
        for variant in [Variant::Paper, Variant::Smallest] {
            let seeds: Vec<&Tested<'_>> =
                tested.iter().filter(|run| run.plan.model == model && run.plan.variant == variant).collect();
            if let Some(first) = seeds.first() {
                let group = Group { label: first.plan.label(), model, variant, seeds };
                group.headlines(plan.profile, &mut rows)?;
                group.layers(&mut rows)?;
            }
        }
    }
    Ok(rows)
}

/// The runs of one model and recipe, one a seed.
struct Group<'a> {
    label: String,
    model: Model,
    variant: Variant,
    seeds: Vec<&'a Tested<'a>>,
}

impl Group<'_> {
    fn median(&self, figure: impl Fn(&Tested<'_>) -> f64) -> f64 {
        median(self.seeds.iter().map(|run| figure(run)).collect())
    }

    /// A row with the median of `figure`; the note lists each seed's.
    fn row(
        &self,
        what: &str,
        unit: &str,
        better: Better,
        rule: Rule,
        figure: impl Fn(&Tested<'_>) -> f64,
    ) -> Row {
        let row = Row::new(format!("{}/{what}", self.label), self.median(&figure), unit, better, rule);
        if self.seeds.len() == 1 {
            return row;
        }
        let each: Vec<String> = self.seeds.iter().map(|run| format!("{:.4}", figure(run))).collect();
        row.note(&format!("median of {} seeds: {}", each.len(), each.join(", ")))
    }

    /// The paper's figure, for the paper's recipe.
    fn beside(&self, row: Row, figure: f64) -> Row {
        if self.variant == Variant::Paper { row.paper(figure) } else { row }
    }

    fn headlines(&self, profile: Profile, rows: &mut Vec<Row>) -> Result<()> {
        let (goal, paper) = (goal(self.model, self.variant, profile), paper_errors(self.model));
        let error_rule = goal.as_ref().map_or(Rule::Report, |goal| Rule::AtMost(goal.error));
        let ratio_rule = goal.as_ref().map_or(Rule::Report, |goal| Rule::AtLeast(goal.ratio));
        let table = self.table()?;
        let (lower, higher) = (Better::Lower, Better::Higher);
        let row = self.row("test-error", "%", lower, error_rule, |run| run.coded.percent());
        rows.push(self.beside(row, paper.coded));
        let row = self.row("compression-ratio", "x", higher, ratio_rule, |run| run.ledger.ratio());
        rows.push(self.beside(row, table.coded.ratio));
        let row = self.row("file-bytes", "bytes", lower, Rule::Report, |run| run.ledger.file_bytes as f64);
        rows.push(self.beside(row, table.size_after * table.size_unit.1));
        let row = self.row("dense-test-error", "%", lower, Rule::Report, |run| run.dense.percent());
        rows.push(self.beside(row, paper.dense));
        let row = self.row("pruned-test-error", "%", lower, Rule::Report, |run| run.pruned.percent());
        rows.push(self.beside(row, paper.pruned));
        let total = |run: &Tested<'_>, part: fn(&Size) -> f64| -> f64 { run.layers.iter().map(part).sum() };
        let row = self.row("density", "%", lower, Rule::Report, |run| {
            100.0 * total(run, |layer| layer.n_kept as f64) / total(run, |layer| layer.n_weights as f64)
        });
        rows.push(self.beside(row, 8.0));
        for (what, bits, printed) in [
            (
                "paper-accounting-ratio-shared",
                Size::shared_bits as fn(&Size) -> f64,
                table.pruned_shared.ratio,
            ),
            ("paper-accounting-ratio-coded", Size::coded_bits, table.coded.ratio),
        ] {
            let row = self
                .row(what, "x", higher, Rule::Report, |run| total(run, Size::dense_bits) / total(run, bits));
            rows.push(self.beside(row, printed));
        }
        let sums = |run: &Tested<'_>| run.ledger.rows.iter().map(|row| row.bytes).sum::<u64>() as f64;
        let surplus = |run: &Tested<'_>| sums(run) - run.ledger.file_bytes as f64;
        let exact = Rule::Equals { value: 0.0, tolerance: 0.0 };
        rows.push(self.row("ledger-surplus-bytes", "bytes", Better::Equal, exact, surplus).on_any_data());
        Ok(())
    }

    /// Tables 2 and 3, a figure a row.
    fn layers(&self, rows: &mut Vec<Row>) -> Result<()> {
        let table = self.table()?;
        for (i, layer) in self.seeds[0].layers.iter().enumerate() {
            let printed = table.layers.iter().find(|printed| printed.name == layer.name);
            let printed = printed.with_context(|| format!("the paper has no layer {}", layer.name))?;
            let percent = |bits: f64, layer: &Size| 100.0 * bits / layer.dense_bits();
            type Figure = (&'static str, &'static str, fn(&Size) -> f64, fn(&tables::Layer) -> f64);
            let figures: [Figure; 5] = [
                ("density", "%", Size::density_percent, |printed| printed.density),
                ("code-bits-coded", "bits", |layer| layer.mean_code_bits, |printed| printed.mean_code_bits),
                ("gap-bits-coded", "bits", |layer| layer.mean_gap_bits, |printed| printed.mean_gap_bits),
                ("rate-shared", "%", Size::shared_bits, |printed| printed.pruned_shared_rate),
                ("rate-coded", "%", Size::coded_bits, |printed| printed.coded_rate),
            ];
            for (what, unit, ours, paper) in figures {
                let name = format!("{}-{what}", layer.name);
                let row = self.row(&name, unit, Better::Lower, Rule::Report, |run| {
                    let layer = &run.layers[i];
                    if what.starts_with("rate") { percent(ours(layer), layer) } else { ours(layer) }
                });
                rows.push(self.beside(row, paper(printed)));
            }
        }
        Ok(())
    }

    fn table(&self) -> Result<&'static Network> {
        let name = self.model.name();
        NETWORKS
            .iter()
            .find(|network| network.name == name)
            .with_context(|| format!("no published table of {name}"))
    }
}

/// What a reader of the table should know.
pub(super) fn notes(plan: &Plan, tested: &[Tested<'_>]) -> Vec<String> {
    let mut notes = vec![
        "The ratio is 4 bytes a parameter (weights and biases) over the length of the file: codes, gaps with their fillers, \
         codebooks, code tables, biases, shapes, the network, header and checksum. The rows `paper-accounting-…` count as the \
         paper's tables do: no biases, no code tables, no headers, gaps of 5 bits."
            .to_owned(),
        "Every choice (the best epoch of each step) was made on the last 5,000 training images. The test set was read once, \
         after all files had been written, and the errors are those of the networks read back from the files."
            .to_owned(),
        "The paper's own totals of LeNet-5 do not agree with its rows: 2.55 % is printed, the rows sum to 2.73 % (see \
         `deep-compression-storage`)."
            .to_owned(),
    ];
    if let Some(n) = plan.n_training_images {
        notes.push(format!(
            "Smoke profile: trained on the first {n} images only, to show that every part works; the figures claim nothing."
        ));
    }
    for run in tested {
        let bytes = |parts: &[Part]| parts.iter().map(|&part| run.ledger.bytes_of(part)).sum::<u64>();
        notes.push(format!(
            "{}: {} bytes, of them codes {}, gaps {}, codebooks {}, code tables {}, all else {}; validation errors by step: {}.",
            run.plan.file_stem(),
            run.ledger.file_bytes,
            bytes(&[Part::Values]),
            bytes(&[Part::Positions]),
            bytes(&[Part::Codebook]),
            bytes(&[Part::ValueTable, Part::PositionTable]),
            run.ledger.file_bytes
                - bytes(&[Part::Values, Part::Positions, Part::Codebook, Part::ValueTable, Part::PositionTable]),
            run.steps
                .iter()
                .map(|step| format!("{} {:.2} %", step.step, step.validation.percent()))
                .collect::<Vec<_>>()
                .join(", "),
        ));
    }
    notes
}
