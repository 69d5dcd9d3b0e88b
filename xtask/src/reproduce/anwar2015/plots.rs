//! The experiment's picture: how the search goes.

use super::Tested;
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};

/// The best error by round, of every setting.
pub(super) fn plots(tested: &[Tested<'_>]) -> Vec<Plot> {
    let series = tested.iter().map(|found| Series {
        label: found.setting.name.to_owned(),
        mark: Mark::Line,
        points: found.search.course.iter().enumerate().map(|(round, &m)| (round as f64, 100.0 * m)).collect(),
    });
    vec![Plot {
        name: "error-by-round".into(),
        title: "Errors of the best candidate".into(),
        caption: "On the images that candidates are judged by, before retraining; round 0 is the best of a random draw.".into(),
        chart: Chart::Xy {
            x: Axis::linear("round"),
            y: Axis::linear("error, %"),
            series: series.collect(),
        },
    }]
}
