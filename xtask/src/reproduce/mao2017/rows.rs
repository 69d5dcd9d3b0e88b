//! What was found, as rows and pictures.

use nnc_core::metrics::ErrorCount;

use super::{Found, Point};
use crate::experiment::plot::{Axis, Chart, Mark, Plot, Series};
use crate::experiment::{Better, Outcome, Row, Rule};

/// By how much the validation error may exceed the dense network's to count as equal, in points.
const MARGIN: f64 = 0.2;

/// The points that are tested: the dense one, then each granularity's smallest at equal accuracy (the dense one where none is).
pub(super) fn choose(found: &Found) -> Vec<&Point> {
    let limit = found.dense.validation.percent() + MARGIN + 1e-9;
    let smallest = |points: &'_ [Point]| -> Option<usize> {
        let equal = points.iter().enumerate().filter(|(_, point)| point.validation.percent() <= limit);
        equal.min_by_key(|(_, point)| point.bits.total()).map(|(i, _)| i)
    };
    let mut chosen = vec![&found.dense];
    chosen
        .extend(found.curves.iter().map(|(_, points)| smallest(points).map_or(&found.dense, |i| &points[i])));
    chosen
}

/// Rows and pictures; `tested` are the test errors of what [`choose`] chose. Without `makes_claims` the findings are reported.
pub(super) fn outcome(found: &Found, tested: &[ErrorCount], makes_claims: bool) -> Outcome {
    let chosen = choose(found);
    let storage = |point: &Point| 100.0 * point.bits.total() as f64 / found.dense.bits.total() as f64;
    let report = |what: String, ours, unit| {
        Row::new(format!("lenet-5/{what}"), ours, unit, Better::Lower, Rule::Report)
    };
    let mut rows = vec![
        report("dense-test-error".into(), tested[0].percent(), "%"),
        report("dense-validation-error".into(), found.dense.validation.percent(), "%"),
    ];
    for ((name, _), (point, tested)) in found.curves.iter().zip(chosen[1..].iter().zip(&tested[1..])) {
        rows.extend([
            report(format!("{name}-storage"), storage(point), "%").note(&format!(
                "of the convolutions' {} weights at 8 bits, at equal accuracy",
                found.n_weights
            )),
            report(format!("{name}-density"), 100.0 * point.density, "%"),
            report(format!("{name}-chosen-validation-error"), point.validation.percent(), "%")
                .note(&format!("at most {MARGIN} points above the dense network's")),
            report(format!("{name}-chosen-test-error"), tested.percent(), "%"),
        ]);
    }
    rows.extend(findings(found, &chosen[1..], makes_claims));
    Outcome { rows, plots: plots(found, &storage), notes: notes(), ..Outcome::default() }
}

/// The paper's findings, in the order of the granularities: fine, vector, kernel, filter.
fn findings(found: &Found, chosen: &[&Point], makes_claims: bool) -> Vec<Row> {
    let rule = |rule| if makes_claims { rule } else { Rule::Report };
    let bits = |i: usize| chosen[i].bits.total() as f64;
    let last_error = |i: usize| found.curves[i].1.last().map_or(0.0, |point| point.validation.percent());
    let coarse = bits(1).min(bits(2));
    vec![
        Row::new(
            "lenet-5/coarse-over-fine-storage",
            coarse / bits(0),
            "x",
            Better::Lower,
            rule(Rule::AtMost(1.0)),
        )
        .note("the smaller of vector and kernel, at equal accuracy"),
        Row::new(
            "lenet-5/filter-over-fine-storage",
            bits(3) / bits(0),
            "x",
            Better::Higher,
            rule(Rule::AtLeast(1.0)),
        )
        .note("whole filters do not win"),
        Row::new(
            "lenet-5/filter-minus-fine-error",
            last_error(3) - last_error(0),
            "points",
            Better::Higher,
            rule(Rule::AtLeast(0.0)),
        )
        .note("validation error at the lowest density: coarser is worse at equal sparsity"),
    ]
}

fn plots(found: &Found, storage: &dyn Fn(&Point) -> f64) -> Vec<Plot> {
    let series = |x: &dyn Fn(&Point) -> f64| -> Vec<Series> {
        let points = |points: &[Point]| points.iter().map(|p| (x(p), p.validation.percent())).collect();
        let curve = |(name, curve): &(&str, Vec<Point>)| Series {
            label: (*name).to_owned(),
            mark: Mark::LinePoints,
            points: points(curve),
        };
        let dense = Series {
            label: "dense".into(),
            mark: Mark::Points,
            points: points(std::slice::from_ref(&found.dense)),
        };
        found.curves.iter().map(curve).chain([dense]).collect()
    };
    let plot = |name: &str, title: &str, caption: &str, x: &str, series| Plot {
        name: name.to_owned(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        chart: Chart::Xy { x: Axis::log(x), y: Axis::linear("validation error, %"), series },
    };
    vec![
        plot(
            "error-by-density",
            "Validation error against density, by granularity",
            "At equal density, finer is better.",
            "weights of the convolutions left, %",
            series(&|point| 100.0 * point.density),
        ),
        plot(
            "error-by-storage",
            "Validation error against storage, by granularity",
            "One index serves a whole vector or kernel, which makes up for what coarser pruning loses.",
            "storage of the convolutions, % of 8-bit weights",
            series(storage),
        ),
    ]
}

fn notes() -> Vec<String> {
    vec![
        "The paper prunes networks for ImageNet; ours prunes LeNet-5's convolutions (5×5 kernels, so that a vector has 5 and a \
         kernel 25 weights) with one recipe for all granularities. Storage is the paper's model on our masks: 8 bits a weight \
         and 4 bits an index, with the indices that only skip counted too."
            .into(),
        "The paper's densities and storage for ImageNet are figures as remembered, not checked against the paper.".into(),
    ]
}
