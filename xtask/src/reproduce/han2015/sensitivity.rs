//! How much of one layer may go while the others stay whole: the paper's figure 6.

use std::path::Path;

use anyhow::Result;
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::VarSource;
use nnc_core::train::Trainee;
use nnc_prune::Granularity;
use nnc_prune::sensitivity::{self, SensitivityConfig, analyse, score};

use crate::experiment::{Better, Progress, Row, Rule};

/// Images in a batch of an evaluation; it changes no error.
const EVALUATION_BATCH: usize = 250;

/// How much the error may rise, in points, for a density to count as harmless.
const HARMLESS: f64 = 1.0;

/// The curves of one network's layers, without retraining.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) model: &'static str,
    /// The error of the whole network in per cent.
    dense: f64,
    pub(super) layers: Vec<LayerCurve>,
}

/// The errors of a network of which one layer is pruned.
#[derive(Debug)]
pub(super) struct LayerCurve {
    pub(super) name: String,
    /// (density of the layer, error in per cent), falling from the whole network.
    pub(super) points: Vec<(f64, f64)>,
}

/// What is scanned.
pub(super) struct Scanned<'a> {
    pub(super) model: &'static str,
    pub(super) network: &'a Network,
    pub(super) params: &'a Params,
    pub(super) data: &'a Dataset,
    pub(super) normalization: &'a Normalization,
}

/// Prunes each weight of a network to each of `densities`, alone, and evaluates; finished evaluations lie in `folder`.
pub(super) fn scan(
    scanned: &Scanned<'_>,
    densities: &[f64],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Scan> {
    let Scanned { model, network, params, data, normalization } = *scanned;
    progress.stage(&format!("{model}: sensitivity"));
    let config = SensitivityConfig {
        patterns: vec!["*".into()],
        sparsities: densities.iter().map(|density| 1.0 - density).collect(),
        granularity: Granularity::Element,
        // The folder is this configuration's, so the model's name tells the scans in it apart.
        key: model.into(),
    };
    let batches = BatchConfig::evaluation(EVALUATION_BATCH.min(data.len()));
    let batches = Batches::new(data, normalization, batches)?;
    let evaluate = |params: &Params| {
        let trainee = Trainee::new(network.clone(), VarSource::new(params)?);
        score(&trainee, &batches, "logits")
    };
    let stop = |_, _| if progress.cancelled() { Err(nnc_core::Error::Cancelled) } else { Ok(()) };
    let rows = analyse(params, &config, Some(folder), evaluate, stop)?;
    let curve = |rows: &[sensitivity::Row]| {
        let name = &rows[0].parameter;
        LayerCurve {
            name: name.strip_suffix(".weight").unwrap_or(name).to_owned(),
            points: std::iter::once(&1.0).chain(densities).copied().zip(rows.iter().map(error)).collect(),
        }
    };
    let layers = rows.chunks_exact(densities.len() + 1).map(curve).collect();
    Ok(Scan { model, dense: error(&rows[0]), layers })
}

/// The error of a row in per cent.
fn error(row: &sensitivity::Row) -> f64 {
    100.0 - row.score.top1
}

impl Scan {
    /// The lowest density of a layer down to which the error stays within [`HARMLESS`] points, in per cent.
    fn tolerated(&self, layer: &LayerCurve) -> f64 {
        let harmless = layer.points.iter().take_while(|(_, error)| *error <= self.dense + HARMLESS);
        100.0 * harmless.last().map_or(1.0, |point| point.0)
    }

    /// What each layer tolerates, and whether the first is the most sensitive.
    pub(super) fn rows(&self, first_is_worst: Rule, rows: &mut Vec<Row>) {
        let row = |what: &str, ours, better, rule| {
            Row::new(format!("{}/sensitivity/{what}", self.model), ours, "%", better, rule)
        };
        let tolerated: Vec<f64> = self.layers.iter().map(|layer| self.tolerated(layer)).collect();
        for (layer, density) in self.layers.iter().zip(&tolerated) {
            rows.push(
                row(&layer.name, *density, Better::Lower, Rule::Report)
                    .note("the lowest density within one point"),
            );
        }
        if let [first, others @ ..] = tolerated.as_slice() {
            let margin = first - others.iter().copied().fold(0.0, f64::max);
            let note = "the first layer's density less the largest of the others'";
            rows.push(row("first-layer-margin", margin, Better::Higher, first_is_worst).note(note));
        }
    }
}

/// The first `n` images of a set, or all when there are no more.
pub(super) fn first_images(data: &Dataset, n: usize) -> Result<Dataset> {
    let n = n.min(data.len());
    let images = (0..n).flat_map(|i| data.image(i)).copied().collect();
    Ok(Dataset::new(images, data.labels()[..n].to_vec(), data.shape(), data.n_classes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_tolerates_what_lies_before_the_first_harm() {
        let layer =
            |name: &str, points: &[(f64, f64)]| LayerCurve { name: name.into(), points: points.to_vec() };
        let scan = Scan {
            model: "m",
            dense: 2.0,
            layers: vec![
                layer("a", &[(1.0, 2.0), (0.5, 3.0), (0.2, 3.5), (0.1, 2.0)]),
                layer("b", &[(1.0, 2.0), (0.5, 2.1), (0.2, 2.9), (0.1, 9.0)]),
            ],
        };
        let mut rows = Vec::new();
        scan.rows(Rule::AtLeast(0.0), &mut rows);
        let ours: Vec<f64> = rows.iter().map(Row::ours).collect();
        assert_eq!(ours, [50.0, 20.0, 30.0]);
        assert_eq!(rows[2].metric(), "m/sensitivity/first-layer-margin");
    }

    #[test]
    fn a_part_of_a_set_is_its_beginning() {
        let data = Dataset::new((0..12).collect(), vec![0, 1, 2], [1, 2, 2], 3).unwrap();
        let part = first_images(&data, 2).unwrap();
        assert_eq!((part.len(), part.image(1), part.labels()), (2, &[4_u8, 5, 6, 7][..], &[0_u8, 1][..]));
        assert_eq!(first_images(&data, 9).unwrap().len(), 3);
    }
}
