//! Tables 1 and 3 to 6 as printed, and what follows from them by arithmetic on the zoo's networks.

use anyhow::{Result, ensure};
use nnc::recipe::Prune;
use nnc_core::network::zoo::{self, ImageNetConfig, LeNetConfig};
use nnc_core::network::{Cost, Network as Graph};
use nnc_core::params::ParamSpecs;

use crate::experiment::{Better, Row, Rule};

/// A network's table and its row in Table 1.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Weights, FLOP, and weights kept, as Table 1 and the totals round them.
    n_weights: f64,
    n_flops: f64,
    pub(super) n_kept: f64,
    /// The printed compression: dense over kept weights.
    pub(super) ratio: f64,
    pub(super) layers: &'static [Layer],
    /// Totals in per cent: weights and FLOP left.
    pub(super) density: f64,
    pub(super) flop_share: f64,
}

/// A printed row: the share of non-zero outputs, of weights and of FLOP left, in per cent.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) active: f64,
    pub(super) density: f64,
    pub(super) flop_share: f64,
}

const fn layer(name: &'static str, active: f64, density: f64, flop_share: f64) -> Layer {
    Layer { name, active, density, flop_share }
}

pub(super) const LENET_300_100: Table = Table {
    name: "lenet-300-100",
    n_weights: 266e3,
    n_flops: 532e3,
    n_kept: 22e3,
    ratio: 12.0,
    layers: &[layer("ip1", 38.0, 8.0, 8.0), layer("ip2", 65.0, 9.0, 4.0), layer("ip3", 100.0, 26.0, 17.0)],
    density: 8.0,
    flop_share: 8.0,
};

pub(super) const LENET_5: Table = Table {
    name: "lenet-5",
    n_weights: 431e3,
    n_flops: 4586e3,
    n_kept: 36e3,
    ratio: 12.0,
    layers: &[
        layer("conv1", 82.0, 66.0, 66.0),
        layer("conv2", 72.0, 12.0, 10.0),
        layer("ip1", 55.0, 8.0, 6.0),
        layer("ip2", 100.0, 19.0, 10.0),
    ],
    density: 8.0,
    flop_share: 16.0,
};

const ALEXNET: Table = Table {
    name: "alexnet",
    n_weights: 61e6,
    n_flops: 1.5e9,
    n_kept: 6.7e6,
    ratio: 9.0,
    layers: &[
        layer("conv1", 88.0, 84.0, 84.0),
        layer("conv2", 52.0, 38.0, 33.0),
        layer("conv3", 37.0, 35.0, 18.0),
        layer("conv4", 40.0, 37.0, 14.0),
        layer("conv5", 34.0, 37.0, 14.0),
        layer("fc6", 36.0, 9.0, 3.0),
        layer("fc7", 40.0, 9.0, 3.0),
        layer("fc8", 100.0, 25.0, 10.0),
    ],
    density: 11.0,
    flop_share: 30.0,
};

const VGG_16: Table = Table {
    name: "vgg-16",
    n_weights: 138e6,
    n_flops: 30.9e9,
    n_kept: 10.3e6,
    ratio: 13.0,
    layers: &[
        layer("conv1_1", 53.0, 58.0, 58.0),
        layer("conv1_2", 89.0, 22.0, 12.0),
        layer("conv2_1", 80.0, 34.0, 30.0),
        layer("conv2_2", 81.0, 36.0, 29.0),
        layer("conv3_1", 68.0, 53.0, 43.0),
        layer("conv3_2", 70.0, 24.0, 16.0),
        layer("conv3_3", 64.0, 42.0, 29.0),
        layer("conv4_1", 51.0, 32.0, 21.0),
        layer("conv4_2", 45.0, 27.0, 14.0),
        layer("conv4_3", 34.0, 34.0, 15.0),
        layer("conv5_1", 32.0, 35.0, 12.0),
        layer("conv5_2", 29.0, 29.0, 9.0),
        layer("conv5_3", 19.0, 36.0, 11.0),
        layer("fc6", 38.0, 4.0, 1.0),
        layer("fc7", 42.0, 4.0, 2.0),
        layer("fc8", 100.0, 23.0, 9.0),
    ],
    density: 7.5,
    flop_share: 21.0,
};

impl Layer {
    /// Pruning to the printed density.
    pub(super) fn goal(&self) -> Prune {
        Prune::Density(self.density / 100.0)
    }
}

