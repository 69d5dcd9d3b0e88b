//! The experiment's pictures.

use super::plan::{Model, Plan, STARTS};
use super::points::{Tested, TestedPoint};
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};
use crate::experiment::statistics::median;

/// An error of zero has no place on a logarithmic axis: half of one image in ten thousand.
const LEAST_ERROR: f64 = 0.005;

pub(super) fn plots(plan: &Plan, tested: &[Tested]) -> Vec<Plot> {
    let mut plots = Vec::new();
    for model in Model::ALL {
        let seeds: Vec<&Tested> = tested.iter().filter(|one| one.model == model).collect();
        plots.push(errors(plan, model, &seeds, "untrained", "before", |p| p.untrained.percent()));
        plots.push(errors(plan, model, &seeds, "trained", "after", |p| p.trained.percent()));
        plots.extend(seeds.first().map(|one| budgets(one)));
    }
    plots
}

/// Test error against bits, a line a start.
fn errors(
    plan: &Plan,
    model: Model,
    seeds: &[&Tested],
    word: &str,
    when: &str,
    figure: fn(&TestedPoint) -> f64,
) -> Plot {
    let line = |bits: &u32, init| {
        let points = seeds.iter().flat_map(|one| &one.points);
        let error =
            median(points.filter(|p| p.point.bits == *bits && p.point.init == init).map(figure).collect());
        (f64::from(*bits), error.max(LEAST_ERROR))
    };
    let mut series: Vec<Series> = STARTS
        .iter()
        .map(|&(init, start)| Series {
            label: start.to_owned(),
            mark: Mark::LinePoints,
            points: plan.bits.iter().map(|bits| line(bits, init)).collect(),
        })
        .collect();
    let pruned = median(seeds.iter().map(|one| one.pruned.percent()).collect()).max(LEAST_ERROR);
    let ends = [plan.bits.first(), plan.bits.last()].into_iter().flatten();
    series.push(Series {
        label: "pruned, not shared".into(),
        mark: Mark::Line,
        points: ends.map(|&bits| (f64::from(bits), pruned)).collect(),
    });
    Plot {
        name: format!("{}-{word}", model.name()),
        title: format!("{}: test error by bits, {when} the shared values are trained", model.name()),
        caption: "All layers have codes of the same width; medians over the seeds.".into(),
        chart: Chart::Xy { x: Axis::linear("bits of a code"), y: Axis::log("test error, %"), series },
    }
}

/// Sum of squares against bytes: the same bits everywhere, and bits by budget.
fn budgets(one: &Tested) -> Plot {
    let kilobytes = |bytes: u64| bytes as f64 / 1e3;
    // An error of zero has no place on the axis.
    let allocated = one.budgets.curve.iter().filter(|row| row.error > 0.0);
    let uniform = one.budgets.uniform.iter().filter(|row| row.error > 0.0);
    Plot {
        name: format!("{}-budget", one.model.name()),
        title: format!("{}: squared error of shared weights by size", one.model.name()),
        caption:
            "Packed codes, codebooks and masks of the pruned network's weights; exact k-means; one seed."
                .into(),
        chart: Chart::Xy {
            x: Axis::log("kB"),
            y: Axis::log("sum of squares"),
            series: vec![
                Series {
                    label: "bits by budget".into(),
                    mark: Mark::LinePoints,
                    points: allocated.map(|row| (kilobytes(row.bytes), row.error)).collect(),
                },
                Series {
                    label: "the same bits everywhere".into(),
                    mark: Mark::LinePoints,
                    points: uniform.map(|row| (kilobytes(row.bytes), row.error)).collect(),
                },
            ],
        },
    }
}
