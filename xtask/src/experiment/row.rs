//! One line of the result table, and the rule that decides whether it holds.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// A ratio, an accuracy.
    Higher,
    /// An error, a size.
    Lower,
    /// A figure to hit.
    Equal,
}

/// The claim a row makes; `holds` is computed from it and never typed in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// `ours ≤ limit`
    AtMost(f64),
    /// `ours ≥ limit`
    AtLeast(f64),
    /// `|ours − value| ≤ tolerance`, in the row's unit
    Equals {
        /// The figure to hit.
        value: f64,
        /// The distance allowed.
        tolerance: f64,
    },
    /// `|ours − value| ≤ share · |value|`
    Within {
        /// The figure to come close to.
        value: f64,
        /// The relative distance allowed, 0.1 for ten per cent.
        share: f64,
    },
    /// A figure reported without a claim: holds when it is a finite number.
    Report,
}

/// The text of [`Rule::Report`], by which a row read back from a file is known to make no claim.
const NO_CLAIM: &str = "no claim";

/// Slack for comparisons of figures that went through a sum of rounded parts.
const EPSILON: f64 = 1e-9;

impl Rule {
    /// Whether `ours` meets the rule. NaN and infinities meet none.
    pub(crate) fn holds(self, ours: f64) -> bool {
        let slack = |x: f64| EPSILON * x.abs().max(1.0);
        ours.is_finite()
            && match self {
                Self::AtMost(limit) => ours <= limit + slack(limit),
                Self::AtLeast(limit) => ours >= limit - slack(limit),
                Self::Equals { value, tolerance } => (ours - value).abs() <= tolerance + slack(value),
                Self::Within { value, share } => (ours - value).abs() <= share * value.abs() + slack(value),
                Self::Report => true,
            }
    }

    /// The rule in words, as the note shows it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::AtLeast(limit) => format!("at least {limit}"),
            Self::Equals { value, tolerance: 0.0 } => format!("equals {value}"),
            Self::Equals { value, tolerance } => format!("{value} ± {tolerance}"),
            Self::Within { value, share } => format!("within {} % of {value}", share * 100.0),
            Self::Report => NO_CLAIM.to_owned(),
        }
    }
}

/// One row of `result.json`: the contract's fields, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    metric: String,
    paper: Option<f64>,
    ours: f64,
    unit: String,
    better: Better,
    holds: bool,
    note: String,
    /// Whether the claim is about the program rather than about the paper's data; settled before a row is written.
    #[serde(skip)]
    on_any_data: bool,
}

impl Row {
    /// A row named `model/what` whose `holds` follows from `rule`; the note opens with the rule in words.
    pub(crate) fn new(metric: impl Into<String>, ours: f64, unit: &str, better: Better, rule: Rule) -> Self {
        let (holds, note) = (rule.holds(ours), rule.text());
        Self {
            metric: metric.into(),
            paper: None,
            ours,
            unit: unit.to_owned(),
            better,
            holds,
            note,
            on_any_data: false,
        }
    }

    /// The same row with the paper's figure beside ours.
    pub(crate) fn paper(mut self, figure: f64) -> Self {
        self.paper = Some(figure);
        self
    }

    /// The same row with a remark after the rule.
    pub(crate) fn note(mut self, remark: &str) -> Self {
        self.note = format!("{}; {remark}", self.note);
        self
    }

    /// The same row with a claim that must hold on other data than the paper's too.
    pub(crate) fn on_any_data(mut self) -> Self {
        self.on_any_data = true;
        self
    }

    /// The row as it is written: for data the paper did not use without its figure, and without a claim that was set for its
    /// data.
    pub(crate) fn for_data(mut self, is_papers_data: bool) -> Self {
        if !is_papers_data {
            self.paper = None;
            if !self.on_any_data {
                self.holds = Rule::Report.holds(self.ours);
                let remarks = self.note.split_once("; ").map(|(_, remarks)| remarks);
                self.note = remarks.map_or(NO_CLAIM.to_owned(), |remarks| format!("{NO_CLAIM}; {remarks}"));
            }
        }
        self.on_any_data = false;
        self
    }

