//! The experiment's table: files and errors first, then the comparisons, the sensitivity, and the printed tables.

use anyhow::{Context as _, Result};

use super::Found;
use super::headline::{LayerLeft, Tested};
use super::plan::{CONTROL, Model};
use super::studies::Curve;
use super::tables::{self, LENET_5, LENET_300_100, Table};
use crate::experiment::statistics::median;
use crate::experiment::{Better, Profile, Row, Rule};

/// What Table 1 prints of a LeNet, and what a run must reach.
struct Goal {
    table: &'static Table,
    /// Errors before and after, in per cent.
    dense: f64,
    pruned: f64,
    error: Rule,
}

fn goal(model: Model, profile: Profile) -> Goal {
    let (table, dense, pruned, full, quick) = match model {
        Model::LeNet300 => (&LENET_300_100, 1.64, 1.59, 1.60, 2.0),
        Model::LeNet5 => (&LENET_5, 0.80, 0.77, 0.80, 1.2),
    };
    let error = match profile {
        Profile::Smoke => Rule::Report,
        Profile::Quick => Rule::AtMost(quick),
        Profile::Full => Rule::AtMost(full),
    };
    Goal { table, dense, pruned, error }
}

pub(super) fn rows(found: &Found) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for model in Model::ALL {
        let seeds = found.tested.iter().filter(|run| run.model == model).collect();
        Group { model, goal: goal(model, found.plan.profile), seeds }.rows(&mut rows)?;
    }
    comparisons(found, &mut rows)?;
    let first_is_worst = claim(found, Rule::AtLeast(0.0));
    for scan in &found.scans {
        // The paper speaks of convolutions.
        let rule = if scan.model == Model::LeNet300.name() { Rule::Report } else { first_is_worst };
        scan.rows(rule, &mut rows);
    }
    rows.extend(tables::rows()?);
    Ok(rows)
}

/// The paper's claims are put to the full profile only: the others train too little.
fn claim(found: &Found, rule: Rule) -> Rule {
    if found.plan.profile == Profile::Full { rule } else { Rule::Report }
}

/// The runs of one network, one a seed.
struct Group<'a> {
    model: Model,
    goal: Goal,
    seeds: Vec<&'a Tested>,
}

impl Group<'_> {
    /// The median of `figure`; the note lists each seed's.
    fn row(
        &self,
        what: &str,
        unit: &str,
        better: Better,
        rule: Rule,
        figure: impl Fn(&Tested) -> f64,
    ) -> Row {
        let figures: Vec<f64> = self.seeds.iter().map(|run| figure(run)).collect();
        let each: Vec<String> = figures.iter().map(|figure| format!("{figure:.4}")).collect();
        let row = Row::new(format!("{}/{what}", self.model.name()), median(figures), unit, better, rule);
        if each.len() == 1 {
            row
        } else {
            row.note(&format!("median of {} seeds: {}", each.len(), each.join(", ")))
        }
    }

    fn rows(&self, rows: &mut Vec<Row>) -> Result<()> {
        let (lower, higher) = (Better::Lower, Better::Higher);
        let Goal { table, dense, pruned, error } = self.goal;
        rows.push(self.row("test-error", "%", lower, error, |run| run.pruned).paper(pruned));
        rows.push(self.row("dense-test-error", "%", lower, Rule::Report, |run| run.dense).paper(dense));
        let ratio = |run: &Tested| sum(run, |layer| layer.n_weights) / sum(run, |layer| layer.n_kept);
        // A matter of the recipe, whatever the data.
        let row = self.row("connections-ratio", "x", higher, Rule::AtLeast(table.ratio), ratio).on_any_data();
        rows.push(row.paper(table.ratio).note("weights over weights kept, as in the paper"));
        let kept = |run: &Tested| sum(run, |layer| layer.n_kept);
        rows.push(self.row("weights-kept", "weights", lower, Rule::Report, kept).paper(table.n_kept));
        let row = self.row("compression-ratio", "x", higher, Rule::Report, |run| run.ledger.ratio());
        rows.push(row.note("32-bit values and their positions, with everything else that the file holds"));
        rows.push(self.row("file-bytes", "bytes", lower, Rule::Report, |run| run.ledger.file_bytes as f64));
        let density =
            |run: &Tested| 100.0 * sum(run, |layer| layer.n_kept) / sum(run, |layer| layer.n_weights);
        rows.push(self.row("density", "%", lower, Rule::Report, density).paper(table.density));
        let flops = |run: &Tested| {
            let flops: Vec<f64> = run.layers.iter().map(|layer| layer.flops).collect();
            tables::weighted(&shares(run), &flops)
        };
        rows.push(self.row("flop-share", "%", lower, Rule::Report, flops).paper(table.flop_share));
        let dead = |run: &Tested| run.dead.n_neurons as f64;
        rows.push(self.row("dead-neurons", "neurons", higher, Rule::Report, dead));
        let dead = |run: &Tested| run.dead.n_weights as f64;
        rows.push(self.row("dead-connections", "weights", higher, Rule::Report, dead));
        self.layers(rows)
    }

    /// The paper's table of the network, a figure a row.
    fn layers(&self, rows: &mut Vec<Row>) -> Result<()> {
        for (i, layer) in self.seeds[0].layers.iter().enumerate() {
            let printed = self.goal.table.layers.iter().find(|printed| printed.name == layer.name);
            let printed = printed.with_context(|| format!("the paper has no layer {}", layer.name))?;
            type Figure<'f> = (&'static str, f64, &'f dyn Fn(&Tested) -> f64);
            let figures: [Figure<'_>; 3] = [
                ("density", printed.density, &|run| run.layers[i].density()),
                ("active", printed.active, &|run| run.layers[i].active),
                ("flop-share", printed.flop_share, &|run| shares(run)[i]),
            ];
            for (what, paper, ours) in figures {
                let name = format!("{}-{what}", layer.name);
                rows.push(self.row(&name, "%", Better::Lower, Rule::Report, ours).paper(paper));
            }
        }
        Ok(())
    }
}

