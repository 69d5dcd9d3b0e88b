//! A candidate: which groups of each layer are kept.

use nnc_core::Result;
use nnc_core::rng::Rng;

use super::{Layer, NamedMasks};
use crate::mask::Mask;

/// One bit per group of each layer; every window of a layer keeps as many as the layer says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Candidate(pub(super) Vec<Vec<bool>>);

impl Candidate {
    /// Every choice is equally likely.
    pub(super) fn draw(layers: &[Layer], rng: &mut Rng) -> Self {
        let draw = |layer: &Layer| {
            let mut kept: Vec<bool> =
                (0..layer.groups.len()).map(|group| group % layer.window < layer.n_kept).collect();
            kept.chunks_exact_mut(layer.window).for_each(|window| rng.shuffle(window));
            kept
        };
        Self(layers.iter().map(draw).collect())
    }

    /// In each layer, `exchanged` of the pruned groups (one at least) change places with kept ones of their window.
    pub(super) fn perturbed(&self, layers: &[Layer], exchanged: f64, rng: &mut Rng) -> Self {
        let mut perturbed = self.clone();
        for (kept, layer) in perturbed.0.iter_mut().zip(layers) {
            if layer.n_kept == layer.window {
                continue;
            }
            let n_windows = kept.len() / layer.window;
            let n_pruned = n_windows * (layer.window - layer.n_kept);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count is a count"
            )]
            let n_exchanges = ((exchanged * n_pruned as f64) as usize).max(1);
            for _ in 0..n_exchanges {
                let start = layer.window * rng.below(n_windows);
                let window = &mut kept[start..start + layer.window];
                let pruned = nth(window, false, rng.below(layer.window - layer.n_kept));
                let stays = nth(window, true, rng.below(layer.n_kept));
                window.swap(pruned, stays);
            }
        }
        perturbed
    }

    pub(super) fn masks(&self, layers: &[Layer]) -> Result<NamedMasks> {
        let mask = |(kept, layer): (&Vec<bool>, &Layer)| {
            let choice = Mask::from_fn(&[kept.len()], |group| kept[group]);
            Ok((layer.name.clone(), layer.groups.expand(&choice)?))
        };
        self.0.iter().zip(layers).map(mask).collect()
    }
}

/// Where in `window` the `n`-th entry (from 0) that is `value` stands.
fn nth(window: &[bool], value: bool, n: usize) -> usize {
    let places = window.iter().enumerate().filter(|(_, is)| **is == value);
    places.map(|(i, _)| i).nth(n).expect("the draw was below their number")
}
