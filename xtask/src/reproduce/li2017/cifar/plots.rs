//! Li's three plots, and accuracy against FLOP.

use super::plan::{LAYERS, Plan};
use super::{Curves, Found};
use crate::experiment::plot::{Mark, Series};
use crate::experiment::{Axis, Chart, Plot};

pub(super) fn plots(plan: &Plan, curves: &Curves) -> Vec<Plot> {
    vec![
        norms(curves),
        layers(
            "accuracy-pruned",
            "Accuracy when one layer is pruned",
            "Without retraining (Li, figure 2b): layers whose curve stays flat have filters to spare.",
            (&plan.direct, &curves.direct),
            curves.whole,
        ),
        layers(
            "accuracy-retrained",
            "Accuracy when one layer is pruned and the network retrained",
            "The same after retraining (Li, figure 2c): most of what was lost comes back.",
            (&plan.retrained, &curves.retrained),
            curves.whole,
        ),
        orders(plan, curves),
        trade_off(curves),
    ]
}

/// Figure 2a.
fn norms(curves: &Curves) -> Plot {
    let series = LAYERS.iter().zip(&curves.norms).map(|(layer, norms)| {
        let n = norms.len() as f64;
        let points = norms.iter().enumerate().map(|(i, &norm)| (100.0 * i as f64 / n, norm)).collect();
        Series { label: (*layer).into(), mark: Mark::Line, points }
    });
    Plot {
        name: "filter-norms".into(),
        title: "Filters sorted by norm".into(),
        caption: "Sums of absolute weights over the largest of the layer (Li, figure 2a).".into(),
        chart: Chart::Xy {
            x: Axis::linear("filter, % of the layer"),
            y: Axis::linear("norm over the largest"),
            series: series.collect(),
        },
    }
}

/// Accuracy over the shares cut, from the whole network on.
fn over_shares(label: &str, shares: &[f64], found: &[Found], whole: Found) -> Series {
    let cut = shares.iter().zip(found).map(|(share, found)| (100.0 * share, found.accuracy));
    Series {
        label: label.into(),
        mark: Mark::LinePoints,
        points: std::iter::once((0.0, whole.accuracy)).chain(cut).collect(),
    }
}

fn xy(x: &str, series: Vec<Series>) -> Chart {
    Chart::Xy { x: Axis::linear(x), y: Axis::linear("validation accuracy, %"), series }
}

fn layers(
    name: &str,
    title: &str,
    caption: &str,
    (shares, found): (&[f64], &[Vec<Found>]),
    whole: Found,
) -> Plot {
    let series = LAYERS.iter().zip(found).map(|(layer, found)| over_shares(layer, shares, found, whole));
    let chart = xy("filters cut, % of the layer", series.collect());
    Plot { name: name.into(), title: title.into(), caption: caption.into(), chart }
}

fn orders(plan: &Plan, curves: &Curves) -> Plot {
    let series = [("smallest", &curves.smallest), ("random", &curves.random), ("largest", &curves.largest)]
        .map(|(label, found)| over_shares(label, &plan.controls, found, curves.whole));
    Plot {
        name: "accuracy-by-order".into(),
        title: "Smallest, random and largest filters".into(),
        caption: "One convolution at a time, without retraining; means over the convolutions and, of random filters, draws."
            .into(),
        chart: xy("filters cut, % of the layer", series.to_vec()),
    }
}

fn trade_off(curves: &Curves) -> Plot {
    let points = std::iter::once(&curves.whole).chain(&curves.trade_off);
    let points = points.map(|found| (found.flop_cut, found.accuracy)).collect();
    let series = vec![Series { label: "greedy, retrained".into(), mark: Mark::LinePoints, points }];
    Plot {
        name: "accuracy-by-flop".into(),
        title: "Accuracy against FLOP saved".into(),
        caption: "Every convolution loses the same share; the counts are of the small networks.".into(),
        chart: xy("multiply-accumulates saved, %", series),
    }
}
