//! A picture as data: `report/plot.rs` draws it.

/// One picture of an experiment.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// The file's stem: lower case, digits and hyphens.
    pub name: String,
    /// The line above the picture.
    pub title: String,
    /// A sentence below it: what to see.
    pub caption: String,
    /// What is drawn.
    pub chart: Chart,
}

/// The two kinds of pictures.
#[derive(Debug, Clone)]
pub(crate) enum Chart {
    /// Points or lines over two numbers.
    Xy {
        /// The horizontal axis.
        x: Axis,
        /// The vertical axis.
        y: Axis,
        /// What is drawn, in the order of the legend.
        series: Vec<Series>,
    },
    /// Groups of bars: for each category one bar a series.
    Bars {
        /// The groups, left to right.
        categories: Vec<String>,
        /// The vertical axis.
        y: Axis,
        /// Name and one height a category, in the order of the legend.
        series: Vec<(String, Vec<f64>)>,
    },
}

/// One axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// What is along it, with the unit.
    pub label: String,
    /// Whether it is logarithmic; then every value must be above 0.
    pub log: bool,
}

impl Axis {
    /// A linear axis.
    pub(crate) fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false }
    }

    /// A logarithmic axis.
    pub(crate) fn log(label: &str) -> Self {
        Self { label: label.to_owned(), log: true }
    }
}

/// One line or cloud of points.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Its name in the legend.
    pub label: String,
    /// How it is drawn.
    pub mark: Mark,
    /// `(x, y)`, in drawing order.
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A line through the points.
    Line,
    /// A line through the points, and each point.
    LinePoints,
    /// Each point.
    Points,
}
