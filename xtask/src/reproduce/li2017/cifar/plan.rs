//! What is pruned, how far, and how long it is retrained.

use nnc_prune::filter::{Order, Selection};
use serde::Serialize;

use crate::experiment::Profile;

/// The convolutions of the trained network.
pub(super) const LAYERS: [&str; 6] = ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6"];

/// How much of everything a profile does.
#[derive(Debug, Clone, Serialize)]
pub(in super::super) struct Plan {
    pub(super) seed: u64,
    /// Training images that retraining sees.
    pub(super) n_train: usize,
    pub(super) n_validation: usize,
    pub(super) n_test: usize,
    pub(super) batch: usize,
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    /// Shares cut from one layer at a time, without retraining.
    pub(super) direct: Vec<f64>,
    /// Shares cut from one layer at a time, with retraining.
    pub(super) retrained: Vec<f64>,
    /// Shares cut from one layer at a time, by three orders, without retraining.
    pub(super) controls: Vec<f64>,
    pub(super) n_random: usize,
    /// Shares cut from all layers by the two selections, with retraining.
    pub(super) high: Vec<f64>,
    /// Shares cut from all layers, with `n_epochs` of retraining.
    pub(super) trade_off: Vec<f64>,
    pub(super) n_epochs: usize,
    /// Whether samples are large enough for the paper's claims.
    pub(super) claims: bool,
}

/// A pruned network.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) layers: Vec<&'static str>,
    pub(super) share: f64,
    pub(super) control: Control,
    pub(super) greedy: bool,
    pub(super) n_epochs: usize,
}

/// Which filters go first.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum Control {
    Smallest,
    Random(u64),
    Largest,
}

impl Control {
    pub(super) fn order(self) -> Order {
        match self {
            Self::Smallest => Order::Smallest,
            Self::Random(seed) => Order::Random { seed },
            Self::Largest => Order::Largest,
        }
    }
}

impl Point {
    pub(super) fn selection(&self) -> Selection {
        if self.greedy { Selection::Greedy } else { Selection::Independent }
    }
}

impl Plan {
    pub(in super::super) fn new(profile: Profile, seed: u64) -> Self {
        let plan = Self {
            seed,
            n_train: 20 * 64,
            n_validation: 1_000,
            n_test: 10_000,
            batch: 64,
            lr: 1e-2,
            weight_decay: 5e-4,
            direct: vec![0.2, 0.4, 0.6, 0.8],
            retrained: vec![0.8],
            controls: vec![0.4, 0.8],
            n_random: 2,
            high: vec![0.7, 0.8],
            trade_off: vec![0.2, 0.4, 0.6],
            n_epochs: 3,
            claims: true,
        };
        match profile {
            Profile::Smoke => Self {
                n_train: 2 * 64,
                n_validation: 100,
                n_test: 200,
                direct: vec![0.5],
                retrained: vec![0.5],
                controls: vec![0.5],
                n_random: 1,
                high: vec![0.8],
                trade_off: vec![0.4],
                n_epochs: 1,
                claims: false,
                ..plan
            },
            Profile::Quick => plan,
            Profile::Full => Self {
                n_train: 100 * 64,
                n_validation: 5_000,
                direct: (1..10).map(|tenths| f64::from(tenths) / 10.0).collect(),
                retrained: vec![0.2, 0.4, 0.6, 0.8, 0.9],
                controls: (1..10).step_by(2).map(|tenths| f64::from(tenths) / 10.0).collect(),
                n_random: 3,
                high: vec![0.6, 0.7, 0.8, 0.9],
                trade_off: (1..9).map(|tenths| f64::from(tenths) / 10.0).collect(),
                n_epochs: 4,
                ..plan
            },
        }
    }

    /// The points of every curve, in the order in which [`Curves`](super::Curves) takes them.
    pub(super) fn points(&self) -> Vec<(&'static str, Vec<Point>)> {
        let point = |layers: &[&'static str], share, control, greedy, n_epochs| Point {
            layers: layers.to_vec(),
            share,
            control,
            greedy,
            n_epochs,
        };
        let layer_by_layer = |shares: &[f64], control, n_epochs| -> Vec<Point> {
            let of_layer =
                |layer| shares.iter().map(move |&share| point(&[layer], share, control, false, n_epochs));
            LAYERS.into_iter().flat_map(of_layer).collect()
        };
        let whole = |shares: &[f64], greedy| -> Vec<Point> {
            shares.iter().map(|&share| point(&LAYERS, share, Control::Smallest, greedy, 1)).collect()
        };
        let draws = (0..self.n_random as u64).map(|i| Control::Random(self.seed + i));
        let random = draws.flat_map(|draw| layer_by_layer(&self.controls, draw, 0)).collect();
        vec![
            ("one layer at a time", layer_by_layer(&self.direct, Control::Smallest, 0)),
            ("one layer at a time, retrained", layer_by_layer(&self.retrained, Control::Smallest, 1)),
            // Most of these stand in the first line; a sweep computes a point once.
            ("smallest filters", layer_by_layer(&self.controls, Control::Smallest, 0)),
            ("random filters", random),
            ("largest filters", layer_by_layer(&self.controls, Control::Largest, 0)),
            ("independent selection", whole(&self.high, false)),
            ("greedy selection", whole(&self.high, true)),
            (
                "whole network, retrained",
                (0..self.trade_off.len()).map(|i| self.trade_off_point(i)).collect(),
            ),
        ]
    }

    /// The network at one share of the trade-off.
    pub(super) fn trade_off_point(&self, i: usize) -> Point {
        Point {
            layers: LAYERS.to_vec(),
            share: self.trade_off[i],
            control: Control::Smallest,
            greedy: true,
            n_epochs: self.n_epochs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controls_smallest_points_are_those_of_the_direct_curve() {
        for profile in [Profile::Smoke, Profile::Quick, Profile::Full] {
            let plan = Plan::new(profile, 1);
            let json = |point: &Point| serde_json::to_string(point).unwrap();
            let points = plan.points();
            let direct: Vec<String> = points[0].1.iter().map(json).collect();
            assert!(points[2].1.iter().map(json).all(|point| direct.contains(&point)), "{profile:?}");
            assert_eq!(points[3].1.len(), plan.n_random * points[4].1.len());
            assert_eq!(points[0].1.len(), LAYERS.len() * plan.direct.len());
        }
    }
}
