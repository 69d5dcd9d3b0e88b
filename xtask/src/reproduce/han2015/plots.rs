//! The experiment's pictures: the paper's figures 5 and 6.

use super::Found;
use super::sensitivity::{LayerCurve, Scan};
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};

/// As many lines as a picture holds.
const MAX_SERIES: usize = 6;

pub(super) fn plots(found: &Found) -> Vec<Plot> {
    let mut plots = vec![trade_off(found)];
    plots.extend(found.scans.iter().flat_map(sensitivity));
    plots
}

/// Figure 5: error against connections left, by penalty and retraining.
fn trade_off(found: &Found) -> Plot {
    let series = found.comparison.curves.iter().map(|curve| Series {
        label: curve.name.to_owned(),
        mark: Mark::LinePoints,
        points: curve.points.iter().map(|(density, error)| (100.0 * density, *error)).collect(),
    });
    Plot {
        name: "error-by-penalty".into(),
        title: "LeNet-300-100: validation error while connections go".into(),
        caption:
            "L1 and L2 as pruned and retrained, and L2 pruned and retrained from one density to the next."
                .into(),
        chart: Chart::Xy {
            x: Axis::log("connections left, %"),
            y: Axis::log("validation error, %"),
            series: series.collect(),
        },
    }
}

/// Figure 6: error against what is left of one layer; as many pictures as it takes.
fn sensitivity(scan: &Scan) -> Vec<Plot> {
    let pictures = scan.layers.chunks(MAX_SERIES);
    let n_pictures = pictures.len();
    let picture = |(idx, layers): (usize, &[LayerCurve])| {
        let series = layers.iter().map(|layer| Series {
            label: layer.name.clone(),
            mark: Mark::LinePoints,
            points: layer.points.iter().map(|(density, error)| (100.0 * density, *error)).collect(),
        });
        let (suffix, part) = match n_pictures {
            1 => (String::new(), String::new()),
            _ => (
                format!("-{}", idx + 1),
                format!(" ({} to {})", layers[0].name, layers[layers.len() - 1].name),
            ),
        };
        Plot {
            name: format!("sensitivity-{}{suffix}", scan.model),
            title: format!("{}: one layer pruned, not retrained{part}", scan.model),
            caption: "Each line prunes one layer and leaves the others whole; a line that rises early is a sensitive layer."
                .into(),
            chart: Chart::Xy {
                x: Axis::linear("connections of the layer left, %"),
                y: Axis::linear("validation error, %"),
                series: series.collect(),
            },
        }
    };
    pictures.enumerate().map(picture).collect()
}