/// The FLOP left in each layer, in per cent: weights left times non-zero inputs, which are what the layer before puts out; all
/// inputs of the first layer count.
pub(super) fn flop_shares(layers: impl IntoIterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut inputs = 100.0;
    layers
        .into_iter()
        .map(|(density, active)| {
            let share = density * inputs / 100.0;
            inputs = active;
            share
        })
        .collect()
}

/// The mean of shares, weighted.
pub(super) fn weighted(shares: &[f64], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    shares.iter().zip(weights).map(|(share, weight)| share * weight).sum::<f64>() / total
}

/// The rows of all four networks.
pub(super) fn rows() -> Result<Vec<Row>> {
    let lenet = LeNetConfig::default();
    let imagenet = ImageNetConfig::default();
    let mut rows = Vec::new();
    for (table, built) in [
        (&LENET_300_100, zoo::lenet_300_100(&lenet)?),
        (&LENET_5, zoo::lenet_5(&lenet)?),
        (&ALEXNET, zoo::alexnet(&imagenet)?),
        (&VGG_16, zoo::vgg_16(&imagenet)?),
    ] {
        table.rows(&built, &mut rows)?;
    }
    Ok(rows)
}

impl Table {
    /// Its figures from the printed densities and the shapes of the zoo's network.
    fn rows(&self, (network, specs): &(Graph, ParamSpecs), rows: &mut Vec<Row>) -> Result<()> {
        let cost: Cost = network.cost(specs)?;
        let names: Vec<&str> = cost.weighted().map(|node| node.name.as_str()).collect();
        ensure!(
            names.iter().eq(self.layers.iter().map(|layer| &layer.name)),
            "{}: layers {names:?}",
            self.name
        );
        let weights: Vec<f64> = cost.weighted().map(|node| node.weights as f64).collect();
        let flops: Vec<f64> = cost.weighted().map(|node| node.flops() as f64).collect();
        let densities: Vec<f64> = self.layers.iter().map(|layer| layer.density).collect();
        let shares = flop_shares(self.layers.iter().map(|layer| (layer.density, layer.active)));
        let (n_weights, n_flops) = (weights.iter().sum::<f64>(), flops.iter().sum::<f64>());
        let density = weighted(&densities, &weights);
        let within = |value, share| Rule::Within { value, share };
        let near = |value, tolerance| Rule::Equals { value, tolerance };
        let mut row = |what: &str, ours: f64, unit: &str, better, paper: f64, rule| {
            rows.push(
                Row::new(format!("{}/tables/{what}", self.name), ours, unit, better, rule)
                    .paper(paper)
                    .on_any_data(),
            );
        };
        row("weights", n_weights, "weights", Better::Equal, self.n_weights, within(self.n_weights, 0.01));
        row("flops", n_flops, "FLOP", Better::Equal, self.n_flops, within(self.n_flops, 0.05));
        row(
            "kept",
            density / 100.0 * n_weights,
            "weights",
            Better::Lower,
            self.n_kept,
            within(self.n_kept, 0.03),
        );
        row("arithmetic-ratio", 100.0 / density, "x", Better::Higher, self.ratio, within(self.ratio, 0.02));
        row("density", density, "%", Better::Lower, self.density, near(self.density, 0.5));
        row(
            "flop-share",
            weighted(&shares, &flops),
            "%",
            Better::Lower,
            self.flop_share,
            near(self.flop_share, 1.0),
        );
        for (layer, share) in self.layers.iter().zip(shares) {
            // Both factors are printed in whole per cents.
            let what = format!("{}-flop-share", layer.name.replace('_', "-"));
            row(&what, share, "%", Better::Lower, layer.flop_share, near(layer.flop_share, 1.0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::row::Verdict;

    #[test]
    fn the_accounting_rule_gives_the_printed_columns() {
        // AlexNet's conv2 and fc8, LeNet-300-100's ip3, worked by hand.
        let shares =
            |table: &Table| flop_shares(table.layers.iter().map(|layer| (layer.density, layer.active)));
        assert!(
            (shares(&ALEXNET)[1] - 0.38 * 88.0).abs() < 1e-9 && (shares(&ALEXNET)[7] - 10.0).abs() < 1e-9
        );
        assert!((shares(&LENET_300_100)[2] - 16.9).abs() < 1e-9);
        let rows = rows().unwrap();
        assert_eq!(rows.len(), 4 * 6 + 3 + 4 + 8 + 16);
        for row in rows {
            assert_eq!(row.verdict(), Verdict::Holds, "{}: {} ({})", row.metric(), row.ours(), row.remark());
        }
    }
}
