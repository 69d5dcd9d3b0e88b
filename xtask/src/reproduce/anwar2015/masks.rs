//! Masks by search and by magnitude, and the images that they are judged on.

use std::path::Path;

use nnc_core::candle::Device;
use nnc_core::data::{Batch, BatchConfig, Batches, Dataset, Normalization};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model;
use nnc_core::params::Params;
use nnc_core::source::Step;
use nnc_core::sweep::sweep;
use nnc_core::{Error, Result};
use nnc_prune::granularity::Reduction;
use nnc_prune::importance::magnitude::magnitude;
use nnc_prune::particle::{self, Layer, NamedMasks, ParticleConfig};
use nnc_prune::{Mask, select};
use serde::{Deserialize, Serialize};

use super::plan::{SEARCH_BATCH, Setting};

/// Validation images in two parts: those that searches see, and those that errors are reported on.
pub(super) struct Judge {
    search: Vec<Batch>,
    held_out: Vec<Batch>,
}

impl Judge {
    /// The first `n_search_batches` are for searches.
    pub(super) fn new(
        data: &Dataset,
        normalization: &Normalization,
        n_search_batches: usize,
    ) -> Result<Self> {
        let batches =
            Batches::new(data, normalization, BatchConfig::evaluation(SEARCH_BATCH.min(data.len())))?;
        let mut search: Vec<Batch> = batches.epoch(0).iter(&Device::Cpu).collect::<Result<_>>()?;
        if search.len() <= n_search_batches {
            let expected = format!("more than {n_search_batches} batches");
            return Err(Error::invalid("validation set", expected, search.len()));
        }
        let held_out = search.split_off(n_search_batches);
        Ok(Self { search, held_out })
    }

    /// The share of errors that a search is led by.
    pub(super) fn search_share(&self, model: &dyn Model) -> Result<f64> {
        errors(model, &self.search).map(|errors| errors.percent() / 100.0)
    }

    /// Errors on the images that no search has seen.
    pub(super) fn held_out(&self, model: &dyn Model) -> Result<ErrorCount> {
        errors(model, &self.held_out)
    }
}

fn errors(model: &dyn Model, batches: &[Batch]) -> Result<ErrorCount> {
    let mut errors = ErrorCount::default();
    for batch in batches {
        let outputs = model.outputs(&batch.images, &["logits"], &Step::eval())?;
        errors.add(outputs.get("logits")?, &batch.labels)?;
    }
    Ok(errors)
}

/// What a search found, as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SearchRow {
    /// For each weight, the flat indices of the entries that are kept.
    kept: Vec<Vec<usize>>,
    pub(super) misclassification: f64,
    /// The best share of errors after each round.
    pub(super) course: Vec<f64>,
    pub(super) n_evaluations: usize,
}

#[cfg(test)]
impl SearchRow {
    /// A search that went so.
    pub(super) fn of_course(course: Vec<f64>) -> Self {
        let misclassification = course.last().copied().unwrap_or(1.0);
        Self { kept: Vec::new(), misclassification, course, n_evaluations: 1 }
    }
}

/// Searches, or reads from `folder` what a search of this setting found before.
pub(super) fn search(
    layers: &[Layer],
    setting: &Setting,
    config: &ParticleConfig,
    folder: &Path,
    evaluate: impl Fn(&NamedMasks) -> Result<f64> + Sync,
) -> Result<(SearchRow, NamedMasks)> {
    // The folder belongs to one configuration of the experiment, so the name is key enough.
    let rows = sweep(
        &[setting.name],
        Some(folder),
        |_| {
            let found = particle::search(layers, config, &evaluate)?;
            let kept = |(_, mask): &(String, Mask)| mask.bits().iter_ones().collect();
            Ok(SearchRow {
                kept: found.masks.iter().map(kept).collect(),
                misclassification: found.misclassification,
                course: found.course,
                n_evaluations: found.n_evaluations,
            })
        },
        |_| Ok(()),
    )?;
    let row: SearchRow = rows.into_iter().next().expect("one point gives one row");
    let masks = layers.iter().zip(&row.kept).map(|(layer, kept)| {
        let mask = Mask::from_fn(layer.groups().shape(), |i| kept.binary_search(&i).is_ok());
        (layer.name().to_owned(), mask)
    });
    let masks = masks.collect();
    Ok((row, masks))
}

/// The same number of groups pruned as in every candidate, those of the least magnitude.
pub(super) fn by_magnitude(layers: &[Layer], dense: &Params) -> Result<NamedMasks> {
    let mask = |layer: &Layer| {
        let (scores, groups) = (magnitude(dense.tensor(layer.name())?)?, layer.groups());
        let mask = match layer.sparsity() {
            Some(sparsity) => select::level_of_groups(&scores, groups, Reduction::Mean, sparsity),
            None => select::quota_of_groups(&scores, groups, Reduction::Sum),
        };
        Ok((layer.name().to_owned(), mask?))
    };
    layers.iter().map(mask).collect()
}
