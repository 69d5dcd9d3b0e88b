//! A recipe's steps that need no data: prune, share, store.

use nnc_core::candle::Tensor;
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::weight::{Form, Order, StoredWeight, WeightTensor};
use nnc_core::{Error, Result};
use nnc_prune::importance::magnitude::{magnitude, standard_deviation};
use nnc_prune::{Mask, select};
use nnc_quant::codebook::{ClusterConfig, SharedWeight};

use crate::archive::StreamCoding;
use crate::recipe::{Layer, Prune, Recipe, Share, Store};

/// Lloyd iterations at most; one-dimensional clusters of trained weights settle in well under a hundred.
const MAX_LLOYD_ITERATIONS: usize = 300;

/// A named parameter in its stored form.
pub type Stored = (String, ParamKind, StoredWeight);

/// Prunes, shares and stores `params` as `recipe` says, one parameter at a time.
///
/// # Errors
/// [`Error::NoMatch`] when a pattern of the recipe matches no parameter, [`Error::InvalidArgument`] when it asks for training,
/// a number is out of its range, or a step cannot be done.
pub fn compress(params: &Params, recipe: &Recipe) -> Result<Vec<Stored>> {
    if recipe.training.is_some() || recipe.retraining.is_some() || recipe.sharing.is_some() {
        let expected =
            "a recipe of [[layer]] sections only (training needs data: see `cargo xtask reproduce`)";
        return Err(Error::invalid("recipe", expected, "a training section"));
    }
    recipe.check()?;
    let names: Vec<String> = params.names().map(ToOwned::to_owned).collect();
    let layers = recipe.assign(&names)?;
    let mut stored = Vec::new();
    for (param, layer) in params.iter().zip(layers) {
        let weight = match layer {
            Some(layer) => compress_one(&param.name, &param.tensor, layer, recipe.seed)?,
            None => StoredWeight::dense(&param.tensor)?,
        };
        stored.push((param.name.clone(), param.kind, weight));
    }
    Ok(stored)
}

fn compress_one(name: &str, value: &Tensor, layer: &Layer, seed: u64) -> Result<StoredWeight> {
    let mask = match layer.prune {
        Some(goal) => Some(prune(value, goal, standard_deviation(value)?)?),
        None => None,
    };
    let pruned = match &mask {
        Some(mask) => mask.apply(value)?,
        None => value.clone(),
    };
    let weight = match (layer.share, mask) {
        (Some(how), _) => share(name, &pruned, how, seed)?.stored()?,
        (None, Some(mask)) => mask.stored(&value.flatten_all()?.to_vec1::<f32>()?)?,
        (None, None) => StoredWeight::dense(value)?,
    };
    store(weight, layer.store)
}

/// The mask that `goal` asks for; `dense_sigma` is the standard deviation of the weight before any pruning.
///
/// # Errors
/// [`Error::InvalidArgument`] when nothing would be kept.
pub fn prune(weight: &Tensor, goal: Prune, dense_sigma: f64) -> Result<Mask> {
    let scores = magnitude(weight)?;
    let mask = match goal {
        Prune::Density(density) => {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a density in (0, 1] of a count is a count"
            )]
            let n_kept = (density * scores.len() as f64).round() as usize;
            select::largest(&scores, weight.dims(), n_kept)?
        }
        Prune::Quality(quality) => select::above(&scores, weight.dims(), quality * dense_sigma)?,
    };
    if mask.n_kept() == 0 {
        return Err(Error::invalid("prune", "a goal that keeps at least one entry", format!("{goal:?}")));
    }
    Ok(mask)
}

/// Shares the non-zero values of the parameter `name`; one of the `2^bits` codes is kept for zero.
///
/// # Errors
/// Those of clustering.
pub fn share(name: &str, weight: &Tensor, how: Share, seed: u64) -> Result<SharedWeight> {
    let n_shared = (1 << how.bits) - 1;
    let config =
        ClusterConfig { n_shared: n_shared.max(1), init: how.init, max_iterations: MAX_LLOYD_ITERATIONS };
    SharedWeight::cluster(weight, &config, &mut Rng::keyed(seed, &format!("share/{name}"), &[]))
}

/// The form of `weight` with the fewest bits that `how` allows; its values do not change.
///
/// # Errors
/// Those of rearranging and coding.
pub fn store(weight: StoredWeight, how: Store) -> Result<StoredWeight> {
    let mut candidates = Vec::new();
    if let Some(bits) = how.index_bits {
        candidates.push(weight.rearrange(Form::Gaps { bits }, Order::RowMajor)?);
    } else {
        // Fillers make narrow gaps dear and entropy coding makes wide ones cheap: past 8 bits nothing is gained.
        for bits in 1..=8 {
            candidates.push(weight.rearrange(Form::Gaps { bits }, Order::RowMajor)?);
        }
        candidates.push(weight);
    }
    let coding = if how.huffman { StreamCoding::Smallest { block_len: 0 } } else { StreamCoding::Packed };
    let candidates =
        candidates.iter().map(|candidate| coding.apply(candidate)).collect::<Result<Vec<_>>>()?;
    let fewest = candidates.into_iter().min_by_key(|candidate| candidate.footprint().total_bits());
    Ok(fewest.unwrap_or_else(|| unreachable!("there is at least one candidate")))
}