    /// `model/what`
    pub(crate) fn metric(&self) -> &str {
        &self.metric
    }

    /// The part before the first `/`.
    pub(crate) fn model(&self) -> &str {
        self.metric.split_once('/').map_or("", |(model, _)| model)
    }

    /// The part after the first `/`.
    pub(crate) fn what(&self) -> &str {
        self.metric.split_once('/').map_or(&self.metric, |(_, what)| what)
    }

    /// The paper's figure, if the data are the paper's.
    pub(crate) fn papers_figure(&self) -> Option<f64> {
        self.paper
    }

    /// Our figure.
    pub(crate) fn ours(&self) -> f64 {
        self.ours
    }

    /// The unit of both figures.
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    /// Which direction is good.
    pub(crate) fn better(&self) -> Better {
        self.better
    }

    /// The rule in words and the remark.
    pub(crate) fn remark(&self) -> &str {
        &self.note
    }

    /// What the row says about its claim.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.holds {
            true if self.note.split(';').next() == Some(NO_CLAIM) => Verdict::Reported,
            true => Verdict::Holds,
            false => Verdict::Fails,
        }
    }

    /// Whether the README's table shows it.
    pub(crate) fn is_headline(&self) -> bool {
        reserved(self.what()).is_some_and(|reserved| reserved.headline)
    }
}

/// What a row says about its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rule is met.
    Holds,
    /// The rule is not met.
    Fails,
    /// There is no claim.
    Reported,
}

impl Verdict {
    /// One word for tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Reported => "reported",
        }
    }
}

/// A metric name that means one thing in every experiment.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// The part after `model/`.
    pub what: &'static str,
    /// Its unit, always.
    pub unit: &'static str,
    /// Its good direction, always.
    pub better: Better,
    /// Whether the README's table shows it.
    pub headline: bool,
    /// What exactly it is.
    pub meaning: &'static str,
}

/// The metric names reserved for exactly what is said here.
pub(crate) const RESERVED: &[Reserved] = &[
    Reserved {
        what: "compression-ratio",
        unit: "x",
        better: Better::Higher,
        headline: true,
        meaning: "4 bytes a parameter, over the length of the file that was written",
    },
    Reserved {
        what: "test-error",
        unit: "%",
        better: Better::Lower,
        headline: true,
        meaning: "share of the test set got wrong by the network read from the file",
    },
    Reserved {
        what: "arithmetic-ratio",
        unit: "x",
        better: Better::Higher,
        headline: true,
        meaning: "a compression ratio computed from published tables, no file behind it",
    },
    Reserved {
        what: "message-bits",
        unit: "bits",
        better: Better::Lower,
        headline: true,
        meaning: "length of one coded message, without its code table",
    },
    Reserved {
        what: "golden-matched",
        unit: "%",
        better: Better::Higher,
        headline: true,
        meaning: "share of a reference program's outputs that ours gives bit for bit",
    },
];

/// The reservation of `what`, if there is one.
pub(crate) fn reserved(what: &str) -> Option<&'static Reserved> {
    RESERVED.iter().find(|reserved| reserved.what == what)
}

/// Checks names, numbers and reservations of a finished experiment's rows.
///
/// # Errors
/// When a name is not `model/what`, occurs twice or misuses a reservation, or a figure is not finite.
pub(crate) fn check_rows(rows: &[Row]) -> Result<()> {
    ensure!(!rows.is_empty(), "an experiment must report at least one row");
    for (idx, row) in rows.iter().enumerate() {
        let metric = row.metric();
        if !is_metric_name(metric) {
            bail!("metric `{metric}`: expected `model/what` in lower case, digits, `-` and `.`");
        }
        ensure!(rows[..idx].iter().all(|other| other.metric() != metric), "metric `{metric}` occurs twice");
        let finite = row.ours.is_finite() && row.paper.is_none_or(f64::is_finite);
        ensure!(finite, "metric `{metric}`: expected finite figures, got ours {}", row.ours);
        if let Some(reserved) = reserved(row.what()) {
            let (unit, better) = (reserved.unit, reserved.better);
            let kept = row.unit() == unit && row.better() == better;
            ensure!(kept, "metric `{metric}` is reserved ({}): unit `{unit}`, {better:?}", reserved.meaning);
        }
    }
    Ok(())
}

