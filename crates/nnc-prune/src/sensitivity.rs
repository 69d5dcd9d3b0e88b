//! How sensitive each layer is: accuracy against sparsity, one layer at a time, and what to prune where.
//!
//! # Source
//! Han et al., NIPS 2015, figure 6 (accuracy against the density of one layer); Distiller's sensitivity analysis (each point is
//! a copy of the **dense** model; filters by their mean magnitude; the columns of the table).

mod allocate;

use std::fmt::Write as _;
use std::path::Path;

use nnc_core::candle::Device;
use nnc_core::data::Batches;
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model;
use nnc_core::ops;
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::Step;
use nnc_core::sweep::sweep;
use nnc_core::{Error, Result, pattern};
use serde::{Deserialize, Serialize};

pub use allocate::{Allocation, Budget, Size, allocate, sizes};

use crate::granularity::{Granularity, Reduction};
use crate::importance::magnitude::magnitude;
use crate::schedule::check_sparsity;
use crate::select;
use crate::threshold::named;

/// Which layers, how far, and what is pruned as one.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitivityConfig {
    /// Patterns of the weights; `*` stands for any characters. Of what they match, weights of two or four axes are analysed.
    pub patterns: Vec<String>,
    /// The sparsities, increasing, in `[0, 1)`; 0 (the baseline) is added where it is not the first.
    pub sparsities: Vec<f64>,
    /// What is pruned as one: single weights by `|w|`, groups by their mean `|w|`.
    pub granularity: Granularity,
    /// Tells this model and data from others in the folder of a resumable analysis: a hash of what they are made of.
    pub key: String,
}

/// What validation says of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Accuracy, in per cent.
    pub top1: f64,
    /// Share of samples whose label is among the five largest logits, in per cent.
    pub top5: f64,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
}

/// One point of one layer's curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The weight that is pruned.
    pub parameter: String,
    /// The share of its groups that is pruned.
    pub sparsity: f64,
    /// What validation says of the dense model with that weight pruned.
    #[serde(flatten)]
    pub score: Score,
}

/// What a row depends on: the key of its file in a resumable analysis.
#[derive(Debug, Serialize)]
struct Point<'a> {
    method: &'static str,
    key: &'a str,
    granularity: String,
    parameter: &'a str,
    sparsity: f64,
}

/// The curves of the weights that match: for each, in the order of `dense`, one row per sparsity.
///
/// Each point is the dense model with that one weight pruned to that sparsity; nothing is retrained. With a `folder` the rows
/// are kept there, and an interrupted analysis goes on where it was; `progress` is told the number of rows done and of all.
/// `evaluate` says what a model with the given parameters does on validation data ([`score`]).
///
/// Cost: one evaluation per layer and sparsity above 0, and one for the baseline.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches no weight of two or four axes, [`Error::InvalidArgument`] for sparsities that are
/// out of range or do not increase, a granularity that does not fit or fixes its own sparsity, a NaN weight or a loss that is no
/// finite number (naming the weight); those of `evaluate`, `progress` and [`sweep`].
pub fn analyse(
    dense: &Params,
    config: &SensitivityConfig,
    folder: Option<&Path>,
    mut evaluate: impl FnMut(&Params) -> Result<Score>,
    mut progress: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<Row>> {
    let sparsities = levels(&config.sparsities)?;
    let names: Vec<&str> = dense
        .iter()
        .filter(|param| param.kind == ParamKind::Weight && matches!(param.tensor.rank(), 2 | 4))
        .map(|param| param.name.as_str())
        .collect();
    let chosen = pattern::select(&config.patterns, &names)?;
    let points: Vec<Point<'_>> = chosen
        .iter()
        .flat_map(|parameter| sparsities.iter().map(move |&sparsity| (parameter, sparsity)))
        .map(|(parameter, sparsity)| Point {
            method: "sensitivity",
            key: &config.key,
            granularity: config.granularity.to_string(),
            parameter,
            sparsity,
        })
        .collect();
    let mut baseline = None;
    let row = |point: &Point<'_>| {
        let score = match baseline {
            Some(score) if point.sparsity == 0.0 => score,
            _ => evaluate(&pruned(dense, point.parameter, config.granularity, point.sparsity)?)?,
        };
        if point.sparsity == 0.0 {
            baseline = Some(score);
        }
        if !score.loss.is_finite() {
            let what = format!("loss with `{}` at sparsity {}", point.parameter, point.sparsity);
            return Err(Error::invalid(what, "a finite number", score.loss));
        }
        Ok(Row { parameter: point.parameter.to_owned(), sparsity: point.sparsity, score })
    };
    sweep(&points, folder, row, |done| progress(done, points.len()))
}

