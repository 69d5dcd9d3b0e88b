//! The experiment's pictures.

use nnc::archive::Part;

use super::Tested;
use super::plan::Model;
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};
use crate::reproduce::deep_compression_storage::tables::NETWORKS;

/// The paper's points are drawn only beside its own data.
pub(super) fn plots(tested: &[Tested<'_>], is_papers_data: bool) -> Vec<Plot> {
    // One seed tells the story of the steps and the bytes; the trade-off shows all.
    let seed = tested.iter().map(|run| run.plan.recipe.seed).min();
    let one_seed: Vec<&Tested<'_>> = tested.iter().filter(|run| Some(run.plan.recipe.seed) == seed).collect();
    vec![steps(&one_seed), bytes(&one_seed), trade_off(tested, is_papers_data)]
}

/// Validation error against density, step by step.
fn steps(tested: &[&Tested<'_>]) -> Plot {
    let series = tested.iter().map(|run| Series {
        label: run.plan.file_stem(),
        mark: Mark::LinePoints,
        points: run.steps.iter().map(|step| (100.0 * step.density, step.validation.percent())).collect(),
    });
    Plot {
        name: "error-by-density".into(),
        title: "Validation error while connections go".into(),
        caption: "From the dense network on the right to the shared one on the left; each point is the best epoch of a \
                  step, by validation."
            .into(),
        chart: Chart::Xy {
            x: Axis::log("connections left, %"),
            y: Axis::linear("validation error, %"),
            series: series.collect(),
        },
    }
}

/// What the bytes of each file are for.
fn bytes(tested: &[&Tested<'_>]) -> Plot {
    let kilobytes = |run: &Tested<'_>, parts: &[Part]| {
        parts.iter().map(|&part| run.ledger.bytes_of(part)).sum::<u64>() as f64 / 1e3
    };
    let groups: [(&str, &[Part]); 4] = [
        ("codes, biases", &[Part::Values]),
        ("gaps", &[Part::Positions]),
        ("codebooks", &[Part::Codebook]),
        ("code tables", &[Part::ValueTable, Part::PositionTable]),
    ];
    let mut series: Vec<(String, Vec<f64>)> = groups
        .iter()
        .map(|(label, parts)| ((*label).to_owned(), tested.iter().map(|run| kilobytes(run, parts)).collect()))
        .collect();
    let all: Vec<Part> = groups.iter().flat_map(|(_, parts)| parts.iter().copied()).collect();
    let rest = tested.iter().map(|run| run.ledger.file_bytes as f64 / 1e3 - kilobytes(run, &all)).collect();
    series.push(("all else".to_owned(), rest));
    Plot {
        name: "bytes-by-part".into(),
        title: "What the bytes of each file are for".into(),
        caption: "The bars of a file sum to its length.".into(),
        chart: Chart::Bars {
            categories: tested.iter().map(|run| run.plan.file_stem()).collect(),
            y: Axis::linear("kB"),
            series,
        },
    }
}

/// Test error against compression ratio, ours and the paper's.
fn trade_off(tested: &[Tested<'_>], is_papers_data: bool) -> Plot {
    let mut series = Vec::new();
    for model in Model::ALL {
        let ours = tested.iter().filter(|run| run.plan.model == model);
        series.push(Series {
            label: format!("{}, ours", model.name()),
            mark: Mark::Points,
            points: ours.map(|run| (run.ledger.ratio(), run.coded.percent())).collect(),
        });
        if !is_papers_data {
            continue;
        }
        let error = super::rows::paper_error(model);
        let ratio = NETWORKS.iter().find(|network| network.name == model.name()).map(|n| n.coded.ratio);
        series.push(Series {
            label: format!("{}, paper", model.name()),
            mark: Mark::Points,
            points: ratio.map(|ratio| (ratio, error)).into_iter().collect(),
        });
    }
    let caption = if is_papers_data {
        "Each point is one file; the paper's two beside them."
    } else {
        "Each point is one file."
    };
    Plot {
        name: "error-by-ratio".into(),
        title: "Test error against compression".into(),
        caption: caption.into(),
        chart: Chart::Xy { x: Axis::log("compression ratio"), y: Axis::linear("test error, %"), series },
    }
}