fn sum(run: &Tested, part: fn(&LayerLeft) -> f64) -> f64 {
    run.layers.iter().map(part).sum()
}

fn shares(run: &Tested) -> Vec<f64> {
    tables::flop_shares(run.layers.iter().map(|layer| (layer.density(), layer.active)))
}

/// What the paper says of penalties, rounds, survivors, dropout and freezing, as differences that should not be negative.
fn comparisons(found: &Found, rows: &mut Vec<Row>) -> Result<()> {
    let comparison = &found.comparison;
    let curve = |name: &str| {
        comparison.curves.iter().find(|curve| curve.name == name).with_context(|| format!("no curve {name}"))
    };
    let at = |name: &str, density: f64| {
        curve(name)?.at(density).with_context(|| format!("{name} was not run at {density}"))
    };
    let mut report = |model: &str, what: &str, error: f64| {
        rows.push(Row::new(format!("{model}/study/{what}"), error, "%", Better::Lower, Rule::Report));
    };
    let (lenet_300, lenet_5) = (Model::LeNet300.name(), Model::LeNet5.name());
    report(lenet_300, "dense-l1-error", comparison.dense[0]);
    report(lenet_300, "dense-l2-error", comparison.dense[1]);
    for curve in &comparison.curves {
        for (density, error) in &curve.points {
            report(lenet_300, &format!("{}-at-{density}-error", curve.name), *error);
        }
    }
    report(lenet_300, "one-shot-as-long-error", comparison.one_shot_as_long);
    report(lenet_300, "reinitialised-error", comparison.reinitialised);
    report(lenet_300, "dropout-adjusted-error", comparison.dropout[0]);
    report(lenet_300, "dropout-as-before-error", comparison.dropout[1]);
    report(lenet_5, "dense-error", found.freezing.dense);
    report(lenet_5, "frozen-error", found.freezing.frozen);
    report(lenet_5, "free-error", found.freezing.free);

    let points = claim(found, Rule::AtLeast(0.0));
    let mut gain = |model: &str, what: &str, points_gained: f64, rule, note: &str| {
        let name = format!("{model}/study/{what}");
        rows.push(Row::new(name, points_gained, "points", Better::Higher, rule).note(note));
    };
    let last = found.plan.study.densities[found.plan.study.densities.len() - 1];
    if let Ok(error) = at("l2", 0.5) {
        let rule = claim(found, Rule::AtLeast(-0.2));
        let note = "half of the connections gone without retraining (the paper: no loss)";
        gain(lenet_300, "free-lunch", comparison.dense[1] - error, rule, note);
    }
    let mean =
        |curve: &Curve| curve.points.iter().map(|point| point.1).sum::<f64>() / curve.points.len() as f64;
    let before = mean(curve("l2")?) - mean(curve("l1")?);
    gain(lenet_300, "l1-before-retraining", before, points, "L2's error less L1's, mean over the densities");
    let after = mean(curve("l1-retrained")?) - mean(curve("l2-retrained")?);
    gain(lenet_300, "l2-after-retraining", after, points, "L1's error less L2's, mean over the densities");
    let retraining = mean(curve("l2")?) - mean(curve("l2-retrained")?);
    gain(lenet_300, "retraining", retraining, points, "mean over the densities");
    let iterative = at("l2-iterative", last)?;
    let note = format!("at density {last}, one pruning retrained for as long as all rounds together");
    gain(lenet_300, "iterative", comparison.one_shot_as_long - iterative, points, &note);
    let kept = at("l2-retrained", CONTROL)?;
    let note = format!("at density {CONTROL}, survivors drawn anew and trained as long, at the first rate");
    gain(lenet_300, "kept-survivors", comparison.reinitialised - kept, points, &note);
    let [adjusted, as_before] = comparison.dropout;
    let note = format!("at density {CONTROL}, dropout's ratio adjusted in retraining, and not");
    gain(lenet_300, "adjusted-dropout", as_before - adjusted, points, &note);
    let note = "linear layers pruned and retrained, then convolutions; the other part frozen, and not";
    gain(lenet_5, "freezing", found.freezing.free - found.freezing.frozen, points, note);
    Ok(())
}

/// What a reader of the table should know.
pub(super) fn notes(found: &Found, missing: Option<&str>) -> Vec<String> {
    let mut notes = vec![
        "Every choice (the best epoch of each step) was made on the last 5,000 training images. The test set was read once, after \
         all files had been written, and the errors of Table 1 are those of the networks read back from the files. All rows \
         `study` and `sensitivity` are validation errors of one seed."
            .to_owned(),
        "The paper's ratio is weights over weights kept (`connections-ratio`). `compression-ratio` is 4 bytes a parameter over the \
         length of the file, which also holds positions: `deep-compression` goes on from here."
            .to_owned(),
        "FLOP left in a layer are its weights left times its inputs that are not 0, as in the paper. LeNet-5 in Caffe's form has no \
         relu behind its convolutions, so hardly any of their outputs are 0; the paper prints 82 % and 72 %."
            .to_owned(),
        "The comparisons prune all layers by one quality factor: entries of magnitude above s · σ stay, with the s that leaves the \
         density."
            .to_owned(),
    ];
    if let Some(n) = found.plan.n_training_images {
        notes.push(format!(
            "Smoke profile: trained on the first {n} images only, to show that every part works; the figures claim nothing."
        ));
    }
    notes.extend(missing.map(str::to_owned));
    notes
}