/// `dense` with the weight `parameter` pruned; its own values otherwise, which are not copied.
fn pruned(dense: &Params, parameter: &str, granularity: Granularity, sparsity: f64) -> Result<Params> {
    let mut params = dense.clone();
    if sparsity == 0.0 {
        return Ok(params);
    }
    let weight = dense.tensor(parameter)?;
    let mask = granularity
        .groups(weight.dims())
        .and_then(|groups| select::level_of_groups(&magnitude(weight)?, &groups, Reduction::Mean, sparsity));
    params.replace(parameter, mask.map_err(|error| named(parameter, error))?.apply(weight)?)?;
    Ok(params)
}

/// The sparsities from 0 on, checked.
fn levels(sparsities: &[f64]) -> Result<Vec<f64>> {
    sparsities.iter().try_for_each(|&sparsity| check_sparsity("sparsities", sparsity))?;
    if let Some(pair) = sparsities.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid("sparsities", format!("one above {}", pair[0]), pair[1]));
    }
    let zero = if sparsities.first() == Some(&0.0) { None } else { Some(0.0) };
    Ok(zero.into_iter().chain(sparsities.iter().copied()).collect())
}

/// What `model` does on all of `batches` with its logits `output`, `(B, K)`.
///
/// # Errors
/// Those of the model, and of logits and labels that do not fit.
pub fn score(model: &dyn Model, batches: &Batches<'_>, output: &str) -> Result<Score> {
    let (mut top1, mut top5, mut loss) = (ErrorCount::default(), ErrorCount::default(), 0.0);
    for batch in batches.epoch(0).iter(&Device::Cpu) {
        let batch = batch?;
        let outputs = model.outputs(&batch.images, &[output], &Step::eval())?;
        let logits = outputs.get(output)?;
        top1.add(logits, &batch.labels)?;
        top5.add_top_k(logits, &batch.labels, 5)?;
        let mean = ops::softmax_cross_entropy(logits, &batch.labels)?.to_scalar::<f32>()?;
        loss += f64::from(mean) * batch.samples.len() as f64;
    }
    let n_samples = top1.n_samples.max(1) as f64;
    Ok(Score { top1: 100.0 - top1.percent(), top5: 100.0 - top5.percent(), loss: loss / n_samples })
}

/// The rows as comma-separated values under Distiller's header.
///
/// # Example
/// ```
/// use nnc_prune::sensitivity::{Row, Score, to_csv};
/// let score = Score { top1: 99.25, top5: 100.0, loss: 0.03125 };
/// let row = Row { parameter: "conv1.weight".into(), sparsity: 0.5, score };
/// assert_eq!(to_csv(&[row]), "parameter,sparsity,top1,top5,loss\nconv1.weight,0.5,99.25,100,0.03125\n");
/// ```
pub fn to_csv(rows: &[Row]) -> String {
    let mut csv = String::from("parameter,sparsity,top1,top5,loss\n");
    for Row { parameter, sparsity, score: Score { top1, top5, loss } } in rows {
        let parameter = match parameter.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", parameter.replace('"', "\"\"")),
            false => parameter.clone(),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(csv, "{parameter},{sparsity},{top1},{top5},{loss}");
    }
    csv
}

#[cfg(test)]
mod tests;