fn is_metric_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
    };
    name.contains('/') && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_decide_at_and_around_their_bounds() {
        let equals = Rule::Equals { value: 2.0, tolerance: 0.5 };
        let within = Rule::Within { value: -10.0, share: 0.1 };
        for (rule, ours, holds) in [
            (Rule::AtMost(1.64), 1.64, true),
            (Rule::AtMost(1.64), 1.65, false),
            (Rule::AtLeast(40.0), 40.0, true),
            (Rule::AtLeast(40.0), 39.99, false),
            (equals, 1.5, true),
            (equals, 2.6, false),
            (Rule::Equals { value: 126.0, tolerance: 0.0 }, 126.0, true),
            (Rule::Equals { value: 126.0, tolerance: 0.0 }, 127.0, false),
            (within, -11.0, true),
            (within, -11.1, false),
            (within, 10.0, false),
            (Rule::Report, 0.0, true),
        ] {
            assert_eq!(rule.holds(ours), holds, "{} for {ours}", rule.text());
        }
    }

    #[test]
    fn no_rule_holds_for_a_figure_that_is_not_finite() {
        let equals = Rule::Equals { value: 0.0, tolerance: f64::INFINITY };
        for rule in [Rule::AtMost(f64::INFINITY), Rule::AtLeast(f64::NEG_INFINITY), equals, Rule::Report] {
            for ours in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(!rule.holds(ours), "{} for {ours}", rule.text());
            }
        }
    }

    #[test]
    fn a_verdict_survives_the_file() {
        let row = |rule| Row::new("a/b", 1.0, "x", Better::Equal, rule).note("no claim here");
        for (rule, verdict) in [
            (Rule::Report, Verdict::Reported),
            (Rule::AtMost(1.0), Verdict::Holds),
            (Rule::AtMost(0.0), Verdict::Fails),
        ] {
            let json = serde_json::to_string(&row(rule)).unwrap();
            let back: Row = serde_json::from_str(&json).unwrap();
            assert_eq!(back, row(rule));
            assert_eq!(back.verdict(), verdict);
        }
    }

    #[test]
    fn on_other_data_only_claims_about_the_program_are_left() {
        let exact = Rule::Equals { value: 0.0, tolerance: 0.0 };
        let row = || Row::new("a/b", 3.0, "x", Better::Lower, Rule::AtMost(1.64)).paper(1.58);
        assert_eq!(row().for_data(true), row());
        let other = row().for_data(false);
        assert_eq!((other.papers_figure(), other.remark()), (None, "no claim"));
        assert_eq!((row().verdict(), other.verdict()), (Verdict::Fails, Verdict::Reported));
        let remarked = row().note("median of 3 seeds: 2; 3; 4").for_data(false);
        assert_eq!(remarked.remark(), "no claim; median of 3 seeds: 2; 3; 4");
        for (ours, verdict) in [(0.0, Verdict::Holds), (1.0, Verdict::Fails)] {
            let row = Row::new("a/b", ours, "x", Better::Equal, exact).on_any_data();
            assert_eq!(row.for_data(false).verdict(), verdict);
        }
    }

    #[test]
    fn rows_that_break_the_contract_are_named() {
        let good = || Row::new("lenet5/conv1/density", 66.0, "%", Better::Equal, Rule::Report);
        let named = |metric: &str| Row::new(metric, 1.0, "x", Better::Higher, Rule::Report);
        check_rows(&[good(), named("lenet5/compression-ratio")]).unwrap();
        for (rows, expected) in [
            (vec![], "at least one row"),
            (vec![good(), good()], "occurs twice"),
            (vec![named("density")], "expected `model/what`"),
            (vec![named("lenet5/")], "expected `model/what`"),
            (vec![named("LeNet 5/x")], "expected `model/what`"),
            (vec![named("lenet5/test-error")], "reserved"),
            (vec![Row::new("a/b", f64::NAN, "x", Better::Equal, Rule::Report)], "finite"),
            (vec![good().paper(f64::INFINITY)], "finite"),
        ] {
            let message = check_rows(&rows).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
